//! Orders: one deletion, or several of one root and one tenant that were ordered at the same time, statement by statement for all of them,
//! each with its own blockers and its own record.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sql::{HasDatabaseError, Row, Statement, Tx, Value};
use uuid::Uuid;

use crate::counting::{Counted, add};
use crate::plan::Plan;
use crate::plan_token::PlanToken;
use crate::record::{Record, State};
use crate::rules::{Root, Rules};
use crate::{Engine, Error, Insert, Result, SMALL};

/// An order to delete a subject whose row is locked.
#[derive(Debug, Clone)]
pub struct Order {
    /// The id that its deletion gets.
    pub id: Uuid,
    /// The subject.
    pub subject: Uuid,
    /// How the caller named it, if that says more than the id.
    pub label: Option<String>,
    /// Why, in the caller's words.
    pub reason: Option<String>,
    /// The kind of the caller.
    pub actor: String,
    /// The caller.
    pub actor_id: Option<Uuid>,
    /// The request.
    pub request_id: String,
    /// The plan that it is bound to.
    pub plan: Option<Arc<PlanToken>>,
    /// Whether it is left to the drain however little there is to do.
    pub waits: bool,
    /// Now.
    pub now: Timestamp,
}

/// What only nouns know of orders that were given together. Each call is part of the transaction that orders; `place` is the place of an
/// order among them.
pub trait Orders: Send {
    /// Why a call failed.
    type Error: From<Error> + From<sql::Error> + HasDatabaseError + Send;

    /// What is to be asked of the database about all of them, in the same round trip as what the engine asks.
    fn questions(&self) -> Vec<(Statement, Vec<Value>)>;

    /// Weighs the answers to the questions: for each order whether it may be carried out.
    fn weigh<'a>(&'a mut self, tx: &'a mut Tx, answers: Vec<Vec<Row>>) -> BoxFuture<'a, Result<Verdicts<Self::Error>, Self::Error>>;

    /// Prepares those that will be carried out, before anything of their subjects goes.
    fn accept<'a>(&'a mut self, tx: &'a mut Tx, places: &'a [usize]) -> BoxFuture<'a, Result<Accepted, Self::Error>>;

    /// Ends what must end with access, for one whose rows are gone or whose subject is closed by now. Returns whether it is over.
    fn end<'a>(&'a mut self, tx: &'a mut Tx, place: usize, is_done: bool) -> BoxFuture<'a, Result<bool, Self::Error>>;

    /// Takes notice of a record that is about to be written.
    fn recorded<'a>(&'a mut self, tx: &'a mut Tx, place: usize, record: &'a Record) -> BoxFuture<'a, Result<(), Self::Error>>;

    /// Rows that are to be written along with the records, since this was last asked.
    fn entries(&mut self) -> (&'static Insert, Vec<Value>);
}

/// For each order whether it may be carried out.
pub type Verdicts<E> = Vec<Result<(), E>>;

/// What nouns say of orders that will be carried out.
#[derive(Debug)]
pub struct Accepted {
    /// Whether all may be done at once.
    pub may_finish: bool,
    /// Whether subjects' own rows go before [`Orders::end`] is called, which tells of their end.
    pub erases_before_end: bool,
    /// Until when each can be taken back, in the order in which they were given.
    pub reversible_until: Vec<Option<Timestamp>>,
}

/// One order that nothing stands in the way of.
struct Ready {
    /// Which of those given it is.
    place: usize,
    /// Rows it touched by table.
    counts: Json,
    /// Whether no row is left.
    is_done: bool,
    /// Until when it can be taken back.
    reversible_until: Option<Timestamp>,
}

/// What came of each order.
type Outcomes<E> = Vec<Option<Result<Record, E>>>;

/// The transaction at hand, with what stays the same all through it.
struct Ordering<'a, O> {
    engine: &'a Arc<Engine>,
    plan: &'static Plan,
    root: &'static Root,
    tenant: Uuid,
    orders: &'a [Order],
    nouns: &'a mut O,
}

