//! Deleting customers. Those who are ordered while others of the same organization are being deleted wait for these and then go together, in
//! one transaction: a reseller who clears a list pays for one commit, not for one a customer. Each keeps its own guards, answer and record.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use sql::{Row, Tx, columns, params, sql};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{check_management, is_reference};
use crate::access::{self, Tenant, enter};
use crate::audit::{self, Note};
use crate::authority::{self, Claim};
use crate::deletions::{Deletion, Details, Order, Root, count_ahead, delete_together};
use crate::ids::OrganizationRef;
use crate::policy::Action;
use crate::{Cx, Error, Plane, Result, locks};

/// The documented ways to delete a customer, and who may go them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deleting {
    /// The organizations API: for good, by members who work with customers.
    Permanently,
    /// The customer API's default: marked as deleted and kept; sessions and devices go.
    Softly,
    /// The customer API with `hard=true`: for good, also after a soft deletion.
    Hard,
}

impl Deleting {
    pub(crate) fn action(self) -> Action {
        match self {
            Deleting::Permanently => Action::DeleteCustomer,
            Deleting::Softly => Action::RetireCustomer,
            Deleting::Hard => Action::EraseCustomer,
        }
    }

    pub(crate) fn root(self) -> Root {
        if self == Deleting::Softly { Root::RetiredCustomer } else { Root::Customer }
    }

    fn word(self) -> &'static str {
        if self == Deleting::Softly { "customer.retire" } else { "customer.delete" }
    }
}

/// Deletes a customer in one of the documented ways.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`]; [`Error::Forbidden`] for a reseller and a customer under other management;
/// [`Error::Blocked`] while a subscription is active, a transaction pending or a legal hold in force; [`Error::Conflict`] when the organization is archived.
pub async fn delete(cx: &Cx, organization: &OrganizationRef, reference: &str, how: Deleting, details: Details) -> Result<Deletion> {
    let note = Note {
        action: how.word(),
        subject: "customer",
        subject_label: Some(reference.to_owned()),
        reason: details.reason.clone(),
        ..Note::default()
    };
    audit::attempt(cx, organization, note, async {
        let tenant = enter_to_delete(cx, organization, how, details.export).await?;
        count_ahead(cx, &tenant).await?;
        let wish = Wish { cx: cx.clone(), tenant, how, reference: reference.to_owned(), details };
        let (answer, told) = oneshot::channel();
        join(&cx.plane, wish, answer);
        told.await.unwrap_or_else(|_| Err(Error::Internal("a deletion of customers ended without an outcome".into())))
    })
    .await
}

/// Lets in who may delete customers in this way. With an export the right to that is needed too.
pub(crate) async fn enter_to_delete(cx: &Cx, organization: &OrganizationRef, how: Deleting, export: bool) -> Result<Tenant> {
    let tenant = enter(cx, organization, how.action()).await?;
    if export { tenant.also(cx, Action::ExportCustomer) } else { Ok(tenant) }
}

/// Finds a customer for a plan, and checks that the actor may delete it.
pub(crate) async fn find_to_delete(cx: &Cx, tx: &mut Tx, tenant: &Tenant, reference: &str, how: Deleting) -> Result<Uuid> {
    let statement = sql!(
        "SELECT {columns} FROM customers WHERE organization_id = $1 AND reference = $2 AND (state = 'live' OR (state = 'deleted' AND $3))",
        Found
    );
    let found = tx.read_opt(statement, params![tenant.organization(), reference, how == Deleting::Hard]).await?;
    check(cx, tenant, how, found.as_ref())
}

/// Holds a customer that was looked for against what the actor may delete, and what they had read. Returns the customer's id.
fn check(cx: &Cx, tenant: &Tenant, how: Deleting, found: Option<&Found>) -> Result<Uuid> {
    let found = found.ok_or(Error::NotFound("Customer"))?;
    check_management(tenant, found.managed_by, how.action())?;
    cx.expects(found.id, found.revision)?;
    Ok(found.id)
}

