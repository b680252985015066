//! Billing: which subscriptions at the payment provider, Stripe, belong to an organization and to its customers, and how they end.
//!
//! Links are made by operators, who name a subscription; by owners, through a checkout that the server begins for them; and by the product's own back
//! end, which writes `freehold_organization` and `freehold_customer` into the subscription's metadata at Stripe. A member can never name a
//! subscription: it could be another organization's. What a deletion does to them: `deletions/orders/subscriptions.rs`.

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Tx, columns, params, sql};
use std::sync::Arc;
use uuid::Uuid;

use crate::access::enter;
use crate::audit::{self, Note};
use crate::cx::Actor;
use crate::fields::Check;
use crate::ids::{self, OrganizationRef, SERVER_SCOPE};
use crate::page::{Page, PageRequest};
use crate::policy::{Action, Role};
use crate::subscription_steps::{Linked, OnDeletion, Step, SubscriptionState, Terms, queue, terms};
use crate::{Cx, Error, FieldError, Plane, Result, locks};

/// What the metadata of a subscription says at Stripe: the organization's id.
pub const ORGANIZATION_KEY: &str = "freehold_organization";
/// The same for the customer's id, as the API has it.
pub const CUSTOMER_KEY: &str = "freehold_customer";
/// How old a signed event may be, in seconds, and how far ahead of the server's clock: Stripe's own tolerance.
const TOLERANCE: i64 = 300;
/// Subscriptions of its own that an organization shows with its terms.
const MOST_OWN: i64 = 20;
/// Quantities that one round brings up to date.
const QUANTITIES: i64 = 500;

/// A subscription at Stripe that belongs to an organization.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct BillingSubscription {
    /// Its id here.
    pub id: Uuid,
    /// The customer that it is for; null for the organization's own.
    #[schemars(length(min = 1, max = 100), example = &"user123")]
    pub customer_id: Option<String>,
    /// Stripe's id.
    #[schemars(length(min = 1, max = 255), example = &"sub_1PqR")]
    pub stripe_subscription_id: String,
    /// Stripe's id of who pays.
    #[schemars(length(min = 1, max = 255), example = &"cus_123")]
    pub stripe_customer_id: Option<String>,
    /// Stripe's word for how it stands; `missing` for one that Stripe does not know any more; null until it was read.
    #[schemars(length(min = 1, max = 50), example = &"active")]
    pub status: Option<String>,
    /// Stripe's id of its price.
    #[schemars(length(min = 1, max = 255), example = &"price_1PqR")]
    pub price: Option<String>,
    /// What that is for one in a period, in the smallest unit of the currency.
    #[schemars(example = 2_900)]
    pub amount: Option<i64>,
    /// The currency (ISO 4217, in small letters).
    #[schemars(length(min = 3, max = 3), example = &"eur")]
    pub currency: Option<String>,
    /// The period.
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
    /// When it was linked.
    pub created_at: Timestamp,
    /// When Stripe last said something new.
    pub updated_at: Timestamp,
}

columns! { BillingSubscription {
    id, customer_id: "(SELECT reference FROM customers WHERE customers.organization_id = own.organization_id AND customers.id = own.subject_id)",
    stripe_subscription_id, stripe_customer_id, status, price, amount, currency, interval: "billing_interval", quantity, current_period_end,
    cancel_at, ended_at, created_at, updated_at,
} }

/// How an organization is billed.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Billing {
    /// When subscriptions end with what is deleted. In a grace period they end with the period that is paid for, whatever this says, and a restore
    /// undoes that.
    pub on_deletion: OnDeletion,
    /// Whether what was used and not billed yet is billed once more when a subscription ends at once.
    pub final_invoice: bool,
    /// Whether what was paid for and not used is credited when a subscription ends at once.
    pub prorate: bool,
    /// The roles of the members who count as seats: the quantity of the organization's own subscription follows them. Empty: it is left alone.
    pub seat_roles: Vec<Role>,
    /// The organization's own subscriptions, the newest first: up to 20.
    #[schemars(length(max = 20))]
    pub subscriptions: Vec<BillingSubscription>,
}

