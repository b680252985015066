//! What stands in the way of a deletion. All of it is found and said at once, each with its remedy.

use std::collections::HashMap;

use jiff::Timestamp;
use sql::{Row, Statement, Tx, Value, params, sql};
use uuid::Uuid;

pub use deletion::Blocker;

use crate::audit::OPERATOR;
use crate::deletion_rules::Root;
use crate::{Cx, Result};

/// Finds everything that blocks the deletion of each of these subjects. Their rows are locked, so nothing can be added meanwhile.
pub(crate) async fn check(cx: &Cx, tx: &mut Tx, root: Root, organization: Uuid, subjects: &[Uuid]) -> Result<HashMap<Uuid, Vec<Blocker>>> {
    let open = match question(root, organization, subjects, cx.now) {
        Some((statement, bound)) => tx.query(statement, &bound).await?,
        None => Vec::new(),
    };
    weigh(tx, root, organization, subjects, open).await
}

/// What blocks the deletion of one subject, whose row is locked by the caller.
pub(crate) async fn blockers(cx: &Cx, tx: &mut Tx, root: Root, organization: Uuid, subject: Uuid) -> Result<Vec<Blocker>> {
    Ok(check(cx, tx, root, organization, &[subject]).await?.remove(&subject).unwrap_or_default())
}

/// What is asked about all subjects of a root at once: legal holds that are in force, and what is still open. None for those whose end takes
/// access away and nothing else: that is never held up.
pub(crate) fn question(root: Root, organization: Uuid, subjects: &[Uuid], now: Timestamp) -> Option<(Statement, Vec<Value>)> {
    match root {
        // Whatever is held in an organization is held up by its deletion. A hundred of them are enough to be told at once.
        Root::Organization => {
            let statement = sql!(
                "SELECT organization_id, subject, id, NULL, placed_by, placed_by_id, placed_at, until FROM holds
                 WHERE organization_id = $1 AND released_at IS NULL AND (until IS NULL OR until > $2) ORDER BY id LIMIT 100"
            );
            Some((statement, params![organization, now].to_vec()))
        }
        Root::Member => {
            let statement = sql!(
                "SELECT members.id, subject, holds.id, NULL, placed_by, placed_by_id, placed_at, until
                 FROM members JOIN holds ON holds.organization_id = members.organization_id
                                        AND holds.subject_id IN (members.user_id, members.organization_id)
                 WHERE members.organization_id = $1 AND members.id = ANY($2) AND released_at IS NULL AND (until IS NULL OR until > $3)"
            );
            Some((statement, params![organization, subjects, now].to_vec()))
        }
        // A hold on the organization comes under the organization's id, and is one on each of them.
        Root::Customer | Root::RetiredCustomer => {
            let statement = sql!(
                "SELECT subject_id, subject, id, CAST(NULL AS text), placed_by, placed_by_id, placed_at, until FROM holds
                 WHERE organization_id = $1 AND subject_id = ANY($2) AND released_at IS NULL AND (until IS NULL OR until > $3)
                 UNION ALL
                 SELECT customer_id, 'subscription', id, plan, NULL, NULL, NULL, NULL FROM subscriptions
                 WHERE organization_id = $1 AND customer_id = ANY($2) AND status = 'active'
                 UNION ALL
                 SELECT customer_id, 'transaction', id, NULL, NULL, NULL, NULL, NULL FROM transactions
                 WHERE organization_id = $1 AND customer_id = ANY($2) AND status = 'pending'"
            );
            let mut all = subjects.to_vec();
            all.push(organization);
            Some((statement, params![organization, all, now].to_vec()))
        }
        // Its history is about customers, too.
        Root::Webhook => {
            let statement = sql!(
                "SELECT webhooks.id, subject, holds.id, NULL, placed_by, placed_by_id, placed_at, until
                 FROM webhooks JOIN holds ON holds.organization_id = webhooks.organization_id
                 WHERE webhooks.organization_id = $1 AND webhooks.id = ANY($2) AND released_at IS NULL AND (until IS NULL OR until > $3)
                   AND (holds.subject_id = $1
                        OR EXISTS (SELECT 1 FROM effects AS told
                                   WHERE told.organization_id = $1 AND told.subject_id = holds.subject_id AND told.webhook_id = webhooks.id))
                 ORDER BY holds.id LIMIT 100"
            );
            Some((statement, params![organization, subjects, now].to_vec()))
        }
        // Each customer of a purge is asked about when it is the customer's turn.
        Root::ApiKey | Root::Invitation | Root::OauthApp | Root::OauthToken | Root::User | Root::CustomerPurge => None,
    }
}