/// Deletes subjects whose rows the caller has locked: all of one root, no two the same. What is refused is refused alone; the outcomes are in
/// the order of the orders.
///
/// # Errors
/// The database's: then nothing has happened to any of them.
pub async fn order<O: Orders>(
    engine: &Arc<Engine>,
    tx: &mut Tx,
    (root, tenant): (&'static Root, Uuid),
    orders: &[Order],
    nouns: &mut O,
) -> Result<Vec<Result<Record, O::Error>>, O::Error> {
    let plan = engine.rules.plan(root);
    Ordering { engine, plan, root, tenant, orders, nouns }.carry_out(tx).await
}

impl<O: Orders> Ordering<'_, O> {
    async fn carry_out(&mut self, tx: &mut Tx) -> Result<Vec<Result<Record, O::Error>>, O::Error> {
        let (plan, root, tenant, orders) = (self.plan, self.root, self.tenant, self.orders);
        let mut outcomes: Outcomes<O::Error> = orders.iter().map(|_| None).collect();
        let subjects: Vec<Uuid> = orders.iter().map(|order| order.subject).collect();
        let (of_all, answers) = self.ask(tx, &subjects).await?;
        let mut ready = Vec::new();
        for (place, verdict) in self.nouns.weigh(tx, answers).await?.into_iter().enumerate() {
            let order = &orders[place];
            let verdict = match (verdict, &order.plan) {
                (Ok(()), Some(planned)) => planned.check(tx, root, tenant, order.subject).await.map_err(O::Error::from),
                (verdict, _) => verdict,
            };
            match verdict {
                Ok(()) => ready.push(place),
                // What the database met is not the answer of one: none of them goes on.
                Err(error) if error.database_error().is_some() => return Err(error),
                Err(refusal) => outcomes[place] = Some(Err(refusal)),
            }
        }
        let accepted = self.nouns.accept(tx, &ready).await?;
        let mut may_finish = accepted.may_finish && root.orders_others.is_none();
        for place in &ready {
            may_finish = may_finish && plan.awaited(tx, tenant, orders[*place].subject).await? == 0;
        }
        let mut counted = (ready.len() == subjects.len()).then_some(of_all);
        let until = accepted.reversible_until.into_iter();
        let ready = ready.into_iter().zip(until).map(|(place, reversible_until)| Ready {
            place,
            counts: json!({}),
            is_done: false,
            reversible_until,
        });
        let may_wait = |ready: &Ready| orders[ready.place].waits || ready.reversible_until.is_some();
        let (waiting, ready): (Vec<Ready>, Vec<Ready>) = ready.partition(may_wait);
        if !waiting.is_empty() {
            counted = None;
            self.write_down(tx, waiting, &[], &mut outcomes).await?;
        }
        let mut parts = vec![ready];
        while let Some(mut part) = parts.pop().filter(|part| !part.is_empty()) {
            let counted = match counted.take() {
                Some(counted) => counted,
                None => plan.look(tx, tenant, &self.subjects_of(&part), SMALL + 1).await?,
            };
            let is_small = counted.sum() <= SMALL;
            if !is_small && part.len() > 1 {
                let other = part.split_off(part.len() / 2);
                parts.extend([other, part]);
                continue;
            }
            let mut done = match is_small && may_finish {
                true => self.finish(tx, &mut part, &counted).await?,
                false => Vec::new(),
            };
            if accepted.erases_before_end {
                plan.erase_root(tx, tenant, &done).await?;
                done.clear();
            }
            self.write_down(tx, part, &done, &mut outcomes).await?;
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// What is to be known about all of them, in one round trip: rows by step, and the answers to what the nouns ask.
    async fn ask(&self, tx: &mut Tx, subjects: &[Uuid]) -> Result<(Counted, Vec<Vec<Row>>)> {
        let how_many = self.plan.count.as_ref().map(|count| (count.statement, count.about(self.tenant, subjects, SMALL + 1)));
        let questions: Vec<(Statement, Vec<Value>)> = how_many.into_iter().chain(self.nouns.questions()).collect();
        let asked: Vec<(Statement, &[Value])> = questions.iter().map(|(statement, bound)| (*statement, bound.as_slice())).collect();
        let mut answers = tx.query_all(&asked).await?;
        Ok(match &self.plan.count {
            Some(count) => {
                let others = answers.split_off(1);
                (count.read(answers.pop().unwrap_or_default())?, others)
            }
            None => (Counted::default(), answers),
        })
    }

    fn subjects_of(&self, part: &[Ready]) -> Vec<Uuid> {
        part.iter().map(|ready| self.orders[ready.place].subject).collect()
    }

    /// What is left of each: the end of access, the own rows of those who are done, and its record.
    async fn write_down(
        &mut self,
        tx: &mut Tx,
        part: Vec<Ready>,
        done: &[Uuid],
        outcomes: &mut Outcomes<O::Error>,
    ) -> Result<(), O::Error> {
        let mut records = Vec::new();
        for ready in part {
            let place = ready.place;
            let record = self.end_access(tx, ready).await?;
            self.nouns.recorded(tx, place, &record).await?;
            records.extend(record.columns());
            outcomes[place] = Some(Ok(record));
        }
        let erase = self.plan.erasure(self.tenant, done);
        let erase = erase.as_ref().map(|(statement, bound)| (*statement, bound.as_slice())).into_iter().collect();
        let (insert, entries) = self.nouns.entries();
        tx.query_all(&[erase, insert.of(&entries), self.engine.rules.insert_records(&records)].concat()).await?;
        Ok(())
    }

    /// All steps and the sweep in the transaction at hand, but for the subjects' own rows with what these take along: for subjects on which
    /// little hangs. Returns those that are done; one is not when another transaction has added a row meanwhile.
    async fn finish(&self, tx: &mut Tx, part: &mut [Ready], counted: &Counted) -> Result<Vec<Uuid>> {
        let (plan, tenant, subjects) = (self.plan, self.tenant, self.subjects_of(part));
        let (touched, is_swept) = plan.run(tx, tenant, &subjects, counted).await?;
        let carried = plan.carried(counted);
        for (ready, subject) in part.iter_mut().zip(&subjects) {
            ready.is_done = is_swept || plan.is_swept_beside(tx, tenant, &[*subject]).await?;
            let carried = carried.iter().filter(|_| ready.is_done);
            for (table, rows) in carried.chain(&touched) {
                ready.counts = add(ready.counts.take(), table, rows.get(subject).copied().unwrap_or(0));
            }
        }
        Ok(part.iter().zip(subjects).filter(|(ready, _)| ready.is_done).map(|(_, subject)| subject).collect())
    }

    /// What remains to be done for each alone: its mark, and what ends with access. Returns its record.
    async fn end_access(&mut self, tx: &mut Tx, ready: Ready) -> Result<Record, O::Error> {
        let Ready { place, counts, is_done, reversible_until } = ready;
        let order = self.orders[place].clone();
        let is_erased = is_done && self.plan.erases_root();
        if !is_erased {
            self.plan.close(tx, self.tenant, order.subject, order.now).await?;
        }
        let is_over = self.nouns.end(tx, place, is_done).await?;
        let state = match (is_over, reversible_until) {
            (true, _) => State::Completed,
            (false, Some(_)) => State::Reversible,
            (false, None) => State::Closed,
        };
        if state == State::Closed {
            let engine = self.engine.clone();
            tx.on_commit(move || engine.note_closed());
        }
        Ok(Record {
            id: order.id,
            tenant: self.tenant,
            root: self.root.name.into(),
            subject: order.subject,
            // What is erased at once never gets the label that the completion would have to remove.
            subject_label: order.label.filter(|_| !is_erased),
            state,
            actor: order.actor,
            actor_id: order.actor_id,
            reason: order.reason,
            request_id: order.request_id,
            counts,
            created_at: order.now,
            completed_at: is_over.then_some(order.now),
            reversible_until,
        })
    }
}

/// How many rows hang on all of these subjects together, counted up to a limit.
///
/// # Errors
/// The database's.
pub async fn rows(rules: &'static Rules, tx: &mut Tx, root: &'static Root, tenant: Uuid, subjects: &[Uuid], limit: i64) -> Result<i64> {
    Ok(rules.plan(root).look(tx, tenant, subjects, limit).await?.sum())
}
