//! The catalogue: every operation of the server as data. Routing, `/openapi.json`, the documentation pages and the tests of who may do what
//! are all made from it, so that none of them can know an address that the others do not.

pub(crate) use crate::operation::{Access, Content, Operation, Parameter};
use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::Value as Json;

use crate::AppState;
use crate::addresses;
use crate::dialect::{CUSTOMER, Dialect};

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
    shadows: Vec<Shadow>,
}

/// A route with a customer's id that the router does not find when the id is a text of another route: it compares texts before variable
/// parts, and methods last. Customers can have any id.
#[derive(Debug, PartialEq, Eq)]
struct Shadow {
    method: Method,
    /// The route that is not found.
    route: String,
    /// The one that is found in its place, without this method.
    found: String,
    /// The part of the path that is a text there and the id here.
    place: usize,
}

impl Catalogue {
    pub fn new(surfaces: Vec<Surface>) -> Catalogue {
        let mut by_route: HashMap<String, Vec<(Method, Arc<Operation>)>> = HashMap::new();
        for surface in &surfaces {
            for operation in &surface.operations {
                let route = routed(surface.prefix, operation.path);
                let operation = Operation { prefix: surface.prefix, ..operation.clone() };
                by_route.entry(route).or_default().push((operation.method.clone(), Arc::new(operation)));
            }
        }
        let shadows = shadows(&surfaces, &by_route);
        Catalogue { surfaces, by_route, shadows }
    }

    /// The answer to what made a record, with the record's address: that of the first operation that the answer leads to.
    pub async fn located(&self, operation: &Operation, path: &str, response: Response<Body>) -> Response<Body> {
        if response.status() != StatusCode::CREATED || response.headers().contains_key(header::LOCATION) {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let record = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
        let address = self.address_of(operation, path, &record).and_then(|address| HeaderValue::try_from(address).ok());
        parts.headers.extend(address.map(|address| (header::LOCATION, address)));
        Response::from_parts(parts, Body::from(bytes))
    }

    fn address_of(&self, operation: &Operation, path: &str, record: &Json) -> Option<String> {
        let link = operation.links.first()?;
        let target = self.by_route.values().flatten().map(|(_, target)| target).find(|target| target.id == link.to)?;
        let own: Vec<&str> = path.strip_prefix(operation.prefix)?.split('/').collect();
        let value = |place: &str| match place.split_once('.')? {
            ("body", name) => Some(in_a_path(record.get(name)?.as_str()?)),
            (_, name) => {
                let place = operation
                    .path
                    .split('/')
                    .position(|part| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) == Some(name))?;
                own.get(place).map(|part| (*part).to_owned())
            }
        };
        let parts = target.path.split('/').map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => link.with.iter().find(|(parameter, _)| *parameter == name).and_then(|(_, place)| value(place)),
            None => Some(part.to_owned()),
        });
        Some(format!("{}{}", target.prefix, parts.collect::<Option<Vec<String>>>()?.join("/")))
    }

    /// The request, with an id that the router would take for a text of another route in a spelling that it does not.
    pub fn unshadowed(&self, mut request: Request) -> Request {
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let path = request.uri().path();
        let is_hidden = |shadow: &&Shadow| shadow.method == *method && matches(&shadow.route, path) && matches(&shadow.found, path);
        if let Some(shadow) = self.shadows.iter().find(is_hidden) {
            let parts = path.split('/').enumerate().map(|(place, part)| match part.as_bytes() {
                [first, ..] if place == shadow.place => format!("%{first:02X}{}", &part[1..]),
                _ => part.to_owned(),
            });
            let path = parts.collect::<Vec<_>>().join("/");
            addresses::replace(&mut request, &path);
        }
        request
    }

    /// The operation behind a matched route.
    pub fn find(&self, method: &Method, route: &str) -> Option<&Arc<Operation>> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.by_route.get(route)?.iter().find(|(known, _)| known == method).map(|(_, operation)| operation)
    }

    /// Every address.
    pub fn router(&self) -> Router<Arc<AppState>> {
        let operations = self.surfaces.iter().flat_map(|surface| surface.operations.iter().map(move |operation| (surface, operation)));
        operations.fold(Router::new(), |router, (surface, operation)| {
            router.route(&routed(surface.prefix, operation.path), operation.handler.clone())
        })
    }
}

