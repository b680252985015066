//! Who may do what: the only place that decides it.
//!
//! [`decide`] is a pure function over an exhaustive match, one line an action: a new action does not compile until there is a line for it.
//! The whole matrix is printed into `docs/policy.md`, and a test holds the two together.

use Role::{Admin, Billing, Master, Member, Owner, Reseller, Viewer};

sql::words! {
    /// What a member is in an organization.
    pub enum Role {
        /// Everything; alone may delete the organization.
        Owner = "owner",
        /// Everything but the organization itself and its owners.
        Admin = "admin",
        /// All customers.
        Master = "master",
        /// The customers under their own management, nothing else.
        Reseller = "reseller",
        /// Reads the organization, works with customers.
        Member = "member",
        /// Reads, and billing.
        Billing = "billing",
        /// Reads.
        Viewer = "viewer",
    }
}

/// What a service account can be. An owner is a person: who approves of what others delete, and hands the organization over. Resellers are
/// persons too, with customers under their own management.
pub const SERVICE_ROLES: [Role; 5] = [Role::Admin, Role::Master, Role::Member, Role::Billing, Role::Viewer];

impl Role {
    /// What a credential with scopes needs to give or offer this role: all that the role needs for what it allows. What every member may
    /// do about themselves counts for none.
    pub fn scopes(self) -> Scopes {
        let about_others = |action: &&Action| !matches!(action, Action::Leave | Action::RevokeOwnApiKey | Action::RotateOwnApiKey);
        let allowed = Action::ALL.iter().filter(about_others).filter(|action| decide(self, **action) != Verdict::No);
        Scopes(allowed.fold(0, |set, action| set | bit(action.scope())))
    }

    /// The action of inviting a person to be this.
    pub fn inviting(self) -> Action {
        match self {
            Owner => Action::InviteOwner,
            Reseller => Action::InviteReseller,
            Admin | Master | Member | Billing | Viewer => Action::Invite,
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $scope:literal,)*) => {
        /// Something an actor may want to do in an organization.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &[Action] = &[$(Action::$name,)*];

            /// The scope that a key or token with scopes needs for it.
            pub fn scope(self) -> &'static str {
                match self {
                    $(Action::$name => $scope,)*
                }
            }
        }
    };
}

