//! What happens in an organization, as its webhooks are told: the names of all events, and how one is put into their queues.
//!
//! Payloads are thin: ids, and plain facts such as a role. No name, address or anything else about a person, so that the history of
//! deliveries holds none either; a receiver that wants more asks the API with the id.

sql::words! {
    /// Something that webhooks can be told.
    pub enum Event {
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
        /// A webhook was switched off: its receiver answered 410, or took nothing for five days.
        WebhookDisabled = "webhook.disabled",
        /// A deletion was ordered: access has ended.
        DeletionStarted = "deletion.started",
        /// A deletion was completed: nothing is left.
        DeletionCompleted = "deletion.completed",
        /// A deletion was taken back in its grace period.
        DeletionRestored = "deletion.restored",
        /// A deletion was refused because something stands in its way.
        DeletionBlocked = "deletion.blocked",
    }
}

/// A subscription as the database holds it: between commas, so that one name is found without finding another that contains it.
pub(crate) fn subscription_to_column(events: &[Event]) -> String {
    events.iter().fold(",".to_owned(), |column, event| format!("{column}{},", event.name()))
}

/// A subscription from the database. An event that this version does not know any more is left out.
pub(crate) fn subscription_from_column(column: String) -> Vec<Event> {
    column.split(',').filter_map(Event::parse).collect()
}
