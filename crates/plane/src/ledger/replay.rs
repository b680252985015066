//! Has a database catch up with its ledger before it is served: after a crash there is next to nothing to do; a restored older state forgets
//! what its ledger remembers, and is told again. What a line tells of is done if it is not done yet, so that doing it twice does no harm.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Database, Tx, params, sql};
use uuid::Uuid;

use super::folder::{Folder, Line};
use super::writer::Writer;
use super::{Credential, Entry, LedgerPlace, Order, TakenBack};
use crate::audit::{self, NO_ORGANIZATION};
use crate::cx::{Actor, Cx, random};
use crate::deletion::{self, Repeated, Root};
use crate::passwords::hex;
use crate::sessions::before;
use crate::{Error, Plane, Result, dependants, signing_keys, users};

/// Deletions that are repeated in one transaction.
const BATCH: usize = 200;
/// Rows of sessions and tokens that end in one transaction.
const MOST: i64 = 10_000;
/// How long before it is answered a deletion may have begun.
const LONGEST: Duration = Duration::from_secs(600);

/// What the database knows of its ledger.
#[derive(Debug, Clone, Copy)]
struct Known {
    id: Uuid,
    position: u64,
    position_at: Timestamp,
    beat: i64,
    is_restored: bool,
}

/// What the ledger says beside the deletions that were ordered: of each the last word.
#[derive(Debug, Default)]
struct Survey {
    /// The first and the last number of its lines.
    first: u64,
    last: u64,
    beat: i64,
    /// Deletions that it knows of.
    orders: HashSet<Uuid>,
    /// Deletions that it knows to have been taken back.
    taken_back: HashSet<Uuid>,
    holds: HashMap<Uuid, (Timestamp, Hold)>,
    accepted: Vec<(Uuid, Uuid)>,
    completed: HashMap<Uuid, (Json, Timestamp)>,
    restored: HashMap<Uuid, TakenBack>,
    stopped: Vec<Uuid>,
    removed: Vec<(String, (Uuid, Uuid, Uuid))>,
    changed: HashMap<(Credential, Uuid), (Option<Uuid>, String)>,
    roles: HashMap<Uuid, (Uuid, String, i64)>,
    operators: HashMap<Uuid, bool>,
    archived: HashMap<Uuid, (bool, i64)>,
}

/// A legal hold: its organization, the kind of its subject, the subject, and its end.
type Hold = (Uuid, String, Uuid, Option<Timestamp>);

/// How much was done again.
#[derive(Debug, Default)]
struct Done {
    closed: u64,
    recorded: u64,
    others: u64,
    ended: u64,
}

