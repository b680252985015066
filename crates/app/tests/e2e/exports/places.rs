//! Where archives lie: a folder that is one database's and one server's, archives that are what was written, and parts of them.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use reqwest::{Method, StatusCode};
use serde_json::Value as Json;
use tokio::process::Command;

use super::{download, made};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect, header};
use crate::tools::{answered, refused};

/// What the binary says with an embedded database in this folder: the code, and the words on both sides.
async fn said(arguments: &[&str], data: &Path) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command.args(arguments).arg("--data").arg(data).env_remove("FREEHOLD_DATABASE_URL").stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

async fn does_not_start(exports: &Path, data: &Path) -> String {
    let exports = format!("--exports={}", exports.display());
    let (code, words) = said(&["serve", "--listen=127.0.0.1:0", &exports], data).await;
    assert_eq!(code, 1, "{words}");
    words
}

on_both_engines! {
    async fn a_folder_is_one_servers_and_one_databases(engine: Engine) {
        let mut server = Server::start(engine, &[]).await;
        let organization = server.new_organization().await;
        let export = made(&server, &organization).await;
        let folder = server.exports_folder();
        // Another database, which has been there before.
        let mut other = Server::start(Engine::Sqlite, &[]).await;
        other.stop().await;
        let others = other.folder().join("data");
        let words = does_not_start(&folder, &others).await;
        assert!(words.contains("in use by another freehold process") && words.contains("--exports"), "{words}");
        server.stop().await;
        let words = does_not_start(&folder, &others).await;
        assert!(words.contains("belong to another database") && words.contains(&export) && words.contains("--take-exports-over"), "{words}");
        assert_eq!(server.exported_files(), [format!("{export}.zip")]);
        // Nor one that no server has marked yet, with archives that are another's.
        fs::remove_file(folder.join("freehold.json")).unwrap();
        let words = does_not_start(&folder, &others).await;
        assert!(words.contains(&export), "{words}");
        // Its own takes it, as after an update.
        let orphan = folder.join("00000000-0000-0000-0000-000000000007.zip");
        fs::write(&orphan, "of a crash").unwrap();
        server.start_again().await;
        assert!(folder.join("freehold.json").exists());
        crate::exports::wait_until_gone(&orphan).await;
        let token = server.sign_in(&organization.owner.email, None).await;
        download(&server, &export, &token).await;
    }

    async fn a_restored_database_removes_nothing_that_was_exported_after_its_backup(engine: Engine) {
        let mut server = Server::start(engine, &[]).await;
        let organization = server.new_organization().await;
        let before = made(&server, &organization).await;
        let backup = server.folder().join("backup.db");
        let (code, _, words) = server.command(&["backup", backup.to_str().unwrap()]).await;
        assert_eq!(code, 0, "{words}");
        let after = made(&server, &organization).await;
        server.stop().await;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let (code, _, words) = server.command_elsewhere(&["restore", backup.to_str().unwrap()], &data).await;
        assert_eq!(code, 0, "{words}");
        let exports = format!("--exports={}", server.exports_folder().display());
        let serve = ["serve", "--listen=127.0.0.1:0", &exports, "--ledger=none"];
        let (code, _, words) = server.command_elsewhere(&serve, &data).await;
        assert!(code == 1 && words.contains("newer than the backup") && words.contains(&after) && !words.contains(&before), "{words}");
        assert!(words.contains("--take-exports-over"), "{words}");
        assert_eq!(server.exported_files().len(), 2);
        server.note_altered();
    }

    async fn a_database_that_is_restored_in_its_place_has_its_exports(engine: Engine) {
        let mut server = Server::start(engine, &[]).await;
        let organization = server.new_organization().await;
        let export = made(&server, &organization).await;
        let backup = server.folder().join("backup.db");
        let (code, _, words) = server.command(&["backup", backup.to_str().unwrap()]).await;
        assert_eq!(code, 0, "{words}");
        server.stop().await;
        let exports = format!("--exports={}", server.exports_folder().display());
        let mut restored = server.start_restored(engine, &backup).await;
        // It has not got the archive yet, which the doctor would say.
        restored.note_altered();
        restored.stop().await;
        restored.start_again_with(&[&exports]).await;
        let token = restored.sign_in(&organization.owner.email, None).await;
        download(&restored, &export, &token).await;
        server.note_altered();
    }
}