fn shadows(surfaces: &[Surface], by_route: &HashMap<String, Vec<(Method, Arc<Operation>)>>) -> Vec<Shadow> {
    let mut shadows = Vec::new();
    for surface in surfaces {
        for operation in &surface.operations {
            let route = routed(surface.prefix, operation.path);
            // Parameters of one surface that are all customers' ids, and those that are so by their name.
            let before = surface.prefix.matches('/').count();
            let is_id = |place: usize| match operation.path.split('/').nth(place - before) {
                Some("{customerId}") => true,
                Some(part) => surface.dialect.prefix == CUSTOMER.prefix && part.starts_with('{'),
                None => false,
            };
            for (found, operations) in by_route {
                let lacks_it = operations.iter().all(|(method, _)| *method != operation.method);
                let place = first_difference(&route, found).filter(|place| is_id(*place));
                if let (true, Some(place)) = (lacks_it, place) {
                    shadows.push(Shadow { method: operation.method.clone(), route: route.clone(), found: found.clone(), place });
                }
            }
        }
    }
    shadows
}

/// Where the second route has a text and the first a variable part, if that is what the router looks at and one path can match both.
fn first_difference(route: &str, found: &str) -> Option<usize> {
    let is_variable = |part: &str| part.starts_with('{');
    let pairs = || route.split('/').zip(found.split('/'));
    let is_possible = pairs().all(|(one, other)| one == other || is_variable(one) || is_variable(other));
    let place = pairs().position(|(one, other)| one != other)?;
    let text_comes_first = pairs().nth(place).is_some_and(|(one, other)| is_variable(one) && !is_variable(other));
    (is_possible && text_comes_first && route.split('/').count() == found.split('/').count()).then_some(place)
}

/// Whether a path is one of a route.
fn matches(route: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    let fits = |part: &str| parts.next().is_some_and(|given| if part.starts_with('{') { !given.is_empty() } else { part == given });
    route.split('/').all(fits) && parts.next().is_none()
}

/// A text as a part of a path (RFC 3986, section 3.3).
fn in_a_path(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => part.push(char::from(byte)),
            false => part.push_str(&format!("%{byte:02X}")),
        }
    }
    part
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

    use super::*;

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
    fn a_customer_whose_id_is_a_text_of_another_route_is_found_with_every_method() {
        let catalogue = Catalogue::new(crate::surfaces::all());
        let one_spelling = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).body(axum::body::Body::empty()).unwrap();
            catalogue.unshadowed(request).uri().path().to_owned()
        };
        assert_eq!(one_spelling("GET", "/customer/extend/deletion-plan"), "/customer/%65xtend/deletion-plan");
        assert_eq!(one_spelling("HEAD", "/customer/addscreen/deletion-plan"), "/customer/%61ddscreen/deletion-plan");
        for (method, path) in
            [("PATCH", "/customer/extend/deletion-plan"), ("GET", "/customer/extend"), ("GET", "/customer/x/deletion-plan")]
        {
            assert_eq!(one_spelling(method, path), path);
        }
        // Where both routes have the method, it could not be told which one is meant.
        let ids: Vec<String> = catalogue.shadows.iter().map(|shadow| shadow.route.clone()).collect();
        for (route, operations) in &catalogue.by_route {
            for (other, others) in &catalogue.by_route {
                let is_shared = operations.iter().any(|(method, _)| others.iter().any(|(known, _)| known == method));
                let is_hidden = ids.contains(route) && first_difference(route, other).is_some();
                assert!(!(is_shared && is_hidden), "{route} and {other}");
            }
        }
    }

    #[test]
    fn no_address_is_routed_that_is_not_in_the_catalogue_and_so_in_the_document() {
        let files = routing(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        assert!(files.len() == 1 && files[0].ends_with("catalogue.rs"), "{files:?}");
    }
}
