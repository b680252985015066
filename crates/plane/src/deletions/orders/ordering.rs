//! Deletions as they are ordered: what only this product knows of them (blockers, requirements, webhooks, the audit trail, the
//! ledger), handed to the engine for one deletion or for several that were ordered at the same time.

use std::collections::HashMap;

use deletion::{Accepted, Insert, Orders, Record};
use futures_util::future::BoxFuture;
use serde_json::Value as Json;
use sql::{Row, Statement, Tx, Value, params};
use uuid::Uuid;

use crate::audit::{self, Note, actor_columns};
use crate::authority::revoke;
use crate::cx::Actor;
use crate::deletion_rules::{RULES, Root};
use crate::deletions::approval_rows::{self, Counting};
use crate::deletions::guards::{self, Blocker};
use crate::deletions::requirements_check::{self, Asking};
use crate::deletions::{Deletion, Order, effects, export_orders, grace, subscriptions};
use crate::fields::check_reason;
use crate::{Cx, Error, Result, ledger, notify};

/// Orders that were given together, and what was found about each.
struct Together {
    root: Root,
    organization: Uuid,
    given: Vec<Given>,
    /// Days for which they can be taken back.
    grace_days: u32,
    /// Whether a webhook of the organization listens.
    is_heard: bool,
    /// Whether something at the payment provider ends with any of them.
    has_subscriptions: bool,
    /// Entries of the audit trail that are to be written.
    entries: Vec<Value>,
}

/// One of them.
struct Given {
    cx: Cx,
    order: Order,
    id: Uuid,
    /// The approval that it uses up.
    approval: Option<Counting>,
    /// What its event will say, if a webhook listens.
    facts: Option<Json>,
    /// Whether it can be taken back for a while.
    is_reversible: bool,
    /// Its record, once that is made.
    deletion: Option<Deletion>,
}

/// Deletes subjects whose rows the caller has locked: all of one root, no two the same. What is refused is refused alone; the outcomes are in
/// the order of the orders.
///
/// # Errors
/// The database's: then nothing has happened to any of them.
pub(crate) async fn delete_together(tx: &mut Tx, organization: Uuid, orders: Vec<(Cx, Order)>) -> Result<Vec<Result<Deletion>>> {
    let Some((root, engine)) = orders.first().map(|(cx, order)| (order.root, cx.plane.deletions.clone())) else { return Ok(Vec::new()) };
    let given = orders
        .into_iter()
        .map(|(cx, order)| Ok(Given { id: cx.new_id()?, cx, order, approval: None, facts: None, is_reversible: false, deletion: None }));
    let given = given.collect::<Result<Vec<Given>>>()?;
    let ordered: Vec<deletion::Order> = given.iter().map(Given::order).collect();
    let mut together =
        Together { root, organization, given, grace_days: 0, is_heard: false, has_subscriptions: false, entries: Vec::new() };
    let outcomes = deletion::order(&engine, tx, (root.definition(), organization), &ordered, &mut together).await?;
    let outcomes = outcomes.into_iter().zip(together.given).map(|(outcome, given)| {
        outcome.and_then(|_| given.deletion.ok_or_else(|| Error::Internal("a deletion was ordered without a record".into())))
    });
    Ok(outcomes.collect())
}

impl Given {
    /// As the engine takes it.
    fn order(&self) -> deletion::Order {
        let (actor, actor_id, _) = actor_columns(&self.cx);
        deletion::Order {
            id: self.id,
            subject: self.order.subject,
            label: self.order.label.clone(),
            reason: self.order.reason.clone(),
            actor: actor.into(),
            actor_id,
            request_id: self.cx.request_id.to_string(),
            plan: self.cx.planned.clone(),
            waits: self.order.export,
            now: self.cx.now,
        }
    }
}

impl Orders for Together {
    type Error = Error;

    fn questions(&self) -> Vec<(Statement, Vec<Value>)> {
        let subjects: Vec<Uuid> = self.given.iter().map(|given| given.order.subject).collect();
        let now = self.given.first().map_or(jiff::Timestamp::UNIX_EPOCH, |given| given.cx.now);
        let listener = (notify::LISTENER, params![self.organization].to_vec());
        let open = guards::question(self.root, self.organization, &subjects, now);
        let subscriptions = subscriptions::question(self.root, self.organization, &subjects);
        [Some(listener), subscriptions, open, requirements_check::question(self.root, self.organization)].into_iter().flatten().collect()
    }

    fn weigh<'a>(&'a mut self, tx: &'a mut Tx, answers: Vec<Vec<Row>>) -> BoxFuture<'a, Result<Vec<Result<()>>>> {
        Box::pin(async move {
            let mut answers = answers.into_iter();
            self.is_heard = answers.next().is_some_and(|listeners| !listeners.is_empty());
            if subscriptions::has_any(self.root) {
                self.has_subscriptions = answers.next().is_some_and(|found| !found.is_empty());
            }
            let subjects: Vec<Uuid> = self.given.iter().map(|given| given.order.subject).collect();
            let open = match guards::has_question(self.root) {
                true => answers.next().unwrap_or_default(),
                false => Vec::new(),
            };
            let mut blocked = guards::weigh(tx, self.root, self.organization, &subjects, open).await?;
            let found = {
                let asking: Vec<Asking<'_>> = self
                    .given
                    .iter()
                    .map(|given| Asking { cx: &given.cx, subject: given.order.subject, reason: given.order.reason.as_deref() })
                    .collect();
                requirements_check::weigh(tx, (self.root, self.organization), &asking, answers.next().unwrap_or_default(), true).await?
            };
            for (subject, missing) in found.blockers {
                blocked.entry(subject).or_default().extend(missing);
            }
            self.grace_days = found.grace_days;
            let mut approvals = found.approvals;
            for given in &mut self.given {
                given.approval = approvals.remove(&given.order.subject);
            }
            Ok(self.given.iter().map(|given| refusal(&given.order, &mut blocked)).collect())
        })
    }

