//! What goes wrong with a bucket: it is away, refuses the credentials, or has lost something.

use reqwest::{Method, StatusCode};
use serde_json::Value as Json;

use crate::moto::{Moto, Way};
use crate::on_both_engines;
use crate::support::archive::Archive;
use crate::support::{Engine, expect, header};
use crate::{EXPORTS, download, figure, order, read, wait_until, wait_until_done};

const UP: &str = "freehold_exports_place_up";

/// Fails where words for people tell of addresses, of what a storage answers, or of credentials.
fn hides(words: &str, moto: &Moto) {
    for secret in ["http", "<Code>", "<?xml", "127.0.0.1", "reqwest", &moto.key, &moto.secret] {
        assert!(!words.contains(secret), "{secret} is in {words}");
    }
}

on_both_engines! {
    async fn a_bucket_that_is_away_is_waited_for_and_nothing_else_is_disturbed(engine: Engine) {
        let moto = Moto::start_with_auth().await;
        moto.let_through(Way::Cut);
        let server = moto.server(engine, &[EXPORTS]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        expect(server.request(Method::GET, "/health/ready"), StatusCode::OK).await;
        let export = order(&server, &organization).await;
        let record = wait_until(&server, &export, token, |record| record["error"] != Json::Null).await;
        let words = record["error"].as_str().unwrap();
        assert!(words.contains("cannot be reached"), "{record}");
        hides(words, &moto);
        assert_eq!(figure(&server, UP).await, 0.0);
        moto.let_through(Way::Open);
        wait_until_done(&server, &export, token).await;
        assert_eq!(figure(&server, UP).await, 1.0);

        moto.let_through(Way::Cut);
        let away = download(&server, &export, token).send().await.unwrap();
        assert_eq!(away.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!header(&away, "retry-after").is_empty());
        let problem: Json = away.json().await.unwrap();
        hides(problem["detail"].as_str().unwrap(), &moto);
        moto.let_through(Way::Open);
        let archive = download(&server, &export, token).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(Archive::unpack(archive.to_vec()).rows("organizations").len(), 1);
        let log = server.log();
        assert!(log.contains("the bucket cannot be reached") && !log.contains(&moto.secret) && !log.contains("<Code>"), "{log}");
    }

    async fn a_deletion_waits_for_its_export_however_long_the_bucket_is_away(engine: Engine) {
        let moto = Moto::start().await;
        let server = moto.server(engine, &[EXPORTS]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        server.new_customer(&organization, token).await;
        moto.let_through(Way::Cut);
        let path = format!("/api/organizations/{}?export=true", organization.id);
        let answer = server.request(Method::DELETE, &path).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let deletion = header(&answer, "deletion-id").to_owned();
        let record = expect(server.request(Method::GET, &format!("/api/deletions/{deletion}")).bearer_auth(token), StatusCode::OK).await;
        let export = record["exportId"].as_str().unwrap_or_else(|| panic!("{record}")).to_owned();
        wait_until(&server, &export, token, |record| record["error"] != Json::Null).await;
        let record = expect(server.request(Method::GET, &format!("/api/deletions/{deletion}")).bearer_auth(token), StatusCode::OK).await;
        assert_ne!(record["state"], "completed", "{record}");
        moto.let_through(Way::Open);
        server.wait_for_completion(&deletion, token).await;
        let archive = download(&server, &export, token).send().await.unwrap().bytes().await.unwrap();
        let archive = Archive::unpack(archive.to_vec());
        assert_eq!((archive.rows("organizations").len(), archive.rows("customers").len()), (1, 1));
        assert!(moto.objects().await.contains(&format!("kept/here/{export}.zip")));
    }

    async fn wrong_credentials_are_told_and_an_export_waits_for_better_ones(engine: Engine) {
        let moto = Moto::start_with_auth().await;
        let server = moto.server_with(engine, &[EXPORTS], "a-wrong-secret-that-no-log-may-show").await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let export = order(&server, &organization).await;
        let record = wait_until(&server, &export, token, |record| record["error"] != Json::Null).await;
        assert_eq!(record["state"], "waiting");
        assert!(record["error"].as_str().unwrap().contains("refuses the server's credentials"), "{record}");
        assert_eq!(figure(&server, UP).await, 0.0);
        let log = server.log();
        assert!(log.contains("the bucket refuses the credentials") && log.contains("AWS_ACCESS_KEY_ID"), "{log}");
        assert!(!log.contains("a-wrong-secret") && !log.contains(&moto.key) && !log.contains("<Code>"), "{log}");
        server.note_altered();
        let (code, out, words) = server.doctor(&[EXPORTS]).await;
        if server.engine == Engine::Postgresql {
            assert!(code == 2 && out.contains("could not be checked") && out.contains("refuses the credentials"), "{code} {out} {words}");
        }
    }

    async fn a_bucket_that_is_removed_is_no_lost_archive(engine: Engine) {
        let mut moto = Moto::start().await;
        let server = moto.server(engine, &[EXPORTS]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let export = order(&server, &organization).await;
        wait_until_done(&server, &export, token).await;
        moto.remove_bucket().await;
        let away = download(&server, &export, token).send().await.unwrap();
        assert_eq!(away.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!header(&away, "retry-after").is_empty());
        assert_eq!(figure(&server, UP).await, 0.0);
        assert!(server.log().contains("there is no such bucket"), "{}", server.log());
        server.note_altered();
    }

    async fn what_the_bucket_has_lost_is_gone_and_the_doctor_finds_it(engine: Engine) {
        let moto = Moto::start().await;
        let mut server = moto.server(engine, &[EXPORTS, "--public-url=http://localhost:3001"]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (lost, cut, changed) = (order(&server, &organization).await, order(&server, &organization).await, order(&server, &organization).await);
        for export in [&lost, &cut, &changed] {
            wait_until_done(&server, export, token).await;
        }
        let object = |export: &str| format!("kept/here/{export}.zip");
        moto.remove(&object(&lost)).await;
        moto.put(&object(&cut), b"PK").await;
        let mut archive = moto.get(&object(&changed)).await;
        let middle = archive.len() / 2;
        archive[middle] ^= 1;
        moto.put(&object(&changed), &archive).await;
        moto.put("kept/here/notes.txt", b"of others").await;
        for export in [&lost, &cut] {
            let gone = download(&server, export, token).send().await.unwrap();
            assert_eq!(gone.status(), StatusCode::GONE);
        }
        // Of one that is as long as it was, the end is not sent.
        assert!(match download(&server, &changed, token).send().await {
            Ok(answer) => answer.bytes().await.is_err(),
            Err(_) => true,
        });
        assert_eq!(read(&server, &changed, token).await["state"], "done");
        server.note_altered();
        server.stop().await;
        let (code, out, words) = server.doctor(&[EXPORTS]).await;
        assert_eq!(code, 1, "{words}");
        for needed in ["1 in exports: archives", "are not there", "2 in exports: archives", "are not as they were written", "notes.txt", &lost, &cut, &changed] {
            assert!(out.contains(needed), "{needed} is not in {out}");
        }
        assert!(out.contains("aws s3 rm 's3://bucket/kept/here/notes.txt'"), "{out}");
        assert!(out.contains(&format!("freehold exports delete {lost}")), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_cannot_be_one_is_refused_before_the_server_starts() {
    let moto = Moto::start().await;
    let mut server = moto.server(Engine::Sqlite, &[]).await;
    server.stop().await;
    for (place, needed) in [("gs://bucket", "s3://bucket/prefix"), ("s3://B", "3 to 63 small letters"), ("s3://bucket/a//b", "the prefix")]
    {
        for flag in ["--exports", "--backups"] {
            let (code, _, words) = server.command(&["serve", "--listen=127.0.0.1:0", flag, place]).await;
            assert!(code == 2 && words.contains(needed), "{place}: {words}");
        }
    }
}
