//! How a root is deleted: its statements, generated once from the rules, and what they do.

mod step;

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{FromRow, Row, Statement, Tx, Value, params};
use uuid::Uuid;

pub use step::{Advance, Step};

use crate::Result;
use crate::cascade_groups::{CascadeGroups, children};
use crate::counting::{Count, Counted};
use crate::key::{Cursor, Key, KeyColumn, cursor_from_json, read_cursor, uuid};
use crate::rules::{Fate, Root, Rule, Rules};

/// How one root is deleted. Those that take subjects are about several of one tenant.
#[derive(Debug)]
pub struct Plan {
    pub(crate) root: &'static Root,
    pub(crate) count: Option<Count>,
    close: Option<Statement>,
    /// Undoes that, and returns nothing where the root is not closed any more.
    reopen: Option<Statement>,
    /// What the drain begins with.
    pub(crate) groups: Option<CascadeGroups>,
    /// What the drain goes through, in order.
    pub(crate) steps: Vec<Step>,
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
    /// How many rows there are of what the root awaits.
    awaited: Option<Statement>,
    /// Columns that tie a row to its root: one when the root is of no tenant, otherwise two.
    keys: usize,
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

/// The rows that one rule erases or redacts, where they have keys.
#[derive(Debug)]
pub(crate) struct Target {
    /// The table.
    pub(crate) table: &'static str,
    /// The rule's place.
    pub(crate) rule: usize,
    /// Whether a plan is bound to them.
    pub(crate) is_bound: bool,
    /// The columns of a row's key beside those that tie it to the root.
    columns: Vec<KeyColumn>,
    keys: Statement,
}

/// The stage of cascade groups since one of them was left to the steps.
pub(crate) const PASSED_SOME_OVER: usize = 1;

/// Rows of each subject that were touched in a table.
pub type Touched = (&'static str, HashMap<Uuid, i64>);

/// Where the drain is in one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TableStanding {
    NotBegun,
    /// After this row.
    At(Cursor),
    Done,
}

impl Plan {
    pub(crate) fn generate(rules: &Rules, root: &'static Root) -> Plan {
        let steps: Vec<&Rule> = root.rules.iter().filter(|rule| rule.fate != Fate::Keep && !rule.is_own()).collect();
        let own = root.own();
        let keys = own.map_or(0, |own| own.by.len());
        let is_carried = |rule: &Rule| own.is_some_and(|own| is_carried(rules, root, own, rule));
        let sweep = |steps: &[&Rule]| {
            let any = |rule: &Rule| format!("CASE WHEN EXISTS (SELECT 1 FROM {}) THEN 1 ELSE 0 END", matching(rule));
            (!steps.is_empty()).then(|| Statement::generated(select(steps, " + ", any)))
        };
        Plan {
            root,
            keys,
            count: Count::generate(rules, &steps, keys),
            survey: Statement::generated(select(&root.rules.iter().collect::<Vec<_>>(), ", ", |rule| {
                format!("(SELECT count(*) FROM {})", matching(rule))
            })),
            targets: (0..)
                .zip(root.rules)
                .filter(|(_, rule)| rule.fate != Fate::Keep && !rule.goes_at_once())
                .map(|(place, rule)| Target::generate(rules, place, rule))
                .collect(),
            sweep: sweep(&steps),
            sweep_beside: sweep(&steps.iter().copied().filter(|rule| !is_carried(rule)).collect::<Vec<_>>()),
            close: own.zip(root.mark).map(|(own, mark)| {
                let now = format!("${}", keys + 1);
                Statement::generated(format!("UPDATE {} SET {} WHERE {}", own.table, mark.replace("{now}", &now), tied(own)))
            }),
            claim: own
                .filter(|own| (own.fate == Fate::Erase || root.is_locked_when_ordered) && !steps.is_empty())
                .map(|own| Statement::generated(format!("SELECT 1 FROM {} WHERE {} FOR UPDATE", own.table, tied_to_any(own)))),
            reopen: own.zip(root.unmark).map(|(own, (mark, state))| {
                Statement::generated(format!("UPDATE {} SET {mark} WHERE {} AND state = '{state}'", own.table, tied(own)))
            }),
            erase_root: own
                .filter(|own| own.fate == Fate::Erase)
                .map(|own| Statement::generated(format!("DELETE FROM {} WHERE {}", own.table, tied_to_any(own)))),
            awaited: root
                .rules
                .iter()
                .find(|rule| root.awaits == Some(rule.table))
                .map(|rule| Statement::generated(format!("SELECT count(*) FROM {}", matching(rule)))),
            groups: CascadeGroups::generate(rules, root, &steps),
            steps: steps.into_iter().map(|rule| Step::generate(rules, root, rule, is_carried(rule))).collect(),
        }
    }

