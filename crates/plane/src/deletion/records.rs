//! Deletions as records: what was ordered by whom, how far it is, and the receipt of what was done.

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Row, Tx, params, sql};
use uuid::Uuid;

use crate::access::{self, enter};
use crate::cx::Cx;
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::Action;
use crate::{Error, Result};

/// A deletion.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// Its id.
    pub id: Uuid,
    /// The organization, which may be gone.
    pub organization: Uuid,
    /// The rules it follows.
    pub root: String,
    /// What is or was deleted.
    pub subject: Uuid,
    /// How the caller named it; none after the seal.
    pub subject_label: Option<String>,
    /// `closed`, `draining` or `sealed`.
    pub state: String,
    /// `user`, `api_key`, `oauth_app`, `operator` or `system`.
    pub actor: String,
    /// The user who ordered it.
    pub actor_id: Option<Uuid>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The request that ordered it.
    pub request_id: String,
    /// Rows erased or redacted so far, by table.
    pub counts: Json,
    /// What was done outside of the database, such as `{"webhooks":{"delivered":2,"failed":0}}`; empty if nothing was to be done.
    pub effects: Json,
    /// Transactions that the drain took.
    pub batches: i64,
    /// The longest of them, in microseconds.
    pub longest_batch_micros: i64,
    /// What it waits for, when it cannot go on.
    pub waiting_for: Option<String>,
    /// When it was ordered; from the answer on nobody has access.
    pub created_at: Timestamp,
    /// When it last made progress.
    pub updated_at: Timestamp,
    /// When the sweep found nothing left.
    pub sealed_at: Option<Timestamp>,
}

/// Reads a deletion: for owners and admins of its organization, the one who ordered it, and operators. A credential of one organization is a
/// stranger to the deletions of every other; one with scopes can follow what was ordered with it, and needs the scope for the rest.
///
/// # Errors
/// [`Error::NotFound`] for everybody else.
pub async fn get(cx: &Cx, id: Uuid) -> Result<Deletion> {
    let principal = cx.principal()?.clone();
    let deletion = cx.read(id, |_, tx, id| Box::pin(load(tx, *id))).await?.ok_or(Error::NotFound("Deletion"))?;
    let is_good_here = principal.organization.is_none_or(|own| own == deletion.organization);
    let has_ordered_it = is_good_here && deletion.actor_id == Some(principal.user);
    if principal.is_operator || (has_ordered_it && may_follow(cx, &deletion).await?) {
        return Ok(deletion);
    }
    match enter(cx, &OrganizationRef::Id(deletion.organization), Action::ReadDeletions).await {
        Ok(_) => Ok(deletion),
        Err(_) => Err(Error::NotFound("Deletion")),
    }
}

async fn may_follow(cx: &Cx, deletion: &Deletion) -> Result<bool> {
    let principal = cx.principal()?;
    if principal.needs(Action::ReadDeletions.scope()).is_ok() {
        return Ok(true);
    }
    let asked = (deletion.organization, deletion.subject, deletion.id, principal.credential);
    cx.read(asked, |_, tx, (organization, subject, deletion, credential)| {
        Box::pin(async move {
            let statement = sql!(
                "SELECT 1 FROM audit_entries WHERE organization_id = $1 AND subject_id = $2 AND deletion_id = $3 AND credential_id = $4 LIMIT 1"
            );
            Ok(tx.query_opt(statement, params![*organization, *subject, *deletion, *credential]).await?.is_some())
        })
    })
    .await
}

/// Lists an organization's deletions, newest first. Operators can also list those of an organization that is gone.
///
/// # Errors
/// Those of [`enter`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, request: PageRequest) -> Result<Page<Deletion>> {
    let organization = match enter(cx, organization, Action::ReadDeletions).await {
        Ok(tenant) => tenant.organization(),
        Err(Error::NotFound(_)) if cx.principal()?.is_operator => access::find(cx, organization).await?,
        Err(error) => return Err(error),
    };
    cx.read((organization, request), |_, tx, (organization, request)| {
        Box::pin(async move {
            let total =
                tx.query_one(sql!("SELECT count(*) FROM deletions WHERE organization_id = $1"), params![*organization]).await?.next()?;
            let statement = sql!(
                "SELECT id, organization_id, root, subject_id, subject_label, state, actor, actor_id, reason, request_id, counts, effects,
                        batches, longest_batch_us, waiting_for, created_at, updated_at, sealed_at
                 FROM deletions WHERE organization_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3"
            );
            let rows = tx.query(statement, params![*organization, request.size, request.offset()]).await?;
            Ok(Page::new(rows.into_iter().map(read).collect::<Result<_>>()?, total, *request))
        })
    })
    .await
}

pub(super) async fn load(tx: &mut Tx, id: Uuid) -> Result<Option<Deletion>> {
    let statement = sql!(
        "SELECT id, organization_id, root, subject_id, subject_label, state, actor, actor_id, reason, request_id, counts, effects,
                batches, longest_batch_us, waiting_for, created_at, updated_at, sealed_at
         FROM deletions WHERE id = $1"
    );
    tx.query_opt(statement, params![id]).await?.map(read).transpose()
}

fn read(mut row: Row) -> Result<Deletion> {
    Ok(Deletion {
        id: row.next()?,
        organization: row.next()?,
        root: row.next()?,
        subject: row.next()?,
        subject_label: row.next()?,
        state: row.next()?,
        actor: row.next()?,
        actor_id: row.next()?,
        reason: row.next()?,
        request_id: row.next()?,
        counts: row.next()?,
        effects: row.next()?,
        batches: row.next()?,
        longest_batch_micros: row.next()?,
        waiting_for: row.next()?,
        created_at: row.next()?,
        updated_at: row.next()?,
        sealed_at: row.next()?,
    })
}
