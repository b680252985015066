//! A purge on its way: the drain has the next of its customers deleted, in a transaction that also says what became of each and how far it
//! is. So nothing is done twice, wherever it stops.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Statement, Tx, Value, params, sql};
use uuid::Uuid;

use super::criteria::{Criteria, Person};
use super::{Outcome, REPEATED, UNKNOWN, WIDTH, is_others, scan};
use crate::audit::{self, Note, SERVICE_ACCOUNT};
use crate::cx::{Actor, Cx, Orderer};
use crate::deletions::{Deletion, Order, Root, SMALL_GROUP, delete_together, rows};
use crate::policy::{Action, Verdict, decide};
use crate::principal::Membership;
use crate::{Error, Result, access, authority, makers};
use deletion::Insert;

/// A purge and its deletion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purge {
    pub(crate) organization: Uuid,
    pub(crate) id: Uuid,
    pub(crate) deletion: Uuid,
}

/// How far a purge has come: customers by outcome, and among those that meet criteria the last that was looked at.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) counts: Json,
    pub(crate) last: Option<Uuid>,
}

/// Rows that the deletion of a customer with nothing hanging on it is taken to cost.
pub(super) const EACH: i64 = 8;
/// Customers that are looked at in one transaction at the most.
const MOST: i64 = 1_000;
/// The same at the least: what a transaction costs however few there are in it must not become most of the work. On them hang no more rows
/// than go with a cascade group.
const LEAST: i64 = 16;

/// What was ordered, and who ordered it.
struct Job {
    purge: Purge,
    criteria: Option<Criteria>,
    /// The next of a list.
    listed: Vec<Uuid>,
    only_managed_by: Option<Uuid>,
    ordered_at: Timestamp,
    reason: Option<String>,
    /// Whether no customer is to be deleted any more: those that are left are only gone through.
    is_stopped: bool,
    /// Who ordered it, and with what.
    orderer: Arc<Orderer>,
    /// The orderer, at work now.
    cx: Cx,
}

/// Deletes the next customers, about as many as come to so many rows. Returns nothing when there are no more.
pub(crate) async fn go_on(cx: &Cx, tx: &mut Tx, purge: Purge, step: Step, size: i64) -> Result<Option<Step>> {
    let done = sum(&step.counts);
    let most = (size / EACH).clamp(LEAST, MOST);
    // A purge whose organization is being erased may be gone already, and all its customers with it.
    let Some(job) = load(cx, tx, purge, done, most).await? else { return Ok(None) };
    let refused = match access::is_writable(tx, purge.organization).await {
        Ok(()) => job.lost_right(tx).await?,
        Err(Error::NotFound(_)) => return Ok(None),
        Err(archived @ Error::Conflict(_)) => Some(archived),
        Err(error) => return Err(error),
    };
    let mut last = step.last;
    let mut subjects = match &job.criteria {
        None => job.listed.clone(),
        Some(criteria) => {
            let Some((subjects, reached)) = next(tx, &job, criteria, last, most).await? else { return Ok(None) };
            last = Some(reached);
            subjects
        }
    };
    if job.criteria.is_none() && subjects.is_empty() {
        return Ok(None);
    }
    let (before, most_rows) = (subjects.len(), size.max(SMALL_GROUP));
    while !job.is_stopped && subjects.len() > 1 && rows(tx, Root::Customer, purge.organization, &subjects, most_rows + 1).await? > most_rows
    {
        subjects.truncate(subjects.len() / 2);
    }
    if subjects.len() < before && job.criteria.is_some() {
        last = subjects.last().copied();
    }
    let counts = delete(tx, &job, &subjects, refused.as_ref(), step.counts, done).await?;
    Ok(Some(Step { counts, last }))
}

/// The columns of a purge, and of the deletion that it is.
type Columns = (Option<Json>, Option<Vec<u8>>, Option<Uuid>, Option<Uuid>, Timestamp, OfDeletion);
type OfDeletion = (String, Option<Uuid>, Option<String>, String, bool);