/// Opens the ledger, and has the database catch up with it.
///
/// # Errors
/// [`Error::Malformed`] when the two do not belong together, with the remedy; the database's.
pub(crate) async fn open(plane: &Arc<Plane>, place: &LedgerPlace) -> Result<()> {
    let cx = Cx::new(plane, "ledger").with_actor(Actor::System);
    let known = load(&cx).await?;
    let path = match (place, known) {
        (LedgerPlace::Folder(path), _) => path,
        (LedgerPlace::Unsaid | LedgerPlace::Nowhere, None) => return Ok(()),
        (LedgerPlace::Nowhere, Some(_)) => {
            tracing::warn!("no ledger is kept any more: what is deleted from now on is there again if the database is restored");
            return forget(&cx).await;
        }
        (LedgerPlace::Unsaid, Some(_)) => {
            let words = "a ledger is kept of what is deleted in this database: name its folder with --ledger, or go on without one with --ledger none";
            return Err(Error::Malformed(words.into()));
        }
    };
    let folder = Folder::open(path)?;
    let may_adopt = plane.config.database.may_begin_anew;
    let refused = |words: &str| Err(Error::Malformed(format!("the ledger in {} {words}", path.display())));
    let (known, is_new) = match (known, folder.id()) {
        (None, None) => (begin(&cx, Uuid::from_bytes(random()?)).await?, true),
        // The first start was stopped before there was a file.
        (Some(known), None) if known.beat == 0 => (known, true),
        (None, Some(id)) if may_adopt && !users::are_there(&cx).await? => (begin(&cx, id).await?, true),
        (None, Some(_)) => {
            return refused(
                "is unknown to the database: it is another's, or this is a state from before its ledger was begun, and what was deleted since is \
                 not known. To go on all the same name a new folder with --ledger",
            );
        }
        (Some(_), None) => {
            return refused(
                "is empty, though the database has one: put its files back, name its folder with --ledger, or begin a new one by starting \
                 once with --ledger none",
            );
        }
        (Some(known), Some(id)) if known.id != id => {
            return refused("is of another database: name this one's own folder with --ledger");
        }
        (Some(known), Some(_)) => (known, false),
    };
    let since = before(known.position_at, LONGEST);
    let survey = survey(&folder, known, since)?;
    if !is_new && survey.last < known.position {
        return refused("is older than the database: put its newest files back, or begin a new one by starting once with --ledger none");
    }
    if !is_new && survey.first > known.position + 1 {
        return refused(
            "does not reach back to this state of the database, which is older than anything it is kept for: \
             what was deleted meanwhile is not known. To go on all the same start once with --ledger none",
        );
    }
    let is_older = !is_new && (known.is_restored || survey.beat > known.beat);
    let done = if is_new { Done::default() } else { catch_up(&cx, &folder, &survey, known, is_older).await? };
    let left_out = if is_new { Vec::new() } else { left_out(&cx, &survey, since).await? };
    if is_older {
        let Done { closed, recorded, others, ended } = done;
        tracing::warn!(
            closed,
            recorded,
            others,
            ended,
            "the database was older than its ledger: what was deleted since is closed again, and everybody signs in anew"
        );
    }
    let page = folder.into_page(known.id, survey.last, cx.now, plane.config.ledger_life)?;
    let writer = Writer::start(page, survey.last, plane.clock.clone())?;
    let _ = plane.ledger.opened.set((writer, survey.last));
    let line = AtomicU64::new(0);
    for (at, entry) in left_out {
        plane.ledger.add(at, &entry, &line);
    }
    plane.ledger.written(line.load(Ordering::Relaxed)).await;
    let beat = settle(&cx, &survey, known).await?;
    plane.ledger.add(cx.now, &Entry::Beat { beat }, &line);
    Ok(())
}

async fn load(cx: &Cx) -> Result<Option<Known>> {
    cx.read((), |_, tx, ()| {
        Box::pin(async move {
            let statement = sql!("SELECT id, position, position_at, beat, is_restored FROM ledger");
            let Some(mut row) = tx.query_opt(statement, &[]).await? else { return Ok(None) };
            let (id, position) = (row.next()?, u64::try_from(row.next::<i64>()?).unwrap_or(0));
            Ok(Some(Known { id, position, position_at: row.next()?, beat: row.next()?, is_restored: row.next()? }))
        })
    })
    .await
}

async fn forget(cx: &Cx) -> Result<()> {
    cx.write_behind(false, (), |_, tx, ()| {
        Box::pin(async move { tx.execute(sql!("DELETE FROM ledger"), &[]).await.map(drop).map_err(Into::into) })
    })
    .await
}

async fn begin(cx: &Cx, id: Uuid) -> Result<Known> {
    cx.write_behind(false, id, |cx, tx, id| {
        Box::pin(async move {
            let insert = sql!("INSERT INTO ledger (id, position, position_at, beat, is_restored) VALUES ($1, 0, $2, 0, FALSE)");
            tx.execute(insert, params![*id, cx.now]).await?;
            Ok(Known { id: *id, position: 0, position_at: cx.now, beat: 0, is_restored: false })
        })
    })
    .await
}

/// Says of a database that comes from a backup that it has to catch up.
///
/// # Errors
/// The database's.
pub(crate) async fn mark_restored(database: &Database) -> Result<()> {
    database
        .write((), |tx, ()| {
            Box::pin(async move {
                tx.execute(sql!("UPDATE ledger SET is_restored = TRUE"), &[]).await?;
                Ok(())
            })
        })
        .await
}

