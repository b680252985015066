//! The statements of every deletion, generated once from the rules.

use std::collections::HashMap;
use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Statement, Tx, Value, params};
use uuid::Uuid;

use super::binding::is_bound;
use super::counting::{Count, Counted};
use super::family::{Families, PARENTS, Parents, children};
use super::rules::{Fate, Root, Rule};
use super::together::RECORD;
use crate::cx::Cx;
use crate::{Error, Result, audit, purges};

/// How one root is deleted. Those that take subjects are about several of one organization.
#[derive(Debug)]
pub(super) struct Plan {
    root: Root,
    pub(super) count: Option<Count>,
    close: Option<Statement>,
    /// Undoes that, and returns nothing where the root is not closed any more.
    reopen: Option<Statement>,
    /// What the drain begins with.
    pub(super) families: Option<Families>,
    /// What the drain goes through, in order.
    pub(super) steps: Vec<Step>,
    /// Rows of every rule, for a preview.
    survey: Statement,
    /// Every rule that erases or redacts, in order.
    targets: Vec<Target>,
    sweep: Option<Statement>,
    /// The same but for what the subjects' own rows take along.
    sweep_beside: Option<Statement>,
    /// Locks the roots' rows against everybody who wants to hang something on them.
    claim: Option<Statement>,
    erase_root: Option<Statement>,
    /// Columns that tie a row to its root: one when the root is in no organization, otherwise two.
    keys: usize,
}

/// One table's part of a deletion.
#[derive(Debug)]
pub(super) struct Step {
    /// The table.
    pub(super) table: &'static str,
    /// Whether its rows go with the subject's own row by their foreign key, and no transaction can add one between the count and that:
    /// erasing them first would have PostgreSQL look for them a second time.
    is_carried: bool,
    keys: usize,
    walk: usize,
    bound: Statement,
    up_to: Statement,
    rest: Statement,
    count_up_to: Statement,
    count_rest: Statement,
    /// Returns the subject of every row it touched, unless it forgets it.
    all: Statement,
    /// Whether what it redacts is what tied the row to the subject.
    forgets_subject: bool,
    /// Where other rows hang on these.
    parents: Option<Parents>,
}

/// What one batch of a step came to.
#[derive(Debug)]
pub(super) enum Advance {
    /// So many rows were touched, and there are more after these.
    Touched(i64, Option<Cursor>),
    /// Another transaction has hung something on rows that were to go, while their steps were done: those steps follow again.
    Overtaken,
}

/// A statement on its way, with what its answer is about.
struct Asked<'a> {
    /// Whose rows it touches and returns.
    step: Option<&'a Step>,
    statement: Statement,
    bound: &'a Vec<Value>,
    /// The only subject it is about.
    alone: Option<Uuid>,
}

/// The rows that one rule erases or redacts, where they have ids.
#[derive(Debug)]
pub(super) struct Target {
    /// The table.
    pub(super) table: &'static str,
    /// The rule's place.
    pub(super) rule: usize,
    /// Whether a plan is bound to them.
    pub(super) is_bound: bool,
    ids: Statement,
}

/// The stage of families since one of them was left to the steps.
pub(super) const PASSED_SOME_OVER: usize = 1;

/// Rows of each subject that were touched in a table.
pub(super) type Touched = (&'static str, HashMap<Uuid, i64>);

/// Where the drain is in one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    NotBegun,
    At(Cursor),
    Done,
}

/// How far a walk has come: the last row's columns.
pub(super) type Cursor = Vec<Uuid>;

