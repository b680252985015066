//! The erasure ledger: what was deleted and what lost access, in files outside of the database, so that a restored older state of it forgets
//! neither. It holds ids, times and numbers, and nothing about a person.
//!
//! What is answered stands in it: an answer waits until the disk has the lines of its request, and is 503 while it does not. The files are
//! `folder.rs`, the thread that writes them `writer.rs`; `replay/` holds the database against them when the server starts. A database that is older
//! than its ledger is not served before it has caught up.
//!
//! No line is lost while the disk takes none, nor by a stop then. What the records of deletions tell is looked for there by the next start; every
//! other line lies in the table `ledger_lines` from the transaction that it tells of until the files have it.

mod commits;
mod entry;
pub(crate) mod folder;
pub(crate) mod state;
pub(crate) mod writer;

use crate::cx::Actor;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sql::{Tx, params, sql};
use uuid::Uuid;

pub(crate) use entry::{Credential, Entry, GONE, Order, TakenBack};
pub use state::LedgerPlace;
pub use writer::LedgerState;

use crate::cx::Cx;
use crate::encryption::WEBHOOKS;
use crate::hex::hex;
use crate::policy::Role;

use crate::{Error, Plane, Result};

impl Plane {
    /// How the ledger is; none where none is kept.
    pub fn ledger_state(&self) -> Option<LedgerState> {
        self.ledger.opened.get().map(|(writer, first)| writer.state(*first))
    }
}

/// Fails while the disk takes no lines: for what must not be done without being answered, since the answer has a secret that is shown once, or the same
/// request would be refused the next time. What takes access away is done all the same.
///
/// # Errors
/// [`Error::Overloaded`].
pub(crate) fn takes_lines(cx: &Cx) -> Result<()> {
    let state = cx.plane.ledger_state();
    match state.is_some_and(|state| state.is_failing) && matches!(cx.actor, Actor::User(_)) {
        true => Err(Error::Overloaded("The disk of the server's ledger takes nothing at the moment, and nothing was changed. Try again.")),
        false => Ok(()),
    }
}

/// Adds a line when the transaction is committed.
///
/// # Errors
/// The database's.
pub(crate) async fn note(cx: &Cx, tx: &mut Tx, entry: Entry) -> Result<()> {
    if cx.plane.ledger.writer().is_none() {
        return Ok(());
    }
    let id = match entry.is_in_records() {
        true => None,
        false => {
            let (id, told) = (cx.new_id()?, serde_json::to_value(&entry).map_err(|error| Error::Internal(error.to_string()))?);
            tx.execute(sql!("INSERT INTO ledger_lines (id, at, entry) VALUES ($1, $2, $3)"), params![id, cx.now, told]).await?;
            Some(id)
        }
    };
    let (cx, commit) = (cx.clone(), Arc::new(cx.plane.ledger.commits.announce()));
    let begun = commit.clone();
    // A commit with an unknown outcome gets no line: if it was rolled back, a restore months later would do it. If it was not, the next start
    // finds that its line is missing.
    tx.around_sure_commit(
        move || begun.begin(),
        move || {
            cx.plane.ledger.add(cx.now, (id, &entry), cx.ledger_line());
            commit.has_its_line();
        },
    );
    Ok(())
}

/// Adds the line of a credential that was changed, as it is in the transaction.
///
/// # Errors
/// The database's.
pub(crate) async fn changed(cx: &Cx, tx: &mut Tx, credential: Credential, organization: Option<Uuid>, id: Uuid) -> Result<()> {
    if cx.plane.ledger.writer().is_some() {
        let digest = credential.digest(cx, tx, organization, id).await?.unwrap_or_default();
        let revision = credential.count(tx, organization, id, 0).await?;
        note(cx, tx, Entry::Changed { credential, organization, id, digest, revision }).await?;
    }
    Ok(())
}

/// Adds the line of a role that was changed, as it is in the transaction.
///
/// # Errors
/// The database's.
pub(crate) async fn role_changed(cx: &Cx, tx: &mut Tx, organization: Uuid, member: Uuid, role: Role) -> Result<()> {
    let statement = sql!("SELECT revision FROM members WHERE organization_id = $1 AND id = $2");
    if cx.plane.ledger.writer().is_some()
        && let Some(revision) = tx.read_opt(statement, params![organization, member]).await?
    {
        note(cx, tx, Entry::Role { organization, member, role: role.name().into(), revision }).await?;
    }
    Ok(())
}