/// One customer that a request wants to be deleted.
struct Wish {
    cx: Cx,
    tenant: Tenant,
    how: Deleting,
    reference: String,
    details: Details,
}

type Waiting = (Wish, oneshot::Sender<Result<Deletion>>);
type Key = (Uuid, Deleting);

/// Customers who go in one transaction at the most.
const MOST: usize = 64;

/// Who waits, by organization and way. There is a queue while a task works on it.
#[derive(Default)]
struct Gathering {
    queues: Mutex<HashMap<Key, Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Tasks that work on it.
    workers: usize,
}

/// Transactions under way at once for one queue, where the engine has several at all: while it works on one, the next is put together.
const WORKERS: usize = 2;

fn workers(plane: &Plane) -> usize {
    WORKERS.min(plane.db.writers())
}

fn join(plane: &Arc<Plane>, wish: Wish, answer: oneshot::Sender<Result<Deletion>>) {
    let key = (wish.tenant.organization(), wish.how);
    let gathering = plane.memory.of::<Gathering>();
    let mut queues = gathering.queues.lock().unwrap_or_else(PoisonError::into_inner);
    let queue = queues.entry(key).or_default();
    queue.waiting.push_back((wish, answer));
    if queue.workers == workers(plane) {
        return;
    }
    queue.workers += 1;
    drop(queues);
    let plane = plane.clone();
    tokio::spawn(async move {
        while let Some(batch) = next(&plane, &key) {
            // A task of its own: whatever becomes of it, those who wait behind it have their turn.
            if let Err(failure) = tokio::spawn(answer_all(batch)).await {
                tracing::error!(%failure, "a deletion of customers ended before its end");
            }
        }
    });
}

/// The next of a queue that can go together, no two for the same customer. When none is left, the worker that asks is done, and the last
/// worker takes the queue away.
fn next(plane: &Plane, key: &Key) -> Option<Vec<Waiting>> {
    let gathering = plane.memory.of::<Gathering>();
    let mut queues = gathering.queues.lock().unwrap_or_else(PoisonError::into_inner);
    let queue = queues.get_mut(key)?;
    // One worker who took all that wait would leave the others idle.
    let share = queue.waiting.len().div_ceil(workers(plane)).clamp(MOST / workers(plane), MOST);
    let (mut batch, mut later, mut named) = (Vec::new(), VecDeque::new(), HashSet::new());
    while batch.len() < share
        && let Some((wish, answer)) = queue.waiting.pop_front()
    {
        match named.insert(wish.reference.clone()) {
            true => batch.push((wish, answer)),
            false => later.push_back((wish, answer)),
        }
    }
    later.append(&mut queue.waiting);
    queue.waiting = later;
    if !batch.is_empty() {
        return Some(batch);
    }
    queue.workers -= 1;
    if queue.workers == 0 {
        queues.remove(key);
    }
    None
}

async fn answer_all(batch: Vec<Waiting>) {
    let (wishes, answers): (Vec<Wish>, Vec<_>) = batch.into_iter().unzip();
    let wishes = Arc::new(wishes);
    let mut outcomes = go(&wishes, 0..wishes.len()).await;
    let may_be_one_alone = matches!(&outcomes, Err(error) if !matches!(error, Error::Storage(storage) if storage.is_of_the_database()));
    if wishes.len() > 1 && may_be_one_alone {
        // What one of them met is not the answer of the others. A database that is not there is.
        let mut each = Vec::new();
        for place in 0..wishes.len() {
            each.extend(go(&wishes, place..place + 1).await.unwrap_or_else(|error| vec![Err(error)]));
        }
        outcomes = Ok(each);
    }
    let outcomes = outcomes.unwrap_or_else(|error| wishes.iter().map(|_| Err(error.clone())).collect());
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        // A caller who has gone away needs no answer.
        let _ = answer.send(outcome);
    }
}

