//! The dashboard, below `/dashboard`: pages for people with a browser. They work without scripts too; with them a form sends itself as it is
//! changed, and a fragment of the page comes back. Everything they need comes from this server, and their policy forbids the rest.

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::{Html, IntoResponse};
use plane::preferences::{self, Category, Preference, Stance, TRAITS};
use plane::{Error, FieldError, sessions, users};

use crate::answers::with_cookie;
use crate::body::BrowserForm;
use crate::caller::{Anonymous, Caller, Segments};
use crate::catalogue::Content::{Html as Pages, Nothing, Text};
use crate::catalogue::{Operation, Surface, tagged};
use crate::dialect::API;
use crate::handlers::auth::without_cookie;
use crate::parameters::Saved;
use crate::problem::{Answer, Failure, not_found};
use crate::request_context::refuse_cross_site;

/// Every operation of this surface. A person who has not signed in is sent to the page where one does, and not refused.
pub(crate) fn surface() -> Surface {
    let operations = vec![
        Operation::get("/sign-in", "dashboardSignIn", show_sign_in)
            .says("The page where people sign in")
            .answers(200, "A page for people.", Pages)
            .redirects("Who has signed in already is led to their preferences."),
        Operation::post("/sign-in", "dashboardSignInSubmit", sign_in)
            .sets_cookie()
            .says("Sign in with the page's form")
            .takes_fields()
            .explains("Takes `email` and `password` as `application/x-www-form-urlencoded`.")
            .answers(303, "Signed in: the cookie `sessionid`, and the way to the preferences.", Nothing)
            .refuses(401, "No account has this address and this password: the page again.")
            .refuses(403, "The form was sent by another site."),
        Operation::post("/sign-out", "dashboardSignOut", sign_out)
            .sets_cookie()
            .says("Sign out with the page's button")
            .takes_fields()
            .answers(303, "The way to the page where people sign in.", Nothing)
            .refuses(403, "The form was sent by another site."),
        Operation::get("/preferences", "dashboardPreferences", show_preferences)
            .says("The page of one's own preferences")
            .parameters::<Saved>()
            .answers(200, "A page for people.", Pages)
            .redirects("Without a session the browser is led to the page where people sign in.")
            .refuses(403, "The credential lacks a scope."),
        Operation::post("/preferences", "dashboardPreferencesSubmit", save_preferences)
            .says("Take stances with the page's form")
            .takes_fields()
            .explains("Takes a stance for each trait as `application/x-www-form-urlencoded`.")
            .answers(200, "The part of the page that says so.", Pages)
            .redirects("Without scripts the browser is led back to the page; without a session to the one where people sign in.")
            .refuses(403, "The form was sent by another site, or the credential lacks a scope."),
        Operation::get("/assets/{name}", "dashboardAsset", asset).says("What the pages load").answers(
            200,
            "A script or a style sheet.",
            Text("text/plain"),
        ),
    ];
    let operations = tagged("dashboard", operations.into_iter().map(Operation::anybody)).collect();
    let tags = &[("dashboard", "Pages for people with a browser.")];
    Surface { name: "", tags, dialect: &API, prefix: "/dashboard", operations }
}

const SIGN_IN: &str = "/dashboard/sign-in";
const PREFERENCES: &str = "/dashboard/preferences";

/// Nothing from elsewhere, nothing inline, in no other page's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The files that pages load.
const ASSETS: [(&str, &str, &str); 3] = [
    ("htmx.min.js", "text/javascript; charset=utf-8", include_str!("../../assets/htmx.min.js")),
    ("dashboard.css", "text/css; charset=utf-8", include_str!("../../assets/dashboard.css")),
    ("docs.css", "text/css; charset=utf-8", include_str!("../../assets/docs.css")),
];

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    email: &'a str,
    is_wrong: bool,
    /// Seconds until there are attempts left.
    wait: Option<i64>,
}

#[derive(Template)]
#[template(path = "preferences.html")]
struct PreferencesPage {
    email: String,
    groups: Vec<Group>,
    is_saved: bool,
    taken: usize,
    known: usize,
}

/// The part of the page that a form that sent itself gets back.
#[derive(Template)]
#[template(path = "preferences.html", block = "outcome")]
struct Outcome {
    is_saved: bool,
    taken: usize,
    known: usize,
}

/// The traits of one category.
struct Group {
    label: &'static str,
    entries: Vec<Entry>,
}

/// One trait.
struct Entry {
    name: &'static str,
    label: &'static str,
    options: Vec<Choice>,
}

/// One stance on it.
struct Choice {
    name: &'static str,
    label: &'static str,
    is_chosen: bool,
}

async fn show_sign_in(caller: Result<Caller, Failure>) -> Answer {
    match caller {
        Ok(_) => Ok(see(PREFERENCES)),
        Err(_) => page(StatusCode::OK, &SignInPage { email: "", is_wrong: false, wait: None }),
    }
}