async fn load(cx: &Cx, tx: &mut Tx, purge: Purge, done: i64, most: i64) -> Result<Option<Job>> {
    let statement = sql!(
        "SELECT purges.criteria, substr(purges.subjects, CAST(CAST($4 AS bigint) AS integer), CAST(CAST($5 AS bigint) AS integer)),
                purges.only_managed_by, purges.credential_id, purges.created_at, deletions.actor, deletions.actor_id, deletions.reason,
                deletions.request_id, deletions.stopped_at IS NOT NULL
         FROM purges JOIN deletions ON deletions.organization_id = purges.organization_id AND deletions.id = $3
         WHERE purges.organization_id = $1 AND purges.id = $2"
    );
    let width = WIDTH as i64;
    let bound = params![purge.organization, purge.id, purge.deletion, done * width + 1, most * width];
    let Some((criteria, listed, only_managed_by, credential, ordered_at, deletion)) = tx.read_opt::<Columns>(statement, bound).await?
    else {
        return Ok(None);
    };
    let (kind, user, reason, request_id, is_stopped) = deletion;
    let orderer = Arc::new(Orderer { kind, user, credential });
    let broken = |_| Error::Internal("the list of a purge holds something that is no id".into());
    Ok(Some(Job {
        purge,
        criteria: criteria.as_ref().map(Criteria::from_json).transpose()?,
        listed: listed.unwrap_or_default().chunks(WIDTH).map(|id| Uuid::from_slice(id).map_err(broken)).collect::<Result<_>>()?,
        only_managed_by,
        ordered_at,
        reason,
        is_stopped,
        cx: Cx::new(&cx.plane, request_id).with_actor(Actor::Orderer(orderer.clone())),
        orderer,
    }))
}

/// Those of the next so many customers who meet the criteria, and the last of them all; none at the end.
async fn next(tx: &mut Tx, job: &Job, criteria: &Criteria, after: Option<Uuid>, most: i64) -> Result<Option<(Vec<Uuid>, Uuid)>> {
    let (people, _) = scan(tx, job.purge.organization, after.unwrap_or_default(), most).await?;
    let Some(last) = people.last().map(|person| person.id) else { return Ok(None) };
    let meant = people.into_iter().filter(|person| job.means(criteria, person));
    Ok(Some((meant.map(|person| person.id).collect(), last)))
}

impl Job {
    /// Why the orderer may no longer do what this job does for them: they were removed or demoted, or the key they used was revoked. A session or
    /// a token that has ended since says nothing of that: they end by themselves.
    async fn lost_right(&self, tx: &mut Tx) -> Result<Option<Error>> {
        let Some(user) = self.orderer.user else { return Ok(None) };
        let organization = self.purge.organization;
        let member = self.membership(tx, user).await?.map(|own| own.id);
        // From here on the right cannot be taken away before this batch is done.
        authority::share(tx, [Some(user), Some(organization), member, self.orderer.credential].into_iter().flatten()).await?;
        let membership = self.membership(tx, user).await?;
        let action = if self.state() == "live" { Action::DeleteCustomer } else { Action::EraseCustomer };
        let verdict = membership.map_or(Verdict::No, |own| decide(own.role, action));
        let is_able = match verdict {
            Verdict::Yes => true,
            Verdict::Managed => membership.map(|own| own.id) == self.only_managed_by,
            Verdict::No => false,
        };
        let has_key = match self.orderer.credential {
            Some(key) if ["api_key", SERVICE_ACCOUNT].contains(&self.orderer.kind.as_str()) => {
                makers::allowed(&self.cx, tx, organization, key).await?.is_some_and(|scopes| scopes.covers(action.scope()))
            }
            _ => true,
        };
        let words = "Access denied. The member who ordered this purge, or the key they used, may no longer delete customers.";
        Ok((!is_able || !has_key).then(|| Error::Forbidden(words.into())))
    }

