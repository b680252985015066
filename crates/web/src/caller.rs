//! Who calls: what handlers get of a request that was let in.

use crate::dialect::Dialect;
use crate::limits::{Attempts, LimitClass};
use crate::problem::Failure;
use crate::query::Query;
use crate::request_context::RequestContext;
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
pub(crate) struct Caller {
    /// The signed-in context.
    pub cx: Cx,
    /// The surface's habits.
    pub dialect: &'static Dialect,
    /// The parameters behind the `?`.
    pub query: Arc<Query>,
    context: Arc<RequestContext>,
}

/// A request of anybody.
pub(crate) struct Anonymous {
    /// The context without a sign-in.
    pub cx: Cx,
    /// The surface's habits.
    pub dialect: &'static Dialect,
    context: Arc<RequestContext>,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Failure> {
        let context = context(parts)?;
        if let (Err(Error::Unauthenticated), &Method::DELETE) = (&context.signed, &parts.method) {
            let operation = context.operation.as_ref().map(|operation| operation.id);
            tracing::warn!(request_id = %context.anonymous.request_id, operation, "a deletion was tried without a good credential");
        }
        Ok(Caller { cx: context.context()?, dialect: context.dialect, query: context.query.clone(), context })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Anonymous {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Anonymous, Failure> {
        let context = context(parts)?;
        Ok(Anonymous { cx: context.anonymous.clone(), dialect: context.dialect, context })
    }
}

pub(crate) fn context(parts: &Parts) -> Result<Arc<RequestContext>> {
    parts.extensions.get::<Arc<RequestContext>>().cloned().ok_or_else(|| Error::Internal("a request came in without its context".into()))
}

impl Anonymous {
    /// Counts an attempt to get a credential.
    pub fn attempt(&self, class: LimitClass, attempts: Attempts<'_>) -> Result<()> {
        self.context.attempts.count(class, attempts)
    }

    /// Takes an attempt back that shall not count.
    pub fn give_back(&self, class: LimitClass, attempts: Attempts<'_>) {
        self.context.app.limiter.give_back(class, attempts, self.client(), self.cx.now);
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

impl Caller {
    /// The organization that the first variable part of the address names.
    pub fn organization(&self, text: &str) -> Result<OrganizationRef> {
        let parsed = if self.dialect.slugs { OrganizationRef::parse(text) } else { ids::parse(text).map(OrganizationRef::Id) };
        let forms = if self.dialect.slugs { "a UUID, a shortuuid or a slug" } else { "a shortuuid of 22 characters or a UUID" };
        let field =
            || self.context.operation.as_ref().and_then(|operation| operation.path_parameters().first().copied()).unwrap_or("organization");
        parsed.ok_or_else(|| FieldError::new(field(), "invalid_id", format!("must be {forms}")).into())
    }

    /// The organization of an address that names none: the header `X-Organization`, or the credential's.
    pub fn current_organization(&self) -> Result<OrganizationRef> {
        match &self.context.organization {
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
        let usual = self.context.app.limiter.per_minute(principal, self.cx.plane.limits_of(Some(principal)));
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
        self.context.only_validates()
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
