//! Taking a deletion back. Where an organization grants a grace period, its deletions end access at once and erase nothing before the period
//! is over; until then what was closed can be opened again, as it was, but for the credentials: they are gone for good.

use std::time::Duration;

use deletion::{State, add, after};
use jiff::Timestamp;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::progress::Watched;
use super::records::{Deletion, watch};
use super::revoke_credentials::{self, end_credentials};
use super::{Order, effects, guards, subscriptions};
use crate::access::{self, Tenant, enter};
use crate::audit::{self, Note};
use crate::cx::{Actor, Cx};
use crate::deletion_rules::{RULES, Root};
use crate::events::Event;
use crate::ids::OrganizationRef;
use crate::policy::{Action, Role, operator_may};
use crate::{Error, Result, ledger, locks, notify};

const DAY: Duration = Duration::from_hours(24);

/// Until when what is deleted now can be taken back where the organization grants so many days. What the server does by itself cannot be
/// taken back, and a member who leaves has no use for it.
pub(crate) async fn until(cx: &Cx, tx: &mut Tx, organization: Uuid, (root, subject): (Root, Uuid), days: u32) -> Result<Option<Timestamp>> {
    let user = match &cx.actor {
        Actor::User(principal) => Some(principal.user),
        Actor::Orderer(orderer) => orderer.user,
        Actor::Anonymous | Actor::System => return Ok(None),
    };
    if days == 0 || root.definition().unmark.is_none() {
        return Ok(None);
    }
    if root == Root::Member {
        let own = sql!("SELECT 1 FROM members WHERE organization_id = $1 AND id = $2 AND user_id = $3");
        if tx.query_opt(own, params![organization, subject, user]).await?.is_some() {
            return Ok(None);
        }
    }
    Ok(Some(after(cx.now, DAY * days)))
}

/// Takes a deletion back whose grace period is not over: access to the subject is as it was, and its keys, tokens and sessions are gone. One
/// that was taken back already stays as it is.
///
/// For owners and admins of the organization; for the organization itself its owners and the platform's operators.
///
/// # Errors
/// Those of [`super::get`]; [`Error::Forbidden`]; [`Error::Conflict`] when there is nothing to take back any more, or its organization is
/// archived or deleted itself.
pub async fn restore(cx: &Cx, id: Uuid) -> Result<Watched> {
    let deletion = watch(cx, id).await?.deletion;
    let root = deletion.root;
    let note =
        Note { action: action(root), subject: root.noun(), subject_id: Some(deletion.subject), deletion_id: Some(id), ..Note::default() };
    audit::attempt(cx, &OrganizationRef::Id(deletion.organization), note.clone(), async {
        let inside = may_restore(cx, root, &deletion).await?;
        revoke_credentials::end_before_restoring(cx, root, &deletion).await?;
        let subject = deletion.subject;
        match inside {
            Some(tenant) => {
                let write = tenant.write_ending(cx, [subject], async move |cx, tx, _| restore_in(cx, tx, root, &deletion, &note).await);
                write.await
            }
            // The organization itself is closed, and lets no member in.
            None => {
                let write = cx.write_own_ending(Some(subject), async move |cx, tx| {
                    may_restore_organization(cx, tx, &deletion).await?;
                    restore_in(cx, tx, root, &deletion, &note).await
                });
                write.await
            }
        }
    })
    .await?;
    watch(cx, id).await
}

/// The word of the audit trail.
fn action(root: Root) -> &'static str {
    match root {
        Root::Organization => "organization.restore",
        Root::Member => "member.restore",
        _ => "customer.restore",
    }
}

/// The actor's right in the organization, unless it is the organization itself that is to be restored.
async fn may_restore(cx: &Cx, root: Root, deletion: &Deletion) -> Result<Option<Tenant>> {
    if root != Root::Organization {
        let tenant = enter(cx, &OrganizationRef::Id(deletion.organization), Action::RestoreDeletion).await?;
        let is_owner = root == Root::Member && was_owner(cx, deletion).await?;
        // Who may not make anybody an owner does not give one back either.
        let needs_owner = is_owner && tenant.role().is_some() && !cx.principal()?.is_operator;
        return Ok(Some(if needs_owner { tenant.also(cx, Action::ChangeOwnerRole)? } else { tenant }));
    }
    let deletion = deletion.clone();
    cx.read(async move |cx, tx| may_restore_organization(cx, tx, &deletion).await).await?;
    Ok(None)
}

async fn may_restore_organization(cx: &Cx, tx: &mut Tx, deletion: &Deletion) -> Result<()> {
    let principal = cx.needs(Action::RestoreDeletion.scope())?;
    // Of one that is gone there are no owners any more, and nothing to take back.
    let is_too_late = deletion.state != State::Reversible;
    let is_operator = principal.is_operator && operator_may(Action::RestoreDeletion);
    match is_too_late || is_operator || owns_closed(cx, tx, deletion.organization).await? {
        true => Ok(()),
        false => Err(Error::Forbidden("Access denied. Only an organization owner or an operator can restore the organization.".into())),
    }
}

