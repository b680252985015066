//! Records on their way out: what of each is on the wire, under which names, before a dialect spells it.

use axum::Json as JsonBody;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use plane::api_keys::ApiKey;
use plane::approvals::Approval;
use plane::audit::Entry;
use plane::credentials::{CredentialKind, Principal};
use plane::customers::Customer;
use plane::deletion::{Blocker, Deletion, Drift, Preview, Progress, TableDrift};
use plane::deliveries::Delivery;
use plane::dependants::Dependant;
use plane::exports::Export;
use plane::holds::Hold;
use plane::invitations::Invitation;
use plane::members::Member;
use plane::oauth_apps::OauthApp;
use plane::organizations::Organization;
use plane::page::Page;
use plane::policy::{Role, Scopes};
use plane::preferences::Preference;
use plane::purges::{Item, Survey};
use plane::requirements::{Asked, Kind, Requirements};
use plane::retention::Retention;
use plane::sessions::SignedIn;
use plane::users::User;
use plane::webhooks::Webhook;
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

pub(crate) fn organization(dialect: &Dialect, organization: Organization) -> Json {
    dialect.object(vec![
        ("id", dialect.id(organization.id)),
        ("name", organization.name.into()),
        ("slug", organization.slug.into()),
        ("logo", organization.logo.into()),
        ("plan", organization.plan.into()),
        ("owner_id", organization.owner.map_or(Json::Null, |id| dialect.id(id))),
        ("stripe_customer_id", organization.stripe_customer_id.into()),
        ("subscription_status", organization.subscription_status.into()),
        ("metadata", organization.metadata.into()),
        ("archived_at", organization.archived_at.map_or(Json::Null, time)),
        ("created_at", time(organization.created_at)),
        ("updated_at", time(organization.updated_at)),
    ])
}

/// A member as the organizations API shows it.
pub(crate) fn member(dialect: &Dialect, member: Member) -> Json {
    dialect.object(vec![
        ("id", dialect.id(member.id)),
        ("user_id", dialect.id(member.user)),
        ("email", member.email.into()),
        ("name", member.name.into()),
        ("role", dialect.role(member.role).into()),
        ("created_at", time(member.created_at)),
    ])
}

/// A member as the account API shows it.
pub(crate) fn member_out(dialect: &Dialect, member: Member) -> Json {
    dialect.object(member_fields(dialect, member.id, member.role, (member.email, member.name, member.user_metadata)))
}

/// An invitation in the same form. What an account of that address says about itself is not told to who invites it.
pub(crate) fn invited_member(dialect: &Dialect, created: Invitation, token: String) -> Json {
    let name = created.email.split('@').next().unwrap_or_default().chars().take(100).collect();
    let mut fields = member_fields(dialect, created.id, created.role, (created.email, name, json!({})));
    fields.extend([("status", "invited".into()), ("expires_at", time(created.expires_at)), ("token", token.into())]);
    dialect.object(fields)
}

fn member_fields(dialect: &Dialect, id: Uuid, role: Role, (email, name, metadata): (String, String, Json)) -> Fields {
    let role = dialect.role(role);
    let display: String = role.chars().take(1).flat_map(char::to_uppercase).chain(role.chars().skip(1)).collect();
    vec![
        ("id", dialect.id(id)),
        ("user_email", email.into()),
        ("user_name", name.into()),
        ("user_metadata", metadata),
        ("role", role.into()),
        ("role_display", display.into()),
    ]
}

pub(crate) fn invitation(dialect: &Dialect, invitation: Invitation) -> Json {
    dialect.object(invitation_fields(dialect, invitation))
}

pub(crate) fn new_invitation(dialect: &Dialect, created: Invitation, token: String) -> Json {
    let mut fields = invitation_fields(dialect, created);
    fields.push(("token", token.into()));
    dialect.object(fields)
}

fn invitation_fields(dialect: &Dialect, invitation: Invitation) -> Fields {
    vec![
        ("id", dialect.id(invitation.id)),
        ("email", invitation.email.into()),
        ("role", dialect.role(invitation.role).into()),
        ("status", invitation.status.into()),
        ("created_at", time(invitation.created_at)),
        ("expires_at", time(invitation.expires_at)),
    ]
}

pub(crate) fn customer(dialect: &Dialect, customer: Customer) -> Json {
    let deleted_at = customer.deleted_at.map(|deleted_at| ("deleted_at", time(deleted_at)));
    let mut fields = vec![
        ("id", customer.reference.into()),
        ("organization_id", dialect.id(customer.organization)),
        ("name", customer.name.into()),
        ("email", customer.email.into()),
        ("phone", customer.phone.into()),
        ("tax_id", customer.tax_id.into()),
        ("address", customer.address),
        ("metadata", customer.metadata),
        ("managed_by", customer.managed_by.map_or(Json::Null, |id| dialect.id(id))),
        ("expires_at", customer.expires_at.map_or(Json::Null, time)),
        ("screens", customer.screens.into()),
        ("archived_at", customer.archived_at.map_or(Json::Null, time)),
        ("created_at", time(customer.created_at)),
        ("updated_at", time(customer.updated_at)),
    ];
    fields.extend(deleted_at);
    dialect.object(fields)
}

