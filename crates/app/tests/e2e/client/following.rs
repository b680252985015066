//! Commands that wait: the audit trail as it comes, deletions to their end, and readers that go away.

use std::process::Stdio;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Shell;
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::webhooks::receiver::{Answer, Receiver};

on_both_engines! {
    async fn the_audit_trail_is_followed_each_entry_once(server: Server) {
        let organization = server.new_organization().await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let mut child = shell.command("audit tail --follow --json --limit 1").stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = async || -> Json { serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap() };
        assert_eq!(next().await["action"], "organization.create");
        for _ in 0..2 {
            server.new_customer(&organization, &organization.owner.token).await;
            assert_eq!(next().await["action"], "customer.create");
        }
        server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
        assert_eq!(next().await["action"], "api_key.create");
        // The reader goes away: the command ends by itself with the next entry.
        drop(lines);
        server.new_customer(&organization, &organization.owner.token).await;
        assert!(child.wait().await.unwrap().success());
    }

    async fn a_reader_that_goes_away_is_no_failure(server: Server) {
        let organization = server.new_organization().await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        for line in ["organizations list", "organizations list --json", "users me", "completions bash"] {
            let mut child = shell.command(line).spawn().unwrap();
            drop(child.stdout.take());
            let output = child.wait_with_output().await.unwrap();
            assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{line}");
        }
    }

    async fn a_deletion_is_watched_to_its_end(server: Server) {
        let organization = server.new_organization().await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
        let deleted = shell.run(&format!("organizations delete {0} --yes {0}", organization.slug)).await;
        let watched = shell.run(&format!("deletions watch {}", deleted.field("deletion id"))).await;
        assert_eq!(watched.field("state"), "completed");
        assert_eq!(shell.run("deletions watch 550e8400-e29b-41d4-a716-446655440000").await.code, 4);
    }
}

on_both_engines! {
    async fn what_a_deletion_waits_for_is_told_in_lines_and_at_a_terminal_with_a_bar(engine: Engine) {
        let server = Server::start(engine, &["--webhook-allow=127.0.0.0/8"]).await;
        // Told at the second attempt, a second after the first.
        let receiver = Receiver::open(&[Answer::Status(500), Answer::Status(204), Answer::Status(500)]).await;
        for how in ["lines", "terminal"] {
            let organization = server.new_organization().await;
            let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token);
            let hook = server.request(Method::POST, &format!("/api/organizations/{}/webhooks", organization.id));
            let hook = hook.bearer_auth(&organization.owner.token).json(&json!({"url": &receiver.url, "events": ["organization.deleted"]}));
            expect(hook, StatusCode::CREATED).await;
            let deleted = shell.run(&format!("organizations delete {0} --yes {0}", organization.slug)).await.field("deletion id");
            // The organization is gone for its people, and so is its list; who ordered the deletion can watch it all the same.
            assert_eq!(shell.run("deletions list --state open").await.code, 3);
            let line = format!("deletions watch {deleted}");
            let said = if how == "lines" { shell.run(&line).await } else { shell.type_into(&line, "").await };
            assert_eq!(said.code, 0, "{said:?}");
            let told = if how == "lines" { &said.err } else { &said.out };
            assert!(told.contains("waits since") && told.contains("Deliveries to webhooks") && told.contains("rows"), "{said:?}");
            assert_eq!(told.contains('\u{1b}'), how == "terminal", "{said:?}");
            assert!(said.out.contains("completed at"), "{said:?}");
            let shown = shell.run(&format!("deletions show {deleted}")).await;
            assert_eq!((shown.field("state"), shown.field("rows to do")), ("completed".into(), "0".into()));
        }
    }
}
