//! Purges: the deletion of many customers that are ordered at once, those that meet criteria or those of a list.
//!
//! A purge is one deletion. Its order writes down what was asked for and nothing else, whatever the number of customers; the drain goes
//! through them (`worker.rs`), some in each of its transactions, and each is deleted as if alone: with guards, an entry in the audit trail and
//! a receipt of its own. What became of each is an [`Item`], which holds no more about a person than an id.

mod criteria;
mod stopping;
mod worker;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde_json::Value as Json;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::access::{self, Tenant, enter};
use crate::audit::{self, Note};
use crate::cx::Cx;
use crate::deletions::{self, Blocker, Deletion, Drift, Order, Root, TableDrift};
use crate::fields::check_reason;
use crate::ids::OrganizationRef;
use crate::ids::is_reference;
use crate::page::{Page, PageRequest};
use crate::policy::Action;
use crate::{Error, FieldError, Result};

pub use criteria::Criteria;
use criteria::Person;
pub use stopping::stop;
pub use worker::statements;
pub(crate) use worker::{Purge, Step, are_all_completed, go_on};

/// Ids that a list can have.
pub const MOST_LISTED: usize = 100_000;
/// Customers that a look names.
const SAMPLE: usize = 100;
/// Customers that are looked at in one read.
const SLICE: usize = 1_000;
/// Reads after which counting ends: neither a look nor an order goes through all customers of the largest organizations.
const MOST_SLICES: usize = 500;
/// How long a look counts.
const MOST_TIME: Duration = Duration::from_secs(10);
/// Bytes of an id in the list that the database holds.
const WIDTH: usize = 16;
/// Stands in that list for one who was not there when it was ordered.
const UNKNOWN: Uuid = Uuid::nil();
/// Stands in it for one who was named before.
const REPEATED: Uuid = Uuid::max();

/// Which customers shall be purged.
#[derive(Debug, Clone)]
pub enum Meant {
    /// Those who have this in common.
    Criteria(Criteria),
    /// Customers by their references, up to [`MOST_LISTED`].
    List(Vec<String>),
}

impl Meant {
    fn words(&self) -> String {
        match self {
            Meant::Criteria(criteria) => criteria.words(),
            Meant::List(references) => format!("customers: a list of {}", references.len()),
        }
    }
}

crate::wire::words! {
    /// What became of one customer of a purge.
    pub enum Outcome as "PurgeOutcome", like "deleted" {
        /// No reader finds the customer any more; the customer's own deletion goes on or is completed.
        Deleted = "deleted",
        /// Something stands in the way.
        Blocked = "blocked",
        /// The member who ordered it may not delete this one, or no member may now.
        Refused = "refused",
        /// No customer of this id is there, or none was any more when it was their turn.
        NotFound = "not_found",
        /// The list names the customer twice.
        Repeated = "repeated",
        /// The purge was stopped before it was the customer's turn.
        Stopped = "stopped",
    }
}

/// How many customers have which outcome.
pub type Tally = BTreeMap<&'static str, i64>;

fn add(tally: &mut Tally, outcome: Outcome) {
    *tally.entry(outcome.name()).or_default() += 1;
}

/// What a purge would come to, as things are now.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Customers by what would become of each.
    pub outcomes: Tally,
    /// References of the first hundred who would be deleted.
    pub sample: Vec<String>,
    /// What refuses the order now; and that customers lack an approval, which leaves these out and no other.
    pub blockers: Vec<Blocker>,
    /// The first of the customers without an approval, and how many they are.
    unapproved: Option<(Uuid, i64)>,
    /// Whether there may be more than were counted.
    pub is_part: bool,
}

impl Survey {
    /// How many customers would be deleted, of those that were looked at.
    pub fn count(&self) -> i64 {
        self.outcomes.get(Outcome::Deleted.name()).copied().unwrap_or(0)
    }
}

/// Looks at what a purge would come to that is ordered for this reason. Callers who may order it may look. It goes through half a million
/// customers at the most, and looks for ten seconds.
///
/// # Errors
/// Those of [`order`], but for [`Error::Blocked`]: blockers are part of the answer.
pub async fn look(cx: &Cx, organization: &OrganizationRef, meant: &Meant, reason: Option<&str>) -> Result<Survey> {
    let tenant = enter_to_purge(cx, organization, meant).await?;
    let reason = reason.map(str::to_owned);
    let missing = cx.read(async move |cx, tx| {
        tenant.is_writable(tx).await?;
        deletions::of_purge(cx, tx, tenant.organization(), reason.as_deref()).await
    });
    let missing = missing.await?;
    let (mut survey, _) = survey(cx, tenant, meant, true).await?;
    survey.blockers = missing;
    survey.blockers.extend(survey.unapproved.map(|(first, number)| deletions::unapproved(first, number)));
    Ok(survey)
}