/// Some of the batch in one transaction.
async fn go(wishes: &Arc<Vec<Wish>>, places: Range<usize>) -> Result<Vec<Result<Deletion>>> {
    let Some(first) = wishes.get(places.start) else { return Ok(Vec::new()) };

    // Each wish is confirmed in there: they may be of several actors.
    let wishes = wishes.clone();
    first.cx.write_as_server(async move |_, tx| delete_in(tx, &wishes[places.clone()]).await).await
}

async fn delete_in(tx: &mut Tx, wishes: &[Wish]) -> Result<Vec<Result<Deletion>>> {
    let Some(Wish { tenant, how, .. }) = wishes.first() else { return Ok(Vec::new()) };
    let claims: Vec<Claim<'_>> = wishes.iter().map(|wish| Claim { cx: &wish.cx, tenant: wish.tenant }).collect();
    let confirmed = authority::confirm(tx, &claims, &[]).await?;
    locks::keep_holds_out(tx, tenant.organization()).await?;
    let found = lock_all(tx, tenant, *how, wishes).await?;
    let mut outcomes = Vec::new();
    let mut orders = Vec::new();
    for (wish, confirmed) in wishes.iter().zip(confirmed) {
        let order = confirmed.and_then(|(cx, tenant)| Ok((wish.order(&cx, &tenant, found.get(wish.reference.as_str()))?, cx)));
        match order {
            Ok((order, cx)) => {
                outcomes.push(None);
                orders.push((cx, order));
            }
            Err(refused) => outcomes.push(Some(Err(refused))),
        }
    }
    let mut done = delete_together(tx, tenant.organization(), orders).await?.into_iter();
    Ok(outcomes.into_iter().filter_map(|refused| refused.or_else(|| done.next())).collect())
}

/// A customer's row that was found.
struct Found {
    id: Uuid,
    managed_by: Option<Uuid>,
    revision: i64,
}

columns! { Found { id, managed_by, revision } }

impl Wish {
    fn order(&self, cx: &Cx, tenant: &Tenant, found: Option<&Found>) -> Result<Order> {
        Ok(Order {
            root: self.how.root(),
            subject: check(cx, tenant, self.how, found)?,
            label: Some(self.reference.clone()),
            reason: self.details.reason.clone(),
            action: self.how.word(),
            detail: None,
            export: self.details.export,
        })
    }
}

/// Locks the customers' rows: what hangs on them can neither be added to nor deleted by others until this transaction ends. Those who were
/// softly deleted are found only to be erased, and none in an organization that is archived.
async fn lock_all(tx: &mut Tx, tenant: &Tenant, how: Deleting, wishes: &[Wish]) -> Result<HashMap<String, Found>> {
    let references: Vec<String> = wishes.iter().map(|wish| wish.reference.clone()).filter(|reference| is_reference(reference)).collect();
    let statement = match how {
        Deleting::Hard => sql!(
            "SELECT reference, {columns} FROM customers
             WHERE organization_id = $1 AND reference = ANY($2) AND state IN ('live', 'deleted')
               AND EXISTS (SELECT 1 FROM organizations WHERE organizations.id = $1 AND organizations.state = 'live')
             FOR UPDATE",
            Found
        ),
        Deleting::Permanently | Deleting::Softly => sql!(
            "SELECT reference, {columns} FROM customers
             WHERE organization_id = $1 AND reference = ANY($2) AND state = 'live'
               AND EXISTS (SELECT 1 FROM organizations WHERE organizations.id = $1 AND organizations.state = 'live')
             FOR UPDATE",
            Found
        ),
    };
    let (of_organization, of_customers) = (params![tenant.organization()], params![tenant.organization(), references]);
    let mut answers = tx.query_all(&[(access::WRITABLE, of_organization), (statement, of_customers)]).await?.into_iter();
    access::check_writable(answers.next().unwrap_or_default())?;
    Ok(answers.next().unwrap_or_default().into_iter().map(Row::read::<(String, Found)>).collect::<sql::Result<_>>()?)
}
