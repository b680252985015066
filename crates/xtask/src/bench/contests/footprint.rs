//! The contest `footprint`: how large the server is on disk and in memory, what a credential in memory costs, and how soon it is there.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use hyper::header::HeaderValue;
use hyper::{Method, header};
use reqwest::Client;
use tempfile::TempDir;

use crate::Result;
use crate::bench::Bench;
use crate::bench::callers::{self, Call};
use crate::bench::load::{Bulk, FIVE, NINE, Store};
use crate::bench::plot::figure;
use crate::bench::report::{Section, Table, Verdict, median, spread};
use crate::bench::server::{Server, words};
use crate::freehold::{Freehold, target};

/// Connections that present the credentials.
const CONNECTIONS: usize = 64;
/// Bytes of a credential's key in memory: its SHA-256.
const KEY: f64 = 32.0;
/// No load here lasts longer.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a drain's end is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// What opens the figures of the server.
const METRICS: &str = "--metrics-token=figures";

/// How much is put into the database.
struct Effort {
    /// API keys that are presented.
    keys: usize,
    /// Customers with five dependants, for their size on disk and as data that the server starts with.
    customers: u64,
    /// Customers of ten rows each that are drained.
    drained: u64,
    /// Starts whose time is taken.
    starts: usize,
}

const WHOLE: Effort = Effort { keys: 100_000, customers: 20_000, drained: 10_000, starts: 7 };
const QUICK: Effort = Effort { keys: 20_000, customers: 5_000, drained: 2_000, starts: 3 };

/// What was seen on one engine.
struct Footprint {
    engine: &'static str,
    /// Milliseconds from the start of the process to its first answer, one for each start.
    starts: Vec<f64>,
    /// Bytes of an empty database, and of each customer with five dependants in it.
    empty: f64,
    customer: f64,
    /// Memory after the first request, with what it shares with other programs, and its proportional share.
    idle: f64,
    proportional: f64,
    /// Memory before a drain and at the most during it.
    before_drain: f64,
    during_drain: f64,
}

/// What the credentials in memory came to.
struct Credentials {
    /// Bytes more than when a tenth of them had been presented.
    grown: f64,
    /// Presented again, so many of all were known without the database.
    known: f64,
    /// That tenth.
    first: f64,
}

impl Credentials {
    /// Bytes a credential, beyond its key.
    fn each(&self) -> f64 {
        self.grown / (self.known - self.first) - KEY
    }
}

pub(crate) async fn footprint(bench: &Bench) -> Result<Vec<Section>> {
    let effort = if bench.quick { QUICK } else { WHOLE };
    let binary = fs::metadata(target().join("release/freehold")).map_err(words)?.len() as f64;
    let sqlite = on_engine(None, &effort).await?;
    let postgres = on_engine(Some(&bench.database("footprint").await?), &effort).await?;
    let credentials = credentials(&bench.database("credentials").await?, effort.keys).await?;
    Ok(vec![section(binary, &[sqlite, postgres], &effort), credentials_section(&credentials, effort.keys)])
}

async fn on_engine(database_url: Option<&str>, effort: &Effort) -> Result<Footprint> {
    let server = Server::start(database_url, &[]).await?;
    let organization = server.new_organization("footprint").await?;
    let doomed = server.new_organization("doomed").await?;
    let store = Store::of(&server, database_url);
    let engine = store.engine();
    let mut folder = server.freehold.stop().await?;
    let empty = bytes(&store, &folder).await?;
    store.fill(&organization, Bulk::new(effort.customers, FIVE)).await?;
    let filled = bytes(&store, &folder).await?;
    store.fill(&doomed, Bulk::new(effort.drained, NINE)).await?;
    let key = present(&fill_keys(&store, &doomed, 1).await?[0])?;

    let mut starts = Vec::new();
    for _ in 0..effort.starts {
        let (server, took) = start(folder, database_url).await?;
        starts.push(took);
        folder = server.stop().await?;
    }
    println!("{engine}: start to first answer {} ms", spread(&starts));

    let (server, _) = start(folder, database_url).await?;
    let process = server.process_id().ok_or("the server has stopped")?;
    callers::call(&server.url, 1, [key.clone()].into(), PATIENCE).await?;
    let (idle, proportional) = (memory(process, "status", "VmRSS:")?, memory(process, "smaps_rollup", "Pss:")?);
    println!("{engine}: idle {:.1} MB", idle / 1e6);
    let (before_drain, during_drain) = drain(&server, &store, &doomed, &key).await?;
    println!("{engine}: {:.1} MB before a drain, {:.1} MB at the most during it", before_drain / 1e6, during_drain / 1e6);
    let customer = (filled - empty) / effort.customers as f64;
    Ok(Footprint { engine, starts, empty, customer, idle, proportional, before_drain, during_drain })
}

