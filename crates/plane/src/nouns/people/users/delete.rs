//! Deleting one's own account: every membership ends as a deletion of its own in its organization, and the account goes after the last of
//! them. All of it is ordered in one transaction, or refused with everything that stands in the way. What their organizations ask of those
//! who remove members is not asked of the person: leaving is a right.

use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::audit::{self, Note};
use crate::deletions::{self, Blocker, Deletion, Order, Root};
use crate::ids::OrganizationRef;
use crate::ids::SERVER_SCOPE;
use crate::policy::Role;
use crate::principal::CredentialKind;
use crate::{Cx, Error, Result, locks, ownership, sessions};

/// Memberships that end in one transaction at the most.
pub const MOST_MEMBERSHIPS: usize = 500;

/// A membership that is to end.
struct Membership {
    organization: Uuid,
    slug: String,
    id: Uuid,
    role: Role,
}

sql::columns! { Membership { organization: "members.organization_id", slug: "organizations.slug", id: "members.id", role: "members.role" } }

/// Deletes the signed-in user: memberships with their keys, apps and tokens, all sessions, preferences, the account. What others have that
/// mentions the person holds ids only, or no longer points at them.
///
/// # Errors
/// [`Error::Forbidden`] for anything but a session of the person's own that is bound to no organization and not older than ten minutes;
/// [`Error::Blocked`] with every organization that would be left without an owner, and for the last operator; [`Error::Conflict`] for a
/// user with more than [`MOST_MEMBERSHIPS`] memberships.
pub async fn delete(cx: &Cx, reason: Option<String>) -> Result<Deletion> {
    let user = may_delete(cx)?;
    let note = Note { reason: reason.clone(), ..audit::about_user("user.delete", user) };
    audit::attempt(cx, &OrganizationRef::Id(SERVER_SCOPE), note, async {
        let session = cx.principal()?.credential;
        cx.write_own_ending(Some(user), async move |cx, tx| delete_in(cx, tx, user, session, &reason).await).await
    })
    .await
}

/// The signed-in user, if the credential is one that may delete the account.
pub(crate) fn may_delete(cx: &Cx) -> Result<Uuid> {
    let principal = cx.principal()?;
    if principal.kind != CredentialKind::Session || principal.organization.is_some() {
        let words =
            "An account is deleted by its person: sign in without an organization instead of using a key, a token or a bound session.";
        return Err(Error::Forbidden(words.into()));
    }
    Ok(principal.user)
}

async fn delete_in(cx: &Cx, tx: &mut Tx, user: Uuid, session: Uuid, reason: &Option<String>) -> Result<Deletion> {
    // From here on this user cannot be signed in, nor be made a member of anything.
    locks::hold_user(tx, user).await?;
    sessions::is_fresh(cx, tx, session, "an account can be deleted").await?;
    lock_all(tx, user).await?;
    cx.expects_tag(&super::load(tx, user).await?.etag())?;
    let blockers = blockers(cx, tx, user).await?;
    if !blockers.is_empty() {
        return Err(Error::Blocked(blockers));
    }
    let cx = &deletions::check_plan(cx, tx, SERVER_SCOPE, (Root::User, user)).await?;
    deletions::end_grace_for(cx, tx, user).await?;
    let memberships = memberships(tx, user).await?;
    for membership in memberships {
        let order = Order {
            root: Root::Member,
            subject: membership.id,
            label: None,
            reason: Some("The account is being deleted by its person.".into()),
            action: "member.remove",
            detail: None,
            export: false,
        };
        deletions::delete(cx, tx, membership.organization, order).await?;
        if membership.role == Role::Owner {
            ownership::count_change(cx, tx, membership.organization).await?;
        }
    }
    let order =
        Order { root: Root::User, subject: user, label: None, reason: reason.clone(), action: "user.delete", detail: None, export: false };
    deletions::delete(cx, tx, SERVER_SCOPE, order).await
}

/// Everything that stands in the way: for each organization on its own, and for the server.
pub(crate) async fn blockers(cx: &Cx, tx: &mut Tx, user: Uuid) -> Result<Vec<Blocker>> {
    let mut blockers = last_operator(tx, user).await?;
    for membership in memberships(tx, user).await? {
        let found = deletions::blockers(cx, tx, Root::Member, membership.organization, membership.id).await?;
        blockers.extend(found.into_iter().map(|blocker| told_of(&membership, blocker)));
    }
    Ok(blockers)
}

/// Organizations are locked before memberships and one after the other by their ids, as by everybody who locks several.
async fn lock_all(tx: &mut Tx, user: Uuid) -> Result<()> {
    for membership in memberships(tx, user).await? {
        let organization = sql!("UPDATE organizations SET version = version + 1 WHERE id = $1");
        tx.execute(organization, params![membership.organization]).await?;
        let member = sql!("UPDATE members SET version = version + 1 WHERE organization_id = $1 AND id = $2");
        tx.execute(member, params![membership.organization, membership.id]).await?;
    }
    // Two operators who leave at once must not both find the other still there.
    let operators = sql!(
        "UPDATE users SET state = 'live'
         WHERE is_operator AND state = 'live' AND EXISTS (SELECT 1 FROM users AS leaving WHERE leaving.id = $1 AND leaving.is_operator)"
    );
    tx.execute(operators, params![user]).await?;
    Ok(())
}

/// The memberships in organizations that are there: one that is being deleted takes its own along.
async fn memberships(tx: &mut Tx, user: Uuid) -> Result<Vec<Membership>> {
    let statement = sql!(
        "SELECT {columns} FROM members JOIN organizations ON organizations.id = members.organization_id AND organizations.state = 'live'
         WHERE members.user_id = $1 AND members.state = 'live' ORDER BY members.organization_id LIMIT $2",
        Membership
    );
    let memberships: Vec<Membership> = tx.read_all(statement, params![user, MOST_MEMBERSHIPS as i64 + 1]).await?;
    if memberships.len() > MOST_MEMBERSHIPS {
        let words = format!("You are a member of more than {MOST_MEMBERSHIPS} organizations: leave some of them first.");
        return Err(Error::Conflict(words));
    }
    Ok(memberships)
}

/// A blocker of the end of a membership, in the words of who leaves everything.
fn told_of(membership: &Membership, blocker: Blocker) -> Blocker {
    match blocker.code {
        "last_owner" => Blocker {
            kind: "organization",
            id: membership.organization,
            detail: format!("You are the last owner of the organization {}.", membership.slug),
            remedy: "Hand it over: POST /api/organizations/{id}/transfer; or delete it: DELETE /api/organizations/{id}.",
            ..blocker
        },
        _ => blocker,
    }
}

async fn last_operator(tx: &mut Tx, user: Uuid) -> Result<Vec<Blocker>> {
    let statement = sql!(
        "SELECT 1 FROM users AS leaving
         WHERE leaving.id = $1 AND leaving.is_operator
           AND NOT EXISTS (SELECT 1 FROM users AS other WHERE other.id <> $1 AND other.is_operator AND other.state = 'live')"
    );
    Ok(match tx.query_opt(statement, params![user]).await? {
        None => Vec::new(),
        Some(_) => vec![Blocker {
            code: "last_operator",
            kind: "user",
            id: user,
            detail: "You are the last of the people who run this server.".into(),
            remedy: "Make another operator first: freehold operators add.",
        }],
    })
}
