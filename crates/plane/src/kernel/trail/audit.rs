//! The audit trail: who did, or tried to do, what, when, to which subject, and why.
//!
//! Entries hold ids and no personal data but the subject's label, which the subject's deletion removes. They have no foreign key: they
//! outlive what they speak of. The addresses from which people sign in lie beside them.

use std::collections::HashMap;
use std::mem;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use deletion::Blocker;
use jiff::{SignedDuration, Timestamp};
use sql::{Tx, Value, columns, params, sql};
use uuid::Uuid;

use crate::access::enter;
pub use crate::audit_actions::ACTIONS;
use crate::cx::{Actor, Cx};
use crate::events::Event;
use crate::fields::check_reason;
use crate::ids::OrganizationRef;
use crate::ids::SERVER_SCOPE;
use crate::notify::{About, emit};
use crate::page::{Page, PageRequest};
pub use crate::payloads::{DeletionBlockedEvent, EventBlocker};
use crate::policy::Action;
use crate::principal::CredentialKind;
use crate::{Error, Result, access, locks};
use deletion::Insert;

/// What an entry says beside actor, time and request, which come from the context.
#[derive(Debug, Clone, Default)]
pub struct Note {
    /// What was done or tried, such as `customer.delete`.
    pub action: &'static str,
    /// The kind of subject, such as `customer`.
    pub subject: &'static str,
    /// The subject's id, when it was found.
    pub subject_id: Option<Uuid>,
    /// How the caller named it. Removed when the subject is deleted.
    pub subject_label: Option<String>,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// What exactly was done, when the action alone does not say it: ids and words of this program only, nothing about a person.
    pub detail: Option<String>,
    /// The deletion it began.
    pub deletion_id: Option<Uuid>,
}

/// The name of those who placed a hold as an operator.
pub(crate) const OPERATOR: &str = "operator";

/// Who did, or tried to do, what, when, to which subject, and why.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// What was done or tried.
    #[schemars(with = "crate::wire::AuditAction")]
    pub action: String,
    /// What came of it.
    #[schemars(with = "crate::wire::AuditOutcome")]
    pub outcome: String,
    /// The kind of subject.
    #[schemars(length(min = 1, max = 50), example = &"customer")]
    pub subject: String,
    /// The subject's id.
    pub subject_id: Option<Uuid>,
    /// How the caller named it; null once it is deleted.
    #[schemars(length(min = 0, max = 200), example = &"user123")]
    pub subject_label: Option<String>,
    /// What acted.
    #[schemars(with = "crate::wire::Actor")]
    pub actor: String,
    /// The user who acted.
    pub actor_id: Option<Uuid>,
    /// The session, key or token they used.
    pub credential_id: Option<Uuid>,
    /// Why, in the actor's words.
    #[schemars(length(min = 0, max = 500), example = &"The contract ended")]
    pub reason: Option<String>,
    /// For attempts that were not done: what the actor was told. For others: what exactly was done.
    #[schemars(length(min = 0, max = 100_000), example = &"Customer not found")]
    pub detail: Option<String>,
    /// The deletion it began.
    pub deletion_id: Option<Uuid>,
    /// Null for an attempt of a stranger, whose text it may be.
    #[serde(serialize_with = "crate::wire::not_empty")]
    #[schemars(with = "Option<String>", length(min = 1, max = 64), example = &"0192f7c1a2b34c5d8e9f0a1b2c3d4e5f")]
    pub request_id: String,
    /// From where a sign-in came, as long as that is kept.
    #[serde(rename = "client_address")]
    #[schemars(length(min = 1, max = 50), example = &"192.0.2.7")]
    pub client: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

columns! { Entry {
    id: "audit_entries.id", action, outcome, subject, subject_id, subject_label, actor, actor_id, credential_id, reason, detail,
    deletion_id, request_id, created_at: "audit_entries.created_at", client: "client_addresses.address",
} }

/// Who acts with a key that is the organization's own.
pub(crate) const SERVICE_ACCOUNT: &str = "service_account";