fn survey(folder: &Folder, known: Known, since: Timestamp) -> Result<Survey> {
    let (first, last) = folder.bounds();
    let mut survey = Survey { first, last, ..Survey::default() };
    let mut previous: Option<u64> = None;
    for line in folder.lines(known.position + 1, since) {
        let Line { n, at, entry } = line?;
        if previous.is_some_and(|previous| n > previous + 1) {
            let words = "lines of the ledger are missing before line";
            return Err(Error::Malformed(format!("{words} {n}: put the file back that has them, or start once with --ledger none")));
        }
        previous = Some(n);
        survey.last = n;
        match entry {
            Entry::Ordered(order) if at >= since || n > known.position => {
                survey.orders.insert(order.deletion);
            }
            Entry::Restored(taken_back) if at >= since || n > known.position => {
                survey.taken_back.insert(taken_back.deletion);
                if n > known.position {
                    survey.restored.insert(taken_back.deletion, taken_back);
                }
            }
            Entry::Beat { beat } => survey.beat = survey.beat.max(beat),
            _ if n <= known.position => {}
            Entry::Ordered(_) | Entry::Restored(_) => {}
            Entry::Held { organization, hold, subject, subject_id, until } => {
                survey.holds.insert(hold, (at, (organization, subject, subject_id, until)));
            }
            Entry::Released { hold } => {
                survey.holds.remove(&hold);
            }
            Entry::Accepted { organization, invitation } => survey.accepted.push((organization, invitation)),
            Entry::Completed { deletion, counts } => {
                // It was not taken back after all.
                survey.restored.remove(&deletion);
                survey.completed.insert(deletion, (counts, at));
            }
            Entry::Stopped { deletion } => survey.stopped.push(deletion),
            Entry::Removed { organization, customer, kind, id } => survey.removed.push((kind, (organization, customer, id))),
            Entry::Changed { credential, organization, id, digest } => {
                survey.changed.insert((credential, id), (organization, digest));
            }
            Entry::Role { organization, member, role, revision } => {
                let last = survey.roles.entry(member).or_insert((organization, String::new(), -1));
                if revision >= last.2 {
                    *last = (organization, role, revision);
                }
            }
            Entry::Operator { user, is_operator } => {
                survey.operators.insert(user, is_operator);
            }
            Entry::Archived { organization, is_archived, revision } => {
                let last = survey.archived.entry(organization).or_insert((is_archived, -1));
                if revision >= last.1 {
                    *last = (is_archived, revision);
                }
            }
        }
    }
    Ok(survey)
}

async fn catch_up(cx: &Cx, folder: &Folder, survey: &Survey, known: Known, is_older: bool) -> Result<Done> {
    let mut done = Done::default();
    if is_older {
        done.ended = end_sessions(cx).await?;
        signing_keys::replace(cx).await?;
    }
    // Before what they keep is erased again.
    done.others += hold_again(cx, survey).await?;
    // Before later deletions of the same.
    for taken_back in survey.restored.values() {
        let again = cx.write_behind(false, taken_back.clone(), |cx, tx, taken_back| Box::pin(deletion::restore_again(cx, tx, taken_back)));
        done.others += u64::from(again.await?);
    }
    let mut batch = Vec::new();
    for line in folder.lines(known.position + 1, known.position_at) {
        let Line { n, at, entry } = line?;
        let Entry::Ordered(order) = entry else { continue };
        // After a crash a job goes on where it was, and orders again what it had not come to.
        if n <= known.position || survey.restored.contains_key(&order.deletion) || order.by_job && !is_older {
            continue;
        }
        let completed = survey.completed.get(&order.deletion).cloned();
        let completed = completed.or_else(|| order.counts.clone().map(|counts| (counts, at)));
        batch.push((order, at, completed));
        if batch.len() == BATCH {
            repeat(cx, std::mem::take(&mut batch), &mut done).await?;
        }
    }
    repeat(cx, batch, &mut done).await?;
    done.others += repeat_others(cx, survey, is_older).await?;
    Ok(done)
}

