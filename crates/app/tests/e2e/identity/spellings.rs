//! One form for what identifies a person or a thing: two spellings of it meet wherever they are compared.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect};
use crate::tools::{answered, change_database, refused};

/// `Jürgen@Bücher.example` as it may be typed: composed, decomposed, in capitals, with full-width letters, with the domain as DNS has it.
const SPELLINGS: [&str; 5] = [
    "j\u{fc}rgen@b\u{fc}cher.example",
    "ju\u{308}rgen@bu\u{308}cher.example",
    "J\u{dc}RGEN@B\u{dc}CHER.EXAMPLE",
    "\u{ff4a}\u{fc}rgen@b\u{fc}cher.example",
    "J\u{fc}rgen@xn--bcher-kva.example",
];
/// The same of a password, whose case counts.
const PASSWORDS: [&str; 3] =
    ["P\u{e4}ssw\u{f6}rter f\u{fc}r alle", "Pa\u{308}sswo\u{308}rter fu\u{308}r alle", "P\u{e4}ssw\u{f6}rter\u{a0}fu\u{308}r\u{3000}alle"];

fn post(server: &Server, path: &str, body: Json) -> RequestBuilder {
    server.request(Method::POST, path).json(&body)
}

async fn sign_up(server: &Server, email: &str, password: &str) {
    answered(post(server, "/api/auth/sign-up", json!({"email": email, "password": password, "name": "Jos\u{e9}"})), StatusCode::ACCEPTED)
        .await;
}

fn sign_in(server: &Server, email: &str, password: &str) -> RequestBuilder {
    post(server, "/api/auth/sign-in", json!({"email": email, "password": password}))
}

async fn token(server: &Server, email: &str, password: &str) -> String {
    expect(sign_in(server, email, password), StatusCode::OK).await["access_token"].as_str().unwrap().to_owned()
}

/// A text as it goes into a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The entries of a list's first page.
async fn entries(server: &Server, path: &str, token: &str) -> Vec<Json> {
    let list = expect(server.request(Method::GET, path).bearer_auth(token), StatusCode::OK).await;
    list["data"].as_array().unwrap().clone()
}

/// How many customers a purge of these would delete.
async fn purged(server: &Server, organization: &Organization, filter: Json) -> Json {
    let path = format!("/api/organizations/{}/customers:purge", organization.id);
    let look = post(server, &path, json!({"filter": filter})).bearer_auth(&organization.owner.token);
    expect(look, StatusCode::OK).await["count"].clone()
}

