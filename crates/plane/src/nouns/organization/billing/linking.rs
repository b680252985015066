//! Which subscription is whose: links as operators make and end them, and what Stripe says of each.

use serde_json::Value as Json;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::events::queue_of;
use super::terms::BillingSubscription;
use crate::access::enter;
use crate::audit::{self, Note};
use crate::fields::Check;
use crate::ids::{OrganizationRef, SERVER_SCOPE};
use crate::policy::Action;
use crate::subscription_steps::{Linked, SubscriptionState};
use crate::{Cx, Error, FieldError, Result, locks};

/// Whether a text can be the id of a subscription at Stripe.
///
/// # Errors
/// [`Error::Invalid`].
pub fn check_id(text: &str) -> Result<()> {
    let is_id = text.len() <= 255
        && text
            .strip_prefix("sub_")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    match is_id {
        true => Ok(()),
        false => Err(FieldError::new("subscription", "invalid_id", "must be Stripe's id of a subscription, such as sub_1PqR").into()),
    }
}

/// Fails unless the caller may link subscriptions of this organization. For operators.
///
/// # Errors
/// Those of [`enter`].
pub async fn may_link(cx: &Cx, organization: &OrganizationRef) -> Result<()> {
    enter(cx, organization, Action::LinkSubscription).await.map(drop)
}

/// Links a subscription that Stripe was asked about. One that is linked there already stays so. For operators.
///
/// # Errors
/// Those of [`enter`]; [`Error::Invalid`]; [`Error::NotFound`] for a customer who is not there; [`Error::Conflict`] when it is linked elsewhere, or
/// the organization is archived.
pub async fn link(
    cx: &Cx,
    organization: &OrganizationRef,
    subscription: String,
    (customer, reason): (Option<String>, String),
    state: SubscriptionState,
) -> Result<BillingSubscription> {
    let note = Note { action: "billing.link", subject: "organization", reason: Some(reason.clone()), ..Note::default() };
    audit::attempt(cx, organization, note.clone(), async {
        let tenant = enter(cx, organization, Action::LinkSubscription).await?;
        let mut check = Check::new();
        check.text("reason", &reason, 1..=500);
        check.finish()?;
        check_id(&subscription)?;
        tenant
            .write(cx, async move |cx, tx, tenant| {
                tenant.lock(tx).await?;
                tenant.is_writable(tx).await?;
                let organization = tenant.organization();
                let customer = match &customer {
                    Some(reference) => Some(locks::hold_customer(tx, organization, reference).await?.ok_or(Error::NotFound("Customer"))?),
                    None => None,
                };
                let linked = find(tx, &subscription).await?;
                let id = match linked {
                    Some((of, linked)) if of == organization && linked.customer == customer => linked.id,
                    Some(_) => return Err(Error::Conflict("This subscription is linked already: end that link first.".into())),
                    None => {
                        let id = insert(cx, tx, organization, customer, &subscription).await?;
                        let note = Note { subject_id: Some(organization), detail: Some(subscription.clone()), ..note.clone() };
                        audit::record(cx, tx, SERVER_SCOPE, &note).await?;
                        audit::record(cx, tx, organization, &note).await?;
                        id
                    }
                };
                write_state(cx, tx, (organization, id), &state).await?;
                read_one(tx, organization, id).await
            })
            .await
    })
    .await
}

/// Ends the link to a subscription, which goes on at Stripe. For operators.
///
/// # Errors
/// Those of [`enter`]; [`Error::Invalid`]; [`Error::NotFound`].
pub async fn unlink(cx: &Cx, organization: &OrganizationRef, subscription: String, reason: String) -> Result<()> {
    let note = Note { action: "billing.unlink", subject: "organization", reason: Some(reason.clone()), ..Note::default() };
    audit::attempt(cx, organization, note.clone(), async {
        let tenant = enter(cx, organization, Action::LinkSubscription).await?;
        let mut check = Check::new();
        check.text("reason", &reason, 1..=500);
        check.finish()?;
        check_id(&subscription)?;
        tenant
            .write(cx, async move |cx, tx, tenant| {
                tenant.lock(tx).await?;
                let organization = tenant.organization();
                let remove =
                    sql!("DELETE FROM billing_subscriptions WHERE organization_id = $1 AND stripe_subscription_id = $2 RETURNING id");
                let Some(id) = tx.read_opt::<Uuid>(remove, params![organization, &subscription]).await? else {
                    return Err(Error::NotFound("Subscription"));
                };
                // What was still to be done to it is not, and nothing waits for it.
                let end = sql!(
                    "UPDATE effects SET state = 'failed', is_given_up = true, error = 'the subscription was unlinked', finished_at = $3
                     WHERE organization_id = $1 AND queue_id = $2 AND state <> 'delivered' AND NOT is_given_up"
                );
                tx.execute(end, params![organization, id, cx.now]).await?;
                // What it said of who pays is no longer shown, and no portal leads there.
                show(cx, tx, organization).await?;
                let note = Note { subject_id: Some(organization), detail: Some(subscription.clone()), ..note.clone() };
                audit::record(cx, tx, SERVER_SCOPE, &note).await?;
                audit::record(cx, tx, organization, &note).await
            })
            .await
    })
    .await
}

