//! Organizations.

use axum::http::StatusCode;
use plane::organizations::{self, NewOrganization};

use super::deleted;
use crate::body::Form;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(door: Door) -> Answer {
    let page = organizations::list_mine(&door.cx, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::organization))
}

pub(crate) async fn create(door: Door, mut form: Form) -> Answer {
    let new = NewOrganization { name: form.text("name"), slug: form.text("slug"), logo: form.optional_text("logo") };
    form.finish()?;
    let organization = organizations::create(&door.cx, new).await?;
    Ok(views::answer(StatusCode::CREATED, views::organization(door.dialect, organization)))
}

pub(crate) async fn read(door: Door, Segments(organization): Segments<String>) -> Answer {
    let organization = organizations::get(&door.cx, &door.organization(&organization)?).await?;
    Ok(views::answer(StatusCode::OK, views::organization(door.dialect, organization)))
}

pub(crate) async fn delete(door: Door, Segments(organization): Segments<String>) -> Answer {
    let organization = door.organization(&organization)?;
    Ok(deleted(door.dialect, &organizations::delete(&door.cx, &organization, door.reason()).await?))
}
