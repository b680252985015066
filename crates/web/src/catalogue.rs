//! The catalogue: every operation of the server as data. Routing, `/openapi.json`, the documentation pages and the tests of who may do what
//! are all made from it, so that none of them can know an address that the others do not.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use plane::policy::Action;

use crate::Doors;
use crate::dialect::Dialect;
use crate::shapes::Shape;

/// Who an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody, without a credential.
    Anybody,
    /// Whoever has signed in, whatever their organizations.
    Person,
    /// The people who run the server.
    Operators,
    /// Whoever the policy lets do this in the organization.
    May(Action),
    /// The same; and with what is one's own, whoever may do the second.
    MayOrOwn(Action, Action),
}

/// What an answer holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// No body.
    Nothing,
    /// One record.
    One(&'static Shape),
    /// A bare list of records.
    List(&'static Shape),
    /// One page of records in the documented envelope.
    Page(&'static Shape),
    /// The same, and with `?after=` a slice of the list with a cursor to the next.
    Slices(&'static Shape),
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub is: crate::shapes::Is,
    /// What it does.
    pub about: &'static str,
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
    pub body: Option<&'static Shape>,
    /// The body may also be a form (`application/x-www-form-urlencoded`).
    pub takes_forms: bool,
    /// The body may also be a list of ids (`text/csv`).
    pub takes_lists: bool,
    pub status: u16,
    pub answer: &'static str,
    pub content: Content,
    /// Statuses of errors beyond those that follow from the rest, with what they mean here.
    pub refusals: Vec<(u16, &'static str)>,
    pub links: Vec<Link>,
    /// It is about a record that has a revision: it comes with an `ETag`, and is changed under `If-Match`.
    pub has_etag: bool,
    /// The answer leads to a deletion's record; or it is the plan of one, when no more was asked for.
    pub deletes: bool,
    /// What such a plan holds.
    pub plan: &'static Shape,
    /// The answer says in `Location` where the record is that was made.
    pub has_location: bool,
    /// The answer sets or clears the cookie `sessionid`.
    pub sets_cookie: bool,
    /// Its address names no organization: it is the credential's, or the one in `X-Organization`.
    pub is_of_current: bool,
    handler: MethodRouter<Arc<Doors>>,
}

impl Operation {
    /// An operation that answers 200 with nothing, for anybody who has signed in, until more is said.
    pub fn new<T: 'static>(method: Method, path: &'static str, id: &'static str, handler: impl Handler<T, Arc<Doors>>) -> Operation {
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
            body: None,
            takes_forms: false,
            takes_lists: false,
            status: 200,
            answer: "OK",
            content: Content::Nothing,
            refusals: Vec::new(),
            links: Vec::new(),
            has_etag: false,
            deletes: false,
            plan: &crate::shapes::plans::DELETION_PLAN,
            has_location: false,
            sets_cookie: false,
            is_of_current: false,
            handler: on(filter, handler),
        }
    }

    pub fn get<T: 'static>(path: &'static str, id: &'static str, handler: impl Handler<T, Arc<Doors>>) -> Operation {
        Operation::new(Method::GET, path, id, handler)
    }

    pub fn post<T: 'static>(path: &'static str, id: &'static str, handler: impl Handler<T, Arc<Doors>>) -> Operation {
        Operation::new(Method::POST, path, id, handler)
    }

    pub fn put<T: 'static>(path: &'static str, id: &'static str, handler: impl Handler<T, Arc<Doors>>) -> Operation {
        Operation::new(Method::PUT, path, id, handler)
    }

    pub fn patch<T: 'static>(path: &'static str, id: &'static str, handler: impl Handler<T, Arc<Doors>>) -> Operation {
        Operation::new(Method::PATCH, path, id, handler)
    }

    pub fn delete<T: 'static>(path: &'static str, id: &'static str, handler: impl Handler<T, Arc<Doors>>) -> Operation {
        Operation::new(Method::DELETE, path, id, handler).parameters(&crate::shapes::REASON).parameters(&crate::shapes::PLAN).deletes()
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

    pub fn parameters(mut self, parameters: &[Parameter]) -> Operation {
        self.parameters.extend_from_slice(parameters);
        self
    }

    pub fn takes(mut self, body: &'static Shape) -> Operation {
        self.body = Some(body);
        self
    }

    /// The same, as a form or as JSON.
    pub fn takes_form(mut self, body: &'static Shape) -> Operation {
        (self.body, self.takes_forms) = (Some(body), true);
        self
    }

    /// The same, as a list of ids or as JSON.
    pub fn takes_list(mut self, body: &'static Shape) -> Operation {
        (self.body, self.takes_lists) = (Some(body), true);
        self
    }

    pub fn answers(mut self, status: u16, words: &'static str, content: Content) -> Operation {
        (self.status, self.answer, self.content) = (status, words, content);
        if matches!(content, Content::Page(_) | Content::Slices(_)) {
            self.parameters.extend_from_slice(&crate::shapes::PAGE);
        }
        if matches!(content, Content::Slices(_)) {
            self.parameters.extend_from_slice(&crate::shapes::AFTER);
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

    pub fn sets_cookie(mut self) -> Operation {
        self.sets_cookie = true;
        self
    }

    /// Its address names no organization: it is the credential's, or the one in `X-Organization`.
    pub fn of_current(mut self) -> Operation {
        self.is_of_current = true;
        self
    }

    fn deletes(mut self) -> Operation {
        self.deletes = true;
        self
    }

    /// It orders a deletion, or answers with what that would come to.
    pub fn orders(mut self, plan: &'static Shape) -> Operation {
        self.plan = plan;
        self.deletes()
    }

    /// Whether it changes a record that has a revision, and so honours `If-Match`. What it makes has none yet.
    pub fn is_conditional(&self) -> bool {
        self.has_etag && self.method != Method::GET && self.status != 201 && !self.path_parameters().is_empty()
    }

    /// Whether it honours `Idempotency-Key`.
    pub fn is_repeatable(&self) -> bool {
        matches!(self.method, Method::POST | Method::DELETE)
    }

    /// The names of the parameters in its address, in order.
    pub fn path_parameters(&self) -> Vec<&'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
    }
}

