//! The checks but for the residue, each a function that reads and says what it found.

use std::sync::OnceLock;

use sql::{Difference, Row, Statement, Value, params, sql};
use uuid::Uuid;

use super::{CheckContext, Finding, Findings, MOST_SAMPLES, Tell};
use crate::deletions::progress::waiting_words;
use crate::deletions::{LATE_AFTER, STUCK, STUCK_AFTER, Stuck, rules};
use crate::{Error, MIGRATIONS, Result};
use deletion::{Waiting, before};

pub(super) const START_THE_SERVER: &str = "start the server (freehold serve)";

pub(super) fn migrations<'a>(context: &'a CheckContext, _: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let differences = context.db.differences(MIGRATIONS).await?;
        let of = |wanted: Difference| -> Vec<String> {
            differences.iter().filter(|(_, difference)| *difference == wanted).map(|(name, _)| name.clone()).collect()
        };
        let words = [
            (Difference::Missing, "migrations of this program have not run here", format!("{START_THE_SERVER}: it runs them first")),
            (Difference::Unknown, "migrations ran here that this program does not know", "use the newer freehold that ran them".into()),
            (
                Difference::Changed,
                "migrations ran here with another text than this program has",
                "use the freehold that ran them, or restore their text".into(),
            ),
        ];
        let findings = words.into_iter().map(|(difference, what, remedy)| {
            let names = of(difference);
            let table = Some("schema_migrations".to_owned());
            Finding { what: what.into(), table, rows: count(names.len()), of: "migrations", sample: some(names), remedy }
        });
        Ok(findings.filter(|finding| finding.rows > 0).collect())
    })
}

pub(super) fn schema<'a>(context: &'a CheckContext, _: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let Err(error) = rules::RULES.check(&context.schema) else { return Ok(Vec::new()) };
        let words = error.to_string();
        let faults: Vec<String> = words.lines().filter_map(|line| line.strip_prefix("- ")).map(str::to_owned).collect();
        Ok(vec![Finding {
            what: "the tables or columns are not those that the rules of deletion know; the server does not start on them".into(),
            table: None,
            rows: count(faults.len()),
            of: "differences",
            sample: some(faults),
            remedy: format!("if migrations are missing, {START_THE_SERVER}; otherwise undo what was changed in the database by hand"),
        }])
    })
}

pub(super) fn integrity<'a>(context: &'a CheckContext, tell: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let mut findings = Vec::new();
        tell("the file");
        let damage = context.db.damage().await?;
        if !damage.is_empty() {
            findings.push(Finding {
                what: "the database file is damaged".into(),
                table: None,
                rows: count(damage.len()),
                of: "faults",
                sample: some(damage),
                remedy: "stop the server, keep the file, and restore the last backup; what can be saved: sqlite3 freehold.db .recover"
                    .into(),
            });
        }
        tell("what rows hang on");
        for orphans in context.db.orphans(&context.filled, MOST_SAMPLES).await? {
            let sqlite = context.engine_name() == "sqlite";
            let (table, parent, columns) = (&orphans.table, &orphans.parent, orphans.columns.join(", "));
            let with = if sqlite { "sqlite3" } else { "psql" };
            findings.push(Finding {
                what: format!("rows hang by {columns} on rows of {parent} that do not exist"),
                remedy: format!(
                    "no deletion reaches them. With {with}: DELETE FROM {table} WHERE ({columns}) in the sample, after a backup, with the server stopped"
                ),
                table: Some(orphans.table.clone()),
                rows: orphans.rows,
                of: "missing parents",
                sample: orphans.sample,
            });
        }
        Ok(findings)
    })
}

/// A root whose mark says `closed`, and how to find those that no open deletion covers.
pub(super) struct Closable {
    pub root: rules::Root,
    table: &'static str,
    count: Statement,
    /// Their organizations and ids, so many after the last one.
    pub list: Statement,
}

