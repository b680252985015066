//! What handlers return: records whose types the documents take their schemas from.

use std::marker::PhantomData;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use plane::page::Page;

use crate::catalogue::{Content, Record};
use crate::door::{Door, Guest};
use crate::schema::{Type, Written, write};
use crate::views;

/// One record.
pub(crate) struct One<T>(Response<Body>, PhantomData<fn() -> T>);

/// A page of a list.
pub(crate) struct Paged<T>(Response<Body>, PhantomData<fn() -> T>);

/// A page of a list, or a slice of it.
pub(crate) struct Sliced<T>(Response<Body>, PhantomData<fn() -> T>);

/// A whole list.
pub(crate) struct Listed<T>(Response<Body>, PhantomData<fn() -> T>);

/// What an answer holds, if its type says so.
pub(crate) trait Answers {
    fn content() -> Option<Content> {
        None
    }
}

impl Answers for Response<Body> {}

macro_rules! answers {
    ($($name:ident as $content:ident;)*) => {$(
        impl<T: Written> Answers for $name<T> {
            fn content() -> Option<Content> {
                Some(Content::$content(Record::Type(Type::written::<T>())))
            }
        }

        impl<T> IntoResponse for $name<T> {
            fn into_response(self) -> Response<Body> {
                self.0
            }
        }
    )*};
}

answers! {
    One as One;
    Paged as Page;
    Sliced as Slices;
    Listed as List;
}

impl<T> One<T> {
    /// The same with something about its headers.
    pub fn with(self, more: impl FnOnce(Response<Body>) -> Response<Body>) -> One<T> {
        One(more(self.0), PhantomData)
    }
}

impl Door {
    /// A record.
    pub fn one<T: Written>(&self, status: StatusCode, record: &T) -> One<T> {
        One(views::answer(status, write(self.dialect, record)), PhantomData)
    }

    /// A record with the tag of its state.
    pub fn tagged<T: Written>(&self, etag: &str, record: &T) -> One<T> {
        One(views::tagged(StatusCode::OK, etag, write(self.dialect, record)), PhantomData)
    }

    /// The same of one that was made.
    pub fn created<T: Written>(&self, etag: &str, record: &T) -> One<T> {
        One(views::tagged(StatusCode::CREATED, etag, write(self.dialect, record)), PhantomData)
    }

    /// A page of records.
    pub fn page<U, T: Written>(&self, page: Page<U>, record: impl Fn(U) -> T) -> Paged<T> {
        Paged(views::page(self.dialect, page, |dialect, entry| write(dialect, &record(entry))), PhantomData)
    }

    /// A page or a slice of records.
    pub fn slice<T: Written>(&self, page: Page<T>) -> Sliced<T> {
        Sliced(views::page(self.dialect, page, |dialect, entry| write(dialect, &entry)), PhantomData)
    }

    /// A whole list of records.
    pub fn list<T: Written>(&self, records: &[T]) -> Listed<T> {
        let records: serde_json::Value = records.iter().map(|record| write(self.dialect, record)).collect();
        Listed(views::answer(StatusCode::OK, records), PhantomData)
    }
}

impl Guest {
    /// A record.
    pub fn one<T: Written>(&self, record: &T) -> One<T> {
        One(views::answer(StatusCode::OK, write(self.dialect, record)), PhantomData)
    }
}
