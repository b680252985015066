//! The session's cookie: out of reach for scripts, and of no use to other sites (W3C Fetch Metadata, RFC 6265).

use reqwest::{Method, StatusCode};

use crate::on_both_engines;
use crate::support::{Engine, Server};
use crate::tools::{Credential, Session, answered, new_customer, refused};

on_both_engines! {
    async fn the_cookie_is_for_this_site_and_not_for_scripts(server: Server) {
        let person = server.new_person().await;
        let first = Session::begin(&server, &person.email, None).await;
        let second = Session::read(answered(first.refresh(&server), StatusCode::OK).await).await;
        for session in [first, second] {
            let attributes: Vec<&str> = session.set_cookie.split("; ").skip(1).collect();
            assert_eq!(attributes, ["Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Lax"]);
            assert!(session.cookie.len() >= 32 && session.cookie.bytes().all(|character| character.is_ascii_alphanumeric()));
        }
    }

    async fn a_request_that_another_site_made_cannot_use_the_cookie(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        let session = Session::begin(&server, &organization.owner.email, Some(&organization.slug)).await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["read:user"]).await;
        let paths = [
            "/customer/user123".to_owned(),
            format!("/api/organizations/{}", organization.id),
            format!("/account/api/v1/organizations/{}", organization.id),
        ];
        let own = server.url.clone();
        let foreign = [
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
            ("Origin", "https://evil.example"),
            ("Origin", "null"),
            ("Origin", "http://127.0.0.1:1"),
        ];
        for path in &paths {
            for (name, value) in foreign {
                let request = server.request(Method::DELETE, path).header(name, value);
                let body = refused(Credential::Cookie(session.cookie.clone()).on(request), StatusCode::FORBIDDEN).await;
                assert_eq!(body["detail"], "A request of another site cannot use this site's cookie.");
            }
        }
        let request = server.request(Method::POST, "/api/auth/sign-out").header("Sec-Fetch-Site", "cross-site").header("Origin", &own);
        refused(Credential::Cookie(session.cookie.clone()).on(request), StatusCode::FORBIDDEN).await;
        // Reading changes nothing, and what a script of another site got to see is the browser's affair.
        let request = server.request(Method::GET, "/customer/user123").header("Sec-Fetch-Site", "cross-site");
        answered(Credential::Cookie(session.cookie.clone()).on(request), StatusCode::OK).await;
        // Only a browser adds a credential by itself.
        let request = server.request(Method::DELETE, "/api/deletions").header("Sec-Fetch-Site", "cross-site");
        refused(Credential::Key(key).on(request), StatusCode::METHOD_NOT_ALLOWED).await;
    }

    async fn a_request_of_this_site_or_of_no_browser_can(server: Server) {
        let organization = server.new_organization().await;
        let session = Session::begin(&server, &organization.owner.email, Some(&organization.slug)).await;
        let own = server.url.clone();
        let friendly = [None, Some(("Sec-Fetch-Site", "same-origin")), Some(("Sec-Fetch-Site", "none")), Some(("Origin", own.as_str()))];
        for headers in friendly {
            new_customer(&server, &organization, "user123", None).await;
            let mut request = server.request(Method::DELETE, "/customer/user123?hard=true");
            if let Some((name, value)) = headers {
                request = request.header(name, value);
            }
            answered(Credential::Cookie(session.cookie.clone()).on(request), StatusCode::OK).await;
        }
    }

    async fn a_bearer_is_unaffected_by_where_the_request_came_from(server: Server) {
        let organization = server.new_organization().await;
        for (name, value) in [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://elsewhere.example")] {
            new_customer(&server, &organization, "user123", None).await;
            let request = server.request(Method::DELETE, "/customer/user123?hard=true").header(name, value);
            answered(request.bearer_auth(&organization.owner.token), StatusCode::OK).await;
        }
    }

    async fn a_bad_header_is_not_made_good_by_a_cookie(server: Server) {
        let person = server.new_person().await;
        let session = Session::begin(&server, &person.email, None).await;
        let cookie = Credential::Cookie(session.cookie);
        let request = || cookie.on(server.request(Method::GET, "/api/users/me"));
        answered(request(), StatusCode::OK).await;
        refused(request().bearer_auth("nonsense"), StatusCode::UNAUTHORIZED).await;
        refused(request().header("X-API-Key", "nonsense"), StatusCode::UNAUTHORIZED).await;
        refused(request().header("Authorization", ""), StatusCode::UNAUTHORIZED).await;
        // Two credentials at once are none.
        let twice = server.request(Method::GET, "/api/users/me").bearer_auth(&person.token).header("Authorization", "Bearer nonsense");
        refused(twice, StatusCode::UNAUTHORIZED).await;
        let twice = server.request(Method::GET, "/api/users/me").bearer_auth(&person.token).bearer_auth(&person.token);
        refused(twice, StatusCode::UNAUTHORIZED).await;
    }

    async fn the_cookie_is_found_among_others(server: Server) {
        let person = server.new_person().await;
        let session = Session::begin(&server, &person.email, None).await;
        for cookies in [format!("a=b; sessionid={}; c=d", session.cookie), format!("a=b;sessionid={}", session.cookie)] {
            answered(server.request(Method::GET, "/api/users/me").header("Cookie", cookies), StatusCode::OK).await;
        }
        for cookies in [format!("xsessionid={}", session.cookie), format!("SESSIONID={}", session.cookie), session.cookie.clone()] {
            refused(server.request(Method::GET, "/api/users/me").header("Cookie", cookies), StatusCode::UNAUTHORIZED).await;
        }
    }
}
