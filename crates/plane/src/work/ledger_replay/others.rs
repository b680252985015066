//! What is done again beside deletions: holds, roles, what is asked, and the ends of credentials that were changed.

use sql::{Tx, params, sql};
use uuid::Uuid;

use super::survey::Survey;
use super::{BATCH, MOST};
use crate::audit;
use crate::cx::Cx;
use crate::deletions::{self, Root};
use crate::hex::hex;
use crate::ids::SERVER_SCOPE;
use crate::ledger::{Credential, Entry, GONE};
use crate::{Error, Result, customers, dependants, requirements};
use deletion::random;

/// Places legal holds again, for a reason that says no more than that.
///
/// # Errors
/// The database's.
pub(super) async fn hold_again(cx: &Cx, survey: &Survey) -> Result<u64> {
    let mut done = 0;
    for (hold, (at, (organization, subject, subject_id, until))) in &survey.holds {
        let (hold, at, organization, subject, subject_id, until) = (*hold, *at, *organization, subject.clone(), *subject_id, *until);
        let again = cx.write_behind(false, async move |_, tx| {
            let known = sql!("SELECT 1 FROM holds WHERE organization_id = $1 AND id = $2");
            if tx.query_opt(known, params![organization, hold]).await?.is_some() {
                return Ok(false);
            }
            let insert = sql!(
                "INSERT INTO holds (organization_id, id, subject, subject_id, reason, until, placed_by, placed_at)
                 VALUES ($1, $2, $3, $4, $5, $6, 'system', $7)"
            );
            let reason = "The database was restored from before this hold, and its reason is not known any more.";
            tx.execute(insert, params![organization, hold, &subject, subject_id, reason, until, at]).await?;
            Ok(true)
        });
        done += u64::from(again.await?);
    }
    Ok(done)
}

/// The line of something that the table has and the files have not, as the database is now: later lines about the same may be in the files. None
/// when there is nothing to tell any more.
///
/// # Errors
/// The database's.
pub(super) async fn as_it_is(cx: &Cx, entry: Entry) -> Result<Option<Entry>> {
    cx.read(async move |cx, tx| {
        Ok(match entry.clone() {
            Entry::Changed { credential, organization, id, revision, .. } => {
                let digest = credential.digest(cx, tx, organization, id).await?;
                digest.map(|digest| Entry::Changed { credential, organization, id, digest, revision })
            }
            Entry::Held { organization, hold, .. } => {
                let placed = sql!("SELECT 1 FROM holds WHERE organization_id = $1 AND id = $2 AND released_at IS NULL");
                tx.query_opt(placed, params![organization, hold]).await?.map(|_| entry.clone())
            }
            // Done once and for all, or with a revision.
            _ => Some(entry.clone()),
        })
    })
    .await
}

/// Does again what is told of beside deletions and holds. Returns how much was not done yet.
///
/// # Errors
/// The database's.
pub(super) async fn repeat(cx: &Cx, survey: &Survey, is_older: bool) -> Result<u64> {
    let mut done = 0;
    // A purge that was over has deleted its customers, and each has a line: it spares all others.
    let over: Vec<Uuid> = if is_older { survey.completed.keys().copied().collect() } else { Vec::new() };
    for deletions in over.chunks(BATCH) {
        let deletions = deletions.to_vec();
        let stop = cx.write_behind(false, async move |cx, tx| deletions::end_purges(cx, tx, &deletions).await);
        done += stop.await?;
    }
    for &(organization, invitation) in &survey.accepted {
        let again = cx.write_behind(false, async move |_, tx| {
            let statement =
                sql!("UPDATE invitations SET status = 'cancelled' WHERE organization_id = $1 AND id = $2 AND status = 'pending'");
            Ok(tx.execute(statement, params![organization, invitation]).await? > 0)
        });
        done += u64::from(again.await?);
    }
    for deletion in &survey.stopped {
        let deletion = *deletion;
        let again = cx.write_behind(false, async move |cx, tx| deletions::stop_again(cx, tx, deletion).await);
        done += u64::from(again.await?);
    }
    for (kind, ids) in survey.removed.iter().cloned() {
        let again = cx.write_behind(false, async move |_, tx| dependants::remove_again(tx, &kind, ids).await);
        done += u64::from(again.await?);
    }
    for (member, (organization, role, revision)) in &survey.roles {
        let (organization, member, role, revision) = (*organization, *member, role.clone(), *revision);
        let again = cx.write_behind(false, async move |_, tx| {
            let statement = sql!("UPDATE members SET role = $3, revision = $4 WHERE organization_id = $1 AND id = $2 AND revision < $4");
            Ok(tx.execute(statement, params![organization, member, &role, revision]).await? > 0)
        });
        done += u64::from(again.await?);
    }
    for (user, (is_operator, revision)) in &survey.operators {
        let (user, is_operator, revision) = (*user, *is_operator, *revision);
        let again = cx.write_behind(false, async move |_, tx| {
            let statement = sql!(
                "UPDATE users SET is_operator = $2, operator_revision = $3
                 WHERE id = $1 AND (operator_revision < $3 OR operator_revision = $3 AND is_operator <> $2)"
            );
            Ok(tx.execute(statement, params![user, is_operator, revision]).await? > 0)
        });
        done += u64::from(again.await?);
    }
    for (organization, (is_archived, revision)) in &survey.archived {
        let (organization, is_archived, revision) = (*organization, *is_archived, *revision);
        let again = cx.write_behind(false, async move |cx, tx| {
            let statement = sql!("UPDATE organizations SET archived_at = $2, revision = $3 WHERE id = $1 AND revision < $3");
            if tx.execute(statement, params![organization, is_archived.then_some(cx.now), revision]).await? == 0 {
                return Ok(false);
            }
            deletions::end_archive(cx, tx, organization).await?;
            Ok(true)
        });
        done += u64::from(again.await?);
    }
    for ((organization, customer), state) in &survey.customers {
        let (organization, customer, state) = (*organization, *customer, *state);
        let again = cx.write_behind(false, async move |cx, tx| {
            customers::set_again(
                cx,
                tx,
                (organization, customer),
                state.managed_by,
                (state.is_archived, state.was_archived),
                state.revision,
            )
            .await
        });
        done += u64::from(again.await?);
    }
    for (organization, (by_kind, revision)) in &survey.asked {
        let (organization, by_kind, revision) = (*organization, *by_kind, *revision);
        let again = cx.write_behind(false, async move |cx, tx| requirements::ask_again(cx, tx, organization, &by_kind, revision).await);
        done += u64::from(again.await?);
    }
    // A change that a power failure took back was not answered: what was before it is still good.
    let mut unusable = None;
    for ((credential, id), (organization, digest, revision)) in survey.changed.iter().filter(|_| is_older) {
        let unusable = match &unusable {
            Some(hash) => String::clone(hash),
            // The hash of a random password.
            None => unusable.insert(cx.plane.hasher.hash(hex(&random::<32>()?)).await?).clone(),
        };
        let (changed, digest) = ((*credential, *organization, *id), (digest.clone(), *revision));
        let again = cx.write_behind(false, async move |cx, tx| {
            let (digest, revision) = &digest;
            end_changed(cx, tx, changed, (digest, *revision), &unusable).await
        });
        done += u64::from(again.await?);
    }
    Ok(done)
}

