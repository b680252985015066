//! The people who run the server. Others make and unmake them with the database in their hands: none of it is within reach of a request.

use jiff::Timestamp;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::about;
use crate::audit::{self, NO_ORGANIZATION};
use crate::authority::revoke;
use crate::normal_forms::email_key;
use crate::{Cx, Error, Result, ledger};

/// One of the people who run the server.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Their id.
    pub id: Uuid,
    /// Their address.
    pub email: String,
    /// Their name.
    pub name: String,
    /// When their account was made.
    pub created_at: Timestamp,
}

/// All of them, by their address.
///
/// # Errors
/// The database's.
pub async fn list(cx: &Cx) -> Result<Vec<Operator>> {
    cx.read((), |_, tx, ()| {
        Box::pin(async move {
            let statement =
                sql!("SELECT id, email, name, created_at FROM users WHERE is_operator AND state = 'live' ORDER BY email_key, id");
            let rows = tx.query(statement, &[]).await?.into_iter();
            rows.map(|mut row| Ok(Operator { id: row.next()?, email: row.next()?, name: row.next()?, created_at: row.next()? })).collect()
        })
    })
    .await
}

/// Makes an account that is there one of them. Their sessions end: they were begun with fewer rights. Returns its id.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when they are one already.
pub async fn add(cx: &Cx, email: &str) -> Result<Uuid> {
    cx.write_as_server(email.to_owned(), |cx, tx, email| {
        Box::pin(async move {
            let (id, is_operator) = find(tx, email).await?;
            if is_operator {
                return Err(Error::Conflict(format!("{email} is an operator already.")));
            }
            set(cx, tx, id, true).await?;
            Ok(id)
        })
    })
    .await
}

/// Makes one of them an account like any other. Their sessions end. The last one stays, unless `also_the_last`.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when they are none, or the last.
pub async fn remove(cx: &Cx, email: &str, also_the_last: bool) -> Result<Uuid> {
    cx.write_as_server((email.to_owned(), also_the_last), |cx, tx, (email, also_the_last)| {
        Box::pin(async move {
            let (id, is_operator) = find(tx, email).await?;
            if !is_operator {
                return Err(Error::Conflict(format!("{email} is no operator.")));
            }
            let others = sql!("SELECT 1 FROM users WHERE is_operator AND state = 'live' AND id <> $1 LIMIT 1");
            if !also_the_last && tx.query_opt(others, params![id]).await?.is_none() {
                return Err(Error::Conflict(format!("{email} is the last operator: add another one first.")));
            }
            set(cx, tx, id, false).await?;
            Ok(id)
        })
    })
    .await
}

async fn find(tx: &mut Tx, email: &str) -> Result<(Uuid, bool)> {
    let statement = sql!("SELECT id, is_operator FROM users WHERE email_key = $1 AND state = 'live'");
    let mut row = tx.query_opt(statement, params![email_key(email)]).await?.ok_or(Error::NotFound("Account"))?;
    Ok((row.next()?, row.next()?))
}

async fn set(cx: &Cx, tx: &mut Tx, user: Uuid, is_operator: bool) -> Result<()> {
    revoke(cx, tx, user).await?;
    tx.execute(sql!("UPDATE users SET is_operator = $2 WHERE id = $1"), params![user, is_operator]).await?;
    tx.execute(sql!("DELETE FROM sessions WHERE user_id = $1"), params![user]).await?;
    ledger::note(cx, tx, ledger::Entry::Operator { user, is_operator });
    let action = if is_operator { "operator.add" } else { "operator.remove" };
    audit::record(cx, tx, NO_ORGANIZATION, &about(action, user)).await
}
