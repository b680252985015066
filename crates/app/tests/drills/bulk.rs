//! Organizations of any size, written straight into the database: rows in every table that hangs on one.

use uuid::Uuid;

use crate::store::Store;

/// Users that exist for all bulk organizations together; each has them as members.
const USERS: u64 = 300;

/// The tables' places in made-up ids.
#[derive(Clone, Copy)]
enum Place {
    User = 1,
    Member,
    Session,
    Invitation,
    Customer,
    Dependant,
    ApiKey,
    AuditEntry,
    Deletion,
    App,
    Token,
    Webhook,
    Delivery,
    Answer,
    Export,
    Hold,
    Approval,
    Purge,
    Subscription,
}

/// What is put into one organization.
#[derive(Clone, Copy)]
pub struct Filling {
    /// Different for each organization of a database; from 1.
    pub number: u64,
    pub customers: u64,
    /// Of each of the five kinds, over all customers.
    pub dependants: u64,
}

/// Makes the users that fillings have as members. Once for each database, before the first of them.
pub async fn make_users(store: &Store) {
    let insert = format!(
        "INSERT INTO users (id, email, name, password_hash, is_operator, created_at, email_key, search_key)
         SELECT {}, 'bulk' || n || '@example.com', 'Bulk', 'none', {}, {}, 'bulk' || n || '@example.com', {} FROM series",
        id(store, 0, Place::User, "n"),
        boolean(store, false),
        now(store),
        searched(&["'bulk'", "'bulk' || n || '@example.com'"]),
    );
    store.run(&series(USERS, &insert)).await;
}

/// What is searched, as the server writes it: otherwise it would fill it in when it starts again.
fn searched(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{text} || '\u{1f}'")).collect::<Vec<_>>().join(" || ")
}

/// Fills an organization. About a tenth of the customers have a manager, and audit entries and past deletions have labels.
pub async fn fill(store: &Store, organization: Uuid, filling: Filling) {
    let Filling { number, customers, dependants } = filling;
    let made = |place, n: &str| id(store, number, place, n);
    let hash = |place, n: &str| bytes(store, number, place, n);
    let (organization, now) = (store.uuid(organization), now(store));
    let few = customers / 10 + 1;
    let member = made(Place::Member, &format!("(n % {USERS} + 1)"));
    let customer = made(Place::Customer, &format!("(n % {customers} + 1)"));
    let entry = made(Place::Dependant, "n");
    let (empty, scopes) = (json(store, "{}"), json(store, "[\"read:organization\"]"));
    let inserts = [
        (
            USERS,
            "members (organization_id, id, user_id, role, state, version, created_at)",
            format!("{}, {}, 'viewer', 'live', 1, {now}", made(Place::Member, "n"), id(store, 0, Place::User, "n")),
        ),
        (
            few,
            "sessions (organization_id, id, user_id, member_id, cookie_hash, refresh_hash, created_at, expires_at)",
            format!(
                "{}, {}, {member}, {}, {}, {now}, {now}",
                made(Place::Session, "n"),
                id(store, 0, Place::User, &format!("(n % {USERS} + 1)")),
                hash(Place::Session, "n"),
                hash(Place::Customer, "n")
            ),
        ),
        (
            few,
            "invitations (organization_id, id, email, role, token_hash, status, invited_by, created_at, expires_at, email_key)",
            format!(
                "{}, 'invited' || n || '@example.com', 'member', {}, 'pending', {member}, {now}, {now}, 'invited' || n || '@example.com'",
                made(Place::Invitation, "n"),
                hash(Place::Invitation, "n")
            ),
        ),
        (
            few,
            "api_keys (organization_id, id, member_id, kind, name, hint, hash, scopes, created_at)",
            format!(
                "{}, {member}, 'organization', 'Bulk', 'csb_…0000', {}, {scopes}, {now}",
                made(Place::ApiKey, "n"),
                hash(Place::ApiKey, "n")
            ),
        ),
        (
            customers,
            "customers (organization_id, id, reference, name, email, address, metadata, managed_by, state, version, created_at, updated_at,
                        email_key, search_key)",
            format!(
                "{}, 'bulk-' || n, 'Bulk', 'bulk@example.com', {empty}, {empty}, CASE WHEN n % 10 = 0 THEN {member} END, 'live', 1, {now}, {now},
                 'bulk@example.com', {}",
                made(Place::Customer, "n"),
                searched(&["'bulk'", "'bulk-' || n", "'bulk@example.com'"])
            ),
        ),
        (
            dependants,
            "subscriptions (organization_id, customer_id, id, plan, status, starts_at, created_at)",
            format!("{customer}, {entry}, 'basic', 'active', {now}, {now}"),
        ),
        (
            dependants,
            "transactions (organization_id, customer_id, id, amount, currency, status, created_at)",
            format!("{customer}, {entry}, n, 'EUR', 'pending', {now}"),
        ),
        (dependants, "devices (organization_id, customer_id, id, name, created_at)", format!("{customer}, {entry}, 'Bulk', {now}")),
        (dependants, "customer_sessions (organization_id, customer_id, id, created_at)", format!("{customer}, {entry}, {now}")),
        (
            dependants,
            "activity_entries (organization_id, customer_id, id, kind, created_at)",
            format!("{customer}, {entry}, 'bulk', {now}"),
        ),
        (
            few,
            "audit_entries (organization_id, id, action, outcome, subject, subject_id, subject_label, actor, request_id, created_at)",
            format!(
                "{}, 'customer.delete', 'blocked', 'customer', {customer}, 'bulk-' || n, 'user', 'bulk', {now}",
                made(Place::AuditEntry, "n")
            ),
        ),
        (
            few,
            "deletions (organization_id, id, root, subject_id, subject_label, state, actor, request_id, stage, counts, effects, batches,
                        longest_batch_us, fence, created_at, updated_at, completed_at)",
            format!(
                "{}, 'retired_customer', {customer}, 'bulk-' || n, 'completed', 'user', 'bulk', 0, {empty}, {empty}, 0, 0, 0, {now}, {now}, {now}",
                made(Place::Deletion, "n")
            ),
        ),
    ];
    let inserts = inserts.into_iter().chain(newer_tables(store, filling, &member, &customer));
    for (count, table, values) in inserts {
        store.run(&series(count, &format!("INSERT INTO {table} SELECT {organization}, {values} FROM series"))).await;
    }
}

