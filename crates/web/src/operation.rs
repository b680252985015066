//! An operation: its address, who may call it, what it takes, answers and refuses.

use crate::AppState;
use crate::answers::Answers;
use crate::endpoint::Endpoint;
use crate::parameters::{After, Pages, Plan, Reason};
use crate::schema::{Type, kind};
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use plane::policy::Action;
use schemars::JsonSchema;
use serde_json::Value as Json;
use std::sync::Arc;

/// Who an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody, without a credential.
    Anybody,
    /// Those who have signed in, whatever their organizations.
    Person,
    /// The people who run the server.
    Operators,
    /// Those that the policy lets do this in the organization.
    May(Action),
    /// The same; and with what is one's own, those who may do the second.
    MayOrOwn(Action, Action),
}

/// What an answer holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// No body.
    Nothing,
    /// One record.
    One(&'static Type),
    /// A bare list of records.
    List(&'static Type),
    /// One page of records in the documented envelope.
    Page(&'static Type),
    /// The same, and with `?after=` a slice of the list with a cursor to the next.
    Slices(&'static Type),
    /// A page for people.
    Html,
    /// Text of this media type.
    Text(&'static str),
    /// An OpenAPI document, which is sent compressed to those who accept that.
    Document,
    /// A file of this media type, which is sent while it is read.
    File(&'static str),
}

/// A parameter behind the `?`.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    /// Its name.
    pub name: String,
    /// The type of which it is a field.
    pub of: Type,
}

impl Parameter {
    /// What it holds.
    pub fn schema(&self) -> &Json {
        &self.of.schema()["properties"][&self.name]
    }

    /// Whether it is an object, of which each member comes by itself: `name[key]=text`.
    pub fn is_object(&self) -> bool {
        kind(self.of.resolve(self.schema())) == "object"
    }
}

/// How a record that an operation answers leads to another operation: an OpenAPI link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// The other operation's id.
    pub to: &'static str,
    /// Its path parameters and where their values are: the answer (`body.id`) or this request's own path (`path.organizationId`).
    pub with: &'static [(&'static str, &'static str)],
}

/// One operation: a method on an address, and all there is to say about it.
#[derive(Clone)]
pub(crate) struct Operation {
    pub method: Method,
    /// The address inside its surface, parameters in braces as they are documented.
    pub path: &'static str,
    /// Unique among all operations.
    pub id: &'static str,
    pub tag: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    pub access: Access,
    pub parameters: Vec<Parameter>,
    /// What its body is read into.
    pub body: Option<Type>,
    /// The body may also be a form (`application/x-www-form-urlencoded`).
    pub takes_forms: bool,
    /// The body may also be a list of ids (`text/csv`).
    pub takes_lists: bool,
    /// The body is a form of a page for people, with fields that the page alone knows.
    pub takes_fields: bool,
    pub status: u16,
    pub answer: &'static str,
    pub content: Content,
    /// Statuses of errors beyond those that follow from the rest, with what they mean here.
    pub refusals: Vec<(u16, &'static str)>,
    pub links: Vec<Link>,
    /// It is about a record that has a revision: it comes with an `ETag`, and is changed under `If-Match`.
    pub has_etag: bool,
    /// The answer leads to a deletion's record; or it is the plan of one, which holds this, when no more was asked for.
    pub plan: Option<&'static Type>,
    /// The answer says in `Location` where the record is that was made. One with status 201 always does.
    pub has_location: bool,
    /// When it sends the browser elsewhere in place of its answer (303), if it ever does.
    pub redirects: Option<&'static str>,
    /// The answer sets or clears the cookie `sessionid`.
    pub sets_cookie: bool,
    /// Its address names no organization: it is the credential's, or the one in `X-Organization`.
    pub is_of_current: bool,
    /// It is not counted against the caller's limits.
    pub is_unlimited: bool,
    /// Where addresses of its surface begin.
    pub(crate) prefix: &'static str,
    pub(crate) handler: MethodRouter<Arc<AppState>>,
}

impl Operation {
    /// An operation that answers 200 with nothing, for anybody who has signed in, until more is said.
    pub fn new<T: 'static, H: Endpoint<T>>(method: Method, path: &'static str, id: &'static str, handler: H) -> Operation {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        Operation {
            method,
            path,
            id,
            tag: "",
            summary: "",
            description: "",
            access: Access::Person,
            parameters: Vec::new(),
            body: H::body(),
            takes_forms: false,
            takes_lists: H::TAKES_LISTS,
            takes_fields: false,
            status: 200,
            answer: "OK",
            content: H::Answer::content().unwrap_or(Content::Nothing),
            refusals: Vec::new(),
            links: Vec::new(),
            has_etag: false,
            plan: H::Answer::plan(),
            has_location: false,
            redirects: None,
            sets_cookie: false,
            is_of_current: false,
            is_unlimited: false,
            prefix: "",
            handler: on(filter, handler),
        }
    }

    pub fn get<T: 'static>(path: &'static str, id: &'static str, handler: impl Endpoint<T>) -> Operation {
        Operation::new(Method::GET, path, id, handler)
    }

    pub fn post<T: 'static>(path: &'static str, id: &'static str, handler: impl Endpoint<T>) -> Operation {
        Operation::new(Method::POST, path, id, handler)
    }

    pub fn put<T: 'static>(path: &'static str, id: &'static str, handler: impl Endpoint<T>) -> Operation {
        Operation::new(Method::PUT, path, id, handler)
    }

    pub fn patch<T: 'static>(path: &'static str, id: &'static str, handler: impl Endpoint<T>) -> Operation {
        Operation::new(Method::PATCH, path, id, handler)
    }

    pub fn delete<T: 'static>(path: &'static str, id: &'static str, handler: impl Endpoint<T>) -> Operation {
        Operation::new(Method::DELETE, path, id, handler).parameters::<Reason>().parameters::<Plan>()
    }

    /// One line that says what it does.
    pub fn says(mut self, summary: &'static str) -> Operation {
        self.summary = summary;
        self
    }

    /// More lines, in Markdown.
    pub fn explains(mut self, description: &'static str) -> Operation {
        self.description = description;
        self
    }

    pub fn anybody(mut self) -> Operation {
        self.access = Access::Anybody;
        self
    }

    pub fn operators(mut self) -> Operation {
        self.access = Access::Operators;
        self
    }

    pub fn may(mut self, action: Action) -> Operation {
        self.access = Access::May(action);
        self
    }

    pub fn may_or_own(mut self, action: Action, own: Action) -> Operation {
        self.access = Access::MayOrOwn(action, own);
        self
    }

    /// It knows these parameters.
    pub fn parameters<T: JsonSchema>(mut self) -> Operation {
        let of = Type::of::<T>();
        let names = of.schema()["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
        self.parameters.extend(names.map(|name| Parameter { name, of: of.clone() }));
        self
    }

    /// It takes a body that its handler reads by itself.
    pub fn takes(mut self, body: Type) -> Operation {
        self.body = Some(body);
        self
    }

    /// The same, as a form or as JSON.
    pub fn takes_form<T: JsonSchema>(mut self) -> Operation {
        (self.body, self.takes_forms) = (Some(Type::of::<T>()), true);
        self
    }

    /// It reads the form of a page for people.
    pub fn takes_fields(mut self) -> Operation {
        self.takes_fields = true;
        self
    }

    /// It answers what its handler returns.
    pub fn gives(self, status: u16, words: &'static str) -> Operation {
        let content = self.content;
        self.answers(status, words, content)
    }

    pub fn answers(mut self, status: u16, words: &'static str, content: Content) -> Operation {
        (self.status, self.answer, self.content) = (status, words, content);
        if matches!(content, Content::Page(_) | Content::Slices(_)) {
            self = self.parameters::<Pages>();
        }
        if matches!(content, Content::Slices(_)) {
            self = self.parameters::<After>();
        }
        self
    }

    pub fn refuses(mut self, status: u16, words: &'static str) -> Operation {
        self.refusals.push((status, words));
        self
    }

    pub fn leads(mut self, to: &'static str, with: &'static [(&'static str, &'static str)]) -> Operation {
        self.links.push(Link { to, with });
        self
    }

    pub fn etag(mut self) -> Operation {
        self.has_etag = true;
        self
    }

    pub fn located(mut self) -> Operation {
        self.has_location = true;
        self
    }

    pub fn redirects(mut self, when: &'static str) -> Operation {
        self.redirects = Some(when);
        self
    }

    pub fn sets_cookie(mut self) -> Operation {
        self.sets_cookie = true;
        self
    }

    /// Its address names no organization: it is the credential's, or the one in `X-Organization`.
    pub fn of_current(mut self) -> Operation {
        self.is_of_current = true;
        self
    }

    pub fn unlimited(mut self) -> Operation {
        self.is_unlimited = true;
        self
    }

    /// Whether it changes a record that has a revision, and so honours `If-Match`. What it makes has none yet.
    pub fn is_conditional(&self) -> bool {
        self.has_etag && self.method != Method::GET && self.status != 201
    }

    /// Whether it honours `Idempotency-Key`.
    pub fn is_repeatable(&self) -> bool {
        self.method != Method::GET
    }

    /// The names of the parameters in its address, in order.
    pub fn path_parameters(&self) -> Vec<&'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
    }
}
