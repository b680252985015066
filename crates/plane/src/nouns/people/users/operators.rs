//! The people who run the server. The first one is made at its command line, with the database in hand; they make and unmake each other there, or by a
//! request, with a reason and a fresh sign-in.

use jiff::Timestamp;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::access::as_operator;
use crate::audit::{self, Note};
use crate::authority::revoke;
use crate::cx::Actor;
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::ids::SERVER_SCOPE;
use crate::normal_forms::email_key;
use crate::{Cx, Error, FieldError, Result, ledger, sessions};

/// To those who are none.
const REFUSAL: &str = "Access denied. This is for the operators of the server.";

/// One of the people who run the server.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Operator {
    /// Their id.
    pub id: Uuid,
    /// Their address.
    #[schemars(length(min = 1, max = 254), example = &"ada@example.com")]
    pub email: String,
    /// Their name.
    #[schemars(length(min = 1, max = 100), example = &"Ada Lovelace")]
    pub name: String,
    /// When the account was made.
    pub created_at: Timestamp,
}

columns! { Operator { id, email, name, created_at } }

/// All of them, by their address. For operators, and for the program itself.
///
/// # Errors
/// [`Error::Forbidden`]; the database's.
pub async fn list(cx: &Cx) -> Result<Vec<Operator>> {
    if !matches!(cx.actor, Actor::System) {
        as_operator(cx, REFUSAL)?;
    }
    cx.read(async move |_, tx| {
        let statement = sql!("SELECT {columns} FROM users WHERE is_operator AND state = 'live' ORDER BY email_key, id", Operator);
        Ok(tx.read_all(statement, &[]).await?)
    })
    .await
}

/// Makes an account that is there one of them. Their sessions end: they were begun with fewer rights. Returns its id.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when they are one already.
pub async fn add(cx: &Cx, email: &str) -> Result<Uuid> {
    let email = email.to_owned();
    cx.write_as_server(async move |cx, tx| {
        let (id, is_operator) = find(tx, &email).await?;
        if is_operator {
            return Err(Error::Conflict(format!("{email} is an operator already.")));
        }
        set(cx, tx, id, true, None).await?;
        Ok(id)
    })
    .await
}

/// Makes one of them an account like any other. Their sessions end. The last one stays, unless `also_the_last`.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when they are none, or the last.
pub async fn remove(cx: &Cx, email: &str, also_the_last: bool) -> Result<Uuid> {
    let email = email.to_owned();
    cx.write_as_server(async move |cx, tx| {
        lock_all(tx).await?;
        let (id, is_operator) = find(tx, &email).await?;
        if !is_operator {
            return Err(Error::Conflict(format!("{email} is no operator.")));
        }
        if !&also_the_last && is_last(tx, id).await? {
            return Err(Error::Conflict(format!("{email} is the last operator: add another one first.")));
        }
        set(cx, tx, id, false, None).await?;
        Ok(id)
    })
    .await
}

/// Makes the person with this address an operator, for an operator who has just signed in. Their sessions end.
///
/// # Errors
/// [`Error::Forbidden`] for everybody else, and for a session older than ten minutes; [`Error::Invalid`] for a reason that is not 1 to 500 characters
/// and for an address without an account; [`Error::Conflict`] when they are one already; [`Error::Overloaded`] while the ledger's disk takes nothing.
pub async fn appoint(cx: &Cx, email: &str, reason: String) -> Result<Operator> {
    let note = Note { action: "operator.add", subject: "user", reason: Some(reason.clone()), ..Note::default() };
    audit::attempt(cx, &OrganizationRef::Id(SERVER_SCOPE), note, async {
        as_operator(cx, REFUSAL)?;
        let mut check = Check::new();
        check.email("email", email.trim()).text("reason", &reason, 1..=500);
        check.finish()?;
        let unknown = || FieldError::new("email", "unknown_account", "must be the address of an account: its person signs up first");
        let email = email.to_owned();
        let found = cx.read(async move |_, tx| find(tx, &email).await).await;
        let (id, _) = found.map_err(|error| if matches!(error, Error::NotFound(_)) { unknown().into() } else { error })?;
        ledger::takes_lines(cx)?;
        cx.write_own_ending(Some(id), async move |cx, tx| {
            as_operator(cx, REFUSAL)?;
            sessions::is_fresh(cx, tx, cx.principal()?.credential, "an operator can be added").await?;
            if was_operator(tx, id).await? {
                return Err(Error::Conflict("This person is an operator already.".into()));
            }
            set(cx, tx, id, true, Some(&reason)).await?;
            let statement = sql!("SELECT {columns} FROM users WHERE id = $1", Operator);
            Ok(tx.read_one(statement, params![id]).await?)
        })
        .await
    })
    .await
}