/// Rows, columns and values of what came with the whole account plane. The webhooks are told nothing: no receiver is there to hear it.
fn newer_tables(store: &Store, filling: Filling, member: &str, customer: &str) -> [(u64, &'static str, String); 14] {
    let Filling { number, customers, dependants } = filling;
    let made = |place, n: &str| id(store, number, place, n);
    let hash = |place, n: &str| bytes(store, number, place, n);
    let (few, now, list) = (customers / 10 + 1, now(store), json(store, "[]"));
    let one_of_few = format!("(n % {few} + 1)");
    let (yes, no) = (boolean(store, true), boolean(store, false));
    [
        (
            dependants,
            "screens (organization_id, customer_id, id, pass_id, created_at)",
            format!("{customer}, {}, 'bulk-{number}-' || n, {now}", made(Place::Dependant, "n")),
        ),
        (
            few,
            "oauth_apps (organization_id, id, member_id, client_id, secret_hash, name, redirect_uris, scopes, is_active, state, version,
                         created_at, updated_at)",
            format!(
                "{}, {member}, 'bulk-{number}-' || n, {}, 'Bulk', {list}, {list}, {yes}, 'live', 1, {now}, {now}",
                made(Place::App, "n"),
                hash(Place::App, "n")
            ),
        ),
        (
            few,
            "oauth_tokens (organization_id, id, app_id, member_id, access_hash, refresh_hash, refresh_family_hash, scopes, access_scopes,
                           created_at, expires_at, refresh_expires_at)",
            format!(
                "{}, {}, {member}, {hash}, {hash}, {hash}, {list}, {list}, {now}, {now}, {now}",
                made(Place::Token, "n"),
                made(Place::App, &one_of_few),
                hash = hash(Place::Token, "n")
            ),
        ),
        (
            few,
            "webhooks (organization_id, id, url, events, secret, is_active, state, version, created_at, updated_at)",
            format!(
                "{}, 'https://example.com', ',', {}, {no}, 'live', 1, {now}, {now}",
                made(Place::Webhook, "n"),
                hash(Place::Webhook, "n")
            ),
        ),
        (
            dependants,
            "effects (organization_id, queue_id, webhook_id, kind, id, action, subject_id, payload, state, attempts, next_attempt_at, created_at)",
            format!(
                "{webhook}, {webhook}, 'webhook', {}, 'customer.created', {customer}, 'bulk', 'delivered', 1, {now}, {now}",
                made(Place::Delivery, "n"),
                webhook = made(Place::Webhook, &one_of_few)
            ),
        ),
        (
            few,
            "idempotent_answers (organization_id, id, request_hash, worker, answer, created_at)",
            format!(
                "{answer}, {bytes}, {answer}, {bytes}, {}",
                late(store),
                answer = made(Place::Answer, "n"),
                bytes = hash(Place::Answer, "n")
            ),
        ),
        (
            few,
            "exports (organization_id, id, root, subject_id, subject_label, state, actor, request_id, counts, rows_done, attempts, fence,
                      created_at)",
            format!(
                "{}, 'customer', {customer}, 'bulk', 'expired', 'user', 'bulk', {}, 0, 1, 1, {now}",
                made(Place::Export, "n"),
                json(store, "{}")
            ),
        ),
        (
            few,
            "holds (organization_id, id, subject, subject_id, reason, placed_by, placed_at, released_by, released_at, release_reason)",
            format!("{}, 'customer', {customer}, 'bulk', 'user', {now}, 'user', {now}, 'bulk'", made(Place::Hold, "n")),
        ),
        // Nothing is asked: deletions in a drill give no reason.
        (
            1,
            "requirements (organization_id, kind, reason_required, confirmation_required, approval_required, grace_days, updated_at)",
            format!("'customer', {no}, {no}, {no}, 0, {now}"),
        ),
        // Ended: no deletion waits for a payment provider.
        (
            few,
            "billing_subscriptions (organization_id, id, subject_id, stripe_subscription_id, status, ended_at, created_at, updated_at)",
            format!("{}, {customer}, 'sub_{}_' || n, 'canceled', {now}, {now}, {now}", made(Place::Subscription, "n"), filling.number),
        ),
        (
            1,
            "billing_terms (organization_id, on_deletion, final_invoice, prorate, seat_roles, updated_at)",
            format!("'cancel_now', {no}, {no}, '', {now}"),
        ),
        (
            few,
            "deletion_approvals (organization_id, id, subject, subject_id, member_id, created_at, expires_at)",
            format!("{}, 'customer', {customer}, {member}, {now}, {now}", made(Place::Approval, "n")),
        ),
        (few, "purges (organization_id, id, criteria, created_at)", format!("{}, {}, {now}", made(Place::Purge, "n"), json(store, "{}"))),
        (
            customers,
            "purge_items (organization_id, purge_id, id, number, customer_id, outcome, created_at)",
            format!("{}, {}, n, {customer}, 'blocked', {now}", made(Place::Purge, &one_of_few), made(Place::Purge, "n")),
        ),
    ]
}