/// Ends a credential that is not as the ledger says: it is what it was before it was changed.
async fn end_changed(
    cx: &Cx,
    tx: &mut Tx,
    (credential, organization, id): (Credential, Option<Uuid>, Uuid),
    (digest, revision): (&str, i64),
    unusable: &str,
) -> Result<bool> {
    if revision < GONE {
        // What is changed from now on comes after what the ledger knows.
        credential.count(tx, organization, id, revision).await?;
    }
    match credential.digest(cx, tx, organization, id).await? {
        None => return Ok(false),
        Some(now) if now == digest => return Ok(false),
        Some(_) => {}
    }
    match credential {
        Credential::Password => {
            tx.execute(sql!("UPDATE users SET password_hash = $2 WHERE id = $1"), params![id, unusable]).await?;
            audit::record(cx, tx, SERVER_SCOPE, &audit::about_user("user.reset_password", id)).await?;
        }
        Credential::OauthApp => {
            let statement = sql!("UPDATE oauth_apps SET secret_hash = $3 WHERE organization_id = $1 AND id = $2");
            tx.execute(statement, params![organization, id, random::<32>()?.to_vec()]).await?;
        }
        Credential::ApiKey => {
            let order = deletions::Order {
                root: Root::ApiKey,
                subject: id,
                label: None,
                reason: Some("The database was restored from before the key was changed.".into()),
                action: "api_key.revoke",
                detail: None,
                export: false,
            };
            deletions::delete(cx, tx, organization.unwrap_or(SERVER_SCOPE), order).await?;
        }
        Credential::Webhook | Credential::WebhookSecret => {
            let statement = sql!("UPDATE webhooks SET is_active = FALSE WHERE organization_id = $1 AND id = $2");
            tx.execute(statement, params![organization, id]).await?;
        }
        Credential::UserApiKey => {
            tx.execute(sql!("DELETE FROM user_api_keys WHERE id = $1"), params![id]).await?;
        }
    }
    Ok(true)
}

/// Ends every session and every token of an app, and withdraws every approval: the ledger does not say which of them were refreshed, used or ended
/// since.
///
/// # Errors
/// The database's.
pub(super) async fn end_sessions(cx: &Cx) -> Result<u64> {
    let mut ended = 0;
    let sessions = sql!("DELETE FROM sessions WHERE id IN (SELECT id FROM sessions LIMIT $1)");
    let tokens = sql!("DELETE FROM oauth_tokens WHERE (organization_id, id) IN (SELECT organization_id, id FROM oauth_tokens LIMIT $1)");
    let approvals = sql!(
        "DELETE FROM deletion_approvals
         WHERE (organization_id, id) IN (SELECT organization_id, id FROM deletion_approvals LIMIT $1)"
    );
    for statement in [sessions, tokens, approvals] {
        loop {
            let batch = cx.write_behind(false, async move |_, tx| tx.execute(statement, params![MOST]).await.map_err(Error::from));
            match batch.await? {
                0 => break,
                rows => ended += rows,
            }
        }
    }
    Ok(ended)
}
