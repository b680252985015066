//! The plan of a deletion: what a caller considers deleting, found for those who may delete it, with the rights and the refusals of the
//! deletion itself, and without its locks.

use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::customers::{self, Deleting};
use crate::cx::Cx;
use crate::deletions::{Details, Preview, Root, preview};
use crate::fields::check_reason;
use crate::ids::OrganizationRef;
use crate::ids::SERVER_SCOPE;
use crate::policy::{Action, Role};
use crate::{Error, Result, members, oauth_apps, oauth_tokens, organizations, users};

/// What a caller considers deleting.
#[derive(Debug, Clone)]
pub enum Subject {
    /// An organization.
    Organization(OrganizationRef),
    /// A membership.
    Member(OrganizationRef, Uuid),
    /// A customer, by its reference, in one of the documented ways.
    Customer(OrganizationRef, String, Deleting),
    /// An API key.
    ApiKey(OrganizationRef, Uuid),
    /// An invitation that can still be cancelled.
    Invitation(OrganizationRef, Uuid),
    /// A webhook.
    Webhook(OrganizationRef, Uuid),
    /// An OAuth app, by its client id.
    OauthApp(String),
    /// An OAuth token.
    OauthToken(Uuid),
    /// The signed-in user's own account.
    User,
}

/// Looks at what a deletion would do that is ordered with these details. Callers who may order it may look.
///
/// # Errors
/// Those of the deletion itself, but for [`crate::Error::Blocked`]: blockers are part of the answer.
pub async fn preview(cx: &Cx, subject: Subject, details: Details) -> Result<Preview> {
    check_reason(details.reason.as_deref())?;
    let (organization, root, id) = subject.find(cx, details.export).await?;
    let reason = details.reason;
    cx.read(async move |cx, tx| {
        let mut plan = preview::look(cx, tx, organization, (root, id), reason.as_deref()).await?;
        if root == Root::User {
            plan.blockers.extend(users::blockers(cx, tx, id).await?);
        }
        Ok(plan)
    })
    .await
}

impl Subject {
    /// The organization, the rules and the subject's id. With an export the right to that is needed too.
    pub(crate) async fn find(self, cx: &Cx, export: bool) -> Result<(Uuid, Root, Uuid)> {
        let (tenant, root, id) = match self {
            Subject::Organization(organization) => {
                let tenant = organizations::enter_to_delete(cx, &organization).await?;
                if export {
                    tenant.also(cx, Action::ExportOrganization)?;
                }
                cx.read(async move |cx, tx| expect_organization(cx, tx, &tenant).await).await?;
                (tenant, Root::Organization, tenant.organization())
            }
            Subject::Member(organization, member) => {
                let tenant = enter(cx, &organization, Action::Leave).await?;
                let is_own = tenant.membership().is_some_and(|own| own.id == member);
                if !is_own {
                    tenant.also(cx, Action::RemoveReseller)?;
                }
                let role = cx.read(async move |cx, tx| find_member(cx, tx, &tenant, member).await).await?;
                if !is_own {
                    tenant.also(cx, members::removal(role))?;
                }
                (tenant, Root::Member, member)
            }
            Subject::Customer(organization, reference, how) => {
                let tenant = enter(cx, &organization, how.action()).await?;
                if export {
                    tenant.also(cx, Action::ExportCustomer)?;
                }
                let id = cx.read(async move |cx, tx| find_customer(cx, tx, &tenant, &reference, how).await).await?;
                (tenant, how.root(), id)
            }
            Subject::ApiKey(organization, key) => {
                let tenant = enter(cx, &organization, Action::RevokeOwnApiKey).await?;
                let maker = cx.read(async move |_, tx| maker(tx, &tenant, key).await).await?;
                let is_own = maker.is_some() && tenant.membership().map(|own| own.id) == maker;
                if !is_own && cx.principal()?.credential != key {
                    tenant.also(cx, Action::RevokeApiKey)?;
                }
                (tenant, Root::ApiKey, key)
            }
            Subject::Invitation(organization, invitation) => {
                let tenant = enter(cx, &organization, Action::CancelInvitation).await?;
                let id = invitation;
                cx.read(async move |_, tx| find_invitation(tx, &tenant, id).await).await?;
                (tenant, Root::Invitation, invitation)
            }
            Subject::Webhook(organization, webhook) => {
                let tenant = enter(cx, &organization, Action::DeleteWebhook).await?;
                let id = webhook;
                cx.read(async move |_, tx| find_webhook(tx, &tenant, id).await).await?;
                (tenant, Root::Webhook, webhook)
            }
            Subject::OauthApp(client_id) => {
                let (tenant, app) = oauth_apps::enter_to_delete(cx, &client_id).await?;
                (tenant, Root::OauthApp, app)
            }
            Subject::User => return Ok((SERVER_SCOPE, Root::User, users::may_delete(cx)?)),
            Subject::OauthToken(token) => return Ok((oauth_tokens::enter_to_revoke(cx, token).await?, Root::OauthToken, token)),
        };
        Ok((tenant.organization(), root, id))
    }
}