impl Plan {
    pub(super) fn of(root: Root) -> &'static Plan {
        static PLANS: OnceLock<Vec<Plan>> = OnceLock::new();
        let plans = PLANS.get_or_init(|| Root::ALL.into_iter().map(Plan::generate).collect());
        match plans.iter().find(|plan| plan.root == root) {
            Some(plan) => plan,
            None => unreachable!("a plan is made for every root"),
        }
    }

    fn generate(root: Root) -> Plan {
        let rules = root.rules();
        let steps: Vec<&Rule> = rules.iter().filter(|rule| rule.fate != Fate::Keep && !rule.walk.is_empty()).collect();
        let own: Option<&Rule> = rules.iter().find(|rule| rule.walk.is_empty());
        let keys = own.map_or(0, |own| own.by.len());
        let is_carried = |rule: &Rule| own.is_some_and(|own| is_carried(root, own, rule));
        let sweep = |steps: &[&Rule]| {
            let any = |rule: &Rule| format!("CASE WHEN EXISTS (SELECT 1 FROM {}) THEN 1 ELSE 0 END", matching(rule));
            (!steps.is_empty()).then(|| Statement::generated(select(steps, " + ", any)))
        };
        Plan {
            root,
            keys,
            count: Count::generate(&steps, keys),
            survey: Statement::generated(select(&rules.iter().collect::<Vec<_>>(), ", ", |rule| {
                format!("(SELECT count(*) FROM {})", matching(rule))
            })),
            targets: (0..)
                .zip(rules)
                .filter(|(_, rule)| rule.fate != Fate::Keep && rule.walk != rule.by)
                .map(|(place, rule)| Target::generate(place, rule))
                .collect(),
            sweep: sweep(&steps),
            sweep_beside: sweep(&steps.iter().copied().filter(|rule| !is_carried(rule)).collect::<Vec<_>>()),
            close: own.zip(root.mark()).map(|(own, mark)| {
                let now = format!("${}", keys + 1);
                Statement::generated(format!("UPDATE {} SET {} WHERE {}", own.table, mark.replace("{now}", &now), tied(own)))
            }),
            claim: own
                .filter(|own| (own.fate == Fate::Erase || root.is_claimed_when_ordered()) && !steps.is_empty())
                .map(|own| Statement::generated(format!("SELECT 1 FROM {} WHERE {} FOR UPDATE", own.table, tied_to_any(own)))),
            reopen: own.zip(root.unmark()).map(|(own, (mark, state))| {
                Statement::generated(format!("UPDATE {} SET {mark} WHERE {} AND state = '{state}'", own.table, tied(own)))
            }),
            erase_root: own
                .filter(|own| own.fate == Fate::Erase)
                .map(|own| Statement::generated(format!("DELETE FROM {} WHERE {}", own.table, tied_to_any(own)))),
            families: Families::generate(root, &steps),
            steps: steps.into_iter().map(|rule| Step { is_carried: is_carried(rule), ..Step::generate(root, rule) }).collect(),
        }
    }

    /// The drain's stages before those of the steps: of families two, none passed over and [`PASSED_SOME_OVER`].
    pub(super) fn before_steps(&self) -> usize {
        if self.families.is_some() { PASSED_SOME_OVER + 1 } else { 0 }
    }

    /// The steps with the numbers of their stages.
    pub(super) fn stages(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.steps.iter().enumerate().map(|(place, step)| (self.before_steps() + place, step))
    }

    /// The table that the drain is at in a stage; none when all steps are done.
    pub(super) fn table_at(&self, stage: usize) -> Option<&'static str> {
        match (&self.families, stage.checked_sub(self.before_steps())) {
            (Some(families), None) => Some(families.parents),
            (_, step) => self.steps.get(step?).map(|step| step.table),
        }
    }

    /// Where the drain stands in the table of a step. Parents that it passed over count as done until it comes to that step.
    pub(super) fn standing(&self, stage: usize, cursor: Option<Cursor>, step: usize) -> Standing {
        let walk = self.steps.get(step).map_or(0, |step| step.walk);
        match (&self.families, stage.checked_sub(self.before_steps())) {
            (Some(families), None) if step >= families.steps => Standing::NotBegun,
            (Some(_), None) => cursor.map_or(Standing::NotBegun, |mut cursor| {
                // Of its last parent no row is left.
                cursor.resize(walk, Uuid::max());
                Standing::At(cursor)
            }),
            (_, Some(at)) if at == step => cursor.map_or(Standing::NotBegun, Standing::At),
            (_, at) => {
                if at.is_some_and(|at| at > step) {
                    Standing::Done
                } else {
                    Standing::NotBegun
                }
            }
        }
    }

    /// The tables whose rows go with the subject's own row, without a second look whether they are gone.
    pub(super) fn carried_tables(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().filter(|step| step.is_carried).map(|step| step.table)
    }

    /// Whether the root's own row goes.
    pub(super) fn erases_root(&self) -> bool {
        self.erase_root.is_some()
    }

    /// Locks the subjects' rows against transactions that want to hang something on them: it waits for those under way, and later ones find
    /// the rows gone. What the sweep finds after this is all there is.
    pub(super) async fn claim(&self, tx: &mut Tx, organization: Uuid, subjects: &[Uuid]) -> Result<()> {
        if let Some(claim) = self.claim.filter(|_| !tx.is_alone()) {
            tx.query(claim, &about(organization, subjects, self.keys)).await?;
        }
        Ok(())
    }

    /// Counts the rows of all these subjects in each step's table, up to a limit in all.
    pub(super) async fn look(&self, tx: &mut Tx, organization: Uuid, subjects: &[Uuid], limit: i64) -> Result<Counted> {
        match &self.count {
            Some(count) => count.read(tx.query(count.statement, &count.about(organization, subjects, limit)).await?),
            None => Ok(Counted::default()),
        }
    }

    /// What goes along with the subjects' own rows: how many rows of each there are in each table.
    pub(super) fn carried(&self, counted: &Counted) -> Vec<Touched> {
        let carried = self.steps.iter().enumerate().filter(|(_, step)| step.is_carried);
        carried.filter_map(|(place, step)| Some((step.table, counted.of(place)?.clone()))).collect()
    }

    /// Does the work of all steps in which something was counted, but for what the subjects' own rows take along, and sweeps. Returns how
    /// many rows of each subject were touched in each table, and whether the sweep found nothing.
    pub(super) async fn run(&self, tx: &mut Tx, organization: Uuid, subjects: &[Uuid], counted: &Counted) -> Result<(Vec<Touched>, bool)> {
        let everyone = about(organization, subjects, self.keys);
        let alone: Vec<Vec<Value>> = subjects.iter().map(|subject| about(organization, &[*subject], self.keys)).collect();
        let steps = self.steps.iter().enumerate().filter(|(place, step)| !step.is_carried && counted.of(*place).is_some());
        let mut asked: Vec<Asked> = Vec::new();
        let work_on = |step| Asked { step: Some(step), statement: step.all, bound: &everyone, alone: None };
        for (_, step) in steps {
            if let Some(parents) = step.parents.as_ref().filter(|_| !tx.is_alone()) {
                // What is hung on them only now goes before them all the same.
                asked.push(Asked { step: None, statement: parents.claim_all, bound: &everyone, alone: None });
                asked.extend(self.steps.iter().filter(|child| parents.children.contains(&child.table)).map(work_on));
            }
            match step.forgets_subject {
                // Its rows do not say whose they were.
                true => asked.extend(subjects.iter().zip(&alone).map(|(one, bound)| Asked { bound, alone: Some(*one), ..work_on(step) })),
                false => asked.push(work_on(step)),
            }
        }
        let claim = self.claim.filter(|_| !self.root.is_claimed_when_ordered() && !tx.is_alone());
        let last = [claim, self.sweep_beside].into_iter().flatten();
        asked.extend(last.map(|statement| Asked { step: None, statement, bound: &everyone, alone: None }));
        let statements: Vec<(Statement, &[Value])> = asked.iter().map(|asked| (asked.statement, asked.bound.as_slice())).collect();
        let mut answers = tx.query_all(&statements).await?;
        let left: i64 = match self.sweep_beside.and_then(|_| answers.pop()?.pop()) {
            Some(mut row) => row.next()?,
            None => 0,
        };
        let mut touched = Vec::new();
        for (Asked { step, alone, .. }, answer) in asked.into_iter().zip(answers) {
            let Some(step) = step else { continue };
            let mut rows: HashMap<Uuid, i64> = HashMap::new();
            for mut row in answer {
                let subject = match alone {
                    Some(subject) => subject,
                    None => row.next()?,
                };
                *rows.entry(subject).or_default() += 1;
            }
            touched.push((step.table, rows));
        }
        Ok((touched, left == 0))
    }

    /// Rows of every rule, in their order, the root's own row last.
    pub(super) async fn survey(&self, tx: &mut Tx, organization: Uuid, subject: Uuid) -> Result<Vec<i64>> {
        let mut row = tx.query_one(self.survey, &about(organization, &[subject], self.keys)).await?;
        self.root.rules().iter().map(|_| Ok(row.next()?)).collect()
    }

    /// The ids of what each target would lose, up to so many of each.
    pub(super) async fn ids(&self, tx: &mut Tx, organization: Uuid, subject: Uuid, only_bound: bool, most: i64) -> Result<Vec<Vec<Uuid>>> {
        let mut bound = keys(organization, subject, self.keys);
        bound.push(Value::from(most));
        let wanted = self.targets.iter().filter(|target| target.is_bound || !only_bound);
        let asked: Vec<(Statement, &[Value])> = wanted.map(|target| (target.ids, bound.as_slice())).collect();
        let answers = tx.query_all(&asked).await?.into_iter();
        answers.map(|rows| rows.into_iter().map(|mut row| Ok(row.next()?)).collect()).collect()
    }

    /// Every rule that erases or redacts.
    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Those that a plan is bound to.
    pub(super) fn bound_targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(|target| target.is_bound)
    }

    /// Marks the root's row. Returns whether there is one.
    pub(super) async fn close(&self, cx: &Cx, tx: &mut Tx, organization: Uuid, subject: Uuid) -> Result<bool> {
        let Some(statement) = self.close else { return Ok(false) };
        let mut bound = keys(organization, subject, self.keys);
        if statement.text().contains(&format!("${}", self.keys + 1)) {
            bound.push(Value::from(cx.now));
        }
        Ok(tx.execute(statement, &bound).await? > 0)
    }

    /// Takes the mark off the root's row again. Returns whether it was there.
    pub(super) async fn reopen(&self, tx: &mut Tx, organization: Uuid, subject: Uuid) -> Result<bool> {
        let Some(statement) = self.reopen else { return Ok(false) };
        Ok(tx.execute(statement, &keys(organization, subject, self.keys)).await? > 0)
    }

    /// Does the whole work of the steps of these tables. Returns how many rows each touched.
    pub(super) async fn run_only(
        &self,
        tx: &mut Tx,
        organization: Uuid,
        subject: Uuid,
        tables: &[&str],
    ) -> Result<Vec<(&'static str, i64)>> {
        let bound = about(organization, &[subject], self.keys);
        let steps: Vec<&Step> = self.steps_of(tables).collect();
        let asked: Vec<(Statement, &[Value])> = steps.iter().map(|step| (step.all, bound.as_slice())).collect();
        let answers = tx.query_all(&asked).await?;
        Ok(steps.iter().zip(answers).map(|(step, rows)| (step.table, rows.len() as i64)).collect())
    }

    /// The steps that erase rows of these tables. What only forgets the subject opens something for others.
    pub(super) fn steps_of(&self, tables: &[&str]) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| tables.contains(&step.table) && !step.forgets_subject)
    }

    /// Whether no row of any of these subjects is left that should be gone or redacted: asked anew, whatever the drain believes to have done.
    pub(super) async fn is_swept(&self, tx: &mut Tx, organization: Uuid, subjects: &[Uuid]) -> Result<bool> {
        self.finds_nothing(self.sweep, tx, organization, subjects).await
    }

    /// The same, but for what goes along with the subjects' own rows.
    pub(super) async fn is_swept_beside(&self, tx: &mut Tx, organization: Uuid, subjects: &[Uuid]) -> Result<bool> {
        self.finds_nothing(self.sweep_beside, tx, organization, subjects).await
    }

    async fn finds_nothing(&self, sweep: Option<Statement>, tx: &mut Tx, organization: Uuid, subjects: &[Uuid]) -> Result<bool> {
        let Some(statement) = sweep else { return Ok(true) };
        let left: i64 = tx.query_one(statement, &about(organization, subjects, self.keys)).await?.next()?;
        Ok(left == 0)
    }

    /// Erases the subjects' own rows, if their rule says so.
    pub(super) async fn erase_root(&self, tx: &mut Tx, organization: Uuid, subjects: &[Uuid]) -> Result<()> {
        if let Some((statement, bound)) = self.erasure(organization, subjects) {
            tx.execute(statement, &bound).await?;
        }
        Ok(())
    }

    /// What erases the subjects' own rows, if there are any and their rule says so.
    pub(super) fn erasure(&self, organization: Uuid, subjects: &[Uuid]) -> Option<(Statement, Vec<Value>)> {
        let statement = self.erase_root.filter(|_| !subjects.is_empty())?;
        Some((statement, about(organization, subjects, self.keys)))
    }

    fn statements(&self) -> Vec<Statement> {
        let count = self.count.as_ref().map(|count| count.statement);
        let own = [Some(self.survey), count, self.close, self.reopen, self.sweep, self.sweep_beside, self.claim, self.erase_root];
        let own = own.into_iter().flatten();
        let of_parents = self.steps.iter().filter_map(|step| step.parents.as_ref());
        let own = own.chain(of_parents.flat_map(|parents| [parents.claim_all, parents.claim, parents.is_overtaken]));
        let of_families = self.families.iter().flat_map(Families::statements);
        let of_steps = self.steps.iter().flat_map(|step| [step.bound, step.up_to, step.rest, step.count_up_to, step.count_rest, step.all]);
        own.chain(of_families).chain(of_steps).chain(self.targets.iter().map(|target| target.ids)).collect()
    }
}

