//! Copies a whole database into an empty one of the same schema, of either engine: the one way in which data is backed up, restored and moved.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use jiff::Timestamp;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value as Json;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{Database, Error, FromRow, FromValue, Migration, Result, Row, Schema, Statement, Table, Tx, Value};

/// Rows that are read at once.
const PAGE: usize = 1_000;
/// Rows that one statement writes. What is left at the end goes one by one.
const TOGETHER: usize = 50;
/// Pages that may wait to be written.
const AHEAD: usize = 4;

/// What a table holds: how many rows, and the sum of their digests, which is the same in whatever order and on whatever engine they are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Content {
    /// How many rows.
    pub rows: u64,
    sum: u128,
}

impl Content {
    fn add(&mut self, row: &[Value]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(digest_of(row));
    }
}

/// What each table holds.
pub type Contents = BTreeMap<String, Content>;

/// Rows of a table, in the engines' common form.
type Page = (usize, Vec<Vec<Value>>);

/// How to read a table, and to write it.
struct Plan {
    name: String,
    table: Table,
    first: Statement,
    next: Statement,
    many: Statement,
    one: Statement,
}

impl Database {
    /// Copies the tables that these migrations have made from another database, as it is at one moment, and reads it back. Tells which table it is at, and how many rows of it
    /// are there.
    ///
    /// # Errors
    /// [`Error::Migration`] when the schemas differ or this one is not empty, [`Error::Statement`] when what was written is not what was read;
    /// either engine's. What was written until then stays.
    pub async fn copy_from(&self, source: &Database, migrations: &[Migration], tell: impl Fn(&str, u64)) -> Result<Contents> {
        let schema = source.schema(migrations).await?;
        if schema != self.schema(migrations).await? {
            return Err(Error::Migration("the two databases differ in their schema: bring both up to date with this program first".into()));
        }
        let plans: Arc<[Plan]> = plans(&schema)?.into();
        for plan in &*plans {
            let first = plan.first;
            if !self.read(async move |tx| tx.query(first, &[]).await).await?.is_empty() {
                return Err(Error::Migration(format!(
                    "there is something in the table {} already: copy into an empty database",
                    plan.name
                )));
            }
        }
        let (sender, mut pages) = mpsc::channel(AHEAD);
        let reading = read_all(source, plans.clone(), sender);
        let writing = async {
            let mut contents = Contents::new();
            while let Some((place, rows)) = pages.recv().await {
                let plan = &plans[place];
                let content: &mut Content = contents.entry(plan.name.clone()).or_default();
                rows.iter().for_each(|row| content.add(row));
                tell(&plan.name, content.rows);
                let plans = plans.clone();
                self.write(async move |tx| write_page(tx, &plans[place], &rows).await).await?;
            }
            Ok::<_, Error>(contents)
        };
        let (read, contents) = tokio::join!(reading, writing);
        // The error of the writer comes first: it is the cause, and the error of the reader its result.
        let contents = contents?;
        read?;
        match self.contents(migrations).await? == contents {
            true => Ok(contents),
            false => Err(Error::Statement("what was written is not what was read: do not use the copy".into())),
        }
    }

    /// What each table of these migrations that has rows holds, at one moment.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn contents(&self, migrations: &[Migration]) -> Result<Contents> {
        let plans: Arc<[Plan]> = plans(&self.schema(migrations).await?)?.into();
        let (sender, mut pages) = mpsc::channel(AHEAD);
        let reading = read_all(self, plans.clone(), sender);
        let adding = async {
            let mut contents = Contents::new();
            while let Some((place, rows)) = pages.recv().await {
                let content: &mut Content = contents.entry(plans[place].name.clone()).or_default();
                rows.iter().for_each(|row| content.add(row));
            }
            contents
        };
        let (read, contents) = tokio::join!(reading, adding);
        read.map(|()| contents)
    }
}

/// Copies the file of an embedded database into another, as it is at one moment, also while a server uses it.
///
/// # Errors
/// [`Error::Unavailable`] when one of them cannot be read or written.
pub fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Closed to other users from its first byte on.
    let made = File::options().write(true).create_new(true).mode(0o600).open(to);
    made.map_err(|error| Error::Unavailable(format!("cannot make {}: {error}", to.display())))?;
    let mut target = Connection::open(to)?;
    // All at once: a copy in steps begins anew whenever the server writes.
    Backup::new(&source, &mut target)?.run_to_completion(i32::MAX, Duration::ZERO, None)?;
    // One file, and no log beside it.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    let sound: String = target.query_row("PRAGMA quick_check", [], |row| row.get(0))?;
    match sound.as_str() {
        "ok" => Ok(()),
        words => Err(Error::Unavailable(format!("the copy of {} is damaged: {words}", from.display()))),
    }
}

/// Parents before what hangs on them.
fn plans(schema: &Schema) -> Result<Vec<Plan>> {
    let mut plans: Vec<Plan> = Vec::new();
    while plans.len() < schema.tables.len() {
        let is_there = |plans: &[Plan], name: &str| plans.iter().any(|plan| plan.name == name);
        let ready = schema
            .tables
            .iter()
            .find(|(name, table)| !is_there(&plans, name) && table.foreign_keys.iter().all(|key| is_there(&plans, &key.parent)));
        let (name, table) = ready.ok_or_else(|| Error::Migration("tables hang on each other in a circle".into()))?;
        plans.push(Plan::new(name, table));
    }
    Ok(plans)
}

