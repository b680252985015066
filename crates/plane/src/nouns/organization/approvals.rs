//! Approvals: an owner agrees to what another member does, once and within a day. A deletion that needs one is held against them in
//! `deletions/orders/requirements_check.rs`, and so are weaker requirements in `requirements.rs`.
//!
//! An approval counts while its maker is an owner. Using one touches its maker's membership and its own row: a demotion, a withdrawal and a
//! second use come before it and are found, or wait until it is used up.

use std::time::Duration;

use jiff::Timestamp;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::deletions::approval_rows::REQUIREMENTS;
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::Action;
use crate::principal::CredentialKind;
use crate::revisions::derived;
use crate::{Cx, Error, Result, locks, members};
use deletion::after;

/// How long an approval can be used.
pub const LIFE: Duration = Duration::from_hours(24);

/// What an owner agrees to that another person does, once.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Approval {
    /// Its id.
    pub id: Uuid,
    /// The organization.
    #[serde(rename = "organization_id")]
    #[schemars(with = "crate::wire::OrganizationId")]
    pub organization: Uuid,
    /// What may be deleted, or weakened.
    #[schemars(extend("enum" = ["organization", "member", "customer", "requirements"]), example = &"customer")]
    pub subject: String,
    /// Of a membership or a customer; otherwise the organization's.
    pub subject_id: Uuid,
    /// The customer's id; null for others.
    #[schemars(length(min = 0, max = 200), example = &"user123")]
    pub subject_label: Option<String>,
    /// The user who approved. Another person deletes.
    pub approved_by: Uuid,
    /// Why, in their words.
    #[schemars(length(min = 1, max = 500), example = &"Asked for in writing")]
    pub reason: Option<String>,
    /// When.
    pub created_at: Timestamp,
    /// Until when it can be used: 24 hours.
    pub expires_at: Timestamp,
}

columns! { Approval {
    id: "deletion_approvals.id", organization: "deletion_approvals.organization_id", subject, subject_id,
    subject_label: "customers.reference", approved_by: "members.user_id", reason, created_at: "deletion_approvals.created_at",
    expires_at: "deletion_approvals.expires_at",
} }

impl Approval {
    /// The tag of this state, of which there is one: it can only be taken back.
    pub fn etag(&self) -> String {
        derived(self.id, &self.created_at)
    }
}

/// What is agreed to.
#[derive(Debug, Clone)]
pub enum Subject {
    /// The deletion of the organization.
    Organization,
    /// The removal of this member.
    Member(Uuid),
    /// The deletion of this customer, by its reference, in any way.
    Customer(String),
    /// One change that weakens the organization's requirements.
    Requirements,
}

impl Subject {
    fn noun(&self) -> &'static str {
        match self {
            Subject::Organization => "organization",
            Subject::Member(_) => "member",
            Subject::Customer(_) => "customer",
            Subject::Requirements => REQUIREMENTS,
        }
    }

    fn label(&self) -> Option<String> {
        match self {
            Subject::Customer(reference) => Some(reference.clone()),
            Subject::Organization | Subject::Member(_) | Subject::Requirements => None,
        }
    }

    /// Touches what it is about, in the order of its deletion: what is gone is not approved of, and what goes takes its approvals along.
    async fn lock(&self, tx: &mut Tx, tenant: &Tenant) -> Result<Uuid> {
        tenant.lock(tx).await?;
        match self {
            Subject::Organization | Subject::Requirements => Ok(tenant.organization()),
            Subject::Customer(reference) => {
                locks::hold_customer(tx, tenant.organization(), reference).await?.ok_or(Error::NotFound("Customer"))
            }
            Subject::Member(member) => {
                members::lock(tx, tenant, *member).await?.ok_or(Error::NotFound("Member"))?;
                Ok(*member)
            }
        }
    }
}

/// Approves of something, in the place of an earlier approval of the same by the same owner.
///
/// # Errors
/// Those of [`enter`]; [`Error::Forbidden`] for anything but a session: what a key can do no second person has looked at;
/// [`Error::NotFound`] when there is no such subject (any more); [`Error::Invalid`].
pub async fn give(cx: &Cx, organization: &OrganizationRef, subject: Subject, reason: Option<String>) -> Result<Approval> {
    let note = Note {
        action: "deletion.approve",
        subject: subject.noun(),
        subject_label: subject.label(),
        reason: reason.clone(),
        ..Note::default()
    };
    audit::attempt(cx, organization, note.clone(), async {
        let tenant = enter(cx, organization, Action::ApproveDeletion).await?;
        if cx.principal()?.kind != CredentialKind::Session {
            return Err(Error::Forbidden("An approval is given by a person: sign in instead of using a key or an app's token.".into()));
        }
        Check::new().optional("reason", reason.as_deref(), 1..=500).finish()?;
        tenant.write(cx, async move |cx, tx, tenant| give_in(cx, tx, tenant, &subject, &note).await).await
    })
    .await
}