actions! {
    /// Read the organization's profile.
    ReadOrganization = "read:organization",
    /// Change the organization's profile.
    UpdateOrganization = "write:organization",
    /// Make the organization read-only, or writable again.
    ArchiveOrganization = "admin:organization",
    /// Hand the organization over to another member.
    TransferOrganization = "admin:organization",
    /// Delete the organization and everything in it.
    DeleteOrganization = "admin:organization",
    /// Delete an organization that has no owner.
    DeleteOwnerless = "admin:organization",
    /// Make a person an owner of an organization whose owners are gone or cannot sign in.
    RecoverOrganization = "admin:organization",
    /// Read and change how many requests an organization may make.
    ChangeLimits = "admin:organization",
    /// List the members.
    ListMembers = "read:members",
    /// Change the role of a member, to and from any but owner.
    ChangeRole = "write:members",
    /// Make a member an owner, or an owner something else.
    ChangeOwnerRole = "write:members",
    /// Remove another member who is not an owner.
    RemoveMember = "write:members",
    /// Remove a reseller.
    RemoveReseller = "write:members",
    /// Remove an owner.
    RemoveOwner = "write:members",
    /// Remove oneself.
    Leave = "write:members",
    /// Invite a person, to any role but owner.
    Invite = "write:members",
    /// Invite a person to be a reseller.
    InviteReseller = "write:members",
    /// Invite a person to be an owner.
    InviteOwner = "write:members",
    /// List the invitations.
    ListInvitations = "read:members",
    /// Cancel an invitation.
    CancelInvitation = "write:members",
    /// Read customers and what they own.
    ReadCustomers = "read:customers",
    /// Read customers who were softly deleted and are kept.
    ReadDeletedCustomers = "write:customers",
    /// Create customers, and add to what they own.
    WriteCustomers = "write:customers",
    /// Put a customer under another member's management.
    AssignCustomer = "write:customers",
    /// Make a customer read-only, or writable again.
    ArchiveCustomer = "write:customers",
    /// Delete a customer as the organizations API documents it: for good.
    DeleteCustomer = "write:customers",
    /// Delete a customer as the customer API documents it: marked, stripped and kept.
    RetireCustomer = "write:customers",
    /// Delete a customer for good through the customer API.
    EraseCustomer = "write:customers",
    /// List the API keys.
    ListApiKeys = "write:organization",
    /// Make an API key.
    CreateApiKey = "write:organization",
    /// Change an API key.
    UpdateApiKey = "write:organization",
    /// Change an API key that acts as an owner.
    UpdateOwnerApiKey = "write:organization",
    /// Revoke one's own API key.
    RevokeOwnApiKey = "write:organization",
    /// Revoke another member's API key.
    RevokeApiKey = "write:organization",
    /// Give one's own API key a new secret.
    RotateOwnApiKey = "write:organization",
    /// Give another member's API key a new secret. Those who have it act as that member.
    GiveToApiKey = "write:organization",
    /// Read webhooks and their deliveries.
    ReadWebhooks = "read:webhooks",
    /// Make and change webhooks.
    WriteWebhooks = "write:webhooks",
    /// Delete a webhook.
    DeleteWebhook = "write:webhooks",
    /// Read OAuth apps.
    ReadOauthApps = "write:oauth-apps",
    /// Make and change OAuth apps.
    WriteOauthApps = "write:oauth-apps",
    /// Give more to another member's OAuth app: wider scopes, a new secret, active again. Those who have the secret act as that member.
    GiveToOauthApp = "write:oauth-apps",
    /// Delete an OAuth app and every token of it.
    DeleteOauthApp = "write:oauth-apps",
    /// Revoke a token of an OAuth app.
    RevokeOauthToken = "write:oauth-apps",
    /// Read the organization's subscriptions and how they end.
    ReadBilling = "read:organization",
    /// Begin a subscription of the organization, and manage it at the payment provider.
    ManageBilling = "write:organization",
    /// Change how subscriptions end with what is deleted, and who counts as a seat.
    ChangeBilling = "admin:organization",
    /// Link a subscription at the payment provider, or end such a link.
    LinkSubscription = "admin:organization",
    /// Read the audit trail.
    ReadAudit = "admin:organization",
    /// Read deletions and their progress.
    ReadDeletions = "admin:organization",
    /// Take a deletion back in its grace period.
    RestoreDeletion = "admin:organization",
    /// Stop a purge that is under way.
    StopPurge = "write:customers",
    /// Take everything the organization owns out as an archive.
    ExportOrganization = "admin:organization",
    /// Take everything a customer owns out as an archive.
    ExportCustomer = "read:customers",
    /// Read legal holds.
    ReadHolds = "admin:organization",
    /// Place a legal hold.
    PlaceHold = "admin:organization",
    /// Release a legal hold.
    ReleaseHold = "admin:organization",
    /// Change what the organization asks of those who delete.
    ChangeRequirements = "admin:organization",
    /// Read the approvals that can still be used.
    ReadApprovals = "admin:organization",
    /// Approve of what another member deletes, or take an approval back.
    ApproveDeletion = "admin:organization",
}

/// A set of actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Actions(u64);

const _: () = assert!(Action::ALL.len() <= u64::BITS as usize);

impl Actions {
    pub(crate) fn with(self, action: Action) -> Actions {
        Actions(self.0 | 1 << action as u64)
    }

    pub(crate) fn each(self) -> impl Iterator<Item = Action> {
        Action::ALL.iter().copied().filter(move |action| self.0 & 1 << *action as u64 != 0)
    }
}

/// The answer to "may they?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Yes,
    /// Only with customers under their own management.
    Managed,
    /// No.
    No,
}

