//! Invitations: how people become members. Good for seven days, once, and only for a user with the address that was invited.

use jiff::Timestamp;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::access::{self, Tenant, enter};
use crate::audit::{self, Note};
use crate::deletions::{self, Deletion, Order, Purpose, Root};
use crate::events::Event;
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::normal_forms::email_key;
use crate::page::{Page, PageRequest};
use crate::policy::{Action, Role, Scopes, Verdict, decide};
use crate::principal::{CredentialKind, fingerprint};
use crate::quotas::Quota;
use crate::revisions::derived;
use crate::tokens::secret;
use crate::{Cx, Error, Result, authority, ledger, locks, makers, notify};
use deletion::after;

crate::wire::words! {
    /// Only a pending invitation can be accepted.
    pub enum Status as "InvitationStatus", like "pending" {
        /// It can be accepted.
        Pending = "pending",
        /// It was.
        Accepted = "accepted",
        /// A member took it back.
        Cancelled = "cancelled",
        /// It was pending at its end.
        Expired = "expired",
        /// Its inviter may no longer give its role.
        Revoked = "revoked",
    }
}

/// An invitation.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Invitation {
    /// Its id.
    pub id: Uuid,
    /// Who is invited.
    #[schemars(length(min = 1, max = 254))]
    pub email: String,
    /// As what.
    pub role: Role,
    /// `pending`, `accepted` or `cancelled`; `expired` when it was still pending at its end; `revoked` when its inviter, or the key or app they
    /// used, may no longer give its role.
    pub status: Status,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
}

columns! { Invitation {
    id: "invitations.id", email: "invitations.email", role: "invitations.role", status: "invitations.status",
    created_at: "invitations.created_at", expires_at: "invitations.expires_at",
} }

impl Invitation {
    /// The tag of the state in which it can be cancelled, of which there is one.
    pub fn etag(&self) -> String {
        derived(self.id, &(self.role, self.created_at, self.expires_at))
    }
}

const MEMBER_ALREADY: &str = "This person is a member already.";
const REVOKED: &str =
    "The member who sent this invitation, or the key or app they used, may no longer give its role: ask for a new invitation.";
const STILL_LEAVING: &str = "This person was removed and the removal is not over yet: wait until it is completed, or take it back if it has a grace \
                             period, with POST /api/deletions/{id}/restore.";

/// Invites a person. The returned secret accepts the invitation and is not kept. An earlier invitation of the same address that could still
/// be accepted is cancelled: this one takes its place.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Forbidden`]; [`Error::Conflict`] when the person is a member already.
pub async fn create(cx: &Cx, organization: &OrganizationRef, email: &str, role: Role) -> Result<(Invitation, String)> {
    let tenant = enter(cx, organization, role.inviting()).await?;
    let email = email.trim().to_owned();
    Check::new().email("email", &email).finish()?;
    let token = secret()?;
    let hash = fingerprint(&token);
    let invitation = tenant
        .write(cx, async move |cx, tx, tenant| {
            let key = email_key(&email);
            // Two who invite the same person at once must not both find no earlier invitation.
            tenant.lock(tx).await?;
            tenant.is_writable(tx).await?;
            tenant.may_give(cx, role)?;
            let member = sql!(
                "SELECT members.state FROM members JOIN users ON users.id = members.user_id
                 WHERE members.organization_id = $1 AND users.email_key = $2"
            );
            if let Some(state) = tx.read_opt::<String>(member, params![tenant.organization(), &key]).await? {
                let is_live = state == "live";
                return Err(Error::Conflict(if is_live { MEMBER_ALREADY } else { STILL_LEAVING }.into()));
            }
            cancel_earlier(cx, tx, tenant, &key).await?;
            tenant.has_room(cx, tx, Quota::Invitations).await?;
            let id = cx.new_id()?;
            let expires_at = after(cx.now, cx.plane.config.invitation_life);
            let insert = sql!(
                "INSERT INTO invitations (organization_id, id, email, role, token_hash, status, invited_by, created_at, expires_at,
                                          invited_with, credential_id, email_key)
                 VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7, $8, $9, $10, $11)"
            );
            let by = tenant.membership().map(|own| own.id);
            let (with, credential) = used(cx)?;
            let values = params![tenant.organization(), id, &email, role.name(), &hash[..], by, cx.now, expires_at, with, credential, &key];
            tx.execute(insert, values).await.map_err(|error| match error {
                sql::Error::ForeignKey(_) => Error::NotFound("Organization"),
                other => other.into(),
            })?;
            let note = Note { action: "invitation.create", subject: "invitation", subject_id: Some(id), ..Note::default() };
            audit::record(cx, tx, tenant.organization(), &note).await?;
            let data = crate::payloads::InvitationEvent { organization_id: tenant.organization(), id, role };
            notify::emit(cx, tx, tenant.organization(), Event::InviteCreated, notify::About::Other(id), data).await?;
            Ok(Invitation { id, email: email.clone(), role, status: Status::Pending, created_at: cx.now, expires_at })
        })
        .await?;
    Ok((invitation, token))
}

