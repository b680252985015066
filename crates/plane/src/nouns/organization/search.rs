//! What operators find: organizations, people, keys, and what a request did, by what a person names who asks them for help. Each is looked up
//! along an index, so many of each kind are told, and nothing of an organization's customers but their number.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sql::{Row, Statement, Tx, Value, params, sql};
use uuid::Uuid;

use crate::access::as_operator;
use crate::key_format::Kind;
use crate::normal_forms::email_key;
use crate::{Cx, FieldError, Result, ids};

/// Entries of one kind that are told at the most.
pub const MOST: i64 = 20;
/// What there is of a thing is counted to here.
pub const COUNTED_TO: i64 = 1_000;

/// Something that an operator found. What it does not have is missing.
#[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
pub struct Found {
    /// What it is.
    #[schemars(with = "String", extend("enum" = ["organization", "user", "api_key", "audit_entry"]))]
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
    /// `live`, `archived` or `closed`; of a key `active`, `off` or `expired`; of an audit entry its outcome.
    #[schemars(length(min = 1, max = 50), example = &"live")]
    pub state: String,
    /// The name in addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 3, max = 50), example = &"acme")]
    pub slug: Option<String>,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 100), example = &"Acme")]
    pub name: Option<String>,
    /// The address of a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 254))]
    pub email: Option<String>,
    /// Whether a person runs the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub is_operator: Option<bool>,
    /// Prefix and last characters of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 50), example = &"csb_…1f3a")]
    pub hint: Option<String>,
    /// The organization of a key, or the one whose trail holds the entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "crate::wire::OrganizationId")]
    pub organization_id: Option<Uuid>,
    /// The person whose key it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Uuid")]
    pub user_id: Option<Uuid>,
    /// What was done or tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "crate::wire::AuditAction")]
    pub action: Option<String>,
    /// Up to 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Membership>")]
    pub memberships: Option<Vec<Membership>>,
    /// Of an organization `members`, `customers`, `keys` and `openDeletions`, of a person `memberships` and `keys`; 1000 is as far as is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "crate::wire::Counts")]
    pub sizes: Option<BTreeMap<&'static str, i64>>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Where a person is a member.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "FoundMembership")]
pub struct Membership {
    /// The organization.
    #[serde(rename = "organization_id")]
    #[schemars(with = "crate::wire::OrganizationId")]
    pub organization: Uuid,
    /// Its slug.
    #[schemars(length(min = 3, max = 50), example = &"acme")]
    pub slug: String,
    /// What they are there.
    #[schemars(with = "crate::policy::Role")]
    pub role: String,
}

sql::columns! { Membership { organization: "members.organization_id", slug: "organizations.slug", role: "members.role" } }