/// What shall be changed about it. What is missing stays.
#[derive(Debug, Clone, Default, serde::Deserialize, schemars::JsonSchema)]
pub struct BillingChange {
    /// When subscriptions end with what is deleted.
    pub on_deletion: Option<OnDeletion>,
    /// Whether what was used and not billed yet is billed once more when a subscription ends at once.
    pub final_invoice: Option<bool>,
    /// Whether what was paid for and not used is credited when a subscription ends at once.
    pub prorate: Option<bool>,
    /// The roles of the members who count as seats. Empty: the quantity is left alone.
    #[schemars(length(max = 7))]
    pub seat_roles: Option<Vec<Role>>,
}

/// A checkout at Stripe that shall begin.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
pub struct NewCheckout {
    /// Stripe's id of the price.
    #[schemars(length(min = 1, max = 255), example = &"price_1PqR")]
    pub price: String,
    /// How many; 1 if it is missing. Not where members are counted as seats.
    #[schemars(range(min = 1, max = 1_000_000), example = 1)]
    pub quantity: Option<i64>,
    /// Where Stripe sends the browser when it is done.
    #[schemars(with = "crate::wire::Link", example = &"https://example.com/welcome")]
    pub success_url: String,
    /// Where Stripe sends the browser that gave it up.
    #[schemars(with = "Option<crate::wire::Link>", example = &"https://example.com/plans")]
    pub cancel_url: Option<String>,
}

/// A request to Stripe, as the fields of its form.
pub type StripeForm = Vec<(&'static str, String)>;

/// Reads how an organization is billed.
///
/// # Errors
/// Those of [`enter`].
pub async fn get(cx: &Cx, organization: &OrganizationRef) -> Result<Billing> {
    let tenant = enter(cx, organization, Action::ReadBilling).await?;
    cx.read(async move |_, tx| load(tx, tenant.organization()).await).await
}

/// Lists an organization's subscriptions, those of its customers too, the newest first.
///
/// # Errors
/// Those of [`enter`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, request: PageRequest) -> Result<Page<BillingSubscription>> {
    let tenant = enter(cx, organization, Action::ReadBilling).await?.also(cx, Action::ReadCustomers)?;
    cx.read(async move |_, tx| {
        let organization = tenant.organization();
        let count = sql!("SELECT count(*) FROM billing_subscriptions WHERE organization_id = $1");
        let total = match request.after {
            Some(_) => 0,
            None => tx.read_one(count, params![organization]).await?,
        };
        let statement = sql!(
            "SELECT {columns} FROM billing_subscriptions AS own WHERE organization_id = $1 AND id < $4 ORDER BY id DESC LIMIT $2 OFFSET $3",
            BillingSubscription
        );
        let found = tx.read_all(statement, params![organization, request.limit(), request.offset(), request.below()]).await?;
        Ok(Page::part(found, total, request, |one: &BillingSubscription| one.id))
    })
    .await
}

/// Changes how subscriptions end with what is deleted, and who counts as a seat.
///
/// # Errors
/// Those of [`enter`]; [`Error::Conflict`] when the organization is archived.
pub async fn change(cx: &Cx, organization: &OrganizationRef, change: BillingChange) -> Result<Billing> {
    let note = Note { action: "billing.update", subject: "organization", ..Note::default() };
    audit::attempt(cx, organization, note.clone(), async {
        let tenant = enter(cx, organization, Action::ChangeBilling).await?;
        tenant
            .write(cx, async move |cx, tx, tenant| {
                tenant.lock(tx).await?;
                tenant.is_writable(tx).await?;
                let organization = tenant.organization();
                let old = terms(tx, organization).await?;
                let mut seat_roles = change.seat_roles.clone().unwrap_or_else(|| old.seat_roles.clone());
                seat_roles.sort_by_key(|role| *role as usize);
                seat_roles.dedup();
                let new = Terms {
                    on_deletion: change.on_deletion.unwrap_or(old.on_deletion),
                    final_invoice: change.final_invoice.unwrap_or(old.final_invoice),
                    prorate: change.prorate.unwrap_or(old.prorate),
                    seat_roles,
                };
                if new != old {
                    set_terms(cx, tx, organization, &new).await?;
                    let detail = format!("{} instead of {}", words(&new), words(&old));
                    let note = Note { subject_id: Some(organization), detail: Some(detail), ..note.clone() };
                    audit::record(cx, tx, organization, &note).await?;
                }
                load(tx, organization).await
            })
            .await
    })
    .await
}

