//! The way into an organization: turns a reference and an action into a [`Tenant`], the proof that this actor may do this here.
//!
//! Operations take a `Tenant` and put its organization into every query; no other module can make one, so no query is without its tenant.

use jiff::Timestamp;
use sql::{Row, Statement, Tx, params, sql};
use uuid::Uuid;

use crate::cx::Demand;
use crate::cx::{Actor, Cx};
use crate::ids::OrganizationRef;
use crate::policy::{self, Action, Actions, Role, Scopes, Verdict};
use crate::principal::Membership;
use crate::principal::Principal;
use crate::quotas::{self, Quota};
use crate::{Error, Result};

/// An organization that the actor may act in, and how far.
#[derive(Debug, Clone, Copy)]
pub struct Tenant {
    organization: Uuid,
    membership: Option<Membership>,
    /// The membership is the role of a service account, and its id the account's.
    is_service: bool,
    managed_only: bool,
    /// What was decided for this actor here, and is decided again by a transaction that writes.
    actions: Actions,
}

impl Tenant {
    /// The organization's id.
    pub fn organization(&self) -> Uuid {
        self.organization
    }

    /// The actor's own membership; none for operators and service accounts.
    pub fn membership(&self) -> Option<Membership> {
        self.membership.filter(|_| !self.is_service)
    }

    /// What the actor is here; none for operators.
    pub(crate) fn role(&self) -> Option<Role> {
        self.membership.map(|own| own.role)
    }

    /// The member whose customers are the only ones the actor may see, if there is such a limit.
    pub fn only_managed_by(&self) -> Option<Uuid> {
        self.membership.filter(|_| self.managed_only).map(|membership| membership.id)
    }

    /// The same, for a second action too.
    ///
    /// # Errors
    /// [`Error::Forbidden`] with the action's words.
    pub fn also(&self, cx: &Cx, action: Action) -> Result<Tenant> {
        let second = judge(cx, self.organization, self.membership, action)?;
        Ok(Tenant { managed_only: self.managed_only || second.managed_only, actions: self.actions.with(action), ..second })
    }

    /// Fails when the credential has less scopes than the role that it gives or offers.
    ///
    /// # Errors
    /// [`Error::Forbidden`] with the scopes that are needed.
    pub(crate) fn may_give(&self, cx: &Cx, role: Role) -> Result<()> {
        has_all(cx, role.scopes(), "Giving", role)
    }

    /// Fails when the credential lacks an administrative scope of the role that it takes: who runs the organization is out of its reach.
    /// Taking another role gives no rights.
    ///
    /// # Errors
    /// [`Error::Forbidden`] with the scopes that are needed.
    pub(crate) fn may_take(&self, cx: &Cx, role: Role) -> Result<()> {
        has_all(cx, role.scopes().administrative(), "Taking", role)
    }

    /// The same actions, decided for an actor with this membership now.
    pub(crate) fn judged_again(&self, cx: &Cx, membership: Option<Membership>) -> Result<Tenant> {
        let mut tenant = Tenant { membership, managed_only: false, ..*self };
        for action in self.actions.each() {
            tenant = tenant.also(cx, action)?;
        }
        Ok(tenant)
    }

    /// Fails unless the organization is still alive. Part of every transaction that puts something into it.
    pub(crate) async fn is_live(&self, tx: &mut Tx) -> Result<()> {
        tx.query_opt(LIVE, params![self.organization]).await?.map(drop).ok_or(Error::NotFound("Organization"))
    }

    /// Like [`Tenant::is_live`], and fails when the organization is archived. Part of every transaction that adds to it or changes what it
    /// holds; taking access away is allowed in an archive too.
    pub(crate) async fn is_writable(&self, tx: &mut Tx) -> Result<()> {
        is_writable(tx, self.organization).await
    }

    /// Touches the organization's row: until this transaction ends no other that touches it goes on. The portable lock under every
    /// invariant that spans several rows.
    pub(crate) async fn lock(&self, tx: &mut Tx) -> Result<()> {
        let statement = sql!("UPDATE organizations SET version = version + 1 WHERE id = $1 AND state = 'live'");
        match tx.execute(statement, params![self.organization]).await? {
            0 => Err(Error::NotFound("Organization")),
            _ => Ok(()),
        }
    }

    /// Fails unless the organization may have one more of these. Until this transaction ends no other transaction finds the same room.
    pub(crate) async fn has_room(&self, cx: &Cx, tx: &mut Tx, quota: Quota) -> Result<()> {
        let limit = quota.limit(&cx.plane.config.quotas);
        let (Some((count, can_end)), 1..) = (quota.count(), limit) else { return Ok(()) };
        self.lock(tx).await?;
        let bound = params![self.organization(), cx.now];
        if tx.read_one::<i64>(count, if can_end { bound } else { &bound[..1] }).await? < i64::from(limit) {
            return Ok(());
        }
        cx.plane.memory.of::<quotas::Usage>().refuse(quota);
        Err(Error::Conflict(quota.words(limit)))
    }
}

