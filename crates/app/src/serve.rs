//! `freehold serve`: opens the plane, listens, drains, tells webhooks, and stops without dropping what is under way.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use clap::Args;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use plane::api_keys::Prefixes;
use plane::backups::BackupSchedule;
use plane::destinations::{Destinations, Network, Ports, parse_network, parse_ports};
use plane::drain;
use plane::jobs::GaveUp;
use plane::quotas::Quotas;
use plane::storage;
use plane::{Clock, Config, Plane, StripeAccount, backups, exports, maintenance, retention};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service;
use web::{CorsOrigin, Courier, RateLimits, Room, Settings, TrustedProxies};

use crate::connections::{Connections, Place};
use crate::timeouts::{TimedStream, Timeouts};
use crate::{DatabaseArgs, ExportsArgs, LogFormat, Outcome, RetentionArgs, SecretKeyArgs, demo, log, say, settings};

/// Bytes of a request's head at the most.
const HEAD_BYTES: usize = 32 * 1024;
/// How long a connection may be idle between two requests: longer than the 60 s for which proxies and load balancers keep theirs.
const MOST_IDLE: u16 = 75;
/// How long a stop takes at the most, whatever hangs: requests under way, then background jobs, then the database. What is left of the ten
/// seconds is for the log.
const FAREWELL: Duration = Duration::from_secs(5);
const JOBS_FAREWELL: Duration = Duration::from_millis(1_500);
const DATABASE_FAREWELL: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    secret_key: SecretKeyArgs,
    /// Address and port to listen on.
    #[arg(long, env = "FREEHOLD_LISTEN", default_value = "127.0.0.1:3001")]
    listen: SocketAddr,
    /// The server's address as clients see it; http://localhost and the port if missing. With https the cookie is marked Secure.
    #[arg(long, env = "FREEHOLD_PUBLIC_URL", value_parser = parse_public_url)]
    public_url: Option<String>,
    /// Fill an empty database with an organization to try things on, and print a request for each documented deletion. On this machine only.
    #[arg(long)]
    demo: bool,
    /// Requests that a caller may make in a minute; 0 is no limit.
    #[arg(long, env = "FREEHOLD_RATE_LIMIT_PER_MINUTE", default_value_t = RateLimits::default().per_minute)]
    rate_limit_per_minute: u32,
    /// Requests that a caller may make in a day; 0 is no limit.
    #[arg(long, env = "FREEHOLD_RATE_LIMIT_PER_DAY", default_value_t = RateLimits::default().per_day)]
    rate_limit_per_day: u32,
    /// Requests that all callers of an organization together may make in a minute, and the most that one of its keys can be given; 0 is no limit
    /// [default: 20 times --rate-limit-per-minute].
    #[arg(long, env = "FREEHOLD_ORGANIZATION_REQUESTS_PER_MINUTE")]
    organization_requests_per_minute: Option<u32>,
    /// API keys that an organization can have; 0 is no limit.
    #[arg(long, env = "FREEHOLD_ORGANIZATION_API_KEYS", default_value_t = Quotas::default().api_keys)]
    organization_api_keys: u32,
    /// Webhooks that an organization can have; 0 is no limit.
    #[arg(long, env = "FREEHOLD_ORGANIZATION_WEBHOOKS", default_value_t = Quotas::default().webhooks)]
    organization_webhooks: u32,
    /// OAuth apps that an organization can have; 0 is no limit.
    #[arg(long, env = "FREEHOLD_ORGANIZATION_OAUTH_APPS", default_value_t = Quotas::default().oauth_apps)]
    organization_oauth_apps: u32,
    /// Exports of an organization that are kept at a time, those of deletions aside; 0 is no limit.
    #[arg(long, env = "FREEHOLD_ORGANIZATION_EXPORTS", default_value_t = Quotas::default().exports)]
    organization_exports: u32,
    /// Pending invitations that an organization can have; 0 is no limit.
    #[arg(long, env = "FREEHOLD_ORGANIZATION_INVITATIONS", default_value_t = Quotas::default().invitations)]
    organization_invitations: u32,
    /// Requests that a caller may have under way at a time; 0 is no limit.
    #[arg(long, env = "FREEHOLD_REQUESTS_AT_ONCE", default_value_t = Room::default().requests)]
    requests_at_once: u32,
    /// Bodies of requests that are held in memory, in MiB (32 to 4096); one caller can have a quarter of it. Past it requests with more than
    /// 8 KiB are answered 503.
    #[arg(long, env = "FREEHOLD_BODY_MEMORY", default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u16).range(32..=4096))]
    body_memory: u16,
    /// Connections that are open at a time (10 to 1000000): the newest beyond them is answered 503 and closed. The limit of open files is raised
    /// for them if it can be.
    #[arg(long, env = "FREEHOLD_MAX_CONNECTIONS", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    max_connections: u32,
    /// Attempts to get a credential in a minute: sign-ins for an account, sign-ups and OAuth tokens from an address. Refreshing has twice as
    /// many. 0 is no limit.
    #[arg(long, env = "FREEHOLD_ATTEMPT_LIMIT_PER_MINUTE", default_value_t = RateLimits::default().attempts_per_minute)]
    attempt_limit_per_minute: u32,
    /// Addresses and networks of the proxies before this server, with commas between them. A request that comes from one is counted for the
    /// right-most address of X-Forwarded-For that is none of them; no other X-Forwarded-For is believed.
    #[arg(long, env = "FREEHOLD_TRUSTED_PROXIES", default_value = "", hide_default_value = true)]
    trusted_proxies: TrustedProxies,
    /// Other sites whose scripts may use this server with a token or key of their own, such as https://app.example.com; several between commas.
    /// Scripts of any site may read with a publishable key.
    #[arg(long, env = "FREEHOLD_CORS_ORIGINS", value_delimiter = ',')]
    cors_origins: Vec<CorsOrigin>,
    /// What API keys begin with: those of organizations, of users, and publishable ones. Keys with other beginnings stop working.
    #[arg(long, env = "FREEHOLD_KEY_PREFIXES", default_value = "csb,csu,cpk")]
    key_prefixes: Prefixes,
    /// Connections to the database (1 to 1000).
    #[arg(long, env = "FREEHOLD_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// Requests that SQLite commits together at the most; 1 is one transaction a request.
    #[arg(long, env = "FREEHOLD_COMMIT_GROUP", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1000))]
    commit_group: u16,
    #[command(flatten)]
    exports: ExportsArgs,
    /// Take the exports folder or bucket of another database over, whose server is gone for good: what this database does not know there is removed.
    #[arg(long)]
    take_exports_over: bool,
    /// Hours for which an export can be downloaded (1 to 720).
    #[arg(long, env = "FREEHOLD_EXPORT_HOURS", default_value_t = 72, value_parser = clap::value_parser!(u16).range(1..=720))]
    export_hours: u16,
    #[command(flatten)]
    retention: RetentionArgs,
    /// The share of a table, in percent, of which retention erases no more at once without an operator's word (1 to 100). More than that is rather a
    /// wrong clock: the word is to start once with 100.
    #[arg(long, env = "FREEHOLD_RETENTION_BRAKE", value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    retention_brake: u8,
    /// Seconds for which a deletion waits for webhooks that do not take what they are told (0 to 259200). Then it is completed, its record says what
    /// was not delivered, and that is tried on for three days.
    #[arg(long, env = "FREEHOLD_COMPLETION_WAIT", value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(0..=259_200))]
    completion_wait: u32,
    /// The secret key of an account at Stripe, or a restricted one that may read and write subscriptions, checkout sessions and portal sessions:
    /// subscriptions end with what they are for. Better in the environment: others see the command line.
    #[arg(long, env = "FREEHOLD_STRIPE_SECRET_KEY", hide_env_values = true, value_name = "KEY")]
    stripe_secret_key: Option<String>,
    /// What signs Stripe's events to /stripe/events (whsec_…); during a rotation two, with a comma between them.
    #[arg(long, env = "FREEHOLD_STRIPE_WEBHOOK_SECRET", hide_env_values = true, value_name = "SECRET", value_delimiter = ',')]
    stripe_webhook_secret: Vec<String>,
    /// The prices at Stripe (price_…) that organizations can choose at a checkout, with commas between them. Without any there is no checkout.
    #[arg(long, env = "FREEHOLD_STRIPE_PRICES", value_name = "PRICES", value_delimiter = ',')]
    stripe_prices: Vec<String>,
    /// Where Stripe's API is: another address for a counterpart in tests. https, or http on this machine.
    #[arg(long, env = "FREEHOLD_STRIPE_API_URL", value_name = "URL", default_value = "https://api.stripe.com", value_parser = parse_stripe_url)]
    stripe_api_url: String,
    /// Days for which lines of the ledger are kept (30 to 36500): as long as the oldest backup that may be restored.
    #[arg(long, env = "FREEHOLD_LEDGER_DAYS", value_name = "DAYS", default_value_t = 400, value_parser = clap::value_parser!(u16).range(30..=36_500))]
    ledger_days: u16,
    /// A folder for backups that the server takes by itself, the first at its start, or a bucket like s3://bucket/prefix. A folder is made. Best on
    /// another disk than the database, and of this server alone.
    #[arg(long, env = "FREEHOLD_BACKUPS", value_name = "PLACE")]
    backups: Option<storage::Place>,
    /// Hours from one of these backups to the next (1 to 720).
    #[arg(long, env = "FREEHOLD_BACKUP_HOURS", value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=720))]
    backup_hours: u16,
    /// How many of these backups are kept (1 to 10000); the oldest go.
    #[arg(long, env = "FREEHOLD_BACKUPS_KEPT", value_name = "NUMBER", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    backups_kept: u16,
    /// Milliseconds that a drain may be silent before another worker takes its deletion over (100 to 600000).
    #[arg(long, env = "FREEHOLD_DRAIN_LEASE_MS", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(100..=600_000))]
    drain_lease_ms: u32,
    /// A network besides the public internet that webhooks may lead to, over http too, such as 10.1.0.0/16; several between commas.
    #[arg(long, env = "FREEHOLD_WEBHOOK_ALLOW", value_delimiter = ',', value_parser = parse_network)]
    webhook_allow: Vec<Network>,
    /// Ports that webhooks may lead to, and ranges of them, with commas between them.
    #[arg(long, env = "FREEHOLD_WEBHOOK_PORTS", value_delimiter = ',', value_parser = parse_ports, default_value = "80,443,1024-65535")]
    webhook_ports: Vec<Ports>,
    /// What opens /metrics as a bearer token; without it only operators may look.
    #[arg(long, env = "FREEHOLD_METRICS_TOKEN", hide_env_values = true)]
    metrics_token: Option<String>,
    /// Begin with an empty database where one is missing that was there before.
    #[arg(long)]
    new: bool,
    /// Seconds that a connection may be idle between two requests (1 to 3600). Longer than a proxy before this server keeps its own.
    #[arg(long, env = "FREEHOLD_KEEP_ALIVE", value_name = "SECONDS", default_value_t = MOST_IDLE, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    keep_alive: u16,
    /// A file for the log, to which lines are added [default: standard error]. SIGHUP opens it anew, as after it was moved.
    #[arg(long, env = "FREEHOLD_LOG_FILE", value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// What is logged: error, warn, info, debug or trace, or the like of `info,web=debug`.
    #[arg(long, env = "RUST_LOG", value_name = "LEVEL", default_value = "info", value_parser = parse_log_level)]
    log_level: String,
    /// How to write the log. Lines that cannot be written are lost and counted.
    #[arg(long, env = "FREEHOLD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

