//! Deletions and the audit trail.

use axum::http::StatusCode;
use plane::customers::Deleting;
use plane::deletion::Subject;
use plane::ids::OrganizationRef;
use plane::{audit, deletion, oauth_apps};

use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(door: Door) -> Answer {
    let page = deletion::list(&door.cx, &door.current_organization()?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::deletion))
}

pub(crate) async fn read(door: Door, Segments(deletion): Segments<String>) -> Answer {
    let deletion = deletion::get(&door.cx, door.id("id", &deletion)?).await?;
    Ok(views::answer(StatusCode::OK, views::deletion(door.dialect, deletion)))
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