/// Whether a role may do something in its organization.
pub fn decide(role: Role, action: Action) -> Verdict {
    match action {
        Action::ReadOrganization => Verdict::Yes,
        Action::UpdateOrganization => only(role, &[Owner]),
        Action::ArchiveOrganization => only(role, &[Owner]),
        Action::TransferOrganization => only(role, &[Owner]),
        Action::DeleteOrganization => only(role, &[Owner]),
        Action::DeleteOwnerless => only(role, &[]),
        Action::RecoverOrganization => only(role, &[]),
        Action::ChangeLimits => only(role, &[]),
        Action::ListMembers => only(role, &[Owner, Admin, Master, Member, Billing, Viewer]),
        Action::ChangeRole => only(role, &[Owner, Admin]),
        Action::ChangeOwnerRole => only(role, &[Owner]),
        Action::RemoveMember => only(role, &[Owner, Admin]),
        Action::RemoveReseller => only(role, &[Owner, Admin, Master]),
        Action::RemoveOwner => only(role, &[Owner]),
        Action::Leave => Verdict::Yes,
        Action::Invite => only(role, &[Owner, Admin]),
        Action::InviteReseller => only(role, &[Owner, Admin, Master]),
        Action::InviteOwner => only(role, &[Owner]),
        Action::ListInvitations => only(role, &[Owner, Admin]),
        Action::CancelInvitation => only(role, &[Owner, Admin]),
        Action::ReadCustomers => managed(role, &[Owner, Admin, Master, Member, Billing, Viewer]),
        Action::ReadDeletedCustomers => managed(role, &[Owner, Admin, Master]),
        Action::WriteCustomers => managed(role, &[Owner, Admin, Master, Member]),
        Action::AssignCustomer => only(role, &[Owner, Admin, Master]),
        Action::ArchiveCustomer => managed(role, &[Owner, Admin, Master]),
        Action::DeleteCustomer => managed(role, &[Owner, Admin, Master, Member]),
        Action::RetireCustomer => managed(role, &[Owner, Admin, Master]),
        Action::EraseCustomer => only(role, &[Owner, Admin]),
        Action::ListApiKeys => only(role, &[Owner, Admin]),
        Action::CreateApiKey => only(role, &[Owner, Admin]),
        Action::UpdateApiKey => only(role, &[Owner, Admin]),
        Action::UpdateOwnerApiKey => only(role, &[Owner]),
        Action::RevokeOwnApiKey => Verdict::Yes,
        Action::RevokeApiKey => only(role, &[Owner, Admin]),
        Action::RotateOwnApiKey => Verdict::Yes,
        Action::GiveToApiKey => only(role, &[]),
        Action::ReadWebhooks => only(role, &[Owner, Admin]),
        Action::WriteWebhooks => only(role, &[Owner, Admin]),
        Action::DeleteWebhook => only(role, &[Owner, Admin]),
        Action::ReadOauthApps => only(role, &[Owner, Admin]),
        Action::WriteOauthApps => only(role, &[Owner, Admin]),
        Action::GiveToOauthApp => only(role, &[]),
        Action::DeleteOauthApp => only(role, &[Owner, Admin]),
        Action::RevokeOauthToken => only(role, &[Owner, Admin]),
        Action::ReadBilling => only(role, &[Owner, Admin, Billing]),
        Action::ManageBilling => only(role, &[Owner, Billing]),
        Action::ChangeBilling => only(role, &[Owner]),
        Action::LinkSubscription => only(role, &[]),
        Action::ReadAudit => only(role, &[Owner, Admin]),
        Action::ReadDeletions => only(role, &[Owner, Admin]),
        Action::RestoreDeletion => only(role, &[Owner, Admin]),
        Action::StopPurge => managed(role, &[Owner, Admin, Master, Member]),
        Action::ExportOrganization => only(role, &[Owner]),
        Action::ExportCustomer => only(role, &[Owner, Admin]),
        Action::ReadHolds => only(role, &[Owner, Admin]),
        Action::PlaceHold => only(role, &[Owner, Admin]),
        Action::ReleaseHold => only(role, &[Owner]),
        Action::ChangeRequirements => only(role, &[Owner]),
        Action::ReadApprovals => only(role, &[Owner, Admin]),
        Action::ApproveDeletion => only(role, &[Owner]),
    }
}