type Ordered = (Order, Timestamp, Option<(Json, Timestamp)>);

async fn repeat(cx: &Cx, orders: Vec<Ordered>, done: &mut Done) -> Result<()> {
    let outcomes = cx.write_behind(false, orders, |cx, tx, orders| {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(orders.len());
            for (order, at, completed) in orders {
                outcomes.push((order.deletion, deletion::repeat(cx, tx, order, *at, completed.clone()).await?));
            }
            Ok(outcomes)
        })
    });
    for (id, outcome) in outcomes.await? {
        match outcome {
            Repeated::Known => {}
            Repeated::Recorded => done.recorded += 1,
            Repeated::Closed => done.closed += 1,
            Repeated::Unfinished => {
                tracing::warn!(deletion = %id, "a purge was not over, and is not gone on with in this older state: order it again");
            }
        }
    }
    Ok(())
}

/// Places legal holds again, for a reason that says no more than that.
async fn hold_again(cx: &Cx, survey: &Survey) -> Result<u64> {
    let mut done = 0;
    for (hold, (at, (organization, subject, subject_id, until))) in &survey.holds {
        let input = (*hold, *at, *organization, subject.clone(), *subject_id, *until);
        let again = cx.write_behind(false, input, |_, tx, (hold, at, organization, subject, subject_id, until)| {
            Box::pin(async move {
                let known = sql!("SELECT 1 FROM holds WHERE organization_id = $1 AND id = $2");
                if tx.query_opt(known, params![*organization, *hold]).await?.is_some() {
                    return Ok(false);
                }
                let insert = sql!(
                    "INSERT INTO holds (organization_id, id, subject, subject_id, reason, until, placed_by, placed_at)
                     VALUES ($1, $2, $3, $4, $5, $6, 'system', $7)"
                );
                let reason = "The database was restored from before this hold, and its reason is not known any more.";
                tx.execute(insert, params![*organization, *hold, subject, *subject_id, reason, *until, *at]).await?;
                Ok(true)
            })
        });
        done += u64::from(again.await?);
    }
    Ok(done)
}

