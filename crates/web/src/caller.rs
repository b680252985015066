//! Who calls: what handlers get of a request that was let in.

use crate::dialect::Dialect;
use crate::door::Visit;
use crate::limits::{Attempts, Desk};
use crate::problem::Failure;
use crate::query::Query;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use plane::credentials::CredentialKind;
use plane::deletions::Details;
use plane::ids::{self, OrganizationRef};
use plane::{Cx, Error, FieldError, Result};
use serde::de::DeserializeOwned;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use uuid::Uuid;

/// A request whose sender is known. As an argument of a handler it is the proof of sign-in: everybody else gets 401.
pub(crate) struct Door {
    /// The signed-in context.
    pub cx: Cx,
    /// The surface's habits.
    pub dialect: &'static Dialect,
    /// The parameters behind the `?`.
    pub query: Arc<Query>,
    visit: Arc<Visit>,
}

/// A request of anybody.
pub(crate) struct Guest {
    /// The context without a sign-in.
    pub cx: Cx,
    /// The surface's habits.
    pub dialect: &'static Dialect,
    visit: Arc<Visit>,
}

impl<S: Send + Sync> FromRequestParts<S> for Door {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Door, Failure> {
        let visit = visit(parts)?;
        if let (Err(Error::Unauthenticated), &Method::DELETE) = (&visit.signed, &parts.method) {
            let operation = visit.operation.as_ref().map(|operation| operation.id);
            tracing::warn!(request_id = %visit.guest.request_id, operation, "a deletion was tried without a good credential");
        }
        Ok(Door { cx: visit.context()?, dialect: visit.dialect, query: visit.query.clone(), visit })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Guest {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Guest, Failure> {
        let visit = visit(parts)?;
        Ok(Guest { cx: visit.guest.clone(), dialect: visit.dialect, visit })
    }
}

pub(crate) fn visit(parts: &Parts) -> Result<Arc<Visit>> {
    parts.extensions.get::<Arc<Visit>>().cloned().ok_or_else(|| Error::Internal("a request came in beside the door".into()))
}

impl Guest {
    /// Counts an attempt to get a credential.
    pub fn attempt(&self, desk: Desk, attempts: Attempts<'_>) -> Result<()> {
        self.visit.attempts.count(desk, attempts)
    }

    /// Takes an attempt back that shall not count.
    pub fn give_back(&self, desk: Desk, attempts: Attempts<'_>) {
        self.visit.doors.limiter.give_back(desk, attempts, self.client(), self.cx.now);
    }

    fn client(&self) -> IpAddr {
        self.cx.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// The variable parts of an address.
pub(crate) struct Segments<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Segments<T>, Failure> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Segments(segments)),
            Err(_) => Err(Failure::Http(StatusCode::BAD_REQUEST, "The address is not valid UTF-8.")),
        }
    }
}

impl Door {
    /// The organization that the first variable part of the address names.
    pub fn organization(&self, text: &str) -> Result<OrganizationRef> {
        let parsed = if self.dialect.slugs { OrganizationRef::parse(text) } else { ids::parse(text).map(OrganizationRef::Id) };
        let forms = if self.dialect.slugs { "a UUID, a shortuuid or a slug" } else { "a shortuuid of 22 characters or a UUID" };
        let field =
            || self.visit.operation.as_ref().and_then(|operation| operation.path_parameters().first().copied()).unwrap_or("organization");
        parsed.ok_or_else(|| FieldError::new(field(), "invalid_id", format!("must be {forms}")).into())
    }

    /// The organization of an address that names none: the header `X-Organization`, or the credential's.
    pub fn current_organization(&self) -> Result<OrganizationRef> {
        match &self.visit.organization {
            None => Ok(OrganizationRef::Current),
            Some(text) => OrganizationRef::parse(text)
                .ok_or_else(|| FieldError::new("X-Organization", "invalid_id", "must be a UUID, a shortuuid or a slug").into()),
        }
    }

    /// The id that a part of the address gives.
    pub fn id(&self, field: &'static str, text: &str) -> Result<Uuid> {
        let forms = "must be a UUID or a shortuuid of 22 characters";
        ids::parse(text).ok_or_else(|| FieldError::new(field, "invalid_id", forms).into())
    }

    /// Fails when a key or token without a limit of its own gives a key more requests a minute than the server gives it.
    pub fn gives_per_minute(&self, given: Option<u32>) -> Result<()> {
        let principal = self.cx.principal()?;
        let has_own = principal.own.as_ref().is_some_and(|own| own.rate_limit_per_minute.is_some());
        if principal.kind == CredentialKind::Session || has_own {
            return Ok(());
        }
        let usual = self.visit.doors.limiter.per_minute(principal, self.cx.plane.limits_of(Some(principal)));
        match given {
            Some(given) if usual > 0 && given > usual => {
                let words = format!("must not be above the {usual} a minute of the credential that gives it");
                Err(FieldError::new("rate_limit_per_minute", "wider_than_own", words).into())
            }
            _ => Ok(()),
        }
    }

    /// Whether the deletion is to be looked at and not to be done: the parameter `validate_only`.
    pub fn only_validates(&self) -> Result<bool> {
        self.visit.only_validates()
    }

    /// What is said with the order to delete an organization or a customer: the parameters `reason` and `export`.
    pub fn details(&self) -> Result<Details> {
        Ok(Details { reason: self.reason(), export: self.query.flag("export")? })
    }

    /// Why, in the actor's words: the parameter `reason`.
    pub fn reason(&self) -> Option<String> {
        self.query.get("reason").filter(|reason| !reason.is_empty()).map(str::to_owned)
    }
}
