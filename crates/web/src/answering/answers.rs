//! What handlers return: records whose types the documents take their schemas from.

use std::marker::PhantomData;

use axum::Json as JsonBody;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use plane::Cx;
use plane::deletions::Deletion;
use plane::page::Page;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::caller::{Anonymous, Caller};
use crate::catalogue::Content;
use crate::dialect::Dialect;
use crate::handlers::deletions::DeletionPlan;
use crate::request_context::DELETION_ID;
use crate::schema::{Type, Written, write};

/// One record.
pub(crate) struct One<T>(Response<Body>, PhantomData<fn() -> T>);

/// A page of a list.
pub(crate) struct Paged<T>(Response<Body>, PhantomData<fn() -> T>);

/// A page of a list, or a slice of it.
pub(crate) struct Sliced<T>(Response<Body>, PhantomData<fn() -> T>);

/// A whole list.
pub(crate) struct Listed<T>(Response<Body>, PhantomData<fn() -> T>);

/// A deletion that was ordered, or what it would come to.
pub(crate) struct OrPlan<T, P = DeletionPlan>(Response<Body>, PhantomData<fn() -> (T, P)>);

/// What an answer holds, if its type says so.
pub(crate) trait Answers {
    fn content() -> Option<Content> {
        None
    }

    /// What a plan holds that may be answered in its place.
    fn plan() -> Option<&'static Type> {
        None
    }
}

impl Answers for Response<Body> {}

macro_rules! answers {
    ($($name:ident as $content:ident;)*) => {$(
        impl<T: Written> Answers for $name<T> {
            fn content() -> Option<Content> {
                Some(Content::$content(Type::written::<T>()))
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

impl<T: Written, P: Written> Answers for OrPlan<T, P> {
    fn content() -> Option<Content> {
        One::<T>::content()
    }

    fn plan() -> Option<&'static Type> {
        Some(Type::written::<P>())
    }
}

impl<T, P> IntoResponse for OrPlan<T, P> {
    fn into_response(self) -> Response<Body> {
        self.0
    }
}

impl<T, P> From<One<T>> for OrPlan<T, P> {
    fn from(done: One<T>) -> OrPlan<T, P> {
        OrPlan(done.0, PhantomData)
    }
}

impl<T> One<T> {
    /// The same with something about its headers.
    pub fn with(self, more: impl FnOnce(Response<Body>) -> Response<Body>) -> One<T> {
        One(more(self.0), PhantomData)
    }

    /// The same with the headers that lead to a deletion.
    pub fn leading_to(self, deletion: &Deletion) -> One<T> {
        self.with(|mut response| {
            let location = format!("/api/deletions/{}", deletion.id);
            let headers = [(DELETION_ID.clone(), deletion.id.to_string()), (header::LOCATION, location)];
            let headers = headers.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)));
            response.headers_mut().extend(headers);
            response
        })
    }
}

impl Caller {
    /// A record.
    pub fn one<T: Written>(&self, status: StatusCode, record: &T) -> One<T> {
        One(answer(status, write(self.dialect, record)), PhantomData)
    }

    /// A record with the tag of its state.
    pub fn tagged<T: Written>(&self, etag: &str, record: &T) -> One<T> {
        self.one(StatusCode::OK, record).with(|response| tagged(response, etag))
    }

    /// The same of one that was made.
    pub fn created<T: Written>(&self, etag: &str, record: &T) -> One<T> {
        self.one(StatusCode::CREATED, record).with(|response| tagged(response, etag))
    }

    /// What tells that something has ended; nothing on surfaces that say no more.
    pub fn ended<T: Written>(&self, record: &T) -> One<T> {
        match self.dialect.empty_success {
            true => One(StatusCode::NO_CONTENT.into_response(), PhantomData),
            false => self.one(StatusCode::OK, record),
        }
    }

    /// What a deletion would come to.
    pub fn plan<T, P: Written>(&self, plan: &P) -> OrPlan<T, P> {
        OrPlan(answer(StatusCode::OK, write(self.dialect, plan)), PhantomData)
    }

    /// A page of records.
    pub fn page<U, T: Written>(&self, page: Page<U>, record: impl Fn(U) -> T) -> Paged<T> {
        Paged(part(self.dialect, page, |entry| write(self.dialect, &record(entry))), PhantomData)
    }

    /// A page or a slice of records.
    pub fn slice<U, T: Written>(&self, page: Page<U>, record: impl Fn(U) -> T) -> Sliced<T> {
        Sliced(part(self.dialect, page, |entry| write(self.dialect, &record(entry))), PhantomData)
    }

    /// A whole list of records.
    pub fn list<T: Written>(&self, records: &[T]) -> Listed<T> {
        let records = records.iter().map(|record| write(self.dialect, record)).collect();
        Listed(answer(StatusCode::OK, records), PhantomData)
    }
}

impl Anonymous {
    /// A record.
    pub fn one<T: Written>(&self, status: StatusCode, record: &T) -> One<T> {
        One(answer(status, write(self.dialect, record)), PhantomData)
    }
}

/// A JSON answer.
fn answer(status: StatusCode, body: Json) -> Response<Body> {
    (status, JsonBody(body)).into_response()
}

/// The same with the tag of its state.
pub(crate) fn tagged(mut response: Response<Body>, etag: &str) -> Response<Body> {
    response.headers_mut().extend(HeaderValue::from_str(etag).ok().map(|etag| (header::ETAG, etag)));
    response
}

/// Sets the session's cookie; zero seconds take it back.
pub(crate) fn with_cookie(mut response: Response<Body>, value: &str, seconds: u64, cx: &Cx) -> Response<Body> {
    // Where clients see this server behind TLS.
    let secure = if cx.plane.config.public_url.starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!("sessionid={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Where in the list this page is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Pagination {
    /// From 1.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    page: i64,
    /// Entries on a page.
    #[schemars(range(min = 1, max = 100), example = 25)]
    page_size: i64,
    /// Entries on all pages.
    #[schemars(example = 342)]
    total_count: i64,
    #[schemars(example = 14)]
    total_pages: i64,
    has_next: bool,
    has_previous: bool,
}

/// Where in the list this slice is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Slice {
    /// Entries in a slice.
    #[schemars(range(min = 1, max = 100), example = 25)]
    page_size: i64,
    has_next: bool,
    /// What to give as `after` for the next slice; null after the last.
    #[schemars(length(min = 1, max = 100))]
    next_cursor: Option<String>,
}

/// A page, or a slice, in its envelope.
pub(crate) fn part<T>(dialect: &Dialect, page: Page<T>, view: impl Fn(T) -> Json) -> Response<Body> {
    let (number, page_size, total_count) = (page.request.page, page.request.size, page.total);
    let pagination = match page.request.after {
        Some(_) => write(dialect, &Slice { page_size, has_next: page.next.is_some(), next_cursor: page.next.map(plane::ids::to_short) }),
        None => {
            let total_pages = total_count.div_euclid(page_size) + i64::from(total_count.rem_euclid(page_size) > 0);
            let (has_next, has_previous) = (number < total_pages, number > 1);
            write(dialect, &Pagination { page: number, page_size, total_count, total_pages, has_next, has_previous })
        }
    };
    let data: Vec<Json> = page.entries.into_iter().map(view).collect();
    answer(StatusCode::OK, json!({"data": data, "pagination": pagination}))
}