    /// The drain's stages before those of the steps: of cascade groups two, none passed over and [`PASSED_SOME_OVER`].
    pub(crate) fn before_steps(&self) -> usize {
        if self.groups.is_some() { PASSED_SOME_OVER + 1 } else { 0 }
    }

    /// The steps with the numbers of their stages.
    pub(crate) fn stages(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.steps.iter().enumerate().map(|(place, step)| (self.before_steps() + place, step))
    }

    /// The table that the drain is at in a stage; none when all steps are done.
    pub(crate) fn table_at(&self, stage: usize) -> Option<&'static str> {
        match (&self.groups, stage.checked_sub(self.before_steps())) {
            (Some(groups), None) => Some(groups.parents.table),
            (_, step) => self.steps.get(step?).map(|step| step.table),
        }
    }

    /// Where the drain stands in the table of a step. Parents that it passed over count as done until it comes to that step.
    pub(crate) fn standing(&self, stage: usize, cursor: Option<Cursor>, step: usize) -> TableStanding {
        match (&self.groups, stage.checked_sub(self.before_steps())) {
            (Some(groups), None) if step >= groups.steps => TableStanding::NotBegun,
            (Some(_), None) => cursor.map_or(TableStanding::NotBegun, |mut cursor| {
                // Of its last parent no row is left.
                let walk = self.steps.get(step).map_or(&[][..], |step| step.walk);
                cursor.extend(walk.iter().skip(cursor.len()).map(|column| Key::greatest(column.kind)));
                TableStanding::At(cursor)
            }),
            (_, Some(at)) if at == step => cursor.map_or(TableStanding::NotBegun, TableStanding::At),
            (_, at) => {
                if at.is_some_and(|at| at > step) {
                    TableStanding::Done
                } else {
                    TableStanding::NotBegun
                }
            }
        }
    }

    /// The cursor of a stage, from the database. Where no rows are walked along it is the last subject of others that were ordered.
    pub(crate) fn read_cursor(&self, stage: usize, cursor: &Json) -> Result<Cursor> {
        match (&self.groups, stage.checked_sub(self.before_steps())) {
            (Some(groups), None) => cursor_from_json(cursor, &[groups.parents.key]),
            (_, step) => match step.and_then(|step| self.steps.get(step)) {
                Some(step) => cursor_from_json(cursor, step.walk),
                None => cursor_from_json(cursor, &[uuid("id")]),
            },
        }
    }

    /// How many rows there still are of what the root awaits.
    pub(crate) async fn awaited(&self, tx: &mut Tx, tenant: Uuid, subject: Uuid) -> Result<i64> {
        let Some(statement) = self.awaited else { return Ok(0) };
        Ok(tx.read_one(statement, &about(tenant, &[subject], self.keys)).await?)
    }

    /// The tables whose rows go with the subject's own row, without a second look whether they are gone.
    pub(crate) fn carried_tables(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().filter(|step| step.is_carried).map(|step| step.table)
    }

    /// Whether the root's own row goes.
    pub(crate) fn erases_root(&self) -> bool {
        self.erase_root.is_some()
    }

    /// Locks the subjects' rows against transactions that want to hang something on them: it waits for those under way, and later ones find
    /// the rows gone. What the sweep finds after this is all there is.
    pub(crate) async fn claim(&self, tx: &mut Tx, tenant: Uuid, subjects: &[Uuid]) -> Result<()> {
        if let Some(claim) = self.claim.filter(|_| !tx.is_alone()) {
            tx.query(claim, &about(tenant, subjects, self.keys)).await?;
        }
        Ok(())
    }

    /// Counts the rows of all these subjects in each step's table, up to a limit in all.
    pub async fn look(&self, tx: &mut Tx, tenant: Uuid, subjects: &[Uuid], limit: i64) -> Result<Counted> {
        match &self.count {
            Some(count) => count.read(tx.query(count.statement, &count.about(tenant, subjects, limit)).await?),
            None => Ok(Counted::default()),
        }
    }

    /// What goes along with the subjects' own rows: how many rows of each there are in each table.
    pub(crate) fn carried(&self, counted: &Counted) -> Vec<Touched> {
        let carried = self.steps.iter().enumerate().filter(|(_, step)| step.is_carried);
        carried.filter_map(|(place, step)| Some((step.table, counted.of(place)?.clone()))).collect()
    }