fn roles_to_column(roles: &[Role]) -> String {
    match roles.is_empty() {
        true => String::new(),
        false => roles.iter().fold(",".to_owned(), |column, role| format!("{column}{},", role.name())),
    }
}

fn words(terms: &Terms) -> String {
    let Terms { on_deletion, final_invoice, prorate, seat_roles } = terms;
    let seats = seat_roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(" ");
    format!("{}, final invoice {final_invoice}, prorate {prorate}, seats [{seats}]", on_deletion.name())
}

async fn set_terms(cx: &Cx, tx: &mut Tx, organization: Uuid, terms: &Terms) -> Result<()> {
    let upsert = sql!(
        "INSERT INTO billing_terms (organization_id, on_deletion, final_invoice, prorate, seat_roles, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (organization_id) DO UPDATE SET on_deletion = excluded.on_deletion, final_invoice = excluded.final_invoice,
                                                     prorate = excluded.prorate, seat_roles = excluded.seat_roles, updated_at = excluded.updated_at"
    );
    let bound = params![organization, terms.on_deletion, terms.final_invoice, terms.prorate, roles_to_column(&terms.seat_roles), cx.now];
    tx.execute(upsert, bound).await?;
    Ok(())
}

async fn load(tx: &mut Tx, organization: Uuid) -> Result<Billing> {
    let Terms { on_deletion, final_invoice, prorate, seat_roles } = terms(tx, organization).await?;
    let statement = sql!(
        "SELECT {columns} FROM billing_subscriptions AS own WHERE organization_id = $1 AND subject_id IS NULL ORDER BY id DESC LIMIT $2",
        BillingSubscription
    );
    let subscriptions = tx.read_all(statement, params![organization, MOST_OWN]).await?;
    Ok(Billing { on_deletion, final_invoice, prorate, seat_roles, subscriptions })
}

/// Prepares a checkout of the organization's own subscription: what Stripe is to be asked for.
///
/// # Errors
/// Those of [`enter`]; [`Error::Invalid`]; [`Error::Conflict`] when the organization is archived.
pub async fn checkout(cx: &Cx, organization: &OrganizationRef, new: NewCheckout) -> Result<StripeForm> {
    let tenant = enter(cx, organization, Action::ManageBilling).await?;
    let mut check = Check::new();
    check.text("price", &new.price, 1..=255).link("success_url", Some(&new.success_url)).link("cancel_url", new.cancel_url.as_deref());
    check.finish()?;
    cx.read(async move |_, tx| {
        tenant.is_writable(tx).await?;
        let organization = tenant.organization();
        let roles = terms(tx, organization).await?.seat_roles;
        let quantity = match (roles.is_empty(), new.quantity) {
            (true, given) => given.unwrap_or(1),
            (false, None) => count_seats(tx, organization).await?.unwrap_or(1).max(1),
            (false, Some(_)) => {
                let words = "must be left out: members are counted as seats, see seatRoles";
                return Err(FieldError::new("quantity", "seats_are_counted", words).into());
            }
        };
        let mut form: StripeForm = vec![
            ("mode", "subscription".into()),
            ("line_items[0][price]", new.price.clone()),
            ("line_items[0][quantity]", quantity.to_string()),
            ("success_url", new.success_url.clone()),
            ("client_reference_id", organization.to_string()),
            ("subscription_data[metadata][freehold_organization]", organization.to_string()),
        ];
        form.extend(new.cancel_url.clone().map(|url| ("cancel_url", url)));
        form.extend(stripe_customer(tx, organization).await?.map(|customer| ("customer", customer)));
        Ok(form)
    })
    .await
}

