//! Deliveries are sent again: one, or all of a range. And one is given up before its time.

use jiff::Timestamp;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::deliveries::Delivery;
use super::{RETRIED_FOR, State, finishing};
use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::cx::Cx;
use crate::deletions::effects;
use crate::ids::OrganizationRef;
use crate::policy::Action;
use crate::{Error, Result, notify, webhooks};
use deletion::after;

/// Deliveries that one transaction sends again.
const AT_ONCE: i64 = 1_000;
/// Why one is given up.
const GIVEN_UP: &str = "given up by a member";

crate::wire::words! {
    /// How a delivery has ended.
    pub enum Ended as "DeliveryEnd", like "failed" {
        /// It was given up.
        Failed = "failed",
        /// The receiver took it.
        Delivered = "delivered",
    }
}

/// Which deliveries of a webhook are sent again.
#[derive(Debug, Clone, Default, serde::Deserialize, schemars::JsonSchema)]
pub struct Resend {
    /// Those that were given up, or those that were delivered. Missing: those that were given up.
    pub state: Option<Ended>,
    /// Those of events at this time or later.
    pub since: Option<Timestamp>,
    /// Those of events before this time.
    pub until: Option<Timestamp>,
}

/// What is sent again.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Resent {
    /// Deliveries that are in the queue again. Those whose payload is erased are none of them.
    #[schemars(example = 12)]
    pub count: u64,
}

/// Sends a delivery again: now, and from then on as if it were new. One that is pending already is tried now.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`]; [`Error::Conflict`] when the webhook is switched off, or what it said is deleted.
pub async fn resend(cx: &Cx, organization: &OrganizationRef, webhook: Uuid, id: Uuid) -> Result<Delivery> {
    let tenant = enter(cx, organization, Action::WriteWebhooks).await?.also(cx, Action::ReadWebhooks)?;
    tenant
        .write(cx, async move |cx, tx, tenant| {
            tenant.is_writable(tx).await?;
            is_on(cx, tx, tenant, webhook).await?;
            let lock = sql!("SELECT 1 FROM effects WHERE organization_id = $1 AND queue_id = $2 AND id = $3 FOR UPDATE");
            tx.query_opt(lock, params![tenant.organization(), webhook, id]).await?;
            let before = load(tx, tenant, webhook, id).await?;
            if before.payload.is_none() {
                return Err(deleted());
            }
            let again = sql!(
                "UPDATE effects SET state = 'pending', attempts = 0, next_attempt_at = $4, retry_until = $5, finished_at = NULL
                 WHERE organization_id = $1 AND queue_id = $2 AND id = $3 AND payload IS NOT NULL
                 RETURNING deletion_id, is_counted"
            );
            let bound = params![tenant.organization(), webhook, id, cx.now, after(cx.now, RETRIED_FOR)];
            let Some((deletion, is_counted)) = tx.read_opt::<(Option<Uuid>, bool)>(again, bound).await? else { return Err(deleted()) };
            if let Some(deletion) = deletion.filter(|_| is_counted && before.state != State::Pending) {
                effects::recount(tx, tenant.organization(), deletion, before.state.name(), State::Pending.name()).await?;
            }
            record(cx, tx, tenant, webhook, format!("the delivery {id}")).await?;
            load(tx, tenant, webhook, id).await
        })
        .await
}

