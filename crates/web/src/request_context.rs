//! The middleware every request passes: gives it an id, finds out who it is from, counts it, and turns what went wrong into an answer.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use plane::attempts::{Attempt, CountsAttempts};
use plane::credentials::{Presented, authenticate};
use plane::fields::Check;
use plane::policy::Action;
use plane::{Cx, Error, FieldError, Result};
use tracing::field;

use crate::AppState;
use crate::body::{MOST_BYTES, TOO_LARGE, discard, receive};
use crate::catalogue::{Access, Operation};
use crate::conditional;
use crate::content::decoded;
use crate::csv_body;
use crate::dialect::Dialect;
use crate::idempotency;
use crate::limits::{Attempts, LimitClass, Place, RateLimitStatus};
use crate::problem::{self, Failure};
use crate::query::Query;
use crate::strict::{self, sessions};

/// How long a body may take to arrive, and how long the work on a request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the body of a request that is refused for its sender's sake may take.
const PATIENCE_WITH_REFUSED: Duration = Duration::from_secs(5);

/// The caller's name for the request, and ours for it in the answer.
pub(crate) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The organization that an address without one means.
static X_ORGANIZATION: HeaderName = HeaderName::from_static("x-organization");
/// The id of the deletion that was ordered.
pub(crate) static DELETION_ID: HeaderName = HeaderName::from_static("deletion-id");
/// An API key.
pub(crate) static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What the middleware found out about a request. In its extensions from here on.
pub(crate) struct RequestContext {
    pub(crate) app: Arc<AppState>,
    /// The context without a sign-in, for what needs none.
    pub(crate) anonymous: Cx,
    /// The signed-in context, or why there is none.
    pub(crate) signed: Result<Cx>,
    pub(crate) dialect: &'static Dialect,
    /// What was asked for; none for an address that does not exist.
    pub(crate) operation: Option<Arc<Operation>>,
    pub(crate) organization: Option<String>,
    /// Whether it came with a credential where one is asked for.
    pub(crate) presents: bool,
    pub(crate) query: Arc<Query>,
    /// What in the request can be meant in two ways or is unknown, if anything.
    pub(crate) refusal: Option<Failure>,
    /// How the request stands with its limits.
    pub(crate) limit_status: Mutex<RateLimitStatus>,
    pub(crate) attempts: Arc<Attempter>,
}

/// Counts what a request tries to get a credential with, or to prove a password with.
pub(crate) struct Attempter {
    app: Arc<AppState>,
    client: IpAddr,
    limit_status: Mutex<RateLimitStatus>,
}

impl Attempter {
    pub(crate) fn count(&self, class: LimitClass, attempts: Attempts<'_>) -> Result<()> {
        let attempt = self.app.limiter.attempt(class, attempts, self.client, self.app.plane.clock.now());
        let wait = attempt.wait();
        self.limit_status.lock().unwrap_or_else(PoisonError::into_inner).add(attempt);
        wait.map_or(Ok(()), |seconds| Err(Error::TooManyAttempts(seconds)))
    }
}

impl CountsAttempts for Attempter {
    fn count(&self, attempt: Attempt<'_>) -> Result<()> {
        match attempt {
            Attempt::SignIn(account) => self.count(LimitClass::SignIn, Attempts::HereFor(account)),
            Attempt::CurrentPassword(account) => {
                self.count(LimitClass::SignIn, Attempts::HereFor(account))?;
                // Only sessions of the account use these up, from whatever address.
                self.count(LimitClass::CurrentPassword, Attempts::EverywhereFor(account))
            }
        }
    }
}