async fn sign_in(anonymous: Anonymous, headers: HeaderMap, fields: BrowserForm) -> Answer {
    // Another site must not sign people in as another person, who then reads what they enter.
    refuse_cross_site(&headers)?;
    let (email, password) = (fields.text("email"), fields.text("password"));
    let outcome = sessions::sign_in(&anonymous.cx, email, password.to_owned(), None).await;
    // No address is longer; what is, is not shown again.
    let email = if email.len() <= 254 { email } else { "" };
    match outcome {
        Ok(signed_in) => Ok(with_cookie(see(PREFERENCES), &signed_in.cookie, signed_in.session_life.as_secs(), &anonymous.cx)),
        Err(Error::Unauthenticated) => page(StatusCode::UNAUTHORIZED, &SignInPage { email, is_wrong: true, wait: None }),
        Err(Error::TooManyAttempts(seconds)) => {
            let mut response = page(StatusCode::TOO_MANY_REQUESTS, &SignInPage { email, is_wrong: false, wait: Some(seconds) })?;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            Ok(response)
        }
        Err(other) => Err(other.into()),
    }
}

async fn sign_out(caller: Result<Caller, Failure>) -> Answer {
    let caller = match caller {
        Err(Failure::Plane(Error::Unauthenticated)) => return Ok(see(SIGN_IN)),
        other => other?,
    };
    sessions::sign_out(&caller.cx).await?;
    Ok(without_cookie(see(SIGN_IN), &caller.cx))
}

async fn show_preferences(caller: Result<Caller, Failure>) -> Answer {
    let caller = match caller {
        Err(Failure::Plane(Error::Unauthenticated)) => return Ok(see(SIGN_IN)),
        other => other?,
    };
    let (user, taken) = (users::me(&caller.cx).await?, preferences::list(&caller.cx).await?);
    let groups = Category::ALL.map(|category| Group { label: label(category), entries: entries(category, &taken) });
    let is_saved = caller.query.flag("saved")?;
    page(
        StatusCode::OK,
        &PreferencesPage { email: user.email.clone(), groups: groups.into(), is_saved, taken: count(&taken), known: TRAITS.len() },
    )
}

async fn save_preferences(caller: Result<Caller, Failure>, headers: HeaderMap, fields: BrowserForm) -> Answer {
    let sends_itself = headers.contains_key("hx-request");
    let caller = match caller {
        Err(Failure::Plane(Error::Unauthenticated)) if sends_itself => {
            let mut response = StatusCode::UNAUTHORIZED.into_response();
            response.headers_mut().insert("hx-redirect", HeaderValue::from_static(SIGN_IN));
            return Ok(response);
        }
        Err(Failure::Plane(Error::Unauthenticated)) => return Ok(see(SIGN_IN)),
        other => other?,
    };
    let wanted = fields.pairs().map(|(name, stance)| match Stance::parse(stance) {
        Some(stance) => Ok((name.to_owned(), stance)),
        None => {
            let known = Stance::ALL.map(Stance::name).join(", ");
            Err(FieldError::new(name.chars().take(100).collect::<String>(), "unknown_stance", format!("must be one of {known}")))
        }
    });
    let taken = preferences::set(&caller.cx, wanted.collect::<Result<_, _>>()?).await?;
    match sends_itself {
        true => page(StatusCode::OK, &Outcome { is_saved: true, taken: count(&taken), known: TRAITS.len() }),
        false => Ok(see("/dashboard/preferences?saved=1")),
    }
}

async fn asset(Segments(name): Segments<String>) -> Answer {
    let Some((_, kind, content)) = ASSETS.iter().find(|(known, ..)| *known == name) else { return Err(not_found().await) };
    let headers = [(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "public, max-age=3600")];
    Ok((headers, *content).into_response())
}

fn page(status: StatusCode, template: &impl Template) -> Answer {
    let html = template.render().map_err(|error| Error::Internal(format!("a template: {error}")))?;
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, "same-origin")];
    Ok((status, headers, Html(html)).into_response())
}

/// Sends a browser to another page.
fn see(path: &'static str) -> Response<Body> {
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}

fn entries(category: Category, taken: &[Preference]) -> Vec<Entry> {
    let of = TRAITS.iter().filter(|one| one.category == category);
    of.map(|one| {
        let stance = taken.iter().find(|known| known.subject == one).map_or(Stance::Neutral, |known| known.stance);
        let options = [Stance::Neutral, Stance::Avoid, Stance::Prefer, Stance::Require];
        let choice = |option: Stance| Choice { name: option.name(), label: words(option), is_chosen: option == stance };
        Entry { name: one.name, label: one.label, options: options.map(choice).into() }
    })
    .collect()
}

fn label(category: Category) -> &'static str {
    match category {
        Category::Allergen => "Allergens",
        Category::Dietary => "Ways to eat",
        Category::Religious => "Religion",
        Category::Sourcing => "Where it comes from",
        Category::Other => "Other",
    }
}

fn words(stance: Stance) -> &'static str {
    match stance {
        Stance::Avoid => "avoid",
        Stance::Require => "require",
        Stance::Prefer => "prefer",
        Stance::Neutral => "no matter",
    }
}

fn count(taken: &[Preference]) -> usize {
    taken.iter().filter(|one| one.stance != Stance::Neutral).count()
}
