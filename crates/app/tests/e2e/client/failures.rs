//! Exit codes, and that no secret is in the words of a failure.

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::Shell;
use crate::on_both_engines;
use crate::support::{Engine, Server};

on_both_engines! {
    async fn each_failure_has_its_exit_code(server: Server) {
        let organization = server.new_organization().await;
        let (viewer, _) = server.new_member(&organization, "viewer").await;
        let owner = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let viewer = Shell::new(&server).with("FREEHOLD_TOKEN", &viewer.token);
        let anonymous = Shell::new(&server);
        assert_eq!(owner.run("organizations create --name Ab --slug new-slug").await.code, 1);
        assert_eq!(owner.run("organizations frobnicate").await.code, 2);
        assert_eq!(owner.run("members list --organization").await.code, 2);
        assert_eq!(owner.run("customers show ..").await.code, 2);
        assert_eq!(anonymous.run("users me").await.code, 3);
        assert_eq!(viewer.run("keys create --name Import").await.code, 3);
        assert_eq!(viewer.run(&format!("organizations delete {0} --yes {0}", organization.slug)).await.code, 3);
        assert_eq!(owner.run("customers show nobody").await.code, 4);
        assert_eq!(owner.run(&format!("organizations create --name Another --slug {}", organization.slug)).await.code, 5);
        assert_eq!(owner.run("users me --server http://127.0.0.1:1").await.code, 6);
    }

    async fn with_json_a_failure_is_one_document_on_standard_error(server: Server) {
        let organization = server.new_organization().await;
        let slug = &organization.slug;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        server.new_dependant(&organization, &customer, "subscriptions", json!({"plan": "basic"})).await;
        let owner = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let stranger = Shell::new(&server);
        let nowhere = "http://127.0.0.1:1";
        for (shell, line, code, error_code) in [
            (&owner, "customers show nobody".to_owned(), 4, "not_found"),
            (&owner, "organizations create --name A --slug new-slug".to_owned(), 1, "bad_request"),
            (&owner, format!("organizations create --name Another --slug {slug}"), 5, "conflict"),
            (&owner, format!("customers delete {customer} --hard --yes {customer}"), 5, "conflict"),
            (&owner, format!("organizations delete {slug}"), 2, "unconfirmed"),
            (&owner, format!("organizations delete {slug} --yes no"), 2, "unconfirmed"),
            (&owner, format!("organizations update {slug}"), 2, "usage"),
            (&owner, "organizations frobnicate".to_owned(), 2, "usage"),
            (&owner, format!("users me --server {nowhere}"), 6, "unavailable"),
            (&stranger, "users me".to_owned(), 3, "unauthorized"),
        ] {
            let said = shell.run(&format!("{line} --json")).await;
            assert_eq!((said.code, said.out.as_str()), (code, ""), "{line}: {said:?}");
            let problem: Json = serde_json::from_str(&said.err).unwrap_or_else(|error| panic!("{line}: {error}: {said:?}"));
            assert_eq!(problem["error_code"], error_code, "{line}: {problem}");
            for member in ["title", "detail"] {
                assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{line}: {problem}");
            }
            assert!(problem["retryable"].is_boolean(), "{line}: {problem}");
        }
        // It is the server's own document: all that it says is there.
        let said = owner.run("organizations create --name A --slug new-slug --json").await;
        let problem: Json = serde_json::from_str(&said.err).unwrap();
        assert_eq!((&problem["errors"][0]["field"], problem["request_id"].is_string()), (&json!("name"), true), "{problem}");
        let said = owner.run(&format!("customers delete {customer} --hard --yes {customer} --json")).await;
        let problem: Json = serde_json::from_str(&said.err).unwrap();
        assert_eq!(problem["blockers"][0]["code"], "active_subscription", "{problem}");
        // And nothing of it where all went well.
        let said = owner.run("keys create --name Import --json").await;
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    }

    async fn a_missing_and_a_wrong_confirmation_have_one_exit_code(server: Server) {
        let organization = server.new_organization().await;
        let slug = &organization.slug;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        shell.run("requirements set customer --confirmation").await;
        let deletion = format!("customers delete {customer} --yes {customer}");
        for line in [
            format!("organizations delete {slug}"),
            format!("organizations delete {slug} --yes {slug}x"),
            format!("customers delete {customer} --confirm {slug}"),
            format!("customers delete {customer} --confirm {slug} --yes other"),
            // What the organization asks for besides is a confirmation too.
            deletion.clone(),
            format!("{deletion} --confirm {slug}x"),
            format!("customers purge --all --force --confirm {slug}"),
            format!("customers purge --all --force --confirm {slug} --yes 2"),
            "customers purge --all --force --yes 1".to_owned(),
        ] {
            let said = shell.run(&line).await;
            assert_eq!(said.code, 2, "{line}: {said:?}");
        }
        for line in [format!("organizations delete {slug}"), format!("customers purge --all --force --confirm {slug}")] {
            let typed = shell.type_into(&line, "no\n").await;
            assert_eq!(typed.code, 2, "{line}: {typed:?}");
        }
        assert_eq!(shell.run(&format!("{deletion} --confirm {slug}")).await.code, 0);
    }

    async fn each_field_that_was_refused_is_told(server: Server) {
        let organization = server.new_organization().await;
        let owner = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let said = owner.run("organizations create --name A --slug B").await;
        assert!(said.err.contains("name (too_short)") && said.err.contains("slug (invalid_slug)"), "{said:?}");
        assert_eq!(said.out, "");
    }
}

