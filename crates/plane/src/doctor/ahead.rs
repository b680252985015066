//! Times that lie in the future: what a clock that was ahead has left, which waits for the time that it showed.

use std::sync::OnceLock;
use std::time::Duration;

use sql::Statement;

use super::checks::{START_THE_SERVER, id, rows_and_sample};
use super::{CheckContext, Finding, Findings, MOST_SAMPLES, Tell, quoted};
use crate::clocks::TIMERS;
use crate::deletion_rules::RULES;
use crate::{Config, Result};
use deletion::after;

/// Two clocks that are right differ by less.
const TOLERANCE: Duration = Duration::from_secs(300);
/// A server's lease may be longer than it is by itself, by no more than this.
const LONGEST_LEASE: Duration = Duration::from_secs(600);
/// Columns that say when something was.
const PAST: [&str; 4] = ["created_at", "updated_at", "deleted_at", "completed_at"];

/// A column that must not lie in the future.
struct Column {
    table: &'static str,
    name: &'static str,
    count: Statement,
    list: Statement,
}

impl Column {
    fn new(table: &'static str, name: &'static str) -> Column {
        Column {
            table,
            name,
            count: Statement::generated(format!("SELECT count(*) FROM {table} WHERE {name} > $1")),
            list: Statement::generated(format!("SELECT id FROM {table} WHERE {name} > $1 ORDER BY {name}, id LIMIT $2")),
        }
    }
}

/// Those that say when something was, and those that say until when a server waits.
fn columns() -> &'static (Vec<Column>, Vec<Column>) {
    static COLUMNS: OnceLock<(Vec<Column>, Vec<Column>)> = OnceLock::new();
    COLUMNS.get_or_init(|| {
        // Rows without an id of their own are few, and come and go with others.
        let tables = RULES.tables.iter().filter(|table| table.columns.iter().any(|(name, _)| *name == "id") && table.name != "secret_keys");
        let past = tables.flat_map(|table| {
            let has = |name: &&&str| table.columns.iter().any(|(known, _)| known == *name);
            PAST.iter().filter(has).map(|name| Column::new(table.name, name))
        });
        (past.collect(), TIMERS.iter().map(|timer| Column::new(timer.table, timer.column)).collect())
    })
}

pub(super) fn ahead<'a>(context: &'a CheckContext, tell: Tell<'a>) -> Findings<'a> {
    Box::pin(async move {
        let (past, waits) = columns();
        let mut findings = Vec::new();
        for column in past.iter().filter(|column| context.may_have(column.table)) {
            tell(column.table);
            // A server beside goes on writing while the doctor reads.
            let limit = after(context.clock.now(), TOLERANCE);
            let (rows, sample) = look(context, column, limit.into()).await?;
            if rows > 0 {
                let (table, name) = (column.table, column.name);
                let set = match context.engine_name() {
                    "sqlite" => {
                        let now = "1000000 * strftime('%s', 'now')";
                        let set = format!("UPDATE {table} SET {name} = {now} WHERE {name} > {now} + 300000000");
                        format!("sqlite3 {} \"{set}\"", quoted(context.path.display()))
                    }
                    _ => {
                        let set = format!("UPDATE {table} SET {name} = now() WHERE {name} > now() + interval '5 minutes'");
                        format!("psql \"$FREEHOLD_DATABASE_URL\" -c \"{set}\"")
                    }
                };
                let with = match context.engine_name() {
                    "sqlite" => "",
                    _ => ", and with FREEHOLD_DATABASE_URL set to the database's address",
                };
                findings.push(Finding {
                    what: format!(
                        "{name} lies more than five minutes in the future: a clock was ahead when it was written, or is behind now"
                    ),
                    table: Some(table.into()),
                    rows,
                    of: table,
                    sample,
                    remedy: format!(
                        "look at this machine's clock (timedatectl). If it is right, after a backup and with the server stopped{with}: {set}"
                    ),
                });
            }
        }
        let usual = Config::new(sql::Options::new(String::new()));
        for (column, timer) in waits.iter().zip(TIMERS).filter(|(column, _)| context.may_have(column.table)) {
            tell(column.table);
            let limit = after(context.clock.now(), timer.furthest(&usual) + LONGEST_LEASE);
            let (rows, sample) = look(context, column, limit.into()).await?;
            if rows > 0 {
                findings.push(Finding {
                    what: format!(
                        "{} lies further ahead than a server sets it: a clock was ahead, and nothing is done before then",
                        column.name
                    ),
                    table: Some(column.table.into()),
                    rows,
                    of: column.table,
                    sample,
                    remedy: format!(
                        "look at this machine's clock (timedatectl). If it is right, {START_THE_SERVER}: it ends them within a minute"
                    ),
                });
            }
        }
        Ok(findings)
    })
}

async fn look(context: &CheckContext, column: &Column, limit: sql::Value) -> Result<(i64, Vec<String>)> {
    let listed = vec![limit.clone(), MOST_SAMPLES.into()];
    rows_and_sample(context, (column.count, vec![limit]), (column.list, id), listed).await
}

pub(super) fn statements() -> Vec<Statement> {
    let (past, waits) = columns();
    past.iter().chain(waits).flat_map(|column| [column.count, column.list]).collect()
}
