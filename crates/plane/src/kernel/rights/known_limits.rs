//! How many requests an organization may make, where operators have said otherwise than for all. Read at the start and kept in memory: every request
//! is held against it.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use sql::{Database, Tx, params, sql};
use uuid::Uuid;

use crate::{Error, Result};

/// What operators have said of one organization. None: as for all. Zero: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct OrganizationLimits {
    /// Requests in a day, from midnight UTC, of each API key, app and bound session of the organization. 0 is no limit; null is as for
    /// all (`--rate-limit-per-day`, 10,000 unless it is set otherwise).
    #[schemars(range(max = u32::MAX), example = 50_000)]
    pub requests_per_day: Option<u32>,
    /// Requests in a minute of all callers of the organization together, and the most that one of its keys can have. 0 is no limit; null is
    /// as for all (`--organization-requests-per-minute`, 6,000 unless it is set otherwise).
    #[schemars(range(max = u32::MAX), example = 600)]
    pub requests_per_minute: Option<u32>,
}

sql::columns! { OrganizationLimits { requests_per_day, requests_per_minute } }

/// The organizations with limits of their own, and the version of each when they were read.
#[derive(Debug, Default)]
pub(crate) struct KnownLimits(RwLock<HashMap<Uuid, (i64, OrganizationLimits)>>);

impl KnownLimits {
    /// Reads all of them.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn load(db: &Database) -> Result<KnownLimits> {
        let known = db.read(async move |tx| {
            let statement = sql!(
                "SELECT id, version, {columns} FROM organizations
                 WHERE requests_per_day IS NOT NULL OR requests_per_minute IS NOT NULL",
                OrganizationLimits
            );
            Ok::<_, Error>(tx.read_all::<(Uuid, (i64, OrganizationLimits))>(statement, &[]).await?.into_iter().collect())
        });
        Ok(KnownLimits(RwLock::new(known.await?)))
    }

    pub(crate) fn of(&self, organization: Uuid) -> OrganizationLimits {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&organization).map(|known| known.1).unwrap_or_default()
    }

    /// Of two transactions the later may be told of first.
    pub(crate) fn set(&self, organization: Uuid, version: i64, limits: OrganizationLimits) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let last = known.entry(organization).or_insert((version, limits));
        if version >= last.0 {
            *last = (version, limits);
        }
    }
}

pub(crate) async fn load(tx: &mut Tx, organization: Uuid) -> Result<OrganizationLimits> {
    Ok(load_with_version(tx, organization).await?.1)
}

pub(crate) async fn load_with_version(tx: &mut Tx, organization: Uuid) -> Result<(i64, OrganizationLimits)> {
    let statement = sql!("SELECT version, {columns} FROM organizations WHERE id = $1", OrganizationLimits);
    tx.read_opt(statement, params![organization]).await?.ok_or(Error::NotFound("Organization"))
}

/// What an organization may have. Zero is no limit.
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// API keys. Default 1,000.
    pub api_keys: u32,
    /// Webhooks: each event costs a row for every one that wants it. Default 20.
    pub webhooks: u32,
    /// OAuth apps. Default 100.
    pub oauth_apps: u32,
    /// Exports that wait, are made, or can be downloaded. Default 10.
    pub exports: u32,
    /// Invitations that can be accepted. Default 1,000.
    pub invitations: u32,
    /// Requests of all callers together in each minute of the clock. Default none.
    pub requests_per_minute: u32,
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas { api_keys: 1_000, webhooks: 20, oauth_apps: 100, exports: 10, invitations: 1_000, requests_per_minute: 0 }
    }
}