pub(super) async fn find(tx: &mut Tx, subscription: &str) -> Result<Option<(Uuid, Linked)>> {
    let statement = sql!("SELECT organization_id, {columns} FROM billing_subscriptions WHERE stripe_subscription_id = $1", Linked);
    Ok(tx.read_opt(statement, params![subscription]).await?)
}

pub(super) async fn insert(cx: &Cx, tx: &mut Tx, organization: Uuid, customer: Option<Uuid>, subscription: &str) -> Result<Uuid> {
    let id = cx.new_id()?;
    let insert = sql!(
        "INSERT INTO billing_subscriptions (organization_id, id, subject_id, stripe_subscription_id, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5)"
    );
    let inserted = tx.execute(insert, params![organization, id, customer, subscription, cx.now]).await;
    inserted.map_err(|error| match error {
        // Another transaction has linked it in this moment: it is found then.
        sql::Error::Unique(words) => sql::Error::Retry(words),
        other => other,
    })?;
    // What operators were asked about it is settled.
    let settled = sql!("UPDATE effects SET is_given_up = true WHERE organization_id = $1 AND queue_id = $2 AND state = 'failed'");
    tx.execute(settled, params![organization, queue_of(subscription)?]).await?;
    Ok(id)
}

async fn read_one(tx: &mut Tx, organization: Uuid, id: Uuid) -> Result<BillingSubscription> {
    let statement = sql!("SELECT {columns} FROM billing_subscriptions AS own WHERE organization_id = $1 AND id = $2", BillingSubscription);
    Ok(tx.read_one(statement, params![organization, id]).await?)
}

/// Notes what Stripe says of a subscription. One whose link is gone is none of ours.
pub(crate) async fn note_state(cx: &Cx, tx: &mut Tx, place: (Uuid, Uuid), outcome: Option<&Json>) -> Result<()> {
    match outcome.map(|outcome| serde_json::from_value::<SubscriptionState>(outcome.clone())) {
        Some(Ok(state)) => write_state(cx, tx, place, &state).await,
        _ => Ok(()),
    }
}

/// Keeps others who lock the organization and then something of its outbox out of the way.
pub(crate) async fn lock_organization(tx: &mut Tx, organization: Uuid) -> Result<()> {
    // Not its key: what refers to it goes on meanwhile.
    tx.execute(sql!("UPDATE organizations SET version = version WHERE id = $1"), params![organization]).await?;
    Ok(())
}

pub(super) async fn write_state(cx: &Cx, tx: &mut Tx, (organization, id): (Uuid, Uuid), state: &SubscriptionState) -> Result<()> {
    let ended_at = state.ended_at.or(state.has_ended().then_some(cx.now));
    let update = sql!(
        "UPDATE billing_subscriptions SET status = $3, stripe_customer_id = coalesce($4, stripe_customer_id), price = coalesce($5, price),
                amount = coalesce($6, amount), currency = coalesce($7, currency), billing_interval = coalesce($8, billing_interval),
                quantity = coalesce($9, quantity), current_period_end = coalesce($10, current_period_end), cancel_at = $11,
                ended_at = CASE WHEN CAST($14 AS boolean) THEN coalesce(ended_at, $12) END, updated_at = $13
         WHERE organization_id = $1 AND id = $2 RETURNING subject_id"
    );
    let bound = params![
        organization,
        id,
        &state.status,
        state.stripe_customer_id.as_deref(),
        state.price.as_deref(),
        state.amount,
        state.currency.as_deref(),
        state.interval.as_deref(),
        state.quantity,
        state.current_period_end,
        state.cancel_at,
        ended_at,
        cx.now,
        ended_at.is_some(),
    ];
    match tx.read_opt::<Option<Uuid>>(update, bound).await? {
        Some(None) => show(cx, tx, organization).await,
        _ => Ok(()),
    }
}

/// Shows in the organization's record how its own subscriptions stand, and who pays for them.
async fn show(cx: &Cx, tx: &mut Tx, organization: Uuid) -> Result<()> {
    // Of several of its own the newest that has not ended says how the organization stands.
    let newest = sql!(
        "SELECT status, stripe_customer_id FROM billing_subscriptions WHERE organization_id = $1 AND subject_id IS NULL
         ORDER BY CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END, id DESC LIMIT 1"
    );
    let found: Option<(Option<String>, Option<String>)> = tx.read_opt(newest, params![organization]).await?;
    let (status, customer) = found.unwrap_or_default();
    let shown = sql!(
        "UPDATE organizations SET subscription_status = $2, stripe_customer_id = $3, revision = revision + 1, updated_at = $4
         WHERE id = $1 AND (subscription_status <> $2 OR coalesce(stripe_customer_id, '') <> coalesce($3, ''))"
    );
    tx.execute(shown, params![organization, status.unwrap_or_else(|| "none".into()), customer, cx.now]).await?;
    Ok(())
}
