//! The limits of one organization, as operators read and change them.

use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::ids::SERVER_SCOPE;
pub use crate::known_limits::OrganizationLimits;
use crate::known_limits::{load, load_with_version};
use crate::policy::Action;
use crate::{Cx, Result, sessions};

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
    let version = tx.read_one(update, values).await?;
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
    audit::record(cx, tx, SERVER_SCOPE, &note).await?;
    audit::record(cx, tx, organization, &note).await?;
    let plane = cx.plane.clone();
    tx.on_sure_commit(move || plane.organization_limits.set(organization, version, new));
    Ok((organization, new))
}
