//! A pooler before PostgreSQL that gives each transaction another session is refused: it would lose locks and settings now and then.

use std::sync::Arc;

use sql::{Database, Error, Options, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::engines::Place;

/// One message of PostgreSQL's protocol: its kind, and all of its bytes. The first of a client has no kind.
async fn message(from: &mut TcpStream, has_kind: bool) -> Option<(u8, Vec<u8>)> {
    let mut bytes = vec![0; if has_kind { 5 } else { 4 }];
    from.read_exact(&mut bytes).await.ok()?;
    let length = bytes.last_chunk().map(|length| u32::from_be_bytes(*length) as usize)?;
    let head = bytes.len();
    bytes.resize(head + length - 4, 0);
    from.read_exact(&mut bytes[head..]).await.ok()?;
    Some((bytes[0], bytes))
}

/// A pooler in transaction mode with one session, for statements without parameters.
async fn pooler(server: String, database: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut session = TcpStream::connect(server).await.unwrap();
    let words = format!("\0\x03\0\0user\0postgres\0database\0{database}\0\0");
    session.write_all(&[&(words.len() as u32 + 4).to_be_bytes()[..], words.as_bytes()].concat()).await.unwrap();
    while message(&mut session, true).await.unwrap().0 != b'Z' {}
    let session = Arc::new(Mutex::new(session));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, session.clone()));
        }
    });
    port
}

async fn serve(mut client: TcpStream, session: Arc<Mutex<TcpStream>>) -> Option<()> {
    message(&mut client, false).await?;
    // Welcome, and what for.
    client.write_all(b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x01Z\0\0\0\x05I").await.ok()?;
    loop {
        let (mut kind, mut bytes) = message(&mut client, true).await?;
        let mut lent = session.lock().await;
        // Until the transaction ends.
        loop {
            if kind == b'X' {
                return None;
            }
            lent.write_all(&bytes).await.ok()?;
            let is_free = loop {
                let (kind, bytes) = message(&mut lent, true).await?;
                client.write_all(&bytes).await.ok()?;
                if kind == b'Z' {
                    break bytes.ends_with(b"I");
                }
            };
            if is_free {
                break;
            }
            (kind, bytes) = message(&mut client, true).await?;
        }
    }
}

#[tokio::test]
async fn a_pooler_that_lends_sessions_for_a_transaction_is_refused_with_the_remedy() -> Result<()> {
    let place = Place::postgres().await;
    let (before, database) = place.options.url.rsplit_once('/').unwrap();
    let (user, server) = before.rsplit_once('@').unwrap();
    for is_server in [false, true] {
        let port = pooler(server.to_owned(), database.to_owned()).await;
        let options = Options { is_server, ..Options::new(format!("{user}@127.0.0.1:{port}/{database}")) };
        let refused = Database::open(&options).await.err().expect("it is refused");
        assert!(matches!(&refused, Error::Migration(words) if words.contains("PgBouncer") && words.contains("own address")), "{refused:?}");
    }
    place.remove().await;
    Ok(())
}
