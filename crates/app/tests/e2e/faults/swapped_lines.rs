//! Two changes of one credential that PostgreSQL commits one after the other, and whose lines come to the ledger the other way round: the second is
//! the last word all the same.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::ledger_lines::{back_up, lines};
use crate::silence::lost::{Cut, MARKER, Way};
use crate::support::{Engine, expect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_committed_later_is_the_last_word_whichever_line_comes_first() {
    let way = Way::lay().await;
    let mut server = way.server_with(&["--public-url=http://localhost:3001"]).await;
    let organization = server.new_organization().await;
    let (key, secret) = server.new_api_key(&organization, &organization.owner.token, &["read:customers"]).await;
    let path = format!("/api/organizations/{}/api-keys/{key}", organization.id);
    let change = |body| server.request(Method::PATCH, &path).bearer_auth(&organization.owner.token).json(&body);
    way.set(Cut::Held);
    let off = tokio::spawn(expect(change(json!({"name": MARKER, "isActive": false})), StatusCode::OK));
    way.holds().await;
    way.set(Cut::Nowhere);
    expect(change(json!({"isActive": true})), StatusCode::OK).await;
    way.let_go();
    off.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    back_up(&server, &file).await;
    server.kill().await;
    let restored = server.start_restored(Engine::Postgresql, &file).await;
    let customers = format!("/api/organizations/{}/customers", organization.id);
    expect(restored.request(Method::GET, &customers).header("X-API-Key", &secret), StatusCode::OK).await;
    let told = lines(&server.ledger_folder()).into_iter().map(|line| line["entry"].clone());
    let revisions: Vec<Option<i64>> = told.filter(|entry| entry["id"] == *key).map(|entry| entry["revision"].as_i64()).collect();
    assert_eq!(revisions, [Some(2), Some(1)]);
}