impl Credential {
    /// Counts a change, and returns how many there were: more than the ledger knows of. Another change of the same waits for its row until this one
    /// is committed, and counts on.
    pub(crate) async fn count(self, tx: &mut Tx, organization: Option<Uuid>, id: Uuid, known: i64) -> Result<i64> {
        let user = sql!(
            "UPDATE users SET credential_revision = CASE WHEN credential_revision < $2 THEN $2 ELSE credential_revision END + 1 WHERE id = $1
             RETURNING credential_revision"
        );
        let own = sql!(
            "UPDATE user_api_keys SET credential_revision = CASE WHEN credential_revision < $2 THEN $2 ELSE credential_revision END + 1
             WHERE id = $1 RETURNING credential_revision"
        );
        let key = sql!(
            "UPDATE api_keys SET credential_revision = CASE WHEN credential_revision < $3 THEN $3 ELSE credential_revision END + 1
             WHERE organization_id = $1 AND id = $2 RETURNING credential_revision"
        );
        let app = sql!(
            "UPDATE oauth_apps SET credential_revision = CASE WHEN credential_revision < $3 THEN $3 ELSE credential_revision END + 1
             WHERE organization_id = $1 AND id = $2 RETURNING credential_revision"
        );
        let webhook = sql!(
            "UPDATE webhooks SET credential_revision = CASE WHEN credential_revision < $3 THEN $3 ELSE credential_revision END + 1
             WHERE organization_id = $1 AND id = $2 RETURNING credential_revision"
        );
        let counted = match self {
            Credential::Password => tx.read_opt(user, params![id, known]).await?,
            Credential::UserApiKey => tx.read_opt(own, params![id, known]).await?,
            Credential::ApiKey => tx.read_opt(key, params![organization, id, known]).await?,
            Credential::OauthApp => tx.read_opt(app, params![organization, id, known]).await?,
            Credential::Webhook | Credential::WebhookSecret => tx.read_opt(webhook, params![organization, id, known]).await?,
        };
        // Of what is gone this is the last word.
        Ok(counted.unwrap_or(GONE))
    }

    /// Says what the credential is and may do without telling either; none when it is not there. A digest of digests: it leads back to no secret.
    pub(crate) async fn digest(self, cx: &Cx, tx: &mut Tx, organization: Option<Uuid>, id: Uuid) -> Result<Option<String>> {
        let text = |bytes: Vec<u8>| Json::from(hex(&bytes));
        let told = match self {
            Credential::Password => {
                let statement = sql!("SELECT password_hash FROM users WHERE id = $1 AND state = 'live'");
                let Some(hash) = tx.read_opt::<String>(statement, params![id]).await? else { return Ok(None) };
                json!([hash])
            }
            Credential::OauthApp => {
                let statement = sql!("SELECT secret_hash, scopes, is_active FROM oauth_apps WHERE organization_id = $1 AND id = $2");
                let Some((hash, scopes, is_active)) = tx.read_opt::<(_, Json, bool)>(statement, params![organization, id]).await? else {
                    return Ok(None);
                };
                json!([text(hash), scopes, is_active])
            }
            Credential::Webhook => {
                let statement = sql!("SELECT url, events, is_active FROM webhooks WHERE organization_id = $1 AND id = $2");
                let found: Option<(String, String, bool)> = tx.read_opt(statement, params![organization, id]).await?;
                let Some(told) = found else { return Ok(None) };
                json!(told)
            }
            Credential::WebhookSecret => {
                let statement = sql!("SELECT secret, old_secret FROM webhooks WHERE organization_id = $1 AND id = $2");
                let Some((secret, old)) = tx.read_opt::<(_, Option<_>)>(statement, params![organization, id]).await? else {
                    return Ok(None);
                };
                // What is encrypted is another text each time. What cannot be decrypted is like no other.
                let plain = |kept: Vec<u8>| text(cx.plane.encryption.decrypt(WEBHOOKS, id.as_bytes(), &kept).unwrap_or(kept));
                json!([plain(secret), old.map(plain)])
            }
            Credential::ApiKey | Credential::UserApiKey => {
                let of_organization =
                    sql!("SELECT hash, scopes, allowed_ips, is_active, expires_at FROM api_keys WHERE organization_id = $1 AND id = $2");
                let own = sql!("SELECT hash, scopes, allowed_ips, is_active, expires_at FROM user_api_keys WHERE id = $1");
                let found = match self {
                    Credential::ApiKey => tx.read_opt(of_organization, params![organization, id]).await?,
                    _ => tx.read_opt(own, params![id]).await?,
                };
                let Some((hash, scopes, addresses, is_active, end)): Option<(_, Json, Json, bool, Option<Timestamp>)> = found else {
                    return Ok(None);
                };
                json!([text(hash), scopes, addresses, is_active, end.map(|end| end.to_string())])
            }
        };
        Ok(Some(hex(&digest::digest(&digest::SHA256, told.to_string().as_bytes()).as_ref()[..16])))
    }
}

/// Says in both, the database and the ledger, that they belong together, if anything was written since the last time. A database that knows of an
/// older beat than its ledger is an older state.
///
/// # Errors
/// The database's.
pub(crate) async fn beat(cx: &Cx) -> Result<()> {
    let ledger = &cx.plane.ledger;
    let writes = ledger.writes.swap(0, Ordering::Relaxed);
    let (position, written) = ledger.written_of_table();
    if ledger.writer().is_none() || writes == 0 && written.is_empty() {
        return Ok(());
    }
    let many = written.len();
    // While lines are missing, the next start has to look for them from where they began to be.
    let is_whole = ledger.is_whole();
    let beaten = cx.write_behind(false, async move |cx, tx| {
        tx.execute(sql!("DELETE FROM ledger_lines WHERE id = ANY($1)"), params![&written[..]]).await?;
        let statement = sql!(
            "UPDATE ledger SET position = $1, position_at = CASE WHEN CAST($3 AS boolean) THEN $2 ELSE position_at END, beat = beat + 1
             RETURNING beat"
        );
        Ok(tx.read_opt(statement, params![i64::try_from(position).unwrap_or(i64::MAX), cx.now, is_whole]).await?)
    });
    // Only what the database is sure to have.
    let beaten = beaten.await.inspect_err(|_| ledger.count_write())?;
    ledger.in_table().drain(..many);
    if let Some(beat) = beaten {
        ledger.add(cx.now, (None, &Entry::Beat { beat }), cx.ledger_line());
    }
    Ok(())
}