    /// What the orderer is now: a member, or a service account.
    async fn membership(&self, tx: &mut Tx, user: Uuid) -> Result<Option<Membership>> {
        match self.orderer.kind == SERVICE_ACCOUNT {
            true => access::load_service(tx, self.purge.organization, user).await,
            false => access::load_membership(tx, user, self.purge.organization).await,
        }
    }

    fn means(&self, criteria: &Criteria, person: &Person) -> bool {
        criteria.matches(person, self.ordered_at) && !is_others(self.only_managed_by, person)
    }

    fn state(&self) -> &'static str {
        self.criteria.as_ref().map_or("live", Criteria::state)
    }

    /// What becomes of a customer before anybody asks whether something stands in the way. None for one who is not meant any more.
    fn judge(&self, subject: Uuid, person: Option<&Person>, refused: Option<&Error>) -> Option<Judged> {
        match (&self.criteria, person) {
            _ if subject == REPEATED => Some(Judged::Over(Outcome::Repeated, None)),
            _ if subject == UNKNOWN => Some(Judged::Over(Outcome::NotFound, None)),
            (None, None) => Some(Judged::Over(Outcome::NotFound, None)),
            (Some(_), None) => None,
            _ if self.is_stopped => Some(Judged::Over(Outcome::Stopped, None)),
            (Some(criteria), Some(person)) if !self.means(criteria, person) => None,
            (_, Some(_)) if refused.is_some() => Some(Judged::Over(Outcome::Refused, refused.cloned())),
            (None, Some(person)) if is_others(self.only_managed_by, person) => {
                let words = "Access denied. This customer is not under your management.";
                Some(Judged::Over(Outcome::Refused, Some(Error::Forbidden(words.into()))))
            }
            (_, Some(_)) => Some(Judged::Ready),
        }
    }

    fn order(&self, person: &Person) -> Order {
        Order {
            root: Root::Customer,
            subject: person.id,
            label: Some(person.reference.clone()),
            reason: self.reason.clone(),
            action: DELETE,
            detail: None,
            export: false,
        }
    }
}

const DELETE: &str = "customer.delete";

enum Judged {
    Ready,
    Over(Outcome, Option<Error>),
}

/// Has the customers deleted that nothing saves, and writes down what became of each.
async fn delete(tx: &mut Tx, job: &Job, subjects: &[Uuid], refused: Option<&Error>, counts: Json, done: i64) -> Result<Json> {
    let people = find(tx, job, subjects).await?;
    let mut judged: Vec<(Uuid, Option<&Person>, Judged)> = Vec::new();
    for subject in subjects {
        let person = people.get(subject);
        judged.extend(job.judge(*subject, person, refused).map(|outcome| (*subject, person, outcome)));
    }
    let ready = judged.iter().filter(|(.., judged)| matches!(judged, Judged::Ready));
    let orders = ready.filter_map(|(_, person, _)| person.map(|person| (job.cx.clone(), job.order(person)))).collect();
    let mut deleted = delete_together(tx, job.purge.organization, orders).await?.into_iter();
    let (mut items, mut counts, mut number) = (Vec::new(), counts, done);
    for (subject, person, judged) in judged {
        number += 1;
        let (outcome, error, deletion) = match judged {
            Judged::Over(outcome, error) => (outcome, error, None),
            Judged::Ready => ended(deleted.next())?,
        };
        if let (Some(error), Some(person)) = (&error, person) {
            let note = Note {
                action: DELETE,
                subject: Root::Customer.noun(),
                subject_id: Some(person.id),
                subject_label: Some(person.reference.clone()),
                reason: job.reason.clone(),
                ..Note::default()
            };
            audit::not_done(&job.cx, tx, job.purge.organization, &note, error).await?;
        }
        let customer = Some(subject).filter(|subject| ![UNKNOWN, REPEATED].contains(subject));
        items.extend(columns(job, number, customer, outcome, error.as_ref(), deletion));
        counts[outcome.name()] = Json::from(counts[outcome.name()].as_i64().unwrap_or(0) + 1);
    }
    tx.query_all(&ITEM.of(&items)).await?;
    Ok(counts)
}