const ORGANIZATION: Statement = sql!(
    "SELECT id, slug, name, CASE WHEN state = 'live' AND archived_at IS NOT NULL THEN 'archived' ELSE state END, created_at
     FROM organizations WHERE id = $1"
);
const ORGANIZATION_BY_SLUG: Statement = sql!(
    "SELECT id, slug, name, CASE WHEN state = 'live' AND archived_at IS NOT NULL THEN 'archived' ELSE state END, created_at
     FROM organizations WHERE slug = $1"
);
const SIZES_OF_ORGANIZATION: Statement = sql!(
    "SELECT (SELECT count(*) FROM (SELECT 1 FROM members WHERE organization_id = $1 LIMIT $2) AS counted),
            (SELECT count(*) FROM (SELECT 1 FROM customers WHERE organization_id = $1 LIMIT $2) AS counted),
            (SELECT count(*) FROM (SELECT 1 FROM api_keys WHERE organization_id = $1 LIMIT $2) AS counted),
            (SELECT count(*) FROM (SELECT 1 FROM deletions
                                   WHERE organization_id = $1 AND state IN ('reversible', 'closed', 'draining') LIMIT $2) AS counted)"
);
const USER: Statement = sql!("SELECT id, email, name, state, is_operator, created_at FROM users WHERE id = $1");
const USER_BY_ADDRESS: Statement = sql!("SELECT id, email, name, state, is_operator, created_at FROM users WHERE email_key = $1");
const SIZES_OF_USER: Statement = sql!(
    "SELECT (SELECT count(*) FROM (SELECT 1 FROM members WHERE user_id = $1 LIMIT $2) AS counted),
            (SELECT count(*) FROM (SELECT 1 FROM user_api_keys WHERE user_id = $1 LIMIT $2) AS counted)"
);
const MEMBERSHIPS: Statement = sql!(
    "SELECT {columns} FROM members JOIN organizations ON organizations.id = members.organization_id
     WHERE members.user_id = $1 AND members.state = 'live' AND organizations.state = 'live'
     ORDER BY members.organization_id LIMIT $2",
    Membership
);
const KEY: Statement = sql!(
    "SELECT api_keys.id, api_keys.organization_id, members.user_id, api_keys.name, api_keys.hint,
            CASE WHEN NOT api_keys.is_active THEN 'off' WHEN api_keys.expires_at <= $2 THEN 'expired' ELSE 'active' END, api_keys.created_at
     FROM api_keys LEFT JOIN members ON members.organization_id = api_keys.organization_id AND members.id = api_keys.member_id
     WHERE api_keys.id = $1"
);
const KEY_BY_HINT: Statement = sql!(
    "SELECT api_keys.id, api_keys.organization_id, members.user_id, api_keys.name, api_keys.hint,
            CASE WHEN NOT api_keys.is_active THEN 'off' WHEN api_keys.expires_at <= $2 THEN 'expired' ELSE 'active' END, api_keys.created_at
     FROM api_keys LEFT JOIN members ON members.organization_id = api_keys.organization_id AND members.id = api_keys.member_id
     WHERE api_keys.hint = $1 ORDER BY api_keys.id LIMIT $3"
);
const OWN_KEY: Statement = sql!(
    "SELECT id, NULL, user_id, name, hint,
            CASE WHEN NOT is_active THEN 'off' WHEN expires_at <= $2 THEN 'expired' ELSE 'active' END, created_at
     FROM user_api_keys WHERE id = $1"
);
const OWN_KEY_BY_HINT: Statement = sql!(
    "SELECT id, NULL, user_id, name, hint,
            CASE WHEN NOT is_active THEN 'off' WHEN expires_at <= $2 THEN 'expired' ELSE 'active' END, created_at
     FROM user_api_keys WHERE hint = $1 ORDER BY id LIMIT $3"
);
/// The condition on the length keeps the names of jobs out of the index, and is what makes it serve here.
const ENTRIES: Statement = sql!(
    "SELECT id, organization_id, action, outcome, created_at FROM audit_entries
     WHERE request_id = $1 AND length(request_id) >= 8 ORDER BY id LIMIT $2"
);

/// Every statement of a search, for the test that looks how each finds its rows.
pub fn statements() -> [Statement; 12] {
    [
        ORGANIZATION,
        ORGANIZATION_BY_SLUG,
        SIZES_OF_ORGANIZATION,
        USER,
        USER_BY_ADDRESS,
        SIZES_OF_USER,
        MEMBERSHIPS,
        KEY,
        KEY_BY_HINT,
        OWN_KEY,
        OWN_KEY_BY_HINT,
        ENTRIES,
    ]
}

