//! How an organization is billed, how its subscriptions end, and the ways to Stripe's own pages.

use jiff::Timestamp;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use super::seats::count_seats;
use crate::access::enter;
use crate::audit::{self, Note};
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::{Action, Role};
use crate::subscription_steps::{OnDeletion, Terms, terms};
use crate::{Cx, Error, FieldError, Result};

/// Subscriptions of its own that an organization shows with its terms.
const MOST_OWN: i64 = 20;

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
    let tenant = enter(cx, organization, Action::ReadBilling).await?;
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
        let mut found: Vec<BillingSubscription> =
            tx.read_all(statement, params![organization, request.limit(), request.offset(), request.below()]).await?;
        // What an organization calls its customers is not for operators.
        if tenant.role().is_none() {
            found.iter_mut().for_each(|one| one.customer_id = None);
        }
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
    let prices = &cx.plane.config.stripe.prices;
    if prices.is_empty() {
        let words = "This server offers no prices: its operator names them with --stripe-prices.";
        return Err(Error::Conflict(words.into()));
    }
    if !prices.contains(&new.price) {
        check.refuse("price", "unknown_price", "must be one of the prices that the server offers (--stripe-prices)");
    }
    check.link("success_url", Some(&new.success_url)).link("cancel_url", new.cancel_url.as_deref());
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
        let none = || Error::Conflict("The organization has no subscription yet: begin one with a checkout.".into());
        let customer = stripe_customer(tx, tenant.organization()).await?.ok_or_else(none)?;
        Ok(vec![("customer", customer), ("return_url", return_url.clone())])
    })
    .await
}

async fn stripe_customer(tx: &mut Tx, organization: Uuid) -> Result<Option<String>> {
    let statement = sql!("SELECT stripe_customer_id FROM organizations WHERE id = $1");
    Ok(tx.read_one(statement, params![organization]).await?)
}