fn has_all(cx: &Cx, scopes: Scopes, what: &str, role: Role) -> Result<()> {
    match cx.principal()?.scopes {
        Some(held) if !held.cover_all(scopes) => Err(Error::Forbidden(format!(
            "Access denied. {what} the role {} needs a credential with these scopes: {}.",
            role.name(),
            scopes.names().join(" ")
        ))),
        _ => Ok(()),
    }
}

/// Lets the actor into an organization for one action.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::NotFound`] when there is no such organization; [`Error::Outsider`] when the actor has nothing to do
/// with it; [`Error::Forbidden`] when role or scopes do not allow the action; [`Error::Malformed`] when the credential stands for no single
/// organization.
pub async fn enter(cx: &Cx, organization: &OrganizationRef, action: Action) -> Result<Tenant> {
    let principal = cx.principal()?;
    let id = find(cx, organization).await?;
    let found = match principal.organization {
        // A credential of one organization is a stranger everywhere else.
        Some(own) if own != id => None,
        _ => membership(cx, principal, id).await?,
    };
    if found.is_none() && !(principal.is_operator && policy::operator_may(action)) {
        return Err(match exists(cx, id).await? {
            true => Error::Outsider(outsider_words(action).into()),
            false => Error::NotFound("Organization"),
        });
    }
    let tenant = judge(cx, id, found, action)?;
    // An operator is no caller of the organization's, nor are its limits out of reach of one who is a member once they are used up.
    if found.is_some() && action != Action::ChangeLimits {
        quotas::count_request(cx, id)?;
    }
    cx.note_organization(id);
    Ok(tenant)
}

/// Fails unless an operator asks: for what is done to the server, and not in one organization.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::Forbidden`], with these words.
pub(crate) fn as_operator(cx: &Cx, refusal: &str) -> Result<()> {
    match cx.principal()?.is_operator {
        true => Ok(()),
        false => Err(Error::Forbidden(refusal.into())),
    }
}

/// Fails unless the actor still has to do with an organization: what was answered about it once is not told again afterwards.
pub(crate) async fn remains(cx: &Cx, organization: Uuid) -> Result<()> {
    let principal = cx.principal()?;
    let is_good_here = principal.organization.is_none_or(|own| own == organization);
    if is_good_here && (principal.is_operator || membership(cx, principal, organization).await?.is_some()) {
        return Ok(());
    }
    Err(match exists(cx, organization).await? {
        true => Error::Outsider("User is not a member of this organization.".into()),
        false => Error::NotFound("Organization"),
    })
}

/// Finds an organization that is not deleted.
pub(crate) const LIVE: Statement = sql!("SELECT 1 FROM organizations WHERE id = $1 AND state = 'live'");

/// Whether the actor has nothing to do with an organization: neither as a member, with a credential that is good there, nor as an operator.
pub(crate) async fn is_stranger(cx: &Cx, organization: Uuid) -> Result<bool> {
    let Some(principal) = cx.presented() else { return Ok(!matches!(cx.actor, Actor::System | Actor::Orderer(_))) };
    // A publishable key is in the hands of strangers.
    if principal.is_publishable() || principal.is_operator {
        return Ok(principal.is_publishable());
    }
    Ok(principal.organization.is_some_and(|own| own != organization) || membership(cx, principal, organization).await?.is_none())
}

/// Asks for what [`check_writable`] wants to know of an organization.
pub(crate) const WRITABLE: Statement = sql!("SELECT archived_at FROM organizations WHERE id = $1 AND state = 'live'");

/// Fails when the organization is gone or archived. For those who become members just now and have no [`Tenant`] yet.
pub(crate) async fn is_writable(tx: &mut Tx, organization: Uuid) -> Result<()> {
    check_writable(tx.query(WRITABLE, params![organization]).await?)
}

/// Fails when an organization is gone or archived, by the answer to [`WRITABLE`].
pub(crate) fn check_writable(answer: Vec<Row>) -> Result<()> {
    let row = answer.into_iter().next().ok_or(Error::NotFound("Organization"))?;
    match row.read::<Option<Timestamp>>()? {
        Some(_) => Err(Error::Conflict("This organization is archived and read-only: an owner can unarchive it.".into())),
        None => Ok(()),
    }
}

/// Lets the actor into the organization that something belongs to whose address names no organization.
///
/// # Errors
/// Those of [`enter`], except that a stranger to the organization hears what everybody hears who names something that is not there.
pub(crate) async fn enter_unseen(cx: &Cx, organization: Uuid, action: Action, noun: &'static str) -> Result<Tenant> {
    match enter(cx, &OrganizationRef::Id(organization), action).await {
        Err(Error::Outsider(_) | Error::NotFound(_)) => Err(Error::NotFound(noun)),
        entered => entered,
    }
}

