//! Deletions and the audit trail.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use plane::audit::{self, Entry};
use plane::customers::Deleting;
use plane::deletions::{Deletion, DeletionFilter, Details, Effect, Progress, RateSample, Root, TablePreview, Wanted, Watched};
use plane::ids::OrganizationRef;
use plane::plans::Subject;
use plane::{Result, deletions};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::answers::{One, OrPlan, Sliced};
use crate::caller::{Door, Segments};
use crate::problem::{Answer, Failure};
use crate::remedies::{BlockerOut, Case};
use crate::{Doors, watching};

/// A deletion: who ordered what, how far it is, and the receipt of what was done.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Deletion")]
pub(crate) struct DeletionOut {
    #[serde(flatten)]
    deletion: Deletion,
    #[serde(flatten)]
    progress: Progress,
}

impl DeletionOut {
    /// The record with how it is getting on; a client that keeps looking sends what it has seen.
    pub fn of(watched: Watched, now: Timestamp, pulse: Option<&mut RateSample>) -> DeletionOut {
        DeletionOut { progress: watched.progress(now, pulse), deletion: watched.deletion }
    }
}

/// What a deletion would do. Nothing has been changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DeletionPlan {
    /// The rules that would be followed.
    root: Root,
    subject_id: Uuid,
    /// Keys, sessions and tokens that would die.
    #[schemars(example = 2)]
    credentials: i64,
    /// In the order of the deletion.
    tables: Vec<TablePreview>,
    /// What would happen outside of the database.
    effects: Vec<Effect>,
    /// Everything that stands in the way now.
    blockers: Vec<BlockerOut>,
    /// Until when it could be taken back; null: it cannot be taken back.
    reversible_until: Option<Timestamp>,
    /// About how long it would take until nothing is left, webhooks aside; 0 for what is done before the answer. Access ends with the answer in
    /// any case.
    #[schemars(example = 0)]
    estimated_seconds: i64,
    /// What to give as `plan` with the DELETE, which then does this or nothing.
    #[schemars(length(min = 40, max = 400), example = &"AQBVDoQA4ptB1KcWRGZVRAAAVQ6EAOKbQdSnFkRmVUQAAAGBzZZ7c2r0Xg")]
    plan: String,
}

pub(crate) async fn list(door: Door) -> Answer<Sliced<DeletionOut>> {
    let named = door.query.read("organization", "must be a UUID, a shortuuid or a slug", OrganizationRef::parse)?;
    let wanted = match named.map_or_else(|| door.current_organization(), Ok)? {
        OrganizationRef::Current => Wanted::AllReadable,
        organization => Wanted::Of(organization),
    };
    let words = "must be reversible, closed, draining, completed, restored or open";
    let filter = door.query.read("state", words, DeletionFilter::parse)?.unwrap_or_default();
    let page = deletions::list(&door.cx, &wanted, filter, door.query.part()?).await?;
    Ok(door.slice(page, |watched| DeletionOut::of(watched, door.cx.now, None)))
}

pub(crate) async fn read(door: Door, Segments(deletion): Segments<String>) -> Answer<One<DeletionOut>> {
    Ok(tagged(&door, deletions::watch(&door.cx, door.id("id", &deletion)?).await?))
}

pub(crate) async fn restore(door: Door, Segments(deletion): Segments<String>) -> Answer<One<DeletionOut>> {
    Ok(tagged(&door, deletions::restore(&door.cx, door.id("id", &deletion)?).await?))
}

/// The record with the tag of its state.
pub(super) fn tagged(door: &Door, watched: Watched) -> One<DeletionOut> {
    door.tagged(&watched.deletion.etag(), &DeletionOut::of(watched, door.cx.now, None))
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
    Ok(door.slice(page, |entry| entry))
}

pub(crate) async fn plan_of_organization(door: Door, Segments(organization): Segments<String>) -> Answer<One<DeletionPlan>> {
    considered(&door, Subject::Organization(door.organization(&organization)?)).await
}

