//! Access ends with the answer to the DELETE: on every surface, for every credential, and for no other.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::on_both_engines;
use crate::support::{Engine, Organization, Person, Server, expect, short};
use crate::tools::{Credential, Session, answered, deleted, refused};

/// Reads of one organization, on every surface and by every way to name it.
fn reads(server: &Server, organization: &Organization, customer: &str) -> Vec<RequestBuilder> {
    let (id, slug, short_id) = (&organization.id, &organization.slug, short(&organization.id));
    let paths = [
        format!("/api/organizations/{id}"),
        format!("/api/organizations/{slug}"),
        format!("/api/organizations/{short_id}/members"),
        format!("/api/organizations/{id}/customers/{customer}"),
        format!("/api/organizations/{id}/customers/{customer}/devices"),
        format!("/account/api/v1/organizations/{short_id}"),
        format!("/account/api/v1/organizations/{short_id}/members"),
        format!("/account/api/v1/organizations/{id}/api-keys"),
    ];
    let mut requests: Vec<RequestBuilder> = paths.iter().map(|path| server.request(Method::GET, path)).collect();
    requests.push(server.request(Method::GET, &format!("/customer/{customer}")).header("X-Organization", id));
    requests
}

/// The credentials that a person can have for one organization, each used once so that the server has them in memory.
struct Bound {
    session: Session,
    credentials: Vec<Credential>,
}

impl Bound {
    async fn make(server: &Server, organization: &Organization, person: &Person) -> Bound {
        let session = Session::begin(server, &person.email, Some(&organization.slug)).await;
        let (_, key) = server.new_api_key(organization, &person.token, &["admin:organization"]).await;
        let credentials = vec![Credential::Bearer(session.token.clone()), Credential::Cookie(session.cookie.clone()), Credential::Key(key)];
        let bound = Bound { session, credentials };
        bound.are_good(server, organization).await;
        bound
    }

    async fn are_good(&self, server: &Server, organization: &Organization) {
        for credential in &self.credentials {
            let request = server.request(Method::GET, &format!("/api/organizations/{}", organization.id));
            answered(credential.on(request), StatusCode::OK).await;
        }
    }

    /// Dead means 401, wherever they are presented, and a refresh token that gives nothing.
    async fn are_dead(&self, server: &Server, organization: &Organization, customer: &str) {
        for credential in &self.credentials {
            for request in reads(server, organization, customer) {
                refused(credential.on(request), StatusCode::UNAUTHORIZED).await;
            }
            refused(credential.on(server.request(Method::GET, "/api/users/me")), StatusCode::UNAUTHORIZED).await;
        }
        refused(self.session.refresh(server), StatusCode::UNAUTHORIZED).await;
    }
}

/// Names of the organizations that a token's owner is told about, on both surfaces that list them.
async fn listed(server: &Server, token: &str) -> Vec<Vec<String>> {
    let mut lists = Vec::new();
    for (path, members) in
        [("/api/organizations", "data"), ("/account/api/v1/organizations", "data"), ("/account/api/v1/whoami", "organizations")]
    {
        let body = expect(server.request(Method::GET, path).bearer_auth(token), StatusCode::OK).await;
        lists.push(body[members].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect());
    }
    lists
}

/// Makes a second organization for a person who has one already.
async fn another_of(server: &Server, owner: &Person) -> Organization {
    let slug = format!("another-{}", uuid::Uuid::new_v4().simple());
    let body = json!({"name": "Another", "slug": &slug});
    let made = expect(server.request(Method::POST, "/api/organizations").bearer_auth(&owner.token).json(&body), StatusCode::CREATED).await;
    Organization { id: made["id"].as_str().unwrap().to_owned(), slug, owner: owner.clone() }
}