async fn repeat_others(cx: &Cx, survey: &Survey, is_older: bool) -> Result<u64> {
    let mut done = 0;
    // A purge that was over has deleted its customers, and each has a line: it spares all others.
    let over: Vec<Uuid> = if is_older { survey.completed.keys().copied().collect() } else { Vec::new() };
    for deletions in over.chunks(BATCH) {
        let stop = cx.write_behind(false, deletions.to_vec(), |cx, tx, deletions| Box::pin(deletion::end_purges(cx, tx, deletions)));
        done += stop.await?;
    }
    for accepted in &survey.accepted {
        let again = cx.write_behind(false, *accepted, |_, tx, (organization, invitation)| {
            Box::pin(async move {
                let statement =
                    sql!("UPDATE invitations SET status = 'cancelled' WHERE organization_id = $1 AND id = $2 AND status = 'pending'");
                Ok(tx.execute(statement, params![*organization, *invitation]).await? > 0)
            })
        });
        done += u64::from(again.await?);
    }
    for deletion in &survey.stopped {
        let again = cx.write_behind(false, *deletion, |cx, tx, deletion| Box::pin(deletion::stop_again(cx, tx, *deletion)));
        done += u64::from(again.await?);
    }
    for removed in &survey.removed {
        let again = cx.write_behind(false, removed.clone(), |_, tx, (kind, ids)| Box::pin(dependants::remove_again(tx, kind, *ids)));
        done += u64::from(again.await?);
    }
    for (member, (organization, role, revision)) in &survey.roles {
        let again =
            cx.write_behind(false, (*organization, *member, role.clone(), *revision), |_, tx, (organization, member, role, revision)| {
                Box::pin(async move {
                    let statement =
                        sql!("UPDATE members SET role = $3, revision = $4 WHERE organization_id = $1 AND id = $2 AND revision < $4");
                    Ok(tx.execute(statement, params![*organization, *member, role, *revision]).await? > 0)
                })
            });
        done += u64::from(again.await?);
    }
    for (user, is_operator) in &survey.operators {
        let again = cx.write_behind(false, (*user, *is_operator), |_, tx, (user, is_operator)| {
            Box::pin(async move {
                let statement = sql!("UPDATE users SET is_operator = $2 WHERE id = $1 AND is_operator <> $2");
                Ok(tx.execute(statement, params![*user, *is_operator]).await? > 0)
            })
        });
        done += u64::from(again.await?);
    }
    for (organization, (is_archived, revision)) in &survey.archived {
        let input = (*organization, *is_archived, *revision);
        let again = cx.write_behind(false, input, |cx, tx, (organization, is_archived, revision)| {
            Box::pin(async move {
                let statement = sql!("UPDATE organizations SET archived_at = $2, revision = $3 WHERE id = $1 AND revision < $3");
                if tx.execute(statement, params![*organization, is_archived.then_some(cx.now), *revision]).await? == 0 {
                    return Ok(false);
                }
                deletion::end_archive(cx, tx, *organization).await?;
                Ok(true)
            })
        });
        done += u64::from(again.await?);
    }
    // A change that a power failure took back was not answered: what was before it is still good.
    let mut unusable = None;
    for ((credential, id), (organization, digest)) in survey.changed.iter().filter(|_| is_older) {
        let unusable = match &unusable {
            Some(hash) => String::clone(hash),
            // The hash of a random password.
            None => unusable.insert(cx.plane.hasher.hash(hex(&random::<32>()?)).await?).clone(),
        };
        let input = (*credential, *organization, *id, digest.clone(), unusable);
        let again = cx.write_behind(false, input, |cx, tx, (credential, organization, id, digest, unusable)| {
            Box::pin(end_changed(cx, tx, (*credential, *organization, *id), digest, unusable))
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
    digest: &str,
    unusable: &str,
) -> Result<bool> {
    match credential.digest(tx, organization, id).await? {
        None => return Ok(false),
        Some(now) if now == digest => return Ok(false),
        Some(_) => {}
    }
    match credential {
        Credential::Password => {
            tx.execute(sql!("UPDATE users SET password_hash = $2 WHERE id = $1"), params![id, unusable]).await?;
            audit::record(cx, tx, NO_ORGANIZATION, &users::about("user.reset_password", id)).await?;
        }
        Credential::OauthApp => {
            let statement = sql!("UPDATE oauth_apps SET secret_hash = $3 WHERE organization_id = $1 AND id = $2");
            tx.execute(statement, params![organization, id, random::<32>()?.to_vec()]).await?;
        }
        Credential::ApiKey => {
            let order = deletion::Order {
                root: Root::ApiKey,
                subject: id,
                label: None,
                reason: Some("The database was restored from before the key was changed.".into()),
                action: "api_key.revoke",
                detail: None,
                export: false,
            };
            deletion::delete(cx, tx, organization.unwrap_or(NO_ORGANIZATION), order).await?;
        }
        Credential::Webhook => {
            let statement = sql!("UPDATE webhooks SET is_active = FALSE WHERE organization_id = $1 AND id = $2");
            tx.execute(statement, params![organization, id]).await?;
        }
        Credential::UserApiKey => {
            tx.execute(sql!("DELETE FROM user_api_keys WHERE id = $1"), params![id]).await?;
        }
    }
    Ok(true)
}

/// Ends every session and every token of an app: the ledger does not say which of them were refreshed or ended since.
async fn end_sessions(cx: &Cx) -> Result<u64> {
    let mut ended = 0;
    let sessions = sql!("DELETE FROM sessions WHERE id IN (SELECT id FROM sessions LIMIT $1)");
    let tokens = sql!("DELETE FROM oauth_tokens WHERE (organization_id, id) IN (SELECT organization_id, id FROM oauth_tokens LIMIT $1)");
    for statement in [sessions, tokens] {
        loop {
            let batch = cx.write_behind(false, statement, |_, tx, statement| {
                Box::pin(async move { tx.execute(*statement, params![MOST]).await.map_err(Error::from) })
            });
            match batch.await? {
                0 => break,
                rows => ended += rows,
            }
        }
    }
    Ok(ended)
}

/// Says that the database has caught up. Returns the beat.
async fn settle(cx: &Cx, survey: &Survey, known: Known) -> Result<i64> {
    let beat = survey.beat.max(known.beat) + 1;
    cx.write_behind(false, (survey.last, beat, cx.plane.ledger.is_whole()), |cx, tx, (last, beat, is_whole)| {
        Box::pin(async move {
            let statement = sql!(
                "UPDATE ledger SET position = $1, position_at = CASE WHEN CAST($4 AS boolean) THEN $2 ELSE position_at END, beat = $3,
                        is_restored = FALSE"
            );
            tx.execute(statement, params![i64::try_from(*last).unwrap_or(i64::MAX), cx.now, *beat, *is_whole]).await?;
            Ok(*beat)
        })
    })
    .await
}

/// What the database knows of deletions and the ledger does not: what was committed when the process was killed, or could not be written.
async fn left_out(cx: &Cx, survey: &Survey, since: Timestamp) -> Result<Vec<(Timestamp, Entry)>> {
    let mut left_out = Vec::new();
    let mut after = uuid::Builder::from_unix_timestamp_millis(u64::try_from(since.as_millisecond()).unwrap_or(0), &[0; 10]).into_uuid();
    loop {
        let page = cx.read(after, |_, tx, after| Box::pin(orders_after(tx, *after))).await?;
        let Some((_, last, _)) = page.last() else { break };
        after = last.deletion;
        let unknown = page.into_iter().filter(|(_, order, is_taken_back)| !is_taken_back && !survey.orders.contains(&order.deletion));
        left_out.extend(unknown.map(|(at, order, _)| (at, Entry::Ordered(order))));
    }
    let restored = cx.read(since, |_, tx, since| {
        Box::pin(async move {
            let statement = sql!(
                "SELECT id, organization_id, root, subject_id, restored_at FROM deletions WHERE restored_at >= $1 AND state = 'restored'"
            );
            let rows = tx.query(statement, params![*since]).await?.into_iter();
            rows.map(|mut row| {
                let (deletion, organization, root, subject) = (row.next()?, row.next()?, row.next()?, row.next()?);
                Ok((row.next()?, TakenBack { deletion, organization, root, subject }))
            })
            .collect::<Result<Vec<(Timestamp, TakenBack)>>>()
        })
    });
    let unknown = restored.await?.into_iter().filter(|(_, taken_back)| !survey.taken_back.contains(&taken_back.deletion));
    left_out.extend(unknown.map(|(at, taken_back)| (at, Entry::Restored(taken_back))));
    Ok(left_out)
}

/// The next deletions after this one by their ids, and whether each was taken back.
async fn orders_after(tx: &mut Tx, after: Uuid) -> Result<Vec<(Timestamp, Order, bool)>> {
    let statement = sql!(
        "SELECT id, organization_id, root, subject_id, actor, actor_id, reversible_until, state, counts, created_at
         FROM deletions WHERE id > $1 ORDER BY id LIMIT $2"
    );
    let rows = tx.query(statement, params![after, MOST]).await?.into_iter();
    rows.map(|mut row| {
        let mut order = Order {
            deletion: row.next()?,
            organization: row.next()?,
            root: row.next()?,
            subject: row.next()?,
            actor: row.next()?,
            actor_id: row.next()?,
            reversible_until: row.next()?,
            export: false,
            by_job: false,
            counts: None,
        };
        let (state, counts, at): (String, Json, Timestamp) = (row.next()?, row.next()?, row.next()?);
        order.counts = (state == "sealed").then_some(counts);
        Ok((at, order, state == "restored"))
    })
    .collect()
}
