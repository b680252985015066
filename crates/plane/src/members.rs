//! Members: the users of an organization, each with a role.

use jiff::Timestamp;
use sql::{Row, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::deletion::{self, Deletion, Order, Root};
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::{Action, Role};
use crate::{Cx, Error, Result};

/// A membership with its user.
#[derive(Debug, Clone)]
pub struct Member {
    /// The membership's id, not the user's.
    pub id: Uuid,
    /// The user.
    pub user: Uuid,
    /// The user's address.
    pub email: String,
    /// The user's name.
    pub name: String,
    /// What the user is here.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
}

/// Lists the members, the longest-standing first.
///
/// # Errors
/// Those of [`enter`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, request: PageRequest) -> Result<Page<Member>> {
    let tenant = enter(cx, organization, Action::ListMembers).await?;
    cx.read((tenant, request), |_, tx, (tenant, request)| {
        Box::pin(async move {
            let count = sql!("SELECT count(*) FROM members WHERE organization_id = $1 AND state = 'live'");
            let total = tx.query_one(count, params![tenant.organization()]).await?.next()?;
            let statement = sql!(
                "SELECT members.id, users.id, users.email, users.name, members.role, members.created_at
                 FROM members JOIN users ON users.id = members.user_id
                 WHERE members.organization_id = $1 AND members.state = 'live' ORDER BY members.id LIMIT $2 OFFSET $3"
            );
            let rows = tx.query(statement, params![tenant.organization(), request.size, request.offset()]).await?;
            Ok(Page { entries: rows.into_iter().map(read).collect::<Result<_>>()?, total, request: *request })
        })
    })
    .await
}

/// Removes a member, or lets the actor leave when it is their own membership. The person's keys, tokens and sessions for this organization
/// stop at once; their other organizations are untouched.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::Blocked`] when the last owner would go.
pub async fn remove(cx: &Cx, organization: &OrganizationRef, member: Uuid, reason: Option<String>) -> Result<Deletion> {
    let note = Note { action: "member.remove", subject: "member", subject_id: Some(member), reason: reason.clone(), ..Note::default() };
    audit::attempt(cx, organization, note, async {
        let tenant = enter(cx, organization, Action::Leave).await?;
        if tenant.membership().is_none_or(|own| own.id != member) {
            tenant.also(cx, Action::RemoveMember)?;
        }
        cx.write((tenant, member, reason), |cx, tx, (tenant, member, reason)| Box::pin(remove_in(cx, tx, tenant, *member, reason))).await
    })
    .await
}

async fn remove_in(cx: &Cx, tx: &mut sql::Tx, tenant: &Tenant, member: Uuid, reason: &Option<String>) -> Result<Deletion> {
    // Two owners who leave at once must not both find the other still there.
    tenant.lock(tx).await?;
    // And what is being written down with this member's id must be there to be found.
    let statement =
        sql!("UPDATE members SET version = version + 1 WHERE organization_id = $1 AND id = $2 AND state = 'live' RETURNING role");
    let row = tx.query_opt(statement, params![tenant.organization(), member]).await?;
    let role: String = row.ok_or(Error::NotFound("Member"))?.next()?;
    let is_own = tenant.membership().is_some_and(|own| own.id == member);
    if role == Role::Owner.name() && !is_own {
        tenant.also(cx, Action::RemoveOwner)?;
    }
    let order = Order { root: Root::Member, subject: member, label: None, reason: reason.clone(), action: "member.remove" };
    deletion::delete(cx, tx, tenant.organization(), order).await
}

fn read(mut row: Row) -> Result<Member> {
    Ok(Member {
        id: row.next()?,
        user: row.next()?,
        email: row.next()?,
        name: row.next()?,
        role: {
            let role: String = row.next()?;
            Role::parse(&role).ok_or_else(|| Error::Internal(format!("a member has the unknown role {role}")))?
        },
        created_at: row.next()?,
    })
}