on_both_engines! {
    async fn an_archive_is_sent_in_parts_and_says_which_it_is(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let export = made(&server, &organization).await;
        let path = format!("/api/exports/{export}/download");
        let get = || server.request(Method::GET, &path).bearer_auth(token);
        let whole = answered(get(), StatusCode::OK).await;
        let tag = header(&whole, "etag").to_owned();
        let whole = whole.bytes().await.unwrap();
        for (range, part) in [("bytes=0-0", &whole[..1]), ("bytes=-7", &whole[whole.len() - 7..]), ("bytes=10-", &whole[10..])] {
            let answer = answered(get().header("Range", range).header("If-Range", &tag), StatusCode::PARTIAL_CONTENT).await;
            assert!(header(&answer, "content-range").ends_with(&format!("/{}", whole.len())));
            assert_eq!(answer.bytes().await.unwrap(), part, "{range}");
        }
        // A client that has it gets nothing again, and one that wants another is told; both before the range is looked at.
        let known = answered(get().header("If-None-Match", &tag).header("Range", "bytes=999999999-"), StatusCode::NOT_MODIFIED).await;
        assert_eq!(header(&known, "etag"), tag);
        assert!(known.bytes().await.unwrap().is_empty());
        refused(get().header("If-Match", "\"other\"").header("Range", "bytes=999999999-"), StatusCode::PRECONDITION_FAILED).await;
        answered(get().header("If-Match", &tag).header("If-None-Match", "\"other\""), StatusCode::OK).await;
        let problem = refused(get().header("Range", "bytes=999999999-"), StatusCode::RANGE_NOT_SATISFIABLE).await;
        assert_eq!(problem["error_code"], "range_not_satisfiable");
        // Parts are of what is sent: a look gets the size of the whole.
        let look = server.request(Method::HEAD, &path).bearer_auth(token).header("Range", "bytes=0-0");
        let look = answered(look, StatusCode::OK).await;
        assert_eq!(header(&look, "content-length"), whole.len().to_string());
    }

    async fn an_archive_that_was_changed_is_never_sent_whole_and_the_doctor_finds_it(server: Server) {
        let mut server = server;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let export = made(&server, &organization).await;
        let lost = made(&server, &organization).await;
        let archive = fs::OpenOptions::new().write(true).open(server.exports_folder().join(format!("{export}.zip"))).unwrap();
        archive.write_all_at(b"\0\0\0\0", 40).unwrap();
        fs::remove_file(server.exports_folder().join(format!("{lost}.zip"))).unwrap();
        fs::write(server.exports_folder().join("it's mine"), "").unwrap();
        let path = format!("/api/exports/{export}/download");
        // Its last piece never comes; of a small one that is the first.
        let answer = server.request(Method::GET, &path).bearer_auth(token).send().await;
        assert!(match answer {
            Ok(answer) => answer.bytes().await.is_err(),
            Err(_) => true,
        });
        server.note_altered();
        server.stop().await;
        let (code, out, _) = server.doctor(&["--json"]).await;
        assert_eq!(code, 1);
        let told: Json = serde_json::from_str(&out).unwrap();
        let check = told["checks"].as_array().unwrap().iter().find(|check| check["check"] == "archives").unwrap();
        let findings = check["findings"].as_array().unwrap();
        let samples: Vec<&Json> = findings.iter().map(|finding| &finding["sample"][0]).collect();
        assert_eq!(samples, [&*lost, &*export, "it's mine"], "{check}");
        assert!(findings[0]["remedy"].as_str().unwrap().contains(&format!("freehold exports delete {lost}")), "{check}");
        // What is to be pasted does what it says.
        let remedy = findings[2]["remedy"].as_str().unwrap().split("remove them: ").nth(1).unwrap();
        assert!(Command::new("sh").args(["-c", remedy]).status().await.unwrap().success(), "{remedy}");
        assert!(!server.exports_folder().join("it's mine").exists());
        let (_, out, _) = server.doctor(&["--exports=/nowhere/at/all"]).await;
        assert!(out.contains("2 in exports: archives of exports in /nowhere/at/all are not there"), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_databases_folder_is_taken_over_only_in_words() {
    let mut server = Server::start(Engine::Sqlite, &[]).await;
    let organization = server.new_organization().await;
    let export = made(&server, &organization).await;
    server.stop().await;
    let mut other = Server::start(Engine::Sqlite, &[]).await;
    other.stop().await;
    let exports = format!("--exports={}", server.exports_folder().display());
    other.start_again_with(&[&exports, "--take-exports-over"]).await;
    super::wait_until_gone(&server.exports_folder().join(format!("{export}.zip"))).await;
    expect(other.request(Method::GET, "/health/ready"), StatusCode::OK).await;
    server.note_altered();
}
