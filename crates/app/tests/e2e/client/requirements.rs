//! `freehold requirements` and `freehold approvals`: what is asked of those who delete, and done, by hand.

use super::Shell;
use crate::on_both_engines;
use crate::support::{Engine, Server};
use crate::tools::new_customer;

on_both_engines! {
    async fn what_is_asked_is_set_shown_and_done_by_hand(server: Server) {
        let organization = server.new_organization().await;
        let (second, _) = server.new_member(&organization, "owner").await;
        new_customer(&server, &organization, "user123", None).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let other = Shell::new(&server).with("FREEHOLD_TOKEN", &second.token);
        shell.run("requirements set member --reason").await;
        let set = shell.run("requirements set customer --reason --confirmation --fresh 30 --approval --grace 7").await;
        assert_eq!(set.code, 0, "{set:?}");
        let shown = shell.run("requirements show").await;
        let line = |kind: &str| shown.out.lines().find(|line| line.starts_with(kind)).unwrap().split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
        assert_eq!((line("customer"), line("member")), ("true true 30 true 7".into(), "true false - false 0".into()));
        assert_eq!(line("organization"), "false false - false 0");

        let refused = shell.run("customers delete user123 --yes user123").await;
        assert_eq!(refused.code, 5, "{refused:?}");
        for code in ["reason_required", "confirmation_required", "approval_required"] {
            assert!(refused.err.contains(code), "{refused:?}");
        }
        let given = other.run("approvals give --customer user123 --reason Agreed").await;
        assert_eq!((given.field("subject"), given.field("reason")), ("customer".into(), "Agreed".into()));
        assert!(shell.run("approvals list").await.out.contains("user123"));
        assert_eq!(shell.run(&format!("approvals withdraw {}", given.field("id"))).await.code, 0);
        assert_eq!(shell.run(&format!("approvals withdraw {}", given.field("id"))).await.code, 4);
        other.run("approvals give --customer user123").await;
        let looked = shell.run("customers delete user123 --validate-only --reason Moved --json").await.json();
        assert_eq!(looked["blockers"][0]["code"], "confirmation_required", "{looked}");
        let slug = &organization.slug;
        let done = shell.run(&format!("customers delete user123 --yes user123 --reason Moved --confirm {slug}")).await;
        assert_eq!((done.code, done.field("deletion id").is_empty()), (0, false), "{done:?}");

        let weaker = shell.run("requirements set customer").await;
        assert!(weaker.code == 5 && weaker.err.contains("approval_required"), "{weaker:?}");
        other.run("approvals give --requirements").await;
        assert_eq!(shell.run("requirements set customer").await.code, 0);
    }
}
