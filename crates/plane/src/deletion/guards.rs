//! What stands in the way of a deletion. All of it is found and said at once, each with its remedy.

use sql::{Tx, params, sql};
use uuid::Uuid;

use super::rules::Root;
use crate::Result;

/// One reason why a deletion cannot happen now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// A stable machine-readable word: `last_owner`, `active_subscription` or `pending_transaction`.
    pub code: &'static str,
    /// The kind of what blocks.
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
    /// A sentence for people.
    pub detail: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Finds everything that blocks the deletion of this subject. The subject's row is locked, so nothing can be added meanwhile.
pub(super) async fn check(tx: &mut Tx, root: Root, organization: Uuid, subject: Uuid) -> Result<Vec<Blocker>> {
    match root {
        Root::Member => last_owner(tx, organization, subject).await,
        Root::Customer | Root::RetiredCustomer => open_dependencies(tx, organization, subject).await,
        Root::Organization | Root::ApiKey | Root::Invitation | Root::Webhook | Root::OauthApp | Root::OauthToken => Ok(Vec::new()),
    }
}

/// What blocks when the last owner would go, or be an owner no longer. The organization's row is locked.
pub(crate) async fn last_owner(tx: &mut Tx, organization: Uuid, member: Uuid) -> Result<Vec<Blocker>> {
    let statement = sql!(
        "SELECT 1 FROM members AS leaving
         WHERE leaving.organization_id = $1 AND leaving.id = $2 AND leaving.role = 'owner'
           AND NOT EXISTS (SELECT 1 FROM members AS other
                           WHERE other.organization_id = $1 AND other.id <> $2 AND other.role = 'owner' AND other.state = 'live')"
    );
    Ok(match tx.query_opt(statement, params![organization, member]).await? {
        None => Vec::new(),
        Some(_) => vec![Blocker {
            code: "last_owner",
            kind: "member",
            id: member,
            detail: "This member is the organization's last owner.".into(),
            remedy: "Make another member an owner first, or delete the organization.",
        }],
    })
}

async fn open_dependencies(tx: &mut Tx, organization: Uuid, customer: Uuid) -> Result<Vec<Blocker>> {
    let mut blockers = Vec::new();
    let active =
        sql!("SELECT id, plan FROM subscriptions WHERE organization_id = $1 AND customer_id = $2 AND status = 'active' ORDER BY id");
    for mut row in tx.query(active, params![organization, customer]).await? {
        let (id, plan): (Uuid, String) = (row.next()?, row.next()?);
        blockers.push(Blocker {
            code: "active_subscription",
            kind: "subscription",
            id,
            detail: format!("The subscription {id} ({plan}) is active."),
            remedy: "Cancel the subscription: PATCH …/customers/{customerId}/subscriptions/{id} with {\"status\":\"cancelled\"}.",
        });
    }
    let pending = sql!("SELECT id FROM transactions WHERE organization_id = $1 AND customer_id = $2 AND status = 'pending' ORDER BY id");
    for mut row in tx.query(pending, params![organization, customer]).await? {
        let id: Uuid = row.next()?;
        blockers.push(Blocker {
            code: "pending_transaction",
            kind: "transaction",
            id,
            detail: format!("The transaction {id} is pending."),
            remedy: "Settle or fail the transaction: PATCH …/customers/{customerId}/transactions/{id} with {\"status\":\"settled\"}.",
        });
    }
    Ok(blockers)
}
