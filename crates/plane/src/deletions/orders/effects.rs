//! What a deletion does outside of the database: the organization's webhooks are told, and it is not completed before they were.
//!
//! An event of a deletion is queued in the transaction that orders it and delivered or given up within a minute; the receipt says how many
//! of which. The webhooks of an organization that is deleted, and their secrets, live until that is done.

use serde_json::{Map, Value as Json, json};
use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::Result;
use crate::deletion_rules::Root;

use crate::cx::Cx;
use crate::events::Event;
use crate::notify::{Told, as_json, emit, tell};
use crate::payloads::{
    CustomerDeletedEvent, DeletionEvent, EndedEvent, MemberEvent, MemberRemovedEvent, OauthAppEvent, OauthAppRevokedEvent,
    OrganizationDeletedEvent, OrganizationEvent,
};

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
        queued += tell(cx, tx, organization, Told { event, subject_id: None, deletion_id: Some(id), data: facts }).await?;
    }
    let data = as_json(&of_deletion(organization, id, root, subject));
    queued += tell(cx, tx, organization, Told { event: Event::DeletionStarted, subject_id: None, deletion_id: Some(id), data }).await?;
    Ok(queued)
}

/// Deliveries that a deletion has to wait for now. That of an organization waits for those of all deletions in it.
pub(crate) async fn pending(tx: &mut Tx, root: Root, organization: Uuid, id: Uuid) -> Result<i64> {
    let own = sql!("SELECT count(*) FROM webhook_deliveries WHERE organization_id = $1 AND deletion_id = $2 AND state = 'pending'");
    let all = sql!("SELECT count(*) FROM webhook_deliveries WHERE organization_id = $1 AND deletion_id IS NOT NULL AND state = 'pending'");
    Ok(match root {
        Root::Organization => tx.read_one(all, params![organization]).await?,
        _ => tx.read_one(own, params![organization, id]).await?,
    })
}

/// Writes into the deletion what came of its deliveries, if it had any and this was not done before they were erased.
pub(crate) async fn record(tx: &mut Tx, organization: Uuid, id: Uuid) -> Result<()> {
    let count = sql!("SELECT state, count(*) FROM webhook_deliveries WHERE organization_id = $1 AND deletion_id = $2 GROUP BY state");
    let mut outcomes = Map::from_iter([("delivered".to_owned(), Json::from(0)), ("failed".to_owned(), Json::from(0))]);
    let rows: Vec<(String, i64)> = tx.read_all(count, params![organization, id]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    outcomes.extend(rows.into_iter().map(|(state, number)| (state, Json::from(number))));
    let update = sql!("UPDATE deletions SET effects = $3 WHERE organization_id = $1 AND id = $2");
    tx.execute(update, params![organization, id, json!({"webhooks": outcomes})]).await?;
    Ok(())
}

/// What follows the completion: what its deliveries said is forgotten, and the organization's webhooks hear that it is done.
pub(crate) async fn complete(cx: &Cx, tx: &mut Tx, organization: Uuid, id: Uuid, root: Root, subject: Uuid) -> Result<()> {
    if root == Root::Organization {
        return Ok(());
    }
    let forget =
        sql!("UPDATE webhook_deliveries SET payload = NULL WHERE organization_id = $1 AND deletion_id = $2 AND payload IS NOT NULL");
    tx.execute(forget, params![organization, id]).await?;
    let data = of_deletion(organization, id, root, subject);
    emit(cx, tx, organization, Event::DeletionCompleted, None, data).await?;
    Ok(())
}

pub(crate) fn of_deletion(organization_id: Uuid, id: Uuid, root: Root, subject_id: Uuid) -> DeletionEvent {
    DeletionEvent { organization_id, id, kind: root.noun(), subject_id }
}
