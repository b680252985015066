//! Approvals as deletions use them up, and who is there to give one.

use jiff::Timestamp;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::Result;

/// The subject of approvals of weaker requirements.
pub(crate) const REQUIREMENTS: &str = "requirements";

/// An approval that counts now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counting {
    pub(crate) id: Uuid,
    pub(crate) subject_id: Uuid,
    /// The user who made it.
    pub(crate) by: Uuid,
}

columns! { Counting { id: "deletion_approvals.id", subject_id, by: "members.user_id" } }

impl Counting {
    /// What the audit trail says of whatever was done with it.
    pub(crate) fn note(&self) -> String {
        format!("approval {} by the user {}", self.id, self.by)
    }
}

/// Touches the approvals of these subjects and the memberships of their makers: what [`counting`] finds after this counts until the
/// transaction ends. The subjects are locked.
pub(crate) async fn lock(tx: &mut Tx, organization: Uuid, subject: &'static str, ids: &[Uuid], now: Timestamp) -> Result<()> {
    let makers = sql!(
        "UPDATE members SET version = version + 1
         WHERE organization_id = $1 AND state = 'live'
           AND id IN (SELECT member_id FROM deletion_approvals
                      WHERE organization_id = $1 AND subject = $2 AND subject_id = ANY($3) AND expires_at > $4)"
    );
    let approvals = sql!(
        "UPDATE deletion_approvals SET expires_at = expires_at
         WHERE organization_id = $1 AND subject = $2 AND subject_id = ANY($3) AND expires_at > $4"
    );
    let bound = params![organization, subject, ids, now];
    tx.query_all(&[(makers, bound), (approvals, bound)]).await?;
    Ok(())
}

/// The approvals of these subjects that count now, the oldest first.
pub(crate) async fn counting(
    tx: &mut Tx,
    organization: Uuid,
    subject: &'static str,
    ids: &[Uuid],
    now: Timestamp,
) -> Result<Vec<Counting>> {
    let statement = sql!(
        "SELECT {columns} FROM deletion_approvals JOIN members ON members.organization_id = deletion_approvals.organization_id
                                             AND members.id = member_id AND members.role = 'owner' AND members.state = 'live'
         WHERE deletion_approvals.organization_id = $1 AND subject = $2 AND subject_id = ANY($3) AND expires_at > $4
         ORDER BY deletion_approvals.id",
        Counting
    );
    Ok(tx.read_all(statement, params![organization, subject, ids, now]).await?)
}

/// Uses up every approval of these subjects: one of them is good for one deletion, and so are two.
pub(crate) async fn use_up(tx: &mut Tx, organization: Uuid, subject: &'static str, ids: &[Uuid]) -> Result<()> {
    if !ids.is_empty() {
        let delete = sql!("DELETE FROM deletion_approvals WHERE organization_id = $1 AND subject = $2 AND subject_id = ANY($3)");
        tx.execute(delete, params![organization, subject, ids]).await?;
    }
    Ok(())
}

/// Whether an organization has an owner whose account is there.
pub(crate) async fn has_owner(tx: &mut Tx, organization: Uuid) -> Result<bool> {
    let statement = sql!(
        "SELECT 1 FROM members JOIN users ON users.id = members.user_id
         WHERE members.organization_id = $1 AND members.role = 'owner' AND members.state = 'live' AND users.state = 'live' LIMIT 1"
    );
    Ok(tx.query_opt(statement, params![organization]).await?.is_some())
}
