//! Deleting one's own account: everything that lets the person in ends with the answer, nothing is left without an owner, and what others
//! have stays whole.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, PASSWORD, Person, Server, expect};
use crate::tools::{Credential, Session, answered, change_database, deleted, entries, new_customer, refused};

fn deletion_of(server: &Server, person: &Person) -> RequestBuilder {
    server.request(Method::DELETE, "/api/users/me").bearer_auth(&person.token)
}

async fn members_of(server: &Server, organization: &Organization) -> Vec<Json> {
    entries(server, &format!("/api/organizations/{}/members", organization.id), &organization.owner.token).await
}

/// Copies every session of everybody so often.
async fn copy_sessions(server: &Server, times: usize) {
    let columns = "user_id, organization_id, member_id";
    let copies = match server.engine {
        Engine::Sqlite => format!(
            "WITH RECURSIVE copies(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM copies WHERE number < {times})
             INSERT INTO sessions (id, {columns}, cookie_hash, refresh_hash, created_at, expires_at)
             SELECT randomblob(16), {columns}, randomblob(32), randomblob(32), created_at, expires_at FROM sessions, copies"
        ),
        Engine::Postgresql => format!(
            "INSERT INTO sessions (id, {columns}, cookie_hash, refresh_hash, created_at, expires_at)
             SELECT gen_random_uuid(), {columns}, uuid_send(gen_random_uuid()), uuid_send(gen_random_uuid()), created_at, expires_at
             FROM sessions, generate_series(1, {times})"
        ),
    };
    change_database(server, &copies).await;
}

