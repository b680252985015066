//! What every column of every table holds.

use deletion::Holds;
use deletion::Holds::{Link, Personal, Plain, Secret};
use deletion::TableColumns;

pub(crate) const ORGANIZATION: Holds = Link(&["organization"]);

pub(crate) const MEMBER: Holds = Link(&["member"]);

pub(crate) const CUSTOMER: Holds = Link(&["customer", "retired_customer"]);

pub(crate) const APPROVED: Holds = Link(&["customer", "retired_customer", "member"]);

pub(crate) const WEBHOOK: Holds = Link(&["webhook"]);

pub(crate) const OAUTH_APP: Holds = Link(&["oauth_app"]);

pub(crate) const USER: Holds = Link(&["user"]);

pub(crate) const PURGE: Holds = Link(&["customer_purge"]);

/// Every column of every table.
#[rustfmt::skip]
pub(crate) const TABLES: &[TableColumns] = &[
    TableColumns::new("users", &[("id", USER), ("email", Personal), ("name", Personal), ("password_hash", Secret), ("is_operator", Plain), ("operator_revision", Plain), ("created_at", Plain), ("metadata", Personal), ("state", Plain), ("email_key", Personal), ("search_key", Personal), ("credential_revision", Plain)]),
    TableColumns::new("ledger", &[("id", Plain), ("position", Plain), ("position_at", Plain), ("beat", Plain), ("is_restored", Plain)]),
    TableColumns::new("ledger_lines", &[("id", Plain), ("at", Plain), ("entry", Plain)]),
    TableColumns::new("signing_keys", &[("id", Plain), ("private_key", Secret), ("created_at", Plain), ("retires_at", Plain)]),
    TableColumns::new("installation", &[("id", Plain), ("former_id", Plain), ("created_at", Plain)]),
    TableColumns::new("secret_keys", &[("id", Plain), ("created_at", Plain)]),
    TableColumns::new("sessions", &[
        ("id", Plain), ("user_id", USER), ("organization_id", ORGANIZATION), ("member_id", MEMBER), ("cookie_hash", Secret),
        ("refresh_hash", Secret), ("created_at", Plain), ("expires_at", Plain), ("refresh_family_hash", Secret),
    ]),
    TableColumns::new("organizations", &[
        ("id", ORGANIZATION), ("slug", Plain), ("name", Plain), ("logo", Plain), ("plan", Plain), ("subscription_status", Plain),
        ("stripe_customer_id", Plain), ("state", Plain), ("version", Plain), ("created_at", Plain), ("updated_at", Plain), ("archived_at", Plain),
        ("revision", Plain), ("metadata", Plain), ("requests_per_day", Plain), ("requests_per_minute", Plain),
        ("requirements_revision", Plain),
    ]),
    TableColumns::new("members", &[
        ("organization_id", ORGANIZATION), ("id", MEMBER), ("user_id", USER), ("role", Plain), ("state", Plain), ("version", Plain), ("created_at", Plain),
        ("revision", Plain),
    ]),
    TableColumns::new("invitations", &[
        ("organization_id", ORGANIZATION), ("id", Link(&["invitation"])), ("email", Personal), ("role", Plain), ("token_hash", Secret),
        ("status", Plain), ("invited_by", MEMBER), ("created_at", Plain), ("expires_at", Plain), ("invited_with", Plain),
        ("credential_id", Plain), ("email_key", Personal),
    ]),
    TableColumns::new("customers", &[
        ("organization_id", ORGANIZATION), ("id", CUSTOMER), ("reference", Personal), ("name", Personal), ("email", Personal), ("phone", Personal),
        ("tax_id", Personal), ("address", Personal), ("metadata", Personal), ("managed_by", MEMBER), ("state", Plain), ("version", Plain),
        ("created_at", Plain), ("updated_at", Plain), ("deleted_at", Plain), ("revision", Plain), ("expires_at", Plain),
        ("archived_at", Plain), ("email_key", Personal), ("search_key", Personal),
    ]),
    TableColumns::new("subscriptions", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("plan", Plain), ("status", Plain), ("starts_at", Plain),
        ("ends_at", Plain), ("created_at", Plain),
    ]),
    TableColumns::new("transactions", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("amount", Plain), ("currency", Plain), ("status", Plain),
        ("description", Personal), ("created_at", Plain),
    ]),
    TableColumns::new("devices", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("name", Personal), ("platform", Plain), ("created_at", Plain),
    ]),
    TableColumns::new("customer_sessions", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("ip_address", Personal), ("user_agent", Personal), ("created_at", Plain),
    ]),
    TableColumns::new("activity_entries", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("kind", Plain), ("message", Personal), ("created_at", Plain),
    ]),
    TableColumns::new("api_keys", &[
        ("organization_id", ORGANIZATION), ("id", Link(&["api_key"])), ("member_id", MEMBER), ("kind", Plain), ("name", Plain),
        ("description", Plain), ("hint", Plain), ("hash", Secret), ("scopes", Plain), ("created_at", Plain), ("expires_at", Plain),
        ("is_active", Plain), ("rate_limit_per_minute", Plain), ("rate_limit_per_hour", Plain), ("allowed_ips", Plain), ("last_used_at", Plain),
        ("metadata", Plain), ("made_by", Plain), ("rotations", Plain), ("previous_hash", Secret), ("previous_until", Plain), ("told_days", Plain),
        ("role", Plain), ("created_by", MEMBER), ("credential_revision", Plain),
    ]),
    TableColumns::new("screens", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("pass_id", Plain), ("created_at", Plain),
    ]),
    TableColumns::new("webhooks", &[
        ("organization_id", ORGANIZATION), ("id", WEBHOOK), ("url", Plain), ("description", Plain), ("events", Plain), ("secret", Secret),
        ("is_active", Plain), ("state", Plain), ("version", Plain), ("created_at", Plain), ("updated_at", Plain), ("old_secret", Secret),
        ("old_secret_until", Plain), ("credential_revision", Plain), ("failing_since", Plain),
    ]),
    TableColumns::new("effects", &[
        ("organization_id", ORGANIZATION), ("queue_id", Plain), ("id", Plain), ("kind", Plain), ("webhook_id", WEBHOOK), ("action", Plain),
        ("subject_id", CUSTOMER), ("deletion_id", Plain), ("payload", Personal), ("state", Plain), ("attempts", Plain), ("epoch", Plain),
        ("response_status", Plain), ("response_body", Personal), ("error", Plain), ("outcome", Plain), ("next_attempt_at", Plain),
        ("retry_until", Plain), ("created_at", Plain), ("finished_at", Plain), ("about", Plain), ("sequence", Plain), ("rank", Plain),
        ("is_counted", Plain), ("is_given_up", Plain),
    ]),
    TableColumns::new("billing_subscriptions", &[
        ("organization_id", ORGANIZATION), ("id", Plain), ("subject_id", CUSTOMER), ("stripe_subscription_id", Plain),
        ("stripe_customer_id", Plain), ("status", Plain), ("price", Plain), ("amount", Plain), ("currency", Plain), ("billing_interval", Plain),
        ("quantity", Plain), ("current_period_end", Plain), ("cancel_at", Plain), ("ended_at", Plain), ("created_at", Plain), ("updated_at", Plain),
    ]),
    TableColumns::new("billing_terms", &[
        ("organization_id", ORGANIZATION), ("on_deletion", Plain), ("final_invoice", Plain), ("prorate", Plain), ("seat_roles", Plain),
        ("updated_at", Plain),
    ]),
    TableColumns::new("oauth_apps", &[
        ("organization_id", ORGANIZATION), ("id", OAUTH_APP), ("member_id", MEMBER), ("client_id", Plain), ("secret_hash", Secret), ("name", Plain),
        ("description", Plain), ("redirect_uris", Plain), ("scopes", Plain), ("is_active", Plain), ("state", Plain), ("version", Plain),
        ("created_at", Plain), ("updated_at", Plain), ("made_by", Plain), ("credential_revision", Plain),
    ]),
    TableColumns::new("oauth_tokens", &[
        ("organization_id", ORGANIZATION), ("id", Link(&["oauth_token"])), ("app_id", OAUTH_APP), ("member_id", MEMBER), ("access_hash", Secret),
        ("refresh_hash", Secret), ("refresh_family_hash", Secret), ("scopes", Plain), ("access_scopes", Plain), ("created_at", Plain),
        ("expires_at", Plain), ("refresh_expires_at", Plain),
    ]),
    TableColumns::new("user_api_keys", &[
        ("id", Plain), ("user_id", USER), ("name", Plain), ("description", Plain), ("hint", Plain), ("hash", Secret), ("scopes", Plain),
        ("rate_limit_per_minute", Plain), ("rate_limit_per_hour", Plain), ("allowed_ips", Plain), ("is_active", Plain), ("created_at", Plain),
        ("expires_at", Plain), ("last_used_at", Plain), ("metadata", Plain), ("rotations", Plain), ("previous_hash", Secret),
        ("previous_until", Plain), ("credential_revision", Plain),
    ]),
    TableColumns::new("preferences", &[("user_id", USER), ("trait", Personal), ("stance", Personal), ("updated_at", Plain)]),
    TableColumns::new("idempotent_answers", &[
        ("id", Plain), ("organization_id", ORGANIZATION), ("request_hash", Secret), ("worker", Plain), ("answer", Secret), ("created_at", Plain),
    ]),
    TableColumns::new("audit_entries", &[
        ("organization_id", ORGANIZATION), ("id", Plain), ("action", Plain), ("outcome", Plain), ("subject", Plain),
        ("subject_id", CUSTOMER), ("subject_label", Personal), ("actor", Plain), ("actor_id", Plain), ("credential_id", Plain),
        ("reason", Plain), ("detail", Plain), ("deletion_id", Plain), ("request_id", Plain), ("created_at", Plain),
    ]),
    TableColumns::new("client_addresses", &[("id", Plain), ("user_id", USER), ("address", Personal), ("created_at", Plain)]),
    TableColumns::new("deletions", &[
        ("organization_id", ORGANIZATION), ("id", Plain), ("root", Plain), ("subject_id", CUSTOMER), ("subject_label", Personal), ("state", Plain),
        ("actor", Plain), ("actor_id", Plain), ("reason", Plain), ("request_id", Plain), ("stage", Plain), ("cursor", Plain), ("counts", Plain),
        ("effects", Plain), ("batches", Plain), ("longest_batch_us", Plain), ("fence", Plain), ("lease_until", Plain), ("waiting_for", Plain), ("created_at", Plain),
        ("updated_at", Plain), ("completed_at", Plain), ("waiting_since", Plain), ("rows_expected", Plain), ("reversible_until", Plain),
        ("restored_at", Plain), ("stopped_at", Plain),
    ]),
    TableColumns::new("exports", &[
        ("organization_id", ORGANIZATION), ("id", Plain), ("root", Plain), ("subject_id", CUSTOMER), ("subject_label", Personal),
        ("deletion_id", Plain), ("state", Plain), ("actor", Plain), ("actor_id", Plain), ("request_id", Plain), ("counts", Plain),
        ("rows_done", Plain), ("rows_total", Plain), ("bytes", Plain), ("error", Plain), ("attempts", Plain), ("fence", Plain),
        ("lease_until", Plain), ("created_at", Plain), ("finished_at", Plain), ("expires_at", Plain), ("sha256", Plain),
    ]),
    TableColumns::new("holds", &[
        ("organization_id", ORGANIZATION), ("id", Plain), ("subject", Plain), ("subject_id", CUSTOMER), ("reason", Plain), ("until", Plain),
        ("placed_by", Plain), ("placed_by_id", Plain), ("placed_at", Plain), ("released_by", Plain), ("released_by_id", Plain),
        ("released_at", Plain), ("release_reason", Plain),
    ]),
    TableColumns::new("requirements", &[
        ("organization_id", ORGANIZATION), ("kind", Plain), ("reason_required", Plain), ("confirmation_required", Plain), ("fresh_minutes", Plain),
        ("approval_required", Plain), ("grace_days", Plain), ("updated_at", Plain),
    ]),
    TableColumns::new("deletion_approvals", &[
        ("organization_id", ORGANIZATION), ("id", Plain), ("subject", Plain), ("subject_id", APPROVED), ("member_id", MEMBER), ("reason", Plain),
        ("created_at", Plain), ("expires_at", Plain),
    ]),
    TableColumns::new("purges", &[
        ("organization_id", ORGANIZATION), ("id", PURGE), ("criteria", Personal), ("subjects", Plain), ("only_managed_by", Plain),
        ("credential_id", Plain), ("created_at", Plain),
    ]),
    TableColumns::new("purge_items", &[
        ("organization_id", ORGANIZATION), ("purge_id", PURGE), ("id", Plain), ("number", Plain), ("customer_id", CUSTOMER), ("outcome", Plain), ("created_at", Plain),
        ("detail", Plain), ("blockers", Plain), ("deletion_id", Plain),
    ]),
];
