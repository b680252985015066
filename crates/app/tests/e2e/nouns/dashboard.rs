//! The dashboard: preferences are taken on a page and read through the account API.

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::{Engine, PASSWORD, Server, expect, header};
use crate::tools::{answered, refused};

const PREFERENCES: &str = "/dashboard/preferences";
const SIGN_IN: &str = "/dashboard/sign-in";

/// A request as a browser sends it that shows where it is sent.
fn browse(server: &Server, method: Method, path: &str) -> RequestBuilder {
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    client.request(method, format!("{}{path}", server.url))
}

/// A form as a browser sends it.
fn submit(server: &Server, path: &str, form: &str) -> RequestBuilder {
    let request = browse(server, Method::POST, path).header("Sec-Fetch-Site", "same-origin");
    request.header("Content-Type", "application/x-www-form-urlencoded").body(form.to_owned())
}

fn sign_in_form(email: &str, password: &str) -> String {
    format!("email={}&password={}", email.replace('@', "%40"), password.replace(' ', "+"))
}

/// Signs in with the form and returns the cookie.
async fn sign_in(server: &Server, email: &str) -> String {
    let answer = answered(submit(server, SIGN_IN, &sign_in_form(email, PASSWORD)), StatusCode::SEE_OTHER).await;
    assert_eq!(header(&answer, "location"), PREFERENCES);
    header(&answer, "set-cookie").split(';').next().unwrap().to_owned()
}