pub(super) fn closables() -> &'static [Closable] {
    static CLOSABLES: OnceLock<Vec<Closable>> = OnceLock::new();
    CLOSABLES.get_or_init(|| {
        let roots =
            rules::Root::ALL.into_iter().filter(|root| root.definition().mark.is_some_and(|mark| mark.contains("state = 'closed'")));
        roots
            .filter_map(|root| {
                let own = root.rules().iter().find(|rule| rule.walk.is_empty())?;
                let organization = if own.by.len() == 1 { "id" } else { "organization_id" };
                let uncovered = format!(
                    "FROM {} AS found
                     WHERE found.state = 'closed' AND NOT EXISTS (
                           SELECT 1 FROM deletions AS open
                           WHERE open.organization_id = found.{organization} AND open.subject_id IN (found.id, found.{organization})
                             AND open.state IN ('reversible', 'closed', 'draining'))",
                    own.table
                );
                Some(Closable {
                    root,
                    table: own.table,
                    count: Statement::generated(format!("SELECT count(*) {uncovered}")),
                    list: Statement::generated(format!(
                        "SELECT found.{organization}, found.id {uncovered} AND found.id > $1 ORDER BY found.id LIMIT $2"
                    )),
                })
            })
            .collect()
    })
}

pub(super) fn closed<'a>(context: &'a CheckContext, tell: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let mut findings = Vec::new();
        for closable in closables() {
            tell(closable.table);
            let (rows, sample) = rows_and_sample(
                context,
                (closable.count, Vec::new()),
                (closable.list, |row| Ok(row.read::<(Uuid, Uuid)>()?.1.to_string())),
                params![Uuid::nil(), MOST_SAMPLES].to_vec(),
            )
            .await?;
            if rows > 0 {
                findings.push(Finding {
                    what: "they are closed, so no reader finds them, and no open deletion covers them, so they stay".into(),
                    table: Some(closable.table.into()),
                    rows,
                    of: closable.table,
                    sample,
                    remedy: "freehold doctor --repair: it orders their deletion, and the server carries it out".into(),
                });
            }
        }
        Ok(findings)
    })
}

/// The last owner cannot be removed. Without one no member archives, hands over or deletes the organization.
pub(super) fn owners<'a>(context: &'a CheckContext, _: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let count = sql!(
            "SELECT count(*) FROM organizations
             WHERE state = 'live' AND NOT EXISTS (
                   SELECT 1 FROM members JOIN users ON users.id = members.user_id
                   WHERE members.organization_id = organizations.id AND members.role = 'owner' AND members.state = 'live'
                     AND users.state = 'live')"
        );
        let list = sql!(
            "SELECT id, slug FROM organizations
             WHERE state = 'live' AND NOT EXISTS (
                   SELECT 1 FROM members JOIN users ON users.id = members.user_id
                   WHERE members.organization_id = organizations.id AND members.role = 'owner' AND members.state = 'live'
                     AND users.state = 'live')
             ORDER BY id LIMIT $1"
        );
        let told = |row: Row| {
            let (id, slug): (Uuid, String) = row.read()?;
            Ok(format!("{id} ({slug})"))
        };
        let (rows, sample) = rows_and_sample(context, (count, Vec::new()), (list, told), params![MOST_SAMPLES].to_vec()).await?;
        let finding = Finding {
            what: "organizations have no owner: no member can delete them or hand them over".into(),
            table: Some("organizations".into()),
            rows,
            of: "organizations",
            sample,
            remedy: "signed in as an operator: freehold organizations recover ID --owner ADDRESS --reason … makes a person the owner, and freehold organizations delete ID --reason … deletes it".into(),
        };
        Ok((rows > 0).then_some(finding).into_iter().collect())
    })
}

