//! A new secret for a key that stays what it is. The one before it is good for a chosen time, so that it need not be changed everywhere at
//! once.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::{ApiKey, load, with_use};
use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::authority::revoke as end;
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::policy::Action;
use crate::principal::{CredentialKind, fingerprint};
use crate::{Cx, Result, ledger};
use deletion::after;

/// How long the secret before the new one can be good, in seconds: up to 7 days.
pub const OVERLAP: RangeInclusive<u32> = 0..=7 * 86_400;
/// How long it is when the request does not say.
const USUAL_OVERLAP: u32 = 86_400;

/// Gives a key a new secret, which is returned and not kept. The one it had is good for so many seconds more, and the one before that no longer.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Forbidden`] for everybody but the member whose key it is, the key itself and what made it: the
/// secret acts as that member. A service account's is given by those who may make one with its role; [`Error::Conflict`] when the organization is archived.
pub async fn rotate(cx: &Cx, organization: &OrganizationRef, id: Uuid, overlap: Option<u32>) -> Result<(ApiKey, String)> {
    let tenant = enter(cx, organization, Action::RotateOwnApiKey).await?;
    let overlap = checked_overlap(overlap)?;
    ledger::takes_lines(cx)?;
    tenant.write_ending(cx, [id], async move |cx, tx, tenant| rotate_in(cx, tx, tenant, id, overlap).await).await
}

/// The seconds of an overlap that was asked for, or the usual ones.
pub(super) fn checked_overlap(asked: Option<u32>) -> Result<u32> {
    Check::new().number("overlap_seconds", asked, OVERLAP).finish()?;
    Ok(asked.unwrap_or(USUAL_OVERLAP))
}

/// Until when the secret before the new one is good; none when it is not.
pub(super) fn overlap_end(cx: &Cx, overlap: u32) -> Option<Timestamp> {
    (overlap > 0).then(|| after(cx.now, Duration::from_secs(overlap.into())))
}

async fn rotate_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, id: Uuid, overlap: u32) -> Result<(ApiKey, String)> {
    tenant.is_writable(tx).await?;
    // Takes the row's lock: of two who rotate it at once, the second gets the newest secret and the first the one before it.
    let lock = sql!("UPDATE api_keys SET name = name WHERE organization_id = $1 AND id = $2");
    tx.execute(lock, params![tenant.organization(), id]).await?;
    let mut key = load(tx, tenant, id).await?;
    cx.expects_tag(&key.etag())?;
    may_rotate(cx, tenant, &key)?;
    let secret = key.seal(cx, key.kind)?;
    key.previous_until = overlap_end(cx, overlap);
    let update = sql!(
        "UPDATE api_keys SET previous_hash = CASE WHEN $5 THEN hash END, previous_until = $6, hash = $3, hint = $4, rotations = rotations + 1
         WHERE organization_id = $1 AND id = $2"
    );
    let values = params![tenant.organization(), id, &fingerprint(&secret)[..], &key.hint, key.previous_until.is_some(), key.previous_until];
    tx.execute(update, values).await?;
    let note = Note { action: "api_key.rotate", subject: "api_key", subject_id: Some(id), ..Note::default() };
    audit::record(cx, tx, tenant.organization(), &note).await?;
    ledger::changed(cx, tx, ledger::Credential::ApiKey, Some(tenant.organization()), id).await?;
    // What memory knows of the old secret has another end now.
    end(cx, tx, id).await?;
    Ok((with_use(cx, tenant, key), secret))
}

fn may_rotate(cx: &Cx, tenant: &Tenant, key: &ApiKey) -> Result<()> {
    let principal = cx.principal()?;
    let may = match principal.kind {
        CredentialKind::Session if key.role.is_some() => true,
        CredentialKind::Session => tenant.membership().is_some_and(|own| Some(own.id) == key.member),
        // With the secret of another it would have what does not end with it.
        CredentialKind::ApiKey | CredentialKind::OauthToken => principal.credential == key.id || Some(principal.credential) == key.made_by,
    };
    match (may, key.role) {
        (false, _) => tenant.also(cx, Action::GiveToApiKey).map(drop),
        // Who gives a service account a new secret could have made another.
        (true, Some(role)) if principal.credential != key.id => tenant.also(cx, Action::CreateApiKey)?.may_give(cx, role),
        (true, _) => Ok(()),
    }
}
