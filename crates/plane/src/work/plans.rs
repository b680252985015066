//! The plan of a deletion: what a caller considers deleting, found for those who may delete it, with the rights and the refusals of the
//! deletion itself, and without its locks.

use uuid::Uuid;

use crate::access::enter;
use crate::customers::{self, Deleting};
use crate::cx::Cx;
use crate::deletions::{Details, Preview, Purpose, Root, preview};
use crate::fields::check_reason;
use crate::ids::OrganizationRef;
use crate::ids::SERVER_SCOPE;
use crate::policy::Action;
use crate::{Result, api_keys, invitations, members, oauth_apps, oauth_tokens, organizations, users, webhooks};

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
        const PLAN: Purpose = Purpose::Plan;
        let (tenant, root, id) = match self {
            Subject::Organization(organization) => {
                let tenant = organizations::enter_to_delete(cx, &organization, export).await?;
                let id = tenant.organization();
                cx.read(async move |cx, tx| cx.expects(id, organizations::load(tx, id).await?.revision)).await?;
                (tenant, Root::Organization, id)
            }
            Subject::Member(organization, id) => {
                let tenant = members::enter_to_remove(cx, &organization, id).await?;
                cx.read(async move |cx, tx| members::find_to_remove(cx, tx, &tenant, id, PLAN).await).await?;
                (tenant, Root::Member, id)
            }
            Subject::Customer(organization, reference, how) => {
                let tenant = customers::enter_to_delete(cx, &organization, how, export).await?;
                let id = cx.read(async move |cx, tx| customers::find_to_delete(cx, tx, &tenant, &reference, how).await).await?;
                (tenant, how.root(), id)
            }
            Subject::ApiKey(organization, id) => {
                let tenant = enter(cx, &organization, Action::RevokeOwnApiKey).await?;
                cx.read(async move |cx, tx| api_keys::find_to_delete(cx, tx, &tenant, id, PLAN).await).await?;
                (tenant, Root::ApiKey, id)
            }
            Subject::Invitation(organization, id) => {
                let tenant = enter(cx, &organization, Action::CancelInvitation).await?;
                cx.read(async move |cx, tx| invitations::find_to_cancel(cx, tx, &tenant, id, PLAN).await).await?;
                (tenant, Root::Invitation, id)
            }
            Subject::Webhook(organization, id) => {
                let tenant = enter(cx, &organization, Action::DeleteWebhook).await?;
                cx.read(async move |cx, tx| webhooks::find_to_delete(cx, tx, &tenant, id, PLAN).await).await?;
                (tenant, Root::Webhook, id)
            }
            Subject::OauthApp(client_id) => {
                let (tenant, id) = oauth_apps::enter_to_delete(cx, &client_id).await?;
                cx.read(async move |cx, tx| oauth_apps::find_to_delete(cx, tx, &tenant, id, PLAN).await).await?;
                (tenant, Root::OauthApp, id)
            }
            Subject::User => return Ok((SERVER_SCOPE, Root::User, users::may_delete(cx)?)),
            Subject::OauthToken(token) => return Ok((oauth_tokens::enter_to_revoke(cx, token).await?, Root::OauthToken, token)),
        };
        Ok((tenant.organization(), root, id))
    }
}
