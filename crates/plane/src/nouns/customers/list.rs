//! The list of customers: newest first, by page, filtered, and for resellers only their own.

use serde_json::{Map, Value as Json};
use sql::{params, sql};
use uuid::Uuid;

use super::{Customer, enter_for, state};
use crate::fields::{Check, containing, metadata_filter};
use crate::ids::OrganizationRef;
use crate::normal_forms::email_key;
use crate::page::{Page, PageRequest};
use crate::{Cx, Result};

/// Which customers of a list are wanted.
#[derive(Debug, Clone, Default)]
pub struct CustomerFilter {
    /// Those whose name, address or id contains this, in whatever case and spelling; up to 200 characters.
    pub text: Option<String>,
    /// Those with this address, in whatever case and spelling.
    pub email: Option<String>,
    /// Those under this member's management.
    pub managed_by: Option<Uuid>,
    /// Those whose metadata has these texts.
    pub metadata: Map<String, Json>,
    /// Those who were softly deleted, in the place of those who are there: for those who may delete customers so.
    pub is_deleted: bool,
}

/// Lists the customers, newest first; a reseller sees their own.
///
/// # Errors
/// Those of [`crate::access::enter`]; [`crate::Error::Invalid`]; [`crate::Error::Forbidden`] for softly deleted ones, for those who may not delete so.
pub async fn list(cx: &Cx, organization: &OrganizationRef, filter: CustomerFilter, request: PageRequest) -> Result<Page<Customer>> {
    let tenant = enter_for(cx, organization, filter.is_deleted).await?;
    let pattern = containing("q", filter.text.as_deref())?;
    let metadata = metadata_filter(&filter.metadata)?;
    let none = Page::new(Vec::new(), 0, request);
    let manager = match (tenant.only_managed_by(), filter.managed_by) {
        (Some(own), Some(other)) if own != other => return Ok(none),
        (own, other) => own.or(other),
    };
    Check::new().optional("email", filter.email.as_deref(), 0..=254).finish()?;
    let email = filter.email.as_deref().map(email_key);
    let is_deleted = filter.is_deleted;
    let is_filtered = email.is_some() || pattern.is_some() || metadata.is_some();
    cx.read_filtered(is_filtered, async move |_, tx| {
        let (state, organization) = (state(is_deleted), tenant.organization());
        let (email, pattern, metadata) = (email.as_deref(), pattern.as_deref(), metadata.as_ref());
        let (total, customers) = match manager {
            None => {
                let count = sql!(
                    "SELECT count(*) FROM customers
                     WHERE organization_id = $1 AND state = $4 AND (CAST($2 AS text) IS NULL OR email_key = $2)
                       AND (CAST($3 AS text) IS NULL OR search_key LIKE $3 ESCAPE '!')
                       AND (CAST($5 AS jsonb) IS NULL OR jsonb_contains(metadata, $5))"
                );
                let page = sql!(
                    "SELECT {columns} FROM customers
                     WHERE organization_id = $1 AND state = $4 AND (CAST($2 AS text) IS NULL OR email_key = $2)
                       AND (CAST($3 AS text) IS NULL OR search_key LIKE $3 ESCAPE '!')
                       AND (CAST($5 AS jsonb) IS NULL OR jsonb_contains(metadata, $5))
                       AND id < $8 ORDER BY id DESC LIMIT $6 OFFSET $7",
                    Customer
                );
                let total = match request.after {
                    Some(_) => 0,
                    None => tx.read_one(count, params![organization, email, pattern, state, metadata]).await?,
                };
                let (limit, offset, below) = (request.limit(), request.offset(), request.below());
                (total, tx.read_all(page, params![organization, email, pattern, state, metadata, limit, offset, below]).await?)
            }
            Some(manager) => {
                let count = sql!(
                    "SELECT count(*) FROM customers
                     WHERE organization_id = $1 AND managed_by = $6 AND state = $4 AND (CAST($2 AS text) IS NULL OR email_key = $2)
                       AND (CAST($3 AS text) IS NULL OR search_key LIKE $3 ESCAPE '!')
                       AND (CAST($5 AS jsonb) IS NULL OR jsonb_contains(metadata, $5))"
                );
                let page = sql!(
                    "SELECT {columns} FROM customers
                     WHERE organization_id = $1 AND managed_by = $6 AND state = $4 AND (CAST($2 AS text) IS NULL OR email_key = $2)
                       AND (CAST($3 AS text) IS NULL OR search_key LIKE $3 ESCAPE '!')
                       AND (CAST($5 AS jsonb) IS NULL OR jsonb_contains(metadata, $5))
                       AND id < $9 ORDER BY id DESC LIMIT $7 OFFSET $8",
                    Customer
                );
                let total = match request.after {
                    Some(_) => 0,
                    None => tx.read_one(count, params![organization, email, pattern, state, metadata, manager]).await?,
                };
                let (limit, offset, below) = (request.limit(), request.offset(), request.below());
                (total, tx.read_all(page, params![organization, email, pattern, state, metadata, manager, limit, offset, below]).await?)
            }
        };
        Ok(Page::part(customers, total, request, |customer: &Customer| customer.id))
    })
    .await
}