/// Prepares a session of Stripe's portal, where the organization's own subscription is managed.
///
/// # Errors
/// Those of [`enter`]; [`Error::Invalid`]; [`Error::Conflict`] for one that has never paid anything.
pub async fn portal(cx: &Cx, organization: &OrganizationRef, return_url: String) -> Result<StripeForm> {
    let tenant = enter(cx, organization, Action::ManageBilling).await?;
    let mut check = Check::new();
    check.link("return_url", Some(&return_url));
    check.finish()?;
    cx.read(async move |_, tx| {
        let nobody = || Error::Conflict("The organization has no subscription yet: begin one with a checkout.".into());
        let customer = stripe_customer(tx, tenant.organization()).await?.ok_or_else(nobody)?;
        Ok(vec![("customer", customer), ("return_url", return_url.clone())])
    })
    .await
}

async fn stripe_customer(tx: &mut Tx, organization: Uuid) -> Result<Option<String>> {
    let statement = sql!("SELECT stripe_customer_id FROM organizations WHERE id = $1");
    Ok(tx.read_one(statement, params![organization]).await?)
}

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
                let remove = sql!("DELETE FROM billing_subscriptions WHERE organization_id = $1 AND stripe_subscription_id = $2");
                if tx.execute(remove, params![organization, &subscription]).await? == 0 {
                    return Err(Error::NotFound("Subscription"));
                }
                let note = Note { subject_id: Some(organization), detail: Some(subscription.clone()), ..note.clone() };
                audit::record(cx, tx, SERVER_SCOPE, &note).await?;
                audit::record(cx, tx, organization, &note).await
            })
            .await
    })
    .await
}

async fn find(tx: &mut Tx, subscription: &str) -> Result<Option<(Uuid, Linked)>> {
    let statement = sql!("SELECT organization_id, {columns} FROM billing_subscriptions WHERE stripe_subscription_id = $1", Linked);
    Ok(tx.read_opt(statement, params![subscription]).await?)
}

async fn insert(cx: &Cx, tx: &mut Tx, organization: Uuid, customer: Option<Uuid>, subscription: &str) -> Result<Uuid> {
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
    tx.query_opt(sql!("SELECT 1 FROM organizations WHERE id = $1 FOR UPDATE"), params![organization]).await?;
    Ok(())
}

async fn write_state(cx: &Cx, tx: &mut Tx, (organization, id): (Uuid, Uuid), state: &SubscriptionState) -> Result<()> {
    let ended_at = state.ended_at.or(state.has_ended().then_some(cx.now));
    let update = sql!(
        "UPDATE billing_subscriptions SET status = $3, stripe_customer_id = coalesce($4, stripe_customer_id), price = coalesce($5, price),
                amount = coalesce($6, amount), currency = coalesce($7, currency), billing_interval = coalesce($8, billing_interval),
                quantity = coalesce($9, quantity), current_period_end = coalesce($10, current_period_end), cancel_at = $11,
                ended_at = coalesce(ended_at, $12), updated_at = $13
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
    ];
    let Some(None) = tx.read_opt::<Option<Uuid>>(update, bound).await? else { return Ok(()) };
    // Of several of its own the newest that has not ended says how the organization stands.
    let newest = sql!(
        "SELECT status, stripe_customer_id FROM billing_subscriptions WHERE organization_id = $1 AND subject_id IS NULL
         ORDER BY CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END, id DESC LIMIT 1"
    );
    let (status, customer): (Option<String>, Option<String>) = tx.read_one(newest, params![organization]).await?;
    let shown = sql!(
        "UPDATE organizations SET subscription_status = $2, stripe_customer_id = coalesce($3, stripe_customer_id), revision = revision + 1,
                updated_at = $4
         WHERE id = $1 AND (subscription_status <> $2 OR coalesce(stripe_customer_id, '') <> coalesce($3, stripe_customer_id, ''))"
    );
    tx.execute(shown, params![organization, status.unwrap_or_else(|| "none".into()), customer, cx.now]).await?;
    Ok(())
}

