//! What a deletion would do, before anybody orders it: rows by table, their fate and why, the credentials that would die, and everything
//! that stands in the way. Nothing is changed.

use sql::{Tx, params, sql};
use uuid::Uuid;

use super::guards::{self, Blocker};
use super::rules::{Fate, Root};
use super::statements::Plan;
use crate::access::{Tenant, enter};
use crate::customers::{self, Deleting};
use crate::cx::Cx;
use crate::ids::OrganizationRef;
use crate::policy::Action;
use crate::{Error, Result};

/// What somebody considers deleting in an organization.
#[derive(Debug, Clone)]
pub enum Subject {
    /// The organization itself.
    Organization,
    /// A membership.
    Member(Uuid),
    /// A customer, by its reference, in one of the documented ways.
    Customer(String, Deleting),
    /// An API key.
    ApiKey(Uuid),
    /// An OAuth app, known to be there.
    OauthApp(Uuid),
}

/// What would happen.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The rules that would be followed.
    pub root: Root,
    /// The subject's id.
    pub subject: Uuid,
    /// Every table that the rules name, in the order of the deletion.
    pub tables: Vec<TablePreview>,
    /// Everything that stands in the way now.
    pub blockers: Vec<Blocker>,
}

/// What would happen to one table.
#[derive(Debug, Clone, Copy)]
pub struct TablePreview {
    /// The table.
    pub table: &'static str,
    /// `erased`, `redacted` or `kept`.
    pub fate: &'static str,
    /// How many rows.
    pub rows: i64,
    /// Why.
    pub why: &'static str,
}

impl Preview {
    /// Credentials that would die: keys, sessions and tokens that depend on the subject.
    pub fn credentials(&self) -> i64 {
        let kinds = ["api_keys", "sessions", "oauth_tokens"];
        self.tables.iter().filter(|table| table.fate == "erased" && kinds.contains(&table.table)).map(|table| table.rows).sum()
    }
}

/// Looks at what a deletion would do. Whoever may order it may look.
///
/// # Errors
/// Those of the deletion itself, but for [`Error::Blocked`]: blockers are part of the answer.
pub async fn preview(cx: &Cx, organization: &OrganizationRef, subject: Subject) -> Result<Preview> {
    let (tenant, root, id) = find(cx, organization, &subject).await?;
    cx.read((tenant, root, id), |cx, tx, (tenant, root, id)| {
        Box::pin(async move {
            let counted = Plan::of(*root).survey(tx, tenant.organization(), *id).await?;
            let tables = root.rules().iter().zip(counted).map(|(rule, rows)| TablePreview {
                table: rule.table,
                fate: match rule.fate {
                    Fate::Erase => "erased",
                    Fate::Redact(_) => "redacted",
                    Fate::Keep => "kept",
                },
                rows,
                why: rule.why,
            });
            let tables = tables.collect();
            let blockers = guards::blockers(cx, tx, *root, tenant.organization(), *id).await?;
            Ok(Preview { root: *root, subject: *id, tables, blockers })
        })
    })
    .await
}

async fn find(cx: &Cx, organization: &OrganizationRef, subject: &Subject) -> Result<(Tenant, Root, Uuid)> {
    match subject {
        Subject::Organization => {
            let tenant = enter(cx, organization, Action::DeleteOrganization).await?;
            Ok((tenant, Root::Organization, tenant.organization()))
        }
        Subject::Member(member) => {
            let tenant = enter(cx, organization, Action::Leave).await?;
            if tenant.membership().is_none_or(|own| own.id != *member) {
                tenant.also(cx, Action::RemoveMember)?;
            }
            let exists = cx.read((tenant, *member), |_, tx, (tenant, member)| Box::pin(has_member(tx, tenant, *member))).await?;
            if exists { Ok((tenant, Root::Member, *member)) } else { Err(Error::NotFound("Member")) }
        }
        Subject::Customer(reference, Deleting::Hard) => {
            let tenant = enter(cx, organization, Action::EraseCustomer).await?;
            let found =
                cx.read((tenant, reference.clone()), |_, tx, (tenant, reference)| Box::pin(erasable(tx, tenant, reference))).await?;
            Ok((tenant, Root::Customer, found))
        }
        Subject::Customer(reference, how) => {
            let (action, root) = match how {
                Deleting::Softly => (Action::RetireCustomer, Root::RetiredCustomer),
                _ => (Action::DeleteCustomer, Root::Customer),
            };
            let tenant = enter(cx, organization, action).await?;
            let customer = customers::get(cx, &OrganizationRef::Id(tenant.organization()), reference).await?;
            Ok((tenant, root, customer.id))
        }
        Subject::ApiKey(key) => {
            let tenant = enter(cx, organization, Action::RevokeOwnApiKey).await?;
            let member = cx.read((tenant, *key), |_, tx, (tenant, key)| Box::pin(maker(tx, tenant, *key))).await?;
            if tenant.membership().is_none_or(|own| own.id != member) {
                tenant.also(cx, Action::RevokeApiKey)?;
            }
            Ok((tenant, Root::ApiKey, *key))
        }
        Subject::OauthApp(app) => Ok((enter(cx, organization, Action::DeleteOauthApp).await?, Root::OauthApp, *app)),
    }
}

async fn has_member(tx: &mut Tx, tenant: &Tenant, member: Uuid) -> Result<bool> {
    let statement = sql!("SELECT 1 FROM members WHERE organization_id = $1 AND id = $2 AND state = 'live'");
    Ok(tx.query_opt(statement, params![tenant.organization(), member]).await?.is_some())
}

/// A customer who is there, softly deleted or not.
async fn erasable(tx: &mut Tx, tenant: &Tenant, reference: &str) -> Result<Uuid> {
    let statement = sql!("SELECT id FROM customers WHERE organization_id = $1 AND reference = $2 AND state IN ('live', 'deleted')");
    let found = tx.query_opt(statement, params![tenant.organization(), reference]).await?;
    Ok(found.ok_or(Error::NotFound("Customer"))?.next()?)
}

async fn maker(tx: &mut Tx, tenant: &Tenant, key: Uuid) -> Result<Uuid> {
    let statement = sql!("SELECT member_id FROM api_keys WHERE organization_id = $1 AND id = $2");
    let found = tx.query_opt(statement, params![tenant.organization(), key]).await?;
    Ok(found.ok_or(Error::NotFound("API key"))?.next()?)
}
