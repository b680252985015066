//! What a deletion does outside of the database: the organization's webhooks are told, and it is not completed before they were.
//!
//! An event of a deletion is queued in the transaction that orders it. The deletion waits until it is delivered or given up, or for as long as
//! the server's setting says; the receipt says how many of which. The webhooks of an organization that is deleted, and their secrets, live until
//! then.

use deletion::{after, before};
use jiff::Timestamp;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::Result;
use crate::deletion_rules::Root;

use crate::cx::Cx;
use crate::events::Event;
use crate::notify::{About, Told, as_json, emit, tell};
use crate::payloads::{
    CustomerDeletedEvent, DeletionEvent, EndedEvent, MemberEvent, MemberRemovedEvent, OauthAppEvent, OauthAppRevokedEvent,
    OrganizationDeletedEvent, OrganizationEvent,
};
use crate::subscription_steps::{Step, StepOrder, SubscriptionState};

/// How far ahead of now something may seem to have happened: a clock that was set back a little.
const SKEW: Duration = Duration::from_secs(60);

/// What webhooks are told of a deletion. Those of an organization end with it, and hear nothing after that.
pub(crate) fn events(root: Root) -> Vec<Event> {
    let last = (root != Root::Organization).then_some(Event::DeletionCompleted);
    root.event().into_iter().chain([Event::DeletionStarted]).chain(last).collect()
}

/// What its event will say of the subject, read while that is still there.
pub(crate) async fn facts(
    tx: &mut Tx,
    root: Root,
    organization_id: Uuid,
    deletion_id: Uuid,
    (id, label): (Uuid, Option<&str>),
) -> Result<Json> {
    Ok(match root {
        Root::Organization => as_json(&OrganizationDeletedEvent { organization: OrganizationEvent::of(organization_id), deletion_id }),
        // The id that callers know.
        Root::Customer | Root::RetiredCustomer => {
            as_json(&CustomerDeletedEvent { organization_id, id: label, permanent: root == Root::Customer, deletion_id })
        }
        Root::Member => {
            let statement = sql!("SELECT user_id, role FROM members WHERE organization_id = $1 AND id = $2");
            let (user_id, role) = tx.read_one(statement, params![organization_id, id]).await?;
            let member = MemberEvent { organization_id, id, user_id, role };
            as_json(&MemberRemovedEvent { member, deletion_id })
        }
        Root::OauthApp => {
            let statement = sql!("SELECT client_id FROM oauth_apps WHERE organization_id = $1 AND id = $2");
            let client_id = tx.read_one(statement, params![organization_id, id]).await?;
            as_json(&OauthAppRevokedEvent { app: OauthAppEvent { organization_id, id, client_id }, deletion_id })
        }
        Root::ApiKey | Root::Invitation | Root::Webhook | Root::OauthToken | Root::User | Root::CustomerPurge => {
            as_json(&EndedEvent { organization_id, id, deletion_id })
        }
    })
}

/// Queues the events of a deletion that is being ordered. Returns how many deliveries it waits for from here on.
pub(crate) async fn start(cx: &Cx, tx: &mut Tx, organization: Uuid, id: Uuid, (root, subject): (Root, Uuid), facts: Json) -> Result<u64> {
    let mut queued = 0;
    if let Some(event) = root.event() {
        queued += tell(cx, tx, organization, Told { event, about: About::Other(subject), deletion_id: Some(id), data: facts }).await?;
    }
    let data = as_json(&of_deletion(organization, id, root, subject));
    queued += tell(cx, tx, organization, Told { event: Event::DeletionStarted, about: About::Other(subject), deletion_id: Some(id), data })
        .await?;
    Ok(queued)
}

/// What a deletion has to wait for now: deliveries to webhooks that are switched on, and since when the longest of them waits. That of an
/// organization waits for those of all deletions in it.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) number: i64,
    pub(crate) since: Option<Timestamp>,
}