/// What the inviter invites with, and its id if it is good for longer than a sign-in: the key, or the app.
fn used(cx: &Cx) -> Result<(&'static str, Option<Uuid>)> {
    let principal = cx.principal()?;
    Ok(match principal.kind {
        CredentialKind::Session => ("session", None),
        CredentialKind::ApiKey => ("api_key", Some(principal.credential)),
        CredentialKind::OauthToken => ("oauth_app", principal.app),
    })
}

async fn cancel_earlier(cx: &Cx, tx: &mut Tx, tenant: &Tenant, key: &str) -> Result<()> {
    // Takes the rows' locks, so that an acceptance at the same moment finds them cancelled, or is found.
    let statement = sql!(
        "UPDATE invitations SET status = 'pending'
         WHERE organization_id = $1 AND email_key = $2 AND status = 'pending' AND expires_at > $3 RETURNING id"
    );
    for subject in tx.read_all(statement, params![tenant.organization(), key, cx.now]).await? {
        let reason = Some("replaced by a newer invitation of the same address".to_owned());
        let order =
            Order { root: Root::Invitation, subject, label: None, reason, action: "invitation.cancel", detail: None, export: false };
        deletions::delete(cx, tx, tenant.organization(), order).await?;
    }
    Ok(())
}

/// Lists the invitations, newest first.
///
/// # Errors
/// Those of [`enter`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, request: PageRequest) -> Result<Page<Invitation>> {
    let tenant = enter(cx, organization, Action::ListInvitations).await?;
    cx.read(async move |cx, tx| {
        let count = sql!("SELECT count(*) FROM invitations WHERE organization_id = $1");
        let total = tx.read_one(count, params![tenant.organization()]).await?;
        let statement = sql!(
            "SELECT {columns}, invitations.invited_with, coalesce(members.role, api_keys.role),
                    coalesce(api_keys.scopes, user_api_keys.scopes, oauth_apps.scopes)
             FROM invitations
             LEFT JOIN members ON members.organization_id = invitations.organization_id AND members.id = invitations.invited_by
                  AND members.state = 'live'
             LEFT JOIN api_keys ON api_keys.organization_id = invitations.organization_id AND api_keys.id = invitations.credential_id
                  AND api_keys.is_active AND (api_keys.expires_at IS NULL OR api_keys.expires_at > $4)
             LEFT JOIN user_api_keys ON user_api_keys.id = invitations.credential_id AND user_api_keys.is_active
                  AND (user_api_keys.expires_at IS NULL OR user_api_keys.expires_at > $4)
             LEFT JOIN oauth_apps ON oauth_apps.organization_id = invitations.organization_id
                  AND oauth_apps.id = invitations.credential_id AND oauth_apps.state = 'live' AND oauth_apps.is_active
             WHERE invitations.organization_id = $1 ORDER BY invitations.id DESC LIMIT $2 OFFSET $3",
            Invitation
        );
        let invitations = tx.read_all(statement, params![tenant.organization(), request.size, request.offset(), cx.now]).await?;
        Ok(Page::new(
            invitations
                .into_iter()
                .map(|(invitation, with, role, scopes)| as_it_is(cx, invitation, &Inviter { with, role, scopes }))
                .collect(),
            total,
            request,
        ))
    })
    .await
}

