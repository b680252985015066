//! The contest `exports`: everything a large organization owns taken out as an archive, against the same rows read and written down by a
//! plain program. How fast, and how much memory the server needs for it.

use std::fs;
use std::io::{BufWriter, Cursor, Read, Write};
use std::time::{Duration, Instant};

use hyper::Method;
use rusqlite::Connection;
use serde_json::Value as Json;
use tokio::task::block_in_place;
use tokio_postgres::NoTls;

use crate::Result;
use crate::bench::Bench;
use crate::bench::footprint::{forget_peak, memory};
use crate::bench::load::{Bulk, DEPENDANTS, NINE, Store};
use crate::bench::plot::figure;
use crate::bench::report::{Section, Table, Verdict, median, spread};
use crate::bench::server::{Server, words};

/// Memory that an export may need beyond what the server has when it is idle.
const MOST: f64 = 64e6;
/// No export here lasts longer.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often its end is looked for.
const GLANCE: Duration = Duration::from_millis(50);

/// What was seen on one engine.
struct Outcome {
    engine: &'static str,
    /// Rows in the archive, what they are as text, and what the archive is on disk.
    rows: f64,
    plain_bytes: f64,
    bytes: f64,
    /// Seconds of each export, from the request to the end in its record, and of each reading by a plain program.
    seconds: Vec<f64>,
    floor: Vec<f64>,
    /// Memory before the first export, and at the most during any.
    idle: f64,
    peak: f64,
}

/// Both engines, one after the other.
pub(crate) async fn exports(bench: &Bench) -> Result<Vec<Section>> {
    let (customers, rounds) = if bench.quick { (5_000, 1) } else { (100_000, 3) };
    let postgres = on_engine(Some(&bench.database("exports").await?), customers, rounds).await?;
    let sqlite = on_engine(None, customers, rounds).await?;
    Ok(vec![section(&[postgres, sqlite])])
}

async fn on_engine(database_url: Option<&str>, customers: u64, rounds: usize) -> Result<Outcome> {
    let server = Server::start(database_url, &[]).await?;
    let store = Store::of(&server, database_url);
    let home = server.new_organization("exported").await?;
    store.fill(&home, Bulk::new(customers, NINE)).await?;
    let process = server.freehold.process_id().ok_or("the server has stopped")?;
    let mut outcome = Outcome {
        engine: store.engine(),
        rows: 0.0,
        plain_bytes: 0.0,
        bytes: 0.0,
        seconds: Vec::new(),
        floor: Vec::new(),
        idle: memory(process, "status", "VmRSS:")?,
        peak: 0.0,
    };
    for _ in 0..rounds {
        forget_peak(process)?;
        let record = export(&server, &home).await?;
        outcome.peak = outcome.peak.max(memory(process, "status", "VmHWM:")?);
        outcome.seconds.push(seconds(&record)?);
        outcome.floor.push(floor(&store, &home).await?);
        let archive = format!("/api/exports/{}/download", record["id"].as_str().unwrap_or_default());
        let archive = server.send(Method::GET, &archive, None).await?.bytes().await.map_err(words)?;
        outcome.bytes = archive.len() as f64;
        (outcome.rows, outcome.plain_bytes) = contents_of(&archive)?;
        if outcome.rows < (customers * 10) as f64 {
            return Err(format!("{} rows were put in and only {} came out", customers * 10, outcome.rows));
        }
    }
    let rate = outcome.plain_bytes / 1e6 / median(&outcome.seconds);
    println!("{}: {rate:.0} MB of rows a second, {:.1} MB over idle", outcome.engine, (outcome.peak - outcome.idle) / 1e6);
    Ok(outcome)
}

/// Orders an export and waits for its end.
async fn export(server: &Server, organization: &str) -> Result<Json> {
    let ordered = server.send(Method::POST, &format!("/api/organizations/{organization}/exports"), None).await?;
    let ordered: Json = ordered.json().await.map_err(words)?;
    let path = format!("/api/exports/{}", ordered["id"].as_str().ok_or("an export without id")?);
    let began = Instant::now();
    loop {
        let record: Json = server.send(Method::GET, &path, None).await?.json().await.map_err(words)?;
        if record["finishedAt"].is_string() {
            return Ok(record);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("an export did not end within {} s: {record}", PATIENCE.as_secs()));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// From the request for an export to its end.
fn seconds(record: &Json) -> Result<f64> {
    let time = |name: &str| record[name].as_str().unwrap_or_default().parse::<jiff::Timestamp>().map_err(words);
    Ok(time("finishedAt")?.duration_since(time("createdAt")?).as_secs_f64())
}

/// Rows in an archive, and the bytes of its files before they were packed, as its manifest tells.
fn contents_of(archive: &[u8]) -> Result<(f64, f64)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).map_err(words)?;
    let mut manifest = String::new();
    archive.by_name("manifest.json").map_err(words)?.read_to_string(&mut manifest).map_err(words)?;
    let manifest: Json = serde_json::from_str(&manifest).map_err(words)?;
    let files = manifest["files"].as_array().map_or(&[][..], Vec::as_slice);
    let sum = |name: &str| files.iter().filter_map(|file| file[name].as_f64()).sum();
    Ok((sum("rows"), sum("bytes")))
}

