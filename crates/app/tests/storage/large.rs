//! Archives of more than one part of an upload, and of many pieces of a download.

use reqwest::StatusCode;
use serde_json::json;

use crate::moto::Moto;
use crate::on_both_engines;
use crate::support::archive::Archive;
use crate::support::{Engine, Organization, Server, header};
use crate::{EXPORTS, change_database, download, order, sha256, wait_until_done};

/// Bytes of a part of an upload.
const PART: usize = 8 * 1024 * 1024;
/// Bytes that are asked of a bucket at once.
const FETCH: usize = 512 * 1024;
/// Rows, each with 8 KiB of hexadecimal digits by chance, which come to half of that in an archive.
const ROWS: usize = 2_600;

/// Gives an organization so much that its archive has more than one part.
async fn fill(server: &Server, organization: &Organization) {
    server.new_customer(organization, &organization.owner.token).await;
    let (id, message, now, numbers) = match server.engine {
        Engine::Sqlite => (
            "randomblob(16)",
            "hex(randomblob(4096))",
            "1767225600000000",
            format!(
                "(WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {ROWS}) SELECT number FROM numbers)"
            ),
        ),
        Engine::Postgresql => (
            "gen_random_uuid()",
            "(SELECT string_agg(md5(random()::text || number || part), '') FROM generate_series(1, 256) AS part)",
            "timestamptz '2026-01-01'",
            format!("(SELECT generate_series(1, {ROWS}) AS number)"),
        ),
    };
    let insert = format!(
        "INSERT INTO activity_entries (organization_id, customer_id, id, kind, message, created_at)
         SELECT customers.organization_id, customers.id, {id}, 'note', {message}, {now} FROM customers, {numbers} AS numbers"
    );
    change_database(server, &insert).await;
}

async fn check(server: &Server) {
    let organization = server.new_organization().await;
    let token = &organization.owner.token;
    fill(server, &organization).await;
    let export = order(server, &organization).await;
    let record = wait_until_done(server, &export, token).await;
    assert!(record["tables"].as_array().unwrap().contains(&json!({"table": "activity_entries", "rows": ROWS})), "{record}");
    let whole = download(server, &export, token).send().await.unwrap().bytes().await.unwrap();
    assert!(whole.len() > PART, "{} bytes", whole.len());
    assert_eq!((record["bytes"].as_u64().unwrap(), record["sha256"].as_str().unwrap()), (whole.len() as u64, &*sha256(&whole)));
    assert_eq!(Archive::unpack(whole.to_vec()).rows("activity_entries").len(), ROWS);
    let end = whole.len() - 1;
    for (first, last) in
        [(FETCH - 1, FETCH), (1, 2 * FETCH + 1), (PART - 1, PART), (PART - FETCH - 7, PART + FETCH + 7), (end, end), (0, end)]
    {
        let part = download(server, &export, token).header("Range", format!("bytes={first}-{last}")).send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(header(&part, "content-range"), format!("bytes {first}-{last}/{}", whole.len()));
        assert!(part.bytes().await.unwrap() == whole[first..=last], "{first}-{last}");
    }
}

on_both_engines! {
    async fn an_archive_of_several_parts_comes_back_from_a_bucket_whole_and_across_its_seams(engine: Engine) {
        let moto = Moto::start().await;
        let server = moto.server(engine, &[EXPORTS]).await;
        check(&server).await;
        assert!(moto.uploads().await.is_empty());
    }

    async fn an_archive_of_the_same_size_comes_back_from_a_folder(engine: Engine) {
        check(&Server::start(engine, &[]).await).await;
    }
}
