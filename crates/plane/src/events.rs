//! What happens in an organization, as its webhooks are told: the names of all events, and how one is put into their queues.
//!
//! Payloads are thin: ids, and plain facts such as a role. No name, address or anything else about a person, so that the history of
//! deliveries holds none either; a receiver that wants more asks the API with the id.

use serde::Serialize;
use serde_json::{Value as Json, json};
use sql::{Statement, Tx, params, sql};
use uuid::Uuid;

use crate::Result;
use crate::cx::Cx;

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $wire:literal,)*) => {
        /// Something that webhooks can be told.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $name,)*
        }

        impl Event {
            /// Every event.
            pub const ALL: &[Event] = &[$(Event::$name,)*];

            /// Its name on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Event::$name => $wire,)*
                }
            }
        }
    };
}

events! {
    /// An organization was made. No webhook of its own can have subscribed to it yet.
    OrganizationCreated = "organization.created",
    /// An organization's profile was changed.
    OrganizationUpdated = "organization.updated",
    /// An organization was made read-only.
    OrganizationArchived = "organization.archived",
    /// An organization was made writable again.
    OrganizationRestored = "organization.restored",
    /// An organization was deleted. The last event of its webhooks.
    OrganizationDeleted = "organization.deleted",
    /// A person became a member.
    MemberAdded = "member.added",
    /// A member was removed, or left.
    MemberRemoved = "member.removed",
    /// A member has another role.
    MemberRoleUpdated = "member.role_updated",
    /// A person was invited.
    InviteCreated = "invite.created",
    /// An invitation was accepted.
    InviteAccepted = "invite.accepted",
    /// An invitation was cancelled.
    InviteCancelled = "invite.cancelled",
    /// A customer was made.
    CustomerCreated = "customer.created",
    /// A customer was changed.
    CustomerUpdated = "customer.updated",
    /// A customer was deleted, softly or for good.
    CustomerDeleted = "customer.deleted",
    /// An OAuth app was made.
    OauthAppCreated = "oauth_app.created",
    /// An OAuth app was deleted with its tokens.
    OauthAppRevoked = "oauth_app.revoked",
    /// An API key was made.
    ApiKeyCreated = "api_key.created",
    /// An API key was revoked.
    ApiKeyRevoked = "api_key.revoked",
    /// An API key ends by itself in 30, 7 or 1 days.
    ApiKeyExpiring = "api_key.expiring",
    /// A webhook was made.
    WebhookCreated = "webhook.created",
    /// A deletion was ordered: access has ended.
    DeletionStarted = "deletion.started",
    /// A deletion was sealed: nothing is left.
    DeletionCompleted = "deletion.completed",
    /// A deletion was taken back in its grace period.
    DeletionRestored = "deletion.restored",
    /// A deletion was refused because something stands in its way.
    DeletionBlocked = "deletion.blocked",
}

impl Event {
    /// The event of this name.
    pub fn parse(name: &str) -> Option<Event> {
        Event::ALL.iter().copied().find(|event| event.name() == name)
    }
}

/// What one event says.
pub(crate) struct Told {
    /// What happened.
    pub event: Event,
    /// The customer it speaks of, whose deletion erases it.
    pub subject_id: Option<Uuid>,
    /// The deletion that is not sealed before everybody was told.
    pub deletion_id: Option<Uuid>,
    /// One of [`crate::payloads`].
    pub data: Json,
}

/// Puts an event into the queue of every webhook of the organization that wants it, in the transaction of what happened. Returns how many.
/// `data` is one of [`crate::payloads`]; `subject_id` is the customer it speaks of, if it does.
pub(crate) async fn emit(
    cx: &Cx,
    tx: &mut Tx,
    organization: Uuid,
    event: Event,
    subject_id: Option<Uuid>,
    data: impl Serialize + Send,
) -> Result<u64> {
    tell(cx, tx, organization, Told { event, subject_id, deletion_id: None, data: as_json(&data) }).await
}

/// What a payload of [`crate::payloads`] comes to.
pub(crate) fn as_json(data: &impl Serialize) -> Json {
    serde_json::to_value(data).unwrap_or_default()
}

/// Like [`emit`], for an event that a deletion may wait for.
pub(crate) async fn tell(cx: &Cx, tx: &mut Tx, organization: Uuid, told: Told) -> Result<u64> {
    let statement = sql!(
        "INSERT INTO webhook_deliveries (organization_id, webhook_id, id, event, subject_id, deletion_id, payload, state, attempts,
                                         next_attempt_at, created_at)
         SELECT organization_id, id, $2, $3, $4, $5, $6, 'pending', 0, $7, $7
         FROM webhooks WHERE organization_id = $1 AND state = 'live' AND is_active AND events LIKE $8"
    );
    let values = params![
        organization,
        cx.new_id()?,
        told.event.name(),
        told.subject_id,
        told.deletion_id,
        payload(cx, told.event.name(), told.data),
        cx.now,
        format!("%,{},%", told.event.name()),
    ];
    let queued = tx.execute(statement, values).await.map_err(|error| match error {
        // A webhook was deleted in this very moment. What tells of itself is none the worse: it is done again without that.
        sql::Error::ForeignKey(words) => sql::Error::Retry(words),
        other => other,
    })?;
    if queued > 0 {
        ring(cx, tx);
    }
    Ok(queued)
}

/// Asks for the first of an organization's webhooks that could be told something.
pub(crate) const LISTENER: Statement = sql!("SELECT 1 FROM webhooks WHERE organization_id = $1 AND state = 'live' AND is_active LIMIT 1");

/// The body of a delivery, as Standard Webhooks spells it.
pub(crate) fn payload(cx: &Cx, name: &str, data: impl Serialize) -> String {
    let timestamp = cx.now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    json!({"type": name, "timestamp": timestamp, "data": as_json(&data)}).to_string()
}

/// Wakes the courier when the transaction at hand is committed.
pub(crate) fn ring(cx: &Cx, tx: &mut Tx) {
    let plane = cx.plane.clone();
    tx.on_commit(move || plane.courier_bell.notify_one());
}

/// A subscription as the database holds it: between commas, so that one name is found without finding another that contains it.
pub(crate) fn subscription_to_column(events: &[Event]) -> String {
    events.iter().fold(",".to_owned(), |column, event| format!("{column}{},", event.name()))
}

/// A subscription from the database. An event that this version does not know any more is left out.
pub(crate) fn subscription_from_column(column: &str) -> Vec<Event> {
    column.split(',').filter_map(Event::parse).collect()
}