async fn was_owner(cx: &Cx, deletion: &Deletion) -> Result<bool> {
    let (organization, member) = (deletion.organization, deletion.subject);
    cx.read(async move |_, tx| {
        let statement = sql!("SELECT 1 FROM members WHERE organization_id = $1 AND id = $2 AND role = $3");
        Ok(tx.query_opt(statement, params![organization, member, Role::Owner.name()]).await?.is_some())
    })
    .await
}

/// Whether an organization is deleted and can still be taken back.
pub(crate) async fn is_resting(tx: &mut Tx, organization: Uuid) -> Result<bool> {
    let statement = sql!("SELECT 1 FROM deletions WHERE organization_id = $1 AND subject_id = $1 AND state = 'reversible'");
    Ok(tx.query_opt(statement, params![organization]).await?.is_some())
}

/// Whether the actor is an owner of an organization that is closed and can be taken back.
pub(crate) async fn owns_closed(cx: &Cx, tx: &mut Tx, organization: Uuid) -> Result<bool> {
    let principal = cx.principal()?;
    // A credential of one organization is a stranger to every other.
    if principal.organization.is_some_and(|own| own != organization) {
        return Ok(false);
    }
    let statement = sql!(
        "SELECT 1 FROM members
         WHERE organization_id = $1 AND user_id = $2 AND role = $3 AND members.state = 'live'
           AND EXISTS (SELECT 1 FROM deletions
                       WHERE deletions.organization_id = $1 AND subject_id = $1 AND deletions.state = 'reversible')"
    );
    Ok(tx.query_opt(statement, params![organization, principal.user, Role::Owner.name()]).await?.is_some())
}

async fn restore_in(cx: &Cx, tx: &mut Tx, root: Root, deletion: &Deletion, note: &Note) -> Result<()> {
    // Its state is looked at again below, under its lock.
    cx.expects_tag(&deletion.etag())?;
    let (organization, id, subject) = (deletion.organization, deletion.id, deletion.subject);
    locks::keep_holds_out(tx, organization).await?;
    match root {
        Root::Member => hold_user(tx, organization, subject).await?,
        // From here on every deletion of an account sees this organization.
        Root::Organization => hold_users(tx, organization).await?,
        _ => {}
    }
    // This row's lock orders us and the end of the grace period.
    let Some(mut counts) = RULES.take_back(tx, organization, id, cx.now).await? else {
        return is_restored(tx, organization, id).await;
    };
    if root != Root::Organization {
        access::is_writable(tx, organization).await.map_err(|error| match error {
            Error::NotFound(_) => {
                Error::Conflict("The organization is being deleted: while that can be taken back, restore it first.".into())
            }
            other => other,
        })?;
    }
    if !root.plan().reopen(tx, organization, subject).await? {
        let words = "What it deleted is in the hands of another deletion by now: restore that one first.";
        return Err(Error::Conflict(words.into()));
    }
    if !is_kept(cx, tx, root, organization, subject).await? {
        for (table, rows) in end_credentials(cx, tx, (root, organization, subject), root.credentials()).await? {
            counts = add(counts, table, rows);
        }
    }
    if root == Root::Organization {
        part_with_the_gone(cx, tx, organization).await?;
    }
    hand_over_history(tx, root, deletion).await?;
    subscriptions::resume(cx, tx, organization, id).await?;
    let write_down = sql!("UPDATE deletions SET counts = $3 WHERE organization_id = $1 AND id = $2");
    tx.execute(write_down, params![organization, id, counts]).await?;
    audit::record(cx, tx, organization, note).await?;
    ledger::note(cx, tx, ledger::Entry::Restored(ledger::TakenBack { deletion: id, organization, root: root.name().into(), subject }))
        .await?;
    tell(cx, tx, root, deletion).await
}

/// What webhooks were told of the deletion is history like any other from here on: it goes by its age, and with the customer it speaks of.
async fn hand_over_history(tx: &mut Tx, root: Root, deletion: &Deletion) -> Result<()> {
    let customer = (root.noun() == "customer").then_some(deletion.subject);
    let statement = sql!(
        "UPDATE effects SET subject_id = $3, deletion_id = NULL, rank = 1 WHERE organization_id = $1 AND deletion_id = $2 AND kind = 'webhook'"
    );
    tx.execute(statement, params![deletion.organization, deletion.id, customer]).await?;
    Ok(())
}

