//! The command line covers what the API does: each operation of `/openapi.json` is reached by a command, or listed here with the reason why
//! there is none. The commands talk to a stand-in that writes down what is asked of it and answers everything.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use super::{Said, Shell};
use crate::support::{Engine, Server, expect};

/// Commands that need nothing on standard input. All ids are `x`.
const LINES: &[&str] = &[
    "users me",
    "users show x",
    "users update-me --name Ada",
    "users delete-me --yes x",
    "organizations create --name Acme --slug acme",
    "organizations list",
    "organizations show x",
    "organizations update x --name Acme",
    "organizations archive x",
    "organizations unarchive x",
    "organizations transfer x --to x",
    "organizations recover x --owner ada@example.com --reason Gone",
    "organizations limits x",
    "organizations limits x --requests-per-day 0 --reason Moves",
    "organizations delete x --yes x",
    "members list",
    "members show x",
    "members role x admin",
    "members invite --email ada@example.com",
    "members remove x --yes x",
    "invites list",
    "invites cancel x",
    "invites cancel x --validate-only",
    "customers list",
    "customers show x",
    "customers create --name Ada --email ada@example.com",
    "customers update x --name Ada",
    "customers extend x --credits 1",
    "customers archive x",
    "customers unarchive x",
    "customers delete x --yes x",
    "customers purge --all --force --yes 1",
    "records list subscriptions --customer x",
    "records create subscriptions --customer x --data {}",
    "records show subscriptions x --customer x",
    "records update subscriptions x --customer x --data {}",
    "records list transactions --customer x",
    "records create transactions --customer x --data {}",
    "records show transactions x --customer x",
    "records update transactions x --customer x --data {}",
    "records list devices --customer x",
    "records create devices --customer x --data {}",
    "records show devices x --customer x",
    "records update devices x --customer x --data {}",
    "records list sessions --customer x",
    "records create sessions --customer x --data {}",
    "records show sessions x --customer x",
    "records update sessions x --customer x --data {}",
    "records list activity --customer x",
    "records create activity --customer x --data {}",
    "records show activity x --customer x",
    "records update activity x --customer x --data {}",
    "records delete devices x --customer x --yes x",
    "records delete sessions x --customer x --yes x",
    "keys create --name Import",
    "keys list",
    "keys show x",
    "keys update x --name Import",
    "keys validate",
    "keys create --mine --name Import",
    "keys list --mine",
    "keys show x --mine",
    "keys update x --mine --name Import",
    "keys rotate x --mine",
    "keys delete x --mine --yes x",
    "keys rotate x",
    "keys delete x --yes x",
    "keys rotate-signing",
    "webhooks create --url https://example.com --events customer.created",
    "webhooks list",
    "webhooks show x",
    "webhooks update x --active false",
    "webhooks deliveries x",
    "webhooks resend x",
    "webhooks resend x y",
    "webhooks give-up x y",
    "webhooks rotate x",
    "webhooks end-old-secret x",
    "webhooks test x",
    "webhooks delete x --yes x",
    "apps create --name App --scopes read:customers",
    "apps list",
    "apps show x",
    "apps update x --name App",
    "apps rotate-secret x",
    "apps revoke-token x",
    "apps revoke-token x --validate-only",
    "apps delete x --yes x",
    "deletions list",
    "deletions show x",
    "deletions items x",
    "deletions effects x",
    "deletions restore x",
    "deletions stop x",
    "billing show",
    "billing set --prorate true",
    "billing subscriptions",
    "billing checkout --price x --success-url https://example.com",
    "billing portal --return-url https://example.com",
    "billing link x --reason Moves",
    "billing unlink x --reason Moves",
    "effects list",
    "effects show x",
    "effects retry x --reason Again",
    "effects give-up x --reason Done",
    "exports create",
    "exports create --customer x",
    "exports list",
    "exports show x",
    "exports delete x",
    "holds place --reason Case",
    "holds place --customer x --reason Case",
    "holds place --member x --reason Case",
    "holds list",
    "holds show x",
    "holds release x --reason Over",
    "requirements show",
    "requirements set customer --reason",
    "approvals give",
    "approvals give --customer x",
    "approvals give --member x",
    "approvals give --requirements",
    "approvals list",
    "approvals withdraw x",
    "retention",
    "find acme",
    "audit tail",
];