on_both_engines! {
    async fn no_secret_is_in_the_words_of_a_failure(server: Server) {
        let organization = server.new_organization().await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
        let (server_with_password, odd) = (server.url.replace("http://", "http://me:hunter2@"), format!("{key}\u{7f}"));
        let cases = [
            (Shell::new(&server).with("FREEHOLD_API_KEY", &key), "members list", 3),
            (Shell::new(&server).with("FREEHOLD_API_KEY", &odd), "members list", 2),
            (Shell::new(&server).with("FREEHOLD_API_KEY", &key), "members --help", 0),
            (Shell::new(&server).with("FREEHOLD_API_KEY", &key).with("FREEHOLD_TOKEN", &key), "members list", 2),
            (Shell::new(&server).with("FREEHOLD_TOKEN", &key), "members list", 3),
            (Shell::new(&server).with("FREEHOLD_TOKEN", &key).with("FREEHOLD_SERVER", "http://127.0.0.1:1"), "members list", 6),
            (Shell::new(&server).with("FREEHOLD_SERVER", &server_with_password), "members list", 2),
        ];
        for (shell, line, code) in cases {
            let said = shell.run(line).await;
            assert_eq!(said.code, code, "{said:?}");
            assert!(![&said.out, &said.err].iter().any(|text| text.contains(&key) || text.contains("hunter2")), "{said:?}");
        }
        let said = Shell::new(&server).run_with("sign-in --email ada@example.com", "my secret password\n").await;
        assert!(said.code == 3 && !said.err.contains("my secret password"), "{said:?}");
    }
}

on_both_engines! {
    async fn too_many_requests_have_an_exit_code_of_their_own(engine: Engine) {
        let server = Server::start(engine, &["--rate-limit-per-minute=1"]).await;
        let shell = Shell::new(&server);
        let mut codes = Vec::new();
        // The minute may end in between, once.
        for _ in 0..3 {
            codes.push(shell.run("users me").await.code);
        }
        assert!(codes.contains(&7) && codes.iter().all(|code| matches!(code, 3 | 7)), "{codes:?}");
    }
}

on_both_engines! {}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = elsewhere.local_addr().unwrap();
    let server = Server::start(Engine::Sqlite, &[]).await;
    let target = format!("{}/api/users/me", server.url);
    let answering = tokio::spawn(async move {
        let (mut stream, _) = elsewhere.accept().await.unwrap();
        let mut head = [0; 4096];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let person = server.new_person().await;
    let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &person.token).with("FREEHOLD_SERVER", &format!("http://{address}"));
    let said = shell.run("users me").await;
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("/api/users/me"), "{said:?}");
    answering.await.unwrap();
}
