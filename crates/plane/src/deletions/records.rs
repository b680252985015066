//! Deletions as records: what was ordered and by which actor, how far it is, and the receipt of what was done.

use deletion::{State, Waiting};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use super::grace;
use super::progress::{Watched, estimate, waiting_words};
use crate::access::{self, enter};
use crate::cx::Cx;
use crate::deletion_rules::Root;
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::{Action, Role, Verdict, decide, refusal};
use crate::revisions::derived;
use crate::{Error, Result};

/// A deletion.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Deletion {
    /// Its id.
    pub id: Uuid,
    /// The organization, which may be gone.
    #[serde(rename = "organization_id")]
    #[schemars(with = "crate::wire::OrganizationId")]
    pub organization: Uuid,
    /// The rules it follows.
    pub root: Root,
    /// What is or was deleted.
    #[serde(rename = "subject_id")]
    pub subject: Uuid,
    /// How the caller named it; null after the completion.
    #[schemars(length(min = 0, max = 200), example = &"user123")]
    pub subject_label: Option<String>,
    /// From the order on access has ended. `reversible`: it can be taken back until `reversibleUntil`, and nothing is erased yet. After `completed`
    /// nothing is left; after `restored` everything is there again but the credentials.
    #[schemars(with = "crate::wire::DeletionState")]
    pub state: State,
    /// What ordered it.
    #[schemars(with = "crate::wire::Actor")]
    pub actor: String,
    /// The user who ordered it.
    pub actor_id: Option<Uuid>,
    /// Why, in their words.
    #[schemars(length(min = 0, max = 500), example = &"The contract ended")]
    pub reason: Option<String>,
    /// The request that ordered it.
    #[schemars(length(min = 1, max = 64), example = &"0192f7c1a2b34c5d8e9f0a1b2c3d4e5f")]
    pub request_id: String,
    /// Rows erased or redacted so far, by table; of a purge its customers so far, by outcome.
    #[schemars(with = "crate::wire::Counts")]
    pub counts: Json,
    /// What was done outside of the database; empty if nothing was to be done.
    #[schemars(with = "crate::wire::Anything", example = serde_json::json!({"webhooks": {"delivered": 2, "failed": 0}}))]
    pub effects: Json,
    /// The export that was ordered with it: nothing is erased before that is done.
    #[serde(rename = "export_id")]
    pub export: Option<Uuid>,
    /// Transactions that the drain took.
    #[schemars(example = 3)]
    pub batches: i64,
    /// The longest of them, in microseconds.
    #[schemars(example = 41_000)]
    pub longest_batch_micros: i64,
    /// What it waits for, when it cannot go on.
    #[schemars(length(min = 0, max = 1_000), example = &"2 webhook deliveries")]
    pub waiting_for: Option<String>,
    /// When it was ordered; from the answer on access has ended.
    pub created_at: Timestamp,
    /// When it last made progress.
    pub updated_at: Timestamp,
    /// When the sweep found nothing left.
    pub completed_at: Option<Timestamp>,
    /// Until when it can or could be taken back; null for one without a grace period.
    pub reversible_until: Option<Timestamp>,
    /// When it was taken back.
    pub restored_at: Option<Timestamp>,
    /// When the purge that it is was stopped: no customer was deleted after that.
    pub stopped_at: Option<Timestamp>,
}

columns! { Deletion {
    id, organization: "organization_id", root, subject: "subject_id", subject_label, state, actor, actor_id, reason, request_id, counts,
    effects,
    export: "(SELECT exports.id FROM exports WHERE exports.deletion_id = deletions.id ORDER BY exports.id LIMIT 1) AS export_id", batches,
    longest_batch_micros: "longest_batch_us", waiting_for, created_at, updated_at, completed_at, reversible_until, restored_at, stopped_at,
} }

columns! { Watched with Deletion {
    deletion: "{columns}", stage, waiting_since, rows_expected, lease_until; waiting = None,
} }

impl Deletion {
    /// The tag of this state. How far it is is none of it.
    pub fn etag(&self) -> String {
        let state = if self.state == State::Draining { State::Closed } else { self.state };
        derived(self.id, &(state.name(), self.stopped_at))
    }
}

impl Deletion {
    /// What was ordered, by the record that the engine has written.
    pub(crate) fn of(root: Root, record: &deletion::Record) -> Deletion {
        Deletion {
            id: record.id,
            organization: record.tenant,
            root,
            subject: record.subject,
            subject_label: record.subject_label.clone(),
            state: record.state,
            actor: record.actor.clone(),
            actor_id: record.actor_id,
            reason: record.reason.clone(),
            request_id: record.request_id.clone(),
            counts: record.counts.clone(),
            effects: json!({}),
            export: None,
            batches: 0,
            longest_batch_micros: 0,
            waiting_for: None,
            created_at: record.created_at,
            updated_at: record.created_at,
            completed_at: record.completed_at,
            reversible_until: record.reversible_until,
            restored_at: None,
            stopped_at: None,
        }
    }
}

