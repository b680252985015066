//! One deletion, or several of one kind in one organization that were ordered at the same time: statement by statement for all of them, each
//! with its own guards, its own record and its own entry in the audit trail.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sql::{Statement, Tx, Value, params};
use uuid::Uuid;

use super::asked::{self, Asking};
use super::counting::{Counted, add};
use super::drain::memberships;
use super::guards::{self, Blocker};
use super::rules::Root;
use super::statements::Plan;
use super::{Deletion, Order, SMALL, binding, check_reason, effects, grace};
use crate::approvals::{self, Counting};
use crate::audit::{self, Note, actor_columns};
use crate::authority::revoke;
use crate::inserts::Insert;
use crate::{Cx, Error, Result, events, exports, ledger};

/// One order that nothing stands in the way of.
struct Ready {
    /// Which of those given it is.
    place: usize,
    cx: Cx,
    order: Order,
    id: Uuid,
    /// What its event will say, if anybody listens.
    facts: Option<Json>,
    /// Rows it touched by table.
    counts: Json,
    /// Whether no row is left.
    is_done: bool,
    /// Until when it can be taken back.
    reversible_until: Option<Timestamp>,
    /// The approval that it uses up.
    approval: Option<Counting>,
}

/// Deletes subjects whose rows the caller has locked: all of one root, no two the same. What is refused is refused alone; the outcomes are in
/// the order of the orders.
///
/// # Errors
/// The database's: then nothing has happened to any of them.
pub(crate) async fn delete_together(tx: &mut Tx, organization: Uuid, orders: Vec<(Cx, Order)>) -> Result<Vec<Result<Deletion>>> {
    let Some((root, now)) = orders.first().map(|(cx, order)| (order.root, cx.now)) else { return Ok(Vec::new()) };
    let plan = Plan::of(root);
    let mut outcomes: Vec<Option<Result<Deletion>>> = orders.iter().map(|_| None).collect();
    let subjects: Vec<Uuid> = orders.iter().map(|(_, order)| order.subject).collect();
    // What is to be known about all of them, in one way there and back.
    let of_organization = params![organization];
    let what_is_open = guards::question(root, organization, &subjects, now);
    let how_many = plan.count.as_ref().map(|count| (count.statement, count.about(organization, &subjects, SMALL + 1)));
    let mut asked: Vec<(Statement, &[Value])> = vec![(events::LISTENER, of_organization)];
    asked.extend(what_is_open.as_ref().map(|(statement, bound)| (*statement, bound.as_slice())));
    asked.extend(how_many.as_ref().map(|(statement, bound)| (*statement, bound.as_slice())));
    let what_is_asked = asked::question(root, organization);
    asked.extend(what_is_asked.as_ref().map(|(statement, bound)| (*statement, bound.as_slice())));
    let mut answers = tx.query_all(&asked).await?.into_iter();
    let is_heard = answers.next().is_some_and(|listeners| !listeners.is_empty());
    let open = what_is_open.and_then(|_| answers.next()).unwrap_or_default();
    let of_all = match &plan.count {
        Some(count) => count.read(answers.next().unwrap_or_default())?,
        None => Counted::default(),
    };
    let mut blocked = guards::weigh(tx, root, organization, &subjects, open).await?;
    let asking: Vec<Asking<'_>> =
        orders.iter().map(|(cx, order)| Asking { cx, subject: order.subject, reason: order.reason.as_deref() }).collect();
    let mut found = asked::weigh(tx, (root, organization), &asking, answers.next().unwrap_or_default(), true).await?;
    for (subject, missing) in found.blockers.drain() {
        blocked.entry(subject).or_default().extend(missing);
    }
    let mut ready = Vec::new();
    for (place, (cx, order)) in orders.into_iter().enumerate() {
        let refused = match refusal(&order, blocked.remove(&order.subject)) {
            Some(error) => Some(error),
            None => binding::check(&cx, tx, plan, organization, (root, order.subject)).await.err(),
        };
        match refused {
            // What the database met is not the answer of one: none of them goes on.
            Some(error @ Error::Storage(_)) => return Err(error),
            Some(error) => outcomes[place] = Some(Err(error)),
            None => ready.push(Ready {
                place,
                id: cx.new_id()?,
                approval: found.approvals.remove(&order.subject),
                cx,
                order,
                facts: None,
                counts: json!({}),
                is_done: false,
                reversible_until: None,
            }),
        }
    }
    let approved: Vec<Uuid> = ready.iter().filter_map(|ready| ready.approval.map(|approval| approval.subject_id)).collect();
    approvals::use_up(tx, organization, root.noun(), &approved).await?;
    let mut counted = (ready.len() == subjects.len()).then_some(of_all);
    if is_heard {
        for Ready { id, order, facts, .. } in &mut ready {
            *facts = Some(effects::facts(tx, root, organization, *id, (order.subject, order.label.as_deref())).await?);
        }
    }
    // The webhooks of an organization must outlive it until they were told.
    let mut may_be_done = !(root.orders_others() || is_heard && root.waits_before().is_some());
    if root.waits_for_memberships() {
        for Ready { order, .. } in &ready {
            may_be_done &= memberships(tx, order.subject).await? == 0;
        }
    }
    for Ready { cx, order, reversible_until, .. } in &mut ready {
        *reversible_until = grace::until(cx, tx, organization, (root, order.subject), found.grace_days).await?;
    }
    let may_wait = |ready: &Ready| ready.order.export || ready.reversible_until.is_some();
    let (waiting, ready): (Vec<Ready>, Vec<Ready>) = ready.into_iter().partition(may_wait);
    if !waiting.is_empty() {
        counted = None;
        write_down(tx, plan, organization, waiting, &[], &mut outcomes).await?;
    }
    let mut parts = vec![ready];
    while let Some(mut part) = parts.pop().filter(|part| !part.is_empty()) {
        let counted = match counted.take() {
            Some(counted) => counted,
            None => plan.look(tx, organization, &subjects_of(&part), SMALL + 1).await?,
        };
        let is_small = counted.sum() <= SMALL;
        if !is_small && part.len() > 1 {
            let other = part.split_off(part.len() / 2);
            parts.extend([other, part]);
            continue;
        }
        let mut done = match is_small && may_be_done {
            true => finish(tx, plan, organization, &mut part, &counted).await?,
            false => Vec::new(),
        };
        if is_heard {
            // Before anybody is told, and not on the way of the records: a webhook that goes hears nothing any more.
            plan.erase_root(tx, organization, &done).await?;
            done.clear();
        }
        write_down(tx, plan, organization, part, &done, &mut outcomes).await?;
    }
    Ok(outcomes.into_iter().flatten().collect())
}

