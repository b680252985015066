//! What the signature of a handler says of its operation: the body that it reads is the one that is documented.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::handler::Handler;
use axum::http::{HeaderMap, Method};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::AppState;
use crate::answers::Answers;
use crate::body::{Body, BrowserForm, Fields};
use crate::caller::{Anonymous, Caller, Segments};
use crate::csv_body::JsonOrCsv;
use crate::handlers::oauth::ClientForm;
use crate::problem::Failure;
use crate::schema::Type;

/// A handler, and what its last argument takes.
pub(crate) trait Endpoint<T>: Handler<T, Arc<AppState>> {
    /// What it returns.
    type Answer: Answers;

    /// Whether the body may also be a list of ids.
    const TAKES_LISTS: bool = false;

    fn body() -> Option<Type> {
        None
    }
}

/// The last argument of a handler.
pub(crate) trait Takes {
    const TAKES_LISTS: bool = false;

    fn body() -> Option<Type> {
        None
    }
}

impl<T: JsonSchema + DeserializeOwned> Takes for Body<T> {
    fn body() -> Option<Type> {
        Some(Type::read::<T>())
    }
}

impl<T: JsonSchema + DeserializeOwned> Takes for JsonOrCsv<T> {
    const TAKES_LISTS: bool = true;

    fn body() -> Option<Type> {
        Some(Type::read::<T>())
    }
}

impl Takes for Caller {}
impl Takes for Anonymous {}
impl<T> Takes for Segments<T> {}
impl Takes for Bytes {}
impl Takes for HeaderMap {}
impl Takes for Method {}
impl<T> Takes for State<T> {}
impl Takes for Result<Caller, Failure> {}
// These read their body by themselves, and the catalogue says what is in it.
impl Takes for BrowserForm {}
impl Takes for ClientForm {}
impl Takes for Fields {}

impl<F, A, R: Answers> Endpoint<((),)> for F
where
    F: Handler<((),), Arc<AppState>> + Fn() -> A,
    A: Future<Output = Result<R, Failure>>,
{
    type Answer = R;
}

macro_rules! endpoints {
    ($($($part:ident)*;)*) => {$(
        impl<F, A, R: Answers, M, $($part,)* L: Takes> Endpoint<(M, $($part,)* L)> for F
        where
            F: Handler<(M, $($part,)* L), Arc<AppState>> + Fn($($part,)* L) -> A,
            A: Future<Output = Result<R, Failure>>,
        {
            type Answer = R;
            const TAKES_LISTS: bool = L::TAKES_LISTS;

            fn body() -> Option<Type> {
                L::body()
            }
        }
    )*};
}

endpoints! {
    ;
    A1;
    A1 A2;
    A1 A2 A3;
    A1 A2 A3 A4;
}