async fn expect_organization(cx: &Cx, tx: &mut Tx, tenant: &Tenant) -> Result<()> {
    let statement = sql!("SELECT revision FROM organizations WHERE id = $1 AND state = 'live'");
    let found = tx.query_opt(statement, params![tenant.organization()]).await?;
    cx.expects(tenant.organization(), found.ok_or(Error::NotFound("Organization"))?.next()?)
}

async fn find_member(cx: &Cx, tx: &mut Tx, tenant: &Tenant, member: Uuid) -> Result<Role> {
    let statement = sql!("SELECT role, revision FROM members WHERE organization_id = $1 AND id = $2 AND state = 'live'");
    let found = tx.query_opt(statement, params![tenant.organization(), member]).await?;
    let mut row = found.ok_or(Error::NotFound("Member"))?;
    let role = row.next()?;
    cx.expects(member, row.next()?)?;
    Ok(role)
}

async fn find_customer(cx: &Cx, tx: &mut Tx, tenant: &Tenant, reference: &str, how: Deleting) -> Result<Uuid> {
    let statement = sql!(
        "SELECT id, managed_by, revision FROM customers
         WHERE organization_id = $1 AND reference = $2 AND (state = 'live' OR (state = 'deleted' AND $3))"
    );
    let found = tx.query_opt(statement, params![tenant.organization(), reference, how == Deleting::Hard]).await?;
    let mut row = found.ok_or(Error::NotFound("Customer"))?;
    let id = row.next()?;
    customers::check_management(tenant, row.next()?, how.action())?;
    cx.expects(id, row.next()?)?;
    Ok(id)
}

/// The member a key acts as; none for a service account.
async fn maker(tx: &mut Tx, tenant: &Tenant, key: Uuid) -> Result<Option<Uuid>> {
    let statement = sql!("SELECT member_id FROM api_keys WHERE organization_id = $1 AND id = $2");
    let found = tx.query_opt(statement, params![tenant.organization(), key]).await?;
    Ok(found.ok_or(Error::NotFound("API key"))?.next()?)
}

async fn find_invitation(tx: &mut Tx, tenant: &Tenant, invitation: Uuid) -> Result<()> {
    let statement = sql!("SELECT 1 FROM invitations WHERE organization_id = $1 AND id = $2 AND status = 'pending'");
    let found = tx.query_opt(statement, params![tenant.organization(), invitation]).await?;
    found.map(drop).ok_or(Error::NotFound("Invitation"))
}

async fn find_webhook(tx: &mut Tx, tenant: &Tenant, webhook: Uuid) -> Result<()> {
    let statement = sql!("SELECT 1 FROM webhooks WHERE organization_id = $1 AND id = $2 AND state = 'live'");
    let found = tx.query_opt(statement, params![tenant.organization(), webhook]).await?;
    found.map(drop).ok_or(Error::NotFound("Webhook"))
}
