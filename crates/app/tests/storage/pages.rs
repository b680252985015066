//! What the operating guide says of buckets, as it stands there.

use crate::moto::Moto;
use crate::support::Engine;
use crate::support::pasting::{block, paste};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_page_work_with_a_bucket() {
    let moto = Moto::start().await;
    let mut server = moto.server(Engine::Sqlite, &[]).await;
    server.stop().await;
    let text = block("docs/guide/operating.md", "freehold serve --exports");
    let restored = server.folder().join("restored");
    let text = text.replace("/var/lib/freehold", restored.to_str().unwrap());
    let said = paste(
        &text,
        server.folder(),
        &[
            ("AWS_ENDPOINT_URL", moto.url.as_str()),
            ("AWS_ACCESS_KEY_ID", &moto.key),
            ("AWS_SECRET_ACCESS_KEY", &moto.secret),
            ("AWS_REGION", "us-east-1"),
        ],
    )
    .await;
    assert!(said.contains("ready") && said.contains("Nothing was found."), "{said}");
    assert!(restored.join("freehold.db").is_file());
    let objects = moto.objects().await;
    assert!(objects.contains(&"by-hand/before.db".to_owned()) && objects.contains(&"exports/freehold.json".to_owned()), "{objects:?}");
}