fn is_strict(answer: &Response) {
    let policy = header(answer, "content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
}

on_both_engines! {
    async fn preferences_are_taken_without_scripts_and_read_through_the_account_api(server: Server) {
        let person = server.new_person().await;
        let answer = answered(browse(&server, Method::GET, PREFERENCES), StatusCode::SEE_OTHER).await;
        assert_eq!(header(&answer, "location"), SIGN_IN);
        let cookie = sign_in(&server, &person.email).await;
        let read = || expect(server.request(Method::GET, "/account/api/v1/preferences").bearer_auth(&person.token), StatusCode::OK);
        assert_eq!(read().await, json!([]));
        // A form sends every trait, most of them as they were.
        let form = "celery=NEUTRAL&peanuts=AVOID&vegan=PREFER&halal=REQUIRE&organic=NEUTRAL";
        let answer = answered(submit(&server, PREFERENCES, form).header("Cookie", &cookie), StatusCode::SEE_OTHER).await;
        assert_eq!(header(&answer, "location"), "/dashboard/preferences?saved=1");
        let entry = |name: &str, label: &str, category: &str, stance: &str| {
            json!({"trait": name, "trait_label": label, "category": category, "stance": stance})
        };
        let wanted = [
            entry("peanuts", "Peanuts", "ALLERGEN", "AVOID"),
            entry("vegan", "Vegan", "DIETARY", "PREFER"),
            entry("halal", "Halal", "RELIGIOUS", "REQUIRE"),
        ];
        assert_eq!(read().await, json!(wanted));
        let page = answered(browse(&server, Method::GET, header(&answer, "location")).header("Cookie", &cookie), StatusCode::OK).await;
        is_strict(&page);
        let page = page.text().await.unwrap();
        assert!(page.contains("Saved. You have a stance on 3 of 28."), "{page}");
        assert!(page.contains(r#"<option value="AVOID" selected>"#) && page.contains(&person.email), "{page}");
        // Taken back, it is told as neutral to a client that keeps a copy.
        answered(submit(&server, PREFERENCES, "peanuts=NEUTRAL").header("Cookie", &cookie), StatusCode::SEE_OTHER).await;
        assert_eq!(read().await[0], entry("peanuts", "Peanuts", "ALLERGEN", "NEUTRAL"));
        assert_eq!(read().await.as_array().unwrap().len(), 3);
    }

    async fn a_form_that_sends_itself_gets_a_part_of_the_page_back(server: Server) {
        let person = server.new_person().await;
        let cookie = sign_in(&server, &person.email).await;
        let form = submit(&server, PREFERENCES, "milk=AVOID").header("HX-Request", "true");
        let answer = answered(form.try_clone().unwrap().header("Cookie", &cookie), StatusCode::OK).await;
        is_strict(&answer);
        assert_eq!(answer.text().await.unwrap(), r#"<p id="outcome" role="status">Saved. You have a stance on 1 of 28.</p>"#);
        let answer = answered(form, StatusCode::UNAUTHORIZED).await;
        assert_eq!(header(&answer, "hx-redirect"), SIGN_IN);
    }

    async fn stances_that_are_none_are_refused_and_nothing_is_taken(server: Server) {
        let person = server.new_person().await;
        let cookie = sign_in(&server, &person.email).await;
        for form in ["peanuts=AVOID&milk=MAYBE", "peanuts=AVOID&unicorns=PREFER", "peanuts=avoid", "peanuts=AVOID&%00=AVOID"] {
            refused(submit(&server, PREFERENCES, form).header("Cookie", &cookie), StatusCode::BAD_REQUEST).await;
        }
        let as_json = browse(&server, Method::POST, PREFERENCES).header("Cookie", &cookie).json(&json!({"peanuts": "AVOID"}));
        refused(as_json, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
        let read = server.request(Method::GET, "/account/api/v1/preferences").bearer_auth(&person.token);
        assert_eq!(expect(read, StatusCode::OK).await, json!([]));
    }

    async fn other_sites_neither_take_stances_nor_sign_people_in(server: Server) {
        let person = server.new_person().await;
        let cookie = sign_in(&server, &person.email).await;
        for (path, form) in [
            (PREFERENCES, "peanuts=AVOID".to_owned()),
            ("/dashboard/sign-out", String::new()),
            (SIGN_IN, sign_in_form(&person.email, PASSWORD)),
        ] {
            let request = browse(&server, Method::POST, path).header("Content-Type", "application/x-www-form-urlencoded").body(form);
            let request = request.header("Cookie", &cookie).header("Origin", "https://elsewhere.example");
            refused(request.try_clone().unwrap().header("Sec-Fetch-Site", "cross-site"), StatusCode::FORBIDDEN).await;
            refused(request, StatusCode::FORBIDDEN).await;
        }
        answered(browse(&server, Method::GET, PREFERENCES).header("Cookie", &cookie), StatusCode::OK).await;
    }

    async fn a_wrong_password_shows_the_form_again_with_nothing_of_the_page_in_the_sender_s_hands(server: Server) {
        let person = server.new_person().await;
        let answer = answered(submit(&server, SIGN_IN, &sign_in_form(&person.email, "wrong")), StatusCode::UNAUTHORIZED).await;
        is_strict(&answer);
        let page = answer.text().await.unwrap();
        assert!(page.contains("No account has this address and this password.") && page.contains(&person.email), "{page}");
        let answer = answered(submit(&server, SIGN_IN, "email=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&password=x"), StatusCode::UNAUTHORIZED).await;
        let page = answer.text().await.unwrap();
        assert!(!page.contains("<script>alert") && page.contains("&#60;script&#62;"), "{page}");
        answered(submit(&server, SIGN_IN, "email=%00&password=%00"), StatusCode::UNAUTHORIZED).await;
        answered(submit(&server, SIGN_IN, ""), StatusCode::UNAUTHORIZED).await;
    }

    async fn signing_out_ends_the_session(server: Server) {
        let person = server.new_person().await;
        let cookie = sign_in(&server, &person.email).await;
        let answer = answered(browse(&server, Method::GET, SIGN_IN).header("Cookie", &cookie), StatusCode::SEE_OTHER).await;
        assert_eq!(header(&answer, "location"), PREFERENCES);
        let answer = answered(submit(&server, "/dashboard/sign-out", "").header("Cookie", &cookie), StatusCode::SEE_OTHER).await;
        assert!(header(&answer, "set-cookie").starts_with("sessionid=; Path=/; Max-Age=0"));
        let answer = answered(browse(&server, Method::GET, PREFERENCES).header("Cookie", &cookie), StatusCode::SEE_OTHER).await;
        assert_eq!(header(&answer, "location"), SIGN_IN);
        answered(browse(&server, Method::GET, SIGN_IN).header("Cookie", &cookie), StatusCode::OK).await;
        answered(submit(&server, "/dashboard/sign-out", ""), StatusCode::SEE_OTHER).await;
    }

    async fn everything_a_page_loads_comes_from_this_server(server: Server) {
        let page = answered(browse(&server, Method::GET, SIGN_IN), StatusCode::OK).await.text().await.unwrap();
        let loaded: Vec<&str> = page.split(['"', '\'']).filter(|part| part.contains("/assets/")).collect();
        assert_eq!(loaded, ["/dashboard/assets/dashboard.css", "/dashboard/assets/htmx.min.js"]);
        for (path, kind) in std::iter::zip(loaded, ["text/css; charset=utf-8", "text/javascript; charset=utf-8"]) {
            let answer = answered(browse(&server, Method::GET, path), StatusCode::OK).await;
            assert_eq!((header(&answer, "content-type"), header(&answer, "x-content-type-options")), (kind, "nosniff"));
        }
        refused(browse(&server, Method::GET, "/dashboard/assets/other.js"), StatusCode::NOT_FOUND).await;
    }

    async fn a_key_reads_preferences_with_the_scope_for_the_user(server: Server) {
        let organization = server.new_organization().await;
        let read = |key: &str| server.request(Method::GET, "/account/api/v1/preferences").header("X-API-Key", key);
        let (_, may) = server.new_api_key(&organization, &organization.owner.token, &["read:user"]).await;
        let (_, may_not) = server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
        assert_eq!(expect(read(&may), StatusCode::OK).await, json!([]));
        refused(read(&may_not), StatusCode::FORBIDDEN).await;
        refused(server.request(Method::GET, "/account/api/v1/preferences"), StatusCode::UNAUTHORIZED).await;
    }
}