impl Target {
    fn generate(place: usize, rule: &'static Rule) -> Target {
        let order = if rule.walk.is_empty() { String::new() } else { format!(" ORDER BY {}", rule.walk.join(", ")) };
        let (ties, undone, most) = (tied(rule), undone(rule), rule.by.len() + 1);
        Target {
            table: rule.table,
            rule: place,
            is_bound: is_bound(rule),
            ids: Statement::generated(format!("SELECT id FROM {} WHERE {ties}{undone}{order} LIMIT ${most}", rule.table)),
        }
    }
}

impl Step {
    fn generate(root: Root, rule: &Rule) -> Step {
        let (table, ties, undone, walk) = (rule.table, tied(rule), undone(rule), rule.walk.join(", "));
        let first = rule.by.len() + 1;
        let places = |from: usize| (from..from + rule.walk.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
        let (from, to) = (places(first), places(first + rule.walk.len()));
        let subject = subject_column(rule);
        let verb = match rule.fate {
            Fate::Redact(columns) => {
                let changes: Vec<String> = columns.iter().map(|(column, literal)| format!("{column} = {literal}")).collect();
                format!("UPDATE {table} SET {}", changes.join(", "))
            }
            Fate::Erase | Fate::Keep => format!("DELETE FROM {table}"),
        };
        Step {
            table,
            is_carried: false,
            keys: rule.by.len(),
            walk: rule.walk.len(),
            bound: Statement::generated(format!(
                "SELECT {walk} FROM {table} WHERE {ties} AND ({walk}) > ({from}) ORDER BY {walk} LIMIT 1 OFFSET ${}",
                first + rule.walk.len()
            )),
            up_to: Statement::generated(format!("{verb} WHERE {ties}{undone} AND ({walk}) > ({from}) AND ({walk}) <= ({to})")),
            rest: Statement::generated(format!("{verb} WHERE {ties}{undone} AND ({walk}) > ({from})")),
            count_up_to: Statement::generated(format!(
                "SELECT count(*) FROM {table} WHERE {ties}{undone} AND ({walk}) > ({from}) AND ({walk}) <= ({to})"
            )),
            count_rest: Statement::generated(format!("SELECT count(*) FROM {table} WHERE {ties}{undone} AND ({walk}) > ({from})")),
            all: Statement::generated(format!("{verb} WHERE {}{undone} RETURNING {subject}", tied_to_any(rule))),
            forgets_subject: matches!(rule.fate, Fate::Redact(columns) if columns.iter().any(|(column, _)| *column == subject)),
            parents: PARENTS
                .into_iter()
                .find(|kin| rule.fate == Fate::Erase && kin.parents == rule.table)
                .and_then(|kin| Parents::generate(root, rule, kin)),
        }
    }

    /// Does this step's work on up to `size` rows after the cursor. Returns how many rows it touched, and where it came to if there is more.
    pub(super) async fn advance(&self, tx: &mut Tx, organization: Uuid, subject: Uuid, cursor: &Cursor, size: i64) -> Result<Advance> {
        let mut bound = keys(organization, subject, self.keys);
        bound.extend(cursor.iter().map(|id| Value::from(*id)));
        if let Some(parents) = self.parents.as_ref().filter(|_| !tx.is_alone()) {
            tx.query(parents.claim, &[bound.as_slice(), params![size]].concat()).await?;
        }
        let next = match tx.query_opt(self.bound, &[bound.as_slice(), params![size - 1]].concat()).await? {
            Some(mut row) => Some((0..self.walk).map(|_| row.next()).collect::<sql::Result<Cursor>>()?),
            None => None,
        };
        if let Some(parents) = &self.parents {
            let last = next.clone().unwrap_or_else(|| vec![Uuid::max(); self.walk]);
            let between = bound.iter().cloned().chain(last.into_iter().map(Value::from)).collect::<Vec<_>>();
            if tx.query_opt(parents.is_overtaken, &between).await?.is_some() {
                return Ok(Advance::Overtaken);
            }
        }
        let statement = if next.is_some() { self.up_to } else { self.rest };
        bound.extend(next.iter().flatten().map(|id| Value::from(*id)));
        Ok(Advance::Touched(tx.execute(statement, &bound).await? as i64, next))
    }

    /// Counts what this step would touch of up to `size` rows after the cursor, and where that ends if there is more.
    pub(super) async fn count(
        &self,
        tx: &mut Tx,
        organization: Uuid,
        subject: Uuid,
        cursor: &Cursor,
        size: i64,
    ) -> Result<(i64, Option<Cursor>)> {
        let mut bound = keys(organization, subject, self.keys);
        bound.extend(cursor.iter().map(|id| Value::from(*id)));
        let mut ask = bound.clone();
        ask.push(Value::from(size - 1));
        let Some(mut row) = tx.query_opt(self.bound, &ask).await? else {
            return Ok((tx.query_one(self.count_rest, &bound).await?.next()?, None));
        };
        let next = (0..self.walk).map(|_| row.next()).collect::<sql::Result<Cursor>>()?;
        bound.extend(next.iter().map(|id| Value::from(*id)));
        Ok((tx.query_one(self.count_up_to, &bound).await?.next()?, Some(next)))
    }

    /// The cursor before the first row.
    pub(super) fn start(&self) -> Cursor {
        vec![Uuid::nil(); self.walk]
    }
}

fn select(rules: &[&Rule], between: &str, make: impl Fn(&Rule) -> String) -> String {
    format!("SELECT {}", rules.iter().map(|rule| make(rule)).collect::<Vec<_>>().join(between))
}

/// The condition that ties a row to the root.
pub(super) fn tied(rule: &Rule) -> String {
    let ties: Vec<String> = rule.by.iter().enumerate().map(|(place, column)| format!("{column} = ${}", place + 1)).collect();
    format!("{}{}", ties.join(" AND "), only(rule))
}

/// The condition that ties a row to any of several subjects.
fn tied_to_any(rule: &Rule) -> String {
    match rule.by {
        [organization, subject] => format!("{organization} = $1 AND {subject} = ANY($2){}", only(rule)),
        columns => format!("{} = ANY($1){}", columns.concat(), only(rule)),
    }
}

fn only(rule: &Rule) -> String {
    if rule.only.is_empty() { String::new() } else { format!(" AND {}", rule.only) }
}

/// The column that says whose a row is.
pub(super) fn subject_column(rule: &Rule) -> &'static str {
    rule.by.last().unwrap_or(&"id")
}

