//! Members: the users of an organization, each with a role.

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::authority::revoke;
use crate::deletions::{self, Deletion, Order, Purpose, Root};
use crate::events::Event;
use crate::fields::containing;
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::{Action, Role};
use crate::revisions::etag;
use crate::{Cx, Error, Result, ledger, notify, ownership};

/// A membership with its user.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Member {
    /// The membership's id, not the user's.
    pub id: Uuid,
    /// The user.
    #[serde(rename = "user_id")]
    pub user: Uuid,
    /// The user's address.
    #[schemars(length(min = 1, max = 254))]
    pub email: String,
    /// The user's name.
    #[schemars(length(min = 1, max = 100), example = &"Ada Lovelace")]
    pub name: String,
    /// What the user says about themselves: a flat object of texts.
    #[serde(skip)]
    pub user_metadata: Json,
    /// What the user is here.
    pub role: Role,
    /// Counts the changes of this membership, from 1.
    #[serde(skip)]
    pub revision: i64,
    /// Since when.
    pub created_at: Timestamp,
}

columns! { Member {
    id: "members.id", user: "users.id", email: "users.email", name: "users.name", user_metadata: "users.metadata", role: "members.role",
    revision: "members.revision", created_at: "members.created_at",
} }

impl Member {
    /// The tag of this state: the role's, since the rest is the user's own.
    pub fn etag(&self) -> String {
        etag(self.id, self.revision)
    }
}

/// Which members of a list are wanted.
#[derive(Debug, Clone, Default)]
pub struct MemberFilter {
    /// Those of one role.
    pub role: Option<Role>,
    /// Those whose address or name contains this, in whatever case and spelling; up to 200 characters.
    pub text: Option<String>,
}

/// Lists the members, the longest-standing first.
///
/// # Errors
/// Those of [`enter`]; [`Error::Invalid`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, filter: &MemberFilter, request: PageRequest) -> Result<Page<Member>> {
    let tenant = enter(cx, organization, Action::ListMembers).await?;
    let (role, pattern) = (filter.role, containing("q", filter.text.as_deref())?);
    cx.read_filtered(pattern.is_some(), async move |_, tx| {
        let role = role.map(Role::name);
        let count = sql!(
            "SELECT count(*) FROM members JOIN users ON users.id = members.user_id
             WHERE members.organization_id = $1 AND members.state = 'live' AND (members.role = $2 OR $2 IS NULL)
               AND (users.search_key LIKE $3 ESCAPE '!' OR $3 IS NULL)"
        );
        let total = tx.read_one(count, params![tenant.organization(), role, pattern.as_deref()]).await?;
        let statement = sql!(
            "SELECT {columns} FROM members JOIN users ON users.id = members.user_id
             WHERE members.organization_id = $1 AND members.state = 'live' AND (members.role = $2 OR $2 IS NULL)
               AND (users.search_key LIKE $3 ESCAPE '!' OR $3 IS NULL)
             ORDER BY members.id LIMIT $4 OFFSET $5",
            Member
        );
        let bound = params![tenant.organization(), role, pattern.as_deref(), request.size, request.offset()];
        Ok(Page::new(tx.read_all(statement, bound).await?, total, request))
    })
    .await
}

/// Reads a member.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`].
pub async fn get(cx: &Cx, organization: &OrganizationRef, member: Uuid) -> Result<Member> {
    let tenant = enter(cx, organization, Action::ListMembers).await?;
    cx.read(async move |_, tx| load(tx, &tenant, member).await).await
}

/// Gives a member another role. It counts from the answer on, for every session and key of the member; these go on working.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::Blocked`] when the organization would be without an owner; [`Error::Conflict`] when
/// it is archived.
pub async fn change_role(cx: &Cx, organization: &OrganizationRef, member: Uuid, role: Role) -> Result<Member> {
    let note = Note { action: "member.change_role", subject: "member", subject_id: Some(member), ..Note::default() };
    audit::attempt(cx, organization, note, async {
        // The answer is the member.
        let tenant = enter(cx, organization, Action::ChangeRole).await?.also(cx, Action::ListMembers)?;
        tenant.write_ending(cx, [member], async move |cx, tx, tenant| change_role_in(cx, tx, tenant, member, role).await).await
    })
    .await
}

async fn change_role_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, member: Uuid, role: Role) -> Result<Member> {
    // Two owners who demote each other at once must not both find the other still there.
    tenant.lock(tx).await?;
    tenant.is_writable(tx).await?;
    let old = lock(tx, tenant, member).await?.ok_or(Error::NotFound("Member"))?;
    expects(cx, tx, tenant, member).await?;
    let is_about_owners = old == Role::Owner || role == Role::Owner;
    tenant.also(cx, if is_about_owners { Action::ChangeOwnerRole } else { Action::ChangeRole })?;
    tenant.may_take(cx, old)?;
    tenant.may_give(cx, role)?;
    if old == role {
        return load(tx, tenant, member).await;
    }
    let blockers = match old {
        Role::Owner => deletions::last_owner(tx, tenant.organization(), member).await?,
        _ => Vec::new(),
    };
    if !blockers.is_empty() {
        return Err(Error::Blocked(blockers));
    }
    set_role(cx, tx, tenant, member, role).await?;
    if is_about_owners {
        ownership::count_change(cx, tx, tenant.organization()).await?;
    }
    let detail = Some(format!("from {} to {}", old.name(), role.name()));
    let note = Note { action: "member.change_role", subject: "member", subject_id: Some(member), detail, ..Note::default() };
    audit::record(cx, tx, tenant.organization(), &note).await?;
    load(tx, tenant, member).await
}

