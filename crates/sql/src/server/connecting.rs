//! Connections to PostgreSQL: to the first host that answers in time and is what the address asks for, beginning with the one that did last.
//!
//! A machine that is frozen still takes connections, since its kernel does, and never says a word on them. So everything here has an end.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config};

use crate::address::Address;
use crate::{Error, Result};

/// How long the attempt at one machine may take, unless the address says otherwise (`connect_timeout`).
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection on which nothing has come for so long is asked whether it is still there: the pool's spare ones may rest for hours.
const MOST_SILENCE: Duration = Duration::from_secs(60);
/// How long what was sent may go unconfirmed by the other machine until the connection counts as lost: of one without power nothing else tells.
const MOST_UNCONFIRMED: Duration = Duration::from_secs(5);

/// What a session is set to, unless the address's `options` say otherwise. They are set when it has begun: a pooler between may ignore what a
/// session begins with. Every statement has its index: a plan that reads a whole table comes from statistics of a time when the table was
/// empty, and stays when it no longer is. Where one does read a whole table, PostgreSQL takes it for so dear that it would compile it first, which
/// takes a hundred times as long as the statement.
fn settings(patience: Duration) -> String {
    let limit = patience.as_millis();
    format!(
        "SELECT pg_catalog.set_config(own.name, own.value, false)
         FROM (VALUES ('statement_timeout', '{limit}'), ('idle_in_transaction_session_timeout', '{limit}'), ('enable_seqscan', 'off'),
                      ('jit', 'off'))
              AS own (name, value)
         JOIN pg_catalog.pg_settings AS known ON known.name = own.name WHERE known.source <> 'client'"
    )
}

/// Where the database is.
pub(crate) struct Connector {
    address: Address,
    hosts: Vec<Place>,
    /// The host that is tried first.
    first: AtomicUsize,
    settings: String,
    schema: String,
    /// Connections made before are used no more.
    abandoned: Mutex<Option<Instant>>,
    /// Rung then, for the one that keeps the server's lock.
    pub(crate) bell: Notify,
}

/// One host of an address.
struct Place {
    /// What it is called, for its certificate; a socket's folder.
    host: Option<Host>,
    address: Option<std::net::IpAddr>,
    port: u16,
}

impl Connector {
    /// For sessions whose statements may take so long each.
    pub(crate) fn new(mut address: Address, patience: Duration) -> Result<Connector> {
        let config = &mut address.config;
        config.application_name("freehold");
        config.keepalives_idle(config.get_keepalives_idle().min(MOST_SILENCE));
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(MOST_UNCONFIRMED);
        }
        let hosts = places(config)?;
        Ok(Connector {
            address,
            hosts,
            first: AtomicUsize::new(0),
            settings: settings(patience),
            schema: String::new(),
            abandoned: Mutex::new(None),
            bell: Notify::new(),
        })
    }

    /// The sessions that are made from now on see this schema, and no other.
    pub(crate) fn use_schema(&mut self, schema: &str) {
        self.schema = format!("\"{}\"", schema.replace('"', "\"\""));
        self.settings += &format!("; SELECT pg_catalog.set_config('search_path', '{}', false)", self.schema.replace('\'', "''"));
    }

    /// Its name, in quotes.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// Words of the address for what went wrong with the first connection.
    pub(crate) fn advise(&self, error: Error) -> Error {
        self.address.advise(error)
    }

    /// A new session, and the task that moves its bytes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with what each host says.
    pub(crate) async fn connect(&self) -> Result<(Client, JoinHandle<()>)> {
        let (count, first) = (self.hosts.len(), self.first.load(Ordering::Relaxed));
        let mut failures = Vec::new();
        for place in (0..count).map(|step| (first + step) % count) {
            match self.connect_to(&self.hosts[place]).await {
                Ok(session) => {
                    self.first.store(place, Ordering::Relaxed);
                    return Ok(session);
                }
                Err(Error::Unavailable(words) | Error::Statement(words)) if count > 1 => {
                    failures.push(format!("host {} of {count}: {words}", place + 1));
                }
                Err(Error::Unavailable(words) | Error::Statement(words)) => failures.push(words),
                Err(other) => return Err(other),
            }
        }
        Err(Error::Unavailable(failures.join("; ")))
    }

    async fn connect_to(&self, place: &Place) -> Result<(Client, JoinHandle<()>)> {
        let patience = self.address.config.get_connect_timeout().copied().unwrap_or(PATIENCE);
        let mut outcome = Err(Error::Unavailable("its name leads to no address".into()));
        for config in within(patience, "finding the address of its host", self.ways(place)).await? {
            outcome = within(patience, "connecting", self.begin(&config)).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// One for each address that a host's name leads to.
    async fn ways(&self, place: &Place) -> Result<Vec<Config>> {
        let mut way = without_hosts(&self.address.config);
        way.port(place.port);
        if let Some(address) = place.address {
            way.hostaddr(address);
        }
        let name = match &place.host {
            Some(Host::Tcp(name)) => name,
            #[cfg(unix)]
            Some(Host::Unix(path)) => {
                way.host_path(path);
                return Ok(vec![way]);
            }
            None => return Ok(vec![way]),
        };
        way.host(name);
        if place.address.is_some() {
            return Ok(vec![way]);
        }
        let found = tokio::net::lookup_host((name.as_str(), place.port)).await;
        let found = found.map_err(|error| Error::Unavailable(format!("the address of its host cannot be found: {error}")))?;
        Ok(found.map(|address| way.clone().hostaddr(address.ip()).to_owned()).collect())
    }

    async fn begin(&self, config: &Config) -> Result<(Client, JoinHandle<()>)> {
        // In a box: it has the room of a TLS handshake, 20 KB, and all that may connect would carry it.
        let (client, connection) = Box::pin(config.connect(self.address.tls.clone())).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL has ended");
            }
        });
        let wrapped = Ending(Some(task));
        client.batch_execute(&self.settings).await?;
        Ok((client, wrapped.keep()))
    }

    /// One of the connections has not answered in time, or is lost without a word from the other side. Those that were made before are most likely
    /// no better, and each would cost a caller as long: they are used no more, and another host is asked first.
    pub(crate) fn abandon(&self, made: Instant) {
        let mut abandoned = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the first of those that were made together says something new.
        if abandoned.is_none_or(|since| made >= since) {
            *abandoned = Some(Instant::now());
            self.bell.notify_one();
            self.first.store((self.first.load(Ordering::Relaxed) + 1) % self.hosts.len(), Ordering::Relaxed);
        }
    }

    /// Whether connections made at this time are still used.
    pub(crate) fn is_abandoned(&self, made: Instant) -> bool {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|since| made < since)
    }
}

