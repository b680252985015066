//! Deleting by hand: the plan comes first, and nothing is deleted that was not confirmed.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Shell;
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};

on_both_engines! {
    async fn a_wrong_confirmation_deletes_nothing(server: Server) {
        let organization = server.new_organization().await;
        let slug = &organization.slug;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let unconfirmed = shell.run(&format!("organizations delete {slug}")).await;
        assert_eq!(unconfirmed.code, 2);
        assert!(unconfirmed.err.contains(&format!("--yes {slug}")), "{unconfirmed:?}");
        for wrong in ["yes", "org", &slug.to_uppercase(), &format!("{slug}x")] {
            let said = shell.run(&format!("organizations delete {slug} --yes {wrong}")).await;
            assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
        }
        // What is piped in is no person's word.
        assert_eq!(shell.run_with(&format!("organizations delete {slug}"), &format!("{slug}\n")).await.code, 2);
        let typed = shell.type_into(&format!("organizations delete {slug}"), "yes\n").await;
        assert_eq!(typed.code, 2, "{typed:?}");
        assert!(typed.out.contains("Nothing was deleted"), "{typed:?}");
        let path = format!("/api/organizations/{}", organization.id);
        expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        let trail = shell.run("audit tail --json").await;
        assert!(!trail.out.contains("organization.delete"), "{trail:?}");
    }

    async fn what_is_typed_at_the_terminal_confirms(server: Server) {
        let organization = server.new_organization().await;
        let slug = &organization.slug;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        // Named by its id, it is still its slug that is asked for.
        let said = shell.type_into(&format!("organizations delete {}", organization.id), &format!("{slug}\n")).await;
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains(&format!("Type {slug} to delete it")), "{said:?}");
        assert_eq!(shell.run(&format!("organizations show {slug}")).await.code, 4);
    }

    async fn what_changed_since_it_was_shown_is_not_deleted(server: Server) {
        let organization = server.new_organization().await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let change = async {
            let request = server.request(Method::PUT, &format!("/api/organizations/{}", organization.id));
            expect(request.bearer_auth(&organization.owner.token).json(&json!({"name": "Still needed"})), StatusCode::OK).await;
        };
        let line = format!("organizations delete {}", organization.slug);
        let said = shell.type_after(&line, "to delete it: ", change, &format!("{}\n", organization.slug)).await;
        assert_eq!(said.code, 5, "{said:?}");
        assert_eq!(shell.run(&format!("organizations show {}", organization.slug)).await.field("name"), "Still needed");
    }

    async fn the_plan_is_shown_with_rows_and_reasons(server: Server) {
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        server.new_dependant(&organization, &customer, "devices", json!({"name": "Laptop"})).await;
        server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let said = shell.run(&format!("organizations delete {}", organization.slug)).await;
        assert!(said.err.lines().any(|line| line.split_whitespace().take(3).eq(["devices", "1", "erased"])), "{said:?}");
        assert!(said.err.contains("stop working at once: 1"), "{said:?}");
        let soft = shell.run(&format!("customers delete {customer}")).await;
        assert!(soft.err.lines().any(|line| line.split_whitespace().take(3).eq(["customers", "1", "kept"])), "{soft:?}");
        let hard = shell.run(&format!("customers delete {customer} --hard")).await;
        assert!(hard.err.lines().any(|line| line.split_whitespace().take(3).eq(["customers", "1", "erased"])), "{hard:?}");
    }

    async fn blockers_are_told_with_their_remedies_and_nothing_is_deleted(server: Server) {
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        let subscription = server.new_dependant(&organization, &customer, "subscriptions", json!({"plan": "basic"})).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let said = shell.run(&format!("customers delete {customer} --hard --yes {customer}")).await;
        assert_eq!((said.code, said.out.as_str()), (5, ""), "{said:?}");
        assert!(said.err.contains("active_subscription") && said.err.contains(&subscription), "{said:?}");
        assert_eq!(shell.run(&format!("customers show {customer}")).await.code, 0);
    }

    async fn what_would_go_can_be_looked_at_and_is_what_goes_then_or_nothing_does(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let customer = server.new_customer(&organization, token).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", token);
        let slug = &organization.slug;
        let plan = shell.run(&format!("organizations delete {slug} --validate-only --json")).await.json();
        assert_eq!((&plan["root"], &plan["blockers"]), (&json!("organization"), &json!([])));
        let plan = plan["plan"].as_str().unwrap();
        server.new_dependant(&organization, &customer, "devices", json!({"name": "Laptop"})).await;
        let drifted = shell.run(&format!("organizations delete {slug} --plan {plan} --yes {slug}")).await;
        assert_eq!(drifted.code, 5, "{drifted:?}");
        assert!(drifted.err.contains("devices: 0 planned, now 1"), "{drifted:?}");
        // What is added while a person looks at the plan is not deleted unseen.
        let add = async {
            server.new_dependant(&organization, &customer, "devices", json!({"name": "Phone"})).await;
        };
        let unseen = shell.type_after(&format!("organizations delete {slug}"), "to delete it: ", add, &format!("{slug}\n")).await;
        assert_eq!(unseen.code, 5, "{unseen:?}");
        assert!(unseen.out.contains("devices: 1 planned, now 2"), "{unseen:?}");
        assert_eq!(shell.run(&format!("organizations delete {slug} --validate-only --yes {slug}")).await.code, 2);
        let plan = shell.run(&format!("organizations delete {slug} --validate-only --json")).await.json();
        let plan = plan["plan"].as_str().unwrap();
        assert_eq!(shell.run(&format!("organizations delete {slug} --plan {plan} --yes {slug}")).await.code, 0);
    }

    async fn a_customer_who_was_softly_deleted_can_be_erased(server: Server) {
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        assert_eq!(shell.run(&format!("customers delete {customer} --yes {customer} --wait")).await.field("root"), "retired_customer");
        assert_eq!(shell.run(&format!("customers delete {customer} --yes {customer}")).await.code, 4);
        let erased = shell.run(&format!("customers delete {customer} --hard --yes {customer} --wait")).await;
        assert_eq!((erased.field("root"), erased.field("state")), ("customer".into(), "completed".into()));
    }

    async fn members_and_keys_are_shown_before_they_go(server: Server) {
        let organization = server.new_organization().await;
        let (person, member) = server.new_member(&organization, "admin").await;
        let (key, secret) = server.new_api_key(&organization, &person.token, &["read:organization"]).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let (key, member) = (plane::ids::to_short(uuid::Uuid::parse_str(&key).unwrap()), member);
        let removed = shell.run(&format!("keys delete {key} --yes {key}")).await;
        assert_eq!(removed.code, 0, "{removed:?}");
        assert!(removed.err.contains("Test key") && !removed.err.contains(&secret), "{removed:?}");
        assert_eq!(Shell::new(&server).with("FREEHOLD_API_KEY", &secret).run("organizations list").await.code, 3);
        let removed = shell.run(&format!("members remove {member} --yes {member} --reason left")).await;
        assert_eq!(removed.code, 0, "{removed:?}");
        assert!(removed.err.contains(&person.email), "{removed:?}");
        let gone = Shell::new(&server).with("FREEHOLD_TOKEN", &person.token);
        assert_eq!(gone.run(&format!("organizations show {}", organization.slug)).await.code, 3);
    }
}
