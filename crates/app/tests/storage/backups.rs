//! Backups in a bucket: so many are kept, and each comes back.

use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::moto::Moto;
use crate::on_both_engines;
use crate::support::{Engine, expect};

const BACKUPS: &str = "--backups=s3://bucket/nightly";

/// Waits until there is another backup than these, and returns its name.
async fn next(moto: &Moto, known: &[&str]) -> String {
    for _ in 0..3_000 {
        let new = moto.objects().await.into_iter().find(|name| name.ends_with("Z.db") && !known.contains(&name.as_str()));
        if let Some(new) = new {
            return new;
        }
        // The object is the event: there is nothing else to wait on from outside.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no new backup: {:?}", moto.objects().await)
}

on_both_engines! {
    async fn a_server_keeps_so_many_backups_in_the_bucket_and_each_comes_back(engine: Engine) {
        let moto = Moto::start().await;
        // The last of them lies further below, where it is another's.
        let below = "nightly/below/freehold-2019-01-01T00-00-00Z.db";
        let old = ["nightly/freehold-2020-01-01T00-00-00Z.db", "nightly/freehold-2020-01-02T00-00-00Z.db", below];
        for name in old.iter().chain(&["nightly/notes.db"]) {
            moto.put(name, b"of before").await;
        }
        let mut server = moto.server(engine, &["--public-url=http://localhost:3001"]).await;
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        server.stop().await;
        server.start_again_with(&[BACKUPS, "--backups-kept=2"]).await;
        let taken = next(&moto, &old).await;
        moto.wait_until_gone(old[0]).await;
        let mut objects = moto.objects().await;
        objects.sort();
        assert_eq!(objects, [below, old[1], &taken, "nightly/notes.db"]);
        assert!(moto.uploads().await.is_empty());
        assert!(crate::figure(&server, "freehold_backup_last_success_timestamp_seconds").await > 1.0);

        let address = format!("s3://bucket/{taken}");
        for other in [Engine::Sqlite, Engine::Postgresql] {
            let restored = server.start_restored(other, Path::new(&address)).await;
            let token = restored.sign_in(&organization.owner.email, None).await;
            let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
            expect(restored.request(Method::GET, &path).bearer_auth(&token), StatusCode::OK).await;
        }
        // By hand, too, and never over one that is there.
        let by_hand = "s3://bucket/by-hand/before.db";
        let (code, out, words) = server.command(&["backup", by_hand]).await;
        assert!(code == 0 && out.contains(by_hand), "{out}{words}");
        let (code, _, words) = server.command(&["backup", by_hand]).await;
        assert!(code == 1 && words.contains("is there already"), "{words}");
        server.start_restored(engine, Path::new(by_hand)).await;

        // One that is damaged is not restored, be it by one bit.
        let mut damaged = moto.get("by-hand/before.db").await;
        let sha256 = crate::sha256(&damaged);
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        moto.put_with_checksum("by-hand/damaged.db", &damaged, &sha256).await;
        damaged.truncate(middle);
        moto.put("by-hand/cut.db", &damaged).await;
        let folder = tempfile::tempdir().unwrap();
        for (name, needed) in [("damaged", "what is stored is not what was written"), ("cut", "")] {
            let address = format!("s3://bucket/by-hand/{name}.db");
            let (code, _, words) = server.command_elsewhere(&["restore", &address], &folder.path().join("data")).await;
            assert!(code == 1 && words.contains(needed) && !words.contains("http"), "{words}");
        }
        let (code, _, words) = server.command_elsewhere(&["restore", "s3://bucket/by-hand/none.db"], &folder.path().join("data")).await;
        assert!(code == 1 && words.contains("there is no backup at s3://bucket/by-hand/none.db"), "{words}");
    }
}