pub(crate) async fn run(args: ServeArgs) -> Outcome {
    let _log = log::start(args.log_format, &args.log_level, args.log_file.as_deref())?;
    args.database.config.iter().for_each(|file| settings::warn_of_readers(file));
    if args.demo && !args.listen.ip().is_loopback() {
        return Err("the password of the demo's people is printed, so it is for this machine alone: leave --listen at a loopback address, or leave --demo out".into());
    }
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}. Stop what listens there, or choose another with --listen", args.listen))?;
    let address = listener.local_addr()?;
    let public_url = args.public_url.clone().unwrap_or_else(|| format!("http://localhost:{}", address.port()));
    let mut config = Config::new(args.database.options());
    config.database.connections = usize::from(args.connections);
    config.database.group = usize::from(args.commit_group);
    config.database.may_begin_anew = args.new;
    config.database.is_server = true;
    config.secret_keys = args.secret_key.source(&args.database)?;
    config.lease = Duration::from_millis(u64::from(args.drain_lease_ms));
    config.exports = args.exports.place(&args.database);
    config.takes_exports_over = args.take_exports_over;
    config.export_life = Duration::from_secs(u64::from(args.export_hours) * 3_600);
    config.retention = args.retention.periods();
    config.retention_brake = args.retention_brake;
    config.backups = args.backups.map(|place| BackupSchedule {
        place,
        every: Duration::from_hours(args.backup_hours.into()),
        kept: args.backups_kept.into(),
    });
    config.stripe = StripeAccount {
        secret_key: args.stripe_secret_key.filter(|key| !key.is_empty()),
        webhook_secrets: args.stripe_webhook_secret.into_iter().filter(|secret| !secret.is_empty()).collect(),
        prices: args.stripe_prices,
        api_url: args.stripe_api_url,
    };
    config.completion_wait = Duration::from_secs(args.completion_wait.into());
    config.ledger = Some(args.database.ledger());
    config.ledger_life = Duration::from_hours(u64::from(args.ledger_days) * 24);
    config.quotas = Quotas {
        api_keys: args.organization_api_keys,
        webhooks: args.organization_webhooks,
        oauth_apps: args.organization_oauth_apps,
        exports: args.organization_exports,
        invitations: args.organization_invitations,
        requests_per_minute: args.organization_requests_per_minute.unwrap_or(args.rate_limit_per_minute.saturating_mul(20)),
    };
    config.destinations = Destinations::new(args.webhook_allow.clone()).on_ports(args.webhook_ports.clone());
    config.key_prefixes = args.key_prefixes;
    config.public_url = public_url.trim_end_matches('/').to_owned();
    if args.demo {
        // Long enough for a person to come back to the printed lines after lunch.
        config.access_token_life = Duration::from_secs(86_400);
    }
    let clock = Clock::default();
    if clock.now().as_second() < 0 {
        return Err(format!("the clock of this machine says {}, which is before 1970: set it first", clock.now()).into());
    }
    let plane = Plane::open(config, clock).await?;
    exports::claim(&plane).await?;
    let lines = match args.demo {
        true => demo::fill(&plane).await?,
        false => demo::refuse(&plane).await.map(|()| Vec::new())?,
    };

    let (stop, stopped) = watch::channel(false);
    let courier = Courier::new(&plane)?;
    let mut jobs = BackgroundJobs { plane: plane.clone(), stopped, watched: JoinSet::new() };
    jobs.start("drain", drain::run);
    jobs.start("courier", move |_, stopped| courier.clone().run(stopped));
    jobs.start("exports", exports::run);
    jobs.start("retention", retention::run);
    jobs.start("upkeep", maintenance::run);
    if plane.config.backups.is_some() {
        jobs.start("backups", backups::run);
    }
    let limits = RateLimits {
        per_minute: args.rate_limit_per_minute,
        per_day: args.rate_limit_per_day,
        attempts_per_minute: args.attempt_limit_per_minute,
        organization_per_minute: plane.config.quotas.requests_per_minute,
    };
    let stopping = watch::Sender::new(false);
    let room = Room { requests: args.requests_at_once, bytes: usize::from(args.body_memory) * 1024 * 1024 };
    let settings = Settings {
        limits,
        room,
        trusted_proxies: args.trusted_proxies,
        cors_origins: args.cors_origins,
        metrics_token: args.metrics_token.filter(|token| !token.is_empty()),
        lost_log_lines: Some(log::lost_lines),
        stopping: stopping.clone(),
    };
    let router = web::router(plane.clone(), settings)?;
    // Before anybody is told that the server runs: a stop that comes at once is one.
    let signal = signal()?;
    tracing::info!(%address, engine = plane.engine_name(), "listening");
    let as_told = args.public_url.map_or_else(String::new, |url| format!(", as {url}"));
    say(&format!("Freehold listens on http://localhost:{} with {}{as_told}.", address.port(), plane.engine_name()));
    lines.iter().for_each(|line| say(line));

    let end = async {
        let outcome: Outcome = tokio::select! {
            () = signal => Ok(()),
            gave_up = jobs.gave_up() => Err(gave_up.into()),
            error = plane.taken_over() => Err(error.into()),
        };
        // What streams has no end of its own, and would hold the rest up.
        stopping.send_replace(true);
        outcome
    };
    let idle = Duration::from_secs(args.keep_alive.into());
    let outcome = accept(listener, router, Connections::new(args.max_connections), idle, end).await;
    let _ = stop.send(true);
    if tokio::time::timeout(JOBS_FAREWELL, jobs.end()).await.is_err() {
        tracing::warn!(
            "some background jobs did not stop in time; what they were at goes on at the next start, and the latest uses of API keys may be lost"
        );
    }
    if tokio::time::timeout(DATABASE_FAREWELL, plane.close()).await.is_err() {
        tracing::warn!("the database did not close in time; the next start goes on with its log");
    }
    tracing::info!("stopped");
    outcome
}