/// Who acts, in the words of audit entries and deletions.
pub(crate) fn actor_columns(cx: &Cx) -> (&str, Option<Uuid>, Option<Uuid>) {
    match &cx.actor {
        Actor::Anonymous => ("nobody", None, None),
        Actor::System => ("system", None, None),
        Actor::Orderer(orderer) => (&orderer.kind, orderer.user, orderer.credential),
        Actor::User(principal) => {
            let kind = match principal.kind {
                CredentialKind::ApiKey if principal.service_role.is_some() => SERVICE_ACCOUNT,
                CredentialKind::ApiKey => "api_key",
                CredentialKind::OauthToken => "oauth_app",
                CredentialKind::Session if principal.is_operator => "operator",
                CredentialKind::Session => "user",
            };
            (kind, Some(principal.user), Some(principal.credential))
        }
    }
}

/// Writes the entry of something that is being done, in its transaction.
pub(crate) async fn record(cx: &Cx, tx: &mut Tx, organization: Uuid, note: &Note) -> Result<()> {
    tx.query_all(&ENTRY.of(&done(cx, organization, note)?)).await.map(drop).map_err(Into::into)
}

/// Writes the entry of work that goes on in several transactions and is about no one organization, under an id of its own, or brings it up to
/// date.
pub(crate) async fn keep_up(cx: &Cx, tx: &mut Tx, id: Uuid, note: &Note) -> Result<()> {
    let update = sql!("UPDATE audit_entries SET detail = $3 WHERE organization_id = $1 AND id = $2");
    if tx.execute(update, params![SERVER_SCOPE, id, note.detail.as_deref()]).await? > 0 {
        return Ok(());
    }
    let mut entry = done(cx, SERVER_SCOPE, note)?;
    entry[ID] = id.into();
    tx.query_all(&ENTRY.of(&entry)).await.map(drop).map_err(Into::into)
}

/// The columns of the entry of something that is being done.
pub(crate) fn done(cx: &Cx, organization: Uuid, note: &Note) -> Result<[Value; 15]> {
    cx.note_organization(organization);
    columns(cx, organization, note, "done", note.detail.clone())
}