type Outcomes = [Option<Result<Deletion>>];

/// What is left of each: the end of access, the own rows of those who are done, its record and its entry.
async fn write_down(tx: &mut Tx, plan: &Plan, organization: Uuid, part: Vec<Ready>, done: &[Uuid], outcomes: &mut Outcomes) -> Result<()> {
    let (mut entries, mut records) = (Vec::new(), Vec::new());
    for ready in part {
        let (place, cx) = (ready.place, ready.cx.clone());
        let (entry, deletion) = end_access(tx, plan, organization, ready).await?;
        ledger::ordered(&cx, tx, &deletion).await?;
        entries.extend(entry);
        records.extend(columns(&deletion));
        outcomes[place] = Some(Ok(deletion));
    }
    let erase = plan.erasure(organization, done);
    let erase = erase.as_ref().map(|(statement, bound)| (*statement, bound.as_slice())).into_iter().collect();
    tx.query_all(&[erase, audit::ENTRY.of(&entries), RECORD.of(&records)].concat()).await?;
    Ok(())
}

/// How many rows hang on all of these subjects together, counted up to a limit.
pub(crate) async fn rows(tx: &mut Tx, root: Root, organization: Uuid, subjects: &[Uuid], limit: i64) -> Result<i64> {
    Ok(Plan::of(root).look(tx, organization, subjects, limit).await?.sum())
}

fn refusal(order: &Order, blockers: Option<Vec<Blocker>>) -> Option<Error> {
    check_reason(order.reason.as_deref()).err().or_else(|| blockers.map(Error::Blocked))
}

fn subjects_of(part: &[Ready]) -> Vec<Uuid> {
    part.iter().map(|ready| ready.order.subject).collect()
}