/// Touches a membership's row and returns its role; none when there is no such member. A transaction that writes the member's id down, or
/// changes the membership, waits from here on.
pub(crate) async fn lock(tx: &mut Tx, tenant: &Tenant, member: Uuid) -> Result<Option<Role>> {
    let statement =
        sql!("UPDATE members SET version = version + 1 WHERE organization_id = $1 AND id = $2 AND state = 'live' RETURNING role");
    Ok(tx.read_opt(statement, params![tenant.organization(), member]).await?)
}

/// Writes a role down. The organization and the membership are locked by the caller, who has looked at the guards.
pub(crate) async fn set_role(cx: &Cx, tx: &mut Tx, tenant: &Tenant, member: Uuid, role: Role) -> Result<()> {
    let statement = sql!("UPDATE members SET role = $3, revision = revision + 1 WHERE organization_id = $1 AND id = $2 AND state = 'live'");
    tx.execute(statement, params![tenant.organization(), member, role.name()]).await?;
    let data = crate::payloads::MemberRoleEvent { organization_id: tenant.organization(), id: member, role };
    notify::emit(cx, tx, tenant.organization(), Event::MemberRoleUpdated, notify::About::Other(member), data).await?;
    ledger::role_changed(cx, tx, tenant.organization(), member, role).await?;
    // The old role must not live on in memory.
    revoke(cx, tx, member).await
}

/// Removes a member, or lets the actor leave when it is their own membership. The person's keys, tokens and sessions for this organization
/// stop at once; their other organizations are untouched.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::Blocked`] when the last owner would go, or a legal hold is in force.
pub async fn remove(cx: &Cx, organization: &OrganizationRef, member: Uuid, reason: Option<String>) -> Result<Deletion> {
    let note = Note { action: "member.remove", subject: "member", subject_id: Some(member), reason: reason.clone(), ..Note::default() };
    audit::attempt(cx, organization, note, async {
        let tenant = enter_to_remove(cx, organization, member).await?;
        deletions::count_ahead(cx, &tenant).await?;
        tenant.write_ending(cx, [member], async move |cx, tx, tenant| remove_in(cx, tx, tenant, member, &reason).await).await
    })
    .await
}

async fn remove_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, member: Uuid, reason: &Option<String>) -> Result<Deletion> {
    // Two owners who leave at once must not both find the other still there.
    tenant.lock(tx).await?;
    let role = find_to_remove(cx, tx, tenant, member, Purpose::Deletion).await?;
    let order = Order {
        root: Root::Member,
        subject: member,
        label: None,
        reason: reason.clone(),
        action: "member.remove",
        detail: None,
        export: false,
    };
    let deletion = deletions::delete(cx, tx, tenant.organization(), order).await?;
    if role == Role::Owner {
        ownership::count_change(cx, tx, tenant.organization()).await?;
    }
    Ok(deletion)
}

/// Lets in who may remove the member, or at least some other: which of these it is, is known once it is found.
pub(crate) async fn enter_to_remove(cx: &Cx, organization: &OrganizationRef, member: Uuid) -> Result<Tenant> {
    let tenant = enter(cx, organization, Action::Leave).await?;
    if is_own(&tenant, member) { Ok(tenant) } else { tenant.also(cx, Action::RemoveReseller) }
}

/// Finds a member that is to be removed, checks that the actor may remove it, and returns its role.
pub(crate) async fn find_to_remove(cx: &Cx, tx: &mut Tx, tenant: &Tenant, member: Uuid, purpose: Purpose) -> Result<Role> {
    let statement = match purpose {
        Purpose::Plan => sql!("SELECT role, revision FROM members WHERE organization_id = $1 AND id = $2 AND state = 'live'"),
        // What is being written down with this member's id must be there to be found.
        Purpose::Deletion => sql!(
            "UPDATE members SET version = version + 1 WHERE organization_id = $1 AND id = $2 AND state = 'live' RETURNING role, revision"
        ),
    };
    let found = tx.read_opt(statement, params![tenant.organization(), member]).await?;
    let (role, revision) = found.ok_or(Error::NotFound("Member"))?;
    cx.expects(member, revision)?;
    if !is_own(tenant, member) {
        tenant.also(cx, removal(role))?;
        tenant.may_take(cx, role)?;
    }
    Ok(role)
}

fn is_own(tenant: &Tenant, member: Uuid) -> bool {
    tenant.membership().is_some_and(|own| own.id == member)
}

/// What it takes to remove another member of this role.
fn removal(role: Role) -> Action {
    match role {
        Role::Owner => Action::RemoveOwner,
        Role::Reseller => Action::RemoveReseller,
        _ => Action::RemoveMember,
    }
}

/// Holds a locked membership against what the caller had read, if they said so.
async fn expects(cx: &Cx, tx: &mut Tx, tenant: &Tenant, member: Uuid) -> Result<()> {
    if cx.precondition.is_none() {
        return Ok(());
    }
    let revision = load(tx, tenant, member).await?.revision;
    cx.expects(member, revision)
}

async fn load(tx: &mut Tx, tenant: &Tenant, member: Uuid) -> Result<Member> {
    let statement = sql!(
        "SELECT {columns} FROM members JOIN users ON users.id = members.user_id
         WHERE members.organization_id = $1 AND members.id = $2 AND members.state = 'live'",
        Member
    );
    tx.read_opt(statement, params![tenant.organization(), member]).await?.ok_or(Error::NotFound("Member"))
}