/// What goes on beside the requests.
struct BackgroundJobs {
    plane: Arc<Plane>,
    stopped: watch::Receiver<bool>,
    watched: JoinSet<Result<(), GaveUp>>,
}

impl BackgroundJobs {
    fn start<F>(&mut self, name: &'static str, job: impl Fn(Arc<Plane>, watch::Receiver<bool>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (plane, stopped) = (self.plane.clone(), self.stopped.clone());
        self.watched.spawn(async move { plane.jobs.watch(name, stopped, |stopped| job(plane.clone(), stopped)).await });
    }

    /// Waits until one of them is given up.
    async fn gave_up(&mut self) -> GaveUp {
        loop {
            match self.watched.join_next().await {
                Some(Ok(Err(gave_up))) => return gave_up,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    async fn end(&mut self) {
        while self.watched.join_next().await.is_some() {}
    }
}

fn parse_log_level(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Reads the address of Stripe's API. Its key goes there with every request.
fn parse_stripe_url(text: &str) -> Result<String, String> {
    let url = parse_public_url(text)?;
    let host = url.parse::<hyper::Uri>().ok().and_then(|url| url.host().map(str::to_owned)).unwrap_or_default();
    let is_here =
        host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.starts_with("https://") || is_here {
        true => Ok(url),
        false => Err("it is http, and not on this machine: others would read the key".into()),
    }
}

/// Reads the address under which clients know the server, without a slash at its end.
fn parse_public_url(text: &str) -> Result<String, String> {
    let wanted = |what: &str| format!("{what}: give it like https://accounts.example.com");
    let url: hyper::Uri = text.parse().map_err(|error| wanted(&format!("it is no URL ({error})")))?;
    let authority = url.authority().ok_or_else(|| wanted("it names no host"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(wanted("it is neither http nor https"));
    }
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(wanted("it names no host, or a user"));
    }
    if !url.path().trim_matches('/').is_empty() || url.query().is_some() || text.contains('#') {
        return Err(wanted("it has a path, a query or a fragment, and the server is at the root of its host"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Completes at the first signal to stop. SIGHUP opens the log anew.
fn signal() -> Outcome<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hang_up = signal(SignalKind::hangup())?;
    // With a handler a file that may not grow (`ulimit -f`) is an error of the write, and not the end of the process.
    drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hang_up.recv() => log::reopen(),
            }
        }
    })
}

async fn accept<T>(listener: TcpListener, router: Router, connections: Connections, idle: Duration, stop: impl Future<Output = T>) -> T {
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    let outcome = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => match connections.admit() {
                    Some(place) => serve_connection(stream, address, router.clone(), idle, &graceful, place),
                    None => connections.refuse(stream),
                },
                Err(error) => {
                    // Out of file descriptors, most likely: others must end first.
                    tracing::error!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            outcome = &mut stop => break outcome,
        }
    };
    drop(listener);
    tracing::info!("stopping: no new connections, requests under way go on");
    if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    outcome
}

fn serve_connection(stream: TcpStream, address: SocketAddr, router: Router, idle: Duration, graceful: &GracefulShutdown, place: Place) {
    let _ = stream.set_nodelay(true);
    let timeouts = Timeouts::new();
    let noted_by = timeouts.clone();
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        noted_by.note_request();
        request.extensions_mut().insert(ConnectInfo(address));
        let answer = router.clone().call(request.map(Body::new));
        let noted_by = noted_by.clone();
        async move { answer.await.inspect(|_| noted_by.note_answer()) }
    });
    let stream = TimedStream::new(stream, timeouts.clone());
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            },
            () = timeouts.end(idle) => {}
        }
    });
}