/// Whether the rows of a rule go with the root's own row, which the order of the deletion has locked against new ones.
fn is_carried(root: Root, own: &Rule, rule: &Rule) -> bool {
    let of_own = PARENTS.into_iter().find(|kin| kin.parents == own.table && own.fate == Fate::Erase && root.is_claimed_when_ordered());
    of_own.is_some_and(|kin| subject_column(rule) == kin.by && children(root, kin).any(|child| child == rule.table))
}

/// The rows of a rule that are tied to any of several subjects and not yet as they shall be.
pub(super) fn matching(rule: &Rule) -> String {
    format!("{} WHERE {}{}", rule.table, tied_to_any(rule), undone(rule))
}

/// The condition that a row is not yet as it shall be, so that a step that is done again counts no row twice.
fn undone(rule: &Rule) -> String {
    match rule.fate {
        Fate::Redact(columns) => {
            let conditions: Vec<String> = columns.iter().map(|(column, literal)| format!("{column} IS DISTINCT FROM {literal}")).collect();
            format!(" AND ({})", conditions.join(" OR "))
        }
        Fate::Erase | Fate::Keep => String::new(),
    }
}

/// The parameters of a statement about several subjects.
pub(super) fn about(organization: Uuid, subjects: &[Uuid], keys: usize) -> Vec<Value> {
    match keys {
        1 => params![subjects].to_vec(),
        _ => params![organization, subjects].to_vec(),
    }
}