on_both_engines! {
    async fn nothing_of_a_deleted_account_opens_anything(server: Server) {
        let (first, second) = (server.new_organization().await, server.new_organization().await);
        let person = server.new_person().await;
        server.add_member(&first, &person, "admin").await;
        server.add_member(&second, &person, "member").await;
        let (_, key) = server.new_api_key(&first, &person.token, &["read:organization"]).await;
        let app = server.new_oauth_app(&first, &person.token, &["read:organization"]).await;
        let token = server.new_oauth_token(&app).await;
        let (free, bound) = (Session::begin(&server, &person.email, None).await, Session::begin(&server, &person.email, Some(&second.slug)).await);
        let of = |organization: &Organization| format!("/api/organizations/{}", organization.id);
        let doors = [
            (Credential::Bearer(person.token.clone()), of(&first)),
            (Credential::Bearer(free.token.clone()), of(&second)),
            (Credential::Cookie(free.cookie.clone()), of(&first)),
            (Credential::Bearer(bound.token.clone()), of(&second)),
            (Credential::Cookie(bound.cookie.clone()), of(&second)),
            (Credential::Key(key), of(&first)),
            (Credential::Bearer(token.access), of(&first)),
        ];
        for (credential, path) in &doors {
            answered(credential.on(server.request(Method::GET, path)), StatusCode::OK).await;
        }
        let answer = answered(deletion_of(&server, &person), StatusCode::NO_CONTENT).await;
        assert!(answer.headers()["set-cookie"].to_str().unwrap().starts_with("sessionid=;"));
        for (credential, path) in &doors {
            refused(credential.on(server.request(Method::GET, path)), StatusCode::UNAUTHORIZED).await;
        }
        for session in [free, bound] {
            refused(session.refresh(&server), StatusCode::UNAUTHORIZED).await;
        }
        let body = json!({"email": person.email, "password": PASSWORD});
        refused(server.request(Method::POST, "/api/auth/sign-in").json(&body), StatusCode::UNAUTHORIZED).await;
        for organization in [&first, &second] {
            assert!(members_of(&server, organization).await.iter().all(|member| member["email"] != person.email.as_str()));
        }
    }

    async fn the_address_is_free_again_and_leads_to_nothing_of_before(server: Server) {
        let organization = server.new_organization().await;
        let person = server.new_person().await;
        server.add_member(&organization, &person, "admin").await;
        answered(deletion_of(&server, &person), StatusCode::NO_CONTENT).await;
        let body = json!({"email": person.email, "password": PASSWORD});
        answered(server.request(Method::POST, "/api/auth/sign-up").json(&body), StatusCode::ACCEPTED).await;
        let token = server.sign_in(&person.email, None).await;
        let mine = entries(&server, "/api/organizations", &token).await;
        assert_eq!(mine, Vec::<Json>::new());
    }

    async fn what_others_have_stays_and_no_longer_points_at_the_person(server: Server) {
        let organization = server.new_organization().await;
        let person = server.new_person().await;
        let member = server.add_member(&organization, &person, "master").await;
        new_customer(&server, &organization, "kept", Some(&member)).await;
        answered(deletion_of(&server, &person), StatusCode::NO_CONTENT).await;
        let path = format!("/api/organizations/{}/customers/kept", organization.id);
        let kept = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        assert_eq!((&kept["name"], &kept["managedBy"]), (&json!("Ada Lovelace"), &Json::Null));
        let deletions = entries(&server, "/api/deletions", &organization.owner.token).await;
        let removal = deletions.iter().find(|deletion| deletion["root"] == "member").unwrap();
        assert_eq!((&removal["subjectId"], &removal["state"]), (&json!(member), &json!("completed")));
    }

    async fn a_sole_owner_is_told_of_every_such_organization_at_once(server: Server) {
        let person = server.new_person().await;
        let (alone, another) = (server.found_organization(&person).await, server.found_organization(&person).await);
        let shared = server.found_organization(&person).await;
        let (heir, heir_member) = server.new_member(&alone, "admin").await;
        server.add_member(&shared, &heir, "owner").await;
        let refusal = refused(deletion_of(&server, &person), StatusCode::CONFLICT).await;
        let mut named: Vec<&str> = refusal["blockers"].as_array().unwrap().iter().map(|blocker| blocker["id"].as_str().unwrap()).collect();
        named.sort_unstable();
        let mut expected = [alone.id.as_str(), another.id.as_str()];
        expected.sort_unstable();
        assert_eq!(named, expected);
        assert_eq!((&refusal["blockers"][0]["code"], &refusal["blockers"][0]["kind"]), (&json!("last_owner"), &json!("organization")));
        // Nothing has happened to any of them.
        assert_eq!(entries(&server, "/api/organizations", &person.token).await.len(), 3);
        let transfer = server.request(Method::POST, &format!("/api/organizations/{}/transfer", alone.id)).bearer_auth(&person.token);
        answered(transfer.json(&json!({"memberId": heir_member})), StatusCode::OK).await;
        let delete = server.request(Method::DELETE, &format!("/api/organizations/{}", another.id)).bearer_auth(&person.token);
        deleted(delete, StatusCode::NO_CONTENT).await;
        answered(deletion_of(&server, &person), StatusCode::NO_CONTENT).await;
        for organization in [&alone, &shared] {
            let members = entries(&server, &format!("/api/organizations/{}/members", organization.id), &heir.token).await;
            assert_eq!(members.len(), 1, "{members:?}");
        }
    }

    async fn an_account_is_deleted_as_planned_or_not_at_all(server: Server) {
        let organization = server.new_organization().await;
        let person = server.new_person().await;
        server.add_member(&organization, &person, "admin").await;
        let look = |path: &str, method: Method| server.request(method, path).bearer_auth(&person.token);
        let plan = expect(look("/api/users/me/deletion-plan", Method::GET), StatusCode::OK).await;
        let seen = expect(look("/api/users/me?validate_only=true", Method::DELETE), StatusCode::OK).await;
        assert_eq!(plan, seen);
        let rows = |table: &str| plan["tables"].as_array().unwrap().iter().find(|one| one["table"] == table).unwrap()["rows"].clone();
        assert_eq!((rows("members"), rows("users"), &plan["blockers"]), (json!(1), json!(1), &json!([])));
        let bound = format!("/api/users/me?plan={}", plan["plan"].as_str().unwrap());
        let mine = server.found_organization(&person).await;
        let plan = expect(look("/api/users/me/deletion-plan", Method::GET), StatusCode::OK).await;
        assert_eq!(plan["blockers"][0]["call"], json!({"method": "POST", "path": format!("/api/organizations/{}/transfer", mine.id)}));
        deleted(look(&format!("/api/organizations/{}", mine.id), Method::DELETE), StatusCode::NO_CONTENT).await;
        let another = server.new_organization().await;
        server.add_member(&another, &person, "member").await;
        let drifted = answered(look(&bound, Method::DELETE), StatusCode::PRECONDITION_FAILED).await.json::<Json>().await.unwrap();
        assert_eq!(drifted["drift"], json!([{"table": "members", "planned": 1, "now": 2}]));
        let plan = expect(look("/api/users/me/deletion-plan", Method::GET), StatusCode::OK).await;
        let bound = format!("/api/users/me?plan={}", plan["plan"].as_str().unwrap());
        deleted(look(&bound, Method::DELETE), StatusCode::NO_CONTENT).await;
        refused(look("/api/users/me", Method::GET), StatusCode::UNAUTHORIZED).await;
    }

    async fn who_is_held_keeps_the_account_until_the_release(server: Server) {
        let organization = server.new_organization().await;
        let (person, member) = server.new_member(&organization, "admin").await;
        let holds = format!("/api/organizations/{}/members/{member}/holds", organization.id);
        let owner = &organization.owner.token;
        let place = server.request(Method::POST, &holds).bearer_auth(owner).json(&json!({"reason": "A dispute"}));
        let hold = expect(place, StatusCode::CREATED).await;
        let refusal = refused(deletion_of(&server, &person), StatusCode::CONFLICT).await;
        assert_eq!((&refusal["blockers"][0]["code"], &refusal["blockers"][0]["id"]), (&json!("legal_hold"), &hold["id"]));
        let release = format!("/api/organizations/{}/holds/{}/release", organization.id, hold["id"].as_str().unwrap());
        let release = server.request(Method::POST, &release).bearer_auth(owner).json(&json!({"reason": "Settled"}));
        answered(release, StatusCode::OK).await;
        deleted(deletion_of(&server, &person), StatusCode::NO_CONTENT).await;
    }

    async fn only_the_person_who_has_just_signed_in_can_do_it(server: Server) {
        let organization = server.new_organization().await;
        let person = server.new_person().await;
        server.add_member(&organization, &person, "admin").await;
        let (_, key) = server.new_api_key(&organization, &person.token, &["admin:all"]).await;
        let bound = server.sign_in(&person.email, Some(&organization.slug)).await;
        refused(server.request(Method::DELETE, "/api/users/me"), StatusCode::UNAUTHORIZED).await;
        refused(server.request(Method::DELETE, "/api/users/me").header("X-API-Key", key), StatusCode::FORBIDDEN).await;
        refused(server.request(Method::DELETE, "/api/users/me").bearer_auth(bound), StatusCode::FORBIDDEN).await;
        let earlier = match server.engine {
            Engine::Sqlite => "UPDATE sessions SET created_at = created_at - 601000000",
            Engine::Postgresql => "UPDATE sessions SET created_at = created_at - interval '601 seconds'",
        };
        change_database(&server, earlier).await;
        let refusal = refused(deletion_of(&server, &person), StatusCode::FORBIDDEN).await;
        assert!(refusal["detail"].as_str().unwrap().starts_with("Sign in again"), "{refusal}");
        let token = server.sign_in(&person.email, None).await;
        answered(server.request(Method::DELETE, "/api/users/me").bearer_auth(token), StatusCode::NO_CONTENT).await;
    }

    async fn no_one_becomes_a_member_of_anything_while_their_account_goes(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner.token;
        let path = format!("/api/organizations/{}/members/invite", organization.id);
        for round in 0..20 {
            let person = server.new_person().await;
            let invite = server.request(Method::POST, &path).bearer_auth(owner).json(&json!({"email": person.email, "role": "admin"}));
            let token = expect(invite, StatusCode::CREATED).await["token"].clone();
            let accept = server.request(Method::POST, "/api/invites/accept").bearer_auth(&person.token).json(&json!({"token": token}));
            let body = json!({"name": "Founded in passing", "slug": format!("passing-{round}")});
            let found = server.request(Method::POST, "/api/organizations").bearer_auth(&person.token).json(&body);
            let (accepted, founded, gone) = tokio::join!(accept.send(), found.send(), deletion_of(&server, &person).send());
            let (accepted, founded, gone) = (accepted.unwrap().status(), founded.unwrap().status(), gone.unwrap().status());
            if gone == StatusCode::NO_CONTENT {
                let members = members_of(&server, &organization).await;
                assert_eq!(members.len(), 1, "round {round}: accepted with {accepted}: {members:?}");
                assert_eq!(founded, StatusCode::UNAUTHORIZED, "round {round}: an organization without an owner");
            } else {
                assert_eq!((founded, gone), (StatusCode::CREATED, StatusCode::CONFLICT), "round {round}");
                let members = members_of(&server, &organization).await;
                if let Some(member) = members.iter().find(|member| member["email"] == person.email.as_str()) {
                    let remove = format!("/api/organizations/{}/members/{}", organization.id, member["id"].as_str().unwrap());
                    deleted(server.request(Method::DELETE, &remove).bearer_auth(owner), StatusCode::NO_CONTENT).await;
                }
            }
        }
    }
}

