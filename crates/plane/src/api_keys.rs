//! API keys: `<prefix>_<body>_<checksum>`, shown once, kept as a hash. A key acts as the member who made it, within its scopes.

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Row, params, sql};
use uuid::Uuid;

use crate::access::enter;
use crate::audit::{self, Note};
use crate::credentials::fingerprint;
use crate::deletion::{self, Deletion, Order, Root};
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::{Action, SCOPES};
use crate::tokens::alphanumeric;
use crate::{Cx, Error, Result};

/// Random characters in a key.
const BODY_LENGTH: usize = 32;
/// Hexadecimal digits of the CRC-32 at its end.
const CHECKSUM_LENGTH: usize = 8;
/// What a key may do whose maker did not say.
const DEFAULT_SCOPES: [&str; 4] = ["read:user", "read:organization", "read:members", "read:customers"];

/// What a key is for, which shows in its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `csb`: for an organization's own back end.
    Organization,
    /// `csu`: for a person's own scripts.
    User,
    /// `cpk`: may be published, so it only reads the organization's profile.
    Publishable,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 3] = [Kind::Organization, Kind::User, Kind::Publishable];

    /// Its name in the database and in bodies.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Organization => "organization",
            Kind::User => "user",
            Kind::Publishable => "publishable",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn prefix(self) -> &'static str {
        match self {
            Kind::Organization => "csb",
            Kind::User => "csu",
            Kind::Publishable => "cpk",
        }
    }
}

/// An API key without its secret.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// The member it acts as.
    pub member: Uuid,
    /// What it is for.
    pub kind: String,
    /// 3 to 50 characters.
    pub name: String,
    /// Up to 200 characters.
    pub description: Option<String>,
    /// Prefix and last characters, to tell keys apart.
    pub hint: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// A new key.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What it is for.
    pub kind: Kind,
    /// 3 to 50 characters.
    pub name: String,
    /// Up to 200 characters.
    pub description: Option<String>,
    /// What it may be used for; reading its maker, organization, members and customers if missing.
    pub scopes: Option<Vec<String>>,
    /// When it ends by itself; in the future.
    pub expires_at: Option<Timestamp>,
}

/// Whether a text has the form of a key and its checksum is right: the cheap test before any look-up.
pub(crate) fn has_checksum(key: &str) -> bool {
    let mut parts = key.split('_');
    let (Some(prefix), Some(body), Some(checksum), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    Kind::ALL.iter().any(|kind| kind.prefix() == prefix)
        && body.len() == BODY_LENGTH
        && body.bytes().all(|character| character.is_ascii_alphanumeric())
        && checksum.len() == CHECKSUM_LENGTH
        && checksum == checksum_of(body)
}

/// CRC-32 (zlib's) of the body, as 8 lower-case hexadecimal digits.
fn checksum_of(body: &str) -> String {
    format!("{:08x}", crc32fast::hash(body.as_bytes()))
}

fn make(kind: Kind) -> Result<String> {
    let body = alphanumeric(BODY_LENGTH)?;
    let checksum = checksum_of(&body);
    Ok(format!("{}_{body}_{checksum}", kind.prefix()))
}

/// Makes a key of the signed-in member. The returned secret is not kept.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Forbidden`].
pub async fn create(cx: &Cx, organization: &OrganizationRef, new: NewApiKey) -> Result<(ApiKey, String)> {
    let tenant = enter(cx, organization, Action::CreateApiKey).await?;
    let member = tenant.membership().ok_or_else(|| Error::Forbidden("Only members can have keys.".into()))?.id;
    let scopes = new.scopes.unwrap_or_else(|| match new.kind {
        Kind::Publishable => vec!["read:organization".into()],
        _ => DEFAULT_SCOPES.map(str::to_owned).into(),
    });
    let mut check = Check::new();
    check.text("name", &new.name, 3..=50).optional("description", new.description.as_deref(), 0..=200);
    for (place, scope) in scopes.iter().enumerate() {
        if !SCOPES.contains(&scope.as_str()) {
            check.refuse(&format!("scopes.{place}"), "unknown_scope", format!("must be one of {}", SCOPES.join(", ")));
        } else if new.kind == Kind::Publishable && scope != "read:organization" {
            check.refuse(&format!("scopes.{place}"), "not_publishable", "a publishable key can only have read:organization");
        } else if let Some(held) = &cx.principal()?.scopes
            && !crate::policy::covers(held, scope)
        {
            check.refuse(&format!("scopes.{place}"), "wider_than_own", "a key cannot make a key with scopes it lacks itself");
        }
    }
    if new.expires_at.is_some_and(|end| end <= cx.now) {
        check.refuse("expires_at", "in_the_past", "must be in the future");
    }
    check.finish()?;
    let secret = make(new.kind)?;
    let key = ApiKey {
        id: cx.new_id()?,
        member,
        kind: new.kind.name().into(),
        name: new.name,
        description: new.description,
        hint: format!("{}_…{}", new.kind.prefix(), &secret[secret.len() - 4..]),
        scopes: SCOPES.iter().filter(|known| scopes.iter().any(|scope| scope == *known)).map(|known| (*known).to_owned()).collect(),
        created_at: cx.now,
        expires_at: new.expires_at,
    };
    let input = (tenant, key.clone(), fingerprint(&secret));
    cx.write(input, |cx, tx, (tenant, key, hash)| {
        Box::pin(async move {
            tenant.is_writable(tx).await?;
            let insert = sql!(
                "INSERT INTO api_keys (organization_id, id, member_id, kind, name, description, hint, hash, scopes, created_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
            );
            let values = params![
                tenant.organization(),
                key.id,
                key.member,
                &key.kind,
                &key.name,
                key.description.as_deref(),
                &key.hint,
                &hash[..],
                Json::from(key.scopes.clone()),
                key.created_at,
                key.expires_at,
            ];
            tx.execute(insert, values).await.map_err(|error| match error {
                sql::Error::ForeignKey(_) => Error::Unauthenticated,
                other => other.into(),
            })?;
            let note = Note { action: "api_key.create", subject: "api_key", subject_id: Some(key.id), ..Note::default() };
            audit::record(cx, tx, tenant.organization(), &note).await
        })
    })
    .await?;
    Ok((key, secret))
}

/// Lists the keys, newest first.
///
/// # Errors
/// Those of [`enter`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, request: PageRequest) -> Result<Page<ApiKey>> {
    let tenant = enter(cx, organization, Action::ListApiKeys).await?;
    cx.read((tenant, request), |_, tx, (tenant, request)| {
        Box::pin(async move {
            let count = sql!("SELECT count(*) FROM api_keys WHERE organization_id = $1");
            let total = tx.query_one(count, params![tenant.organization()]).await?.next()?;
            let statement = sql!(
                "SELECT id, member_id, kind, name, description, hint, scopes, created_at, expires_at
                 FROM api_keys WHERE organization_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3"
            );
            let rows = tx.query(statement, params![tenant.organization(), request.size, request.offset()]).await?;
            Ok(Page { entries: rows.into_iter().map(read).collect::<Result<_>>()?, total, request: *request })
        })
    })
    .await
}

