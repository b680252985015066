//! The plane itself: the open database, the keys, the caches and the settings that every context shares.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deletion::Clock;
use jiff::Timestamp;
use quick_cache::sync::Cache;
use sql::{Database, Migration, Options};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::Result;
use crate::credential_cache::CredentialCache;
use crate::destinations::Destinations;
use crate::encryption::{Encryption, KeySource, SecretKeys};
use crate::fairness::FairReaders;
use crate::jobs::Jobs;
use crate::key_format::Prefixes;
use crate::known_limits::{KnownLimits, Quotas};
use crate::ledger::state::{Ledger, LedgerPlace};
use crate::memory::Memory;
use crate::passwords::Hasher;
use crate::retention_periods::Periods;
use crate::signing_keys::SigningKeys;
use crate::storage::{Archives, Place};
use crate::usage::Usage;

/// The schema's history, oldest first. A migration that has been released is never edited.
pub const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001_foundation", text: include_str!("../../migrations/0001_foundation.sql") },
    Migration { name: "0002_account_plane", text: include_str!("../../migrations/0002_account_plane.sql") },
    Migration { name: "0003_exports", text: include_str!("../../migrations/0003_exports.sql") },
    Migration { name: "0004_progress", text: include_str!("../../migrations/0004_progress.sql") },
    Migration { name: "0005_holds", text: include_str!("../../migrations/0005_holds.sql") },
    Migration { name: "0006_users", text: include_str!("../../migrations/0006_users.sql") },
    Migration { name: "0007_requirements", text: include_str!("../../migrations/0007_requirements.sql") },
    Migration { name: "0008_grace", text: include_str!("../../migrations/0008_grace.sql") },
    Migration { name: "0009_purges", text: include_str!("../../migrations/0009_purges.sql") },
    Migration { name: "0010_retention", text: include_str!("../../migrations/0010_retention.sql") },
    Migration { name: "0011_endings", text: include_str!("../../migrations/0011_endings.sql") },
    Migration { name: "0012_lean_indexes", text: include_str!("../../migrations/0012_lean_indexes.sql") },
    Migration { name: "0013_inviters", text: include_str!("../../migrations/0013_inviters.sql") },
    Migration { name: "0014_refresh_families", text: include_str!("../../migrations/0014_refresh_families.sql") },
    Migration { name: "0017_normal_forms", text: include_str!("../../migrations/0017_normal_forms.sql") },
    Migration { name: "0018_contract", text: include_str!("../../migrations/0018_contract.sql") },
    Migration { name: "0019_key_rotation", text: include_str!("../../migrations/0019_key_rotation.sql") },
    Migration { name: "0019_makers", text: include_str!("../../migrations/0019_makers.sql") },
    Migration { name: "0019_user_keys", text: include_str!("../../migrations/0019_user_keys.sql") },
    Migration { name: "0020_service_accounts", text: include_str!("../../migrations/0020_service_accounts.sql") },
    Migration { name: "0021_ledger", text: include_str!("../../migrations/0021_ledger.sql") },
    Migration { name: "0022_secret_keys", text: include_str!("../../migrations/0022_secret_keys.sql") },
    Migration { name: "0023_operators", text: include_str!("../../migrations/0023_operators.sql") },
    Migration { name: "0024_storage", text: include_str!("../../migrations/0024_storage.sql") },
    Migration { name: "0025_ledger_lines", text: include_str!("../../migrations/0025_ledger_lines.sql") },
    Migration { name: "0026_organization_limits", text: include_str!("../../migrations/0026_organization_limits.sql") },
    Migration { name: "0027_change_counts", text: include_str!("../../migrations/0027_change_counts.sql") },
    Migration { name: "0028_credential_revisions", text: include_str!("../../migrations/0028_credential_revisions.sql") },
    Migration { name: "0029_completed", text: include_str!("../../migrations/0029_completed.sql") },
    Migration { name: "0030_webhook_retries", text: include_str!("../../migrations/0030_webhook_retries.sql") },
    Migration { name: "0031_effects", text: include_str!("../../migrations/0031_effects.sql") },
    Migration { name: "0032_billing", text: include_str!("../../migrations/0032_billing.sql") },
];

