//! The secrets that the server keeps encrypted, read with its key, and without its code.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::support::{Engine, Server};

/// The rows of a query with an id, as a text or as bytes, and a secret.
pub async fn kept(server: &Server, query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    match server.engine {
        Engine::Sqlite => {
            let connection = rusqlite::Connection::open(server.database_file()).unwrap();
            let mut prepared = connection.prepare(query).unwrap();
            let rows = prepared.query_map([], |row| {
                let id = row.get_ref(0)?.as_bytes_or_null()?.unwrap_or_default().to_vec();
                Ok((id, row.get(1)?))
            });
            rows.unwrap().map(Result::unwrap).collect()
        }
        Engine::Postgresql => {
            let (client, connection) = tokio_postgres::connect(server.database_url().unwrap(), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let rows = client.query(query, &[]).await.unwrap();
            let id = |row: &tokio_postgres::Row| match row.try_get::<_, String>(0) {
                Ok(text) => text.into_bytes(),
                Err(_) => row.get::<_, uuid::Uuid>(0).as_bytes().to_vec(),
            };
            rows.iter().map(|row| (id(row), row.get(1))).collect()
        }
    }
}

/// A secret of a row: a byte for the form, eight for the key, twelve for the nonce, and the rest bound to table and row.
pub fn decrypted(server: &Server, table: &str, row: &[u8], kept: &[u8]) -> Vec<u8> {
    let key = BASE64.decode(std::fs::read_to_string(server.key_file()).unwrap().trim()).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
    assert_eq!(kept[0], 1);
    let (nonce, text) = kept[9..].split_at(12);
    let mut text = text.to_vec();
    let bound = Aad::from([table.as_bytes(), &[0], row].concat());
    key.open_in_place(Nonce::try_assume_unique_for_key(nonce).unwrap(), bound, &mut text).unwrap().to_vec()
}

/// The keys that sign and verify tokens (PKCS #8), the newest last.
pub async fn signing_keys(server: &Server) -> Vec<Vec<u8>> {
    let rows = kept(server, "SELECT id, private_key FROM signing_keys ORDER BY created_at").await;
    rows.iter().map(|(id, kept)| decrypted(server, "signing_keys", id, kept)).collect()
}
