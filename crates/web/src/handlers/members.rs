//! Members.

use plane::members;

use super::deleted;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = members::list(&door.cx, &door.organization(&organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::member))
}

/// The list as the account API shows it.
pub(crate) async fn list_out(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = members::list(&door.cx, &door.organization(&organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::member_out))
}

pub(crate) async fn remove(door: Door, Segments((organization, member)): Segments<(String, String)>) -> Answer {
    let (organization, member) = (door.organization(&organization)?, door.id("member_id", &member)?);
    Ok(deleted(door.dialect, &members::remove(&door.cx, &organization, member, door.reason()).await?))
}