/// Whether a platform operator may do something, also one who as a member may not. Operators look, they do not touch: what they want changed
/// they do as members or with the server's own command line. A legal hold touches nothing: it keeps others from it. And they take back what was
/// deleted by mistake, and stop what is being purged by mistake: it is who can no longer do it themselves, or not soon enough, that calls them.
/// So do people whose organization has no owner who could act: operators give it one, or delete it. How much of the server an organization may
/// use is theirs to say.
pub fn operator_may(action: Action) -> bool {
    match action {
        Action::ReadOrganization
        | Action::ReadBilling
        | Action::LinkSubscription
        | Action::ReadAudit
        | Action::DeleteOwnerless
        | Action::RecoverOrganization
        | Action::ChangeLimits
        | Action::ReadDeletions
        | Action::RestoreDeletion
        | Action::StopPurge
        | Action::ReadHolds
        | Action::PlaceHold
        | Action::ReleaseHold => true,
        Action::UpdateOrganization
        | Action::ArchiveOrganization
        | Action::TransferOrganization
        | Action::DeleteOrganization
        | Action::ListMembers
        | Action::ChangeRole
        | Action::ChangeOwnerRole
        | Action::RemoveMember
        | Action::RemoveReseller
        | Action::RemoveOwner
        | Action::Leave
        | Action::Invite
        | Action::InviteReseller
        | Action::InviteOwner
        | Action::ListInvitations
        | Action::CancelInvitation
        | Action::ReadCustomers
        | Action::ReadDeletedCustomers
        | Action::WriteCustomers
        | Action::AssignCustomer
        | Action::ArchiveCustomer
        | Action::DeleteCustomer
        | Action::RetireCustomer
        | Action::EraseCustomer
        | Action::ListApiKeys
        | Action::CreateApiKey
        | Action::UpdateApiKey
        | Action::UpdateOwnerApiKey
        | Action::RevokeOwnApiKey
        | Action::RevokeApiKey
        | Action::RotateOwnApiKey
        | Action::GiveToApiKey
        | Action::ReadWebhooks
        | Action::WriteWebhooks
        | Action::DeleteWebhook
        | Action::ReadOauthApps
        | Action::WriteOauthApps
        | Action::GiveToOauthApp
        | Action::DeleteOauthApp
        | Action::RevokeOauthToken
        | Action::ManageBilling
        | Action::ChangeBilling
        | Action::ExportOrganization
        | Action::ExportCustomer
        | Action::ChangeRequirements
        | Action::ReadApprovals
        | Action::ApproveDeletion => false,
    }
}

/// The words of a refusal. Those of the organization's deletion and of customers are part of the documented interface.
pub fn refusal(action: Action) -> &'static str {
    match action {
        Action::DeleteOrganization | Action::DeleteOwnerless => "Access denied. Only the organization owner can delete the organization",
        Action::RecoverOrganization => "Access denied. Only an operator of the server can recover an organization.",
        Action::LinkSubscription => "Access denied. Only an operator of the server can link subscriptions to an organization.",
        Action::ChangeBilling => "Access denied. Only the organization owner can change how subscriptions end.",
        Action::ManageBilling => "Access denied. Billing is for the organization's owner and members with the role billing.",
        Action::ChangeLimits => "Access denied. Only an operator of the server can read and change the limits of an organization.",
        Action::ExportOrganization => "Access denied. Only the organization owner can export the organization.",
        Action::ExportCustomer => "Access denied. Exporting a customer needs the role OWNER or ADMIN.",
        Action::ReleaseHold => "Access denied. Only the organization owner can release a hold.",
        Action::ChangeRequirements => "Access denied. Only the organization owner can change what is asked of those who delete.",
        Action::ApproveDeletion => "Access denied. Only the organization owner can approve a deletion or take an approval back.",
        Action::UpdateOrganization => "Access denied. Only the organization owner can change the organization.",
        Action::ArchiveOrganization => "Access denied. Only the organization owner can archive or unarchive the organization.",
        Action::TransferOrganization => "Access denied. Only the organization owner can transfer the organization.",
        Action::ChangeOwnerRole => "Access denied. Only an owner can make or unmake an owner.",
        Action::RemoveOwner => "Access denied. Only an owner can remove an owner.",
        Action::InviteOwner => "Access denied. Only an owner can invite an owner.",
        Action::UpdateOwnerApiKey => "Access denied. Only an owner can change an API key that acts as an owner.",
        Action::GiveToApiKey => {
            "Access denied. Only the member whose key it is, the key itself, and the key or token that made it give it a new secret: it acts as that member."
        }
        Action::GiveToOauthApp => {
            "Access denied. Only the member who made the app can widen its scopes, give it a new secret or make it active again: its tokens act as them."
        }
        Action::ReadDeletedCustomers => {
            "Access denied. Deleted customers are read by those who may delete them: ADMIN, MASTER or RESALE (those under their own management)."
        }
        Action::EraseCustomer => "Access denied. Only an ADMIN can hard-delete a customer.",
        Action::RetireCustomer => {
            "Access denied. Deleting a customer needs the role ADMIN, MASTER or RESALE (for customers under their own management)."
        }
        _ => "Access denied. Your role in this organization does not allow this.",
    }
}