on_both_engines! {
    async fn an_account_has_one_address_and_one_password_however_they_are_typed(server: Server) {
        sign_up(&server, SPELLINGS[1], PASSWORDS[1]).await;
        for email in SPELLINGS {
            // The answer does not tell whether an address is known: the second account is not made.
            sign_up(&server, email, "another password").await;
            refused(sign_in(&server, email, "another password"), StatusCode::UNAUTHORIZED).await;
            for password in PASSWORDS {
                answered(sign_in(&server, email, password), StatusCode::OK).await;
            }
            // The client follows to the page for those who are signed in; a wrong password would be 401.
            let form = [("email", email), ("password", PASSWORDS[0])];
            answered(server.form("/dashboard/sign-in", &form), StatusCode::OK).await;
        }
        let token = token(&server, SPELLINGS[2], PASSWORDS[2]).await;
        let me = expect(server.request(Method::GET, "/api/users/me").bearer_auth(&token), StatusCode::OK).await;
        assert_eq!(me["email"], SPELLINGS[1], "what was typed is kept");
        let change = |current: &str, new: &str| {
            post(&server, "/api/users/me/password", json!({"currentPassword": current, "newPassword": new})).bearer_auth(&token)
        };
        answered(change(PASSWORDS[2], "neue Pa\u{308}sse"), StatusCode::NO_CONTENT).await;
        answered(sign_in(&server, SPELLINGS[0], "neue P\u{e4}sse"), StatusCode::OK).await;
        for bad in ["passw\u{200b}ord", "passw\u{7}ord", "password\u{202e}"] {
            refused(change("neue P\u{e4}sse", bad), StatusCode::BAD_REQUEST).await;
        }
    }

    async fn an_invitation_finds_who_was_invited_in_each_spelling(server: Server) {
        let organization = server.new_organization().await;
        let invite = |email: &str| {
            let path = format!("/api/organizations/{}/members/invite", organization.id);
            post(&server, &path, json!({"email": email})).bearer_auth(&organization.owner.token)
        };
        let mut invitations = Vec::new();
        for email in SPELLINGS {
            let made = expect(invite(&format!(" {email} ")), StatusCode::CREATED).await;
            assert_eq!(made["email"], email, "what was typed is kept");
            invitations.push(made["token"].clone());
        }
        sign_up(&server, SPELLINGS[1], PASSWORDS[0]).await;
        let token = token(&server, SPELLINGS[1], PASSWORDS[0]).await;
        let accept = |invitation: &Json| post(&server, "/api/invites/accept", json!({"token": invitation})).bearer_auth(&token);
        let last = invitations.pop().unwrap();
        for replaced in &invitations {
            refused(accept(replaced), StatusCode::NOT_FOUND).await;
        }
        answered(accept(&last), StatusCode::OK).await;
        for email in SPELLINGS {
            refused(invite(email), StatusCode::CONFLICT).await;
        }
        for query in ["JOSE\u{301}", "jos\u{e9}", "ju\u{308}rgen", "XN--BCHER", "b\u{fc}cher.example"] {
            let members = format!("/api/organizations/{}/members?q={}", organization.id, encoded(query));
            assert_eq!(entries(&server, &members, &organization.owner.token).await.len(), 1, "{query}");
        }
    }

    async fn customers_are_found_filtered_and_purged_in_each_spelling(server: Server) {
        let organization = server.new_organization().await;
        let customers = format!("/api/organizations/{}/customers", organization.id);
        let make = |id: &str, body: Json| {
            let mut whole = json!({"id": id, "name": "Ada", "email": "ada@example.com"});
            whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            post(&server, &customers, whole).bearer_auth(&organization.owner.token)
        };
        let jose = json!({"name": "Jose\u{301} A\u{30a}ngstro\u{308}m", "email": SPELLINGS[1], "metadata": {"cafe\u{301}": "a\u{30a}"}});
        let made = expect(make("Jose-1", jose.clone()), StatusCode::CREATED).await;
        assert_eq!((&made["name"], &made["email"], &made["metadata"]), (&jose["name"], &jose["email"], &jose["metadata"]));
        expect(make("other", json!({"metadata": {"caf\u{e9}": "A"}})), StatusCode::CREATED).await;
        let found = async |query: String| {
            let found = entries(&server, &format!("{customers}?{query}"), &organization.owner.token).await;
            found.iter().map(|customer| customer["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        for query in ["Jos\u{e9}", "JOSE\u{301}", "\u{c5}NGSTR\u{d6}M", "\u{212b}ngstr\u{f6}m", "jose-1", "j\u{fc}rgen@b\u{fc}cher", "xn--bcher"] {
            assert_eq!(found(format!("q={}", encoded(query))).await, ["Jose-1"], "{query}");
        }
        for email in SPELLINGS {
            assert_eq!(found(format!("email={}", encoded(email))).await, ["Jose-1"], "{email}");
        }
        for domain in ["b\u{fc}cher.example", "BU\u{308}CHER.example", "xn--bcher-kva.example"] {
            assert_eq!(purged(&server, &organization, json!({"emailDomain": domain})).await, 1, "{domain}");
        }
        for key in ["caf\u{e9}", "cafe\u{301}"] {
            assert_eq!(purged(&server, &organization, json!({"metadata": {key: "\u{e5}"}})).await, 1, "{key}");
            assert_eq!(purged(&server, &organization, json!({"metadata": {key: "\u{c5}"}})).await, 0, "case counts in metadata");
        }
        // A change moves the customer to where it is found then.
        let change = server.request(Method::PUT, &format!("{customers}/Jose-1")).bearer_auth(&organization.owner.token);
        expect(change.json(&json!({"name": "Zoe\u{308}", "metadata": {"caf\u{e9}": "1"}})), StatusCode::OK).await;
        assert_eq!(found(format!("q={}", encoded("ZO\u{cb}"))).await, ["Jose-1"]);
        assert!(found(format!("q={}", encoded("Jos\u{e9} "))).await.is_empty());
        assert_eq!(purged(&server, &organization, json!({"metadata": {"cafe\u{301}": "1"}})).await, 1);
        assert_eq!(purged(&server, &organization, json!({"metadata": {"cafe\u{301}": "\u{e5}"}})).await, 0, "one key in two spellings is one key");
    }

    async fn names_that_cannot_be_seen_and_addresses_that_cannot_exist_are_refused_everywhere(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner.token;
        let at = format!("/api/organizations/{}", organization.id);
        let customer = |name: &str, email: &str| post(&server, &format!("{at}/customers"), json!({"name": name, "email": email})).bearer_auth(owner);
        let blank = ["   ", "\u{200b}\u{200b}\u{200b}", "\u{200d}\u{2060}\u{feff}", "\u{3164}\u{3164}\u{3164}", "\u{202e}\u{202c}\u{202e}", "\u{2800}\u{a0}\u{3000}"];
        for name in blank {
            let put = |path: &str, body: Json| server.request(Method::PUT, path).bearer_auth(owner).json(&body);
            let requests = [
                customer(name, "ada@example.com"),
                post(&server, "/api/organizations", json!({"name": name, "slug": "a-slug"})).bearer_auth(owner),
                put(&at, json!({"name": name})),
                post(&server, "/api/auth/sign-up", json!({"email": "new@example.com", "password": "correct horse", "name": name})),
                server.request(Method::PATCH, "/api/users/me").bearer_auth(owner).json(&json!({"name": name})),
                post(&server, &format!("{at}/api-keys"), json!({"name": name})).bearer_auth(owner),
                post(&server, "/api/oauth/apps", json!({"name": name, "scopes": ["read:user"], "organizationId": organization.id})).bearer_auth(owner),
                post(&server, &format!("{at}/holds"), json!({"reason": name})).bearer_auth(owner),
                server.request(Method::GET, &format!("{at}/customers?q={}", encoded("\u{200b}"))).bearer_auth(owner),
            ];
            for request in requests {
                refused(request, StatusCode::BAD_REQUEST).await;
            }
        }
        // In the names by which people know each other apart nothing turns the direction of the text beside it.
        for request in [
            post(&server, "/api/organizations", json!({"name": "Acme\u{202e}cnI", "slug": "b-slug"})).bearer_auth(owner),
            server.request(Method::PATCH, "/api/users/me").bearer_auth(owner).json(&json!({"name": "Ada\u{2067}"})),
        ] {
            refused(request, StatusCode::BAD_REQUEST).await;
        }
        for name in ["\u{1f469}\u{200d}\u{1f4bb}", "\u{202e}right to left", "e\u{301}", "\u{2028}\u{2029}", "=1+1"] {
            assert_eq!(expect(customer(name, "a@b.example"), StatusCode::CREATED).await["name"], name);
        }
        for email in ["o'brien+tag@sub.example", "a_b-c%d@example.co", "m\u{fc}ller@b\u{fc}cher.example", "1@2.example"] {
            expect(customer("Ada", email), StatusCode::CREATED).await;
        }
        let invite = |email: &str| post(&server, &format!("{at}/members/invite"), json!({"email": email})).bearer_auth(owner);
        for email in ["a..b@c.example", ".a@b.example", "a@-b.example", "a@b.example,", "mailto:a@b.example", "<a@b.example>", "a\u{200b}@b.example", "a b@c.example"] {
            refused(customer("Ada", email), StatusCode::BAD_REQUEST).await;
            refused(invite(email), StatusCode::BAD_REQUEST).await;
            refused(post(&server, "/api/auth/sign-up", json!({"email": email, "password": "correct horse"})), StatusCode::BAD_REQUEST).await;
        }
    }
}

on_both_engines! {
    async fn rows_from_before_normal_forms_get_theirs_when_the_server_starts(engine: Engine) {
        let mut server = Server::start(engine, &[]).await;
        let organization = server.new_organization().await;
        let customers = format!("/api/organizations/{}/customers", organization.id);
        for number in 0..3 {
            let body = json!({"id": format!("c{number}"), "name": "Jose\u{301}", "email": SPELLINGS[1]});
            expect(post(&server, &customers, body).bearer_auth(&organization.owner.token), StatusCode::CREATED).await;
        }
        let invite = format!("/api/organizations/{}/members/invite", organization.id);
        let invite = post(&server, &invite, json!({"email": SPELLINGS[2]})).bearer_auth(&organization.owner.token);
        let invitation = expect(invite, StatusCode::CREATED).await;
        for (email, password) in [("first@example.com", PASSWORDS[0]), ("second@example.com", "the second's password")] {
            sign_up(&server, email, password).await;
        }
        server.stop().await;
        // As the program before this one left them; one customer as a fill that was stopped had come to it.
        change_database(
            &server,
            &format!(
                "UPDATE users SET email_key = NULL, search_key = NULL;
                 UPDATE users SET email = '{}' WHERE email = 'first@example.com';
                 UPDATE users SET email = '{}' WHERE email = 'second@example.com';
                 UPDATE invitations SET email_key = NULL;
                 UPDATE customers SET email_key = NULL, search_key = NULL WHERE reference <> 'c1';",
                SPELLINGS[0], SPELLINGS[1]
            ),
        )
        .await;
        server.start_again().await;
        let owner = server.sign_in(&organization.owner.email, None).await;
        for query in [format!("q={}", encoded("JOS\u{c9}")), format!("email={}", encoded(SPELLINGS[4]))] {
            assert_eq!(entries(&server, &format!("{customers}?{query}"), &owner).await.len(), 3, "{query}");
        }
        // Two accounts had what is one address: the older one has it, and the other is still reached with just its spelling.
        for email in [SPELLINGS[0], SPELLINGS[2], SPELLINGS[3], SPELLINGS[4]] {
            answered(sign_in(&server, email, PASSWORDS[1]), StatusCode::OK).await;
        }
        answered(sign_in(&server, SPELLINGS[1], "the second's password"), StatusCode::OK).await;
        refused(sign_in(&server, SPELLINGS[0], "the second's password"), StatusCode::UNAUTHORIZED).await;
        let second = token(&server, SPELLINGS[1], "the second's password").await;
        let first = token(&server, SPELLINGS[0], PASSWORDS[0]).await;
        let accept = |token: &str| post(&server, "/api/invites/accept", json!({"token": invitation["token"]})).bearer_auth(token);
        refused(accept(&second), StatusCode::NOT_FOUND).await;
        answered(accept(&first), StatusCode::OK).await;
    }
}