/// What it has to wait for, if it waits so long at the most.
pub(crate) async fn pending(cx: &Cx, tx: &mut Tx, root: Root, organization: Uuid, id: Uuid) -> Result<Pending> {
    let own = sql!(
        "SELECT count(*), min(effects.created_at)
         FROM effects JOIN webhooks ON webhooks.organization_id = $1 AND webhooks.id = webhook_id
         WHERE effects.organization_id = $1 AND deletion_id = $2 AND effects.state = 'pending'
           AND effects.created_at > $3 AND effects.created_at <= $4 AND is_active AND webhooks.state = 'live'"
    );
    // Its webhooks are closed with it.
    let all = sql!(
        "SELECT count(*), min(effects.created_at)
         FROM effects JOIN webhooks ON webhooks.organization_id = $1 AND webhooks.id = webhook_id
         WHERE effects.organization_id = $1 AND deletion_id IS NOT NULL AND effects.state = 'pending'
           AND effects.created_at > $2 AND effects.created_at <= $3 AND is_active"
    );
    // A time that lies ahead is of a clock that was wrong: what was queued then is not waited for.
    let (earliest, latest) = (before(cx.now, cx.plane.config.completion_wait), after(cx.now, SKEW));
    let (number, since) = match root {
        Root::Organization => tx.read_one(all, params![organization, earliest, latest]).await?,
        _ => tx.read_one(own, params![organization, id, earliest, latest]).await?,
    };
    Ok(Pending { number, since })
}

/// Gives up what the webhooks of an organization did not take in time: they go with it.
pub(crate) async fn give_up(cx: &Cx, tx: &mut Tx, organization: Uuid) -> Result<()> {
    let end = sql!(
        "UPDATE effects SET state = 'failed', error = 'the deletion waited for it no longer', finished_at = $2
         WHERE organization_id = $1 AND state = 'pending' AND deletion_id IS NOT NULL AND kind = 'webhook'"
    );
    tx.execute(end, params![organization, cx.now]).await?;
    Ok(())
}

/// Writes into the deletion what has come of its deliveries by now, if it had any and this was not done before they were erased.
pub(crate) async fn record(tx: &mut Tx, organization: Uuid, id: Uuid) -> Result<()> {
    let count =
        sql!("SELECT state, count(*) FROM effects WHERE organization_id = $1 AND deletion_id = $2 AND kind = 'webhook' GROUP BY state");
    let mut outcomes = Map::from_iter([("delivered".to_owned(), Json::from(0)), ("failed".to_owned(), Json::from(0))]);
    let rows: Vec<(String, i64)> = tx.read_all(count, params![organization, id]).await?;
    // What a receipt says already was written while its rows still said so.
    let known = sql!("SELECT effects FROM deletions WHERE organization_id = $1 AND id = $2");
    let known = tx.read_opt::<Json>(known, params![organization, id]).await?.and_then(|effects| effects.get("billing").cloned());
    let billing = match known {
        Some(known) => Some(known),
        None => record_billing(tx, organization, id, None).await?,
    };
    let webhooks = (!rows.is_empty()).then(|| {
        outcomes.extend(rows.into_iter().map(|(state, number)| (state, Json::from(number))));
        Json::from(outcomes)
    });
    let effects: Map<String, Json> =
        [("webhooks", webhooks), ("billing", billing)].into_iter().filter_map(|(kind, found)| Some((kind.to_owned(), found?))).collect();
    if effects.is_empty() {
        return Ok(());
    }
    let update = sql!("UPDATE deletions SET effects = $3 WHERE organization_id = $1 AND id = $2");
    tx.execute(update, params![organization, id, Json::from(effects)]).await?;
    Ok(())
}