/// Settings of a plane.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the data is.
    pub database: Options,
    /// The keys that secrets in the database are encrypted with. Default: `secret.key` in the folder of the embedded database.
    pub secret_keys: KeySource,
    /// The server's address as its clients see it, without a slash at the end: issuer of tokens, base of links.
    pub public_url: String,
    /// How long an access token is good. Default 15 minutes.
    pub access_token_life: Duration,
    /// How long a session and its refresh token are good. Default 30 days.
    pub session_life: Duration,
    /// How long an OAuth app's access token is good. Default 1 hour.
    pub oauth_access_token_life: Duration,
    /// How long an OAuth app's refresh token is good. Default 30 days.
    pub oauth_refresh_token_life: Duration,
    /// How long an invitation can be accepted. Default 7 days.
    pub invitation_life: Duration,
    /// How long a drain may be silent before another worker takes over. Default 5 s.
    pub lease: Duration,
    /// Which addresses webhooks may lead to. Default: the public internet.
    pub destinations: Destinations,
    /// Credentials held in memory at the most; more are looked up in the database. Default 100,000.
    pub cached_credentials: usize,
    /// What API keys begin with. Default `csb`, `csu` and `cpk`.
    pub key_prefixes: Prefixes,
    /// Where the archives of exports lie, whatever the engine. A folder is created. Default `data/exports`.
    pub exports: Place,
    /// Whether that place is taken over from another database, whose server is gone for good.
    pub takes_exports_over: bool,
    /// How long an export can be downloaded. Default 3 days.
    pub export_life: Duration,
    /// What one organization may have.
    pub quotas: Quotas,
    /// How long data that no one deletes is kept, and what deletions keep.
    pub retention: Periods,
    /// The share of a table, in percent, of which a round of retention erases no more without an operator's word; 100 for any.
    pub retention_brake: u8,
    /// Where the ledger is kept, by a server or whatever else has the database to itself. None, the default, leaves it alone.
    pub ledger: Option<LedgerPlace>,
    /// How long lines of the ledger are kept: as long as the oldest backup that may be restored. Default 400 days.
    pub ledger_life: Duration,
    /// Which backups the server takes by itself. Default none.
    pub backups: Option<BackupSchedule>,
    /// The account at Stripe, if there is one.
    pub stripe: StripeAccount,
    /// How long a deletion waits for webhooks that do not take what they are told, before it is completed without them. Default 1 hour.
    pub completion_wait: Duration,
}

/// The account at Stripe.
#[derive(Clone, Default)]
pub struct StripeAccount {
    /// The secret key, or a restricted one that may read and write subscriptions, checkout sessions and portal sessions.
    pub secret_key: Option<String>,
    /// What signs its events; during a rotation two.
    pub webhook_secrets: Vec<String>,
    /// The prices that organizations can choose at a checkout.
    pub prices: Vec<String>,
    /// Where its API is.
    pub api_url: String,
}

impl std::fmt::Debug for StripeAccount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StripeAccount").field("api_url", &self.api_url).finish_non_exhaustive()
    }
}

/// When backups are taken, where to, and how many are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSchedule {
    /// The folder, which is made, or the place in a bucket.
    pub place: Place,
    /// How long from one to the next.
    pub every: Duration,
    /// How many are kept, 1 or more.
    pub kept: usize,
}

impl Config {
    /// The defaults on a database.
    pub fn new(database: Options) -> Config {
        let file = database.url.strip_prefix("sqlite:").map(std::path::Path::new);
        let secret_keys = match file.and_then(std::path::Path::parent) {
            Some(folder) => KeySource::in_folder(folder),
            None => KeySource::Keys(SecretKeys::default()),
        };
        Config {
            database,
            secret_keys,
            public_url: "http://localhost:3001".into(),
            access_token_life: Duration::from_secs(15 * 60),
            session_life: Duration::from_secs(30 * 86_400),
            oauth_access_token_life: Duration::from_secs(3_600),
            oauth_refresh_token_life: Duration::from_secs(30 * 86_400),
            invitation_life: Duration::from_secs(7 * 86_400),
            lease: Duration::from_secs(5),
            destinations: Destinations::default(),
            cached_credentials: 100_000,
            key_prefixes: Prefixes::default(),
            exports: Place::Folder("data/exports".into()),
            takes_exports_over: false,
            export_life: Duration::from_secs(3 * 86_400),
            quotas: Quotas::default(),
            retention: Periods::default(),
            retention_brake: 100,
            ledger: None,
            ledger_life: Duration::from_hours(400 * 24),
            backups: None,
            stripe: StripeAccount::default(),
            completion_wait: Duration::from_hours(1),
        }
    }
}

