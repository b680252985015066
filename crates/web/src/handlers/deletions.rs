//! Deletions and the audit trail.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use plane::audit::{self, Entry};
use plane::customers::Deleting;
use plane::deletion::{Deletion, DeletionFilter, Details, Pulse, Subject, Wanted, Watched};
use plane::ids::OrganizationRef;
use plane::{Result, deletion};
use serde_json::Value as Json;

use crate::answers::Sliced;
use crate::dialect::Dialect;
use crate::door::{Door, Segments};
use crate::problem::{Answer, Failure};
use crate::remedies::Case;
use crate::{Doors, views, watching};

pub(crate) async fn list(door: Door) -> Answer {
    let named = door.query.read("organization", "must be a UUID, a shortuuid or a slug", OrganizationRef::parse)?;
    let wanted = match named.map_or_else(|| door.current_organization(), Ok)? {
        OrganizationRef::Current => Wanted::AllReadable,
        organization => Wanted::Of(organization),
    };
    let words = "must be reversible, closed, draining, sealed, restored or open";
    let filter = door.query.read("state", words, DeletionFilter::parse)?.unwrap_or_default();
    let page = deletion::list(&door.cx, &wanted, filter, door.query.part()?).await?;
    let now = door.cx.now;
    Ok(views::page(door.dialect, page, |dialect, watched| view(dialect, watched, now, None)))
}

pub(crate) async fn read(door: Door, Segments(deletion): Segments<String>) -> Answer {
    let watched = deletion::watch(&door.cx, door.id("id", &deletion)?).await?;
    Ok(views::tagged(StatusCode::OK, &watched.deletion.etag(), view(door.dialect, watched, door.cx.now, None)))
}

pub(crate) async fn restore(door: Door, Segments(deletion): Segments<String>) -> Answer {
    let watched = deletion::restore(&door.cx, door.id("id", &deletion)?).await?;
    Ok(views::tagged(StatusCode::OK, &watched.deletion.etag(), view(door.dialect, watched, door.cx.now, None)))
}

/// The record with how it is getting on; a client that keeps looking sends what it has seen.
pub(crate) fn view(dialect: &Dialect, watched: Watched, now: Timestamp, pulse: Option<&mut Pulse>) -> Json {
    let progress = watched.progress(now, pulse);
    views::deletion(dialect, watched.deletion, progress)
}

pub(crate) async fn events(
    State(doors): State<Arc<Doors>>,
    door: Door,
    Segments(deletion): Segments<String>,
    headers: HeaderMap,
) -> Answer {
    watching::stream(&doors, &door, door.id("id", &deletion)?, &headers).await
}

pub(crate) async fn list_audit(door: Door, Segments(organization): Segments<String>) -> Answer<Sliced<Entry>> {
    let page = audit::list(&door.cx, &door.organization(&organization)?, door.query.part()?).await?;
    Ok(door.slice(page))
}

pub(crate) async fn plan_of_organization(door: Door, Segments(organization): Segments<String>) -> Answer {
    considered(&door, Subject::Organization(door.organization(&organization)?)).await
}

pub(crate) async fn plan_of_member(door: Door, Segments((organization, member)): Segments<(String, String)>) -> Answer {
    considered(&door, Subject::Member(door.organization(&organization)?, door.id("member_id", &member)?)).await
}

pub(crate) async fn plan_of_customer(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer {
    considered(&door, Subject::Customer(door.organization(&organization)?, customer, Deleting::Permanently)).await
}

pub(crate) async fn plan_of_current_customer(door: Door, Segments(customer): Segments<String>) -> Answer {
    let how = if door.query.flag("hard")? { Deleting::Hard } else { Deleting::Softly };
    considered(&door, Subject::Customer(door.current_organization()?, customer, how)).await
}

pub(crate) async fn plan_of_api_key(door: Door, Segments((organization, key)): Segments<(String, String)>) -> Answer {
    shown(&door, Subject::ApiKey(door.organization(&organization)?, door.id("key_id", &key)?)).await
}

pub(crate) async fn plan_of_invitation(door: Door, Segments((organization, invitation)): Segments<(String, String)>) -> Answer {
    shown(&door, Subject::Invitation(door.organization(&organization)?, door.id("invite_id", &invitation)?)).await
}

pub(crate) async fn plan_of_webhook(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer {
    shown(&door, Subject::Webhook(door.organization(&organization)?, door.id("webhook_id", &webhook)?)).await
}

pub(crate) async fn plan_of_oauth_app(door: Door, Segments(client_id): Segments<String>) -> Answer {
    shown(&door, Subject::OauthApp(client_id)).await
}

pub(crate) async fn plan_of_oauth_token(door: Door, Segments(token): Segments<String>) -> Answer {
    shown(&door, Subject::OauthToken(door.id("token_id", &token)?)).await
}

/// What a deletion would do that is not being ordered.
async fn shown(door: &Door, subject: Subject) -> Answer {
    plan(door, subject, Details::default()).await
}

/// The same for one that something can be asked for: what stands in the way depends on what is said with it.
async fn considered(door: &Door, subject: Subject) -> Answer {
    plan(door, subject, Details { reason: door.reason(), export: false }).await
}

pub(super) async fn plan(door: &Door, subject: Subject, details: Details) -> Answer {
    let customer = customer_of(&subject);
    let preview = deletion::preview(&door.cx, subject, details).await?;
    let case = Case::of(&door.cx, customer.as_deref());
    Ok(views::answer(StatusCode::OK, views::deletion_plan(door.dialect, preview, case)))
}

/// Has a subject deleted; or tells what would become of it, when no more was asked for.
pub(super) async fn order(
    door: &Door,
    subject: Subject,
    deleting: impl Future<Output = Result<Deletion>>,
    view: impl FnOnce(&Dialect, &Deletion) -> Response<Body>,
) -> Answer {
    if door.only_validates()? {
        return plan(door, subject, door.details()?).await;
    }
    match (deleting.await, customer_of(&subject)) {
        (Ok(deletion), _) => Ok(view(door.dialect, &deletion)),
        (Err(error), Some(customer)) => Err(Failure::OfCustomer(customer, error)),
        (Err(error), None) => Err(error.into()),
    }
}

/// A customer as the caller named it.
fn customer_of(subject: &Subject) -> Option<String> {
    match subject {
        Subject::Customer(_, reference, _) => Some(reference.clone()),
        _ => None,
    }
}
