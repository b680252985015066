//! What webhooks were told, and are still to be told: the history of deliveries, and what members do about one.

use jiff::Timestamp;
use sql::{columns, params, sql};
use uuid::Uuid;

use super::State;
use crate::Result;
use crate::access::enter;
use crate::cx::Cx;
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::Action;
use crate::webhooks;

pub use super::resending::{Ended, Resend, Resent, give_up, resend, resend_all};

/// What a webhook was told, or is still to be told.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Delivery {
    /// The event's id: the header `webhook-id`, the same for every webhook and every attempt.
    pub id: Uuid,
    /// The event's name.
    #[schemars(length(min = 1, max = 50), example = &"customer.deleted")]
    pub event: String,
    /// Events about the same thing have rising numbers: a receiver that knows of a higher one drops the lower. It is in the payload, too.
    #[schemars(example = 1_796_059_956_000_000_i64)]
    pub sequence: i64,
    /// What is sent; null once it was delivered and the deletion that it speaks of is completed.
    #[serde(serialize_with = "crate::wire::json_text")]
    #[schemars(with = "Option<crate::wire::Anything>")]
    pub payload: Option<String>,
    /// How far it is.
    pub state: State,
    /// Attempts that came to an end.
    #[schemars(example = 1)]
    pub attempts: i64,
    /// The status of the last answer.
    #[schemars(range(min = 100, max = 999), example = 204)]
    pub response_status: Option<i64>,
    /// The beginning of the last answer, if it was none that took it; null once the deletion that it speaks of is completed, and for receivers in
    /// networks that the server's operator has opened.
    #[schemars(length(min = 0, max = 1_000), example = &"no such customer")]
    pub response_body: Option<String>,
    /// Why the last attempt failed.
    #[schemars(length(min = 1, max = 200), example = &"no answer within 10 seconds")]
    pub error: Option<String>,
    /// While it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// While it is pending: when it is tried for the last time.
    pub retry_until: Option<Timestamp>,
    /// When it happened.
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    pub finished_at: Option<Timestamp>,
}

columns! { Delivery {
    id, event: "action", sequence, payload, state, attempts, response_status, response_body, error,
    next_attempt_at: "CASE WHEN state = 'pending' THEN next_attempt_at END", retry_until: "CASE WHEN state = 'pending' THEN retry_until END",
    created_at, finished_at,
} }

/// Lists a webhook's deliveries, newest first: those that wait, those that were given up, and the last hundred that were delivered.
///
/// # Errors
/// Those of [`webhooks::get`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, webhook: Uuid, request: PageRequest) -> Result<Page<Delivery>> {
    webhooks::get(cx, organization, webhook).await?;
    let tenant = enter(cx, organization, Action::ReadWebhooks).await?;
    cx.read(async move |_, tx| {
        let count = sql!("SELECT count(*) FROM effects WHERE organization_id = $1 AND queue_id = $2");
        let total = match request.after {
            Some(_) => 0,
            None => tx.read_one(count, params![tenant.organization(), webhook]).await?,
        };
        let statement = sql!(
            "SELECT {columns} FROM effects WHERE organization_id = $1 AND queue_id = $2 AND id < $5
             ORDER BY id DESC LIMIT $3 OFFSET $4",
            Delivery
        );
        let deliveries =
            tx.read_all(statement, params![tenant.organization(), webhook, request.limit(), request.offset(), request.below()]).await?;
        Ok(Page::part(deliveries, total, request, |delivery: &Delivery| delivery.id))
    })
    .await
}