/// One running account plane.
pub struct Plane {
    pub(crate) db: Database,
    pub(crate) credential_cache: CredentialCache,
    pub(crate) encryption: Encryption,
    pub(crate) keys: SigningKeys,
    pub(crate) hasher: Hasher,
    /// The engine of deletions.
    pub(crate) deletions: Arc<deletion::Engine>,
    /// The readers of the database, as organizations share them.
    pub(crate) fair_readers: FairReaders,
    /// The organizations for which operators have set other limits.
    pub(crate) organization_limits: KnownLimits,
    /// Rung when an export is wanted.
    pub(crate) export_bell: Notify,
    /// Rung when there is something to deliver to webhooks.
    pub(crate) webhook_bell: Notify,
    /// The last sequence of an event.
    pub(crate) last_sequence: AtomicI64,
    /// When each API key was last used, until that is written down.
    pub(crate) usage: Usage,
    /// What tells this run of the server from those before it.
    pub(crate) run: Run,
    /// Credentials that were looked for in the database since the start.
    pub(crate) credential_lookups: AtomicU64,
    /// When the latest refreshes of sessions were answered; the end of time for those that are under way.
    pub(crate) refreshed: Cache<Uuid, Timestamp>,
    /// What is told of deletions outside of the database.
    pub(crate) ledger: Ledger,
    /// Where the archives of exports are.
    pub(crate) archives: Archives,
    /// What modules keep in memory.
    pub(crate) memory: Memory,
    /// The background jobs.
    pub jobs: Jobs,
    /// What time it is here.
    pub clock: Clock,
    /// Its settings.
    pub config: Config,
}

/// One run of the server.
pub(crate) struct Run {
    /// Its id.
    pub(crate) id: Uuid,
    /// Random bytes that are never written down: what is sealed with them cannot be opened after the run.
    pub(crate) secret: [u8; 32],
    /// Requests with an Idempotency-Key that are being carried out: the ids of their rows, and who carries them out.
    pub(crate) under_way: Mutex<HashMap<Uuid, Uuid>>,
    /// Those that have surely changed nothing, which the database could not be told.
    pub(crate) undone: Mutex<HashSet<Uuid>>,
}

impl Plane {
    /// How much of the database is in use.
    pub fn load(&self) -> sql::Load {
        self.db.load()
    }

    /// Whether the database answers, and writes as far as is known.
    ///
    /// # Errors
    /// The database's.
    pub async fn ping(&self) -> Result<()> {
        Ok(self.db.check().await?)
    }

    /// Waits until another server has taken the database over. This one must end then: it does not learn what that one deletes.
    pub async fn taken_over(&self) -> crate::Error {
        self.db.taken_over().await.into()
    }

    /// Whether the place of exports did what was last asked of it.
    pub fn exports_are_up(&self) -> bool {
        self.archives.is_up()
    }

    /// Ends it: what is under way is waited for, and all connections to the database are closed.
    pub async fn close(&self) {
        self.ledger.close().await;
        self.db.close().await;
    }

    /// The sequence of an event: higher than all before it in the life of this server, and microseconds since 1970, so that those after a restart are
    /// higher, too. Taken while the row is locked that the event is about, so that it says which came first.
    pub(crate) fn next_sequence(&self) -> i64 {
        let now = self.clock.now().as_microsecond();
        let next = |last: i64| Some(now.max(last + 1));
        let last = self.last_sequence.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_else(|last| last);
        now.max(last + 1)
    }

    /// Waits until something is put into the queues of webhooks.
    pub async fn webhook_bell(&self) {
        self.webhook_bell.notified().await;
    }

    /// How many credentials were looked for in the database since the start: the rest was refused by its form or known from memory.
    pub fn credential_lookups(&self) -> u64 {
        self.credential_lookups.load(Ordering::Relaxed)
    }

    /// The live schema: what tests and checks hold themselves against.
    ///
    /// # Errors
    /// The database's.
    pub async fn schema(&self) -> Result<sql::Schema> {
        Ok(self.db.schema(MIGRATIONS).await?)
    }

    /// `"sqlite"` or `"postgresql"`.
    pub fn engine_name(&self) -> &'static str {
        self.db.engine_name()
    }

    /// The public keys that verify this plane's tokens, as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self) -> crate::signing_keys::JsonWebKeySet {
        self.keys.jwks(self.clock.now())
    }
}
