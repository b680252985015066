//! Organizations whose owners are gone or cannot sign in: operators give one an owner, or delete one that has none, each time with a reason.
//!
//! Whether an owner can still sign in no database knows, so a person is made an owner beside those who are there. The organization's own trail
//! says so, its webhooks are told, and its owners can undo it.

use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, NO_ORGANIZATION, Note};
use crate::events::{self, Event};
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::normal_forms::email_key;
use crate::organizations::{self, Organization};
use crate::policy::{self, Action, Role};
use crate::{Cx, Error, FieldError, Result, members, sessions, users};

/// Who shall own the organization.
struct Heir {
    user: Uuid,
    /// The membership that they have, and what they are in it.
    member: Option<(Uuid, Role)>,
}

/// Makes the person with this address an owner of an organization, whatever they were there before. Those who own it already stay owners. An
/// archived one can be recovered too.
///
/// # Errors
/// Those of [`enter`]; [`Error::Invalid`] for a reason that is not 1 to 500 characters and for an address without an account;
/// [`Error::Forbidden`] for a session older than ten minutes; [`Error::Conflict`] for a person who owns it already, or whose removal from it is
/// not over.
pub async fn recover(cx: &Cx, organization: &OrganizationRef, email: &str, reason: String) -> Result<Organization> {
    let note = Note { action: "organization.recover", subject: "organization", reason: Some(reason.clone()), ..Note::default() };
    audit::attempt(cx, organization, note.clone(), async {
        let tenant = enter(cx, organization, Action::RecoverOrganization).await?;
        let mut check = Check::new();
        check.email("email", email.trim()).text("reason", &reason, 1..=500);
        check.finish()?;
        let key = email_key(email);
        let sought = key.clone();
        let heir = cx.read(async move |_, tx| find(tx, tenant.organization(), &sought).await).await?;
        let ends = heir.member.map(|(member, _)| member);
        let user = heir.user;
        tenant.write_ending(cx, ends, async move |cx, tx, tenant| recover_in(cx, tx, tenant, (user, &key), &note).await).await
    })
    .await
}

async fn find(tx: &mut Tx, organization: Uuid, key: &str) -> Result<Heir> {
    let statement = sql!(
        "SELECT users.id, members.id, members.role
         FROM users LEFT JOIN members ON members.user_id = users.id AND members.organization_id = $2 AND members.state = 'live'
         WHERE users.email_key = $1 AND users.state = 'live'"
    );
    let found = tx.query_opt(statement, params![key, organization]).await?;
    let mut row =
        found.ok_or_else(|| FieldError::new("email", "unknown_account", "must be the address of an account: its person signs up first"))?;
    let (user, member, role): (Uuid, Option<Uuid>, Option<String>) = (row.next()?, row.next()?, row.next()?);
    let role = role.map(|role| members::parse_role(&role)).transpose()?;
    Ok(Heir { user, member: member.zip(role) })
}

async fn recover_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, (user, key): (Uuid, &str), note: &Note) -> Result<Organization> {
    sessions::is_fresh(cx, tx, cx.principal()?.credential, "an organization can be recovered").await?;
    let id = tenant.organization();
    // The person before the organization, in the order of those who delete their account.
    users::hold(tx, user).await.map_err(|error| match error {
        Error::Unauthenticated => Error::NotFound("Account"),
        other => other,
    })?;
    tenant.lock(tx).await?;
    organizations::expects(cx, tx, id).await?;
    let was = match find(tx, id, key).await?.member {
        Some((_, Role::Owner)) => {
            let words =
                "This person is an owner already. If they cannot sign in, give them a new password: freehold operators set-password.";
            return Err(Error::Conflict(words.into()));
        }
        Some((member, role)) => {
            members::lock(tx, tenant, member).await?;
            members::set_role(cx, tx, tenant, member, Role::Owner).await?;
            role.name()
        }
        None => {
            add_owner(cx, tx, id, user).await?;
            "no member"
        }
    };
    organizations::count_change(cx, tx, id).await?;
    let note = Note { subject_id: Some(id), detail: Some(format!("the user {user}, who was {was}, is an owner")), ..note.clone() };
    // What operators do to an organization is their server's to know as well, also once the organization is gone.
    audit::record(cx, tx, NO_ORGANIZATION, &note).await?;
    audit::record(cx, tx, id, &note).await?;
    organizations::load(tx, id).await
}

async fn add_owner(cx: &Cx, tx: &mut Tx, organization: Uuid, user: Uuid) -> Result<()> {
    let member = cx.new_id()?;
    let insert =
        sql!("INSERT INTO members (organization_id, id, user_id, role, state, version, created_at) VALUES ($1, $2, $3, $4, 'live', 1, $5)");
    let inserted = tx.execute(insert, params![organization, member, user, Role::Owner.name(), cx.now]).await;
    inserted.map_err(|error| match error {
        sql::Error::Unique(_) => {
            Error::Conflict("This person is being removed from the organization: take that back first, or name another person.".into())
        }
        other => other.into(),
    })?;
    let added = crate::payloads::MemberEvent { organization_id: organization, id: member, user_id: user, role: Role::Owner.name().into() };
    events::emit(cx, tx, organization, Event::MemberAdded, None, added).await?;
    Ok(())
}

/// Whether an organization has an owner whose account is there.
pub(crate) async fn has_owner(tx: &mut Tx, organization: Uuid) -> Result<bool> {
    let statement = sql!(
        "SELECT 1 FROM members JOIN users ON users.id = members.user_id
         WHERE members.organization_id = $1 AND members.role = 'owner' AND members.state = 'live' AND users.state = 'live' LIMIT 1"
    );
    Ok(tx.query_opt(statement, params![organization]).await?.is_some())
}

/// The way in for those who delete an organization: its owners, and where there is none an operator.
///
/// # Errors
/// Those of [`enter`].
pub(crate) async fn enter_to_delete(cx: &Cx, organization: &OrganizationRef) -> Result<Tenant> {
    let refused = match enter(cx, organization, Action::DeleteOrganization).await {
        Err(refused @ (Error::Outsider(_) | Error::Forbidden(_))) if cx.principal()?.is_operator => refused,
        entered => return entered,
    };
    let tenant = enter(cx, organization, Action::DeleteOwnerless).await?;
    match cx.read(async move |_, tx| has_owner(tx, tenant.organization()).await).await? {
        true => Err(refused),
        false => Ok(tenant),
    }
}

/// Holds what an operator deletes, which is locked, against what they may: an organization without an owner, and never without a reason.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Invalid`].
pub(crate) async fn check_deletion(cx: &Cx, tx: &mut Tx, tenant: &Tenant, reason: Option<&str>) -> Result<()> {
    if tenant.role() == Some(Role::Owner) {
        return Ok(());
    }
    if has_owner(tx, tenant.organization()).await? {
        return Err(Error::Forbidden(policy::refusal(Action::DeleteOwnerless).into()));
    }
    sessions::is_fresh(cx, tx, cx.principal()?.credential, "operators can delete an organization without an owner").await?;
    match reason.is_some_and(|reason| !reason.trim().is_empty()) {
        true => Ok(()),
        false => Err(FieldError::new("reason", "required", "must say why an operator deletes the organization").into()),
    }
}