/// Which deletions a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionFilter {
    /// Those in this state.
    In(State),
    /// Those that are neither completed nor taken back.
    Open,
}

impl DeletionFilter {
    /// Every name.
    pub fn names() -> Vec<&'static str> {
        State::ALL.map(State::name).into_iter().chain(["open"]).collect()
    }

    /// The filter of this name: a state, or `open`.
    pub fn parse(name: &str) -> Option<DeletionFilter> {
        match name {
            "open" => Some(DeletionFilter::Open),
            // The word of before.
            "sealed" => Some(DeletionFilter::In(State::Completed)),
            _ => State::parse(name).map(DeletionFilter::In),
        }
    }
}

/// The states that a filter lets through; all without one.
fn states(filter: Option<DeletionFilter>) -> Vec<String> {
    let is_wanted = |state: &State| match filter {
        None => true,
        Some(DeletionFilter::In(wanted)) => *state == wanted,
        Some(DeletionFilter::Open) => !state.is_over(),
    };
    State::ALL.into_iter().filter(is_wanted).map(|state| state.name().to_owned()).collect()
}

/// Whose deletions a list holds.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Of one organization.
    Of(OrganizationRef),
    /// Of all organizations in which the caller may read them; for operators, of all that ever were.
    AllReadable,
}

/// Reads a deletion: for owners and admins of its organization, the one who ordered it, and operators. A credential of one organization is a
/// stranger to the deletions of every other; one with scopes can follow what was ordered with it, and needs the scope for the rest.
///
/// # Errors
/// [`Error::NotFound`] for everybody else.
pub async fn get(cx: &Cx, id: Uuid) -> Result<Deletion> {
    Ok(watch(cx, id).await?.deletion)
}

async fn owns_closed(cx: &Cx, organization: Uuid) -> Result<bool> {
    cx.read(async move |cx, tx| grace::owns_closed(cx, tx, organization).await).await
}

/// The same with what tells how it is getting on. The first look at an open one has what is ahead of it counted.
///
/// # Errors
/// Those of [`get`].
pub async fn watch(cx: &Cx, id: Uuid) -> Result<Watched> {
    let principal = cx.principal()?.clone();
    let watched = cx.read(async move |_, tx| load(tx, id).await).await?.ok_or(Error::NotFound("Deletion"))?;
    let deletion = &watched.deletion;
    let is_good_here = principal.organization.is_none_or(|own| own == deletion.organization);
    let has_ordered_it = is_good_here && deletion.actor_id == Some(principal.user);
    let may = principal.is_operator
        || (has_ordered_it && may_follow(cx, deletion).await?)
        || (deletion.subject == deletion.organization && owns_closed(cx, deletion.organization).await?);
    if !may {
        match enter(cx, &OrganizationRef::Id(deletion.organization), Action::ReadDeletions).await {
            Ok(_) => {}
            Err(error @ (Error::Storage(_) | Error::Internal(_))) => return Err(error),
            Err(_) => return Err(Error::NotFound("Deletion")),
        }
    }
    estimate(&cx.plane, &watched);
    cx.plane.ledger.settled().await;
    Ok(watched)
}

async fn may_follow(cx: &Cx, deletion: &Deletion) -> Result<bool> {
    let principal = cx.principal()?;
    if principal.needs(Action::ReadDeletions.scope()).is_ok() {
        return Ok(true);
    }
    let (organization, subject, deletion, credential) = (deletion.organization, deletion.subject, deletion.id, principal.credential);
    cx.read(async move |_, tx| {
        let statement = sql!(
            "SELECT 1 FROM audit_entries WHERE organization_id = $1 AND subject_id = $2 AND deletion_id = $3 AND credential_id = $4 LIMIT 1"
        );
        Ok(tx.query_opt(statement, params![organization, subject, deletion, credential]).await?.is_some())
    })
    .await
}

