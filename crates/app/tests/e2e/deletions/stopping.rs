//! A purge that is stopped: who may stop it, what becomes of customers it had not reached, and what cannot be stopped.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use super::purges::{ids, items, left, listed, populate};
use crate::client::Shell;
use crate::on_both_engines;
use crate::requirements::ask;
use crate::support::{Engine, Organization, Server, expect};
use crate::tools::{Cast, OTHER_ROLES, change_database, deleted, entries, new_customer, refused};

/// From here on no worker works on a purge before [`let_go`], as if the one that had taken it were gone.
async fn hold_up(server: &Server) {
    let trigger = match server.engine {
        Engine::Sqlite => {
            "CREATE TRIGGER hold_up AFTER INSERT ON deletions WHEN NEW.root = 'customer_purge'
             BEGIN UPDATE deletions SET lease_until = 9000000000000000 WHERE id = NEW.id; END;"
        }
        Engine::Postgresql => {
            "CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN NEW.lease_until = now() + interval '1 day'; RETURN NEW; END $$;
             CREATE TRIGGER hold_up BEFORE INSERT ON deletions FOR EACH ROW WHEN (NEW.root = 'customer_purge') EXECUTE FUNCTION hold_up();"
        }
    };
    change_database(server, trigger).await;
}

async fn let_go(server: &Server) {
    change_database(server, "UPDATE deletions SET lease_until = NULL WHERE root = 'customer_purge'").await;
}

async fn ordered(server: &Server, organization: &Organization, token: &str, list: &str) -> String {
    let record = expect(listed(server, organization, "?force=true", token, list), StatusCode::ACCEPTED).await;
    record["id"].as_str().unwrap().to_owned()
}

fn stop(server: &Server, deletion: &str, token: &str) -> RequestBuilder {
    server.request(Method::POST, &format!("/api/deletions/{deletion}/stop")).bearer_auth(token)
}

on_both_engines! {
    async fn those_who_may_purge_and_read_this_purge_stop_it_and_so_do_operators(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let cast = Cast::assemble(&server).await;
        let organization = &cast.organization;
        let owner = &organization.owner.token;
        populate(&server, organization, &ids(0..3), json!({})).await;
        hold_up(&server).await;
        let list = ids(0..3).join("\n");
        let mut stopped = Vec::new();
        for role in OTHER_ROLES {
            let id = ordered(&server, organization, owner, &list).await;
            match role {
                "admin" => assert!(expect(stop(&server, &id, cast.token(role)), StatusCode::OK).await["stoppedAt"].is_string()),
                // Who cannot read the deletion does not learn that there is one.
                _ => drop(refused(stop(&server, &id, cast.token(role)), StatusCode::NOT_FOUND).await),
            }
            refused(stop(&server, &id, &cast.outsider.token), StatusCode::NOT_FOUND).await;
            expect(stop(&server, &id, &operator.token), StatusCode::OK).await;
            stopped.push(id);
        }
        for role in ["master", "reseller", "member"] {
            let id = ordered(&server, organization, cast.token(role), &list).await;
            expect(stop(&server, &id, cast.token(role)), StatusCode::OK).await;
            stopped.push(id);
        }
        // Who ordered it, and may do nothing of the kind any more, sees it and no more.
        let id = ordered(&server, organization, cast.token("member"), &list).await;
        let path = format!("/api/organizations/{}/members/{}/role", organization.id, cast.member("member"));
        expect(server.request(Method::PUT, &path).bearer_auth(owner).json(&json!({"role": "viewer"})), StatusCode::OK).await;
        refused(stop(&server, &id, cast.token("member")), StatusCode::FORBIDDEN).await;
        expect(stop(&server, &id, owner), StatusCode::OK).await;
        stopped.push(id);

        let_go(&server).await;
        for id in &stopped {
            let completed = server.wait_for_completion(id, owner).await;
            assert_eq!((&completed["counts"], completed["stoppedAt"].is_string()), (&json!({"stopped": 3}), true));
        }
        assert_eq!(left(&server, organization).await, ids(0..3));
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), owner).await;
        let stops = |outcome: &str, actor: &str| {
            let of = |entry: &&Json| entry["action"] == "customers.stop_purge" && entry["outcome"] == outcome && entry["actor"] == actor;
            trail.iter().filter(of).count()
        };
        assert_eq!((stops("done", "operator"), stops("done", "user"), stops("refused", "user")), (OTHER_ROLES.len() - 1, 5, 1));
    }

    async fn a_customer_that_a_stopped_purge_had_not_reached_is_named_and_can_be_purged_again(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        populate(&server, &organization, &ids(0..20), json!({})).await;
        hold_up(&server).await;
        let list = format!("{}\nnobody\ncustomer-000", ids(0..20).join("\n"));
        let id = ordered(&server, &organization, token, &list).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", token);
        let said = shell.run(&format!("deletions stop {id} --json")).await.json();
        let again = expect(stop(&server, &id, token), StatusCode::OK).await;
        assert_eq!((&again["stoppedAt"], &again["state"]), (&said["stoppedAt"], &json!("closed")));
        let_go(&server).await;
        let completed = server.wait_for_completion(&id, token).await;
        assert_eq!(completed["counts"], json!({"stopped": 20, "not_found": 1, "repeated": 1}));
        let stopped = items(&server, &completed, "&outcome=stopped", token).await;
        let named: Vec<&str> = stopped.iter().map(|item| item["customerId"].as_str().unwrap()).collect();
        assert_eq!(named, ids(0..20));
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        let stops: Vec<&Json> = trail.iter().filter(|entry| entry["action"] == "customers.stop_purge").collect();
        assert_eq!((stops.len(), &stops[0]["detail"], &stops[0]["deletionId"]), (1, &json!("after 0 customers"), &json!(id)));
        let shown = shell.run(&format!("deletions items {id} --outcome stopped")).await;
        assert!(shown.code == 0 && shown.out.contains("customer-019"), "{shown:?}");

        change_database(&server, match server.engine {
            Engine::Sqlite => "DROP TRIGGER hold_up",
            Engine::Postgresql => "DROP TRIGGER hold_up ON deletions",
        }).await;
        let id = ordered(&server, &organization, token, &list).await;
        assert_eq!(server.wait_for_completion(&id, token).await["counts"], json!({"deleted": 20, "not_found": 1, "repeated": 1}));
        assert!(left(&server, &organization).await.is_empty());
    }

    async fn what_cannot_be_stopped_says_what_can_be_done(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let purge = ordered(&server, &organization, token, "nobody").await;
        server.wait_for_completion(&purge, token).await;
        let remove = async |customer: &str| {
            new_customer(&server, &organization, customer, None).await;
            let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
            deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await
        };
        let completed = remove("completed").await;
        ask(&server, &organization, json!({"customer": {"graceDays": 30}})).await;
        let reversible = remove("reversible").await;
        for (id, words) in [
            (&purge, "It is completed"),
            (&completed, "Only a purge can be stopped, and this deletion is over."),
            (&reversible, "POST /api/deletions/{id}/restore takes it back."),
        ] {
            let problem = refused(stop(&server, id, token), StatusCode::CONFLICT).await;
            assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
        }
        refused(stop(&server, &organization.id, token), StatusCode::NOT_FOUND).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", token);
        let said = shell.run(&format!("deletions stop {reversible}")).await;
        assert!(said.code != 0 && said.err.contains("Only a purge"), "{said:?}");
    }
}