    fn accept<'a>(&'a mut self, tx: &'a mut Tx, places: &'a [usize]) -> BoxFuture<'a, Result<Accepted>> {
        Box::pin(async move {
            let (root, organization) = (self.root, self.organization);
            let accepted = || places.iter().filter_map(|place| self.given.get(*place));
            let approved: Vec<Uuid> = accepted().filter_map(|given| Some(given.approval?.subject_id)).collect();
            approval_rows::use_up(tx, organization, root.noun(), &approved).await?;
            let mut reversible_until = Vec::new();
            for place in places {
                let given = &mut self.given[*place];
                let subject = given.order.subject;
                if self.is_heard {
                    given.facts = Some(effects::facts(tx, root, organization, given.id, (subject, given.order.label.as_deref())).await?);
                }
                let until = grace::until(&given.cx, tx, organization, (root, subject), self.grace_days).await?;
                given.is_reversible = until.is_some();
                reversible_until.push(until);
            }
            Ok(Accepted {
                // The webhooks of an organization must outlive it until they were told, and nothing is erased before what is paid for it has ended.
                may_finish: !self.has_subscriptions && (!self.is_heard || root.definition().waits_before.is_none()),
                // A webhook that goes hears nothing any more.
                erases_before_end: self.is_heard,
                reversible_until,
            })
        })
    }

    fn end<'a>(&'a mut self, tx: &'a mut Tx, place: usize, is_done: bool) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let (root, organization) = (self.root, self.organization);
            let Given { cx, order, id, facts, is_reversible, .. } = &mut self.given[place];
            if self.has_subscriptions {
                subscriptions::cancel(cx, tx, organization, (*id, root, order.subject), *is_reversible).await?;
            }
            let Some(facts) = facts.take() else { return Ok(is_done) };
            let awaited = effects::start(cx, tx, organization, *id, (root, order.subject), facts).await?;
            let is_over = is_done && awaited == 0;
            if is_over {
                effects::complete(cx, tx, organization, *id, root, order.subject).await?;
            }
            Ok(is_over)
        })
    }

    fn recorded<'a>(&'a mut self, tx: &'a mut Tx, place: usize, record: &'a Record) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (root, organization) = (self.root, self.organization);
            let Given { cx, order, id, approval, .. } = &self.given[place];
            let export = match order.export {
                true => Some(export_orders::record(cx, tx, organization, root, order.subject, Some(*id)).await?),
                false => None,
            };
            let note = Note {
                action: order.action,
                subject: root.noun(),
                subject_id: Some(order.subject),
                subject_label: record.subject_label.clone(),
                reason: order.reason.clone(),
                detail: approval.map(|approval| approval.note()).or_else(|| order.detail.clone()),
                deletion_id: Some(*id),
            };
            if root.ends_access() {
                revoke(cx, tx, order.subject).await?;
            }
            let deletion = Deletion { export, ..Deletion::of(root, record) };
            self.entries.extend(audit::done(cx, organization, &note)?);
            ledger::note(cx, tx, ledger::Entry::Ordered(told(cx, &deletion))).await?;
            self.given[place].deletion = Some(deletion);
            Ok(())
        })
    }

    fn entries(&mut self) -> (&'static Insert, Vec<Value>) {
        (&audit::ENTRY, std::mem::take(&mut self.entries))
    }
}

/// What the ledger hears of a deletion.
fn told(cx: &Cx, deletion: &Deletion) -> ledger::Order {
    ledger::Order {
        deletion: deletion.id,
        organization: deletion.organization,
        root: deletion.root.name().into(),
        subject: deletion.subject,
        actor: deletion.actor.clone(),
        actor_id: deletion.actor_id,
        reversible_until: deletion.reversible_until,
        export: deletion.export.is_some(),
        by_job: matches!(cx.actor, Actor::System | Actor::Orderer(_)),
        counts: deletion.completed_at.is_some().then(|| deletion.counts.clone()),
    }
}

fn refusal(order: &Order, blocked: &mut HashMap<Uuid, Vec<Blocker>>) -> Result<()> {
    check_reason(order.reason.as_deref())?;
    blocked.remove(&order.subject).map_or(Ok(()), |blockers| Err(Error::Blocked(blockers)))
}

/// How many rows hang on all of these subjects together, counted up to a limit.
pub(crate) async fn rows(tx: &mut Tx, root: Root, organization: Uuid, subjects: &[Uuid], limit: i64) -> Result<i64> {
    Ok(deletion::rows(&RULES, tx, root.definition(), organization, subjects, limit).await?)
}