/// How many members of an organization count as seats; none where none are counted.
async fn count_seats(tx: &mut Tx, organization: Uuid) -> Result<Option<i64>> {
    let statement = sql!(
        "SELECT (SELECT count(*) FROM members
                 WHERE members.organization_id = billing_terms.organization_id AND state = 'live' AND seat_roles LIKE '%,' || role || ',%')
         FROM billing_terms WHERE organization_id = $1 AND seat_roles <> ''"
    );
    Ok(tx.read_opt(statement, params![organization]).await?)
}

/// The number of seats at this moment: asked for when it is told, and not before.
///
/// # Errors
/// The database's.
pub async fn seats(plane: &Arc<Plane>, organization: Uuid) -> Result<Option<i64>> {
    let cx = Cx::new(plane, "billing").with_actor(Actor::System);
    cx.read(async move |_, tx| count_seats(tx, organization).await).await
}

/// Puts into the outbox that the quantity of subscriptions becomes the number of seats, where the two differ.
///
/// # Errors
/// The database's.
pub(crate) async fn follow_seats(cx: &Cx) -> Result<()> {
    let different = sql!(
        "SELECT organization_id, {columns} FROM billing_subscriptions AS own
         WHERE subject_id IS NULL AND ended_at IS NULL AND quantity IS NOT NULL
           AND quantity <> (SELECT (SELECT count(*) FROM members
                                    WHERE members.organization_id = billing_terms.organization_id AND state = 'live'
                                      AND seat_roles LIKE '%,' || role || ',%')
                            FROM billing_terms WHERE billing_terms.organization_id = own.organization_id AND seat_roles <> '')
           AND EXISTS (SELECT 1 FROM organizations WHERE organizations.id = own.organization_id AND state = 'live' AND archived_at IS NULL)
           AND NOT EXISTS (SELECT 1 FROM effects WHERE effects.organization_id = own.organization_id AND effects.queue_id = own.id
                                                   AND action = 'subscription.set_quantity' AND state <> 'delivered' AND NOT is_given_up)
         ORDER BY organization_id, id LIMIT $1",
        Linked
    );
    let found: Vec<(Uuid, Linked)> = cx.read(async move |_, tx| Ok(tx.read_all(different, params![QUANTITIES]).await?)).await?;
    for (organization, linked) in found {
        cx.write_behind(false, async move |cx, tx| {
            queue(cx, tx, organization, &linked, (Step::SetQuantity, None), &Terms::default()).await
        })
        .await?;
    }
    Ok(())
}

sql::words! {
    /// What became of an event from Stripe.
    pub enum Heard {
        /// The subscription is read again.
        Read = "read",
        /// A subscription was linked.
        Linked = "linked",
        /// A subscription began for an organization that is deleted, and is cancelled.
        Cancelled = "cancelled",
        /// It is about nothing that is linked here, or is any more.
        Unknown = "unknown",
        /// It is about something else.
        Ignored = "ignored",
    }
}

/// Hears an event from Stripe: what it says is not believed, but read again there. So one that comes twice, late or before an earlier one does no
/// harm.
///
/// # Errors
/// [`Error::Malformed`] when it is not signed by Stripe, now.
pub async fn hear(cx: &Cx, signature: Option<&str>, body: &[u8]) -> Result<Heard> {
    check_signature(&cx.plane.config.stripe.webhook_secrets, signature, body, cx.now.as_second())?;
    let event: Json = serde_json::from_slice(body).map_err(|_| Error::Malformed("The event is not JSON.".into()))?;
    let Some(begun) = Begun::read(&event) else { return Ok(Heard::Ignored) };
    let heard = cx.clone().with_actor(Actor::System).write_as_server(async move |cx, tx| hear_in(cx, tx, &begun).await).await?;
    tracing::info!(event = event["id"].as_str().filter(|id| id.len() <= 255), outcome = heard.name(), "an event from Stripe");
    Ok(heard)
}