/// Whether anything is asked of subjects of this root.
pub(crate) fn has_question(root: Root) -> bool {
    question(root, Uuid::nil(), &[], Timestamp::UNIX_EPOCH).is_some()
}

/// Whether a hold is in force on a subject whose deletion was ordered all the same: before the hold, or past the guards.
pub(crate) async fn is_held(tx: &mut Tx, root: Root, organization: Uuid, subject: Uuid, now: Timestamp) -> Result<bool> {
    let Some((statement, bound)) = question(root, organization, &[subject], now) else { return Ok(false) };
    let open = tx.query(statement, &bound).await?.into_iter().map(|row| read(root, row)).collect::<Result<Vec<_>>>()?;
    Ok(open.iter().any(|(_, blocker)| blocker.kind == HOLD))
}

/// What blocks by the answer to the [`question`], and what is asked about each alone.
pub(crate) async fn weigh(
    tx: &mut Tx,
    root: Root,
    organization: Uuid,
    subjects: &[Uuid],
    open: Vec<Row>,
) -> Result<HashMap<Uuid, Vec<Blocker>>> {
    let mut found: HashMap<Uuid, Vec<Blocker>> = HashMap::new();
    let mut open = open.into_iter().map(|row| read(root, row)).collect::<Result<Vec<_>>>()?;
    // Holds first, and in one order on both engines.
    open.sort_by_key(|(_, blocker)| (KINDS.iter().position(|kind| *kind == blocker.kind), blocker.id));
    for (subject, blocker) in open {
        let concerned = if subject == organization { subjects } else { std::slice::from_ref(&subject) };
        for one in concerned {
            found.entry(*one).or_default().push(blocker.clone());
        }
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

const HOLD: &str = "hold";
/// The kinds of what is found by a [`question`], in the order in which they are told.
const KINDS: [&str; 3] = [HOLD, "subscription", "transaction"];

/// One row of the answer to a [`question`]: the subject, and what blocks it.
fn read(root: Root, row: Row) -> Result<(Uuid, Blocker)> {
    let (subject, kind, id, words, by, times): (Uuid, String, Uuid, Option<String>, _, _) = row.read()?;
    let words = words.unwrap_or_default();
    let blocker = match kind.as_str() {
        "subscription" => Blocker {
            code: "active_subscription",
            kind: "subscription",
            id,
            detail: format!("The subscription {id} ({words}) is active."),
            remedy: "Cancel the subscription: PATCH …/customers/{customerId}/subscriptions/{id} with {\"status\":\"cancelled\"}.",
        },
        "transaction" => Blocker {
            code: "pending_transaction",
            kind: "transaction",
            id,
            detail: format!("The transaction {id} is pending."),
            remedy: "Settle or fail the transaction: PATCH …/customers/{customerId}/transactions/{id} with {\"status\":\"settled\"}.",
        },
        held => legal_hold(root, held, id, by, times),
    };
    Ok((subject, blocker))
}

/// Who holds what since when and until when. Why is in the hold's record, for those who may read it.
fn legal_hold(
    root: Root,
    held: &str,
    id: Uuid,
    (by, by_id): (Option<String>, Option<Uuid>),
    (since, until): (Option<Timestamp>, Option<Timestamp>),
) -> Blocker {
    let by = if by.as_deref() == Some(OPERATOR) { "an operator" } else { "the user" };
    let by_id = by_id.map_or_else(String::new, |id| format!(" {id}"));
    let until = until.map_or_else(|| "it is released".to_owned(), |until| until.strftime(TIME).to_string());
    let since = since.unwrap_or_default().strftime(TIME);
    let access = match root {
        Root::Member => " Access can be taken away all the same: give them another role, and revoke their API keys.",
        _ => "",
    };
    Blocker {
        code: "legal_hold",
        kind: HOLD,
        id,
        detail: format!("A legal hold on the {held}, placed by {by}{by_id} at {since}, forbids it until {until}.{access}"),
        remedy: match by {
            "an operator" => "An operator of the server releases the hold: POST …/holds/{holdId}/release with {\"reason\":\"…\"}.",
            _ => "An owner or an operator of the server releases the hold: POST …/holds/{holdId}/release with {\"reason\":\"…\"}.",
        },
    }
}

const TIME: &str = "%Y-%m-%dT%H:%M:%SZ";