/// Makes an operator an account like any other, for an operator who has just signed in. Their sessions end. The last one stays.
///
/// # Errors
/// [`Error::Forbidden`] for everybody else, and for a session older than ten minutes; [`Error::NotFound`]; [`Error::Invalid`] for a reason that is not
/// 1 to 500 characters; [`Error::Conflict`] when they are none, or the last.
pub async fn dismiss(cx: &Cx, user: Uuid, reason: String) -> Result<()> {
    let said = Some(reason.clone()).filter(|reason| !reason.is_empty());
    let note = Note { reason: said, ..audit::about_user("operator.remove", user) };
    audit::attempt(cx, &OrganizationRef::Id(SERVER_SCOPE), note, async {
        as_operator(cx, REFUSAL)?;
        let mut check = Check::new();
        check.text("reason", &reason, 1..=500);
        check.finish()?;
        cx.write_own_ending(Some(user), async move |cx, tx| {
            as_operator(cx, REFUSAL)?;
            sessions::is_fresh(cx, tx, cx.principal()?.credential, "an operator can be removed").await?;
            lock_all(tx).await?;
            if !was_operator(tx, user).await? {
                return Err(Error::Conflict("This person is no operator.".into()));
            }
            if is_last(tx, user).await? {
                return Err(Error::Conflict("This is the last operator: add another one first.".into()));
            }
            set(cx, tx, user, false, Some(&reason)).await
        })
        .await
    })
    .await
}

/// Touches the rows of all operators: two who are removed at once must not both find the other still there.
async fn lock_all(tx: &mut Tx) -> Result<()> {
    tx.execute(sql!("UPDATE users SET state = 'live' WHERE is_operator AND state = 'live'"), &[]).await?;
    Ok(())
}

/// Touches a person's row, and says whether they are an operator.
async fn was_operator(tx: &mut Tx, user: Uuid) -> Result<bool> {
    let statement = sql!("UPDATE users SET state = 'live' WHERE id = $1 AND state = 'live' RETURNING is_operator");
    tx.read_opt(statement, params![user]).await?.ok_or(Error::NotFound("User"))
}

async fn is_last(tx: &mut Tx, user: Uuid) -> Result<bool> {
    let others = sql!("SELECT 1 FROM users WHERE is_operator AND state = 'live' AND id <> $1 LIMIT 1");
    Ok(tx.query_opt(others, params![user]).await?.is_none())
}

async fn find(tx: &mut Tx, email: &str) -> Result<(Uuid, bool)> {
    let statement = sql!("SELECT id, is_operator FROM users WHERE email_key = $1 AND state = 'live'");
    tx.read_opt(statement, params![email_key(email)]).await?.ok_or(Error::NotFound("Account"))
}

async fn set(cx: &Cx, tx: &mut Tx, user: Uuid, is_operator: bool, reason: Option<&String>) -> Result<()> {
    revoke(cx, tx, user).await?;
    let update =
        sql!("UPDATE users SET is_operator = $2, operator_revision = operator_revision + 1 WHERE id = $1 RETURNING operator_revision");
    let revision = tx.read_one(update, params![user, is_operator]).await?;
    tx.execute(sql!("DELETE FROM sessions WHERE user_id = $1"), params![user]).await?;
    ledger::note(cx, tx, ledger::Entry::Operator { user, is_operator, revision }).await?;
    let action = if is_operator { "operator.add" } else { "operator.remove" };
    audit::record(cx, tx, SERVER_SCOPE, &Note { reason: reason.cloned(), ..audit::about_user(action, user) }).await
}
