//! Legal holds.

use plane::holds::{self, Hold, NewHold, State, Subject};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answers::{One, Paged};
use crate::body::Body;
use crate::caller::{Caller, Segments};
use crate::problem::Answer;
use crate::query::must_be;

pub(crate) async fn of_organization(
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(new): Body<NewHold>,
) -> Answer<One<Hold>> {
    place(&caller, &organization, Subject::Organization, new).await
}

pub(crate) async fn of_customer(
    caller: Caller,
    Segments((organization, customer)): Segments<(String, String)>,
    Body(new): Body<NewHold>,
) -> Answer<One<Hold>> {
    place(&caller, &organization, Subject::Customer(customer), new).await
}

pub(crate) async fn of_member(
    caller: Caller,
    Segments((organization, member)): Segments<(String, String)>,
    Body(new): Body<NewHold>,
) -> Answer<One<Hold>> {
    let member = caller.id("member_id", &member)?;
    place(&caller, &organization, Subject::Member(member), new).await
}

async fn place(caller: &Caller, organization: &str, subject: Subject, new: NewHold) -> Answer<One<Hold>> {
    let hold = holds::place(&caller.cx, &caller.organization(organization)?, subject, new).await?;
    Ok(caller.created(&hold.etag(), &hold))
}

pub(crate) async fn list(caller: Caller, Segments(organization): Segments<String>) -> Answer<Paged<Hold>> {
    let state = caller.query.read("state", &must_be(&State::ALL.map(State::name)), State::parse)?;
    let page = holds::list(&caller.cx, &caller.organization(&organization)?, state, caller.query.page()?).await?;
    Ok(caller.page(page, |hold| hold))
}

pub(crate) async fn read(caller: Caller, Segments((organization, hold)): Segments<(String, String)>) -> Answer<One<Hold>> {
    let (organization, hold) = (caller.organization(&organization)?, caller.id("hold_id", &hold)?);
    let hold = holds::get(&caller.cx, &organization, hold).await?;
    Ok(caller.tagged(&hold.etag(), &hold))
}

/// The end of a legal hold.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct HoldRelease {
    /// Why, in your words: kept in the record and the audit trail. No personal data, please.
    #[schemars(length(min = 1, max = 500), example = &"The case is closed")]
    reason: String,
}

pub(crate) async fn release(
    caller: Caller,
    Segments((organization, hold)): Segments<(String, String)>,
    Body(HoldRelease { reason }): Body<HoldRelease>,
) -> Answer<One<Hold>> {
    let (organization, hold) = (caller.organization(&organization)?, caller.id("hold_id", &hold)?);
    let hold = holds::release(&caller.cx, &organization, hold, reason).await?;
    Ok(caller.tagged(&hold.etag(), &hold))
}
