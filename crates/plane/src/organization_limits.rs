//! How many requests an organization may make, where operators have said otherwise than for all. Read at the start and kept in memory: every request
//! is held against it.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use sql::{Database, Row, Tx, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, NO_ORGANIZATION, Note};
use crate::credentials::Principal;
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::policy::Action;
use crate::{Cx, Error, Plane, Result, sessions};

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

/// What shall be changed about them. What is missing stays.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize, schemars::JsonSchema)]
pub struct LimitsChange {
    /// Requests in a day, from midnight UTC, of each API key, app and bound session of the organization. 0 is no limit; null is as for
    /// all (`--rate-limit-per-day`, 10,000 unless it is set otherwise).
    #[serde(default, deserialize_with = "crate::wire::clearable")]
    #[schemars(range(max = u32::MAX), example = 50_000)]
    pub requests_per_day: Option<Option<u32>>,
    /// Requests in a minute of all callers of the organization together, and the most that one of its keys can have. 0 is no limit; null is
    /// as for all (`--organization-requests-per-minute`, 6,000 unless it is set otherwise).
    #[serde(default, deserialize_with = "crate::wire::clearable")]
    #[schemars(range(max = u32::MAX), example = 600)]
    pub requests_per_minute: Option<Option<u32>>,
}

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
                "SELECT id, version, requests_per_day, requests_per_minute FROM organizations
                 WHERE requests_per_day IS NOT NULL OR requests_per_minute IS NOT NULL"
            );
            let rows = tx.query(statement, &[]).await?.into_iter();
            rows.map(|mut row| Ok::<_, Error>((row.next()?, (row.next()?, read(&mut row)?)))).collect::<Result<_>>()
        });
        Ok(KnownLimits(RwLock::new(known.await?)))
    }

    fn of(&self, organization: Uuid) -> OrganizationLimits {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&organization).map(|known| known.1).unwrap_or_default()
    }

    /// Of two transactions the later may be told of first.
    fn set(&self, organization: Uuid, version: i64, limits: OrganizationLimits) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let last = known.entry(organization).or_insert((version, limits));
        if version >= last.0 {
            *last = (version, limits);
        }
    }
}

impl Plane {
    /// The limits of the organization that a credential is good in alone; those for all where it is bound to none.
    pub fn limits_of(&self, principal: Option<&Principal>) -> OrganizationLimits {
        principal
            .and_then(|principal| principal.organization)
            .map(|organization| self.organization_limits.of(organization))
            .unwrap_or_default()
    }

    /// Requests a minute of all callers of an organization together, or of any that operators have said nothing of; 0 is no limit.
    pub(crate) fn requests_per_minute(&self, organization: Option<Uuid>) -> u32 {
        let own = organization.and_then(|organization| self.organization_limits.of(organization).requests_per_minute);
        own.unwrap_or(self.config.quotas.requests_per_minute)
    }
}

/// Reads what operators have said of an organization. For operators.
///
/// # Errors
/// Those of [`enter`].
pub async fn get(cx: &Cx, organization: &OrganizationRef) -> Result<(Uuid, OrganizationLimits)> {
    let tenant = enter(cx, organization, Action::ChangeLimits).await?;
    let organization = tenant.organization();
    cx.read(async move |_, tx| Ok((organization, load(tx, organization).await?))).await
}

/// Gives an organization limits of its own, from the next request on. For operators who have just signed in.
///
/// # Errors
/// Those of [`enter`]; [`Error::Invalid`] for a reason that is not 1 to 500 characters; [`Error::Forbidden`] for a session older than ten minutes.
pub async fn change(cx: &Cx, organization: &OrganizationRef, change: LimitsChange, reason: String) -> Result<(Uuid, OrganizationLimits)> {
    let note = Note { action: "organization.set_limits", subject: "organization", reason: Some(reason.clone()), ..Note::default() };
    audit::attempt(cx, organization, note.clone(), async {
        let tenant = enter(cx, organization, Action::ChangeLimits).await?;
        let mut check = Check::new();
        check.text("reason", &reason, 1..=500);
        check.finish()?;
        let changed = tenant.write(cx, async move |cx, tx, tenant| change_in(cx, tx, tenant, change, &note).await).await;
        if changed.as_ref().is_err_and(|error| !error.is_rolled_back()) {
            // Whether it has come true is not known.
            let organization = tenant.organization();
            let now = cx.read(async move |_, tx| load_with_version(tx, organization).await);
            match now.await {
                Ok((version, limits)) => cx.plane.organization_limits.set(tenant.organization(), version, limits),
                Err(error) => tracing::warn!(%error, "it is not known whether the limits of an organization were changed: set them again"),
            }
        }
        changed
    })
    .await
}

async fn change_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, change: LimitsChange, note: &Note) -> Result<(Uuid, OrganizationLimits)> {
    sessions::is_fresh(cx, tx, cx.principal()?.credential, "limits can be changed").await?;
    tenant.lock(tx).await?;
    let organization = tenant.organization();
    let old = load(tx, organization).await?;
    let new = OrganizationLimits {
        requests_per_day: change.requests_per_day.unwrap_or(old.requests_per_day),
        requests_per_minute: change.requests_per_minute.unwrap_or(old.requests_per_minute),
    };
    if new == old {
        return Ok((organization, old));
    }
    let update = sql!("UPDATE organizations SET requests_per_day = $2, requests_per_minute = $3 WHERE id = $1 RETURNING version");
    let values = params![organization, new.requests_per_day.map(i64::from), new.requests_per_minute.map(i64::from)];
    let version = tx.query_one(update, values).await?.next()?;
    let words = |limit: Option<u32>| limit.map_or("as for all".to_owned(), |limit| limit.to_string());
    let detail = format!(
        "a day {} instead of {}, a minute {} instead of {}",
        words(new.requests_per_day),
        words(old.requests_per_day),
        words(new.requests_per_minute),
        words(old.requests_per_minute)
    );
    let note = Note { subject_id: Some(organization), detail: Some(detail), ..note.clone() };
    // What operators do to an organization is their server's to know as well.
    audit::record(cx, tx, NO_ORGANIZATION, &note).await?;
    audit::record(cx, tx, organization, &note).await?;
    let plane = cx.plane.clone();
    tx.on_sure_commit(move || plane.organization_limits.set(organization, version, new));
    Ok((organization, new))
}

async fn load(tx: &mut Tx, organization: Uuid) -> Result<OrganizationLimits> {
    Ok(load_with_version(tx, organization).await?.1)
}

async fn load_with_version(tx: &mut Tx, organization: Uuid) -> Result<(i64, OrganizationLimits)> {
    let statement = sql!("SELECT version, requests_per_day, requests_per_minute FROM organizations WHERE id = $1");
    let mut row = tx.query_opt(statement, params![organization]).await?.ok_or(Error::NotFound("Organization"))?;
    Ok((row.next()?, read(&mut row)?))
}

fn read(row: &mut Row) -> Result<OrganizationLimits> {
    let number = |number: Option<i64>| number.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    Ok(OrganizationLimits { requests_per_day: number(row.next()?), requests_per_minute: number(row.next()?) })
}