fn keys(organization: Uuid, subject: Uuid, count: usize) -> Vec<Value> {
    match count {
        1 => params![subject].to_vec(),
        _ => params![organization, subject].to_vec(),
    }
}

/// A cursor as the database holds it.
pub(super) fn cursor_to_json(cursor: &Cursor) -> Json {
    cursor.iter().map(|id| Json::from(id.to_string())).collect()
}

/// A cursor from the database.
pub(super) fn cursor_from_json(json: Json) -> Result<Cursor> {
    serde_json::from_value(json).map_err(|error| Error::Internal(format!("the cursor of a deletion: {error}")))
}

/// Every statement that is generated, for the test that prepares them.
pub fn all() -> Vec<Statement> {
    let of_roots = Root::ALL.into_iter().flat_map(|root| Plan::of(root).statements());
    let inserts = RECORD.statements().into_iter().chain(audit::ENTRY.statements()).chain(purges::statements());
    of_roots.chain(inserts).collect()
}

/// A duration in whole microseconds, as the database holds it.
pub(super) fn micros(elapsed: std::time::Duration) -> i64 {
    i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
}

/// When a lease taken now runs out.
pub(super) fn lease_end(cx: &Cx) -> Timestamp {
    crate::sessions::after(cx.now, cx.plane.config.lease)
}