on_both_engines! {
    async fn an_account_on_which_much_hangs_is_closed_at_once_and_goes_later(engine: Engine) {
        let mut server = Server::start(engine, &[]).await;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        let person = server.new_person().await;
        server.add_member(&organization, &person, "admin").await;
        let bound = Session::begin(&server, &person.email, Some(&organization.slug)).await;
        copy_sessions(&server, 700).await;
        let deletion = deleted(deletion_of(&server, &person), StatusCode::NO_CONTENT).await;
        refused(bound.refresh(&server), StatusCode::UNAUTHORIZED).await;
        refused(server.request(Method::GET, "/api/users/me").bearer_auth(&person.token), StatusCode::UNAUTHORIZED).await;
        assert_eq!(members_of(&server, &organization).await.len(), 1);
        let receipt = server.wait_for_completion(&deletion, &operator.token).await;
        assert_eq!((&receipt["root"], &receipt["organizationId"]), (&json!("user"), &json!("00000000-0000-0000-0000-000000000000")));
        assert!(receipt["counts"]["sessions"].as_i64().unwrap() > 700, "{receipt}");
        let found = entries(&server, "/api/deletions", &operator.token).await;
        assert!(found.iter().all(|deletion| deletion["state"] == "completed"));
        let body = json!({"email": person.email, "password": PASSWORD});
        answered(server.request(Method::POST, "/api/auth/sign-up").json(&body), StatusCode::ACCEPTED).await;
        server.sign_in(&person.email, None).await;
        server.stop().await;
        let (code, said, _) = server.doctor(&[]).await;
        assert_eq!(code, 0, "{said}");
    }
}
