//! The blocks of pages that a server of a test alone cannot run: those that ask as an operator, open a database that no server may have open, start
//! servers, and name folders of a reader's own.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::cluster::connect;
use crate::support::pasting::{block, paste};
use crate::support::{Engine, PASSWORD, Server, expect, make_database};
use crate::tools::change_database;

const OPERATING: &str = "docs/guide/operating.md";
const COMMANDS: &str = "docs/guide/command-line.md";

/// What a command at the server's own folder has in its environment.
fn variables(server: &Server) -> Vec<(&str, &str)> {
    let mut variables = vec![("FREEHOLD_SERVER", server.url.as_str()), ("FREEHOLD_LEDGER", "data/ledger")];
    variables.extend(server.database_url().map(|url| ("FREEHOLD_DATABASE_URL", url)));
    variables
}

async fn sign_up(server: &Server, email: &str) {
    let body = json!({"email": email, "password": PASSWORD, "name": "Ada"});
    let made = server.request(Method::POST, "/api/auth/sign-up").json(&body).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::ACCEPTED);
}

on_both_engines! {
    async fn operators_make_and_unmake_each_other_as_the_page_says(server: Server) {
        let mut server = server;
        let left = server.new_operator().await;
        let operator = server.new_operator().await;
        sign_up(&server, "ada@example.com").await;
        let all = expect(server.request(Method::GET, "/api/operator/operators").bearer_auth(&operator.token), StatusCode::OK).await;
        let id = all.as_array().unwrap().iter().find(|known| known["email"] == *left.email).unwrap()["id"].as_str().unwrap();
        let text = block(OPERATING, "curl localhost:3001/api/operator").replace("localhost:3001", server.url.strip_prefix("http://").unwrap());
        let said = paste(&text, server.folder(), &[("TOKEN", &operator.token), ("ID", id)]).await;
        assert!(said.contains(&left.email), "{said}");
        let all = expect(server.request(Method::GET, "/api/operator/operators").bearer_auth(&operator.token), StatusCode::OK).await;
        let mut emails: Vec<&str> = all.as_array().unwrap().iter().map(|known| known["email"].as_str().unwrap()).collect();
        emails.sort_unstable();
        assert_eq!(emails, ["ada@example.com", operator.email.as_str()]);
    }

    async fn operators_give_an_organization_other_limits_as_the_page_says(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let owner = server.new_person().await;
        let acme = server.request(Method::POST, "/api/organizations").bearer_auth(&owner.token).json(&json!({"name": "Acme", "slug": "acme"}));
        expect(acme, StatusCode::CREATED).await;
        let all = [variables(&server), vec![("FREEHOLD_TOKEN", operator.token.as_str())]].concat();
        paste(&block(OPERATING, "freehold organizations limits"), server.folder(), &all).await;
    }

    async fn what_the_machine_that_runs_it_offers_does_what_the_page_says(server: Server) {
        let mut server = server;
        let text = block(COMMANDS, "echo 'a long password'");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        // In its folder lies `data`, which is where commands look by themselves.
        server.stop().await;
        paste(lines[0], server.folder(), &variables(&server)).await;
        server.start_again().await;
        sign_up(&server, "new@example.com").await;
        let owner = server.new_person().await;
        let acme = server.request(Method::POST, "/api/organizations").bearer_auth(&owner.token).json(&json!({"name": "Acme", "slug": "acme"}));
        expect(acme, StatusCode::CREATED).await;
        server.stop().await;
        change_database(&server, "UPDATE members SET role = 'viewer'").await;
        server.start_again().await;
        let operator = json!({"email": "ops@example.com", "password": "a long password"});
        let operator = expect(server.request(Method::POST, "/api/auth/sign-in").json(&operator), StatusCode::OK).await;
        let all = [variables(&server), vec![("FREEHOLD_TOKEN", operator["access_token"].as_str().unwrap())]].concat();
        paste(&lines[1..4].join("\n"), server.folder(), &all).await;
        assert!(server.folder().join("backup.db").is_file());
        server.stop().await;
        paste(lines[4], server.folder(), &variables(&server)).await;
    }

    async fn a_server_starts_as_the_page_says(server: Server) {
        let mut server = server;
        server.stop().await;
        let said = paste(&block("docs/guide/retention.md", "freehold serve"), server.folder(), &variables(&server)).await;
        assert!(said.contains("ready"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_and_moved_as_the_page_says() {
    let (mut server, url) = (Server::start(Engine::Sqlite, &[]).await, make_database().await);
    let organization = server.new_organization().await;
    server.new_customer(&organization, &organization.owner.token).await;
    let own = |path: &str| server.folder().join(path.trim_start_matches('/')).to_str().unwrap().to_owned();
    for folder in ["/backups", "/var/lib"] {
        std::fs::create_dir_all(own(folder)).unwrap();
    }
    let text = block(OPERATING, "freehold backup /backups");
    let text = text.replace(" /backups/", &format!(" {}/", own("/backups"))).replace("/var/lib/freehold", &own("/var/lib/freehold"));
    paste(&text.replace("postgres://user@host/db", &url), server.folder(), &variables(&server)).await;
    let moved = connect(&url).await.query_one("SELECT count(*) FROM customers", &[]).await.unwrap();
    assert_eq!(moved.get::<_, i64>(0), 1);
    // Of the other engine a backup is taken in the same way.
    let server_of_postgresql = Server::start(Engine::Postgresql, &[]).await;
    let first = text.lines().next().unwrap().replace(".db", "-postgresql.db");
    paste(&first, server_of_postgresql.folder(), &variables(&server_of_postgresql)).await;
    assert!(Path::new(&own("/backups/2026-11-30-postgresql.db")).is_file());
    server.stop().await;
}