/// No deletion of the server goes past a hold: what is gone all the same went some other way.
pub(super) fn holds<'a>(context: &'a CheckContext, _: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let count = sql!(
            "SELECT count(*) FROM holds
             WHERE released_at IS NULL AND (until IS NULL OR until > $1) AND subject_id NOT IN (
                   SELECT id FROM organizations WHERE id = holds.organization_id AND state <> 'closed'
                   UNION ALL
                   SELECT id FROM customers WHERE organization_id = holds.organization_id AND id = holds.subject_id AND state <> 'closed'
                   UNION ALL
                   SELECT user_id FROM members
                   WHERE organization_id = holds.organization_id AND user_id = holds.subject_id AND state <> 'closed')"
        );
        let list = sql!(
            "SELECT id, subject, subject_id FROM holds
             WHERE released_at IS NULL AND (until IS NULL OR until > $1) AND subject_id NOT IN (
                   SELECT id FROM organizations WHERE id = holds.organization_id AND state <> 'closed'
                   UNION ALL
                   SELECT id FROM customers WHERE organization_id = holds.organization_id AND id = holds.subject_id AND state <> 'closed'
                   UNION ALL
                   SELECT user_id FROM members
                   WHERE organization_id = holds.organization_id AND user_id = holds.subject_id AND state <> 'closed')
             ORDER BY id LIMIT $2"
        );
        let told = |row: Row| {
            let (id, subject, subject_id): (Uuid, String, Uuid) = row.read()?;
            Ok(format!("{id} (on the {subject} {subject_id})"))
        };
        let (rows, sample) =
            rows_and_sample(context, (count, params![context.now].to_vec()), (list, told), params![context.now, MOST_SAMPLES].to_vec())
                .await?;
        let finding = Finding {
            what: "legal holds are in force on what is not there any more: it was removed beside the server".into(),
            table: Some("holds".into()),
            rows,
            of: "holds",
            sample,
            remedy: "undo that, or bring it back from a backup; if neither can be done: freehold holds release ID --reason …".into(),
        };
        Ok((rows > 0).then_some(finding).into_iter().collect())
    })
}

pub(super) fn stuck<'a>(context: &'a CheckContext, _: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let limit = before(context.now, STUCK_AFTER);
        let bound = Stuck::bound(context.now);
        let listed = [bound.clone(), params![MOST_SAMPLES].to_vec()].concat();
        let told = |row: Row| {
            let (id, waits): (Uuid, Option<String>) = row.read()?;
            Ok(waits.map_or_else(|| id.to_string(), |waits| format!("{id} (waits for {})", waiting_words(&Waiting::read(&waits)))))
        };
        let (rows, sample) = rows_and_sample(context, (STUCK.count, bound), (STUCK.list, told), listed).await?;
        let mut findings = Vec::new();
        if rows > 0 {
            findings.push(Finding {
                what: "open deletions made no progress for more than a minute".into(),
                table: Some("deletions".into()),
                rows,
                of: "deletions",
                sample,
                remedy: format!(
                    "if no server runs, {START_THE_SERVER}. If one runs: freehold deletions show ID says what it waits for and what to do"
                ),
            });
        }
        let lost = sql!("SELECT count(*) FROM deletions WHERE state = 'draining' AND lease_until <= $1");
        let list = sql!("SELECT id FROM deletions WHERE state = 'draining' AND lease_until <= $1 ORDER BY lease_until, id LIMIT $2");
        let (rows, sample) =
            rows_and_sample(context, (lost, params![limit].to_vec()), (list, id), params![limit, MOST_SAMPLES].to_vec()).await?;
        if rows > 0 {
            findings.push(Finding {
                what: "deletions are held by a worker whose lease ended more than a minute ago, and no other took them over".into(),
                table: Some("deletions".into()),
                rows,
                of: "deletions",
                sample,
                remedy: format!("{START_THE_SERVER}: its drain takes them over at once, and no row is touched twice"),
            });
        }
        Ok(findings)
    })
}

pub(super) fn deliveries<'a>(context: &'a CheckContext, _: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let limit = before(context.now, LATE_AFTER);
        let count = sql!(
            "SELECT count(*) FROM effects JOIN webhooks ON webhooks.organization_id = effects.organization_id
                                                             AND webhooks.id = webhook_id
             WHERE effects.state = 'pending' AND next_attempt_at <= $1
               AND (failing_since IS NULL OR NOT EXISTS (SELECT 1 FROM effects AS looked_after
                                                         WHERE looked_after.organization_id = webhooks.organization_id AND looked_after.webhook_id = webhooks.id
                                                           AND looked_after.state = 'pending' AND looked_after.rank IN (0, 1)
                                                           AND looked_after.next_attempt_at > $1))"
        );
        let list = sql!(
            "SELECT webhook_id FROM effects JOIN webhooks ON webhooks.organization_id = effects.organization_id
                                                               AND webhooks.id = webhook_id
             WHERE effects.state = 'pending' AND next_attempt_at <= $1
               AND (failing_since IS NULL OR NOT EXISTS (SELECT 1 FROM effects AS looked_after
                                                         WHERE looked_after.organization_id = webhooks.organization_id AND looked_after.webhook_id = webhooks.id
                                                           AND looked_after.state = 'pending' AND looked_after.rank IN (0, 1)
                                                           AND looked_after.next_attempt_at > $1))
             GROUP BY webhook_id ORDER BY min(next_attempt_at), webhook_id LIMIT $2"
        );
        let (rows, sample) =
            rows_and_sample(context, (count, params![limit].to_vec()), (list, id), params![limit, MOST_SAMPLES].to_vec()).await?;
        let finding = Finding {
            what: "deliveries to webhooks are due for more than ten minutes, and deletions may wait for them".into(),
            table: Some("effects".into()),
            rows,
            of: "webhooks",
            sample,
            remedy: format!(
                "if no server runs, {START_THE_SERVER}. If one runs: freehold webhooks show ID, and freehold webhooks delete ID where no receiver listens any more"
            ),
        };
        Ok((rows > 0).then_some(finding).into_iter().collect())
    })
}