/// Finds what an id, a slug, an address, the visible part of a key or the id of a request names.
///
/// # Errors
/// [`crate::Error::Forbidden`] for anybody but an operator; [`crate::Error::Invalid`] for what can be none of these, and for a whole key.
pub async fn search(cx: &Cx, text: &str) -> Result<Vec<Found>> {
    as_operator(cx, "Access denied. Searching the server is for its operators.")?;
    let text = text.trim();
    let prefixes = &cx.plane.config.key_prefixes;
    if prefixes.has_checksum(text) {
        return Err(FieldError::new("q", "secret", "must not be a whole key, which is a secret: its last four characters suffice").into());
    }
    if !(3..=254).contains(&text.chars().count()) || text.chars().any(char::is_control) {
        return Err(FieldError::new(
            "q",
            "invalid",
            "must be an id, a slug, an address, the last four characters of a key or a request's id",
        )
        .into());
    }
    let hints = match text.contains('…') {
        true => vec![text.to_owned()],
        // What a key ends with is eight hexadecimal digits, of which the hint shows four.
        false if matches!(text.len(), 4 | 8) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Kind::ALL.iter().map(|kind| format!("{}_…{}", prefixes.of(*kind), &text[text.len() - 4..])).collect()
        }
        false => Vec::new(),
    };
    let text = text.to_owned();
    cx.read_filtered(true, async move |cx, tx| search_in(cx, tx, &text, &hints).await).await
}

async fn search_in(cx: &Cx, tx: &mut Tx, text: &str, hints: &[String]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    if let Some(id) = ids::parse(text) {
        organizations(tx, ORGANIZATION, id.into(), &mut found).await?;
        users(tx, USER, id.into(), &mut found).await?;
        for statement in [KEY, OWN_KEY] {
            keys(tx.query(statement, params![id, cx.now]).await?, &mut found)?;
        }
    }
    if ids::is_slug(text) {
        organizations(tx, ORGANIZATION_BY_SLUG, text.into(), &mut found).await?;
    }
    if text.contains('@') {
        users(tx, USER_BY_ADDRESS, email_key(text).into(), &mut found).await?;
    }
    for hint in hints {
        for statement in [KEY_BY_HINT, OWN_KEY_BY_HINT] {
            keys(tx.query(statement, params![hint, cx.now, MOST]).await?, &mut found)?;
        }
    }
    for (id, organization_id, action, state, created_at) in tx.read_all(ENTRIES, params![text, MOST]).await? {
        found.push(Found { kind: "audit_entry", id, state, organization_id, action, created_at, ..Found::default() });
    }
    Ok(found)
}

async fn organizations(tx: &mut Tx, statement: Statement, by: Value, found: &mut Vec<Found>) -> Result<()> {
    for (id, slug, name, state, created_at) in tx.read_all::<(Uuid, _, _, _, _)>(statement, &[by]).await? {
        let (members, customers, keys, open) = tx.read_one(SIZES_OF_ORGANIZATION, params![id, COUNTED_TO]).await?;
        let sizes = Some(BTreeMap::from([("members", members), ("customers", customers), ("keys", keys), ("openDeletions", open)]));
        found.push(Found { kind: "organization", id, state, slug, name, sizes, created_at, ..Found::default() });
    }
    Ok(())
}

async fn users(tx: &mut Tx, statement: Statement, by: Value, found: &mut Vec<Found>) -> Result<()> {
    for (id, email, name, state, is_operator, created_at) in tx.read_all::<(Uuid, _, _, _, _, _)>(statement, &[by]).await? {
        let (memberships, keys) = tx.read_one(SIZES_OF_USER, params![id, COUNTED_TO]).await?;
        let sizes = Some(BTreeMap::from([("memberships", memberships), ("keys", keys)]));
        let memberships = Some(tx.read_all(MEMBERSHIPS, params![id, MOST]).await?);
        found.push(Found { kind: "user", id, state, name, email, is_operator, memberships, sizes, created_at, ..Found::default() });
    }
    Ok(())
}

fn keys(rows: Vec<Row>, found: &mut Vec<Found>) -> Result<()> {
    for row in rows {
        let (id, organization_id, user_id, (name, hint, state, created_at)) = row.read()?;
        found.push(Found { kind: "api_key", id, state, name, hint, organization_id, user_id, created_at, ..Found::default() });
    }
    Ok(())
}