/// Commands that read something from standard input.
const SPOKEN: &[(&str, &str)] = &[
    ("users create --email ada@example.com", "correct horse battery staple\n"),
    ("users password", "correct horse battery staple\nanother long password\n"),
    ("invites accept", "c0ffee\n"),
    ("sign-in --email ada@example.com", "correct horse battery staple\n"),
    ("sign-out", ""),
];

/// Operations without a command of their own.
const WITHOUT: &[(&str, Why)] = &[
    ("refresh", Why::Because("a session that has ended is renewed by the command that finds it so")),
    ("updateCustomer", Why::Same("patchCustomer")),
    ("CustomersController_remove", Why::Same("customerDelete")),
    ("planCustomerDeletion", Why::Same("customerPlanDeletion")),
    ("watchDeletion", Why::Because("`deletions watch` asks for the record again and again, which outlives a server that is started again")),
    ("createOauthToken", Why::Because("tokens of an app are for the app's program")),
    ("refreshOauthToken", Why::Because("tokens of an app are for the app's program")),
    ("oauthToken", Why::Because("tokens of an app are for the app's program")),
    ("oauthRevoke", Why::Because("tokens of an app are for the app's program")),
    ("oauthIntrospect", Why::Because("tokens of an app are for the app's program")),
    ("oauthMetadata", Why::Because("for programs")),
    ("accountWhoami", Why::Same("readMe")),
    ("accountListPreferences", Why::Because("for products; people set them on the dashboard")),
    ("accountListOrganizations", Why::Same("listOrganizations")),
    ("accountCreateOrganization", Why::Same("createOrganization")),
    ("accountReadOrganization", Why::Same("readOrganization")),
    ("accountUpdateOrganization", Why::Same("updateOrganization")),
    ("accountDeleteOrganization", Why::Same("OrganizationsController_delete")),
    ("accountListMembers", Why::Same("listMembers")),
    ("accountInviteMember", Why::Same("inviteMember")),
    ("accountReadMember", Why::Same("readMember")),
    ("accountChangeRole", Why::Same("changeRole")),
    ("apps_accounts_api_members_remove_member", Why::Same("removeMember")),
    ("accountListApiKeys", Why::Same("listApiKeys")),
    ("accountCreateApiKey", Why::Same("createApiKey")),
    ("accountReadApiKey", Why::Same("readApiKey")),
    ("accountUpdateApiKey", Why::Same("updateApiKey")),
    ("accountRotateApiKey", Why::Same("rotateApiKey")),
    ("accountRevokeApiKey", Why::Same("revokeApiKey")),
    ("customerList", Why::Same("listCustomers")),
    ("customerCreate", Why::Same("createCustomer")),
    ("customerUpdate", Why::Same("patchCustomer")),
    ("customerAddScreen", Why::Because("a pass is used by the product that sold it")),
    ("dashboardSignIn", Why::Because("a page")),
    ("dashboardSignInSubmit", Why::Because("a page")),
    ("dashboardSignOut", Why::Because("a page")),
    ("dashboardPreferences", Why::Because("a page")),
    ("dashboardPreferencesSubmit", Why::Because("a page")),
    ("dashboardAsset", Why::Because("a page")),
    ("home", Why::Because("a page")),
    ("live", Why::Because("for whatever supervises the server")),
    ("ready", Why::Because("for whatever supervises the server")),
    ("metrics", Why::Because("for Prometheus")),
    ("hearStripeEvent", Why::Because("for Stripe")),
    ("followAudit", Why::Because("for programs that keep a copy; `audit tail --follow --json` is for people")),
    ("listOperators", Why::Because("`operators list` reads the database itself: the first operator has to come from somewhere")),
    ("addOperator", Why::Because("`operators add` changes the database itself")),
    ("removeOperator", Why::Because("`operators remove` changes the database itself")),
    ("jwks", Why::Because("for programs")),
    ("openapi", Why::Because("documentation")),
    ("openapiOrganizations", Why::Because("documentation")),
    ("openapiAccount", Why::Because("documentation")),
    ("openapiCustomer", Why::Because("documentation")),
    ("docs", Why::Because("documentation")),
    ("operationPage", Why::Because("documentation")),
    ("errorPage", Why::Because("documentation")),
    ("llms", Why::Because("documentation")),
];

