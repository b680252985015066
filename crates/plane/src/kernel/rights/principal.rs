//! Who a good credential stands for, and what is known of a credential.

use std::net::IpAddr;
use std::num::NonZeroI64;
use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::Timestamp;
use sql::FromValue;
use uuid::Uuid;

use crate::key_format;
use crate::key_terms::{OwnTerms, Terms};
use crate::policy::{self, Role};
use crate::{Error, Result};

/// SHA-256 of a secret.
pub(crate) type Fingerprint = [u8; 32];

/// A user's membership of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The membership's id.
    pub id: Uuid,
    /// What it allows.
    pub role: Role,
}

/// What came with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented<'a> {
    /// `Authorization: Bearer …`: a JWT of this server, or an OAuth app's token.
    Bearer(&'a str),
    /// `X-API-Key: …`.
    ApiKey(&'a str),
    /// The cookie `sessionid`.
    Cookie(&'a str),
}

/// Who a good credential stands for.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The user; of a service account its own id.
    pub user: Uuid,
    /// The role of a service account: a key that is the organization's own and acts as itself. None for what acts as a person.
    pub service_role: Option<Role>,
    /// Whether the user is one of the people who run this server.
    pub is_operator: bool,
    /// The session, API key or OAuth token; the OAuth app itself where it asks for a token.
    pub credential: Uuid,
    /// Which of them.
    pub kind: CredentialKind,
    /// The rotations that the secret of an API key had come to when it was made.
    pub rotations: u32,
    /// The OAuth app that a token was given to.
    pub app: Option<Uuid>,
    /// The only organization the credential is good for, if it is bound to one.
    pub organization: Option<Uuid>,
    /// The membership it is bound to along with the organization.
    pub member: Option<Uuid>,
    /// The scopes it is limited to, if any.
    pub scopes: Option<policy::Scopes>,
    /// When it ends by itself.
    pub expires_at: Option<Expiry>,
    /// What an API key is bound to besides.
    pub terms: Option<Terms>,
    /// What few credentials have: for the others no room is taken in memory.
    pub own: Option<Arc<OwnTerms>>,
}

/// A time in whole microseconds since 1970: a third of the memory that a [`Timestamp`] takes where there may be none, for each credential that is
/// kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(NonZeroI64);

impl From<Timestamp> for Expiry {
    fn from(time: Timestamp) -> Expiry {
        // Zero stands for none; what ends as 1970 begins is over either way.
        Expiry(NonZeroI64::new(time.as_microsecond()).unwrap_or(NonZeroI64::MIN))
    }
}

impl FromValue for Expiry {
    fn from_value(value: sql::Value) -> sql::Result<Expiry> {
        Timestamp::from_value(value).map(Expiry::from)
    }
}

impl From<Expiry> for Timestamp {
    fn from(expiry: Expiry) -> Timestamp {
        Timestamp::from_microsecond(expiry.0.get()).unwrap_or(Timestamp::MIN)
    }
}

/// The first of two ends; none never comes.
pub(crate) fn earlier(one: Option<Expiry>, other: Option<Expiry>) -> Option<Expiry> {
    [one, other].into_iter().flatten().min()
}

/// The kinds of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// A session, through its cookie or a token.
    Session,
    /// An API key.
    ApiKey,
    /// An OAuth app's token.
    OauthToken,
}

impl Principal {
    /// Everything whose end is the end of this credential.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = Uuid> + '_ {
        let subjects = [Some(self.credential), Some(self.user), self.organization, self.member, self.app];
        subjects.into_iter().flatten().chain(self.makers().iter().copied())
    }

    /// The keys, tokens and apps in whose line the credential is, the one first that made it. None for what a person made.
    pub(crate) fn makers(&self) -> &[Uuid] {
        self.own.as_deref().map_or(&[][..], |own| &own.makers)
    }

    /// What a service account is in its organization, in place of a membership.
    pub(crate) fn service_membership(&self) -> Option<Membership> {
        self.service_role.map(|role| Membership { id: self.credential, role })
    }

    /// Fails unless it is no API key, or one that can be used now and from this address.
    ///
    /// # Errors
    /// [`Error::Inactive`]; [`Error::Forbidden`].
    pub(crate) fn admit(&self, client: Option<IpAddr>) -> Result<()> {
        self.terms.as_ref().map_or(Ok(()), |terms| terms.admit(self.own.as_deref(), client))
    }

    /// Whether it is an API key that anybody may have.
    pub(crate) fn is_publishable(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.kind == key_format::Kind::Publishable)
    }

    /// Fails when the credential is limited to scopes that do not cover this one.
    pub(crate) fn needs(&self, scope: &str) -> Result<()> {
        if self.service_role.is_some() && scope.ends_with(":user") {
            return Err(Error::Forbidden("Access denied. A service account is no person: use a key or a session of one.".into()));
        }
        match self.scopes {
            Some(scopes) if !scopes.covers(scope) => Err(Error::LacksScope(scope.to_owned())),
            _ => Ok(()),
        }
    }
}

/// SHA-256 of a secret: what the database and the memory hold in its place.
pub(crate) fn fingerprint(secret: &str) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    fingerprint
}

/// What the memory knows a presented credential by: the same secret that comes another way is another one, so that what is good as a key is
/// not found good as a bearer token or a cookie because it came as a key before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shown(Fingerprint);

impl Shown {
    pub(crate) fn of(presented: Presented<'_>) -> Shown {
        let (way, secret) = match presented {
            Presented::Bearer(secret) => (b'b', secret),
            Presented::ApiKey(secret) => (b'k', secret),
            Presented::Cookie(secret) => (b'c', secret),
        };
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&[way]);
        hash.update(secret.as_bytes());
        let mut shown = Fingerprint::default();
        shown.copy_from_slice(hash.finish().as_ref());
        Shown(shown)
    }
}