pub(super) fn effects<'a>(context: &'a CheckContext, _: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let mut findings = Vec::new();
        let dead =
            sql!("SELECT count(*) FROM effects WHERE state = 'failed' AND kind <> 'webhook' AND state <> 'delivered' AND NOT is_given_up");
        let list = sql!(
            "SELECT id FROM effects WHERE state = 'failed' AND kind <> 'webhook' AND state <> 'delivered' AND NOT is_given_up ORDER BY id LIMIT $1"
        );
        let (rows, sample) = rows_and_sample(context, (dead, Vec::new()), (list, id), params![MOST_SAMPLES].to_vec()).await?;
        if rows > 0 {
            findings.push(Finding {
                what: "what was to be done outside was tried for three days, or cannot succeed: a subscription may still be charged".into(),
                table: Some("effects".into()),
                rows,
                of: "effects",
                sample,
                remedy: "see why with freehold effects show ID, mend that, and freehold effects retry ID; or do it by hand and freehold effects give-up ID: the \
                         deletion that waits for it goes on then"
                    .into(),
            });
        }
        let limit = before(context.now, LATE_AFTER);
        let late = sql!(
            "SELECT count(*) FROM effects WHERE state = 'pending' AND kind <> 'webhook' AND state <> 'delivered' AND next_attempt_at <= $1"
        );
        let list = sql!(
            "SELECT id FROM effects WHERE state = 'pending' AND kind <> 'webhook' AND state <> 'delivered' AND next_attempt_at <= $1 ORDER BY id LIMIT $2"
        );
        let (rows, sample) =
            rows_and_sample(context, (late, params![limit].to_vec()), (list, id), params![limit, MOST_SAMPLES].to_vec()).await?;
        if rows > 0 {
            findings.push(Finding {
                what: "what is to be done outside is due for more than ten minutes, and deletions may wait for it".into(),
                table: Some("effects".into()),
                rows,
                of: "effects",
                sample,
                remedy: format!("if no server runs, {START_THE_SERVER}. If one runs, its log says what holds it up"),
            });
        }
        Ok(findings)
    })
}

/// Counts, and when there is something reads some of it, on one snapshot.
pub(super) async fn rows_and_sample(
    context: &CheckContext,
    (count, counted): (Statement, Vec<Value>),
    (list, name): (Statement, fn(Row) -> Result<String>),
    bound: Vec<Value>,
) -> Result<(i64, Vec<String>)> {
    context
        .db
        .read(async move |tx| {
            tx.take_time().await?;
            let rows: i64 = tx.read_one(count, &counted).await?;
            let sample = match rows {
                0 => Vec::new(),
                _ => tx.query(list, &bound).await?,
            };
            Ok::<_, Error>((rows, sample.into_iter().map(name).collect::<Result<_>>()?))
        })
        .await
}

pub(super) fn id(row: Row) -> Result<String> {
    Ok(row.read::<Uuid>()?.to_string())
}

pub(super) fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

pub(super) fn some(mut names: Vec<String>) -> Vec<String> {
    names.truncate(MOST_SAMPLES as usize);
    names
}

pub(super) fn statements() -> Vec<Statement> {
    closables().iter().flat_map(|closable| [closable.count, closable.list]).chain([STUCK.count, STUCK.list]).collect()
}