/// About how many seconds it would take, if the drain is as fast as it was until now.
pub fn seconds(cx: &Cx, survey: &Survey) -> i64 {
    let customers: i64 = survey.outcomes.values().sum();
    if customers == 0 { 0 } else { cx.plane.deletions.estimates.seconds(customers * worker::EACH) }
}

/// Orders a purge. It is done by the drain. One that was `looked_at` deletes as many customers as the look found, or is not ordered.
///
/// # Errors
/// Those of [`enter`]; [`crate::Error::Invalid`] for criteria that say nothing, and for a list that is too long;
/// [`crate::Error::Conflict`] when the organization is archived; [`crate::Error::Drifted`] when there are more or fewer than were looked at.
pub async fn order(
    cx: &Cx,
    organization: &OrganizationRef,
    meant: &Meant,
    reason: Option<String>,
    looked_at: Option<i64>,
) -> Result<Deletion> {
    let note = Note { action: ACTION, subject: Root::CustomerPurge.noun(), reason: reason.clone(), ..Note::default() };
    audit::attempt(cx, organization, note, async {
        let tenant = enter_to_purge(cx, organization, meant).await?;
        check_reason(reason.as_deref())?;
        let (survey, subjects) = survey(cx, tenant, meant, looked_at.is_some()).await?;
        if let Some(planned) = looked_at.filter(|planned| *planned != survey.count()) {
            return Err(Error::Drifted(drift(planned, survey.count())));
        }
        let wanted = match meant {
            Meant::Criteria(criteria) => (Some(criteria.to_json()), None),
            Meant::List(_) => (None, Some(subjects)),
        };
        let order = Order {
            root: Root::CustomerPurge,
            subject: cx.new_id()?,
            label: None,
            reason: reason.clone(),
            action: ACTION,
            detail: Some(meant.words()),
            export: false,
        };
        let expected = (!survey.is_part).then(|| survey.outcomes.values().sum());
        tenant.write(cx, async move |cx, tx, tenant| order_in(cx, tx, tenant, &order, wanted.clone(), expected).await).await
    })
    .await
}

const ACTION: &str = "customers.purge";

async fn enter_to_purge(cx: &Cx, organization: &OrganizationRef, meant: &Meant) -> Result<Tenant> {
    // A look names customers, and so does what an order leads to.
    let tenant = enter(cx, organization, Action::DeleteCustomer).await?.also(cx, Action::ReadCustomers)?;
    match meant {
        Meant::List(references) if references.len() > MOST_LISTED => {
            Err(FieldError::new("list", "too_long", format!("must hold {MOST_LISTED} ids at the most: send several")).into())
        }
        Meant::List(_) => Ok(tenant),
        Meant::Criteria(criteria) => {
            criteria.check()?;
            // Those who were softly deleted are for those who may erase them.
            if criteria.is_deleted { tenant.also(cx, Action::EraseCustomer) } else { Ok(tenant) }
        }
    }
}

async fn order_in(
    cx: &Cx,
    tx: &mut Tx,
    tenant: &Tenant,
    order: &Order,
    (criteria, subjects): (Option<Json>, Option<Vec<u8>>),
    expected: Option<i64>,
) -> Result<Deletion> {
    // From here on the organization is not deleted: a purge of one that is going would have nothing to hang on.
    tenant.lock(tx).await?;
    tenant.is_writable(tx).await?;
    let organization = tenant.organization();
    let statement = sql!(
        "INSERT INTO purges (organization_id, id, criteria, subjects, only_managed_by, credential_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)"
    );
    let credential = cx.principal()?.credential;
    tx.execute(statement, params![organization, order.subject, criteria, subjects, tenant.only_managed_by(), credential, cx.now]).await?;
    let deletion = deletions::delete(cx, tx, organization, order.clone()).await?;
    let expect = sql!("UPDATE deletions SET rows_expected = $3 WHERE organization_id = $1 AND id = $2");
    tx.execute(expect, params![organization, deletion.id, expected]).await?;
    Ok(deletion)
}