/// Starts the server on existing data and waits until it says that it can work. Milliseconds from the process' start to that answer.
async fn start(folder: TempDir, database_url: Option<&str>) -> Result<(Freehold, f64)> {
    let client = Client::new();
    let began = Instant::now();
    let server = Freehold::start_in(folder, "release", database_url, &[METRICS]).await?;
    let answer = client.get(format!("{}/health/ready", server.url)).send().await.map_err(words)?;
    answer.error_for_status().map_err(words)?;
    Ok((server, began.elapsed().as_secs_f64() * 1e3))
}

/// Bytes that the database has on disk.
async fn bytes(store: &Store, folder: &TempDir) -> Result<f64> {
    store.settle().await?;
    match store {
        Store::Postgres(_) => {
            let size = store.numbers("SELECT pg_database_size(current_database())").await?;
            size.first().map(|bytes| *bytes as f64).ok_or_else(|| "a database without a size".into())
        }
        Store::Sqlite(_) => {
            let files = fs::read_dir(folder.path()).map_err(words)?;
            let sizes: Vec<u64> = files.map(|file| Ok(file.map_err(words)?.metadata().map_err(words)?.len())).collect::<Result<_>>()?;
            Ok(sizes.iter().sum::<u64>() as f64)
        }
    }
}

/// Puts so many API keys of an organization's owner into the database and returns their secrets.
async fn fill_keys(store: &Store, organization: &str, count: usize) -> Result<Vec<String>> {
    // A secret is good for one row. The end of the organization's id tells the keys of two apart.
    let salt: String = organization.chars().filter(char::is_ascii_alphanumeric).rev().take(12).collect();
    let bodies = (0..).map(|number: u64| format!("{salt}{number:020}"));
    // A third of all checksums is for keys of organizations.
    let summed = bodies.map(|body| (crc32fast::hash(body.as_bytes()), body)).filter(|(sum, _)| sum % 3 == 0);
    let secrets: Vec<String> = summed.map(|(sum, body)| format!("csb_{body}_{sum:08x}")).take(count).collect();
    let mut statements = vec!["BEGIN".to_owned()];
    for (chunk, secrets) in secrets.chunks(1_000).enumerate() {
        let rows: Vec<String> = secrets
            .iter()
            .enumerate()
            .map(|(place, secret)| {
                let hash: String = digest(&SHA256, secret.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
                let hash = match store {
                    Store::Postgres(_) => format!("decode('{hash}', 'hex')"),
                    Store::Sqlite(_) => format!("x'{hash}'"),
                };
                format!("({}, {hash})", chunk * 1_000 + place + 1)
            })
            .collect();
        let insert = store.spell(
            "INSERT INTO api_keys (organization_id, id, member_id, kind, name, hint, hash, scopes, created_at)
             SELECT {organization}, {id:column1}, members.id, 'organization', 'bench', 'csb_…', column2,
                    '[\"admin:organization\", \"read:user\"]', {time}
             FROM members, ",
            organization,
        );
        let condition = store.spell("WHERE members.organization_id = {organization}", organization);
        statements.push(format!("{insert} (VALUES {}) AS given {condition}", rows.join(", ")));
    }
    statements.push("COMMIT".into());
    store.run(&statements.join(";\n")).await?;
    store.settle().await?;
    Ok(secrets)
}

/// The cheapest request that presents a key.
fn present(secret: &str) -> Result<Call> {
    let mut call = Call::new(Method::GET, "/api/users/me")?;
    call.headers.insert("x-api-key", HeaderValue::try_from(secret).map_err(words)?);
    Ok(call)
}

/// Deletes an organization and waits until it is completed. Bytes of memory before, and at the most until then.
async fn drain(server: &Freehold, store: &Store, organization: &str, key: &Call) -> Result<(f64, f64)> {
    let process = server.process_id().ok_or("the server has stopped")?;
    let before = memory(process, "status", "VmRSS:")?;
    forget_peak(process)?;
    let mut call = Call::new(Method::DELETE, &format!("/api/organizations/{organization}"))?;
    call.headers = key.headers.clone();
    callers::call(&server.url, 1, [call].into(), PATIENCE).await?;
    let began = Instant::now();
    while store.count("deletions", organization, "AND state = 'completed'").await? == 0 {
        if began.elapsed() > PATIENCE {
            return Err(format!("a deletion was not completed within {} s", PATIENCE.as_secs()));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok((before, memory(process, "status", "VmHWM:")?))
}

/// Presents so many keys to a fresh server, each once, and sees what that cost. On PostgreSQL, since SQLite keeps the pages that it reads in
/// the memory of the same process.
async fn credentials(database_url: &str, count: usize) -> Result<Credentials> {
    let server = Server::start(Some(database_url), &[]).await?;
    let organization = server.new_organization("credentials").await?;
    let store = Store::of(&server, Some(database_url));
    let folder = server.freehold.stop().await?;
    let keys = fill_keys(&store, &organization, count).await?;
    let (server, _) = start(folder, Some(database_url)).await?;
    let process = server.process_id().ok_or("the server has stopped")?;
    let calls = keys.iter().map(|key| present(key)).collect::<Result<Arc<[Call]>>>()?;
    // As many requests with one key first, and a tenth of the keys: what connections, statements and so many requests take once is not counted.
    let first: Arc<[Call]> = calls.iter().take(calls.len() / 10).cloned().collect();
    let warming: Arc<[Call]> = first.iter().take(1).cycle().take(calls.len()).cloned().collect();
    callers::call(&server.url, CONNECTIONS, warming, PATIENCE).await?;
    callers::call(&server.url, CONNECTIONS, first.clone(), PATIENCE).await?;
    let before = memory(process, "status", "VmRSS:")?;
    callers::call(&server.url, CONNECTIONS, calls.clone(), PATIENCE).await?;
    let grown = memory(process, "status", "VmRSS:")? - before;
    let looked_up = lookups(&server).await?;
    let again = callers::call(&server.url, CONNECTIONS, calls, PATIENCE).await?;
    if again.count != keys.len() {
        return Err(format!("{} of {} keys were presented in time", again.count, keys.len()));
    }
    let known = again.count as f64 - (lookups(&server).await? - looked_up);
    let credentials = Credentials { grown, known, first: first.len() as f64 };
    println!("{:.0} bytes a credential, {:.0} of {count} known again", credentials.each(), credentials.known);
    Ok(credentials)
}

/// How many credentials the server has looked for in its database.
async fn lookups(server: &Freehold) -> Result<f64> {
    let request = Client::new().get(format!("{}/metrics", server.url)).header(header::AUTHORIZATION.as_str(), "Bearer figures");
    let figures = request.send().await.map_err(words)?.text().await.map_err(words)?;
    let line = figures.lines().find_map(|line| line.strip_prefix("freehold_credential_lookups_total "));
    line.and_then(|figure| figure.trim().parse().ok()).ok_or_else(|| "the server does not count its look-ups".into())
}

/// Has the kernel note the most memory that a process has had (`VmHWM`) anew from here on.
pub(crate) fn forget_peak(process: u32) -> Result {
    fs::write(Path::new("/proc").join(process.to_string()).join("clear_refs"), "5").map_err(words)
}

/// Bytes of memory as the kernel tells them of a process.
pub(crate) fn memory(process: u32, file: &str, name: &str) -> Result<f64> {
    let told = fs::read_to_string(Path::new("/proc").join(process.to_string()).join(file)).map_err(words)?;
    let figure = told.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    figure.map(|kilobytes| kilobytes * 1024.0).ok_or_else(|| format!("the kernel does not tell {name} of a process"))
}

fn section(binary: f64, seen: &[Footprint], effort: &Effort) -> Section {
    let row = |name: &str, told: &dyn Fn(&Footprint) -> String| [name.to_owned()].into_iter().chain(seen.iter().map(told)).collect();
    let megabytes = |bytes: f64| format!("{:.1} MB", bytes / 1e6);
    let most = |of: fn(&Footprint) -> f64| seen.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
    let each = |told: &dyn Fn(&Footprint) -> String| {
        seen.iter().map(|one| format!("{} on {}", told(one), one.engine)).collect::<Vec<_>>().join(", ")
    };
    Section {
        title: "Memory, disk and start".into(),
        about: format!(
            "The release binary of {}. It starts {} times on a database with {} customers of six rows, answers a request, and erases an \
             organization of {} rows. Memory is what the kernel calls resident; MB are millions of bytes.",
            megabytes(binary),
            effort.starts,
            figure(effort.customers as f64),
            figure(effort.drained as f64 * 10.0),
        ),
        tables: vec![Table {
            head: ["what"].into_iter().chain(seen.iter().map(|one| one.engine)).map(str::to_owned).collect(),
            rows: vec![
                row("start to first answer, ms, min/median/max", &|one| spread(&one.starts)),
                row("memory after the first request", &|one| megabytes(one.idle)),
                row("the same, shared pages divided among their users", &|one| megabytes(one.proportional)),
                row("memory before a drain", &|one| megabytes(one.before_drain)),
                row("memory during the drain, at the most", &|one| megabytes(one.during_drain)),
                row("an empty database on disk", &|one| megabytes(one.empty)),
                row("bytes a customer with five dependants on disk", &|one| figure(one.customer.round())),
            ],
        }],
        plots: Vec::new(),
        verdicts: vec![
            Verdict {
                target: "idle in 40 MB of memory".into(),
                measured: each(&|one| megabytes(one.idle)),
                is_reached: most(|one| one.idle) <= 40e6,
            },
            Verdict {
                target: "ready within 300 ms on an existing database".into(),
                measured: each(&|one| format!("{} ms", spread(&one.starts))),
                is_reached: most(|one| median(&one.starts)) <= 300.0,
            },
        ],
        notes: vec![
            "PostgreSQL's own processes have their memory besides, and an empty database of PostgreSQL holds its catalogue.".into(),
        ],
    }
}

fn credentials_section(seen: &Credentials, presented: usize) -> Section {
    let row = |name: &str, seen: f64| vec![name.to_owned(), figure(seen.round())];
    Section {
        title: "Credentials in memory".into(),
        about: format!(
            "{} API keys, each presented once by {CONNECTIONS} connections, after as many requests with one of them. Presented once \
             more they are known from memory or looked up in the database, which is PostgreSQL: its pages are not in the server's memory.",
            figure(presented as f64)
        ),
        tables: vec![Table {
            head: ["what", "figure"].map(str::to_owned).into(),
            rows: vec![
                row("bytes a live credential, beyond its key", seen.each()),
                row("known from memory the second time", seen.known),
            ],
        }],
        plots: Vec::new(),
        verdicts: vec![Verdict {
            target: "at most 300 bytes a credential in memory, beyond its key".into(),
            measured: format!("{:.0}", seen.each()),
            is_reached: seen.each() <= 300.0,
        }],
        notes: vec![
            "The bytes are the growth of resident memory from the first tenth of the keys on, divided by the other credentials that memory \
             knows afterwards: what the first look-ups take once is no credential's. They include what is noted of each key's last use until \
             that is written down."
                .into(),
            "All keys belong to one member of one organization.".into(),
        ],
    }
}