fn check_signature(secrets: &[String], header: Option<&str>, body: &[u8], now: i64) -> Result<()> {
    let refused = |words: &str| Err(Error::Malformed(words.into()));
    if secrets.is_empty() {
        return refused("This server takes no events from Stripe: its operator sets --stripe-webhook-secret.");
    }
    let parts = || header.unwrap_or_default().split(',').filter_map(|part| part.trim().split_once('='));
    let time: Option<i64> = parts().find(|(name, _)| *name == "t").and_then(|(_, time)| time.parse().ok());
    let Some(time) = time else { return refused("The header Stripe-Signature is missing or is not one: it has no time.") };
    if (now.saturating_sub(time)).saturating_abs() > TOLERANCE {
        return refused("The signature is older than five minutes, or a clock is wrong.");
    }
    let signed = [time.to_string().as_bytes(), b".", body].concat();
    let is_good = |secret: &String, given: &str| {
        let Ok(given) = (0..given.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(given.get(at..at + 2).unwrap_or("x"), 16))
            .collect::<std::result::Result<Vec<u8>, _>>()
        else {
            return false;
        };
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), &signed, &given).is_ok()
    };
    // A header with thousands of signatures costs as much as one with a few.
    let mut given = parts().filter(|(name, _)| *name == "v1").take(8);
    match given.any(|(_, given)| secrets.iter().any(|secret| is_good(secret, given))) {
        true => Ok(()),
        false => refused("The signature is not Stripe's: look whether --stripe-webhook-secret is that of this endpoint."),
    }
}

/// A subscription that an event speaks of.
struct Begun {
    subscription: String,
    organization: Option<Uuid>,
    customer: Option<String>,
    has_ended: bool,
}

impl Begun {
    fn read(event: &Json) -> Option<Begun> {
        let (kind, object) = (event["type"].as_str()?, &event["data"]["object"]);
        let (subscription, named) = match kind {
            _ if kind.starts_with("customer.subscription.") => (object["id"].as_str(), &object["metadata"][ORGANIZATION_KEY]),
            "checkout.session.completed" => {
                (object["subscription"].as_str().or(object["subscription"]["id"].as_str()), &object["client_reference_id"])
            }
            _ => return None,
        };
        let subscription = subscription.filter(|id| check_id(id).is_ok())?;
        Some(Begun {
            subscription: subscription.to_owned(),
            organization: named.as_str().and_then(ids::parse),
            customer: object["metadata"][CUSTOMER_KEY].as_str().map(str::to_owned),
            has_ended: matches!(object["status"].as_str(), Some("canceled" | "incomplete_expired")),
        })
    }
}

async fn hear_in(cx: &Cx, tx: &mut Tx, begun: &Begun) -> Result<Heard> {
    if let Some((organization, linked)) = find(tx, &begun.subscription).await? {
        read_again(cx, tx, organization, &linked).await?;
        return Ok(Heard::Read);
    }
    let Some(organization) = begun.organization else { return Ok(Heard::Unknown) };
    let state = sql!("SELECT state FROM organizations WHERE id = $1 FOR UPDATE");
    match tx.read_opt::<String>(state, params![organization]).await?.as_deref() {
        Some("live") => link_begun(cx, tx, organization, begun).await,
        _ if begun.has_ended => Ok(Heard::Unknown),
        _ => cancel_begun(cx, tx, organization, begun).await,
    }
}

/// Reads a subscription again, unless that is about to happen.
async fn read_again(cx: &Cx, tx: &mut Tx, organization: Uuid, linked: &Linked) -> Result<()> {
    let waiting = sql!(
        "SELECT 1 FROM effects WHERE organization_id = $1 AND queue_id = $2 AND action = $3 AND state = 'pending' AND attempts = 0
                                 AND next_attempt_at <= $4"
    );
    if tx.query_opt(waiting, params![organization, linked.id, Step::Read, cx.now]).await?.is_some() {
        return Ok(());
    }
    queue(cx, tx, organization, linked, (Step::Read, None), &Terms::default()).await
}

