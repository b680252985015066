//! What a completed deletion should have erased or redacted and did not: every rule of every root, held against all completed deletions.
//!
//! The deletions are taken in slices of their ids, each slice joined with each ruled table in one statement.

use std::sync::OnceLock;

use deletion::{Fate, Rule};
use sql::{Statement, Tx, params, sql};
use uuid::Uuid;

use super::{CheckContext, Finding, Findings, MOST_SAMPLES, Tell};
use crate::deletion_rules::Root;
use crate::{Error, Result};

/// Deletions that are looked at in one statement.
const SLICE: i64 = 10_000;

/// One rule that leaves nothing, or nothing as it was.
struct Probe {
    root: Root,
    rule: &'static Rule,
    /// Counts rows of a slice of deletions: the root's name, the slice's beginning and its end.
    count: Statement,
    /// Names so many of the deletions that left them.
    list: Statement,
}

/// A slice of the completed deletions: those after the first id, up to the second.
type Slice = (Uuid, Uuid);

pub(super) fn residue<'a>(context: &'a CheckContext, tell: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let mut left: Vec<(i64, Vec<Uuid>)> = probes().iter().map(|_| (0, Vec::new())).collect();
        let (mut from, mut seen) = (Uuid::nil(), 0);
        while let Some((slice, roots, deletions)) = next(context, from).await? {
            let is_due = |probe: &Probe| roots.contains(&probe.root) && context.may_have(probe.rule.table);
            for (probe, found) in probes().iter().zip(&mut left).filter(|(probe, _)| is_due(probe)) {
                let (rows, sample) = run_probe(context, probe, slice).await?;
                found.0 += rows;
                found.1.extend(sample);
            }
            from = slice.1;
            seen += deletions;
            tell(&format!("{seen} deletions"));
        }
        let found = probes().iter().zip(left).filter(|(_, (rows, _))| *rows > 0);
        Ok(found.map(|(probe, (rows, sample))| finding(probe, rows, &sample)).collect())
    })
}

/// The slice after an id, the roots there are in it, and how many deletions; none when there is nothing more.
async fn next(context: &CheckContext, from: Uuid) -> Result<Option<(Slice, Vec<Root>, i64)>> {
    context
        .db
        .read(async move |tx| {
            tx.take_time().await?;
            let end = sql!("SELECT id FROM deletions WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2");
            let to = tx.read_opt(end, params![from, SLICE - 1]).await?.unwrap_or(Uuid::max());
            let statement = sql!("SELECT root, count(*) FROM deletions WHERE id > $1 AND id <= $2 GROUP BY root");
            let (mut roots, mut deletions) = (Vec::new(), 0);
            for (root, number) in tx.read_all::<(Root, i64)>(statement, params![from, to]).await? {
                roots.push(root);
                deletions += number;
            }
            Ok::<_, Error>((deletions > 0).then_some(((from, to), roots, deletions)))
        })
        .await
}

async fn run_probe(context: &CheckContext, probe: &'static Probe, (from, to): Slice) -> Result<(i64, Vec<Uuid>)> {
    let (count, list, root) = (probe.count, probe.list, probe.root);
    context
        .db
        .read(async move |tx| {
            tx.take_time().await?;
            let rows: i64 = tx.read_one(count, params![root.name(), from, to]).await?;
            let sample = match rows {
                0 => Vec::new(),
                _ => read(tx, list, root, (from, to), MOST_SAMPLES).await?,
            };
            Ok::<_, Error>((rows, sample))
        })
        .await
}

/// The first deletions of a slice that left something.
async fn read(tx: &mut Tx, list: Statement, root: Root, (from, to): Slice, most: i64) -> Result<Vec<Uuid>> {
    Ok(tx.read_all(list, params![root.name(), from, to, most]).await?)
}

fn finding(probe: &Probe, rows: i64, deletions: &[Uuid]) -> Finding {
    let should = match probe.rule.fate {
        Fate::Redact(columns) => {
            let columns: Vec<&str> = columns.iter().map(|(column, _)| *column).collect();
            format!("still hold {}, which should have been redacted", columns.join(", "))
        }
        Fate::Erase | Fate::Keep => "should have been erased".into(),
    };
    let noun = probe.root.noun().replace('_', " ");
    Finding {
        what: format!("rows that hang on a deleted {noun} {should}, and their deletion is completed"),
        table: Some(probe.rule.table.into()),
        rows,
        of: "deletions",
        sample: deletions.iter().take(MOST_SAMPLES as usize).map(Uuid::to_string).collect(),
        remedy: "freehold doctor --repair: it opens these deletions again, and the server erases what they left and completes them anew"
            .into(),
    }
}

fn probes() -> &'static [Probe] {
    static PROBES: OnceLock<Vec<Probe>> = OnceLock::new();
    PROBES.get_or_init(|| {
        let rules = Root::ALL.into_iter().flat_map(|root| root.rules().iter().map(move |rule| (root, rule)));
        rules.filter(|(_, rule)| rule.fate != Fate::Keep).map(|(root, rule)| Probe::generate(root, rule)).collect()
    })
}

impl Probe {
    fn generate(root: Root, rule: &'static Rule) -> Probe {
        let tie = match rule.by {
            [organization, subject] => {
                format!("found.{organization} = completed.organization_id AND found.{subject} = completed.subject_id")
            }
            columns => format!("found.{} = completed.subject_id", columns.concat()),
        };
        let undone = match rule.fate {
            Fate::Redact(columns) => {
                let conditions: Vec<String> =
                    columns.iter().map(|(column, literal)| format!("found.{column} IS DISTINCT FROM {literal}")).collect();
                format!(" AND ({})", conditions.join(" OR "))
            }
            Fate::Erase | Fate::Keep => String::new(),
        };
        let rows = match rule.only {
            "" => rule.table.to_owned(),
            only => format!("(SELECT * FROM {} WHERE {only})", rule.table),
        };
        // Who is softly deleted is still there, and what was made for them later is rightly so.
        let in_its_time = if root == Root::RetiredCustomer { " AND found.created_at <= completed.completed_at" } else { "" };
        let left = format!(
            "FROM deletions AS completed JOIN {rows} AS found ON {tie}
             WHERE completed.state = 'completed' AND completed.root = $1 AND completed.id > $2 AND completed.id <= $3{in_its_time}{undone}"
        );
        Probe {
            root,
            rule,
            count: Statement::generated(format!("SELECT count(*) {left}")),
            list: Statement::generated(format!("SELECT DISTINCT completed.id {left} ORDER BY completed.id LIMIT $4")),
        }
    }
}

/// Every deletion that left something, for the repair.
pub(super) async fn unfinished(context: &CheckContext) -> Result<Vec<Uuid>> {
    let mut deletions = Vec::new();
    let mut from = Uuid::nil();
    while let Some((slice, roots, _)) = next(context, from).await? {
        for probe in probes().iter().filter(|probe| roots.contains(&probe.root)) {
            let (list, root) = (probe.list, probe.root);
            deletions.extend(
                context
                    .db
                    .read(async move |tx| {
                        tx.take_time().await?;
                        read(tx, list, root, slice, SLICE).await
                    })
                    .await?,
            );
        }
        from = slice.1;
    }
    deletions.sort_unstable();
    deletions.dedup();
    Ok(deletions)
}

pub(super) fn statements() -> Vec<Statement> {
    probes().iter().flat_map(|probe| [probe.count, probe.list]).collect()
}