/// Makes the signed-in user a member, if the invitation is theirs. Returns the organization and the membership.
///
/// # Errors
/// [`Error::NotFound`] for any token that is not a pending invitation of this user; [`Error::Conflict`] when they are a member already, the
/// organization is archived, or the inviter may no longer give the role; [`Error::Overloaded`] while the ledger's disk takes nothing.
pub async fn accept(cx: &Cx, token: &str) -> Result<(Uuid, Uuid)> {
    let principal = cx.principal()?;
    if principal.kind != CredentialKind::Session {
        return Err(Error::Forbidden("An invitation is accepted by a person: sign in instead of using a key or an app's token.".into()));
    }
    ledger::takes_lines(cx)?;
    let (user, hash) = (principal.user, fingerprint(token));
    cx.write_own(async move |cx, tx| {
        share_inviter(tx, &hash[..]).await?;
        locks::hold_user(tx, user).await?;
        let accept = sql!(
            "UPDATE invitations SET status = 'accepted'
             WHERE token_hash = $1 AND status = 'pending' AND expires_at > $2
               AND email_key = (SELECT email_key FROM users WHERE id = $3)
               AND EXISTS (SELECT 1 FROM organizations WHERE organizations.id = organization_id AND state = 'live')
             RETURNING organization_id, id, role, invited_with, invited_by, credential_id"
        );
        let found = tx.read_opt(accept, params![&hash[..], cx.now, user]).await?;
        let (organization, invitation, role, of): (Uuid, Uuid, Role, _) = found.ok_or(Error::NotFound("Invitation"))?;
        access::is_writable(tx, organization).await?;
        let inviter = Inviter::load(cx, tx, organization, of).await?;
        if !inviter.may_still_give(role) {
            return Err(Error::Conflict(REVOKED.into()));
        }
        let member = cx.new_id()?;
        let insert = sql!(
            "INSERT INTO members (organization_id, id, user_id, role, state, version, created_at) VALUES ($1, $2, $3, $4, 'live', 1, $5)"
        );
        let inserted = tx.execute(insert, params![organization, member, user, role, cx.now]).await;
        inserted.map_err(|error| match error {
            sql::Error::Unique(_) => Error::Conflict("You are a member of this organization already.".into()),
            sql::Error::ForeignKey(_) => Error::NotFound("Invitation"),
            other => other.into(),
        })?;
        ledger::note(cx, tx, ledger::Entry::Accepted { organization, invitation }).await?;
        let note = Note { action: "invitation.accept", subject: "invitation", subject_id: Some(invitation), ..Note::default() };
        audit::record(cx, tx, organization, &note).await?;
        let accepted = crate::payloads::InvitationAcceptedEvent { organization_id: organization, id: invitation, member_id: member };
        notify::emit(cx, tx, organization, Event::InviteAccepted, notify::About::Other(invitation), accepted).await?;
        let added = crate::payloads::MemberEvent { organization_id: organization, id: member, user_id: user, role };
        notify::emit(cx, tx, organization, Event::MemberAdded, notify::About::Other(member), added).await?;
        Ok((organization, member))
    })
    .await
}

