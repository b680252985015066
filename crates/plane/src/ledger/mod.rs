//! The erasure ledger: what was deleted and what lost access, in files outside of the database, so that a restored older state of it forgets
//! neither. It holds ids, times and numbers, and nothing about a person.
//!
//! What is answered stands in it: an answer waits until the disk has the lines of its request, and is 503 while it does not. The files are
//! `folder.rs`, the thread that writes them `writer.rs`; `replay/` holds the database against them when the server starts. A database that is older
//! than its ledger is not served before it has caught up.
//!
//! No line is lost while the disk takes none, nor by a stop then. What the records of deletions tell is looked for there by the next start; every
//! other line lies in the table `ledger_lines` from the transaction that it tells of until the files have it.

mod folder;
mod replay;
mod writer;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sql::{Tx, params, sql};
use uuid::Uuid;

pub(crate) use replay::{mark_restored, open};
pub use writer::LedgerState;

use crate::cx::{Actor, Cx};
use crate::deletion::Deletion;
use crate::encryption::WEBHOOKS;
use crate::passwords::hex;
use crate::policy::Role;
use crate::requirements::ByKind;
use crate::{Error, Plane, Result};

/// How long an answer waits for the ledger. While its disk takes nothing, what was deleted is deleted all the same.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines that leave the table at once, when the files have them.
const MOST: usize = 10_000;

/// The revision of a credential that is gone.
const GONE: i64 = i64::MAX;

/// Where a server keeps its ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerPlace {
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere; a database that had one goes on without.
    Nowhere,
    /// Not set: nowhere, unless the database had one.
    Unsaid,
}

/// What a line tells of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A deletion was ordered.
    Ordered(Order),
    /// A deletion was completed.
    Completed { deletion: Uuid, counts: Json },
    /// A deletion was taken back within its grace period.
    Restored(TakenBack),
    /// A purge was stopped.
    Stopped { deletion: Uuid },
    /// A customer's device or session was removed.
    Removed { organization: Uuid, customer: Uuid, kind: String, id: Uuid },
    /// A credential was changed: what it was before is good no longer.
    Changed {
        credential: Credential,
        organization: Option<Uuid>,
        id: Uuid,
        digest: String,
        /// 0 in lines of older programs.
        #[serde(default)]
        revision: i64,
    },
    /// A member has this role now.
    Role { organization: Uuid, member: Uuid, role: String, revision: i64 },
    /// A user is an operator, or none any more.
    Operator {
        user: Uuid,
        is_operator: bool,
        /// 0 in lines of older programs.
        #[serde(default)]
        revision: i64,
    },
    /// An organization was archived, or is none any more.
    Archived { organization: Uuid, is_archived: bool, revision: i64 },
    /// A customer has this manager now, is archived, or is no longer.
    Customer { organization: Uuid, customer: Uuid, managed_by: Option<Uuid>, is_archived: bool, revision: i64 },
    /// An organization asks this of those who delete.
    Asked {
        organization: Uuid,
        by_kind: ByKind,
        /// 0 in lines of older programs.
        #[serde(default)]
        revision: i64,
    },
    /// A legal hold was placed.
    Held { organization: Uuid, hold: Uuid, subject: String, subject_id: Uuid, until: Option<Timestamp> },
    /// A legal hold was released.
    Released { hold: Uuid },
    /// An invitation was accepted: it cannot be used again.
    Accepted { organization: Uuid, invitation: Uuid },
    /// The database is as new as this.
    Beat { beat: i64 },
}

/// What of a deletion can be told without telling of a person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) deletion: Uuid,
    pub(crate) organization: Uuid,
    pub(crate) root: String,
    pub(crate) subject: Uuid,
    pub(crate) actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor_id: Option<Uuid>,
    /// Until when it could be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reversible_until: Option<Timestamp>,
    /// Whether it waits for an export.
    pub(crate) export: bool,
    /// Whether a job ordered it, which does so again after a crash.
    pub(crate) by_job: bool,
    /// What it erased, if that was done at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counts: Option<Json>,
}

/// A deletion that was taken back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TakenBack {
    pub(crate) deletion: Uuid,
    pub(crate) organization: Uuid,
    pub(crate) root: String,
    pub(crate) subject: Uuid,
}

/// What opens something and can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Credential {
    /// A user's password.
    Password,
    /// The secret and the scopes of an OAuth app.
    OauthApp,
    /// An organization's key.
    ApiKey,
    /// A person's own key.
    UserApiKey,
    /// Where a webhook leads to, what it is told, and whether it is told anything.
    Webhook,
    /// What a webhook's deliveries are signed with.
    WebhookSecret,
}