    /// Does the work of all steps in which something was counted, but for what the subjects' own rows take along, and sweeps. Returns how
    /// many rows of each subject were touched in each table, and whether the sweep found nothing.
    pub async fn run(&self, tx: &mut Tx, tenant: Uuid, subjects: &[Uuid], counted: &Counted) -> Result<(Vec<Touched>, bool)> {
        let everyone = about(tenant, subjects, self.keys);
        let alone: Vec<Vec<Value>> = subjects.iter().map(|subject| about(tenant, &[*subject], self.keys)).collect();
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
        let claim = self.claim.filter(|_| !self.root.is_locked_when_ordered && !tx.is_alone());
        let last = [claim, self.sweep_beside].into_iter().flatten();
        asked.extend(last.map(|statement| Asked { step: None, statement, bound: &everyone, alone: None }));
        let statements: Vec<(Statement, &[Value])> = asked.iter().map(|asked| (asked.statement, asked.bound.as_slice())).collect();
        let mut answers = tx.query_all(&statements).await?;
        let left: i64 = match self.sweep_beside.and_then(|_| answers.pop()?.pop()) {
            Some(row) => row.read()?,
            None => 0,
        };
        let mut touched = Vec::new();
        for (Asked { step, alone, .. }, answer) in asked.into_iter().zip(answers) {
            let Some(step) = step else { continue };
            let mut rows: HashMap<Uuid, i64> = HashMap::new();
            for row in answer {
                let subject = match alone {
                    Some(subject) => subject,
                    None => row.read()?,
                };
                *rows.entry(subject).or_default() += 1;
            }
            touched.push((step.table, rows));
        }
        Ok((touched, left == 0))
    }

    /// Rows of every rule, in their order, the root's own row last.
    pub(crate) async fn survey(&self, tx: &mut Tx, tenant: Uuid, subject: Uuid) -> Result<Vec<i64>> {
        let row = tx.query_one(self.survey, &about(tenant, &[subject], self.keys)).await?;
        Ok(row.read_with(|row| self.root.rules.iter().map(|_| FromRow::from_row(row)).collect::<sql::Result<_>>())?)
    }

    /// The keys of what each target would lose, up to so many of each.
    pub(crate) async fn keys(&self, tx: &mut Tx, tenant: Uuid, subject: Uuid, only_bound: bool, most: i64) -> Result<Vec<Vec<Cursor>>> {
        let mut bound = keys(tenant, subject, self.keys);
        bound.push(Value::from(most));
        let wanted: Vec<&Target> = self.targets.iter().filter(|target| target.is_bound || !only_bound).collect();
        let asked: Vec<(Statement, &[Value])> = wanted.iter().map(|target| (target.keys, bound.as_slice())).collect();
        let answers = tx.query_all(&asked).await?.into_iter().zip(wanted);
        let read = |(rows, target): (Vec<Row>, &Target)| rows.into_iter().map(|row| Ok(read_cursor(row, &target.columns)?)).collect();
        answers.map(read).collect()
    }

    /// Every rule that erases or redacts.
    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Those that a plan is bound to.
    pub(crate) fn bound_targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(|target| target.is_bound)
    }

    /// Marks the root's row. Returns whether there is one.
    pub async fn close(&self, tx: &mut Tx, tenant: Uuid, subject: Uuid, now: Timestamp) -> Result<bool> {
        let Some(statement) = self.close else { return Ok(false) };
        let mut bound = keys(tenant, subject, self.keys);
        if statement.text().contains(&format!("${}", self.keys + 1)) {
            bound.push(Value::from(now));
        }
        Ok(tx.execute(statement, &bound).await? > 0)
    }

    /// Takes the mark off the root's row again. Returns whether it was there.
    pub async fn reopen(&self, tx: &mut Tx, tenant: Uuid, subject: Uuid) -> Result<bool> {
        let Some(statement) = self.reopen else { return Ok(false) };
        Ok(tx.execute(statement, &keys(tenant, subject, self.keys)).await? > 0)
    }

    /// Does the whole work of the steps of these tables. Returns how many rows each touched.
    pub async fn run_only(&self, tx: &mut Tx, tenant: Uuid, subject: Uuid, tables: &[&str]) -> Result<Vec<(&'static str, i64)>> {
        let bound = about(tenant, &[subject], self.keys);
        let steps: Vec<&Step> = self.steps_of(tables).collect();
        let asked: Vec<(Statement, &[Value])> = steps.iter().map(|step| (step.all, bound.as_slice())).collect();
        let answers = tx.query_all(&asked).await?;
        Ok(steps.iter().zip(answers).map(|(step, rows)| (step.table, rows.len() as i64)).collect())
    }

    /// The steps that erase rows of these tables. What only forgets the subject opens something for others.
    pub fn steps_of(&self, tables: &[&str]) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| tables.contains(&step.table) && !step.forgets_subject)
    }

    /// Whether no row of any of these subjects is left that should be gone or redacted: asked anew, whatever the drain believes to have done.
    pub async fn is_swept(&self, tx: &mut Tx, tenant: Uuid, subjects: &[Uuid]) -> Result<bool> {
        self.finds_nothing(self.sweep, tx, tenant, subjects).await
    }

    /// The same, but for what goes along with the subjects' own rows.
    pub(crate) async fn is_swept_beside(&self, tx: &mut Tx, tenant: Uuid, subjects: &[Uuid]) -> Result<bool> {
        self.finds_nothing(self.sweep_beside, tx, tenant, subjects).await
    }

    async fn finds_nothing(&self, sweep: Option<Statement>, tx: &mut Tx, tenant: Uuid, subjects: &[Uuid]) -> Result<bool> {
        let Some(statement) = sweep else { return Ok(true) };
        let left: i64 = tx.read_one(statement, &about(tenant, subjects, self.keys)).await?;
        Ok(left == 0)
    }

    /// Erases the subjects' own rows, if their rule says so.
    pub async fn erase_root(&self, tx: &mut Tx, tenant: Uuid, subjects: &[Uuid]) -> Result<()> {
        if let Some((statement, bound)) = self.erasure(tenant, subjects) {
            tx.execute(statement, &bound).await?;
        }
        Ok(())
    }

    /// What erases the subjects' own rows, if there are any and their rule says so.
    pub(crate) fn erasure(&self, tenant: Uuid, subjects: &[Uuid]) -> Option<(Statement, Vec<Value>)> {
        let statement = self.erase_root.filter(|_| !subjects.is_empty())?;
        Some((statement, about(tenant, subjects, self.keys)))
    }

    pub(crate) fn statements(&self) -> Vec<Statement> {
        let count = self.count.as_ref().map(|count| count.statement);
        let own =
            [Some(self.survey), count, self.close, self.reopen, self.sweep, self.sweep_beside, self.claim, self.erase_root, self.awaited];
        let of_groups = self.groups.iter().flat_map(CascadeGroups::statements);
        let of_steps = self.steps.iter().flat_map(Step::statements);
        own.into_iter().flatten().chain(of_groups).chain(of_steps).chain(self.targets.iter().map(|target| target.keys)).collect()
    }
}