pub(crate) async fn plan_of_member(door: Door, Segments((organization, member)): Segments<(String, String)>) -> Answer<One<DeletionPlan>> {
    considered(&door, Subject::Member(door.organization(&organization)?, door.id("member_id", &member)?)).await
}

pub(crate) async fn plan_of_customer(
    door: Door,
    Segments((organization, customer)): Segments<(String, String)>,
) -> Answer<One<DeletionPlan>> {
    considered(&door, Subject::Customer(door.organization(&organization)?, customer, Deleting::Permanently)).await
}

pub(crate) async fn plan_of_current_customer(door: Door, Segments(customer): Segments<String>) -> Answer<One<DeletionPlan>> {
    let how = if door.query.flag("hard")? { Deleting::Hard } else { Deleting::Softly };
    considered(&door, Subject::Customer(door.current_organization()?, customer, how)).await
}

pub(crate) async fn plan_of_api_key(door: Door, Segments((organization, key)): Segments<(String, String)>) -> Answer<One<DeletionPlan>> {
    shown(&door, Subject::ApiKey(door.organization(&organization)?, door.id("key_id", &key)?)).await
}

pub(crate) async fn plan_of_invitation(
    door: Door,
    Segments((organization, invitation)): Segments<(String, String)>,
) -> Answer<One<DeletionPlan>> {
    shown(&door, Subject::Invitation(door.organization(&organization)?, door.id("invite_id", &invitation)?)).await
}

pub(crate) async fn plan_of_webhook(
    door: Door,
    Segments((organization, webhook)): Segments<(String, String)>,
) -> Answer<One<DeletionPlan>> {
    shown(&door, Subject::Webhook(door.organization(&organization)?, door.id("webhook_id", &webhook)?)).await
}

pub(crate) async fn plan_of_oauth_app(door: Door, Segments(client_id): Segments<String>) -> Answer<One<DeletionPlan>> {
    shown(&door, Subject::OauthApp(client_id)).await
}

pub(crate) async fn plan_of_oauth_token(door: Door, Segments(token): Segments<String>) -> Answer<One<DeletionPlan>> {
    shown(&door, Subject::OauthToken(door.id("token_id", &token)?)).await
}

/// What a deletion would do that is not being ordered.
pub(super) async fn shown(door: &Door, subject: Subject) -> Answer<One<DeletionPlan>> {
    Ok(door.one(StatusCode::OK, &plan(door, subject, Details::default()).await?))
}

/// The same for one that something can be asked for: what stands in the way depends on what is said with it.
async fn considered(door: &Door, subject: Subject) -> Answer<One<DeletionPlan>> {
    Ok(door.one(StatusCode::OK, &plan(door, subject, Details { reason: door.reason(), export: false }).await?))
}

async fn plan(door: &Door, subject: Subject, details: Details) -> Answer<DeletionPlan> {
    let customer = customer_of(&subject);
    let preview = plane::plans::preview(&door.cx, subject, details).await?;
    Ok(DeletionPlan {
        root: preview.root,
        subject_id: preview.subject,
        credentials: preview.credentials(),
        tables: preview.tables,
        effects: preview.effects,
        blockers: Case::of(&door.cx, customer.as_deref()).blockers(door.dialect, &preview.blockers),
        reversible_until: preview.reversible_until,
        estimated_seconds: preview.seconds,
        plan: preview.token,
    })
}

/// Has a subject deleted; or tells what would become of it, when no more was asked for.
pub(super) async fn order<T>(
    door: &Door,
    subject: Subject,
    deleting: impl Future<Output = Result<Deletion>>,
    done: impl FnOnce(&Deletion) -> One<T>,
) -> Answer<OrPlan<T>> {
    if door.only_validates()? {
        return Ok(door.plan(&plan(door, subject, door.details()?).await?));
    }
    match (deleting.await, customer_of(&subject)) {
        (Ok(deletion), _) => Ok(done(&deletion).leading_to(&deletion).into()),
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
