//! How a plane is opened: schema, rules, keys, caches, ledger.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};

use deletion::Clock;
use quick_cache::sync::Cache;
use sql::Database;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::credential_cache::CredentialCache;
use crate::deletion_rules::RULES;
use crate::encryption::Encryption;
use crate::fairness::FairReaders;
use crate::jobs::Jobs;
use crate::known_limits::KnownLimits;
use crate::ledger::state::Ledger;
use crate::memory::Memory;
use crate::passwords::Hasher;
use crate::plane::{Config, MIGRATIONS, Plane, Run};
use crate::signing_keys::SigningKeys;
use crate::storage::Archives;
use crate::usage::Usage;
use crate::{Result, backfill, exports, ledger_replay};

/// Refreshes of sessions that are remembered.
const REFRESHED: usize = 10_000;

impl Plane {
    /// Opens the database, brings its schema up to date, holds it against the rules of deletion, fills in normal forms that older rows lack,
    /// encrypts secrets that are not, loads or makes the signing key, and has the database catch up with its ledger.
    ///
    /// # Errors
    /// The database's; [`crate::Error::Malformed`] naming the secret key that is missing; [`crate::Error::Internal`] naming every table and column that no rule of deletion covers.
    pub async fn open(config: Config, clock: Clock) -> Result<Arc<Plane>> {
        if let Some(missing) = config.database.missing_file()
            && !config.database.may_begin_anew
            && exports::has_any(&config.exports)
        {
            return Err(sql::Error::Migration(format!(
                "{} is missing or empty, though {} has exports of it: put the file back, or begin with an empty database with `freehold serve --new`",
                missing.display(),
                config.exports
            ))
            .into());
        }
        let db = Database::open(&config.database).await?;
        for name in db.migrate(MIGRATIONS).await? {
            tracing::info!(migration = name, "migrated");
        }
        RULES.check(&db.schema(MIGRATIONS).await?)?;
        backfill::run(&db).await?;
        let is_alone = config.database.is_server || db.engine_name() == "sqlite";
        let encryption = Encryption::open(&db, &config.secret_keys, is_alone, clock.now()).await?;
        let keys = SigningKeys::load(&db, &encryption, clock.now()).await?;
        let organization_limits = KnownLimits::load(&db).await?;
        let plane = Arc::new(Plane {
            credential_cache: CredentialCache::new(config.cached_credentials),
            hasher: Hasher::new()?,
            deletions: Arc::new(deletion::Engine::new(&RULES, db.clone(), clock.clone(), config.lease)),
            fair_readers: FairReaders::new(db.fair_share()),
            organization_limits,
            export_bell: Notify::new(),
            webhook_bell: Notify::new(),
            last_sequence: AtomicI64::new(0),
            usage: Usage::default(),
            run: Run {
                id: Uuid::from_bytes(deletion::random()?),
                secret: deletion::random()?,
                under_way: Mutex::default(),
                undone: Mutex::default(),
            },
            credential_lookups: AtomicU64::new(0),
            ledger: Ledger::default(),
            archives: Archives::open(&config.exports)?,
            memory: Memory::default(),
            jobs: Jobs::default(),
            refreshed: Cache::new(REFRESHED),
            db,
            encryption,
            keys,
            clock,
            config,
        });
        if let Some(place) = &plane.config.ledger {
            ledger_replay::open(&plane, place).await?;
        }
        Ok(plane)
    }
}
