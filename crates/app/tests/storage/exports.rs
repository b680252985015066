//! Exports in a bucket: whole, in parts, for as long as they are to be there, and of one database.

use reqwest::{Method, StatusCode};
use serde_json::Value as Json;

use crate::moto::{Moto, Way};
use crate::on_both_engines;
use crate::support::archive::Archive;
use crate::support::{Engine, Server, expect, header};
use crate::{EXPORTS, change_database, download, order, read, sha256, wait_until_done};

fn object(export: &str) -> String {
    format!("kept/here/{export}.zip")
}

/// What a server says that does not start with the same variables.
async fn refusal(server: &Server, arguments: &[&str]) -> String {
    let (code, _, words) = server.command(&[&["serve", "--listen=127.0.0.1:0"], arguments].concat()).await;
    assert_eq!(code, 1, "{words}");
    words
}

on_both_engines! {
    async fn an_export_goes_to_the_bucket_and_comes_back_whole_and_in_parts(engine: Engine) {
        let moto = Moto::start().await;
        let server = moto.server(engine, &[EXPORTS]).await;
        let organization = server.new_organization().await;
        server.new_customer(&organization, &organization.owner.token).await;
        let token = &organization.owner.token;
        let export = order(&server, &organization).await;
        let record = wait_until_done(&server, &export, token).await;
        let mut objects = moto.objects().await;
        objects.sort();
        assert_eq!(objects, [object(&export), "kept/here/freehold.json".to_owned()], "no draft is left");
        assert!(!server.exports_folder().exists(), "nothing lies on the server's disk");

        let whole = download(&server, &export, token).send().await.unwrap();
        assert_eq!((whole.status(), header(&whole, "accept-ranges")), (StatusCode::OK, "bytes"));
        let tag = header(&whole, "etag").to_owned();
        let whole = whole.bytes().await.unwrap();
        let sha256 = sha256(&whole);
        assert_eq!((record["sha256"].as_str().unwrap(), record["bytes"].as_u64().unwrap()), (&*sha256, whole.len() as u64));
        assert_eq!(tag, format!("\"{sha256}\""));
        assert_eq!(Archive::unpack(whole.to_vec()).rows("customers").len(), 1);

        let mut together = Vec::new();
        let (third, end) = (whole.len() / 3, whole.len() - 1);
        for (range, first, last) in [
            (format!("bytes=0-{}", third - 1), 0, third - 1),
            (format!("bytes={third}-{}", 2 * third - 1), third, 2 * third - 1),
            (format!("bytes={}-", 2 * third), 2 * third, end),
        ] {
            let part = download(&server, &export, token).header("Range", range).header("If-Range", &tag).send().await.unwrap();
            assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
            assert_eq!(header(&part, "content-range"), format!("bytes {first}-{last}/{}", whole.len()));
            assert_eq!(header(&part, "content-length"), (last - first + 1).to_string());
            together.extend(part.bytes().await.unwrap());
        }
        assert_eq!(together, whole);
        let other = download(&server, &export, token).header("Range", "bytes=0-9").header("If-Range", "\"other\"").send().await.unwrap();
        assert_eq!((other.status(), other.bytes().await.unwrap()), (StatusCode::OK, whole.clone()));
        let beyond = download(&server, &export, token).header("Range", format!("bytes={}-", whole.len())).send().await.unwrap();
        assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(header(&beyond, "content-range"), format!("bytes */{}", whole.len()));

        expect(server.request(Method::DELETE, &format!("/api/exports/{export}")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        moto.wait_until_gone(&object(&export)).await;
        assert_eq!(moto.objects().await, ["kept/here/freehold.json"]);
    }

    async fn what_others_have_in_the_bucket_disturbs_nothing(engine: Engine) {
        let moto = Moto::start().await;
        // A console's folder, names that the library cannot read, and one of another's.
        for name in ["kept/here/", "kept/here/below//odd", "kept//odd", "kept/here//odd", "kept/here/0//odd", "kept/here/~/odd"] {
            moto.put(name, b"").await;
        }
        let mut server = moto.server(engine, &[EXPORTS, "--public-url=http://localhost:3001"]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let export = order(&server, &organization).await;
        wait_until_done(&server, &export, token).await;
        let kept = order(&server, &organization).await;
        wait_until_done(&server, &kept, token).await;
        expect(server.request(Method::DELETE, &format!("/api/exports/{export}")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        moto.wait_until_gone(&object(&export)).await;
        server.stop().await;
        let (code, out, words) = server.doctor(&[EXPORTS]).await;
        assert_eq!(code, 0, "{out}{words}");
        for name in ["kept/here//", "kept/here/0//"] {
            assert!(server.log().matches(&format!("name=\"{name}\"")).count() <= 1, "{}", server.log());
        }
    }

    async fn an_object_whose_name_cannot_be_read_keeps_no_other_from_being_removed(engine: Engine) {
        let moto = Moto::start().await;
        for name in ["kept/here/%09first", "kept/here/7%09", "kept/here/last%09"] {
            moto.put(name, b"").await;
        }
        let mut server = moto.server(engine, &[EXPORTS, "--public-url=http://localhost:3001"]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for _ in 0..2 {
            let export = order(&server, &organization).await;
            wait_until_done(&server, &export, token).await;
            expect(server.request(Method::DELETE, &format!("/api/exports/{export}")).bearer_auth(token), StatusCode::NO_CONTENT).await;
            moto.wait_until_gone(&object(&export)).await;
        }
        let log = server.log();
        for name in ["kept/here/\\tfirst", "kept/here/7\\t", "kept/here/last\\t"] {
            assert_eq!(log.matches(&format!("name=\"{name}\"")).count(), 1, "{log}");
        }
        server.note_altered();
        server.stop().await;
        let (code, out, words) = server.doctor(&[EXPORTS]).await;
        assert_eq!(code, 1, "{words}");
        assert!(out.contains("are of no export") && out.contains("aws s3 rm 's3://bucket/kept/here/last\t'"), "{out}");
    }

    async fn a_server_on_a_copy_of_the_database_takes_the_bucket_from_the_older_one(engine: Engine) {
        let moto = Moto::start().await;
        let mut older = moto.server(engine, &[EXPORTS, "--public-url=http://localhost:3001"]).await;
        let organization = older.new_organization().await;
        let token = &organization.owner.token;
        let export = order(&older, &organization).await;
        wait_until_done(&older, &export, token).await;
        older.stop().await;
        let newer = older.start_copy(&[EXPORTS, "--take-exports-over", "--public-url=http://localhost:3001"]).await;
        let archive = download(&newer, &export, token).send().await.unwrap();
        assert_eq!(archive.status(), StatusCode::OK);
        // The older one writes and removes nothing there any more, and says so.
        let late = order(&older, &organization).await;
        let record = crate::wait_until(&older, &late, token, |record| record["error"] != Json::Null).await;
        assert!(record["error"].as_str().unwrap().contains("a copy of this one"), "{record}");
        expect(older.request(Method::DELETE, &format!("/api/exports/{export}")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let next = order(&newer, &organization).await;
        wait_until_done(&newer, &next, token).await;
        assert!(moto.objects().await.contains(&object(&export)), "the newer one's archive is removed by the older one");
        older.note_altered();
    }

    async fn a_server_that_is_killed_in_the_middle_of_an_upload_begins_again_and_leaves_no_parts(engine: Engine) {
        let moto = Moto::start().await;
        let mut server = moto.server(engine, &[EXPORTS, "--public-url=http://localhost:3001"]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        moto.let_through(Way::WithoutParts);
        let export = order(&server, &organization).await;
        let draft = format!("kept/here/{export}.1.part");
        while !moto.objects().await.contains(&draft) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(moto.uploads().await.len(), 1);
        server.kill().await;
        moto.let_through(Way::Open);
        server.start_again().await;
        wait_until_done(&server, &export, token).await;
        moto.wait_until_gone(&draft).await;
        assert!(moto.uploads().await.is_empty(), "{:?}", moto.uploads().await);
        let archive = download(&server, &export, token).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(Archive::unpack(archive.to_vec()).rows("organizations").len(), 1);
    }

    async fn an_archive_goes_when_it_expires_and_with_its_organization(engine: Engine) {
        let moto = Moto::start().await;
        let server = moto.server(engine, &[EXPORTS]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let expiring = order(&server, &organization).await;
        wait_until_done(&server, &expiring, token).await;
        change_database(&server, "UPDATE exports SET expires_at = created_at").await;
        moto.wait_until_gone(&object(&expiring)).await;
        assert_eq!(read(&server, &expiring, token).await["state"], "expired");
        let export = order(&server, &organization).await;
        wait_until_done(&server, &export, token).await;
        let path = format!("/api/organizations/{}", organization.id);
        expect(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        moto.wait_until_gone(&object(&export)).await;
    }

    async fn a_prefix_is_one_databases_until_it_is_taken_over_in_words(engine: Engine) {
        let moto = Moto::start().await;
        let first = moto.server(engine, &[EXPORTS]).await;
        let organization = first.new_organization().await;
        let token = &organization.owner.token;
        let export = order(&first, &organization).await;
        wait_until_done(&first, &export, token).await;
        // Another database, with another folder of data.
        let mut second = moto.server(engine, &["--exports=s3://bucket/other"]).await;
        second.stop().await;
        let words = refusal(&second, &[EXPORTS]).await;
        assert!(words.contains("belong to another database") && words.contains("--exports") && words.contains("--take-exports-over"), "{words}");
        assert!(moto.objects().await.contains(&object(&export)));
        // One that is restored from a backup of the first is another one: both may run.
        let folder = tempfile::tempdir().unwrap();
        let backup = folder.path().join("backup.db");
        assert_eq!(first.command(&["backup", backup.to_str().unwrap()]).await.0, 0);
        let data = folder.path().join("data");
        let (code, _, words) = first.command_elsewhere(&["restore", backup.to_str().unwrap()], &data).await;
        assert_eq!(code, 0, "{words}");
        let (code, _, words) = first.command_elsewhere(&["serve", "--listen=127.0.0.1:0", EXPORTS, "--ledger=none"], &data).await;
        assert!(code == 1 && words.contains("belong to another database"), "{words}");
        assert!(moto.objects().await.contains(&object(&export)));

        second.start_again_with(&[EXPORTS, "--take-exports-over"]).await;
        moto.wait_until_gone(&object(&export)).await;
        // The first writes and removes nothing there any more, and says so.
        let late = order(&first, &organization).await;
        let record = crate::wait_until(&first, &late, token, |record| record["error"] != Json::Null).await;
        assert!(record["error"].as_str().unwrap().contains("belongs to another database"), "{record}");
        let answer = download(&first, &export, token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::GONE);
        first.note_altered();
    }
}
