//! Deletions and the audit trail.

use axum::http::StatusCode;
use plane::{audit, deletion};

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
    let page = audit::list(&door.cx, &door.organization(&organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::audit_entry))
}