/// Why an operation has no command.
enum Why {
    /// The command reaches this one, which does the same on another surface.
    Same(&'static str),
    Because(&'static str),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_reached_by_a_command_or_has_a_reason_not_to_be() {
    let server = Server::start(Engine::Sqlite, &[]).await;
    let document = expect(server.request(Method::GET, "/openapi.json"), StatusCode::OK).await;
    let (asked, stand_in) = stand_in().await;

    let signed_in = Shell::at(&stand_in).with("FREEHOLD_TOKEN", "t").with("FREEHOLD_ORGANIZATION", "x");
    let by_key = Shell::at(&stand_in).with("FREEHOLD_API_KEY", "k").with("FREEHOLD_ORGANIZATION", "x");
    let (signed_in, by_key) = (&signed_in, &by_key);
    let run = |line: &'static str| async move {
        let shell = if line == "keys validate" { by_key } else { signed_in };
        (line, shell.run(line).await)
    };
    let ended: Vec<(&str, Said)> = stream::iter(LINES.iter().copied()).map(run).buffer_unordered(4).collect().await;
    for (line, said) in ended {
        assert_eq!(said.code, 0, "{line}: {said:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let said = signed_in.run(&format!("exports download x --to {}", folder.path().display())).await;
    assert_eq!(said.code, 0, "{said:?}");
    let at_home = Shell::at(&stand_in);
    for (line, input) in SPOKEN {
        let shell = if line.starts_with("sign-") { &at_home } else { signed_in };
        let said = shell.run_with(line, input).await;
        assert_eq!(said.code, 0, "{line}: {said:?}");
    }

    let operations = operations(&document);
    let asked = asked.lock().unwrap().clone();
    let reached: BTreeSet<&str> = asked.iter().filter_map(|(method, path)| find(&operations, method, path)).collect();
    for (method, path) in &asked {
        assert!(find(&operations, method, path).is_some(), "the command line asks for {method} {path}, which is not documented");
    }
    for (id, _, _) in &operations {
        let listed = WITHOUT.iter().find(|(without, _)| without == id);
        match listed {
            None => assert!(reached.contains(id.as_str()), "no command reaches {id}: make one, or say here why there is none"),
            Some((_, why)) => {
                assert!(!reached.contains(id.as_str()), "{id} is reached by a command and listed as one that is not");
                match why {
                    Why::Same(other) => assert!(reached.contains(other), "{id} has no command because {other} has one, which it has not"),
                    Why::Because(reason) => println!("{id} has no command: {reason}"),
                }
            }
        }
    }
    for (id, _) in WITHOUT {
        assert!(operations.iter().any(|(known, _, _)| known == id), "{id} is listed and no operation");
    }
    println!("{} operations, {} reached by commands", operations.len(), reached.len());
}

/// Id, method and address of every operation.
fn operations(document: &Json) -> Vec<(String, String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(method, said)| (path, method, said)));
    each.filter_map(|(path, method, said)| Some((said["operationId"].as_str()?.to_owned(), method.to_uppercase(), path.clone()))).collect()
}

/// The operation that answers an address: of several the one that has the most of it in its own words.
fn find<'a>(operations: &'a [(String, String, String)], method: &str, path: &str) -> Option<&'a str> {
    let segments: Vec<&str> = path.split('/').collect();
    let literal = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        let fits = parts.len() == segments.len() && parts.iter().zip(&segments).all(|(part, given)| part.starts_with('{') || part == given);
        fits.then(|| parts.iter().filter(|part| !part.starts_with('{')).count())
    };
    let of_method = operations.iter().filter(|(_, known, _)| known == method);
    let fitting = of_method.filter_map(|(id, _, template)| Some((literal(template)?, id.as_str())));
    fitting.max_by_key(|(literal, _)| *literal).map(|(_, id)| id)
}

type Asked = Arc<Mutex<BTreeSet<(String, String)>>>;

/// A server that writes down what is asked of it. Its one answer has all that commands look for.
async fn stand_in() -> (Asked, String) {
    let asked = Asked::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(asked.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (asked, address)
}

async fn answer(State(asked): State<Asked>, request: Request) -> Response {
    asked.lock().unwrap().insert((request.method().to_string(), request.uri().path().to_owned()));
    let body = json!({
        "id": "x", "slug": "x", "email": "x", "clientId": "x", "plan": "p", "count": 1, "state": "restored", "blockers": [], "tables": [],
        "data": [], "pagination": {}, "access_token": "a", "refresh_token": "r",
        "organization": {}, "member": {}, "customer": {},
    });
    (StatusCode::OK, [("deletion-id", "x"), ("etag", "\"1\"")], axum::Json(body)).into_response()
}