/// Runs an attempt whose failure must leave a trace too: `work` writes the entry of its success itself.
pub(crate) async fn attempt<T>(cx: &Cx, organization: &OrganizationRef, note: Note, work: impl Future<Output = Result<T>>) -> Result<T> {
    let refused = match work.await {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let known = match access::find(cx, organization).await {
        Ok(id) => id,
        Err(_) => SERVER_SCOPE,
    };
    tracing::warn!(request_id = %cx.request_id, action = note.action, outcome = refused.outcome(), organization = %known, "attempt not done");
    // Of those who have nothing to do with an organization its trail holds the bare fact, and that seldom: it is not theirs to write in.
    let is_strangers = !matches!(organization, OrganizationRef::Id(SERVER_SCOPE)) && access::is_stranger(cx, known).await.unwrap_or(true);
    // An id that no organization ever had is not a place in which its next owner should find old entries.
    let known = match cx.read(async move |_, tx| belongs(tx, known).await).await {
        Ok(true) => known,
        Ok(false) | Err(_) => SERVER_SCOPE,
    };
    if is_strangers && !cx.plane.memory.of::<Strangers>().may_file(actor_columns(cx).1.unwrap_or_default(), known, cx.now) {
        return Err(refused);
    }
    let (organization, told) = (known, refused.clone());
    let written = cx
        .write_as_server(async move |cx, tx| {
            if is_strangers {
                let bare = Note { action: note.action, subject: note.subject, ..Note::default() };
                let mut entry = columns(cx, organization, &bare, told.outcome(), Some(NOTHING_TO_DO_WITH_IT.into()))?;
                // A request's id may be its sender's text.
                entry[REQUEST_ID] = "".into();
                return tx.query_all(&ENTRY.of(&entry)).await.map(drop).map_err(Into::into);
            }
            let note = keepable(tx, organization, &note).await?;
            not_done(cx, tx, organization, &note, &told).await
        })
        .await;
    if let Err(error) = written {
        error.log("the audit entry of a refused attempt could not be written", Some(&cx.request_id));
    }
    Err(refused)
}

/// Writes the entry of a sign-in, in its transaction: who signed in, from where, and which session they have.
pub(crate) async fn signed_in(cx: &Cx, tx: &mut Tx, user: Uuid, is_operator: bool, session: Uuid) -> Result<()> {
    let mut entry = columns(cx, SERVER_SCOPE, &about_user("session.create", user), "done", None)?;
    entry[ACTOR] = if is_operator { OPERATOR } else { "user" }.into();
    (entry[ACTOR_ID], entry[CREDENTIAL_ID]) = (user.into(), session.into());
    write_with_address(cx, tx, entry, user).await
}

/// Files that a password was refused: of each account once a minute, and of all addresses without one together. The answer does not wait for it,
/// so that it takes as long for the one as for the other.
pub(crate) fn refused_sign_in(cx: &Cx, user: Option<Uuid>) {
    if !cx.plane.memory.of::<Strangers>().may_file(user.unwrap_or_default(), SIGN_INS, cx.now) {
        return;
    }
    // What it writes is none of the request's effects. And the request's id may be its sender's text.
    let mut own = Cx::new(&cx.plane, "");
    own.client = cx.client;
    tokio::spawn(async move {
        let written = own.write_as_server(async move |cx, tx| {
            let note = Note { action: "session.refuse", subject: "user", subject_id: user, ..Note::default() };
            let entry = columns(cx, SERVER_SCOPE, &note, "refused", Some(WRONG_PASSWORD.into()))?;
            match user {
                // An account that is gone by now has taken its addresses along.
                Some(user) if locks::hold_user(tx, user).await.is_ok() => write_with_address(cx, tx, entry, user).await,
                _ => tx.query_all(&ENTRY.of(&entry)).await.map(drop).map_err(Into::into),
            }
        });
        if let Err(error) = written.await {
            error.log("the audit entry of a refused sign-in could not be written", None);
        }
    });
}

/// Writes an entry, and beside it the address it came from, which is personal: it goes before the entry does, and with the account.
async fn write_with_address(cx: &Cx, tx: &mut Tx, mut entry: [Value; 15], user: Uuid) -> Result<()> {
    let id = deletion::new_id(cx.plane.clock.now())?;
    entry[ID] = id.into();
    tx.query_all(&ENTRY.of(&entry)).await?;
    let Some(client) = cx.client else { return Ok(()) };
    let statement = sql!("INSERT INTO client_addresses (id, user_id, address, created_at) VALUES ($1, $2, $3, $4)");
    tx.execute(statement, params![id, user, client.to_canonical().to_string(), cx.now]).await?;
    Ok(())
}

/// Stands for the way in among the organizations that strangers try.
const SIGN_INS: Uuid = Uuid::max();
const WRONG_PASSWORD: &str = "The password was not this account's, or there is none of this address. One such attempt a minute is filed.";
const NOTHING_TO_DO_WITH_IT: &str = "The actor is not a member of this organization. One such attempt a minute is filed.";
/// The places of some of the [`columns`].
const ID: usize = 1;
const ACTOR: usize = 7;
const ACTOR_ID: usize = 8;
const CREDENTIAL_ID: usize = 9;
const REQUEST_ID: usize = 13;

/// When each stranger's attempt on an organization was last filed.
#[derive(Default)]
struct Strangers {
    filed: Mutex<Filed>,
}

/// When attempts were last filed, in two generations, of which the older is forgotten whole: no request pays for a look at all of them.
#[derive(Default)]
struct Filed {
    /// When the younger began.
    since: Timestamp,
    young: HashMap<(Uuid, Uuid), Timestamp>,
    old: HashMap<(Uuid, Uuid), Timestamp>,
}

impl Strangers {
    /// Pairs that are remembered in each generation. While there are so many, the log alone has the attempts of others.
    const MOST: usize = 32_768;
    const PAUSE: SignedDuration = SignedDuration::from_mins(1);

    /// Whether another attempt of this actor on this organization is filed now. It is noted that it was.
    fn may_file(&self, actor: Uuid, organization: Uuid, now: Timestamp) -> bool {
        let mut filed = self.filed.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(filed.since) >= Strangers::PAUSE {
            filed.old = mem::take(&mut filed.young);
            filed.since = now;
        }
        let pair = (actor, organization);
        let is_recent = |last: &Timestamp| now.duration_since(*last) < Strangers::PAUSE;
        if filed.young.get(&pair).or_else(|| filed.old.get(&pair)).is_some_and(is_recent) {
            return false;
        }
        let has_room = filed.young.len() < Strangers::MOST;
        if has_room {
            filed.young.insert(pair, now);
        }
        has_room
    }
}

/// A note about something that users do to their own account.
pub(crate) fn about_user(action: &'static str, user: Uuid) -> Note {
    Note { action, subject: "user", subject_id: Some(user), ..Note::default() }
}

/// Queues what tells that a deletion was refused, in the transaction that writes the refusal down.
async fn tell_blocked(cx: &Cx, tx: &mut Tx, organization: Uuid, note: &Note, blockers: &[Blocker]) -> Result<()> {
    let data = DeletionBlockedEvent {
        organization_id: organization,
        kind: note.subject,
        subject_id: note.subject_id,
        // The id that callers know, for customers.
        id: note.subject_label.as_deref(),
        blockers: blockers.iter().map(|Blocker { code, kind, id, .. }| EventBlocker { code, kind, id: *id }).collect(),
    };
    // A customer's own deletion erases what speaks of the customer; no other id is one of a customer.
    let subject = note.subject_id.unwrap_or(organization);
    let about = if note.subject == "customer" { About::Customer(subject) } else { About::Other(subject) };
    emit(cx, tx, organization, Event::DeletionBlocked, about, data).await?;
    Ok(())
}

/// Writes the entry of something that is not done, whose label names a customer who is there and is locked, if it names anybody.
pub(crate) async fn not_done(cx: &Cx, tx: &mut Tx, organization: Uuid, note: &Note, refused: &Error) -> Result<()> {
    if let Error::Blocked(blockers) = refused {
        tell_blocked(cx, tx, organization, note, blockers).await?;
    }
    let entry = columns(cx, organization, note, refused.outcome(), Some(refused.words()))?;
    tx.query_all(&ENTRY.of(&entry)).await.map(drop).map_err(Into::into)
}

async fn belongs(tx: &mut Tx, organization: Uuid) -> Result<bool> {
    let statement = sql!("SELECT 1 FROM organizations WHERE id = $1 UNION ALL SELECT 1 FROM deletions WHERE organization_id = $1 LIMIT 1");
    Ok(tx.query_opt(statement, params![organization]).await?.is_some())
}

/// What of a failed attempt's note may be kept. A label only when it names a customer who is there: filed under the customer's id, so that
/// the customer's deletion removes it. One that names no customer who is there might name one who was deleted.
async fn keepable(tx: &mut Tx, organization: Uuid, note: &Note) -> Result<Note> {
    let mut kept = note.clone();
    kept.reason = kept.reason.filter(|reason| check_reason(Some(reason)).is_ok());
    if let Some(label) = kept.subject_label.take()
        && let Some(customer) = locks::hold_customer(tx, organization, &label).await?
    {
        (kept.subject_id, kept.subject_label) = (Some(customer), Some(label));
    }
    Ok(kept)
}

/// An entry.
pub(crate) static ENTRY: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "INSERT INTO audit_entries (organization_id, id, action, outcome, subject, subject_id, subject_label, actor, actor_id, credential_id,
                                    reason, detail, deletion_id, request_id, created_at)",
        "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        15,
    )
});

