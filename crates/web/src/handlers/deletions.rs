//! Deletions and the audit trail.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use jiff::Timestamp;
use plane::audit::{self, Entry};
use plane::customers::Deleting;
use plane::deletions::{Deletion, DeletionFilter, Details, Effect, Progress, RateSample, Root, TablePreview, Wanted, Watched};
use plane::ids::{self, OrganizationRef};
use plane::outbox::operating;
use plane::plans::Subject;
use plane::subscription_steps::Cancellation;
use plane::{Result, deletions};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::answers::{One, OrPlan, Paged, Sliced};
use crate::blocker_links::{BlockerOut, Case};
use crate::caller::{Caller, Segments};
use crate::problem::{Answer, Failure};
use crate::query::must_be;
use crate::schema::write;
use crate::{AppState, deletion_events};

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
    /// What webhooks would be told.
    effects: Vec<Effect>,
    /// The subscriptions that would end at the payment provider: the first hundred of them. Nothing is erased before it has confirmed that.
    #[schemars(length(max = 100))]
    subscriptions: Vec<Cancellation>,
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

pub(crate) async fn list(caller: Caller) -> Answer<Sliced<DeletionOut>> {
    let named = caller.query.read("organization", "must be a UUID, a shortuuid or a slug", OrganizationRef::parse)?;
    let wanted = match named.map_or_else(|| caller.current_organization(), Ok)? {
        OrganizationRef::Current => Wanted::AllReadable,
        organization => Wanted::Of(organization),
    };
    let filter = caller.query.read("state", &must_be(&DeletionFilter::names()), DeletionFilter::parse)?;
    let page = deletions::list(&caller.cx, &wanted, filter, caller.query.part()?).await?;
    Ok(caller.slice(page, |watched| DeletionOut::of(watched, caller.cx.now, None)))
}

pub(crate) async fn read(caller: Caller, Segments(deletion): Segments<String>) -> Answer<One<DeletionOut>> {
    Ok(tagged(&caller, deletions::watch(&caller.cx, caller.id("id", &deletion)?).await?))
}

pub(crate) async fn list_effects(caller: Caller, Segments(deletion): Segments<String>) -> Answer<Paged<operating::Effect>> {
    let page = operating::of_deletion(&caller.cx, caller.id("id", &deletion)?, caller.query.page()?).await?;
    Ok(caller.page(page, |effect| effect))
}

pub(crate) async fn restore(caller: Caller, Segments(deletion): Segments<String>) -> Answer<One<DeletionOut>> {
    Ok(tagged(&caller, deletions::restore(&caller.cx, caller.id("id", &deletion)?).await?))
}

/// The record with the tag of its state.
pub(super) fn tagged(caller: &Caller, watched: Watched) -> One<DeletionOut> {
    caller.tagged(&watched.deletion.etag(), &DeletionOut::of(watched, caller.cx.now, None))
}

pub(crate) async fn events(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Segments(deletion): Segments<String>,
    headers: HeaderMap,
) -> Answer {
    deletion_events::stream(&app, &caller, caller.id("id", &deletion)?, &headers).await
}

pub(crate) async fn list_audit(caller: Caller, Segments(organization): Segments<String>) -> Answer<Sliced<Entry>> {
    let page = audit::list(&caller.cx, &caller.organization(&organization)?, caller.query.part()?).await?;
    Ok(caller.slice(page, |entry| entry))
}

/// Entries that one answer holds at the most.
const MOST_ENTRIES: u16 = 1_000;

