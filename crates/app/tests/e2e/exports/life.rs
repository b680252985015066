//! How long an archive is there: until it expires, or is deleted, or the organization is, unless it was ordered with that deletion.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{download, made, order_customer, wait_until_done, wait_until_gone};
use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect};
use crate::tools::{answered, change_database, deleted, new_customer, refused};

fn archive_of(server: &Server, export: &str) -> PathBuf {
    server.exports_folder().join(format!("{export}.zip"))
}

async fn read(server: &Server, export: &str, token: &str) -> Json {
    expect(server.request(Method::GET, &format!("/api/exports/{export}")).bearer_auth(token), StatusCode::OK).await
}

async fn delete_organization(server: &Server, organization: &Organization) {
    let token = &organization.owner.token;
    let path = format!("/api/organizations/{}", organization.id);
    let deletion = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
    server.wait_for_completion(&deletion, token).await;
}

on_both_engines! {
    async fn an_archive_is_for_the_servers_own_eyes_and_goes_when_it_is_deleted(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let export = made(&server, &organization).await;
        let file = archive_of(&server, &export);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(server.exports_folder()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(server.exported_files(), [format!("{export}.zip")], "no draft is left");
        let path = format!("/api/exports/{export}");
        answered(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        assert!(!file.exists());
        for (method, path) in [(Method::GET, path.clone()), (Method::GET, format!("{path}/download")), (Method::DELETE, path)] {
            refused(server.request(method, &path).bearer_auth(token), StatusCode::NOT_FOUND).await;
        }
    }

    async fn what_is_not_done_cannot_be_downloaded(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let export = made(&server, &organization).await;
        let download = || server.request(Method::GET, &format!("/api/exports/{export}/download")).bearer_auth(token);
        // As if a worker held it.
        change_database(&server, "UPDATE exports SET state = 'running', lease_until = expires_at").await;
        refused(download(), StatusCode::CONFLICT).await;
        change_database(&server, "UPDATE exports SET state = 'failed', lease_until = NULL").await;
        refused(download(), StatusCode::CONFLICT).await;
    }

    async fn an_archive_that_is_lost_or_cut_short_is_gone_and_says_so(server: Server) {
        let organization = server.new_organization().await;
        server.note_altered();
        for is_cut in [false, true] {
            let export = made(&server, &organization).await;
            let archive = archive_of(&server, &export);
            match is_cut {
                true => fs::OpenOptions::new().write(true).open(&archive).unwrap().set_len(10).unwrap(),
                false => fs::remove_file(&archive).unwrap(),
            }
            let path = format!("/api/exports/{export}/download");
            let gone = refused(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::GONE).await;
            assert!(gone["detail"].as_str().unwrap().contains("order another"), "{gone}");
        }
    }

    async fn an_archive_that_has_expired_is_gone_and_its_record_says_so(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "ada", None).await;
        let export = order_customer(&server, &organization, "ada").await;
        let record = wait_until_done(&server, &export, token).await;
        let time = |name: &str| record[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert_eq!(time("expiresAt").duration_since(time("finishedAt")), jiff::SignedDuration::from_hours(72));
        change_database(&server, "UPDATE exports SET expires_at = created_at").await;
        // At once, whether or not the maintenance of archives has been there.
        let body = refused(server.request(Method::GET, &format!("/api/exports/{export}/download")).bearer_auth(token), StatusCode::GONE).await;
        assert_eq!(body["error_code"], "gone");
        assert_eq!(read(&server, &export, token).await["state"], "expired");
        wait_until_gone(&archive_of(&server, &export)).await;
        let record = read(&server, &export, token).await;
        assert_eq!((&record["state"], &record["subjectLabel"]), (&json!("expired"), &Json::Null));
        refused(server.request(Method::GET, &format!("/api/exports/{export}/download")).bearer_auth(token), StatusCode::GONE).await;
    }

    async fn files_of_no_export_are_removed_and_others_left_alone(server: Server) {
        let organization = server.new_organization().await;
        let export = made(&server, &organization).await;
        let folder = server.exports_folder();
        let orphans = [format!("{}.zip", organization.id), format!("{}.1.part", organization.id), format!("{export}.7.part")];
        for name in orphans.iter().map(String::as_str).chain(["notes.txt"]) {
            fs::write(folder.join(name), "left behind").unwrap();
        }
        for name in &orphans {
            wait_until_gone(&folder.join(name)).await;
        }
        assert!(folder.join("notes.txt").exists());
        fs::remove_file(folder.join("notes.txt")).unwrap();
        download(&server, &export, &organization.owner.token).await;
    }

    async fn an_export_goes_with_its_organization(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let export = made(&server, &organization).await;
        delete_organization(&server, &organization).await;
        refused(server.request(Method::GET, &format!("/api/exports/{export}")).bearer_auth(token), StatusCode::NOT_FOUND).await;
        refused(server.request(Method::GET, &format!("/api/exports/{export}/download")).bearer_auth(token), StatusCode::NOT_FOUND).await;
        wait_until_gone(&archive_of(&server, &export)).await;
    }

    async fn an_export_goes_with_its_customer_in_either_way(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for path in ["/customer/ada", "/customer/ada?hard=true"] {
            let _ = server.request(Method::DELETE, "/customer/ada?hard=true").bearer_auth(token).send().await.unwrap();
            new_customer(&server, &organization, "ada", None).await;
            let export = order_customer(&server, &organization, "ada").await;
            wait_until_done(&server, &export, token).await;
            let deletion = deleted(server.request(Method::DELETE, path).bearer_auth(token), StatusCode::OK).await;
            assert_eq!(server.wait_for_completion(&deletion, token).await["counts"]["exports"], 1);
            refused(server.request(Method::GET, &format!("/api/exports/{export}")).bearer_auth(token), StatusCode::NOT_FOUND).await;
            wait_until_gone(&archive_of(&server, &export)).await;
        }
    }

    async fn what_was_ordered_with_a_deletion_can_be_fetched_after_it_by_the_one_who_ordered_it(server: Server) {
        let organization = server.new_organization().await;
        let (admin, _) = server.new_member(&organization, "admin").await;
        let token = &organization.owner.token;
        let export = made(&server, &organization).await;
        // As if a deletion had ordered it.
        change_database(&server, "UPDATE exports SET deletion_id = id").await;
        delete_organization(&server, &organization).await;
        let archive = download(&server, &export, token).await;
        assert_eq!(archive.rows("organizations")[0]["id"], organization.id);
        for stranger in [&admin.token, &server.new_person().await.token] {
            for suffix in ["", "/download"] {
                let ask = server.request(Method::GET, &format!("/api/exports/{export}{suffix}")).bearer_auth(stranger);
                refused(ask, StatusCode::NOT_FOUND).await;
            }
        }
        change_database(&server, "UPDATE exports SET expires_at = created_at").await;
        wait_until_gone(&archive_of(&server, &export)).await;
        refused(server.request(Method::GET, &format!("/api/exports/{export}")).bearer_auth(token), StatusCode::NOT_FOUND).await;
    }
}