/// The ledger of one server.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// What writes it, and the last line that was there before. Nothing without a ledger.
    opened: OnceLock<(writer::Writer, u64)>,
    /// Transactions since the last beat.
    writes: AtomicU64,
    /// Whether the database may know of deletions that have no line, until the next start looks for them.
    lacks_lines: AtomicBool,
    /// Lines that lie in the table as well, with the ids that they have there, in the order of their numbers.
    in_table: Mutex<VecDeque<(u64, Uuid)>>,
}

impl Plane {
    /// How the ledger is; none where none is kept.
    pub fn ledger_state(&self) -> Option<LedgerState> {
        self.ledger.opened.get().map(|(writer, first)| writer.state(*first))
    }
}

impl Ledger {
    pub(crate) fn count_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Says that it is not known whether a transaction has come true.
    pub(crate) fn note_uncertain(&self) {
        self.lacks_lines.store(true, Ordering::Relaxed);
    }

    /// Whether the disk has a line for everything that was committed before this.
    fn is_whole(&self) -> bool {
        let state = self.opened.get().map(|(writer, first)| writer.state(*first)).unwrap_or_default();
        state.waiting == 0 && state.left_out == 0 && !self.lacks_lines.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, and ends it.
    pub(crate) async fn close(&self) {
        if let Some((writer, _)) = self.opened.get() {
            writer.close().await;
        }
    }

    fn writer(&self) -> Option<&writer::Writer> {
        self.opened.get().map(|(writer, _)| writer)
    }

    /// Adds a line, which has this id in the table if it lies there, for the piece of work whose last line is remembered there.
    fn add(&self, at: Timestamp, (id, entry): (Option<Uuid>, &Entry), last: &AtomicU64) {
        let Some(writer) = self.writer() else { return };
        // A beat that takes lines out of the table finds each that has a number.
        let mut in_table = self.in_table();
        if let Some(number) = writer.push(at, id, entry) {
            last.fetch_max(number, Ordering::Relaxed);
            in_table.extend(id.map(|id| (number, id)));
        }
    }

    fn in_table(&self) -> std::sync::MutexGuard<'_, VecDeque<(u64, Uuid)>> {
        self.in_table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the disk has this line. Not for long: what is deleted is deleted, whatever becomes of the ledger. Returns whether it has.
    pub(crate) async fn written(&self, line: u64) -> bool {
        match self.writer().filter(|writer| line > writer.last_written()) {
            Some(writer) => tokio::time::timeout(PATIENCE, writer.written(line)).await == Ok(true),
            None => true,
        }
    }

    /// The last line that the files have, and which lines up to it lie in the table as well: no more than leave it at once, or the last of those.
    fn written_of_table(&self) -> (u64, Vec<Uuid>) {
        let in_table = self.in_table();
        let last = self.writer().map_or(0, writer::Writer::last_written);
        let written: Vec<(u64, Uuid)> = in_table.iter().take_while(|(line, _)| *line <= last).take(MOST + 1).copied().collect();
        let position = written.get(MOST).map_or(last, |(line, _)| line - 1);
        (position, written.into_iter().take(MOST).map(|(_, id)| id).collect())
    }

    /// The number of the last line that there is by now; 0 for none.
    pub(crate) fn last_line(&self) -> u64 {
        self.writer().map_or(0, writer::Writer::last_given)
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
    let cx = cx.clone();
    // A commit with an unknown outcome gets no line: if it was rolled back, a restore months later would do it. If it was not, the next start
    // finds that its line is missing.
    tx.on_sure_commit(move || cx.plane.ledger.add(cx.now, (id, &entry), cx.ledger_line()));
    Ok(())
}

/// Adds the line of a deletion that was ordered.
///
/// # Errors
/// The database's.
pub(crate) async fn ordered(cx: &Cx, tx: &mut Tx, deletion: &Deletion) -> Result<()> {
    let by_job = matches!(cx.actor, Actor::System | Actor::Orderer(_));
    note(cx, tx, Entry::Ordered(Order::of(deletion, by_job))).await
}

impl Entry {
    /// Whether the record of a deletion tells the same.
    fn is_in_records(&self) -> bool {
        matches!(self, Entry::Ordered(_) | Entry::Completed { .. } | Entry::Restored(_) | Entry::Beat { .. })
    }
}

impl Order {
    fn of(deletion: &Deletion, by_job: bool) -> Order {
        Order {
            deletion: deletion.id,
            organization: deletion.organization,
            root: deletion.root.clone(),
            subject: deletion.subject,
            actor: deletion.actor.clone(),
            actor_id: deletion.actor_id,
            reversible_until: deletion.reversible_until,
            export: deletion.export.is_some(),
            by_job,
            counts: deletion.sealed_at.is_some().then(|| deletion.counts.clone()),
        }
    }
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
        && let Some(mut row) = tx.query_opt(statement, params![organization, member]).await?
    {
        note(cx, tx, Entry::Role { organization, member, role: role.name().into(), revision: row.next()? }).await?;
    }
    Ok(())
}

impl Credential {
    /// Counts a change, and returns how many there were: more than the ledger knows of. Another change of the same waits for its row until this one
    /// is committed, and counts on.
    async fn count(self, tx: &mut Tx, organization: Option<Uuid>, id: Uuid, known: i64) -> Result<i64> {
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
            Credential::Password => tx.query_opt(user, params![id, known]).await?,
            Credential::UserApiKey => tx.query_opt(own, params![id, known]).await?,
            Credential::ApiKey => tx.query_opt(key, params![organization, id, known]).await?,
            Credential::OauthApp => tx.query_opt(app, params![organization, id, known]).await?,
            Credential::Webhook | Credential::WebhookSecret => tx.query_opt(webhook, params![organization, id, known]).await?,
        };
        // Of what is gone this is the last word.
        counted.map_or(Ok(GONE), |mut row| Ok(row.next()?))
    }

    /// Says what the credential is and may do without telling either; none when it is not there. A digest of digests: it leads back to no secret.
    async fn digest(self, cx: &Cx, tx: &mut Tx, organization: Option<Uuid>, id: Uuid) -> Result<Option<String>> {
        let text = |bytes: Vec<u8>| Json::from(hex(&bytes));
        let told = match self {
            Credential::Password => {
                let statement = sql!("SELECT password_hash FROM users WHERE id = $1 AND state = 'live'");
                let Some(mut row) = tx.query_opt(statement, params![id]).await? else { return Ok(None) };
                json!([row.next::<String>()?])
            }
            Credential::OauthApp => {
                let statement = sql!("SELECT secret_hash, scopes, is_active FROM oauth_apps WHERE organization_id = $1 AND id = $2");
                let Some(mut row) = tx.query_opt(statement, params![organization, id]).await? else { return Ok(None) };
                json!([text(row.next()?), row.next::<Json>()?, row.next::<bool>()?])
            }
            Credential::Webhook => {
                let statement = sql!("SELECT url, events, is_active FROM webhooks WHERE organization_id = $1 AND id = $2");
                let Some(mut row) = tx.query_opt(statement, params![organization, id]).await? else { return Ok(None) };
                json!([row.next::<String>()?, row.next::<String>()?, row.next::<bool>()?])
            }
            Credential::WebhookSecret => {
                let statement = sql!("SELECT secret, old_secret FROM webhooks WHERE organization_id = $1 AND id = $2");
                let Some(mut row) = tx.query_opt(statement, params![organization, id]).await? else { return Ok(None) };
                // What is encrypted is another text each time. What cannot be decrypted is like no other.
                let plain = |kept: Vec<u8>| text(cx.plane.encryption.decrypt(WEBHOOKS, id.as_bytes(), &kept).unwrap_or(kept));
                json!([plain(row.next()?), row.next::<Option<Vec<u8>>>()?.map(plain)])
            }
            Credential::ApiKey | Credential::UserApiKey => {
                let of_organization =
                    sql!("SELECT hash, scopes, allowed_ips, is_active, expires_at FROM api_keys WHERE organization_id = $1 AND id = $2");
                let own = sql!("SELECT hash, scopes, allowed_ips, is_active, expires_at FROM user_api_keys WHERE id = $1");
                let found = match self {
                    Credential::ApiKey => tx.query_opt(of_organization, params![organization, id]).await?,
                    _ => tx.query_opt(own, params![id]).await?,
                };
                let Some(mut row) = found else { return Ok(None) };
                let (hash, scopes, addresses, is_active) = (row.next()?, row.next::<Json>()?, row.next::<Json>()?, row.next::<bool>()?);
                let end = row.next::<Option<Timestamp>>()?.map(|end| end.to_string());
                json!([text(hash), scopes, addresses, is_active, end])
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
        let beat = tx.query_opt(statement, params![i64::try_from(position).unwrap_or(i64::MAX), cx.now, is_whole]).await?;
        beat.map(|mut row| Ok(row.next()?)).transpose()
    });
    // Only what the database is sure to have.
    let beaten = beaten.await.inspect_err(|_| ledger.count_write())?;
    ledger.in_table().drain(..many);
    if let Some(beat) = beaten {
        ledger.add(cx.now, (None, &Entry::Beat { beat }), cx.ledger_line());
    }
    Ok(())
}