/// Writes into the receipt of a deletion what has come of its subscriptions after its completion.
pub(crate) async fn record_billing_again(tx: &mut Tx, organization: Uuid, id: Uuid, effect: Uuid) -> Result<()> {
    let read = sql!("SELECT effects FROM deletions WHERE organization_id = $1 AND id = $2 AND state = 'completed' FOR UPDATE");
    let Some(mut effects) = tx.read_opt::<Json>(read, params![organization, id]).await? else { return Ok(()) };
    // What was confirmed before is forgotten by now, but for what stands here.
    let Some(now) = record_billing(tx, organization, id, Some(effect)).await? else { return Ok(()) };
    let Some(billing) = effects.get_mut("billing").and_then(Json::as_object_mut) else { return Ok(()) };
    if let (Some(entries), Some(entry)) = (billing.get_mut("subscriptions").and_then(Json::as_array_mut), now["subscriptions"].get(0)) {
        entries.iter_mut().filter(|known| known["effectId"] == entry["effectId"]).for_each(|known| *known = entry.clone());
    }
    if now["subscriptions"][0]["state"] == "delivered" {
        for (count, more) in [("confirmed", 1), ("givenUp", -1)] {
            let number = billing.get(count).and_then(Json::as_i64).unwrap_or(0) + more;
            billing.insert(count.to_owned(), number.max(0).into());
        }
    }
    let update = sql!("UPDATE deletions SET effects = $3 WHERE organization_id = $1 AND id = $2");
    tx.execute(update, params![organization, id, effects]).await?;
    Ok(())
}

/// Subscriptions that a receipt names one by one. Of more it says how many there were.
const MOST_NAMED: i64 = 100;

/// A time as records have it.
fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// What has come of subscriptions at the payment provider: which it was, what was done, its answer and when.
async fn record_billing(tx: &mut Tx, organization: Uuid, id: Uuid, only: Option<Uuid>) -> Result<Option<Json>> {
    let count = sql!(
        "SELECT count(DISTINCT queue_id),
                count(CASE WHEN state <> 'delivered'
                            AND NOT EXISTS (SELECT 1 FROM effects AS later
                                            WHERE later.organization_id = $1 AND later.deletion_id = $2 AND later.queue_id = own.queue_id
                                              AND later.kind = 'billing' AND later.sequence > own.sequence) THEN 1 END)
         FROM effects AS own WHERE organization_id = $1 AND deletion_id = $2 AND kind = 'billing'"
    );
    let (all, given_up): (i64, i64) = tx.read_one(count, params![organization, id]).await?;
    if all == 0 {
        return Ok(None);
    }
    let list = sql!(
        "SELECT id, action, payload, state, outcome, finished_at FROM effects
         WHERE organization_id = $1 AND deletion_id = $2 AND kind = 'billing' AND (id = $4 OR $4 IS NULL) ORDER BY queue_id, sequence LIMIT $3"
    );
    type Row = (Uuid, Step, Option<String>, String, Option<Json>, Option<Timestamp>);
    let rows: Vec<Row> = tx.read_all(list, params![organization, id, MOST_NAMED, only]).await?;
    let named: Vec<Json> = rows
        .into_iter()
        .map(|(effect, step, payload, state, outcome, at)| {
            let order = payload.and_then(|payload| serde_json::from_str::<StepOrder>(&payload).ok());
            let state_there = outcome.and_then(|outcome| serde_json::from_value::<SubscriptionState>(outcome).ok()).unwrap_or_default();
            json!({
                "effectId": effect,
                "action": step,
                "stripeSubscriptionId": order.map(|order| order.subscription),
                "state": state,
                "status": Some(state_there.status).filter(|status| !status.is_empty()),
                "endsAt": state_there.ended_at.or(state_there.cancel_at).map(written),
                "requestId": state_there.request_id,
                "at": at.map(written),
            })
        })
        .collect();
    Ok(Some(json!({"confirmed": all - given_up, "givenUp": given_up, "subscriptions": named})))
}