on_both_engines! {
    async fn a_deleted_organization_is_gone_at_once_for_everybody_everywhere(server: Server) {
        let organization = server.new_organization().await;
        let (member, _) = server.new_member(&organization, "admin").await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        let owners = Bound::make(&server, &organization, &organization.owner).await;
        let members = Bound::make(&server, &organization, &member).await;
        for token in [&organization.owner.token, &member.token] {
            for request in reads(&server, &organization, &customer) {
                answered(request.bearer_auth(token), StatusCode::OK).await;
            }
        }
        let request = server.request(Method::DELETE, &format!("/api/organizations/{}", organization.id));
        deleted(request.bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        for token in [&organization.owner.token, &member.token] {
            for request in reads(&server, &organization, &customer) {
                refused(request.bearer_auth(token), StatusCode::NOT_FOUND).await;
            }
            assert!(listed(&server, token).await.iter().all(Vec::is_empty));
        }
        owners.are_dead(&server, &organization, &customer).await;
        members.are_dead(&server, &organization, &customer).await;
    }

    async fn nothing_can_be_put_into_a_deleted_organization(server: Server) {
        let organization = server.new_organization().await;
        let token = organization.owner.token.clone();
        let customer = server.new_customer(&organization, &token).await;
        let invited = server.new_person().await;
        let path = format!("/api/organizations/{}", organization.id);
        let invitation = json!({"email": invited.email, "role": "member"});
        let invite = || server.request(Method::POST, &format!("{path}/members/invite")).bearer_auth(&token).json(&invitation);
        let pending = expect(invite(), StatusCode::CREATED).await;
        deleted(server.request(Method::DELETE, &path).bearer_auth(&token), StatusCode::NO_CONTENT).await;

        refused(invite(), StatusCode::NOT_FOUND).await;
        let accept = server.request(Method::POST, "/api/invites/accept").json(&json!({"token": pending["token"]}));
        refused(accept.bearer_auth(&invited.token), StatusCode::NOT_FOUND).await;
        let writes = [
            ("customers".to_owned(), json!({"name": "Ada", "email": "ada@example.com"})),
            (format!("customers/{customer}/devices"), json!({"name": "Laptop"})),
            ("api-keys".to_owned(), json!({"name": "Late key"})),
        ];
        for (place, body) in writes {
            let request = server.request(Method::POST, &format!("{path}/{place}")).bearer_auth(&token).json(&body);
            refused(request, StatusCode::NOT_FOUND).await;
        }
        let sign_in = json!({"email": organization.owner.email, "password": crate::support::PASSWORD, "organization": organization.slug});
        refused(server.request(Method::POST, "/api/auth/sign-in").json(&sign_in), StatusCode::NOT_FOUND).await;
    }

    async fn a_request_that_was_still_arriving_is_refused_too(server: Server) {
        let organization = server.new_organization().await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["write:customers"]).await;
        let bound = Session::begin(&server, &organization.owner.email, Some(&organization.slug)).await;
        let mut arriving = Vec::new();
        for credential in [format!("X-API-Key: {key}"), format!("Authorization: Bearer {}", bound.token)] {
            let head = format!(
                "POST /api/organizations/{}/customers HTTP/1.1\r\nHost: localhost\r\n{credential}\r\n\
                 Content-Type: application/json\r\nContent-Length: 40\r\nConnection: close\r\n\r\n",
                organization.id
            );
            let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
            stream.write_all(format!("{head}{{\"name\":\"Ada\",").as_bytes()).await.unwrap();
            arriving.push(stream);
        }
        let request = server.request(Method::DELETE, &format!("/api/organizations/{}", organization.id));
        deleted(request.bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        for mut stream in arriving {
            stream.write_all(b"\"email\":\"ada@example.com\"}").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        }
    }

    async fn the_other_organizations_of_its_people_go_on(server: Server) {
        let doomed = server.new_organization().await;
        let other = another_of(&server, &doomed.owner).await;
        let bound = Bound::make(&server, &other, &doomed.owner).await;
        let customer = server.new_customer(&other, &doomed.owner.token).await;
        deleted(
            server.request(Method::DELETE, &format!("/api/organizations/{}", doomed.id)).bearer_auth(&doomed.owner.token),
            StatusCode::NO_CONTENT,
        )
        .await;
        bound.are_good(&server, &other).await;
        for request in reads(&server, &other, &customer) {
            answered(request.bearer_auth(&doomed.owner.token), StatusCode::OK).await;
        }
        assert_eq!(listed(&server, &doomed.owner.token).await, [vec![other.id.clone()], vec![short(&other.id)], vec![short(&other.id)]]);
        answered(bound.session.refresh(&server), StatusCode::OK).await;
    }

    async fn a_removed_member_is_out_at_once_and_everybody_else_goes_on(server: Server) {
        let organization = server.new_organization().await;
        let (person, member) = server.new_member(&organization, "admin").await;
        let (colleague, _) = server.new_member(&organization, "admin").await;
        let elsewhere = another_of(&server, &person).await;
        let customer = server.new_customer(&organization, &person.token).await;
        let removed = Bound::make(&server, &organization, &person).await;
        let theirs_elsewhere = Bound::make(&server, &elsewhere, &person).await;
        let colleagues = Bound::make(&server, &organization, &colleague).await;
        let request = server
            .request(Method::DELETE, &format!("/account/api/v1/organizations/{}/members/{}", short(&organization.id), short(&member)));
        deleted(request.bearer_auth(&organization.owner.token), StatusCode::OK).await;

        removed.are_dead(&server, &organization, &customer).await;
        for request in reads(&server, &organization, &customer) {
            let (client, request) = request.build_split();
            let request = request.unwrap();
            let status = if request.url().path().starts_with("/account") { StatusCode::NOT_FOUND } else { StatusCode::FORBIDDEN };
            refused(RequestBuilder::from_parts(client, request).bearer_auth(&person.token), status).await;
        }
        assert_eq!(listed(&server, &person.token).await[0], std::slice::from_ref(&elsewhere.id));
        theirs_elsewhere.are_good(&server, &elsewhere).await;
        colleagues.are_good(&server, &organization).await;
        let members = expect(
            server.request(Method::GET, &format!("/api/organizations/{}/members", organization.id)).bearer_auth(&colleague.token),
            StatusCode::OK,
        )
        .await;
        assert_eq!(members["pagination"]["totalCount"], 2);
    }

    async fn a_removed_member_may_be_invited_again_and_the_old_credentials_stay_dead(server: Server) {
        let organization = server.new_organization().await;
        let (person, member) = server.new_member(&organization, "admin").await;
        let old = Bound::make(&server, &organization, &person).await;
        let request = server.request(Method::DELETE, &format!("/api/organizations/{}/members/{member}", organization.id));
        deleted(request.bearer_auth(&person.token), StatusCode::NO_CONTENT).await;
        let again = server.add_member(&organization, &person, "viewer").await;
        assert_ne!(again, member);
        let path = format!("/api/organizations/{}", organization.id);
        answered(server.request(Method::GET, &path).bearer_auth(&person.token), StatusCode::OK).await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        old.are_dead(&server, &organization, &customer).await;
    }

    async fn a_revoked_key_stops_at_once_and_its_maker_goes_on(server: Server) {
        let organization = server.new_organization().await;
        let path = format!("/api/organizations/{}", organization.id);
        for surface in ["/api", "/account/api/v1"] {
            let (id, key) = server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
            let (_, other) = server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
            answered(server.request(Method::GET, &path).header("X-API-Key", &key), StatusCode::OK).await;
            let revoke = || {
                server
                    .request(Method::DELETE, &format!("{surface}/organizations/{}/api-keys/{id}", organization.id))
                    .bearer_auth(&organization.owner.token)
            };
            let status = if surface == "/api" { StatusCode::NO_CONTENT } else { StatusCode::OK };
            deleted(revoke(), status).await;
            for request in reads(&server, &organization, "nobody") {
                refused(request.header("X-API-Key", &key), StatusCode::UNAUTHORIZED).await;
            }
            refused(revoke(), StatusCode::NOT_FOUND).await;
            answered(server.request(Method::GET, &path).header("X-API-Key", &other), StatusCode::OK).await;
            answered(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        }
    }

    async fn a_key_can_revoke_itself(server: Server) {
        let organization = server.new_organization().await;
        let (id, key) = server.new_api_key(&organization, &organization.owner.token, &["write:organization"]).await;
        let revoke =
            || server.request(Method::DELETE, &format!("/api/organizations/{}/api-keys/{id}", organization.id)).header("X-API-Key", &key);
        deleted(revoke(), StatusCode::NO_CONTENT).await;
        refused(revoke(), StatusCode::UNAUTHORIZED).await;
    }

    async fn a_cancelled_invitation_is_listed_as_such_and_lets_no_one_in(server: Server) {
        let organization = server.new_organization().await;
        let invited = server.new_person().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}", organization.id);
        let invite =
            server.request(Method::POST, &format!("{path}/members/invite")).bearer_auth(token).json(&json!({"email": invited.email}));
        let made = expect(invite, StatusCode::CREATED).await;
        let cancel = || server.request(Method::DELETE, &format!("{path}/invites/{}", made["id"].as_str().unwrap())).bearer_auth(token);
        deleted(cancel(), StatusCode::NO_CONTENT).await;
        let accept = server.request(Method::POST, "/api/invites/accept").json(&json!({"token": made["token"]}));
        refused(accept.bearer_auth(&invited.token), StatusCode::NOT_FOUND).await;
        refused(cancel(), StatusCode::NOT_FOUND).await;
        let list: Json = expect(server.request(Method::GET, &format!("{path}/invites")).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(list["data"][0]["status"], "cancelled");
        server.add_member(&organization, &invited, "viewer").await;
    }

    async fn a_deleted_customer_is_404_on_every_surface(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for how in ["soft", "hard", "permanent"] {
            let customer = server.new_customer(&organization, token).await;
            let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
            let request = match how {
                "soft" => server.request(Method::DELETE, &format!("/customer/{customer}")),
                "hard" => server.request(Method::DELETE, &format!("/customer/{customer}?hard=true")),
                _ => server.request(Method::DELETE, &path),
            };
            let status = if how == "permanent" { StatusCode::NO_CONTENT } else { StatusCode::OK };
            deleted(request.bearer_auth(token), status).await;
            for path in [path.clone(), format!("{path}/subscriptions"), format!("/customer/{customer}")] {
                refused(server.request(Method::GET, &path).bearer_auth(token), StatusCode::NOT_FOUND).await;
                refused(server.request(Method::DELETE, &path.replace("/subscriptions", "")).bearer_auth(token), StatusCode::NOT_FOUND)
                    .await;
            }
            let request = server.request(Method::POST, &format!("{path}/devices")).bearer_auth(token).json(&json!({"name": "Laptop"}));
            refused(request, StatusCode::NOT_FOUND).await;
        }
        let list = expect(
            server.request(Method::GET, &format!("/api/organizations/{}/customers", organization.id)).bearer_auth(token),
            StatusCode::OK,
        )
        .await;
        assert_eq!(list["pagination"]["totalCount"], 0);
    }
}
