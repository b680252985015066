//! Deletions and the audit trail.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use plane::customers::Deleting;
use plane::deletion::{DeletionFilter, Pulse, Subject, Wanted, Watched};
use plane::ids::OrganizationRef;
use plane::{audit, deletion, oauth_apps};
use serde_json::Value as Json;

use crate::dialect::Dialect;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::{Doors, views, watching};

pub(crate) async fn list(door: Door) -> Answer {
    let named = door.query.read("organization", "must be a UUID, a shortuuid or a slug", OrganizationRef::parse)?;
    let wanted = match named.map_or_else(|| door.current_organization(), Ok)? {
        OrganizationRef::Current => Wanted::AllReadable,
        organization => Wanted::Of(organization),
    };
    let words = "must be closed, draining, sealed or open";
    let filter = door.query.read("state", words, DeletionFilter::parse)?.unwrap_or_default();
    let page = deletion::list(&door.cx, &wanted, filter, door.query.part()?).await?;
    let now = door.cx.now;
    Ok(views::page(door.dialect, page, |dialect, watched| view(dialect, watched, now, None)))
}

pub(crate) async fn read(door: Door, Segments(deletion): Segments<String>) -> Answer {
    let watched = deletion::watch(&door.cx, door.id("id", &deletion)?).await?;
    Ok(views::answer(StatusCode::OK, view(door.dialect, watched, door.cx.now, None)))
}

/// The record with how it is getting on; somebody who keeps looking brings along what they have seen.
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

pub(crate) async fn list_audit(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = audit::list(&door.cx, &door.organization(&organization)?, door.query.part()?).await?;
    Ok(views::page(door.dialect, page, views::audit_entry))
}

pub(crate) async fn plan_of_organization(door: Door, Segments(organization): Segments<String>) -> Answer {
    plan(&door, &door.organization(&organization)?, Subject::Organization).await
}

pub(crate) async fn plan_of_member(door: Door, Segments((organization, member)): Segments<(String, String)>) -> Answer {
    plan(&door, &door.organization(&organization)?, Subject::Member(door.id("member_id", &member)?)).await
}

pub(crate) async fn plan_of_customer(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer {
    plan(&door, &door.organization(&organization)?, Subject::Customer(customer, Deleting::Permanently)).await
}

pub(crate) async fn plan_of_current_customer(door: Door, Segments(customer): Segments<String>) -> Answer {
    let how = if door.query.flag("hard")? { Deleting::Hard } else { Deleting::Softly };
    plan(&door, &door.current_organization()?, Subject::Customer(customer, how)).await
}

pub(crate) async fn plan_of_api_key(door: Door, Segments((organization, key)): Segments<(String, String)>) -> Answer {
    plan(&door, &door.organization(&organization)?, Subject::ApiKey(door.id("key_id", &key)?)).await
}

pub(crate) async fn plan_of_oauth_app(door: Door, Segments(client_id): Segments<String>) -> Answer {
    let app = oauth_apps::get(&door.cx, &client_id).await?;
    plan(&door, &OrganizationRef::Id(app.organization), Subject::OauthApp(app.id)).await
}

async fn plan(door: &Door, organization: &OrganizationRef, subject: Subject) -> Answer {
    let preview = deletion::preview(&door.cx, organization, subject).await?;
    Ok(views::answer(StatusCode::OK, views::deletion_plan(door.dialect, preview)))
}
