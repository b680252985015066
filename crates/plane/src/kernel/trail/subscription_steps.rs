//! What is done to subscriptions at the payment provider, as the outbox holds it, and what the provider says of them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::notify::{RETRIED_FOR, ring};
use crate::policy::Role;
use crate::{Cx, Result};
use deletion::after;

sql::words! {
    /// What is done to a subscription. Each is done to what is there, and done once it is so, no matter who has done it.
    pub enum Step {
        /// It ends at once.
        Cancel = "subscription.cancel",
        /// It ends with the period that is paid for.
        CancelAtPeriodEnd = "subscription.cancel_at_period_end",
        /// It goes on after the period that is paid for, if this server has ended it then.
        Resume = "subscription.resume",
        /// Its quantity becomes the number of seats.
        SetQuantity = "subscription.set_quantity",
        /// It is read.
        Read = "subscription.read",
    }
}

crate::wire::words! {
    /// When the subscriptions of what is deleted end.
    pub enum OnDeletion as "OnDeletion", like "cancel_now" {
        /// At once.
        CancelNow = "cancel_now",
        /// With the period that is paid for.
        CancelAtPeriodEnd = "cancel_at_period_end",
    }
}

/// How an organization's subscriptions end with a deletion, and what they count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// When.
    pub on_deletion: OnDeletion,
    /// Whether what was used and not billed yet is billed once more. Only where they end at once.
    pub final_invoice: bool,
    /// Whether what was paid for and not used is credited. Only where they end at once.
    pub prorate: bool,
    /// The roles of the members who are counted as seats: the quantity of the organization's own subscription. None: it is left alone.
    pub seat_roles: Vec<Role>,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { on_deletion: OnDeletion::CancelNow, final_invoice: false, prorate: false, seat_roles: Vec::new() }
    }
}

/// What an organization has said, or what holds where it has said nothing.
pub(crate) async fn terms(tx: &mut Tx, organization: Uuid) -> Result<Terms> {
    let statement = sql!("SELECT on_deletion, final_invoice, prorate, seat_roles FROM billing_terms WHERE organization_id = $1");
    let found: Option<(OnDeletion, bool, bool, String)> = tx.read_opt(statement, params![organization]).await?;
    Ok(found.map_or_else(Terms::default, |(on_deletion, final_invoice, prorate, roles)| Terms {
        on_deletion,
        final_invoice,
        prorate,
        seat_roles: roles.split(',').filter_map(Role::parse).collect(),
    }))
}

/// The payload of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepOrder {
    /// The provider's id.
    pub subscription: String,
    /// See [`Terms::final_invoice`].
    pub final_invoice: bool,
    /// See [`Terms::prorate`].
    pub prorate: bool,
}

/// A subscription as the provider has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionState {
    /// The provider's word for how it stands, such as `active`; `missing` for one that it does not know any more.
    #[schemars(length(min = 1, max = 255), example = &"canceled")]
    pub status: String,
    /// The provider's id of who pays.
    #[schemars(length(min = 1, max = 255), example = &"cus_123")]
    pub stripe_customer_id: Option<String>,
    /// The provider's id of its first price.
    #[schemars(length(min = 1, max = 255), example = &"price_1PqR")]
    pub price: Option<String>,
    /// What that is for one in a period, in the smallest unit of the currency.
    #[schemars(example = 2_900)]
    pub amount: Option<i64>,
    /// The currency (ISO 4217, in small letters).
    #[schemars(length(min = 3, max = 3), example = &"eur")]
    pub currency: Option<String>,
    /// The period: `day`, `week`, `month` or `year`.
    #[schemars(length(min = 1, max = 20), example = &"month")]
    pub interval: Option<String>,
    /// How many.
    #[schemars(example = 3)]
    pub quantity: Option<i64>,
    /// The end of the period that is paid for.
    pub current_period_end: Option<Timestamp>,
    /// When it ends, if that is settled.
    pub cancel_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Whether the server has changed it: otherwise it was so before.
    pub is_changed: bool,
    /// The provider's id of the request, for its support.
    #[schemars(length(min = 1, max = 100), example = &"req_1PqR")]
    pub request_id: Option<String>,
}