fn columns(cx: &Cx, organization: Uuid, note: &Note, outcome: &str, detail: Option<String>) -> Result<[Value; 15]> {
    if cfg!(debug_assertions) && !ACTIONS.contains(&note.action) {
        return Err(Error::Internal(format!("the action {} is not in audit::ACTIONS, from which its documentation is made", note.action)));
    }
    let (actor, actor_id, credential_id) = actor_columns(cx);
    Ok([
        organization.into(),
        // Of the moment in which it is written: who follows the trail goes by it.
        deletion::new_id(cx.plane.clock.now())?.into(),
        note.action.into(),
        outcome.into(),
        note.subject.into(),
        note.subject_id.into(),
        note.subject_label.as_deref().into(),
        actor.into(),
        actor_id.into(),
        credential_id.into(),
        note.reason.as_deref().into(),
        detail.into(),
        note.deletion_id.into(),
        (&*cx.request_id).into(),
        cx.now.into(),
    ])
}

/// The organization's entries, newest first. Operators can also read those of an organization that is gone, and those of none
/// ([`SERVER_SCOPE`]).
///
/// # Errors
/// Those of [`enter`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, request: PageRequest) -> Result<Page<Entry>> {
    let organization = readable(cx, organization).await?;
    let page = cx
        .read(async move |_, tx| {
            let count = sql!("SELECT count(*) FROM audit_entries WHERE organization_id = $1");
            let total = match request.after {
                Some(_) => 0,
                None => tx.read_one(count, params![organization]).await?,
            };
            let statement = sql!(
                "SELECT {columns} FROM audit_entries LEFT JOIN client_addresses ON client_addresses.id = audit_entries.id
             WHERE organization_id = $1 AND audit_entries.id < $4 ORDER BY audit_entries.id DESC LIMIT $2 OFFSET $3",
                Entry
            );
            let entries = tx.read_all(statement, params![organization, request.limit(), request.offset(), request.below()]).await?;
            Ok(Page::part(entries, total, request, |entry: &Entry| entry.id))
        })
        .await?;
    cx.plane.ledger.settled().await;
    Ok(page)
}

