//! Records on their way out: what of each is on the wire, under which names, before a dialect spells it.

use axum::Json as JsonBody;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use plane::deletion::{Blocker, Deletion, Drift, Preview, Progress, TableDrift};
use plane::dependants::Dependant;
use plane::exports::Export;
use plane::page::Page;
use plane::purges::{Item, Survey};
use plane::requirements::{Asked, Kind, Requirements};
use plane::sessions::SignedIn;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::dialect::{Dialect, Fields, time};
use crate::door::DELETION_ID;
use crate::remedies::Case;

/// A JSON answer.
pub(crate) fn answer(status: StatusCode, body: Json) -> Response<Body> {
    (status, JsonBody(body)).into_response()
}

/// A record with the tag of its state.
pub(crate) fn tagged(status: StatusCode, etag: &str, body: Json) -> Response<Body> {
    let mut response = answer(status, body);
    if let Ok(etag) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// One page in the documented envelope.
pub(crate) fn page<T>(dialect: &Dialect, page: Page<T>, view: impl Fn(&Dialect, T) -> Json) -> Response<Body> {
    let (number, size, total) = (page.request.page, page.request.size, page.total);
    if page.request.after.is_some() {
        return slice(dialect, page, view);
    }
    let pages = total.div_euclid(size) + i64::from(total.rem_euclid(size) > 0);
    let pagination = dialect.object(vec![
        ("page", number.into()),
        ("page_size", size.into()),
        ("total_count", total.into()),
        ("total_pages", pages.into()),
        ("has_next", (number < pages).into()),
        ("has_previous", (number > 1).into()),
    ]);
    let data: Vec<Json> = page.entries.into_iter().map(|entry| view(dialect, entry)).collect();
    answer(StatusCode::OK, json!({"data": data, "pagination": pagination}))
}

/// A slice of a list, and the cursor of the next.
fn slice<T>(dialect: &Dialect, page: Page<T>, view: impl Fn(&Dialect, T) -> Json) -> Response<Body> {
    let pagination = dialect.object(vec![
        ("page_size", page.request.size.into()),
        ("has_next", page.next.is_some().into()),
        ("next_cursor", page.next.map_or(Json::Null, |cursor| plane::ids::to_short(cursor).into())),
    ]);
    let data: Vec<Json> = page.entries.into_iter().map(|entry| view(dialect, entry)).collect();
    answer(StatusCode::OK, json!({"data": data, "pagination": pagination}))
}

/// Adds the headers that lead to a deletion.
pub(crate) fn with_deletion(mut response: Response<Body>, deletion: &Deletion) -> Response<Body> {
    let headers = response.headers_mut();
    if let (Ok(id), Ok(location)) =
        (HeaderValue::from_str(&deletion.id.to_string()), HeaderValue::from_str(&format!("/api/deletions/{}", deletion.id)))
    {
        headers.insert(DELETION_ID.clone(), id);
        headers.insert(header::LOCATION, location);
    }
    response
}

pub(crate) fn dependant(dialect: &Dialect, dependant: Dependant) -> Json {
    let mut fields: Fields = vec![("id", dialect.id(dependant.id)), ("created_at", time(dependant.created_at))];
    fields.extend(dependant.fields);
    dialect.object(fields)
}

/// A deletion and how it is getting on.
pub(crate) fn deletion(dialect: &Dialect, deletion: Deletion, progress: Progress) -> Json {
    let conditions = progress.conditions.into_iter().map(|condition| {
        dialect.object(vec![
            ("type", condition.kind.into()),
            ("since", time(condition.since)),
            ("detail", condition.detail.into()),
            ("remedy", condition.remedy.into()),
        ])
    });
    dialect.object(vec![
        ("id", dialect.id(deletion.id)),
        ("organization_id", dialect.id(deletion.organization)),
        ("root", deletion.root.into()),
        ("subject_id", dialect.id(deletion.subject)),
        ("subject_label", deletion.subject_label.into()),
        ("state", deletion.state.into()),
        ("actor", deletion.actor.into()),
        ("actor_id", deletion.actor_id.map_or(Json::Null, |id| dialect.id(id))),
        ("reason", deletion.reason.into()),
        ("request_id", deletion.request_id.into()),
        ("counts", deletion.counts),
        ("effects", deletion.effects),
        ("export_id", deletion.export.map_or(Json::Null, |id| dialect.id(id))),
        ("batches", deletion.batches.into()),
        ("longest_batch_micros", deletion.longest_batch_micros.into()),
        ("waiting_for", deletion.waiting_for.into()),
        ("stage", progress.stage.into()),
        ("rows_done", progress.rows_done.into()),
        ("rows_to_do", progress.rows_to_do.into()),
        ("rate", progress.rate.into()),
        ("eta_seconds", progress.eta_seconds.into()),
        ("conditions", conditions.collect()),
        ("created_at", time(deletion.created_at)),
        ("updated_at", time(deletion.updated_at)),
        ("sealed_at", deletion.sealed_at.map_or(Json::Null, time)),
        ("reversible_until", deletion.reversible_until.map_or(Json::Null, time)),
        ("restored_at", deletion.restored_at.map_or(Json::Null, time)),
        ("stopped_at", deletion.stopped_at.map_or(Json::Null, time)),
    ])
}

pub(crate) fn export(dialect: &Dialect, export: Export) -> Json {
    let sha256 = export.sha256_hex();
    let tables = export.counts.as_object().into_iter().flatten();
    let tables = tables.map(|(table, rows)| dialect.object(vec![("table", table.as_str().into()), ("rows", rows.clone())])).collect();
    dialect.object(vec![
        ("id", dialect.id(export.id)),
        ("organization_id", dialect.id(export.organization)),
        ("root", export.root.name().into()),
        ("subject_id", dialect.id(export.subject)),
        ("subject_label", export.subject_label.into()),
        ("deletion_id", export.deletion.map_or(Json::Null, |id| dialect.id(id))),
        ("state", export.state.into()),
        ("actor", export.actor.into()),
        ("actor_id", export.actor_id.map_or(Json::Null, |id| dialect.id(id))),
        ("tables", tables),
        ("rows_done", export.rows_done.into()),
        ("rows_total", export.rows_total.into()),
        ("bytes", export.bytes.into()),
        ("sha256", sha256.into()),
        ("error", export.error.into()),
        ("created_at", time(export.created_at)),
        ("finished_at", export.finished_at.map_or(Json::Null, time)),
        ("expires_at", export.expires_at.map_or(Json::Null, time)),
    ])
}

pub(crate) fn requirements(dialect: &Dialect, asked: &Asked) -> Json {
    let of = |kind| {
        let Requirements { reason_required, confirmation_required, fresh_minutes, approval_required, grace_days } = *asked.by_kind.of(kind);
        dialect.object(vec![
            ("reason_required", reason_required.into()),
            ("confirmation_required", confirmation_required.into()),
            ("fresh_minutes", fresh_minutes.into()),
            ("approval_required", approval_required.into()),
            ("grace_days", grace_days.into()),
        ])
    };
    let updated_at = ("updated_at", asked.updated_at.map_or(Json::Null, time));
    dialect.object(Kind::ALL.into_iter().map(|kind| (kind.name(), of(kind))).chain([updated_at]).collect())
}

/// What a deletion would do.
pub(crate) fn deletion_plan(dialect: &Dialect, preview: Preview, case: Case<'_>) -> Json {
    let tables = preview.tables.iter().map(|table| {
        dialect.object(vec![
            ("table", table.table.into()),
            ("fate", table.fate.into()),
            ("rows", table.rows.into()),
            ("sample", table.sample.iter().map(|id| dialect.id(*id)).collect()),
            ("why", table.why.into()),
            ("kept_until", table.kept_until.map_or(Json::Null, time)),
        ])
    });
    let effects = preview
        .effects
        .iter()
        .map(|effect| dialect.object(vec![("event", effect.event.name().into()), ("endpoints", effect.endpoints.into())]));
    dialect.object(vec![
        ("root", preview.root.name().into()),
        ("subject_id", dialect.id(preview.subject)),
        ("credentials", preview.credentials().into()),
        ("tables", tables.collect()),
        ("effects", effects.collect()),
        ("blockers", blockers(dialect, &preview.blockers, case)),
        ("reversible_until", preview.reversible_until.map_or(Json::Null, time)),
        ("estimated_seconds", preview.seconds.into()),
        ("plan", preview.token.into()),
    ])
}

/// What a purge would come to.
pub(crate) fn purge_plan(dialect: &Dialect, survey: Survey, seconds: i64, case: Case<'_>) -> Json {
    dialect.object(vec![
        ("count", survey.count().into()),
        ("complete", (!survey.is_part).into()),
        ("outcomes", json!(survey.outcomes)),
        ("sample", survey.sample.into()),
        ("blockers", blockers(dialect, &survey.blockers, case)),
        ("estimated_seconds", seconds.into()),
    ])
}

/// What became of one customer of a purge in an organization.
pub(crate) fn purge_item(dialect: &Dialect, organization: Uuid, item: Item) -> Json {
    let case = Case::within(organization, item.reference.as_deref());
    let blocker = |blocker: &Json| {
        let text = |name: &str| blocker[name].as_str().unwrap_or_default();
        let id = plane::ids::parse(text("id")).unwrap_or_default();
        dialect.object(vec![
            ("code", text("code").into()),
            ("kind", text("kind").into()),
            ("id", dialect.id(id)),
            ("detail", text("detail").into()),
            ("remedy", text("remedy").into()),
            ("call", case.call(dialect, text("code"), text("kind"), id)),
        ])
    };
    let id = |id: Option<Uuid>| id.map_or(Json::Null, |id| dialect.id(id));
    dialect.object(vec![
        ("number", item.number.into()),
        ("outcome", item.outcome.as_str().into()),
        ("customer_id", item.reference.as_deref().into()),
        ("subject_id", id(item.customer)),
        ("deletion_id", id(item.deletion)),
        ("detail", item.detail.as_deref().into()),
        ("blockers", item.blockers.iter().map(blocker).collect()),
    ])
}

/// How what a deletion found differs from its plan.
pub(crate) fn drift(dialect: &Dialect, drift: &Drift) -> Json {
    let view = |table: &TableDrift| {
        dialect.object(vec![("table", table.table.into()), ("planned", table.planned.into()), ("now", table.now.into())])
    };
    drift.tables.iter().map(view).collect()
}

/// What stands in a deletion's way.
pub(crate) fn blockers(dialect: &Dialect, blockers: &[Blocker], case: Case<'_>) -> Json {
    let view = |blocker: &Blocker| {
        dialect.object(vec![
            ("code", blocker.code.into()),
            ("kind", blocker.kind.into()),
            ("id", dialect.id(blocker.id)),
            ("detail", blocker.detail.as_str().into()),
            ("remedy", blocker.remedy.into()),
            ("call", case.call(dialect, blocker.code, blocker.kind, blocker.id)),
        ])
    };
    blockers.iter().map(view).collect()
}

/// Tokens in OAuth's spelling (RFC 6749), whatever the surface, and the session's cookie.
pub(crate) fn signed_in(signed_in: &SignedIn, is_https: bool) -> Response<Body> {
    let body = json!({
        "access_token": signed_in.access_token,
        "token_type": "Bearer",
        "expires_in": signed_in.expires_in.as_secs(),
        "refresh_token": signed_in.refresh_token,
    });
    with_cookie(answer(StatusCode::OK, body), &signed_in.cookie, signed_in.session_life.as_secs(), is_https)
}

/// Sets the session's cookie; zero seconds take it back.
pub(crate) fn with_cookie(mut response: Response<Body>, value: &str, seconds: u64, is_https: bool) -> Response<Body> {
    let secure = if is_https { "; Secure" } else { "" };
    let cookie = format!("sessionid={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