/// Ends a task unless it is kept.
struct Ending(Option<JoinHandle<()>>);

impl Ending {
    fn keep(mut self) -> JoinHandle<()> {
        match self.0.take() {
            Some(task) => task,
            None => unreachable!("it is taken once"),
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// The connector as the pool wants it.
pub(crate) struct PooledConnector(pub(crate) std::sync::Arc<Connector>);

impl Manager for PooledConnector {
    type Type = ClientWrapper;
    type Error = Error;

    async fn create(&self) -> Result<ClientWrapper> {
        let (client, task) = self.0.connect().await?;
        Ok(ClientWrapper::new(client, task))
    }

    async fn recycle(&self, client: &mut ClientWrapper, metrics: &Metrics) -> RecycleResult<Error> {
        match client.is_closed() || self.0.is_abandoned(metrics.created) {
            true => Err(RecycleError::message("the connection is lost")),
            false => Ok(()),
        }
    }
}

/// # Errors
/// [`Error::Unavailable`] when the work takes longer; its own.
pub(crate) async fn within<T>(patience: Duration, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(patience, work)
        .await
        .unwrap_or_else(|_| Err(Error::Unavailable(format!("PostgreSQL has not answered for {} seconds ({what})", patience.as_secs_f32()))))
}

/// The hosts of an address, one by one.
fn places(config: &Config) -> Result<Vec<Place>> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let refused = |words: &str| Err(Error::Migration(format!("the address of the database cannot be used: {words}")));
    if count == 0 {
        return refused("it names no host");
    }
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return refused("it has another number of addresses (hostaddr) than of hosts");
    }
    if ports.len() > 1 && ports.len() != count {
        return refused("it has another number of ports than of hosts");
    }
    let place = |number| Place {
        host: hosts.get(number).cloned(),
        address: addresses.get(number).copied(),
        port: ports.get(number).or(ports.first()).copied().unwrap_or(5_432),
    };
    Ok((0..count).map(place).collect())
}

/// Everything else that an address says.
fn without_hosts(config: &Config) -> Config {
    let mut other = Config::new();
    other.ssl_mode(config.get_ssl_mode()).ssl_negotiation(config.get_ssl_negotiation()).channel_binding(config.get_channel_binding());
    other.target_session_attrs(config.get_target_session_attrs());
    other.keepalives(config.get_keepalives()).keepalives_idle(config.get_keepalives_idle());
    config.get_user().map(|user| other.user(user));
    config.get_password().map(|password| other.password(password));
    config.get_dbname().map(|name| other.dbname(name));
    config.get_options().map(|options| other.options(options));
    config.get_application_name().map(|name| other.application_name(name));
    config.get_connect_timeout().map(|limit| other.connect_timeout(*limit));
    config.get_tcp_user_timeout().map(|limit| other.tcp_user_timeout(*limit));
    config.get_keepalives_interval().map(|interval| other.keepalives_interval(interval));
    config.get_keepalives_retries().map(|retries| other.keepalives_retries(retries));
    other
}