/// How old an entry is before [`follow`] shows it. Its id has the time at which it was written, and its transaction ends later: after this no other comes
/// before it.
pub const SETTLES_AFTER: Duration = Duration::from_secs(120);

/// Reads entries in the order of their ids, those after this one: so that who asks again and again with the last id has each of them once. For owners,
/// admins and operators.
///
/// # Errors
/// Those of [`enter`].
pub async fn follow(cx: &Cx, organization: &OrganizationRef, after: Option<Uuid>, limit: u16) -> Result<Vec<Entry>> {
    let organization = readable(cx, organization).await?;
    let until = deletion::before(cx.now, SETTLES_AFTER);
    let entries = cx
        .read(async move |_, tx| {
            let statement = sql!(
                "SELECT {columns} FROM audit_entries LEFT JOIN client_addresses ON client_addresses.id = audit_entries.id
                 WHERE organization_id = $1 AND audit_entries.id > $2 AND audit_entries.id < $3 ORDER BY audit_entries.id LIMIT $4",
                Entry
            );
            let bound = params![organization, after.unwrap_or_default(), deletion::first_id(until), i64::from(limit)];
            Ok(tx.read_all(statement, bound).await?)
        })
        .await?;
    cx.plane.ledger.settled().await;
    Ok(entries)
}

/// The organization whose trail is meant, if the caller may read it. Operators can also read that of one that is gone.
async fn readable(cx: &Cx, organization: &OrganizationRef) -> Result<Uuid> {
    match enter(cx, organization, Action::ReadAudit).await {
        Ok(tenant) => Ok(tenant.organization()),
        Err(Error::NotFound(_)) if cx.principal()?.is_operator => access::find(cx, organization).await,
        Err(error) => Err(error),
    }
}

/// The statements that write entries, for the test that prepares them.
pub fn statements() -> [sql::Statement; 7] {
    ENTRY.statements()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_attempt_is_filed_once_a_minute_for_each_organization_and_memory_is_bounded() {
        let strangers = Strangers::default();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let id = Uuid::from_u128;
        let told: Vec<bool> = [0, 1, 59, 60, 61].into_iter().map(|second| strangers.may_file(id(1), id(2), at(second))).collect();
        assert_eq!(told, [true, false, false, true, false]);
        assert!(strangers.may_file(id(1), id(3), at(61)) && strangers.may_file(id(2), id(2), at(61)));
        for actor in 10..200_000 {
            strangers.may_file(id(actor), id(2), at(70));
        }
        assert_eq!(strangers.filed.lock().unwrap().young.len(), Strangers::MOST);
        assert!(!strangers.may_file(id(200_001), id(2), at(119)));
        assert!(strangers.may_file(id(200_001), id(2), at(130)));
    }
}