/// What follows the completion: what its deliveries said is forgotten, and the organization's webhooks hear that it is done.
pub(crate) async fn complete(cx: &Cx, tx: &mut Tx, organization: Uuid, id: Uuid, root: Root, subject: Uuid) -> Result<()> {
    if root == Root::Organization {
        return Ok(());
    }
    let counted = sql!("UPDATE effects SET is_counted = true, rank = 1 WHERE organization_id = $1 AND deletion_id = $2");
    if tx.execute(counted, params![organization, id]).await? > 0 {
        // What ended while this waited for its rows is counted, too.
        record(tx, organization, id).await?;
        let bodies = sql!("UPDATE effects SET response_body = NULL WHERE organization_id = $1 AND deletion_id = $2");
        tx.execute(bodies, params![organization, id]).await?;
        forget(tx, organization, id).await?;
        if root == Root::RetiredCustomer {
            hand_over(tx, organization, id, subject).await?;
        }
    }
    let data = of_deletion(organization, id, root, subject);
    emit(cx, tx, organization, Event::DeletionCompleted, About::Other(subject), data).await?;
    Ok(())
}

/// Moves one delivery of a completed deletion from one count of its receipt to another.
pub(crate) async fn recount(tx: &mut Tx, organization: Uuid, id: Uuid, from: &str, to: &str) -> Result<()> {
    let read = sql!("SELECT effects FROM deletions WHERE organization_id = $1 AND id = $2 FOR UPDATE");
    let Some(mut effects) = tx.read_opt::<Json>(read, params![organization, id]).await? else { return Ok(()) };
    let Some(counts) = effects.get_mut("webhooks").and_then(Json::as_object_mut) else { return Ok(()) };
    let count = |counts: &Map<String, Json>, name: &str| counts.get(name).and_then(Json::as_i64).unwrap_or(0);
    let (left, more) = ((count(counts, from) - 1).max(0), count(counts, to) + 1);
    counts.insert(from.to_owned(), left.into());
    counts.insert(to.to_owned(), more.into());
    // As in a receipt of which nothing was pending.
    if left == 0 && from == "pending" {
        counts.remove(from);
    }
    let update = sql!("UPDATE deletions SET effects = $3 WHERE organization_id = $1 AND id = $2");
    tx.execute(update, params![organization, id, effects]).await?;
    Ok(())
}

/// Hands what was told of a soft deletion, and has not arrived, to the customer: it can be sent again, and goes with the customer.
async fn hand_over(tx: &mut Tx, organization: Uuid, id: Uuid, customer: Uuid) -> Result<()> {
    let is_there = sql!("SELECT 1 FROM customers WHERE organization_id = $1 AND id = $2");
    let statement = match tx.query_opt(is_there, params![organization, customer]).await? {
        Some(_) => {
            sql!("UPDATE effects SET subject_id = $3 WHERE organization_id = $1 AND deletion_id = $2 AND state <> 'delivered'")
        }
        None => sql!(
            "UPDATE effects SET payload = NULL
             WHERE organization_id = $1 AND deletion_id = $2 AND state <> 'delivered' AND about = $3"
        ),
    };
    tx.execute(statement, params![organization, id, customer]).await?;
    Ok(())
}

/// Forgets what the deliveries of a completed deletion said that have arrived. The others can be sent again.
pub(crate) async fn forget(tx: &mut Tx, organization: Uuid, id: Uuid) -> Result<()> {
    let forget = sql!(
        "UPDATE effects SET payload = NULL, response_body = NULL, outcome = NULL
         WHERE organization_id = $1 AND deletion_id = $2 AND state NOT IN ('pending', 'failed') AND payload IS NOT NULL"
    );
    tx.execute(forget, params![organization, id]).await?;
    Ok(())
}

pub(crate) fn of_deletion(organization_id: Uuid, id: Uuid, root: Root, subject_id: Uuid) -> DeletionEvent {
    DeletionEvent { organization_id, id, kind: root.noun(), subject_id }
}