/// All steps and the sweep in the transaction at hand, but for the subjects' own rows with what these take along: for subjects on which
/// little hangs. Returns those that are done; one is not when another transaction has added a row meanwhile.
async fn finish(tx: &mut Tx, plan: &Plan, organization: Uuid, part: &mut [Ready], counted: &Counted) -> Result<Vec<Uuid>> {
    let subjects = subjects_of(part);
    let (touched, is_swept) = plan.run(tx, organization, &subjects, counted).await?;
    let carried = plan.carried(counted);
    for ready in &mut *part {
        let subject = ready.order.subject;
        ready.is_done = is_swept || plan.is_swept_beside(tx, organization, &[subject]).await?;
        let carried = carried.iter().filter(|_| ready.is_done);
        for (table, rows) in carried.chain(&touched) {
            ready.counts = add(ready.counts.take(), table, rows.get(&subject).copied().unwrap_or(0));
        }
    }
    Ok(part.iter().filter(|ready| ready.is_done).map(|ready| ready.order.subject).collect())
}

/// What remains to be done for each alone: its mark, the events that it sends, the end of its credentials. Returns what is to be written
/// down of it.
async fn end_access(tx: &mut Tx, plan: &Plan, organization: Uuid, ready: Ready) -> Result<([Value; 15], Deletion)> {
    let Ready { cx, order, id, facts, counts, is_done, reversible_until, approval, .. } = ready;
    let (root, subject) = (order.root, order.subject);
    let is_erased = is_done && plan.erases_root();
    if !is_erased {
        plan.close(&cx, tx, organization, subject).await?;
    }
    let is_heard = facts.is_some();
    let awaited = match facts {
        Some(facts) => effects::start(&cx, tx, organization, id, (root, subject), facts).await?,
        None => 0,
    };
    let is_sealed = is_done && awaited == 0;
    if is_sealed && is_heard {
        effects::complete(&cx, tx, organization, id, root, subject).await?;
    }
    let export = match order.export {
        true => Some(exports::record(&cx, tx, organization, root, subject, Some(id)).await?),
        false => None,
    };
    // What is erased at once never gets the label that the seal would have to remove.
    let label = order.label.filter(|_| !is_erased);
    let note = Note {
        action: order.action,
        subject: root.noun(),
        subject_id: Some(subject),
        subject_label: label.clone(),
        reason: order.reason.clone(),
        detail: approval.map(|approval| approval.note()).or(order.detail),
        deletion_id: Some(id),
    };
    if root.ends_access() {
        revoke(&cx, tx, subject).await?;
    }
    let plane = cx.plane.clone();
    tx.on_commit(move || {
        if !is_sealed && reversible_until.is_none() {
            plane.closings.fetch_add(1, Ordering::Relaxed);
            plane.drain_bell.notify_one();
        }
    });
    let (actor, actor_id, _) = actor_columns(&cx);
    let deletion = Deletion {
        id,
        organization,
        root: root.name().into(),
        subject,
        subject_label: label,
        state: match (is_sealed, reversible_until) {
            (true, _) => "sealed",
            (false, Some(_)) => "reversible",
            (false, None) => "closed",
        }
        .into(),
        actor: actor.into(),
        actor_id,
        reason: order.reason,
        request_id: cx.request_id.to_string(),
        counts,
        effects: json!({}),
        export,
        batches: 0,
        longest_batch_micros: 0,
        waiting_for: None,
        created_at: cx.now,
        updated_at: cx.now,
        sealed_at: is_sealed.then_some(cx.now),
        reversible_until,
        restored_at: None,
        stopped_at: None,
    };
    Ok((audit::done(&cx, organization, &note)?, deletion))
}

/// The record of a deletion.
pub(super) static RECORD: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "INSERT INTO deletions (organization_id, id, root, subject_id, subject_label, state, actor, actor_id, reason, request_id, stage, cursor,
                                counts, effects, batches, longest_batch_us, fence, created_at, updated_at, sealed_at, reversible_until)",
        "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, NULL, $11, '{}', 0, 0, 0, $12, $12, $13, $14)",
        14,
    )
});

/// Puts the record of a deletion back that the database had forgotten.
pub(super) async fn record_again(tx: &mut Tx, deletion: &Deletion) -> Result<()> {
    tx.query_all(&RECORD.of(&columns(deletion))).await.map(drop).map_err(Into::into)
}

fn columns(deletion: &Deletion) -> [Value; 14] {
    [
        deletion.organization.into(),
        deletion.id.into(),
        (&deletion.root).into(),
        deletion.subject.into(),
        deletion.subject_label.as_deref().into(),
        (&deletion.state).into(),
        (&deletion.actor).into(),
        deletion.actor_id.into(),
        deletion.reason.as_deref().into(),
        (&deletion.request_id).into(),
        (&deletion.counts).into(),
        deletion.created_at.into(),
        deletion.sealed_at.into(),
        deletion.reversible_until.into(),
    ]
}
