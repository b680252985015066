//! Organizations whose owners are gone or cannot sign in, and people who forgot their password: what operators do for them, and what they
//! cannot do.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::client::Shell;
use crate::on_both_engines;
use crate::support::{Engine, PASSWORD, Person, Server, expect};
use crate::tools::{answered, change_database, deleted, entries, new_customer, refused};

const SERVER_TRAIL: &str = "/api/organizations/00000000-0000-0000-0000-000000000000/audit";

fn recovering(server: &Server, organization: &str, email: &str, token: &str) -> RequestBuilder {
    let request = server.request(Method::POST, &format!("/api/organizations/{organization}/recover"));
    request.bearer_auth(token).json(&json!({"email": email, "reason": "the owner left"}))
}

async fn owner_of(server: &Server, organization: &str, token: &str) -> Json {
    expect(server.request(Method::GET, &format!("/api/organizations/{organization}")).bearer_auth(token), StatusCode::OK).await["ownerId"]
        .clone()
}

/// The entries of a trail with this action.
async fn told(server: &Server, path: &str, action: &str, operator: &Person) -> Vec<Json> {
    let all = entries(server, path, &operator.token).await;
    all.into_iter().filter(|entry| entry["action"] == action).collect()
}

/// Takes the organization's owners away behind the server's back: no request can.
async fn make_ownerless(server: &mut Server, organization: &str) {
    server.stop().await;
    let at =
        if server.engine == Engine::Sqlite { format!("unhex('{}')", organization.replace('-', "")) } else { format!("'{organization}'") };
    change_database(server, &format!("UPDATE members SET role = 'viewer' WHERE organization_id = {at}")).await;
    server.start_again().await;
}

on_both_engines! {
    async fn an_operator_makes_a_person_an_owner_and_both_trails_tell_of_it(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        let (member, _) = server.new_member(&organization, "viewer").await;
        let outsider = server.new_person().await;
        let id = organization.id.as_str();
        for token in [&organization.owner.token, &member.token, &outsider.token] {
            refused(recovering(&server, id, &outsider.email, token), StatusCode::FORBIDDEN).await;
        }
        for (email, reason) in [("nobody@example.com", "why"), ("no address", "why"), (outsider.email.as_str(), " ")] {
            let request = server.request(Method::POST, &format!("/api/organizations/{id}/recover")).bearer_auth(&operator.token);
            refused(request.json(&json!({"email": email, "reason": reason})), StatusCode::BAD_REQUEST).await;
        }
        let stale = recovering(&server, id, &member.email, &operator.token).header("If-Match", "\"0-0\"");
        refused(stale, StatusCode::PRECONDITION_FAILED).await;
        answered(recovering(&server, id, &member.email.to_uppercase(), &operator.token), StatusCode::OK).await;
        answered(recovering(&server, &organization.slug, &outsider.email, &operator.token), StatusCode::OK).await;
        refused(recovering(&server, id, &outsider.email, &operator.token), StatusCode::CONFLICT).await;
        // They are what they are from the answer on, and so is who was an owner before.
        for person in [&member, &outsider, &organization.owner] {
            let change = server.request(Method::PUT, &format!("/api/organizations/{id}")).bearer_auth(&person.token);
            expect(change.json(&json!({"name": format!("Of {}", person.email)})), StatusCode::OK).await;
        }
        for path in [SERVER_TRAIL.to_owned(), format!("/api/organizations/{id}/audit")] {
            let found = told(&server, &path, "organization.recover", &operator).await;
            let done: Vec<&Json> = found.iter().filter(|entry| entry["outcome"] == "done").collect();
            assert_eq!(done.len(), 2, "{found:?}");
            for entry in done {
                assert_eq!((&entry["actor"], &entry["reason"], &entry["subjectId"]), (&json!("operator"), &json!("the owner left"), &json!(id)));
                assert!(entry["detail"].as_str().unwrap().contains("is an owner"), "{entry}");
            }
        }
    }

    async fn an_organization_without_an_owner_is_found_and_given_one_or_deleted_by_an_operator(server: Server) {
        let mut server = server;
        let (kept, doomed) = (server.new_organization().await, server.new_organization().await);
        new_customer(&server, &doomed, "user123", None).await;
        // Of two owners each needs the other's approval.
        server.new_member(&doomed, "owner").await;
        let asked = json!({"organization": {"reasonRequired": false, "confirmationRequired": false, "approvalRequired": true, "graceDays": 0}});
        let requirements = server.request(Method::PUT, &format!("/api/organizations/{}/deletion-requirements", doomed.id));
        expect(requirements.bearer_auth(&doomed.owner.token).json(&asked), StatusCode::OK).await;
        let operator = server.new_operator().await;
        let deleting = |server: &Server, id: &str, query: &str| {
            server.request(Method::DELETE, &format!("/api/organizations/{id}{query}")).bearer_auth(&operator.token)
        };
        // One that has an owner is the owner's.
        refused(deleting(&server, &doomed.id, "?reason=why"), StatusCode::FORBIDDEN).await;
        make_ownerless(&mut server, &kept.id).await;
        make_ownerless(&mut server, &doomed.id).await;
        server.stop().await;
        let (code, out, _) = server.doctor(&[]).await;
        assert!(code == 1 && out.contains("FOUND    owners") && out.contains(&kept.slug) && out.contains("freehold organizations recover"), "{out}");
        server.start_again().await;
        let operator = Person { token: server.sign_in(&operator.email, None).await, ..operator };
        let deleting = |query: &str| {
            server.request(Method::DELETE, &format!("/api/organizations/{}{query}", doomed.id)).bearer_auth(&operator.token)
        };
        let plan = server.request(Method::GET, &format!("/api/organizations/{}/deletion-plan", doomed.id)).bearer_auth(&operator.token);
        assert_eq!(expect(plan, StatusCode::OK).await["blockers"], json!([]));
        let answer = refused(deleting(""), StatusCode::BAD_REQUEST).await;
        assert_eq!(answer["errors"][0]["field"], "reason", "{answer}");
        let deletion = deleted(deleting("?reason=no+one+is+left"), StatusCode::NO_CONTENT).await;
        let receipt = server.wait_for_completion(&deletion, &operator.token).await;
        assert_eq!((&receipt["reason"], &receipt["state"]), (&json!("no one is left"), &json!("completed")), "{receipt}");
        let found = told(&server, &format!("/api/organizations/{}/audit", doomed.id), "organization.delete", &operator).await;
        assert!(found.iter().any(|entry| entry["outcome"] == "done" && entry["actor"] == "operator" && entry["reason"] == "no one is left"), "{found:?}");

        assert_eq!(owner_of(&server, &kept.id, &operator.token).await, Json::Null);
        let shell = Shell::new(&server);
        shell.run_with(&format!("sign-in --email {}", operator.email), &format!("{PASSWORD}\n")).await;
        let said = shell.run(&format!("organizations recover {} --owner {} --reason moved --json", kept.slug, kept.owner.email)).await.json();
        assert!(said["ownerId"].is_string(), "{said}");
        let token = server.sign_in(&kept.owner.email, None).await;
        deleted(server.request(Method::DELETE, &format!("/api/organizations/{}", kept.id)).bearer_auth(&token), StatusCode::NO_CONTENT).await;
    }
}