fn only(role: Role, roles: &[Role]) -> Verdict {
    if roles.contains(&role) { Verdict::Yes } else { Verdict::No }
}

/// Like [`only`], and resellers with the customers they manage.
fn managed(role: Role, roles: &[Role]) -> Verdict {
    if role == Reseller { Verdict::Managed } else { only(role, roles) }
}

/// Scopes of keys and tokens, as the organizations API names them. They narrow what the role allows and never widen it.
pub const SCOPES: [&str; 13] = [
    "read:user",
    "write:user",
    "read:organization",
    "write:organization",
    "read:members",
    "write:members",
    "read:customers",
    "write:customers",
    "read:webhooks",
    "write:webhooks",
    "write:oauth-apps",
    "admin:organization",
    "admin:all",
];

/// A set of [`SCOPES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u16);

impl sql::FromValue for Scopes {
    fn from_value(value: sql::Value) -> sql::Result<Scopes> {
        Vec::<String>::from_value(value).map(|names| Scopes::of(&names))
    }
}

impl Scopes {
    /// Those of a list. Names that are no scope are not in it.
    pub fn of(names: &[String]) -> Scopes {
        Scopes(names.iter().fold(0, |set, name| set | bit(name)))
    }

    /// Whether a credential with these may be used for an action that needs `wanted`.
    pub fn covers(self, wanted: &str) -> bool {
        let has = |scope: &str| self.0 & bit(scope) != 0;
        has("admin:all") || has(wanted) || (has("admin:organization") && !wanted.ends_with(":user") && wanted != "admin:all")
    }

    /// Those of them that run the organization.
    pub fn administrative(self) -> Scopes {
        Scopes(SCOPES.iter().filter(|scope| scope.starts_with("admin:")).fold(0, |set, scope| set | (self.0 & bit(scope))))
    }

    /// Whether a credential with these may be used for all that needs any of the others.
    pub fn cover_all(self, others: Scopes) -> bool {
        SCOPES.iter().all(|scope| others.0 & bit(scope) == 0 || self.covers(scope))
    }

    /// What two sets both allow.
    pub fn common(self, other: Scopes) -> Scopes {
        let in_both = |scope: &&str| {
            let is_in = |set: Scopes| set.0 & bit(scope) != 0;
            (is_in(self) && other.covers(scope)) || (is_in(other) && self.covers(scope))
        };
        Scopes(SCOPES.iter().copied().filter(in_both).fold(0, |set, scope| set | bit(scope)))
    }

    /// Their names, in the order of [`SCOPES`].
    pub fn names(self) -> Vec<String> {
        SCOPES.into_iter().filter(|scope| self.0 & bit(scope) != 0).map(str::to_owned).collect()
    }
}

fn bit(scope: &str) -> u16 {
    SCOPES.iter().position(|known| *known == scope).map_or(0, |place| 1 << place)
}

/// The whole matrix as a Markdown page: what `docs/policy.md` holds.
pub fn matrix() -> String {
    let mut page = String::from(
        "# Who may do what\n\nPrinted from `crates/plane/src/kernel/rights/policy.rs` by `cargo xtask bless`; a test fails when the two differ. \
         *own* means: only with customers under their own management. The last column is the scope that a key or token with scopes needs as well.\n\n\
         | action | owner | admin | master | reseller | member | billing | viewer | outsider | operator | scope |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for action in Action::ALL {
        page.push_str(&format!("| {action:?} |"));
        for role in Role::ALL {
            page.push_str(match decide(role, *action) {
                Verdict::Yes => " yes |",
                Verdict::Managed => " own |",
                Verdict::No => " – |",
            });
        }
        page.push_str(if operator_may(*action) { " – | yes |" } else { " – | – |" });
        page.push_str(&format!(" `{}` |\n", action.scope()));
    }
    page
}
