//! `freehold holds`: placed, listed and released by hand.

use super::Shell;
use crate::on_both_engines;
use crate::support::{Engine, Server};
use crate::tools::new_customer;

on_both_engines! {
    async fn a_hold_is_placed_listed_and_released_by_hand(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        let (_, member) = server.new_member(&organization, "member").await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let placed = shell.run("holds place --customer user123 --reason Case-17 --until 2099-01-31T12:00:00Z").await;
        assert_eq!((placed.field("state"), placed.field("subject label")), ("active".into(), "user123".into()));
        let hold = placed.field("id");
        assert_eq!(shell.run(&format!("holds place --member {member} --reason Case-18")).await.field("subject"), "user");
        assert_eq!(shell.run("holds place --reason Case-19").await.field("subject"), "organization");
        assert_eq!(shell.run("holds place --customer nobody --reason Case-20").await.code, 4);

        let refused = shell.run("customers delete user123 --yes user123").await;
        assert!(refused.code != 0 && refused.err.contains("legal hold") && refused.err.contains(&hold), "{refused:?}");
        assert!(!refused.err.contains("Case-17"), "why it is held is for those who may read holds: {refused:?}");
        let released = shell.run(&format!("holds release {hold} --reason closed")).await;
        assert_eq!((released.field("state"), released.field("release reason")), ("released".into(), "closed".into()));
        assert_eq!(shell.run(&format!("holds show {hold}")).await.field("state"), "released");
        let active = shell.run("holds list --state active").await;
        assert!(active.out.contains("Case-18") && active.out.contains("Case-19") && !active.out.contains("Case-17"), "{active:?}");
        assert!(shell.run("holds list").await.out.contains("Case-17"));
        let periods = shell.run("retention").await;
        assert!(periods.out.lines().any(|line| line.starts_with("customers") && line.contains("365")), "{periods:?}");
    }
}