/// Sends all deliveries of a range again that have come to their end before this call.
///
/// # Errors
/// Those of [`resend`].
pub async fn resend_all(cx: &Cx, organization: &OrganizationRef, webhook: Uuid, wanted: Resend) -> Result<Resent> {
    let tenant = enter(cx, organization, Action::WriteWebhooks).await?;
    let state = wanted.state.unwrap_or(Ended::Failed);
    let (since, until) = (wanted.since.unwrap_or(Timestamp::UNIX_EPOCH), wanted.until.unwrap_or(cx.now));
    let (mut count, mut last) = (0, Uuid::nil());
    loop {
        let part = tenant.write(cx, async move |cx, tx, tenant| {
            tenant.is_writable(tx).await?;
            is_on(cx, tx, tenant, webhook).await?;
            // What ends while this goes on is none of it, and does not come round again.
            let again = sql!(
                "UPDATE effects SET state = 'pending', attempts = 0, next_attempt_at = $3, retry_until = $4, finished_at = NULL
                 WHERE organization_id = $1 AND queue_id = $2 AND state = $5
                   AND id IN (SELECT id FROM effects
                              WHERE organization_id = $1 AND queue_id = $2 AND id > $9 AND state = $5 AND payload IS NOT NULL
                                AND created_at >= $6 AND created_at < $7 AND finished_at < $3
                              ORDER BY id LIMIT $8)
                 RETURNING id, deletion_id, is_counted"
            );
            let until_then = after(cx.now, RETRIED_FOR);
            let bound = params![tenant.organization(), webhook, cx.now, until_then, state, since, until, AT_ONCE, last];
            let part: Vec<(Uuid, Option<Uuid>, bool)> = tx.read_all(again, bound).await?;
            for (_, deletion, is_counted) in &part {
                if let Some(deletion) = deletion.filter(|_| *is_counted) {
                    effects::recount(tx, tenant.organization(), deletion, state.name(), State::Pending.name()).await?;
                }
            }
            if !part.is_empty() {
                record(cx, tx, tenant, webhook, format!("{} deliveries", part.len())).await?;
            }
            Ok((part.len(), part.into_iter().map(|(id, ..)| id).max()))
        });
        let (number, furthest) = part.await?;
        count += u64::try_from(number).unwrap_or(0);
        match furthest {
            Some(id) if i64::try_from(number).unwrap_or(0) >= AT_ONCE => last = id,
            _ => return Ok(Resent { count }),
        }
    }
}

/// Gives a delivery up that is pending: no deletion waits for it any more. It can be sent again.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`]; [`Error::Conflict`] when it has come to its end already.
pub async fn give_up(cx: &Cx, organization: &OrganizationRef, webhook: Uuid, id: Uuid) -> Result<Delivery> {
    let tenant = enter(cx, organization, Action::WriteWebhooks).await?.also(cx, Action::ReadWebhooks)?;
    tenant
        .write(cx, async move |cx, tx, tenant| {
            tenant.is_writable(tx).await?;
            webhooks::load(cx, tx, tenant, webhook).await?;
            load(tx, tenant, webhook, id).await?;
            let end = sql!(
                "UPDATE effects SET state = 'failed', error = $4, finished_at = $5
                 WHERE organization_id = $1 AND queue_id = $2 AND id = $3 AND state = 'pending'
                 RETURNING deletion_id, is_counted, about"
            );
            let bound = params![tenant.organization(), webhook, id, GIVEN_UP, cx.now];
            let ended: Option<(Option<Uuid>, bool, Option<Uuid>)> = tx.read_opt(end, bound).await?;
            let Some((deletion, is_counted, about)) = ended else {
                return Err(Error::Conflict("This delivery has come to its end already.".into()));
            };
            finishing::ended(cx, tx, tenant.organization(), (deletion, is_counted), State::Failed).await?;
            finishing::release_next(cx, tx, (tenant.organization(), webhook), about, id).await?;
            let detail = Some(format!("the delivery {id}"));
            let note = Note { action: "webhook.give_up", subject: "webhook", subject_id: Some(webhook), detail, ..Note::default() };
            audit::record(cx, tx, tenant.organization(), &note).await?;
            load(tx, tenant, webhook, id).await
        })
        .await
}

fn deleted() -> Error {
    Error::Conflict("What this delivery said is deleted: there is nothing to send again.".into())
}

/// Fails unless the webhook is there and switched on: what is sent to one that is off would be given up at once.
async fn is_on(cx: &Cx, tx: &mut Tx, tenant: &Tenant, webhook: Uuid) -> Result<()> {
    match webhooks::load(cx, tx, tenant, webhook).await?.is_active {
        true => Ok(()),
        false => Err(Error::Conflict("The webhook is switched off: switch it on first.".into())),
    }
}

async fn record(cx: &Cx, tx: &mut Tx, tenant: &Tenant, webhook: Uuid, what: String) -> Result<()> {
    let note = Note { action: "webhook.resend", subject: "webhook", subject_id: Some(webhook), detail: Some(what), ..Note::default() };
    audit::record(cx, tx, tenant.organization(), &note).await?;
    notify::ring(cx, tx);
    Ok(())
}

async fn load(tx: &mut Tx, tenant: &Tenant, webhook: Uuid, id: Uuid) -> Result<Delivery> {
    let statement = sql!("SELECT {columns} FROM effects WHERE organization_id = $1 AND queue_id = $2 AND id = $3", Delivery);
    tx.read_opt(statement, params![tenant.organization(), webhook, id]).await?.ok_or(Error::NotFound("Delivery"))
}