/// Goes through all who are meant, a slice in each read. Returns what would become of them, and of a list the ids to be kept of it.
async fn survey(cx: &Cx, tenant: Tenant, meant: &Meant, is_thorough: bool) -> Result<(Survey, Vec<u8>)> {
    let (mut survey, mut subjects) = (Survey::default(), Vec::new());
    match meant {
        Meant::Criteria(criteria) => {
            let (mut after, mut slices, watch) = (Some(Uuid::nil()), 0, cx.plane.clock.stopwatch());
            while let Some(last) = after {
                slices += 1;
                if slices > MOST_SLICES || watch.elapsed() > MOST_TIME {
                    survey.is_part = true;
                    break;
                }
                let criteria = criteria.clone();
                let slice = cx
                    .read_filtered(true, async move |cx, tx| {
                        let (people, next) = scan(tx, tenant.organization(), last, SLICE as i64).await?;
                        let own = tenant.only_managed_by();
                        let is_meant =
                            |person: &Person| criteria.matches(person, cx.now) && own.is_none_or(|own| person.managed_by == Some(own));
                        let people: Vec<Person> = people.into_iter().filter(is_meant).collect();
                        let blocked = blocked(cx, tx, &tenant, &people, is_thorough).await?;
                        Ok((people, blocked, next))
                    })
                    .await?;
                let (people, blocked, next) = slice;
                people.iter().for_each(|person| survey.add(person, &blocked));
                after = next;
            }
        }
        Meant::List(references) => {
            let mut seen = HashSet::new();
            for part in references.chunks(SLICE) {
                let references = part.to_vec();
                let (people, blocked) = cx
                    .read_filtered(true, async move |cx, tx| {
                        let people = find(tx, tenant.organization(), &references).await?;
                        let blocked = blocked(cx, tx, &tenant, &people, is_thorough).await?;
                        Ok((people, blocked))
                    })
                    .await?;
                let found: HashMap<&str, &Person> = people.iter().map(|person| (person.reference.as_str(), person)).collect();
                for reference in part {
                    let subject = match found.get(reference.as_str()) {
                        None => UNKNOWN,
                        Some(person) if !seen.insert(person.id) => REPEATED,
                        Some(person) => person.id,
                    };
                    subjects.extend_from_slice(subject.as_bytes());
                    match (subject, found.get(reference.as_str())) {
                        (REPEATED, _) => add(&mut survey.outcomes, Outcome::Repeated),
                        (_, None) => add(&mut survey.outcomes, Outcome::NotFound),
                        (_, Some(person)) if is_others(tenant.only_managed_by(), person) => add(&mut survey.outcomes, Outcome::Refused),
                        (_, Some(person)) => survey.add(person, &blocked),
                    }
                }
            }
        }
    }
    Ok((survey, subjects))
}

impl Survey {
    fn add(&mut self, person: &Person, blocked: &Blocked) {
        if blocked.unapproved.contains(&person.id) {
            self.unapproved.get_or_insert((person.id, 0)).1 += 1;
        }
        if blocked.all.contains(&person.id) {
            return add(&mut self.outcomes, Outcome::Blocked);
        }
        add(&mut self.outcomes, Outcome::Deleted);
        if self.sample.len() < SAMPLE {
            self.sample.push(person.reference.clone());
        }
    }
}

/// Whether a customer is one of those that the member who ordered it may not delete.
fn is_others(only_managed_by: Option<Uuid>, person: &Person) -> bool {
    only_managed_by.is_some_and(|own| person.managed_by != Some(own))
}

/// Customers in whose way something stands.
#[derive(Default)]
struct Blocked {
    all: HashSet<Uuid>,
    /// Those of them without an approval.
    unapproved: HashSet<Uuid>,
}

async fn blocked(cx: &Cx, tx: &mut Tx, tenant: &Tenant, people: &[Person], is_asked: bool) -> Result<Blocked> {
    if !is_asked || people.is_empty() {
        return Ok(Blocked::default());
    }
    let subjects: Vec<Uuid> = people.iter().map(|person| person.id).collect();
    let guarded = deletions::check(cx, tx, Root::Customer, tenant.organization(), &subjects).await?;
    let unapproved: HashSet<Uuid> = deletions::of_purged(cx, tx, tenant.organization(), &subjects).await?.into_keys().collect();
    Ok(Blocked { all: guarded.into_keys().chain(unapproved.iter().copied()).collect(), unapproved })
}