pub(crate) fn dependant(dialect: &Dialect, dependant: Dependant) -> Json {
    let mut fields: Fields = vec![("id", dialect.id(dependant.id)), ("created_at", time(dependant.created_at))];
    fields.extend(dependant.fields);
    dialect.object(fields)
}

pub(crate) fn api_key(dialect: &Dialect, key: ApiKey) -> Json {
    dialect.object(api_key_fields(dialect, key))
}

/// The key that a request came with, null for one that came without.
pub(crate) fn own_api_key(dialect: &Dialect, principal: &Principal) -> Json {
    match (principal.kind, principal.scopes) {
        (CredentialKind::ApiKey, Some(scopes)) => dialect.object(vec![
            ("id", dialect.id(principal.credential)),
            ("scopes", scopes.names().into()),
            ("expires_at", principal.expires_at.map_or(Json::Null, |end| time(end.into()))),
        ]),
        _ => Json::Null,
    }
}

pub(crate) fn new_api_key(dialect: &Dialect, created: ApiKey, secret: String) -> Json {
    let mut fields = api_key_fields(dialect, created);
    fields.push(("key", secret.into()));
    dialect.object(fields)
}

fn api_key_fields(dialect: &Dialect, key: ApiKey) -> Fields {
    vec![
        ("id", dialect.id(key.id)),
        ("member_id", key.member.map_or(Json::Null, |id| dialect.id(id))),
        ("role", key.role.map_or(Json::Null, |role| dialect.role(role).into())),
        ("created_by", key.created_by.map_or(Json::Null, |id| dialect.id(id))),
        ("kind", key.kind.into()),
        ("name", key.name.into()),
        ("description", key.description.into()),
        ("hint", key.hint.into()),
        ("scopes", key.scopes.into()),
        ("rate_limit_per_minute", key.rate_limit_per_minute.into()),
        ("rate_limit_per_hour", key.rate_limit_per_hour.into()),
        ("allowed_ips", key.allowed_ips.into()),
        ("metadata", key.metadata),
        ("is_active", key.is_active.into()),
        ("created_at", time(key.created_at)),
        ("expires_at", key.expires_at.map_or(Json::Null, time)),
        ("last_used_at", key.last_used_at.map_or(Json::Null, time)),
        ("previous_until", key.previous_until.map_or(Json::Null, time)),
        ("made_by", key.made_by.map_or(Json::Null, |id| dialect.id(id))),
    ]
}

pub(crate) fn webhook(dialect: &Dialect, webhook: Webhook) -> Json {
    dialect.object(webhook_fields(dialect, webhook))
}

pub(crate) fn new_webhook(dialect: &Dialect, created: Webhook, secret: String) -> Json {
    let mut fields = webhook_fields(dialect, created);
    fields.push(("secret", secret.into()));
    dialect.object(fields)
}

fn webhook_fields(dialect: &Dialect, webhook: Webhook) -> Fields {
    vec![
        ("id", dialect.id(webhook.id)),
        ("url", webhook.url.into()),
        ("description", webhook.description.into()),
        ("events", webhook.events.iter().map(|event| Json::from(event.name())).collect()),
        ("is_active", webhook.is_active.into()),
        ("old_secret_until", webhook.old_secret_until.map_or(Json::Null, time)),
        ("created_at", time(webhook.created_at)),
        ("updated_at", time(webhook.updated_at)),
    ]
}

pub(crate) fn delivery(dialect: &Dialect, delivery: Delivery) -> Json {
    dialect.object(vec![
        ("id", dialect.id(delivery.id)),
        ("event", delivery.event.into()),
        ("payload", delivery.payload.and_then(|payload| serde_json::from_str(&payload).ok()).unwrap_or(Json::Null)),
        ("state", delivery.state.into()),
        ("attempts", delivery.attempts.into()),
        ("response_status", delivery.response_status.into()),
        ("error", delivery.error.into()),
        ("next_attempt_at", delivery.next_attempt_at.map_or(Json::Null, time)),
        ("created_at", time(delivery.created_at)),
        ("finished_at", delivery.finished_at.map_or(Json::Null, time)),
    ])
}

pub(crate) fn oauth_app(dialect: &Dialect, app: OauthApp) -> Json {
    dialect.object(oauth_app_fields(dialect, app))
}

pub(crate) fn new_oauth_app(dialect: &Dialect, created: OauthApp, secret: String) -> Json {
    let mut fields = oauth_app_fields(dialect, created);
    fields.push(("client_secret", secret.into()));
    dialect.object(fields)
}