/// The middleware around all routes.
pub(crate) async fn middleware(State(app): State<Arc<AppState>>, request: Request, next: Next) -> Response<Body> {
    let watch = app.plane.clock.stopwatch();
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
    let client = app.settings.trusted_proxies.client(peer, &parts.headers);
    let id = app.request_ids.of(&parts.headers);
    let attempts = Arc::new(Attempter { app: app.clone(), client, limit_status: Mutex::default() });
    let condition = || conditional::on_record(&parts.method, &parts.headers);
    let new_anonymous = || Cx::new(&app.plane, id.clone()).with_client(client).counting(attempts.clone()).under(condition());
    let method = parts.method.clone();
    let dialect = Dialect::of(parts.uri.path());
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let operation = route.and_then(|route| app.catalogue.find(&method, route)).cloned();
    let head = strict::check_head(&parts);
    // Not where it can be read in two ways whose request it is.
    let is_clear = !head.as_ref().is_err_and(Failure::is_unauthenticated);
    let (query, refusal) = match (head, &operation) {
        (Err(refusal), _) => (Query::default(), Some(refusal)),
        (Ok(()), Some(operation)) => match strict::parameters(operation, parts.uri.query()) {
            Ok(query) => (query, None),
            Err(refusal) => (Query::default(), Some(refusal)),
        },
        (Ok(()), None) => (Query::default(), None),
    };
    let mut anonymous = new_anonymous();
    let mut signed = match is_clear {
        true => sign_in(&anonymous, &method, &parts.headers).await,
        false => Err(Error::Unauthenticated),
    };
    let has_body = !body.is_end_stream();
    // Before the body is taken in: what is kept of it depends on whose it is, and nothing of one who has come too often.
    let sender = signed.as_ref().ok().and_then(Cx::presented).map(|principal| &**principal);
    let is_unlimited = operation.as_ref().is_some_and(|operation| operation.is_unlimited);
    let own = app.plane.limits_of(sender);
    let limit_status = match is_unlimited {
        true => app.limiter.look(sender, own, client, anonymous.now),
        false => app.limiter.count(sender, own, client, anonymous.now),
    };
    let place = match limit_status.wait() {
        Some(seconds) => Err(Failure::RateLimited(seconds)),
        None => app.limiter.enter(sender, client, is_unlimited).map_err(Failure::Full),
    };
    let takes_list = operation.as_ref().is_some_and(|operation| operation.takes_lists);
    // A stranger is not known well enough to keep so much for them.
    let most = if takes_list && sender.is_some() { csv_body::MOST_BYTES } else { MOST_BYTES };
    // The place is kept until there is an answer.
    let (body, _place) = match place {
        Ok(mut place) if has_body => (arrive(&parts.headers, body, most, &mut place).await, Some(place)),
        Ok(place) => (Ok(Bytes::new()), Some(place)),
        Err(failure) => {
            // A client that is not listened to has less time to be told so.
            let _ = tokio::time::timeout(PATIENCE_WITH_REFUSED, discard(&parts.headers, body)).await;
            (Err(failure), None)
        }
    };
    if has_body {
        // A credential is found good when the work begins, and not when a slow body began to arrive.
        anonymous = new_anonymous();
        if signed.is_ok() {
            signed = sign_in(&anonymous, &method, &parts.headers).await;
        }
    }
    let is_for_anybody = operation.as_ref().is_none_or(|operation| operation.access == Access::Anybody);
    let presents = !is_for_anybody && strict::presents(&parts.headers);
    let is_broken_off = has_body && body.is_err();
    let context = Arc::new(RequestContext {
        app,
        anonymous: anonymous.clone(),
        signed,
        dialect,
        operation,
        organization: parts.headers.get(&X_ORGANIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned),
        presents,
        query: Arc::new(query),
        refusal,
        limit_status: Mutex::new(limit_status),
        attempts: attempts.clone(),
    });
    let mut response = match body {
        Err(failure) => context.settle(failure.into_response()),
        Ok(body) => match context.admit(&parts, body, most).await {
            Ok(body) => answer(&context, parts, body, next).await,
            Err(failure) => context.settle(failure.into_response()),
        },
    };
    let headers = response.headers_mut();
    let mut limit_status = context.limit_status.lock().unwrap_or_else(PoisonError::into_inner);
    limit_status.add(std::mem::take(&mut *context.attempts.limit_status.lock().unwrap_or_else(PoisonError::into_inner)));
    limit_status.write(headers, anonymous.now);
    drop(limit_status);
    if let Ok(id) = HeaderValue::from_str(&anonymous.request_id) {
        headers.insert(X_REQUEST_ID.clone(), id);
    }
    if is_broken_off {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    context.tell(response.status(), watch.elapsed());
    response
}

/// Has the request carried out, or finds what was answered to it before.
async fn answer(context: &Arc<RequestContext>, parts: Parts, body: Bytes, next: Next) -> Response<Body> {
    let repeatable = match idempotency::asked(&parts, &body) {
        Ok(repeatable) => repeatable.filter(|_| context.may_repeat()),
        Err(failure) => return context.settle(failure.into_response()),
    };
    let (method, path, wanted) = (parts.method.clone(), parts.uri.path().to_owned(), conditional::precondition(&parts.headers));
    let mut request = Request::from_parts(parts, Body::from(body));
    if let Some(operation) = &context.operation {
        request.extensions_mut().insert(operation.clone());
    }
    request.extensions_mut().insert(context.clone());
    let inside = context.clone();
    let work = async move {
        let response = run(next.run(request)).await;
        let response = match &inside.operation {
            Some(operation) => {
                let response = inside.app.catalogue.located(operation, &path, response).await;
                conditional::answer(operation, &method, wanted, response).await
            }
            None => response,
        };
        inside.settle(response)
    };
    let cx = context.signed.as_ref().unwrap_or(&context.anonymous).clone();
    let response = match repeatable {
        None => work.await,
        Some(repeatable) => {
            let tells = !context.operation.as_ref().is_some_and(|operation| operation.plan.is_some() && operation.method == Method::DELETE);
            context.settle(Box::pin(idempotency::once(cx.clone(), repeatable, tells, work)).await)
        }
    };
    let is_replayed = response.headers().contains_key(idempotency::REPLAYED);
    match cx.told_ledger(is_replayed).await || !response.status().is_success() {
        true => response,
        // The answer that is kept for repetitions is the true one: it is given as soon as the ledger has its line.
        false => {
            let mut unconfirmed = context.settle(Failure::Unready(UNCONFIRMED.into()).into_response());
            let told = |name: &HeaderName| Some((name.clone(), response.headers().get(name)?.clone()));
            unconfirmed.headers_mut().extend([&DELETION_ID, &header::LOCATION].into_iter().filter_map(told));
            unconfirmed
        }
    }
}

/// Of what was done while the ledger's disk takes nothing.
const UNCONFIRMED: &str = "It is done, and access has ended where it was to end. But the disk of the server's ledger does not take it down: a database that is \
                           restored from before would not know of it. The ledger has it as soon as that disk can be written. If the request had \
                           an Idempotency-Key, send it again with the same one to hear so; if not, look whether it is done before you send it again.";

impl RequestContext {
    /// Counts a request that was answered, and writes it to the log: who asked for what, by ids. An address may hold what a product calls its
    /// customers, and a query anything: neither is written.
    fn tell(&self, status: StatusCode, took: Duration) {
        let (anonymous, number) = (&self.anonymous, status.as_u16());
        let operation = self.operation.as_ref().map(|operation| operation.id);
        self.app.metrics.count(operation, number, took);
        let (request_id, client) = (&*anonymous.request_id, self.attempts.client);
        let error_code = (number >= 400).then(|| problem::describe(status).0);
        let cx = self.signed.as_ref().ok();
        let principal = cx.and_then(Cx::presented);
        tracing::info!(
            request_id,
            operation,
            status = number,
            error_code,
            micros = took.as_micros() as u64,
            %client,
            user = principal.map(|principal| field::display(principal.user)),
            credential = principal.map(|principal| field::display(principal.credential)),
            organization = cx.and_then(Cx::noted_organization).map(field::display),
            "request"
        );
        let proves = self.operation.as_ref().is_some_and(|operation| operation.access == Access::Anybody);
        if proves && status == StatusCode::UNAUTHORIZED {
            tracing::warn!(request_id, operation, %client, "a sign-in was refused");
        }
    }

    /// Refuses what is not clear, and returns the body as it was before it was compressed.
    async fn admit(&self, parts: &Parts, body: Bytes, most: usize) -> Result<Bytes, Failure> {
        let Some(operation) = &self.operation else {
            // The router says what there is.
            return self.refusal.clone().map_or(Ok(body), Err);
        };
        let too_large = if most == MOST_BYTES { TOO_LARGE } else { csv_body::TOO_LARGE };
        let admitted = match &self.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => strict::check_credentials(operation, &parts.headers)
                .and(conditional::check(operation, parts))
                .and(decoded(&parts.headers, body, most, too_large).await),
        };
        let admitted = admitted.and_then(|body| strict::check_body(operation, &body).map(|()| body));
        match (&self.signed, admitted) {
            // Who has not signed in hears of that first.
            (Err(error), Err(failure)) if operation.access != Access::Anybody && !failure.is_unauthenticated() => Err(error.clone().into()),
            (_, admitted) => admitted,
        }
    }

    /// Whether an answer is kept for repetitions. Who is not signed in and gets no further than 401 makes no work for the database, and what
    /// a deletion would do is told as it is now.
    fn may_repeat(&self) -> bool {
        if matches!(self.only_validates(), Ok(true)) {
            return false;
        }
        // What is routed nowhere is never carried out.
        self.operation.as_ref().is_some_and(|operation| self.signed.is_ok() || operation.access == Access::Anybody)
    }

    /// Whether it is a deletion that is to be looked at and not to be done.
    pub(crate) fn only_validates(&self) -> Result<bool> {
        let deletes = self.operation.as_ref().is_some_and(|operation| operation.plan.is_some());
        Ok(deletes && self.query.flag("validate_only")?)
    }

    /// The signed-in context, with what was typed to confirm; of a deletion bound to its plan if it names one.
    pub(crate) fn context(&self) -> Result<Cx> {
        let mut cx = self.signed.clone()?;
        if self.operation.as_ref().is_none_or(|operation| operation.access != Access::May(Action::ReadOrganization)) {
            // A publishable key is none: also where an operation asks for no more than a sign-in.
            cx.principal()?;
        }
        let takes_confirmation = |operation: &Arc<Operation>| operation.parameters.iter().any(|one| one.name == "confirm");
        if let Some(typed) = self.query.get("confirm").filter(|_| self.operation.as_ref().is_some_and(takes_confirmation)) {
            Check::new().text("confirm", typed, 0..=100).finish()?;
            cx = cx.confirmed(typed);
        }
        let Some(plan) = self.query.get("plan") else { return Ok(cx) };
        // As its parameter is documented.
        let is_like_one =
            (40..=400).contains(&plan.len()) && plan.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        match is_like_one {
            true => Ok(cx.bound_to(plan)),
            false => {
                Err(FieldError::new("plan", "invalid_plan", "must be the `plan` of a deletion plan, or missing: ask for the plan again")
                    .into())
            }
        }
    }

    /// Turns what went wrong into an answer.
    fn settle(&self, mut response: Response<Body>) -> Response<Body> {
        let Some(failure) = response.extensions_mut().remove::<Failure>() else { return response };
        let headers = std::mem::take(response.headers_mut());
        let mut response = problem::render(&self.anonymous, self.dialect, failure, self.presents);
        let allowed = headers.into_iter().filter_map(|(name, value)| Some((name.filter(|name| name == header::ALLOW)?, value)));
        response.headers_mut().extend(allowed);
        response
    }
}