impl Plan {
    fn new(name: &str, table: &Table) -> Plan {
        let columns = table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        let key = table.primary_key.join(", ");
        let after = (1..=table.primary_key.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
        let insert = |rows: usize| {
            let width = table.columns.len();
            let row = |number: usize| {
                let places = (1..=width).map(|place| format!("${}", number * width + place)).collect::<Vec<_>>();
                format!("({})", places.join(", "))
            };
            let rows = (0..rows).map(row).collect::<Vec<_>>().join(", ");
            Statement::generated(format!("INSERT INTO {name} ({columns}) VALUES {rows}"))
        };
        // A copy of a whole database makes each of these once: there are as many as tables.
        Plan {
            name: name.to_owned(),
            table: table.clone(),
            first: Statement::generated(format!("SELECT {columns} FROM {name} ORDER BY {key} LIMIT {PAGE}")),
            next: Statement::generated(format!("SELECT {columns} FROM {name} WHERE ({key}) > ({after}) ORDER BY {key} LIMIT {PAGE}")),
            many: insert(TOGETHER),
            one: insert(1),
        }
    }

    /// A row in the form in which either engine takes it.
    fn convert(&self, mut row: Row) -> Result<Vec<Value>> {
        fn of<T: FromValue>(row: &mut Row) -> Result<Value>
        where
            Option<T>: FromValue,
            Value: From<Option<T>>,
        {
            Option::<T>::from_row(row).map(Value::from)
        }
        let convert = |column: &crate::Column| match column.kind.as_str() {
            "uuid" => of::<Uuid>(&mut row),
            "timestamptz" => of::<Timestamp>(&mut row),
            "boolean" => of::<bool>(&mut row),
            "bigint" => of::<i64>(&mut row),
            "text" => of::<String>(&mut row),
            "bytea" => of::<Vec<u8>>(&mut row),
            "jsonb" => of::<Json>(&mut row),
            other => {
                Err(Error::Migration(format!("the column {} of {} is of the type {other}, which is not known", column.name, self.name)))
            }
        };
        self.table.columns.iter().map(convert).collect()
    }

    /// The primary key of a row.
    fn key(&self, row: &[Value]) -> Vec<Value> {
        let place = |name: &String| self.table.columns.iter().position(|column| column.name == *name);
        self.table.primary_key.iter().filter_map(|name| row.get(place(name)?).cloned()).collect()
    }
}

async fn read_all(source: &Database, plans: Arc<[Plan]>, sender: mpsc::Sender<Page>) -> Result<()> {
    source
        .read(async move |tx| {
            tx.take_time().await?;
            for (place, plan) in plans.iter().enumerate() {
                let mut rows = tx.query(plan.first, &[]).await?;
                while !rows.is_empty() {
                    let is_last = rows.len() < PAGE;
                    let page: Vec<Vec<Value>> = rows.into_iter().map(|row| plan.convert(row)).collect::<Result<_>>()?;
                    let after = page.last().map(|row| plan.key(row)).unwrap_or_default();
                    hand_on(tx.is_alone(), &sender, (place, page)).await?;
                    rows = if is_last { Vec::new() } else { tx.query(plan.next, &after).await? };
                }
            }
            Ok(())
        })
        .await
}

/// Waits until there is room for a page: on the embedded engine with the thread, since its transactions wait for nothing else.
async fn hand_on(is_embedded: bool, sender: &mpsc::Sender<Page>, page: Page) -> Result<()> {
    let sent = match is_embedded {
        true => sender.blocking_send(page),
        false => sender.send(page).await,
    };
    sent.map_err(|_| Error::Unavailable("the copy was broken off".into()))
}

async fn write_page(tx: &mut Tx, plan: &Plan, rows: &[Vec<Value>]) -> Result<()> {
    tx.take_time().await?;
    let (many, rest) = rows.as_chunks::<TOGETHER>();
    for rows in many {
        tx.execute(plan.many, &rows.concat()).await?;
    }
    for row in rest {
        tx.execute(plan.one, row).await?;
    }
    Ok(())
}

/// The same for the same values, whichever engine they come from.
fn digest_of(row: &[Value]) -> u128 {
    let mut context = digest::Context::new(&digest::SHA256);
    for value in row {
        let (kind, bytes) = match value {
            Value::Null => (0, Vec::new()),
            Value::Bool(flag) => (1, vec![u8::from(*flag)]),
            Value::Int(number) => (2, number.to_be_bytes().to_vec()),
            Value::Text(text) => (3, text.as_bytes().to_vec()),
            Value::Bytes(bytes) => (4, bytes.clone()),
            Value::Uuid(id) => (5, id.as_bytes().to_vec()),
            Value::Time(time) => (6, time.as_microsecond().to_be_bytes().to_vec()),
            Value::Json(json) => (7, sorted(json).to_string().into_bytes()),
            Value::Uuids(_) | Value::Texts(_) => (8, Vec::new()),
        };
        context.update(&[kind]);
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(&bytes);
    }
    let digest = context.finish();
    digest.as_ref().first_chunk().copied().map_or(0, u128::from_be_bytes)
}

/// PostgreSQL orders the members of an object in its own way.
fn sorted(json: &Json) -> Json {
    match json {
        Json::Object(members) => {
            let sorted: BTreeMap<&String, Json> = members.iter().map(|(name, value)| (name, sorted(value))).collect();
            sorted.into_iter().map(|(name, value)| (name.clone(), value)).collect()
        }
        Json::Array(entries) => entries.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