/// Customers of all states after an id, and where to go on if there may be more.
async fn scan(tx: &mut Tx, organization: Uuid, after: Uuid, most: i64) -> Result<(Vec<Person>, Option<Uuid>)> {
    let statement = sql!("SELECT {columns} FROM customers WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3", Person);
    let people: Vec<Person> = tx.read_all(statement, params![organization, after, most]).await?;
    let next = people.last().filter(|_| people.len() as i64 == most).map(|last| last.id);
    Ok((people, next))
}

async fn find(tx: &mut Tx, organization: Uuid, references: &[String]) -> Result<Vec<Person>> {
    let statement = sql!("SELECT {columns} FROM customers WHERE organization_id = $1 AND reference = ANY($2) AND state = 'live'", Person);
    let references: Vec<String> = references.iter().filter(|reference| is_reference(reference)).cloned().collect();
    Ok(tx.read_all(statement, params![organization, references]).await?)
}

/// What became of one customer of a purge.
#[derive(Debug, Clone)]
pub struct Item {
    /// In the order of the numbers.
    id: Uuid,
    /// The place in the list that was given, or in the order in which customers were found; from 1.
    pub number: i64,
    /// The customer's id, if there was one.
    pub customer: Option<Uuid>,
    /// The customer's reference, as long as the customer is there.
    pub reference: Option<String>,
    /// The outcome.
    pub outcome: Outcome,
    /// Why it was refused.
    pub detail: Option<String>,
    /// What stood in the way: `code`, `kind`, `id`, `detail` and `remedy` of each.
    pub blockers: Vec<Json>,
    /// The customer's own deletion.
    pub deletion: Option<Uuid>,
}

columns! { Item {
    id: "purge_items.id", number, customer: "customer_id",
    reference: "(SELECT reference FROM customers WHERE customers.organization_id = $1 AND customers.id = customer_id AND customers.state <> 'closed')",
    outcome, detail, blockers => list, deletion: "deletion_id",
} }

/// Lists what became of each customer of a purge, in their order; nothing of other deletions. Callers who may read the deletion may read
/// it.
///
/// # Errors
/// Those of [`deletions::get`].
pub async fn items(cx: &Cx, deletion: Uuid, outcome: Option<Outcome>, request: PageRequest) -> Result<(Uuid, Page<Item>)> {
    let deletion = deletions::get(cx, deletion).await?;
    cx.principal()?.needs(Action::ReadCustomers.scope())?;
    // It tells of customers who are there, and of what holds them. A member who was removed since may not read that.
    access::remains(cx, deletion.organization).await.map_err(|error| match error {
        Error::Storage(_) | Error::Internal(_) => error,
        _ => Error::NotFound("Deletion"),
    })?;
    let (organization, purge) = (deletion.organization, deletion.subject);
    let page = cx
        .read(async move |_, tx| {
            let count = sql!(
                "SELECT count(*) FROM purge_items
                 WHERE organization_id = $1 AND purge_id = $2 AND (CAST($3 AS text) IS NULL OR outcome = $3)"
            );
            let total = match request.after {
                Some(_) => 0,
                None => tx.read_one(count, params![organization, purge, outcome]).await?,
            };
            let statement = sql!(
                "SELECT {columns} FROM purge_items
                 WHERE organization_id = $1 AND purge_id = $2 AND (CAST($3 AS text) IS NULL OR outcome = $3) AND purge_items.id > $6
                 ORDER BY purge_items.id LIMIT $4 OFFSET $5",
                Item
            );
            // It is the first slice that comes after nothing here: the list begins with the first and not with the last.
            let after = request.after.filter(|after| *after != PageRequest::FIRST).unwrap_or_default();
            let bound = params![organization, purge, outcome, request.limit(), request.offset(), after];
            let items = tx.read_all(statement, bound).await?;
            Ok(Page::part(items, total, request, |item: &Item| item.id))
        })
        .await?;
    cx.plane.ledger.settled().await;
    Ok((deletion.organization, page))
}

/// What stood in the way, from a column that may be null.
fn list(blockers: Option<Json>) -> Vec<Json> {
    match blockers {
        Some(Json::Array(blockers)) => blockers,
        _ => Vec::new(),
    }
}

/// Of a purge that was looked at when there was another number of customers to be deleted.
fn drift(planned: i64, now: i64) -> Drift {
    let words = "There are not as many customers to be deleted as you say: look at the purge again, and decide anew.";
    Drift { words, tables: vec![TableDrift { table: "customers", planned, now }] }
}