fn oauth_app_fields(dialect: &Dialect, app: OauthApp) -> Fields {
    vec![
        ("id", dialect.id(app.id)),
        ("client_id", app.client_id.into()),
        ("organization_id", dialect.id(app.organization)),
        ("member_id", dialect.id(app.member)),
        ("name", app.name.into()),
        ("description", app.description.into()),
        ("redirect_uri", app.redirect_uris.first().cloned().into()),
        ("redirect_uris", app.redirect_uris.into()),
        ("scopes", app.scopes.into()),
        ("is_active", app.is_active.into()),
        ("created_at", time(app.created_at)),
        ("updated_at", time(app.updated_at)),
    ]
}

/// A key that was found good.
pub(crate) fn validated_api_key(dialect: &Dialect, principal: &Principal) -> Json {
    dialect.object(vec![
        ("valid", true.into()),
        ("id", dialect.id(principal.credential)),
        ("name", principal.terms.as_ref().map_or(Json::Null, |terms| (&*terms.name).into())),
        ("organization_id", principal.organization.map_or(Json::Null, |id| dialect.id(id))),
        ("scopes", principal.scopes.map(Scopes::names).into()),
        ("expires_at", principal.expires_at.map_or(Json::Null, |end| time(end.into()))),
        ("is_active", true.into()),
    ])
}

pub(crate) fn audit_entry(dialect: &Dialect, entry: Entry) -> Json {
    let id = |id: Option<uuid::Uuid>| id.map_or(Json::Null, |id| dialect.id(id));
    dialect.object(vec![
        ("id", dialect.id(entry.id)),
        ("action", entry.action.into()),
        ("outcome", entry.outcome.into()),
        ("subject", entry.subject.into()),
        ("subject_id", id(entry.subject_id)),
        ("subject_label", entry.subject_label.into()),
        ("actor", entry.actor.into()),
        ("actor_id", id(entry.actor_id)),
        ("credential_id", id(entry.credential_id)),
        ("reason", entry.reason.into()),
        ("detail", entry.detail.into()),
        ("deletion_id", id(entry.deletion_id)),
        ("request_id", Some(entry.request_id).filter(|id| !id.is_empty()).into()),
        ("client_address", entry.client.into()),
        ("created_at", time(entry.created_at)),
    ])
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

pub(crate) fn hold(dialect: &Dialect, hold: Hold) -> Json {
    let id = |id: Option<uuid::Uuid>| id.map_or(Json::Null, |id| dialect.id(id));
    dialect.object(vec![
        ("id", dialect.id(hold.id)),
        ("organization_id", dialect.id(hold.organization)),
        ("subject", hold.subject.into()),
        ("subject_id", dialect.id(hold.subject_id)),
        ("subject_label", hold.subject_label.into()),
        ("state", hold.state.into()),
        ("reason", hold.reason.into()),
        ("until", hold.until.map_or(Json::Null, time)),
        ("placed_by", hold.placed_by.into()),
        ("placed_by_id", id(hold.placed_by_id)),
        ("placed_at", time(hold.placed_at)),
        ("released_by", hold.released_by.into()),
        ("released_by_id", id(hold.released_by_id)),
        ("released_at", hold.released_at.map_or(Json::Null, time)),
        ("release_reason", hold.release_reason.into()),
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

pub(crate) fn approval(dialect: &Dialect, approval: Approval) -> Json {
    dialect.object(vec![
        ("id", dialect.id(approval.id)),
        ("organization_id", dialect.id(approval.organization)),
        ("subject", approval.subject.into()),
        ("subject_id", dialect.id(approval.subject_id)),
        ("subject_label", approval.subject_label.into()),
        ("approved_by", dialect.id(approval.approved_by)),
        ("reason", approval.reason.into()),
        ("created_at", time(approval.created_at)),
        ("expires_at", time(approval.expires_at)),
    ])
}

/// How long something is kept.
pub(crate) fn period(dialect: &Dialect, of: Retention, days: Option<u32>) -> Json {
    dialect.object(vec![("name", of.name().into()), ("what", of.what().into()), ("days", days.into()), ("since", of.since().into())])
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

pub(crate) fn user(dialect: &Dialect, user: &User) -> Json {
    dialect.object(user_fields(dialect, user))
}

/// A user as they see themselves.
pub(crate) fn own_user(dialect: &Dialect, user: &User) -> Json {
    let mut fields = user_fields(dialect, user);
    fields.push(("metadata", user.metadata.clone()));
    dialect.object(fields)
}

fn user_fields(dialect: &Dialect, user: &User) -> Fields {
    vec![("id", dialect.id(user.id)), ("email", user.email.as_str().into()), ("name", user.name.as_str().into())]
}

pub(crate) fn preference(dialect: &Dialect, preference: Preference) -> Json {
    let Preference { subject, stance } = preference;
    dialect.object(vec![
        ("trait", subject.name.into()),
        ("trait_label", subject.label.into()),
        ("category", subject.category.name().into()),
        ("stance", stance.name().into()),
    ])
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