async fn give_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, subject: &Subject, note: &Note) -> Result<Approval> {
    let (organization, subject_id) = (tenant.organization(), subject.lock(tx, tenant).await?);
    let own = tenant.membership().ok_or_else(|| Error::Forbidden("An approval is given by a member.".into()))?;
    let replaced =
        sql!("DELETE FROM deletion_approvals WHERE organization_id = $1 AND member_id = $2 AND subject = $3 AND subject_id = $4");
    tx.execute(replaced, params![organization, own.id, subject.noun(), subject_id]).await?;
    let (id, expires_at) = (cx.new_id()?, after(cx.now, LIFE));
    let insert = sql!(
        "INSERT INTO deletion_approvals (organization_id, id, subject, subject_id, member_id, reason, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    );
    let values = params![organization, id, subject.noun(), subject_id, own.id, note.reason.as_deref(), cx.now, expires_at];
    tx.execute(insert, values).await?;
    let note = Note { subject_id: Some(subject_id), detail: Some(format!("approval {id}")), ..note.clone() };
    audit::record(cx, tx, organization, &note).await?;
    load(tx, organization, id).await
}

/// Takes an approval back: it can no longer be used. Every owner can.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`], also when it was used.
pub async fn withdraw(cx: &Cx, organization: &OrganizationRef, id: Uuid) -> Result<()> {
    let detail = Some(format!("approval {id}"));
    let note = Note { action: "deletion.withdraw_approval", subject: "approval", subject_id: Some(id), detail, ..Note::default() };
    audit::attempt(cx, organization, note.clone(), async {
        let tenant = enter(cx, organization, Action::ApproveDeletion).await?;
        tenant
            .write(cx, async move |cx, tx, tenant| {
                tenant.is_live(tx).await?;
                let organization = tenant.organization();
                if cx.precondition.is_some() {
                    cx.expects_tag(&load(tx, organization, id).await?.etag())?;
                }
                let delete = sql!("DELETE FROM deletion_approvals WHERE organization_id = $1 AND id = $2 RETURNING subject_id");
                let subject_id = tx.read_opt(delete, params![organization, id]).await?.ok_or(Error::NotFound("Approval"))?;
                audit::record(cx, tx, organization, &Note { subject_id: Some(subject_id), ..note.clone() }).await
            })
            .await
    })
    .await
}

/// Lists the approvals that can still be used, newest first.
///
/// # Errors
/// Those of [`enter`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, request: PageRequest) -> Result<Page<Approval>> {
    let tenant = enter(cx, organization, Action::ReadApprovals).await?;
    cx.read(async move |cx, tx| {
        let count = sql!(
            "SELECT count(*) FROM deletion_approvals JOIN members ON members.organization_id = deletion_approvals.organization_id
                                                                AND members.id = member_id AND role = 'owner' AND state = 'live'
             WHERE deletion_approvals.organization_id = $1 AND expires_at > $2"
        );
        let total = tx.read_one(count, params![tenant.organization(), cx.now]).await?;
        let page = sql!(
            "SELECT {columns} FROM deletion_approvals
             JOIN members ON members.organization_id = deletion_approvals.organization_id AND members.id = member_id
                         AND members.role = 'owner' AND members.state = 'live'
             LEFT JOIN customers ON customers.organization_id = deletion_approvals.organization_id AND customers.id = subject_id
             WHERE deletion_approvals.organization_id = $1 AND deletion_approvals.expires_at > $2
             ORDER BY deletion_approvals.id DESC LIMIT $3 OFFSET $4",
            Approval
        );
        Ok(Page::new(tx.read_all(page, params![tenant.organization(), cx.now, request.limit(), request.offset()]).await?, total, request))
    })
    .await
}

async fn load(tx: &mut Tx, organization: Uuid, id: Uuid) -> Result<Approval> {
    let statement = sql!(
        "SELECT {columns} FROM deletion_approvals
         JOIN members ON members.organization_id = deletion_approvals.organization_id AND members.id = member_id
         LEFT JOIN customers ON customers.organization_id = deletion_approvals.organization_id AND customers.id = subject_id
         WHERE deletion_approvals.organization_id = $1 AND deletion_approvals.id = $2",
        Approval
    );
    tx.read_opt(statement, params![organization, id]).await?.ok_or(Error::NotFound("Approval"))
}
