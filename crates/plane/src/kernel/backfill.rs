//! Fills the columns that a migration added and only the program can compute: the normal forms of rows that were written before there were
//! any. It goes in steps of a bounded size, each a transaction, and goes on where it was stopped, because what is not filled is NULL.

use sql::{Database, Tx, params, sql};
use uuid::Uuid;

use crate::normal_forms::{email_key, search_key};
use crate::{Error, Result};

/// Rows that one transaction fills at the most.
const STEP: i64 = 500;

/// Fills all that is missing. No request writes meanwhile: the server does not listen yet.
///
/// # Errors
/// The database's.
pub(crate) async fn run(db: &Database) -> Result<()> {
    let mut filled = 0;
    loop {
        let step: i64 = db.write(async move |tx| Ok::<_, Error>(users(tx).await? + invitations(tx).await? + customers(tx).await?)).await?;
        if step == 0 {
            break;
        }
        filled += step;
        if filled % (200 * STEP) == 0 {
            tracing::info!(rows = filled, "normal forms are being filled in");
        }
    }
    if filled > 0 {
        tracing::info!(rows = filled, "normal forms were filled in");
    }
    Ok(())
}

async fn users(tx: &mut Tx) -> Result<i64> {
    let select = sql!("SELECT id, email, name FROM users WHERE search_key IS NULL ORDER BY id LIMIT $1");
    let rows: Vec<(Uuid, String, String)> = tx.read_all(select, params![STEP]).await?;
    let number = rows.len() as i64;
    for (id, email, name) in rows {
        let mut key = email_key(&email);
        // Two accounts of one address: the older one has it from now on, ids being in the order of time. The other keeps its spelling as its
        // key, which is no normal form, so that its owner still signs in with just that.
        if tx.query_opt(sql!("SELECT 1 FROM users WHERE email_key = $1"), params![&key]).await?.is_some() {
            tracing::warn!(user = %id, "this account has the address of an older one in another spelling: it is reached with this spelling only");
            key = email.clone();
        }
        let update = sql!("UPDATE users SET email_key = $2, search_key = $3 WHERE id = $1");
        tx.execute(update, params![id, &key, search_key(&[&name], &email)]).await?;
    }
    Ok(number)
}

async fn invitations(tx: &mut Tx) -> Result<i64> {
    let select = sql!("SELECT organization_id, id, email FROM invitations WHERE email_key IS NULL ORDER BY organization_id, id LIMIT $1");
    let rows: Vec<(Uuid, Uuid, String)> = tx.read_all(select, params![STEP]).await?;
    let number = rows.len() as i64;
    for (organization, id, email) in rows {
        let update = sql!("UPDATE invitations SET email_key = $3 WHERE organization_id = $1 AND id = $2");
        tx.execute(update, params![organization, id, email_key(&email)]).await?;
    }
    Ok(number)
}

async fn customers(tx: &mut Tx) -> Result<i64> {
    let select = sql!(
        "SELECT organization_id, id, reference, name, email FROM customers WHERE search_key IS NULL ORDER BY organization_id, id LIMIT $1"
    );
    let rows: Vec<(Uuid, Uuid, String, String, String)> = tx.read_all(select, params![STEP]).await?;
    let number = rows.len() as i64;
    for (organization, id, reference, name, email) in rows {
        let update = sql!("UPDATE customers SET email_key = $3, search_key = $4 WHERE organization_id = $1 AND id = $2");
        tx.execute(update, params![organization, id, email_key(&email), search_key(&[&name, &reference], &email)]).await?;
    }
    Ok(number)
}