impl SubscriptionState {
    /// Of one that the provider does not know any more.
    pub fn missing() -> SubscriptionState {
        SubscriptionState { status: "missing".into(), ..SubscriptionState::default() }
    }

    /// Whether it has ended, and cannot be taken up again.
    pub fn has_ended(&self) -> bool {
        matches!(&*self.status, "canceled" | "incomplete_expired" | "missing")
    }
}

/// A subscription that is linked.
#[derive(Debug, Clone)]
pub(crate) struct Linked {
    /// Its id here, which is that of its queue.
    pub id: Uuid,
    /// The provider's.
    pub subscription: String,
    /// The customer that it is for; none for the organization's own.
    pub customer: Option<Uuid>,
}

columns! { Linked { id, subscription: "stripe_subscription_id", customer: "subject_id" } }

/// Puts a step into the queue of a subscription, in the transaction of its cause; unless its link is gone by now. Its row is locked from then on.
pub(crate) async fn queue(
    cx: &Cx,
    tx: &mut Tx,
    organization: Uuid,
    linked: &Linked,
    (step, deletion): (Step, Option<Uuid>),
    terms: &Terms,
) -> Result<()> {
    match lock(tx, organization, linked.id).await? {
        true => insert(cx, tx, organization, linked, (step, deletion), terms).await,
        false => Ok(()),
    }
}

/// Locks the row of a link, before anything of its queue. Returns whether it is there.
pub(crate) async fn lock(tx: &mut Tx, organization: Uuid, id: Uuid) -> Result<bool> {
    let statement = sql!("SELECT 1 FROM billing_subscriptions WHERE organization_id = $1 AND id = $2 FOR UPDATE");
    Ok(tx.query_opt(statement, params![organization, id]).await?.is_some())
}

/// Puts a step for a subscription that has no link into a queue of its own.
pub(crate) async fn insert(
    cx: &Cx,
    tx: &mut Tx,
    organization: Uuid,
    linked: &Linked,
    (step, deletion): (Step, Option<Uuid>),
    terms: &Terms,
) -> Result<()> {
    let is_at_once = step == Step::Cancel;
    let order = StepOrder {
        subscription: linked.subscription.clone(),
        final_invoice: is_at_once && terms.final_invoice,
        prorate: is_at_once && terms.prorate,
    };
    let insert = sql!(
        "INSERT INTO effects (organization_id, queue_id, id, kind, action, subject_id, deletion_id, payload, state, attempts, next_attempt_at,
                              created_at, about, sequence, retry_until, rank)
         VALUES ($1, $2, $3, 'billing', $4, $5, $6, $7, 'pending', 0, $8, $8, $2, $9, $10, $11)"
    );
    let bound = params![
        organization,
        linked.id,
        cx.new_id()?,
        step,
        // A step of a deletion outlives the customer whose deletion it is.
        linked.customer.filter(|_| deletion.is_none()),
        deletion,
        serde_json::to_string(&order).unwrap_or_default(),
        cx.now,
        cx.plane.next_sequence(),
        after(cx.now, RETRIED_FOR),
        i64::from(deletion.is_none()),
    ];
    tx.execute(insert, bound).await?;
    ring(cx, tx);
    Ok(())
}

/// What one deletion does to a subscription.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "PlannedCancellation")]
pub struct Cancellation {
    /// The payment provider's id.
    #[schemars(length(min = 1, max = 255), example = &"sub_1PqR")]
    pub stripe_subscription_id: String,
    /// How it stands.
    #[schemars(length(min = 1, max = 50), example = &"active")]
    pub status: Option<String>,
    /// Its price for one in a period, in the smallest unit of the currency.
    #[schemars(example = 2_900)]
    pub amount: Option<i64>,
    /// The currency (ISO 4217).
    #[schemars(length(min = 3, max = 3), example = &"eur")]
    pub currency: Option<String>,
    /// The period.
    #[schemars(length(min = 1, max = 20), example = &"month")]
    pub interval: Option<String>,
    /// How many.
    #[schemars(example = 3)]
    pub quantity: Option<i64>,
    /// When it would end, if it were ordered now; null where the provider has not said how long is paid for.
    pub ends_at: Option<Timestamp>,
}