pub(crate) async fn follow_audit(caller: Caller, Segments(organization): Segments<String>) -> Answer {
    let after = caller.query.read("after_id", "must be the id of an entry: a UUID or a shortuuid of 22 characters", ids::parse)?;
    let is_limit = |limit: &u16| (1..=MOST_ENTRIES).contains(limit);
    let limit = caller.query.read("limit", "must be a whole number from 1 to 1000", |text| text.parse().ok().filter(is_limit))?;
    let entries = audit::follow(&caller.cx, &caller.organization(&organization)?, after, limit.unwrap_or(MOST_ENTRIES)).await?;
    let lines: String = entries.iter().map(|entry| format!("{}\n", write(caller.dialect, entry))).collect();
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

pub(crate) async fn plan_of_organization(caller: Caller, Segments(organization): Segments<String>) -> Answer<One<DeletionPlan>> {
    considered(&caller, Subject::Organization(caller.organization(&organization)?)).await
}

pub(crate) async fn plan_of_member(
    caller: Caller,
    Segments((organization, member)): Segments<(String, String)>,
) -> Answer<One<DeletionPlan>> {
    considered(&caller, Subject::Member(caller.organization(&organization)?, caller.id("member_id", &member)?)).await
}

pub(crate) async fn plan_of_customer(
    caller: Caller,
    Segments((organization, customer)): Segments<(String, String)>,
) -> Answer<One<DeletionPlan>> {
    considered(&caller, Subject::Customer(caller.organization(&organization)?, customer, Deleting::Permanently)).await
}

pub(crate) async fn plan_of_current_customer(caller: Caller, Segments(customer): Segments<String>) -> Answer<One<DeletionPlan>> {
    let how = if caller.query.flag("hard")? { Deleting::Hard } else { Deleting::Softly };
    considered(&caller, Subject::Customer(caller.current_organization()?, customer, how)).await
}

pub(crate) async fn plan_of_api_key(
    caller: Caller,
    Segments((organization, key)): Segments<(String, String)>,
) -> Answer<One<DeletionPlan>> {
    shown(&caller, Subject::ApiKey(caller.organization(&organization)?, caller.id("key_id", &key)?)).await
}

pub(crate) async fn plan_of_invitation(
    caller: Caller,
    Segments((organization, invitation)): Segments<(String, String)>,
) -> Answer<One<DeletionPlan>> {
    shown(&caller, Subject::Invitation(caller.organization(&organization)?, caller.id("invite_id", &invitation)?)).await
}

pub(crate) async fn plan_of_webhook(
    caller: Caller,
    Segments((organization, webhook)): Segments<(String, String)>,
) -> Answer<One<DeletionPlan>> {
    shown(&caller, Subject::Webhook(caller.organization(&organization)?, caller.id("webhook_id", &webhook)?)).await
}

pub(crate) async fn plan_of_oauth_app(caller: Caller, Segments(client_id): Segments<String>) -> Answer<One<DeletionPlan>> {
    shown(&caller, Subject::OauthApp(client_id)).await
}

pub(crate) async fn plan_of_oauth_token(caller: Caller, Segments(token): Segments<String>) -> Answer<One<DeletionPlan>> {
    shown(&caller, Subject::OauthToken(caller.id("token_id", &token)?)).await
}

/// What a deletion would do that is not being ordered.
pub(super) async fn shown(caller: &Caller, subject: Subject) -> Answer<One<DeletionPlan>> {
    Ok(caller.one(StatusCode::OK, &plan(caller, subject, Details::default()).await?))
}

/// The same for one that something can be asked for: what stands in the way depends on what is said with it.
async fn considered(caller: &Caller, subject: Subject) -> Answer<One<DeletionPlan>> {
    Ok(caller.one(StatusCode::OK, &plan(caller, subject, Details { reason: caller.reason(), export: false }).await?))
}

async fn plan(caller: &Caller, subject: Subject, details: Details) -> Answer<DeletionPlan> {
    let customer = customer_of(&subject);
    let preview = plane::plans::preview(&caller.cx, subject, details).await?;
    Ok(DeletionPlan {
        root: preview.root,
        subject_id: preview.subject,
        credentials: preview.credentials(),
        tables: preview.tables,
        effects: preview.effects,
        subscriptions: preview.subscriptions,
        blockers: Case::of(&caller.cx, customer.as_deref()).blockers(caller.dialect, &preview.blockers),
        reversible_until: preview.reversible_until,
        estimated_seconds: preview.seconds,
        plan: preview.token,
    })
}

/// Has a subject deleted; or tells what would become of it, when no more was asked for.
pub(super) async fn order<T>(
    caller: &Caller,
    subject: Subject,
    deleting: impl Future<Output = Result<Deletion>>,
    done: impl FnOnce(&Deletion) -> One<T>,
) -> Answer<OrPlan<T>> {
    if caller.only_validates()? {
        return Ok(caller.plan(&plan(caller, subject, caller.details()?).await?));
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