async fn link_begun(cx: &Cx, tx: &mut Tx, organization: Uuid, begun: &Begun) -> Result<Heard> {
    let customer = match &begun.customer {
        None => None,
        Some(reference) => match locks::hold_customer(tx, organization, reference).await? {
            Some(customer) => Some(customer),
            None => return Ok(Heard::Unknown),
        },
    };
    let id = insert(cx, tx, organization, customer, &begun.subscription).await?;
    let note = Note {
        action: "billing.link",
        subject: "organization",
        subject_id: Some(organization),
        detail: Some(begun.subscription.clone()),
        ..Note::default()
    };
    audit::record(cx, tx, organization, &note).await?;
    let linked = Linked { id, subscription: begun.subscription.clone(), customer };
    queue(cx, tx, organization, &linked, (Step::Read, None), &Terms::default()).await?;
    Ok(Heard::Linked)
}

/// Cancels a subscription that began while its organization was being deleted, or after that: nobody is left to use what it pays for. Only where
/// this server has deleted it: other servers may share the account at Stripe.
async fn cancel_begun(cx: &Cx, tx: &mut Tx, organization: Uuid, begun: &Begun) -> Result<Heard> {
    let deleted = sql!(
        "SELECT 1 FROM deletions WHERE organization_id = $1 AND subject_id = $1 AND root = 'organization' AND state IN ('closed', 'draining', 'completed')"
    );
    if tx.query_opt(deleted, params![organization]).await?.is_none() {
        return Ok(Heard::Unknown);
    }
    let hash = digest::digest(&digest::SHA256, begun.subscription.as_bytes());
    let id = Uuid::from_slice(&hash.as_ref()[..16]).map_err(|error| Error::Internal(error.to_string()))?;
    let known = sql!("SELECT 1 FROM effects WHERE organization_id = $1 AND queue_id = $2");
    if tx.query_opt(known, params![SERVER_SCOPE, id]).await?.is_none() {
        let linked = Linked { id, subscription: begun.subscription.clone(), customer: None };
        queue(cx, tx, SERVER_SCOPE, &linked, (Step::Cancel, None), &Terms::default()).await?;
        let note = Note {
            action: "billing.cancel",
            subject: "organization",
            subject_id: Some(organization),
            detail: Some(format!("{} began after the organization was deleted", begun.subscription)),
            ..Note::default()
        };
        audit::record(cx, tx, SERVER_SCOPE, &note).await?;
    }
    Ok(Heard::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    #[test]
    fn an_event_is_believed_only_with_a_signature_of_one_of_the_secrets_and_of_now() {
        let secrets = ["whsec_old".to_owned(), "whsec_new".to_owned()];
        let sign = |secret: &str, time: i64, body: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            hex(hmac::sign(&key, format!("{time}.{body}").as_bytes()).as_ref())
        };
        let check = |header: &str| check_signature(&secrets, Some(header), b"{}", 1_000);
        for secret in &secrets {
            check(&format!("t=1000,v1={}", sign(secret, 1_000, "{}"))).unwrap();
        }
        check(&format!("t=1000,v1=00,v0=11,v1={}", sign("whsec_new", 1_000, "{}"))).unwrap();
        check(&format!("t=1299, v1={}", sign("whsec_new", 1_299, "{}"))).unwrap();
        let good = sign("whsec_new", 1_000, "{}");
        let bad = [
            String::new(),
            "t=1000".to_owned(),
            format!("v1={good}"),
            format!("t=1001,v1={good}"),
            format!("t=1000,v0={good}"),
            format!("t=1000,v1={good}0"),
            format!("t=1000,v1={}", sign("whsec_other", 1_000, "{}")),
            format!("t=1000,v1={}", sign("whsec_new", 1_000, "{ }")),
            format!("t=699,v1={}", sign("whsec_new", 699, "{}")),
            format!("t=1301,v1={}", sign("whsec_new", 1_301, "{}")),
            "t=1000,v1=é".to_owned(),
        ];
        for header in bad {
            assert!(check(&header).is_err(), "{header}");
        }
        assert!(check_signature(&[], Some(&format!("t=1000,v1={good}")), b"{}", 1_000).is_err());
    }
}