/// One surface: a beginning of addresses, its habits, its operations.
#[derive(Clone)]
pub(crate) struct Surface {
    pub name: &'static str,
    /// The tags of its operations, each with its description.
    pub tags: &'static [(&'static str, &'static str)],
    pub dialect: &'static Dialect,
    pub prefix: &'static str,
    pub operations: Vec<Operation>,
}

/// Puts operations under a tag.
pub(crate) fn tagged(tag: &'static str, operations: impl IntoIterator<Item = Operation>) -> impl Iterator<Item = Operation> {
    operations.into_iter().map(move |operation| Operation { tag, ..operation })
}

/// All surfaces, and the way from a request to its operation.
pub(crate) struct Catalogue {
    pub surfaces: Vec<Surface>,
    by_route: HashMap<String, Vec<(Method, Arc<Operation>)>>,
}

impl Catalogue {
    pub fn new(surfaces: Vec<Surface>) -> Catalogue {
        let mut by_route: HashMap<String, Vec<(Method, Arc<Operation>)>> = HashMap::new();
        for surface in &surfaces {
            for operation in &surface.operations {
                let route = routed(surface.prefix, operation.path);
                by_route.entry(route).or_default().push((operation.method.clone(), Arc::new(operation.clone())));
            }
        }
        Catalogue { surfaces, by_route }
    }

    /// The operation behind a matched route.
    pub fn find(&self, method: &Method, route: &str) -> Option<&Arc<Operation>> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.by_route.get(route)?.iter().find(|(known, _)| known == method).map(|(_, operation)| operation)
    }

    /// Every address.
    pub fn router(&self) -> Router<Arc<Doors>> {
        let operations = self.surfaces.iter().flat_map(|surface| surface.operations.iter().map(move |operation| (surface, operation)));
        operations.fold(Router::new(), |router, (surface, operation)| {
            router.route(&routed(surface.prefix, operation.path), operation.handler.clone())
        })
    }
}

/// An address as the router wants it: parameters of one place have one name, whatever the documents call them.
fn routed(prefix: &str, path: &str) -> String {
    let mut route = String::from(prefix);
    for (place, part) in path.split('/').enumerate().skip(1) {
        route.push('/');
        match part.starts_with('{') {
            true => route.push_str(&format!("{{{place}}}")),
            false => route.push_str(part),
        }
    }
    route
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Files below a folder that give the router an address.
    fn routing(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| match path.is_dir() {
                true => routing(&path),
                false => {
                    let source = std::fs::read_to_string(&path).unwrap();
                    let calls = [".route", ".nest", ".route_service", ".nest_service"].map(|call| format!("{call}("));
                    calls.iter().any(|call| source.contains(call)).then(|| path.display().to_string()).into_iter().collect()
                }
            })
            .collect()
    }

    #[test]
    fn no_address_is_routed_that_is_not_in_the_catalogue_and_so_in_the_document() {
        let files = routing(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        assert!(files.len() == 1 && files[0].ends_with("catalogue.rs"), "{files:?}");
    }
}