impl Target {
    fn generate(rules: &Rules, place: usize, rule: &'static Rule) -> Target {
        let columns = match rule.is_own() {
            true => vec![uuid(subject_column(rule))],
            false => rule.walk.to_vec(),
        };
        let names = columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
        let (ties, undone, most) = (tied(rule), undone(rule), rule.by.len() + 1);
        let keys = format!("SELECT {names} FROM {} WHERE {ties}{undone} ORDER BY {names} LIMIT ${most}", rule.table);
        Target { table: rule.table, rule: place, is_bound: rules.is_bound(rule), columns, keys: Statement::generated(keys) }
    }
}

fn select(rules: &[&Rule], between: &str, make: impl Fn(&Rule) -> String) -> String {
    format!("SELECT {}", rules.iter().map(|rule| make(rule)).collect::<Vec<_>>().join(between))
}

/// The condition that ties a row to the root.
pub(crate) fn tied(rule: &Rule) -> String {
    let ties: Vec<String> = rule.by.iter().enumerate().map(|(place, column)| format!("{column} = ${}", place + 1)).collect();
    format!("{}{}", ties.join(" AND "), only(rule))
}

/// The condition that ties a row to any of several subjects.
fn tied_to_any(rule: &Rule) -> String {
    match rule.by {
        [tenant, subject] => format!("{tenant} = $1 AND {subject} = ANY($2){}", only(rule)),
        columns => format!("{} = ANY($1){}", columns.concat(), only(rule)),
    }
}

fn only(rule: &Rule) -> String {
    if rule.only.is_empty() { String::new() } else { format!(" AND {}", rule.only) }
}

/// The column that says whose a row is.
pub(crate) fn subject_column(rule: &Rule) -> &'static str {
    rule.by.last().unwrap_or(&"id")
}

/// Whether the rows of a rule go with the root's own row, which the order of the deletion has locked against new ones.
fn is_carried(rules: &Rules, root: &Root, own: &Rule, rule: &Rule) -> bool {
    let is_locked = own.fate == Fate::Erase && root.is_locked_when_ordered;
    let of_own = rules.parents.iter().find(|parents| is_locked && parents.table == own.table);
    of_own.is_some_and(|parents| subject_column(rule) == parents.by && children(rules, root, *parents).any(|child| child == rule.table))
}

/// The rows of a rule that are tied to any of several subjects and not yet as they shall be.
pub(crate) fn matching(rule: &Rule) -> String {
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
pub(crate) fn about(tenant: Uuid, subjects: &[Uuid], keys: usize) -> Vec<Value> {
    match keys {
        1 => params![subjects].to_vec(),
        _ => params![tenant, subjects].to_vec(),
    }
}

fn keys(tenant: Uuid, subject: Uuid, count: usize) -> Vec<Value> {
    match count {
        1 => params![subject].to_vec(),
        _ => params![tenant, subject].to_vec(),
    }
}