/// Seconds in which a plain program reads the same tables and writes the text that the engine makes of each row into a file: nothing is
/// packed, no checksum is made, and there is no wait for the disk.
async fn floor(store: &Store, organization: &str) -> Result<f64> {
    let folder = tempfile::tempdir().map_err(words)?;
    let mut file = BufWriter::new(fs::File::create(folder.path().join("rows")).map_err(words)?);
    let began = Instant::now();
    for (table, ..) in DEPENDANTS.iter().chain(&[("customers", "", "")]) {
        match store {
            Store::Postgres(url) => {
                let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(words)?;
                let connection = tokio::spawn(connection);
                let query = format!("SELECT found::text FROM {table} AS found WHERE organization_id = {{organization}}");
                for row in client.query(&store.spell(&query, organization), &[]).await.map_err(words)? {
                    writeln!(file, "{}", row.get::<_, &str>(0)).map_err(words)?;
                }
                drop(client);
                connection.await.map_err(words)?.map_err(words)?;
            }
            Store::Sqlite(path) => block_in_place(|| -> Result {
                let connection = Connection::open(path).map_err(words)?;
                let mut prepared = connection.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).map_err(words)?;
                let names = prepared.query_map([], |row| row.get::<_, String>(0)).map_err(words)?;
                let columns: Vec<String> = names.map(|name| Ok(format!("quote({})", name.map_err(words)?))).collect::<Result<_>>()?;
                let query = format!("SELECT {} FROM {table} WHERE organization_id = {{organization}}", columns.join(" || ',' || "));
                let mut prepared = connection.prepare(&store.spell(&query, organization)).map_err(words)?;
                let mut rows = prepared.query([]).map_err(words)?;
                while let Some(row) = rows.next().map_err(words)? {
                    writeln!(file, "{}", row.get::<_, String>(0).map_err(words)?).map_err(words)?;
                }
                Ok(())
            })?,
        }
    }
    file.flush().map_err(words)?;
    Ok(began.elapsed().as_secs_f64())
}

fn section(seen: &[Outcome]) -> Section {
    let row = |name: &str, told: &dyn Fn(&Outcome) -> String| [name.to_owned()].into_iter().chain(seen.iter().map(told)).collect();
    let megabytes = |bytes: f64| format!("{:.1} MB", bytes / 1e6);
    let rates = |one: &Outcome| spread(&one.seconds.iter().map(|seconds| one.plain_bytes / 1e6 / seconds).collect::<Vec<_>>());
    let over = |one: &Outcome| one.peak - one.idle;
    let ratios = |one: &Outcome| spread(&one.seconds.iter().zip(&one.floor).map(|(ours, floor)| floor / ours).collect::<Vec<_>>());
    let each = |told: &dyn Fn(&Outcome) -> String| {
        seen.iter().map(|one| format!("{} on {}", told(one), one.engine)).collect::<Vec<_>>().join(", ")
    };
    Section {
        title: "Exports".into(),
        about: format!(
            "Everything an organization of {} rows owns is taken out as an archive: a zip of one NDJSON file a table, with checksums. Beside it \
             a plain program reads the same rows and writes them into a file, unpacked. Memory is what the kernel calls resident; MB are \
             millions of bytes, those of rows before they are packed.",
            figure(seen.iter().map(|one| one.rows).fold(0.0, f64::max)),
        ),
        tables: vec![Table {
            head: ["what"].into_iter().chain(seen.iter().map(|one| one.engine)).map(str::to_owned).collect(),
            rows: vec![
                row("MB of rows a second, min/median/max", &rates),
                row("rows a second", &|one| figure((one.rows / median(&one.seconds)).round())),
                row("speed against the plain program, min/median/max", &ratios),
                row("bytes of rows", &|one| megabytes(one.plain_bytes)),
                row("the archive on disk", &|one| megabytes(one.bytes)),
                row("memory before", &|one| megabytes(one.idle)),
                row("memory during an export, at the most", &|one| megabytes(one.peak)),
            ],
        }],
        plots: Vec::new(),
        verdicts: vec![Verdict {
            target: "an export needs 64 MB of memory more than an idle server".into(),
            measured: each(&|one| megabytes(over(one))),
            is_reached: seen.iter().all(|one| over(one) <= MOST),
        }],
        notes: Vec::new(),
    }
}
