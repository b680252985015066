//! Legal holds.

use plane::holds::{self, Hold, NewHold, State, Subject};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answers::{One, Paged};
use crate::body::Body;
use crate::caller::{Door, Segments};
use crate::problem::Answer;

pub(crate) async fn of_organization(door: Door, Segments(organization): Segments<String>, Body(new): Body<NewHold>) -> Answer<One<Hold>> {
    place(&door, &organization, Subject::Organization, new).await
}

pub(crate) async fn of_customer(
    door: Door,
    Segments((organization, customer)): Segments<(String, String)>,
    Body(new): Body<NewHold>,
) -> Answer<One<Hold>> {
    place(&door, &organization, Subject::Customer(customer), new).await
}

pub(crate) async fn of_member(
    door: Door,
    Segments((organization, member)): Segments<(String, String)>,
    Body(new): Body<NewHold>,
) -> Answer<One<Hold>> {
    let member = door.id("member_id", &member)?;
    place(&door, &organization, Subject::Member(member), new).await
}

async fn place(door: &Door, organization: &str, subject: Subject, new: NewHold) -> Answer<One<Hold>> {
    let hold = holds::place(&door.cx, &door.organization(organization)?, subject, new).await?;
    Ok(door.created(&hold.etag(), &hold))
}

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer<Paged<Hold>> {
    let state = door.query.read("state", "must be active, released or expired", State::parse)?;
    let page = holds::list(&door.cx, &door.organization(&organization)?, state, door.query.page()?).await?;
    Ok(door.page(page, |hold| hold))
}

pub(crate) async fn read(door: Door, Segments((organization, hold)): Segments<(String, String)>) -> Answer<One<Hold>> {
    let (organization, hold) = (door.organization(&organization)?, door.id("hold_id", &hold)?);
    let hold = holds::get(&door.cx, &organization, hold).await?;
    Ok(door.tagged(&hold.etag(), &hold))
}

/// The end of a legal hold.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct HoldRelease {
    /// Why, in your words: kept in the record and the audit trail. No personal data, please.
    #[schemars(length(min = 1, max = 500), example = &"The case is closed")]
    reason: String,
}

pub(crate) async fn release(
    door: Door,
    Segments((organization, hold)): Segments<(String, String)>,
    Body(HoldRelease { reason }): Body<HoldRelease>,
) -> Answer<One<Hold>> {
    let (organization, hold) = (door.organization(&organization)?, door.id("hold_id", &hold)?);
    let hold = holds::release(&door.cx, &organization, hold, reason).await?;
    Ok(door.tagged(&hold.etag(), &hold))
}
