//! Organizations.

use axum::http::StatusCode;
use plane::deletion::Subject;
use plane::organizations::{self, NewOrganization, OrganizationChange};
use plane::recovery;

use super::delete_or_plan;
use crate::body::Form;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(door: Door) -> Answer {
    let page = organizations::list_mine(&door.cx, &door.query.texts("metadata")?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::organization))
}

pub(crate) async fn create(door: Door, mut form: Form) -> Answer {
    let new = NewOrganization {
        name: form.text("name"),
        slug: form.text("slug"),
        logo: form.optional_text("logo"),
        metadata: form.object("metadata"),
    };
    form.finish()?;
    let organization = organizations::create(&door.cx, new).await?;
    Ok(views::tagged(StatusCode::CREATED, &organization.etag(), views::organization(door.dialect, organization)))
}

pub(crate) async fn read(door: Door, Segments(organization): Segments<String>) -> Answer {
    let organization = organizations::get(&door.cx, &door.organization(&organization)?).await?;
    Ok(views::tagged(StatusCode::OK, &organization.etag(), views::organization(door.dialect, organization)))
}

pub(crate) async fn update(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let (name, slug, logo) = (form.optional_text("name"), form.optional_text("slug"), form.clearable_text("logo"));
    let metadata = form.object("metadata");
    form.finish()?;
    let change = OrganizationChange { name, slug, logo, metadata };
    let organization = organizations::update(&door.cx, &door.organization(&organization)?, change).await?;
    Ok(views::tagged(StatusCode::OK, &organization.etag(), views::organization(door.dialect, organization)))
}

pub(crate) async fn archive(door: Door, Segments(organization): Segments<String>) -> Answer {
    let organization = organizations::archive(&door.cx, &door.organization(&organization)?).await?;
    Ok(views::tagged(StatusCode::OK, &organization.etag(), views::organization(door.dialect, organization)))
}

pub(crate) async fn unarchive(door: Door, Segments(organization): Segments<String>) -> Answer {
    let organization = organizations::unarchive(&door.cx, &door.organization(&organization)?).await?;
    Ok(views::tagged(StatusCode::OK, &organization.etag(), views::organization(door.dialect, organization)))
}

pub(crate) async fn transfer(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let member = form.text("member_id");
    form.finish()?;
    let (organization, member) = (door.organization(&organization)?, door.id("member_id", &member)?);
    let organization = organizations::transfer(&door.cx, &organization, member).await?;
    Ok(views::tagged(StatusCode::OK, &organization.etag(), views::organization(door.dialect, organization)))
}

pub(crate) async fn recover(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let (email, reason) = (form.text("email"), form.text("reason"));
    form.finish()?;
    let organization = recovery::recover(&door.cx, &door.organization(&organization)?, &email, reason).await?;
    Ok(views::tagged(StatusCode::OK, &organization.etag(), views::organization(door.dialect, organization)))
}

pub(crate) async fn delete(door: Door, Segments(organization): Segments<String>) -> Answer {
    let organization = door.organization(&organization)?;
    let deleting = organizations::delete(&door.cx, &organization, door.details()?);
    delete_or_plan(&door, Subject::Organization(organization.clone()), deleting).await
}