async fn arrive(headers: &HeaderMap, body: Body, most: usize, place: &mut Place) -> Result<Bytes, Failure> {
    match tokio::time::timeout(PATIENCE, receive(headers, body, most, place)).await {
        Ok(received) => received,
        Err(_) => Err(Failure::Http(StatusCode::REQUEST_TIMEOUT, "The body took too long to arrive.")),
    }
}

/// Carries a request out in a task of its own: who hangs up, or is told that it took too long, leaves nothing half done.
async fn run(work: impl Future<Output = Response<Body>> + Send + 'static) -> Response<Body> {
    let failure = match tokio::time::timeout(PATIENCE, tokio::spawn(work)).await {
        Ok(Ok(response)) => return response,
        Ok(Err(_)) => Failure::Plane(Error::Internal("a handler panicked".into())),
        // Ours, and not the client's as 408 would say.
        Err(_) => Failure::Http(StatusCode::SERVICE_UNAVAILABLE, "The request took too long. What it began goes on to its end."),
    };
    failure.into_response()
}

async fn sign_in(anonymous: &Cx, method: &Method, headers: &HeaderMap) -> Result<Cx> {
    let presented = presented(headers).ok_or(Error::Unauthenticated)?;
    if matches!(presented, Presented::Cookie(_)) && !method.is_safe() {
        refuse_cross_site(headers)?;
    }
    authenticate(anonymous.clone(), presented).await
}

/// The credential of a request. One that says who it is in a header is not another because of a cookie.
pub(crate) fn presented(headers: &HeaderMap) -> Option<Presented<'_>> {
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    if let Some(value) = authorizations.next() {
        // Of two it is anybody's guess which one a proxy before this server looked at.
        if authorizations.next().is_some() {
            return None;
        }
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then_some(Presented::Bearer(token.trim()));
    }
    if let Some(key) = headers.get(&X_API_KEY) {
        return key.to_str().ok().map(Presented::ApiKey);
    }
    sessions(headers).next().map(Presented::Cookie)
}

/// A browser sends its cookies with requests that other sites make it send. It also says whose request it was: in `Sec-Fetch-Site`, or in
/// `Origin`. What says neither does not come from a browser (W3C Fetch Metadata).
pub(crate) fn refuse_cross_site(headers: &HeaderMap) -> Result<()> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let is_ours = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => origin.split_once("://").is_some_and(|(_, host)| Some(host) == text("host")),
        (None, None) => true,
    };
    if is_ours { Ok(()) } else { Err(Error::Forbidden("A request of another site cannot use this site's cookie.".into())) }
}
