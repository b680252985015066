//! Users: what they say about themselves, who may read it, and their password.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, PASSWORD, Server, expect, short};
use crate::tools::{Cast, Credential, Session, UNKNOWN_ID, answered, refused};

/// The user's id behind a token.
async fn id_of(server: &Server, token: &str) -> String {
    let me = expect(server.request(Method::GET, "/api/users/me").bearer_auth(token), StatusCode::OK).await;
    me["id"].as_str().unwrap().to_owned()
}

on_both_engines! {
    async fn a_user_changes_their_name_and_their_metadata_merges(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let change = |body: Json| server.request(Method::PATCH, "/api/users/me").bearer_auth(token).json(&body);
        let changed = expect(change(json!({"name": "Ada", "metadata": {"team": "red", "desk": "4"}})), StatusCode::OK).await;
        assert_eq!((&changed["name"], &changed["metadata"]), (&json!("Ada"), &json!({"team": "red", "desk": "4"})));
        let changed = expect(change(json!({"metadata": {"desk": "", "floor": "2"}})), StatusCode::OK).await;
        assert_eq!((&changed["name"], &changed["metadata"]), (&json!("Ada"), &json!({"team": "red", "floor": "2"})));
        assert_eq!(expect(server.request(Method::GET, "/api/users/me").bearer_auth(token), StatusCode::OK).await, changed);
        let who = expect(server.request(Method::GET, "/account/api/v1/whoami").bearer_auth(token), StatusCode::OK).await;
        assert_eq!(who["metadata"], changed["metadata"]);
        let members = format!("/account/api/v1/organizations/{}/members", short(&organization.id));
        let members = expect(server.request(Method::GET, &members).bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&members["data"][0]["user_name"], &members["data"][0]["user_metadata"]), (&json!("Ada"), &changed["metadata"]));
        let many: serde_json::Map<String, Json> = (0..49).map(|number| (format!("k{number}"), json!("v"))).collect();
        for body in [
            json!({"name": ""}),
            json!({"name": "x".repeat(101)}),
            json!({"metadata": []}),
            json!({"metadata": {"a": 1}}),
            json!({"metadata": many}),
            json!({"email": "other@example.com"}),
        ] {
            refused(change(body), StatusCode::BAD_REQUEST).await;
        }
        let (_, reads) = server.new_api_key(&organization, token, &["read:user"]).await;
        let (_, writes) = server.new_api_key(&organization, token, &["read:user", "write:user"]).await;
        let by = |key: &str| server.request(Method::PATCH, "/api/users/me").header("X-API-Key", key).json(&json!({"name": "Key"}));
        refused(by(&reads), StatusCode::FORBIDDEN).await;
        expect(by(&writes), StatusCode::OK).await;
    }

    async fn keys_that_are_written_at_once_are_all_kept(server: Server) {
        let person = server.new_person().await;
        let writes = (0..16).map(|number| {
            let body = json!({"metadata": {format!("k{number}"): "v"}});
            expect(server.request(Method::PATCH, "/api/users/me").bearer_auth(&person.token).json(&body), StatusCode::OK)
        });
        futures_util::future::join_all(writes).await;
        let me = expect(server.request(Method::GET, "/api/users/me").bearer_auth(&person.token), StatusCode::OK).await;
        assert_eq!(me["metadata"].as_object().unwrap().len(), 16);
    }

    async fn a_user_is_read_by_those_who_share_an_organization_and_may_list_its_members(server: Server) {
        let cast = Cast::assemble(&server).await;
        let viewer = id_of(&server, cast.token("viewer")).await;
        let path = format!("/api/users/{viewer}");
        for role in ["owner", "admin", "master", "member", "billing", "viewer"] {
            let read = expect(server.request(Method::GET, &path).bearer_auth(cast.token(role)), StatusCode::OK).await;
            assert_eq!(read, json!({"id": viewer, "email": cast.email("viewer"), "name": read["name"]}), "{role}");
        }
        // A reseller sees customers, not colleagues; but themselves.
        let reseller = cast.token("reseller");
        refused(server.request(Method::GET, &path).bearer_auth(reseller), StatusCode::NOT_FOUND).await;
        let own = format!("/api/users/{}", id_of(&server, reseller).await);
        answered(server.request(Method::GET, &own).bearer_auth(reseller), StatusCode::OK).await;
        refused(server.request(Method::GET, &path).bearer_auth(&cast.outsider.token), StatusCode::NOT_FOUND).await;
        refused(server.request(Method::GET, &format!("/api/users/{UNKNOWN_ID}")).bearer_auth(cast.token("owner")), StatusCode::NOT_FOUND)
            .await;
        refused(server.request(Method::GET, "/api/users/nobody").bearer_auth(cast.token("owner")), StatusCode::BAD_REQUEST).await;
        refused(server.request(Method::GET, &path), StatusCode::UNAUTHORIZED).await;
    }

    async fn a_credential_of_one_organization_knows_no_one_from_another(server: Server) {
        let (one, other) = (server.new_organization().await, server.new_organization().await);
        let (person, _) = server.new_member(&one, "admin").await;
        server.add_member(&other, &person, "admin").await;
        let path = format!("/api/users/{}", id_of(&server, &other.owner.token).await);
        answered(server.request(Method::GET, &path).bearer_auth(&person.token), StatusCode::OK).await;
        let bound = Session::begin(&server, &person.email, Some(&one.slug)).await;
        refused(server.request(Method::GET, &path).bearer_auth(&bound.token), StatusCode::NOT_FOUND).await;
        let (_, key) = server.new_api_key(&one, &person.token, &["read:user"]).await;
        refused(server.request(Method::GET, &path).header("X-API-Key", &key), StatusCode::NOT_FOUND).await;
        let (_, without) = server.new_api_key(&one, &person.token, &["read:members"]).await;
        refused(server.request(Method::GET, &path).header("X-API-Key", &without), StatusCode::FORBIDDEN).await;
        let list = format!("/api/organizations/{}/members", other.id);
        let members = expect(server.request(Method::GET, &list).bearer_auth(&other.owner.token), StatusCode::OK).await;
        let member = members["data"].as_array().unwrap().iter().find(|member| member["email"] == json!(person.email)).unwrap();
        answered(
            server.request(Method::DELETE, &format!("{list}/{}", member["id"].as_str().unwrap())).bearer_auth(&other.owner.token),
            StatusCode::NO_CONTENT,
        )
        .await;
        refused(server.request(Method::GET, &path).bearer_auth(&person.token), StatusCode::NOT_FOUND).await;
    }

    async fn a_new_password_ends_every_other_session_at_once(server: Server) {
        let organization = server.new_organization().await;
        let email = &organization.owner.email;
        let (own, other) = (Session::begin(&server, email, None).await, Session::begin(&server, email, Some(&organization.slug)).await);
        let stranger = server.new_person().await;
        let (_, key) = server.new_api_key(&organization, &own.token, &["read:user"]).await;
        let me = |credential: &Credential| credential.on(server.request(Method::GET, "/api/users/me"));
        let others = [
            Credential::Bearer(organization.owner.token.clone()),
            Credential::Bearer(other.token.clone()),
            Credential::Cookie(other.cookie.clone()),
        ];
        let kept = [Credential::Bearer(own.token.clone()), Credential::Cookie(own.cookie.clone()), Credential::Key(key)];
        // All of them are in memory.
        for credential in others.iter().chain(&kept) {
            answered(me(credential), StatusCode::OK).await;
        }
        let body = json!({"currentPassword": PASSWORD, "newPassword": "staple battery horse correct"});
        let change = server.request(Method::POST, "/api/users/me/password").bearer_auth(&own.token).json(&body);
        answered(change, StatusCode::NO_CONTENT).await;
        for credential in &others {
            refused(me(credential), StatusCode::UNAUTHORIZED).await;
        }
        refused(other.refresh(&server), StatusCode::UNAUTHORIZED).await;
        for credential in &kept {
            answered(me(credential), StatusCode::OK).await;
        }
        answered(own.refresh(&server), StatusCode::OK).await;
        answered(me(&Credential::Bearer(stranger.token)), StatusCode::OK).await;
        let sign_in = |password: &str| {
            server.request(Method::POST, "/api/auth/sign-in").json(&json!({"email": email, "password": password}))
        };
        refused(sign_in(PASSWORD), StatusCode::UNAUTHORIZED).await;
        answered(sign_in("staple battery horse correct"), StatusCode::OK).await;
    }

    async fn a_password_is_changed_by_those_who_know_it(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let change = |current: &str, new: &str| {
            let body = json!({"currentPassword": current, "newPassword": new});
            server.request(Method::POST, "/api/users/me/password").json(&body)
        };
        let problem = refused(change("wrong", "staple battery").bearer_auth(token), StatusCode::BAD_REQUEST).await;
        assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!("currentPassword"), &json!("wrong_password")));
        for new in ["short", &"x".repeat(129)] {
            let problem = refused(change(PASSWORD, new).bearer_auth(token), StatusCode::BAD_REQUEST).await;
            assert_eq!(problem["errors"][0]["field"], "newPassword");
        }
        let (_, key) = server.new_api_key(&organization, token, &["admin:all"]).await;
        refused(change(PASSWORD, "staple battery").header("X-API-Key", key), StatusCode::FORBIDDEN).await;
        refused(change(PASSWORD, "staple battery"), StatusCode::UNAUTHORIZED).await;
        server.sign_in(&organization.owner.email, None).await;
    }

    async fn of_many_sessions_that_change_the_password_at_once_one_does(server: Server) {
        let person = server.new_person().await;
        let mut sessions = Vec::new();
        for _ in 0..4 {
            sessions.push(Session::begin(&server, &person.email, None).await);
        }
        let changes = sessions.iter().enumerate().map(|(number, session)| {
            let body = json!({"currentPassword": PASSWORD, "newPassword": format!("new password {number}")});
            server.request(Method::POST, "/api/users/me/password").bearer_auth(&session.token).json(&body).send()
        });
        let statuses: Vec<StatusCode> =
            futures_util::future::join_all(changes).await.into_iter().map(|answer| answer.unwrap().status()).collect();
        let winner = statuses.iter().position(|status| *status == StatusCode::NO_CONTENT).unwrap();
        assert_eq!(statuses.iter().filter(|status| status.is_success()).count(), 1, "{statuses:?}");
        for (number, session) in sessions.iter().enumerate() {
            let status = if number == winner { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            answered(server.request(Method::GET, "/api/users/me").bearer_auth(&session.token), status).await;
        }
        let body = json!({"email": person.email, "password": format!("new password {winner}")});
        answered(server.request(Method::POST, "/api/auth/sign-in").json(&body), StatusCode::OK).await;
    }
}
