//! A whole life by hand, and what is printed on the way.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Shell;
use crate::on_both_engines;
use crate::support::{Engine, PASSWORD, Server, expect};

on_both_engines! {
    async fn a_person_makes_an_organization_fills_it_and_deletes_it(server: Server) {
        let shell = Shell::new(&server);
        shell.sign_in("ada@example.com").await;
        assert_eq!(shell.run("users me").await.field("email"), "ada@example.com");
        let made = shell.run("organizations create --name Acme --slug acme").await;
        assert_eq!(made.field("slug"), "acme");
        // The only organization there is needs no naming.
        let invited = shell.run("members invite --email bob@example.com --role admin").await;
        assert_eq!((invited.field("role"), invited.field("token").is_empty()), ("admin".into(), false));
        let members = shell.run("members list").await;
        assert!(members.out.starts_with("ID ") && members.out.contains("ada@example.com"), "{members:?}");
        assert_eq!(shell.run("customers create --name Alan --email alan@example.com --id user1").await.field("id"), "user1");
        assert_eq!(shell.run("customers show user1").await.field("name"), "Alan");

        let key = shell.run("keys create --name Import --scopes read:customers,write:customers,read:organization").await;
        let by_key = Shell::new(&server).with("FREEHOLD_API_KEY", &key.field("key"));
        assert_eq!(by_key.run("customers create --name Grace --email grace@example.com --id user2").await.code, 0);
        let listed = shell.run("customers list").await;
        assert!(listed.out.contains("user1") && listed.out.contains("user2"), "{listed:?}");
        assert!(!shell.run("keys list").await.out.contains(&key.field("key")));

        let deleted = shell.run("customers delete user1 --yes user1 --reason moved").await;
        let deletion = deleted.field("deletion id");
        assert_eq!(shell.run(&format!("deletions show {deletion}")).await.field("root"), "retired_customer");
        assert!(shell.run("deletions list").await.out.contains(&deletion));
        let trail = shell.run("audit tail").await;
        assert!(trail.out.lines().last().unwrap().contains("customer.retire") && trail.out.contains("moved"), "{trail:?}");

        let receipt = shell.run("organizations delete acme --yes acme --wait").await;
        assert_eq!(receipt.field("state"), "completed");
        assert!(receipt.err.contains("completed: "), "{receipt:?}");
        assert_eq!(shell.run("organizations show acme").await.code, 4);
        assert_eq!(by_key.run("customers list --organization acme").await.code, 3);
    }

    async fn webhooks_and_apps_live_and_die_by_hand(server: Server) {
        let organization = server.new_organization().await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let webhook = shell.run("webhooks create --url https://example.com/hook --events customer.created,customer.deleted").await;
        assert!(webhook.field("secret").starts_with("whsec_"));
        let id = webhook.field("id");
        assert!(shell.run("webhooks list").await.out.contains(&id));
        assert_eq!(shell.run(&format!("webhooks test {id}")).await.code, 0);
        assert!(shell.run(&format!("webhooks deliveries {id}")).await.out.contains("webhook.test"));
        assert!(!shell.run(&format!("webhooks show {id}")).await.out.contains("whsec_"));
        assert_eq!(shell.run(&format!("webhooks delete {id} --yes {id} --wait")).await.field("state"), "completed");
        assert_eq!(shell.run(&format!("webhooks show {id}")).await.code, 4);

        let app = shell.run("apps create --name Integration --scopes read:customers").await;
        let client = app.field("client id");
        assert!(!app.field("client secret").is_empty());
        assert!(shell.run("apps list").await.out.contains(&client));
        assert_eq!(shell.run(&format!("apps delete {client} --yes {client} --wait")).await.field("state"), "completed");
        assert_eq!(shell.run(&format!("apps show {client}")).await.code, 4);
    }

    async fn an_organization_is_changed_archived_and_handed_over_by_hand(server: Server) {
        let organization = server.new_organization().await;
        let slug = &organization.slug;
        let (other, member) = server.new_member(&organization, "member").await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token).with("FREEHOLD_ORGANIZATION", slug);
        assert_eq!(shell.run(&format!("organizations update {slug} --name Renamed --logo https://example.com/l.png")).await.field("name"), "Renamed");
        let cleared = shell.run(&format!("organizations update {slug} --logo= --json")).await.json();
        assert_eq!((&cleared["logo"], &cleared["name"]), (&json!(null), &json!("Renamed")));
        assert!(!shell.run(&format!("organizations archive {slug}")).await.field("archived at").is_empty());
        assert_eq!(shell.run(&format!("organizations update {slug} --name Again")).await.code, 5);
        assert_eq!(shell.run(&format!("organizations unarchive {slug}")).await.code, 0);

        assert_eq!(shell.run(&format!("members role {member} admin")).await.field("role"), "admin");
        let invited = shell.run("members invite --email guest@example.com").await;
        assert_eq!(shell.run("invites list --json").await.json()["data"][0]["status"], "pending");
        let guest = Shell::new(&server);
        guest.sign_in("guest@example.com").await;
        let accepted = guest.run_with("invites accept", &format!("{}\n", invited.field("token"))).await;
        assert!(shell.run("members list").await.out.contains(&accepted.field("member id")));
        let again = shell.run("members invite --email another@example.com").await.field("id");
        assert_eq!(shell.run(&format!("invites cancel {again} --validate-only")).await.field("root"), "invitation");
        assert!(!shell.run(&format!("invites cancel {again}")).await.field("deletion id").is_empty());
        assert_eq!(shell.run("invites list --json").await.json()["data"][0]["status"], "cancelled");

        assert_eq!(shell.run(&format!("organizations transfer {slug} --to {member}")).await.code, 0);
        assert_eq!(shell.run(&format!("organizations archive {slug}")).await.code, 3);
        assert_eq!(Shell::new(&server).with("FREEHOLD_TOKEN", &other.token).run(&format!("organizations archive {slug}")).await.code, 0);
    }

    async fn customers_and_what_they_own_are_changed_by_hand(server: Server) {
        let organization = server.new_organization().await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        shell.run("customers create --name Ada --email ada@example.com --id user1 --metadata plan=gold --metadata from=web").await;
        let line = "customers update user1 --name Grace --phone 123 --metadata plan=silver --metadata from= --address city=London --json";
        let changed = shell.run(line).await.json();
        assert_eq!((&changed["name"], &changed["email"], &changed["phone"]), (&json!("Grace"), &json!("ada@example.com"), &json!("123")));
        assert_eq!((&changed["metadata"], &changed["address"]), (&json!({"plan": "silver"}), &json!({"city": "London"})));
        assert_eq!(shell.run("customers update user1 --phone= --json").await.json()["phone"], json!(null));
        assert_eq!(shell.run("customers update user1").await.code, 2);
        assert_eq!(shell.run("customers update user1 --metadata plan").await.code, 2);
        assert!(!shell.run("customers extend user1 --credits 2").await.field("expires at").is_empty());

        let device = shell.run("records create devices --customer user1 --data {\"name\":\"Laptop\"}").await.field("id");
        let line = format!("records update devices {device} --customer user1 --data {{\"platform\":\"linux\"}}");
        assert_eq!(shell.run(&line).await.field("platform"), "linux");
        assert_eq!(shell.run(&format!("records show devices {device} --customer user1")).await.field("name"), "Laptop");
        assert!(shell.run("records list devices --customer user1").await.out.contains("Laptop"));
        assert_eq!(shell.run("records list devices").await.code, 2);
        assert_eq!(shell.run("records create devices --customer user1 --data Laptop").await.code, 2);
    }

    async fn keys_and_users_are_changed_by_hand(server: Server) {
        let organization = server.new_organization().await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let made = shell.run("keys create --name Import --rate-limit-per-minute 600 --allowed-ips 127.0.0.0/8,10.0.0.1 --json").await.json();
        assert_eq!((&made["rateLimitPerMinute"], &made["allowedIps"]), (&json!(600), &json!(["127.0.0.0/8", "10.0.0.1"])));
        let by_key = Shell::new(&server).with("FREEHOLD_API_KEY", made["key"].as_str().unwrap());
        assert_eq!(by_key.run("keys validate --json").await.json()["valid"], true);
        let key = made["id"].as_str().unwrap();
        assert_eq!(shell.run(&format!("keys update {key} --active false --json")).await.json()["isActive"], false);
        assert_eq!(by_key.run("keys validate").await.code, 3);

        assert_eq!(shell.run("users update-me --name Ada").await.field("name"), "Ada");
        let passwords = format!("{PASSWORD}\na password of another kind\n");
        assert_eq!(shell.run_with("users password", &passwords).await.code, 0);
        let line = format!("sign-in --email {}", organization.owner.email);
        assert_eq!(Shell::new(&server).run_with(&line, "a password of another kind\n").await.code, 0);
    }

    async fn json_is_one_document_as_the_server_wrote_it(server: Server) {
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token).with("FREEHOLD_ORGANIZATION", &organization.slug);
        for line in ["organizations list", "members list", "customers list", "keys list", "webhooks list", "apps list", "deletions list", "audit tail"] {
            assert!(shell.run(&format!("{line} --json")).await.json()["data"].is_array(), "{line}");
        }
        let path = format!("/api/organizations/{}", organization.id);
        for (line, path) in [(format!("organizations show {}", organization.slug), path.clone()), (format!("customers show {customer}"), format!("{path}/customers/{customer}"))] {
            let record = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
            assert_eq!(shell.run(&format!("{line} --json")).await.json(), record);
        }
        let deleted = shell.run(&format!("customers delete {customer} --hard --yes {customer} --json")).await.json();
        let watched = shell.run(&format!("deletions watch {} --json", deleted["deletionId"].as_str().unwrap())).await.json();
        assert_eq!((&watched["root"], &watched["state"]), (&json!("customer"), &json!("completed")));
    }

    async fn lists_are_read_to_their_end_or_their_limit(server: Server) {
        let organization = server.new_organization().await;
        for number in 0..103 {
            let body = json!({"id": format!("customer{number}"), "name": "Ada Lovelace", "email": "ada@example.com"});
            let request = server.request(Method::POST, &format!("/api/organizations/{}/customers", organization.id));
            expect(request.bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
        }
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let count = async |line: &str| shell.run(line).await.json()["data"].as_array().unwrap().len();
        assert_eq!(count("customers list --json").await, 103);
        assert_eq!(count("customers list --json --limit 101").await, 101);
        assert_eq!(count("customers list --json --limit 2").await, 2);
        assert_eq!(count("customers list --json --q customer10").await, 4);
        assert_eq!(count("audit tail --json --limit 102").await, 102);
    }

    async fn a_command_repeated_under_the_same_name_does_nothing_twice(server: Server) {
        let organization = server.new_organization().await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let line = "keys create --name Import --idempotency-key 2f1c1b9e";
        let (first, second) = (shell.run(line).await, shell.run(line).await);
        assert_eq!(first.field("key"), second.field("key"));
        assert_eq!(shell.run("keys list --json").await.json()["data"].as_array().unwrap().len(), 1);
    }
}