on_both_engines! {
    async fn a_forgotten_password_is_replaced_while_no_server_runs_and_every_session_ends(engine: Engine) {
        // Tokens are good for one address.
        let mut server = Server::start(engine, &["--public-url=http://freehold.example"]).await;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        let owner = organization.owner.clone();
        let setting = ["operators", "set-password", "--email", &owner.email];
        let (code, _, words) = server.command_with(&setting, "another long password\n").await;
        assert!(code == 1 && words.contains("another freehold"), "{words}");
        server.stop().await;
        for (email, password, because) in
            [(owner.email.as_str(), "password1\n", "password"), ("nobody@example.com", "another long password\n", "not found")]
        {
            let (code, out, words) = server.command_with(&["operators", "set-password", "--email", email], password).await;
            assert!(code == 1 && out.is_empty() && words.contains(because), "{words}");
        }
        let (code, out, words) = server.command_with(&setting, "another long password\n").await;
        assert!(code == 0 && out.contains("new password") && !out.contains("another long"), "{words}");
        server.start_again().await;
        let with_the_old_session = server.request(Method::GET, "/api/users/me").bearer_auth(&owner.token);
        assert_eq!(with_the_old_session.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        let signing_in = |password: &str| {
            server.request(Method::POST, "/api/auth/sign-in").json(&json!({"email": owner.email, "password": password}))
        };
        assert_eq!(signing_in(PASSWORD).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        let signed_in = expect(signing_in("another long password"), StatusCode::OK).await;
        let token = signed_in["access_token"].as_str().unwrap();
        deleted(server.request(Method::DELETE, &format!("/api/organizations/{}", organization.id)).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let operator = Person { token: server.sign_in(&operator.email, None).await, ..operator };
        let found = told(&server, SERVER_TRAIL, "user.reset_password", &operator).await;
        assert!(found.len() == 1 && found[0]["actor"] == "system", "{found:?}");
    }
}