/// Cancels a pending invitation: it stays in the list, marked, and can no longer be accepted.
///
/// # Errors
/// [`Error::NotFound`] when there is no such pending invitation; [`Error::Forbidden`].
pub async fn cancel(cx: &Cx, organization: &OrganizationRef, invitation: Uuid, reason: Option<String>) -> Result<Deletion> {
    let note = Note {
        action: "invitation.cancel",
        subject: "invitation",
        subject_id: Some(invitation),
        reason: reason.clone(),
        ..Note::default()
    };
    audit::attempt(cx, organization, note, async {
        let tenant = enter(cx, organization, Action::CancelInvitation).await?;
        tenant
            .write(cx, async move |cx, tx, tenant| {
                tenant.is_live(tx).await?;
                find_to_cancel(cx, tx, tenant, invitation, Purpose::Deletion).await?;
                let order = Order {
                    root: Root::Invitation,
                    subject: invitation,
                    label: None,
                    reason: reason.clone(),
                    action: "invitation.cancel",
                    detail: None,
                    export: false,
                };
                deletions::delete(cx, tx, tenant.organization(), order).await
            })
            .await
    })
    .await
}

/// Finds the invitation that is to be cancelled.
pub(crate) async fn find_to_cancel(cx: &Cx, tx: &mut Tx, tenant: &Tenant, id: Uuid, purpose: Purpose) -> Result<()> {
    let statement = match purpose {
        Purpose::Plan => {
            sql!("SELECT {columns} FROM invitations WHERE organization_id = $1 AND id = $2 AND status = 'pending'", Invitation)
        }
        // Takes the row's lock, so that of two who cancel, or one who cancels and one who accepts, one finds it done.
        Purpose::Deletion => sql!(
            "UPDATE invitations SET status = 'pending' WHERE organization_id = $1 AND id = $2 AND status = 'pending' RETURNING {columns}",
            Invitation
        ),
    };
    let pending: Option<Invitation> = tx.read_opt(statement, params![tenant.organization(), id]).await?;
    cx.expects_tag(&pending.ok_or(Error::NotFound("Invitation"))?.etag())
}

/// An invitation as it is now, not as it was last written.
fn as_it_is(cx: &Cx, mut invitation: Invitation, inviter: &Inviter) -> Invitation {
    if invitation.status == Status::Pending && invitation.expires_at <= cx.now {
        invitation.status = Status::Expired;
    } else if invitation.status == Status::Pending && !inviter.may_still_give(invitation.role) {
        invitation.status = Status::Revoked;
    }
    invitation
}

/// What the inviter could still do.
struct Inviter {
    with: String,
    /// The member's, or the service account's. None when they are a member no longer.
    role: Option<Role>,
    /// Of the key or app they used; none when it has ended, or they had signed in.
    scopes: Option<Scopes>,
}

impl Inviter {
    fn may_still_give(&self, role: Role) -> bool {
        let is_member_able = self.role.is_some_and(|own| decide(own, role.inviting()) != Verdict::No);
        let is_credential_able = self.with == "session" || self.scopes.is_some_and(|scopes| scopes.cover_all(role.scopes()));
        is_member_able && is_credential_able
    }

    async fn load(cx: &Cx, tx: &mut Tx, organization: Uuid, of: (String, Option<Uuid>, Option<Uuid>)) -> Result<Inviter> {
        let (with, member, credential) = of;
        let statement = sql!(
            "SELECT coalesce((SELECT role FROM members WHERE organization_id = $1 AND id = $2 AND state = 'live'),
                             (SELECT role FROM api_keys WHERE organization_id = $1 AND id = $3))"
        );
        let role = tx.read_one(statement, params![organization, member, credential]).await?;
        let scopes = match credential {
            Some(credential) => makers::allowed(cx, tx, organization, credential).await?,
            None => None,
        };
        Ok(Inviter { with, role, scopes })
    }
}

/// Keeps the inviter's right as it is until this transaction ends.
async fn share_inviter(tx: &mut Tx, token_hash: &[u8]) -> Result<()> {
    let statement = sql!("SELECT organization_id, invited_by, credential_id FROM invitations WHERE token_hash = $1");
    let found: Option<(Option<Uuid>, Option<Uuid>, Option<Uuid>)> = tx.read_opt(statement, params![token_hash]).await?;
    let Some((organization, member, credential)) = found else { return Ok(()) };
    authority::share(tx, [organization, member, credential].into_iter().flatten()).await
}