/// The customers of these who are there. Their rows are locked, and with them what hangs on them, unless a stop saves them all the same.
async fn find(tx: &mut Tx, job: &Job, subjects: &[Uuid]) -> Result<HashMap<Uuid, Person>> {
    let look = sql!("SELECT {columns} FROM customers WHERE organization_id = $1 AND id = ANY($2) AND state = $3", Person);
    let lock = sql!(
        "SELECT {columns} FROM customers WHERE organization_id = $1 AND id = ANY($2) AND state = $3
           AND EXISTS (SELECT 1 FROM organizations WHERE organizations.id = $1 AND organizations.state = 'live')
         FOR UPDATE",
        Person
    );
    let statement = if job.is_stopped { look } else { lock };
    let people: Vec<Person> = tx.read_all(statement, params![job.purge.organization, subjects, job.state()]).await?;
    Ok(people.into_iter().map(|person| (person.id, person)).collect())
}

/// What came of the order to delete a customer.
fn ended(outcome: Option<Result<Deletion>>) -> Result<(Outcome, Option<Error>, Option<Uuid>)> {
    match outcome {
        Some(Ok(deletion)) => Ok((Outcome::Deleted, None, Some(deletion.id))),
        Some(Err(error @ Error::Blocked(_))) => Ok((Outcome::Blocked, Some(error), None)),
        Some(Err(error)) => Err(error),
        None => Err(Error::Internal("a deletion of customers ended without an outcome".into())),
    }
}

/// What became of one customer.
static ITEM: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "INSERT INTO purge_items (organization_id, purge_id, id, number, customer_id, outcome, detail, blockers, deletion_id,
                                  created_at)",
        "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        10,
    )
});

fn columns(job: &Job, number: i64, customer: Option<Uuid>, outcome: Outcome, error: Option<&Error>, deletion: Option<Uuid>) -> [Value; 10] {
    let purge = job.purge;
    // The purge's own id with the number in the place of its last 32 bits.
    let id = Uuid::from_u128(purge.id.as_u128() >> 32 << 32 | u128::from(number.unsigned_abs() as u32));
    let (detail, blockers) = match error {
        Some(Error::Blocked(blockers)) => (None, serde_json::to_value(blockers).ok()),
        Some(other) => (Some(other.words()), None),
        None => (None, None),
    };
    [
        purge.organization.into(),
        purge.id.into(),
        id.into(),
        number.into(),
        customer.into(),
        outcome.into(),
        detail.into(),
        blockers.into(),
        deletion.into(),
        job.cx.now.into(),
    ]
}

pub(super) fn sum(counts: &Json) -> i64 {
    counts.as_object().into_iter().flatten().filter_map(|(_, number)| number.as_i64()).sum()
}

/// Whether every deletion that a purge has ordered is completed.
pub(crate) async fn are_all_completed(tx: &mut Tx, purge: Purge) -> Result<bool> {
    let statement = sql!(
        "SELECT 1 FROM deletions
         WHERE state IN ('closed', 'draining') AND organization_id = $1
           AND EXISTS (SELECT 1 FROM purge_items
                       WHERE purge_items.organization_id = $1 AND purge_items.customer_id = deletions.subject_id
                         AND purge_items.purge_id = $2 AND purge_items.deletion_id = deletions.id)
         LIMIT 1"
    );
    Ok(tx.query_opt(statement, params![purge.organization, purge.id]).await?.is_none())
}

/// Every statement that is made from parts, for the test that prepares them.
pub fn statements() -> [Statement; 7] {
    ITEM.statements()
}