/// Revokes a key: it stops working at once and its row goes.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] for somebody else's key without the right to revoke it.
pub async fn revoke(cx: &Cx, organization: &OrganizationRef, key: Uuid, reason: Option<String>) -> Result<Deletion> {
    let note = Note { action: "api_key.revoke", subject: "api_key", subject_id: Some(key), reason: reason.clone(), ..Note::default() };
    audit::attempt(cx, organization, note, async {
        let tenant = enter(cx, organization, Action::RevokeOwnApiKey).await?;
        cx.write((tenant, key, reason), |cx, tx, (tenant, key, reason)| {
            Box::pin(async move {
                // Takes the row's lock: of two who revoke at once, one finds it gone.
                let statement = sql!("UPDATE api_keys SET name = name WHERE organization_id = $1 AND id = $2 RETURNING member_id");
                let row = tx.query_opt(statement, params![tenant.organization(), *key]).await?;
                let member: Uuid = row.ok_or(Error::NotFound("API key"))?.next()?;
                if tenant.membership().is_none_or(|own| own.id != member) {
                    tenant.also(cx, Action::RevokeApiKey)?;
                }
                let order = Order { root: Root::ApiKey, subject: *key, label: None, reason: reason.clone(), action: "api_key.revoke" };
                deletion::delete(cx, tx, tenant.organization(), order).await
            })
        })
        .await
    })
    .await
}

/// The scopes as the database holds them.
pub(crate) fn scopes_from(json: Json) -> Result<Vec<String>> {
    serde_json::from_value(json).map_err(|error| Error::Internal(format!("the scopes of a key: {error}")))
}

fn read(mut row: Row) -> Result<ApiKey> {
    Ok(ApiKey {
        id: row.next()?,
        member: row.next()?,
        kind: row.next()?,
        name: row.next()?,
        description: row.next()?,
        hint: row.next()?,
        scopes: scopes_from(row.next()?)?,
        created_at: row.next()?,
        expires_at: row.next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_documented_form_and_any_change_of_a_character_is_noticed() {
        let key = make(Kind::Organization).unwrap();
        assert_eq!(key.len(), 3 + 1 + 32 + 1 + 8);
        assert!(has_checksum(&key));
        for place in 0..key.len() {
            let mut changed = key.clone().into_bytes();
            changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
            assert!(!has_checksum(&String::from_utf8(changed).unwrap()), "{key} at {place}");
        }
    }

    #[test]
    fn the_checksum_is_zlibs() {
        assert_eq!(checksum_of("123456789"), "cbf43926");
    }
}