/// Touches the accounts of all members of an organization: this waits for members who are deleting theirs.
async fn hold_users(tx: &mut Tx, organization: Uuid) -> Result<()> {
    let statement = sql!("UPDATE users SET state = state WHERE id IN (SELECT user_id FROM members WHERE organization_id = $1)");
    tx.execute(statement, params![organization]).await?;
    Ok(())
}

/// Ends the memberships of those who have deleted their accounts while the organization was deleted itself: their accounts wait for that.
async fn part_with_the_gone(cx: &Cx, tx: &mut Tx, organization: Uuid) -> Result<()> {
    let owner = sql!(
        "SELECT 1 FROM members JOIN users ON users.id = members.user_id
         WHERE members.organization_id = $1 AND members.role = $2 AND members.state = 'live' AND users.state = 'live' LIMIT 1"
    );
    if tx.query_opt(owner, params![organization, Role::Owner.name()]).await?.is_none() {
        let words = "All who owned the organization have deleted their accounts: no one is left to give it back to.";
        return Err(Error::Conflict(words.into()));
    }
    let gone = sql!(
        "SELECT members.id FROM members JOIN users ON users.id = members.user_id
         WHERE members.organization_id = $1 AND members.state = 'live' AND users.state <> 'live' ORDER BY members.id"
    );
    let by_itself = cx.clone().with_actor(Actor::System);
    for subject in tx.read_all::<Uuid>(gone, params![organization]).await? {
        let lock = sql!("UPDATE members SET version = version + 1 WHERE organization_id = $1 AND id = $2");
        tx.execute(lock, params![organization, subject]).await?;
        let order = Order {
            root: Root::Member,
            subject,
            label: None,
            reason: Some("The account was deleted by its person.".into()),
            action: "member.remove",
            detail: None,
            export: false,
        };
        super::delete(&by_itself, tx, organization, order).await?;
    }
    Ok(())
}

async fn tell(cx: &Cx, tx: &mut Tx, root: Root, deletion: &Deletion) -> Result<()> {
    let organization = deletion.organization;
    if root == Root::Organization {
        let data = crate::payloads::OrganizationEvent::of(organization);
        notify::emit(cx, tx, organization, Event::OrganizationRestored, notify::About::Other(organization), data).await?;
    }
    let data = effects::of_deletion(organization, deletion.id, root, deletion.subject);
    notify::emit(cx, tx, organization, Event::DeletionRestored, notify::About::Other(deletion.subject), data).await?;
    Ok(())
}

/// A person whose account is being deleted does not become a member again.
async fn hold_user(tx: &mut Tx, organization: Uuid, member: Uuid) -> Result<()> {
    let statement = sql!("SELECT user_id FROM members WHERE organization_id = $1 AND id = $2");
    let gone = || Error::Conflict("The member's account is deleted: the membership cannot be given back.".into());
    let Some(user) = tx.read_opt(statement, params![organization, member]).await? else { return Ok(()) };
    locks::hold_user(tx, user).await.map_err(|error| match error {
        Error::Unauthenticated => gone(),
        other => other,
    })
}

/// Fails unless it was taken back already.
async fn is_restored(tx: &mut Tx, organization: Uuid, id: Uuid) -> Result<()> {
    let statement = sql!("SELECT state, reversible_until IS NULL FROM deletions WHERE organization_id = $1 AND id = $2");
    let found: Option<(State, bool)> = tx.read_opt(statement, params![organization, id]).await?;
    match found.ok_or(Error::NotFound("Deletion"))? {
        (State::Restored, _) => Ok(()),
        (_, true) => Err(Error::Conflict(
            "It had no grace period and cannot be taken back. Owners can set one with PUT …/organizations/{id}/deletion-requirements."
                .into(),
        )),
        _ => Err(Error::Conflict("Its grace period is over: what it deletes is being erased or is gone.".into())),
    }
}

/// Whether a hold keeps what opened the subject: what a customer had is kept by one, as everything about them.
pub(crate) async fn is_kept(cx: &Cx, tx: &mut Tx, root: Root, organization: Uuid, subject: Uuid) -> Result<bool> {
    Ok(root.noun() == "customer" && guards::is_held(tx, root, organization, subject, cx.now).await?)
}

/// Ends the grace periods of removals of a user who deletes their account: those memberships cannot be given back. The user's row is
/// locked.
pub(crate) async fn end_for(cx: &Cx, tx: &mut Tx, user: Uuid) -> Result<()> {
    let statement = sql!(
        "UPDATE deletions SET state = 'closed', updated_at = $2
         WHERE state = 'reversible' AND (organization_id, subject_id) IN (SELECT organization_id, id FROM members WHERE user_id = $1)"
    );
    if tx.execute(statement, params![user, cx.now]).await? > 0 {
        let engine = cx.plane.deletions.clone();
        tx.on_commit(move || engine.wake());
    }
    Ok(())
}
