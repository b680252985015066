//! `freehold customers purge`: looked at, confirmed and done by hand.

use super::Shell;
use crate::on_both_engines;
use crate::support::{Engine, Server};
use crate::tools::new_customer;
use serde_json::json;

on_both_engines! {
    async fn a_purge_is_looked_at_confirmed_by_its_number_and_followed_to_its_end(server: Server) {
        let organization = server.new_organization().await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        for id in ["user1", "user2", "user3"] {
            new_customer(&server, &organization, id, None).await;
        }
        server.new_dependant(&organization, "user3", "subscriptions", json!({"plan": "basic"})).await;
        let list = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(list.path(), "id\nuser1\nuser3\nnobody\n").unwrap();
        let purge = format!("customers purge --csv {}", list.path().display());

        let look = shell.run(&purge).await;
        assert_eq!((look.field("count"), look.field("sample")), ("1".into(), "user1".into()));
        for (line, code) in [
            (format!("{purge} --force"), 2),
            (format!("{purge} --force --yes 3"), 2),
            (format!("{purge} --all"), 2),
            (format!("{purge} --yes 1"), 2),
            ("customers purge".to_owned(), 2),
            ("customers purge --metadata plan".to_owned(), 2),
            ("customers purge --csv /nowhere".to_owned(), 2),
        ] {
            let said = shell.run(&line).await;
            assert_eq!(said.code, code, "{line}: {said:?}");
        }
        assert_eq!(shell.run("customers list --json").await.json()["data"].as_array().unwrap().len(), 3);

        let done = shell.run(&format!("{purge} --force --yes 1 --reason Trials --wait")).await;
        assert_eq!((done.field("state"), done.field("reason")), ("completed".into(), "Trials".into()));
        let items = shell.run(&format!("deletions items {} --outcome blocked", done.field("id"))).await;
        assert!(items.out.contains("user3") && items.out.contains("is active") && !items.out.contains("not_found"), "{items:?}");
        let all = shell.run(&format!("deletions items {} --json", done.field("id"))).await.json();
        let outcomes: Vec<&str> = all["data"].as_array().unwrap().iter().map(|item| item["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["deleted", "blocked", "not_found"]);

        let rest = "customers purge --email-domain example.com --created-after 2000-01-01T00:00:00Z";
        assert_eq!(shell.run(rest).await.field("count"), "1", "one is blocked");
        let done = shell.type_into(&format!("{rest} --force --wait"), "1\n").await;
        assert!(done.code == 0 && done.out.contains("Type 1 to delete it") && done.out.contains("completed at"), "{done:?}");
        assert_eq!(shell.run("customers list --json").await.json()["data"].as_array().unwrap().len(), 1);
    }
}