/// The statement with a table `series` of the numbers `n` from 1.
fn series(count: u64, statement: &str) -> String {
    format!("WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count}) {statement}")
}

/// A uuid made of a filling's number, a table's place and `n`.
fn id(store: &Store, number: u64, place: Place, n: &str) -> String {
    let value = format!("({} + {n})", number << 40 | (place as u64) << 32);
    match store {
        Store::Sqlite(_) => format!("unhex(printf('%032x', {value}))"),
        Store::Postgresql(_) => format!("lpad(to_hex({value}), 32, '0')::uuid"),
    }
}

/// Bytes made in the same way.
fn bytes(store: &Store, number: u64, place: Place, n: &str) -> String {
    let value = format!("({} + {n})", number << 40 | (place as u64) << 32);
    match store {
        Store::Sqlite(_) => format!("unhex(printf('%064x', {value}))"),
        Store::Postgresql(_) => format!("decode(lpad(to_hex({value}), 64, '0'), 'hex')"),
    }
}

fn json(store: &Store, text: &str) -> String {
    match store {
        Store::Sqlite(_) => format!("'{text}'"),
        Store::Postgresql(_) => format!("'{text}'::jsonb"),
    }
}

fn boolean(store: &Store, flag: bool) -> String {
    match store {
        Store::Sqlite(_) => i64::from(flag).to_string(),
        Store::Postgresql(_) => flag.to_string(),
    }
}

/// The time at which a table is filled: what is long over would go by itself.
fn now(store: &Store) -> &'static str {
    match store {
        Store::Sqlite(_) => "CAST(unixepoch('subsec') * 1000000 AS integer)",
        Store::Postgresql(_) => "now()",
    }
}

/// A time to come: what was made then is not old in any drill.
fn late(store: &Store) -> &'static str {
    match store {
        Store::Sqlite(_) => "32472144000000000",
        Store::Postgresql(_) => "'2999-01-01 00:00:00+00'::timestamptz",
    }
}
