//! What stands in the way of a deletion. All of it is found and said at once, each with its remedy.

use std::collections::HashMap;

use sql::{Row, Statement, Tx, params, sql};
use uuid::Uuid;

use super::rules::Root;
use crate::Result;

/// One reason why a deletion cannot happen now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// A stable machine-readable word: `last_owner`, `last_operator`, `active_subscription` or `pending_transaction`.
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

/// Finds everything that blocks the deletion of each of these subjects. Their rows are locked, so nothing can be added meanwhile.
pub(super) async fn check(tx: &mut Tx, root: Root, organization: Uuid, subjects: &[Uuid]) -> Result<HashMap<Uuid, Vec<Blocker>>> {
    let open = match question(root) {
        Some(statement) => tx.query(statement, params![organization, subjects]).await?,
        None => Vec::new(),
    };
    weigh(tx, root, organization, subjects, open).await
}

/// What blocks the deletion of one subject, whose row is locked by the caller.
pub(crate) async fn blockers(tx: &mut Tx, root: Root, organization: Uuid, subject: Uuid) -> Result<Vec<Blocker>> {
    Ok(check(tx, root, organization, &[subject]).await?.remove(&subject).unwrap_or_default())
}

/// What is asked about all subjects of a root at once, with the organization and their ids.
pub(super) fn question(root: Root) -> Option<Statement> {
    match root {
        Root::Customer | Root::RetiredCustomer => Some(sql!(
            "SELECT customer_id, id, plan FROM subscriptions WHERE organization_id = $1 AND customer_id = ANY($2) AND status = 'active'
             UNION ALL
             SELECT customer_id, id, NULL FROM transactions WHERE organization_id = $1 AND customer_id = ANY($2) AND status = 'pending'"
        )),
        Root::Organization
        | Root::Member
        | Root::ApiKey
        | Root::Invitation
        | Root::Webhook
        | Root::OauthApp
        | Root::OauthToken
        | Root::User => None,
    }
}

/// What blocks by the answer to the [`question`], and what is asked about each alone.
pub(super) async fn weigh(
    tx: &mut Tx,
    root: Root,
    organization: Uuid,
    subjects: &[Uuid],
    open: Vec<Row>,
) -> Result<HashMap<Uuid, Vec<Blocker>>> {
    let mut found: HashMap<Uuid, Vec<Blocker>> = HashMap::new();
    for (customer, blocker) in open_dependencies(open)? {
        found.entry(customer).or_default().push(blocker);
    }
    if root == Root::Member {
        for member in subjects {
            found.entry(*member).or_default().extend(last_owner(tx, organization, *member).await?);
        }
    }
    found.retain(|_, blockers| !blockers.is_empty());
    Ok(found)
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

/// The subscriptions and transactions of customers that are still open.
fn open_dependencies(rows: Vec<Row>) -> Result<Vec<(Uuid, Blocker)>> {
    let mut open: Vec<(Uuid, Uuid, Option<String>)> = Vec::new();
    for mut row in rows {
        open.push((row.next()?, row.next()?, row.next()?));
    }
    // Subscriptions first, on both engines alike.
    open.sort_by_key(|(_, id, plan)| (plan.is_none(), *id));
    Ok(open.into_iter().map(|(customer, id, plan)| (customer, blocker(id, plan))).collect())
}

/// A subscription blocks by its plan, a transaction has none.
fn blocker(id: Uuid, plan: Option<String>) -> Blocker {
    match plan {
        Some(plan) => Blocker {
            code: "active_subscription",
            kind: "subscription",
            id,
            detail: format!("The subscription {id} ({plan}) is active."),
            remedy: "Cancel the subscription: PATCH …/customers/{customerId}/subscriptions/{id} with {\"status\":\"cancelled\"}.",
        },
        None => Blocker {
            code: "pending_transaction",
            kind: "transaction",
            id,
            detail: format!("The transaction {id} is pending."),
            remedy: "Settle or fail the transaction: PATCH …/customers/{customerId}/transactions/{id} with {\"status\":\"settled\"}.",
        },
    }
}
