//! The list of customers: newest first, by page, filtered, and for resellers only their own.

use sql::{params, sql};
use uuid::Uuid;

use super::{Customer, read};
use crate::access::enter;
use crate::fields::{Check, containing};
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::Action;
use crate::{Cx, Result};

/// Which customers of a list are wanted.
#[derive(Debug, Clone, Default)]
pub struct CustomerFilter {
    /// Those whose name, address or id contains this, in whatever case; up to 200 characters.
    pub text: Option<String>,
    /// Those with this address, in whatever case.
    pub email: Option<String>,
    /// Those under this member's management.
    pub managed_by: Option<Uuid>,
}

/// Lists the customers, newest first; a reseller sees their own.
///
/// # Errors
/// Those of [`enter`]; [`crate::Error::Invalid`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, filter: CustomerFilter, request: PageRequest) -> Result<Page<Customer>> {
    let tenant = enter(cx, organization, Action::ReadCustomers).await?;
    let pattern = containing("q", filter.text.as_deref())?;
    let nobody = Page::new(Vec::new(), 0, request);
    let manager = match (tenant.only_managed_by(), filter.managed_by) {
        (Some(own), Some(other)) if own != other => return Ok(nobody),
        (own, other) => own.or(other),
    };
    Check::new().optional("email", filter.email.as_deref(), 0..=254).finish()?;
    cx.read((tenant, manager, filter.email, pattern, request), |_, tx, (tenant, manager, email, pattern, request)| {
        Box::pin(async move {
            let organization = tenant.organization();
            let (email, pattern) = (email.as_deref(), pattern.as_deref());
            let (total, rows) = match *manager {
                None => {
                    let count = sql!(
                        "SELECT count(*) FROM customers
                         WHERE organization_id = $1 AND state = 'live' AND (CAST($2 AS text) IS NULL OR lower(email) = lower($2))
                           AND (CAST($3 AS text) IS NULL OR lower(name) LIKE lower($3) ESCAPE '!' OR lower(email) LIKE lower($3) ESCAPE '!'
                                OR lower(reference) LIKE lower($3) ESCAPE '!')"
                    );
                    let page = sql!(
                        "SELECT id, organization_id, reference, name, email, phone, tax_id, address, metadata, managed_by, expires_at,
                                (SELECT count(*) FROM screens
                                 WHERE screens.organization_id = customers.organization_id AND customer_id = customers.id),
                                archived_at, revision, created_at, updated_at
                         FROM customers
                         WHERE organization_id = $1 AND state = 'live' AND (CAST($2 AS text) IS NULL OR lower(email) = lower($2))
                           AND (CAST($3 AS text) IS NULL OR lower(name) LIKE lower($3) ESCAPE '!' OR lower(email) LIKE lower($3) ESCAPE '!'
                                OR lower(reference) LIKE lower($3) ESCAPE '!')
                           AND id < $6 ORDER BY id DESC LIMIT $4 OFFSET $5"
                    );
                    let total = match request.after {
                        Some(_) => 0,
                        None => tx.query_one(count, params![organization, email, pattern]).await?.next()?,
                    };
                    (
                        total,
                        tx.query(page, params![organization, email, pattern, request.limit(), request.offset(), request.below()]).await?,
                    )
                }
                Some(manager) => {
                    let count = sql!(
                        "SELECT count(*) FROM customers
                         WHERE organization_id = $1 AND managed_by = $2 AND state = 'live' AND (CAST($3 AS text) IS NULL OR lower(email) = lower($3))
                           AND (CAST($4 AS text) IS NULL OR lower(name) LIKE lower($4) ESCAPE '!' OR lower(email) LIKE lower($4) ESCAPE '!'
                                OR lower(reference) LIKE lower($4) ESCAPE '!')"
                    );
                    let page = sql!(
                        "SELECT id, organization_id, reference, name, email, phone, tax_id, address, metadata, managed_by, expires_at,
                                (SELECT count(*) FROM screens
                                 WHERE screens.organization_id = customers.organization_id AND customer_id = customers.id),
                                archived_at, revision, created_at, updated_at
                         FROM customers
                         WHERE organization_id = $1 AND managed_by = $2 AND state = 'live' AND (CAST($3 AS text) IS NULL OR lower(email) = lower($3))
                           AND (CAST($4 AS text) IS NULL OR lower(name) LIKE lower($4) ESCAPE '!' OR lower(email) LIKE lower($4) ESCAPE '!'
                                OR lower(reference) LIKE lower($4) ESCAPE '!')
                           AND id < $7 ORDER BY id DESC LIMIT $5 OFFSET $6"
                    );
                    let total = match request.after {
                        Some(_) => 0,
                        None => tx.query_one(count, params![organization, manager, email, pattern]).await?.next()?,
                    };
                    (
                        total,
                        tx.query(page, params![organization, manager, email, pattern, request.limit(), request.offset(), request.below()])
                            .await?,
                    )
                }
            };
            let customers = rows.into_iter().map(read).collect::<Result<_>>()?;
            Ok(Page::part(customers, total, *request, |customer: &Customer| customer.id))
        })
    })
    .await
}