/// Lists deletions, newest first. Operators can also list those of an organization that is gone.
///
/// # Errors
/// Those of [`enter`]; [`Error::Forbidden`] and [`Error::Outsider`] when there is no organization whose deletions the caller may read.
pub async fn list(cx: &Cx, wanted: &Wanted, filter: Option<DeletionFilter>, request: PageRequest) -> Result<Page<Watched>> {
    let organizations = match wanted {
        Wanted::Of(organization) => vec![one(cx, organization).await?],
        Wanted::AllReadable => match cx.principal()? {
            principal if principal.organization.is_some() => vec![one(cx, &OrganizationRef::Current).await?],
            principal if principal.is_operator => return everywhere(cx, filter, request).await,
            principal => readable(cx, principal.user).await?,
        },
    };
    let states = states(filter);
    let page = cx.read(async move |_, tx| {
            let count = sql!("SELECT count(*) FROM deletions WHERE organization_id = ANY($1) AND state = ANY($2)");
            let total = match request.after {
                Some(_) => 0,
                None => tx.read_one(count, params![organizations.clone(), states.clone()]).await?,
            };
            let statement = sql!(
                "SELECT {columns} FROM deletions WHERE organization_id = ANY($1) AND state = ANY($2) AND id < $5 ORDER BY id DESC LIMIT $3 OFFSET $4", Watched
            );
            let bound = params![organizations.clone(), states.clone(), request.limit(), request.offset(), request.below()];
            Ok(part(tx.read_all(statement, bound).await?, total, request))
        })
    .await?;
    cx.plane.ledger.settled().await;
    Ok(page)
}

async fn one(cx: &Cx, organization: &OrganizationRef) -> Result<Uuid> {
    match enter(cx, organization, Action::ReadDeletions).await {
        Ok(tenant) => Ok(tenant.organization()),
        Err(Error::NotFound(_)) if cx.principal()?.is_operator => access::find(cx, organization).await,
        Err(error) => Err(error),
    }
}

/// The organizations whose deletions a user may read: for owners also those that can still be taken back.
async fn readable(cx: &Cx, user: Uuid) -> Result<Vec<Uuid>> {
    cx.principal()?.needs(Action::ReadDeletions.scope())?;
    let roles = cx
        .read(async move |_, tx| {
                let statement = sql!(
                    "SELECT members.organization_id, members.role
                     FROM members JOIN organizations ON organizations.id = members.organization_id
                     WHERE members.user_id = $1 AND members.state = 'live'
                       AND (organizations.state = 'live'
                            OR (members.role = 'owner' AND EXISTS (SELECT 1 FROM deletions
                                                                   WHERE deletions.organization_id = organizations.id
                                                                     AND subject_id = organizations.id AND deletions.state = 'reversible')))"
                );
                Ok(tx.read_all::<(Uuid, Role)>(statement, params![user]).await?)
            })
        .await?;
    if roles.is_empty() {
        return Err(Error::Outsider("User is not a member of this organization.".into()));
    }
    let may = |role: Role| decide(role, Action::ReadDeletions) == Verdict::Yes;
    let readable: Vec<Uuid> = roles.into_iter().filter(|(_, role)| may(*role)).map(|(organization, _)| organization).collect();
    match readable.is_empty() {
        true => Err(Error::Forbidden(refusal(Action::ReadDeletions).into())),
        false => Ok(readable),
    }
}

/// For operators: along the index of all ids.
async fn everywhere(cx: &Cx, filter: Option<DeletionFilter>, request: PageRequest) -> Result<Page<Watched>> {
    let states = states(filter);
    let page = cx
        .read(async move |_, tx| {
            let count = sql!("SELECT count(*) FROM deletions WHERE state = ANY($1)");
            let total = match request.after {
                Some(_) => 0,
                None => tx.read_one(count, params![states.clone()]).await?,
            };
            let statement =
                sql!("SELECT {columns} FROM deletions WHERE state = ANY($1) AND id < $4 ORDER BY id DESC LIMIT $2 OFFSET $3", Watched);
            let bound = params![states.clone(), request.limit(), request.offset(), request.below()];
            Ok(part(tx.read_all(statement, bound).await?, total, request))
        })
        .await?;
    cx.plane.ledger.settled().await;
    Ok(page)
}

fn part(found: Vec<Watched>, total: i64, request: PageRequest) -> Page<Watched> {
    Page::part(found.into_iter().map(told).collect(), total, request, |watched| watched.deletion.id)
}

async fn load(tx: &mut Tx, id: Uuid) -> Result<Option<Watched>> {
    let statement = sql!("SELECT {columns} FROM deletions WHERE id = $1", Watched);
    Ok(tx.read_opt(statement, params![id]).await?.map(told))
}

/// What a deletion waits for in words, which its row has in a form of its own.
fn told(mut watched: Watched) -> Watched {
    watched.waiting = watched.deletion.waiting_for.as_deref().map(Waiting::read);
    watched.deletion.waiting_for = watched.waiting.as_ref().map(waiting_words);
    watched
}