/// The id of the organization meant, whether or not it exists.
///
/// # Errors
/// [`Error::NotFound`] for an unknown slug; [`Error::Malformed`] when the credential stands for no single organization.
pub async fn find(cx: &Cx, organization: &OrganizationRef) -> Result<Uuid> {
    match organization {
        OrganizationRef::Id(id) => Ok(*id),
        OrganizationRef::Slug(slug) => {
            let slug = slug.clone();
            cx.read(async move |_, tx| {
                let statement = sql!("SELECT id FROM organizations WHERE slug = $1 AND state = 'live'");
                tx.read_opt(statement, params![&slug]).await?.ok_or(Error::NotFound("Organization"))
            })
            .await
        }
        OrganizationRef::Current => {
            let principal = cx.principal()?;
            match principal.organization {
                Some(id) => Ok(id),
                None => only_organization(cx, principal.user).await,
            }
        }
    }
}

fn judge(cx: &Cx, organization: Uuid, membership: Option<Membership>, action: Action) -> Result<Tenant> {
    cx.principal()?.needs(action.scope())?;
    let verdict = match membership.map_or(Verdict::No, |own| policy::decide(own.role, action)) {
        Verdict::No if cx.principal()?.is_operator && policy::operator_may(action) => Verdict::Yes,
        verdict => verdict,
    };
    match verdict {
        Verdict::No => Err(Error::Forbidden(policy::refusal(action).into())),
        verdict => {
            let managed_only = verdict == Verdict::Managed;
            cx.note_demand(Demand::Action { organization, action, managed_only });
            let actions = Actions::default().with(action);
            Ok(Tenant { organization, membership, is_service: cx.principal()?.service_role.is_some(), managed_only, actions })
        }
    }
}

/// An outsider who wants to delete an organization hears the same words as a member who may not.
fn outsider_words(action: Action) -> &'static str {
    match action {
        Action::DeleteOrganization => policy::refusal(action),
        _ => "User is not a member of this organization.",
    }
}

/// What an actor is in an organization that their credential is good for.
async fn membership(cx: &Cx, principal: &Principal, organization: Uuid) -> Result<Option<Membership>> {
    if let Some(own) = principal.service_membership() {
        return Ok(Some(own));
    }
    let user = principal.user;
    if let Some(known) = cx.plane.credential_cache.membership(user, organization) {
        return Ok(Some(known));
    }
    let mark = cx.plane.credential_cache.read_mark();
    let found = cx.read(async move |_, tx| load_membership(tx, user, organization).await).await?;
    if let Some(membership) = found {
        cx.plane.credential_cache.keep_membership(&mark, user, organization, membership);
    }
    Ok(found)
}

pub(crate) async fn load_membership(tx: &mut Tx, user: Uuid, organization: Uuid) -> Result<Option<Membership>> {
    Ok(tx.read_opt(MEMBERSHIP, params![organization, user]).await?)
}

sql::columns! { Membership { id: "members.id", role: "members.role" } }

/// Reads a user's membership of an organization.
pub(crate) const MEMBERSHIP: Statement = sql!(
    "SELECT {columns} FROM members JOIN organizations ON organizations.id = members.organization_id
     WHERE members.organization_id = $1 AND members.user_id = $2 AND members.state = 'live' AND organizations.state = 'live'",
    Membership
);

async fn exists(cx: &Cx, organization: Uuid) -> Result<bool> {
    cx.read(async move |_, tx| Ok(tx.query_opt(LIVE, params![organization]).await?.is_some())).await
}

async fn only_organization(cx: &Cx, user: Uuid) -> Result<Uuid> {
    cx.read(async move |_, tx| {
            let statement = sql!(
                "SELECT members.organization_id
                 FROM members JOIN organizations ON organizations.id = members.organization_id
                 WHERE members.user_id = $1 AND members.state = 'live' AND organizations.state = 'live' LIMIT 2"
            );
            match tx.read_all(statement, params![user]).await?[..] {
                [organization] => Ok(organization),
                [] => Err(Error::Outsider("User is not a member of this organization.".into())),
                _ => Err(Error::Malformed(
                    "You are a member of several organizations: name one in the header X-Organization (id or slug), or sign in with \"organization\".".into(),
                )),
            }
        })
    .await
}

/// What a service account is in its organization, if it is one.
pub(crate) async fn load_service(tx: &mut Tx, organization: Uuid, key: Uuid) -> Result<Option<Membership>> {
    let statement = sql!("SELECT role FROM api_keys WHERE organization_id = $1 AND id = $2 AND role IS NOT NULL");
    Ok(tx.read_opt(statement, params![organization, key]).await?.map(|role| Membership { id: key, role }))
}
