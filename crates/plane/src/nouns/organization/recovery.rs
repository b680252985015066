//! Organizations whose owners are gone or cannot sign in: operators give one an owner, or delete one that has none, each time with a reason.
//!
//! Whether an owner can still sign in no database knows, so a person is made an owner beside those who are there. The organization's own trail
//! says so, its webhooks are told, and its owners can undo it.

use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::events::Event;
use crate::fields::Check;
use crate::ids::SERVER_SCOPE;

use crate::ids::OrganizationRef;
use crate::normal_forms::email_key;
use crate::organizations::{self, Organization};
use crate::policy::{Action, Role};
use crate::{Cx, Error, FieldError, Result, locks, members, notify, ownership, sessions};

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
    let found: Option<(_, Option<Uuid>, Option<Role>)> = tx.read_opt(statement, params![key, organization]).await?;
    let (user, member, role) =
        found.ok_or_else(|| FieldError::new("email", "unknown_account", "must be the address of an account: its person signs up first"))?;
    Ok(Heir { user, member: member.zip(role) })
}

async fn recover_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, (user, key): (Uuid, &str), note: &Note) -> Result<Organization> {
    sessions::is_fresh(cx, tx, cx.principal()?.credential, "an organization can be recovered").await?;
    let id = tenant.organization();
    // The person before the organization, in the order of those who delete their account.
    locks::hold_user(tx, user).await.map_err(|error| match error {
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
    ownership::count_change(cx, tx, id).await?;
    let note = Note { subject_id: Some(id), detail: Some(format!("the user {user}, who was {was}, is an owner")), ..note.clone() };
    // What operators do to an organization is their server's to know as well, also once the organization is gone.
    audit::record(cx, tx, SERVER_SCOPE, &note).await?;
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
    let added = crate::payloads::MemberEvent { organization_id: organization, id: member, user_id: user, role: Role::Owner };
    notify::emit(cx, tx, organization, Event::MemberAdded, notify::About::Other(member), added).await?;
    Ok(())
}
