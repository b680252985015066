//! Commands that wait: the audit trail as it comes, deletions to their end, and readers that go away.

use std::process::Stdio;

use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Shell;
use crate::on_both_engines;
use crate::support::{Engine, Server};

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
        assert_eq!(watched.field("state"), "sealed");
        assert_eq!(shell.run("deletions watch 550e8400-e29b-41d4-a716-446655440000").await.code, 4);
    }
}
