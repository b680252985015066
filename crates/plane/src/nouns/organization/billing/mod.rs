//! Billing: which subscriptions at the payment provider, Stripe, belong to an organization and to its customers, and how they end.
//!
//! Links are made by operators, who name a subscription; by owners, through a checkout that the server begins for them; and by the product's own back
//! end, which writes `freehold_organization` and `freehold_customer` into the subscription's metadata at Stripe. A member can never name a
//! subscription: it could be another organization's. What a deletion does to them: `deletions/orders/subscriptions.rs`.

mod events;
mod linking;
mod seats;
mod terms;

pub use events::{Begun, CUSTOMER_KEY, Heard, ORGANIZATION_KEY, Told, claim, hear};
pub use linking::{check_id, link, may_link, unlink};
pub(crate) use linking::{lock_organization, note_state};
pub(crate) use seats::follow_seats;
pub use seats::seats;
pub use terms::{Billing, BillingChange, BillingSubscription, NewCheckout, StripeForm, change, checkout, get, list, portal};
