//! Sessions: what a sign-in hands out is rotated by a refresh and ends with the sign-out, all of it at once.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::store::Store;
use crate::support::{Engine, Server, expect, header};
use crate::tools::{Credential, Session, answered, change_database, refused};

const ME: &str = "/api/users/me";

/// Whether token, cookie and refresh token of a session are all dead.
async fn is_dead(server: &Server, session: &Session) {
    for credential in [Credential::Bearer(session.token.clone()), Credential::Cookie(session.cookie.clone())] {
        refused(credential.on(server.request(Method::GET, ME)), StatusCode::UNAUTHORIZED).await;
    }
    refused(session.refresh(server), StatusCode::UNAUTHORIZED).await;
}

/// Whether token and cookie of a session are both good.
async fn is_good(server: &Server, session: &Session) {
    for credential in [Credential::Bearer(session.token.clone()), Credential::Cookie(session.cookie.clone())] {
        answered(credential.on(server.request(Method::GET, ME)), StatusCode::OK).await;
    }
}

on_both_engines! {
    async fn a_sign_out_ends_token_cookie_and_refresh_token_at_once(server: Server) {
        let person = server.new_person().await;
        let other = Session::begin(&server, &person.email, None).await;
        for by_cookie in [false, true] {
            let session = Session::begin(&server, &person.email, None).await;
            is_good(&server, &session).await;
            let credential = if by_cookie { Credential::Cookie(session.cookie.clone()) } else { Credential::Bearer(session.token.clone()) };
            let sign_out = || credential.on(server.request(Method::POST, "/api/auth/sign-out"));
            let answer = answered(sign_out(), StatusCode::NO_CONTENT).await;
            assert!(header(&answer, "set-cookie").starts_with("sessionid=;") && header(&answer, "set-cookie").contains("Max-Age=0"));
            is_dead(&server, &session).await;
            refused(sign_out(), StatusCode::UNAUTHORIZED).await;
        }
        is_good(&server, &other).await;
        answered(server.request(Method::GET, ME).bearer_auth(&person.token), StatusCode::OK).await;
    }

    async fn a_refresh_token_is_good_once_and_takes_the_old_cookie_with_it(server: Server) {
        let person = server.new_person().await;
        let first = Session::begin(&server, &person.email, None).await;
        is_good(&server, &first).await;
        let second = Session::read(answered(first.refresh(&server), StatusCode::OK).await).await;
        is_good(&server, &second).await;
        refused(Credential::Cookie(first.cookie.clone()).on(server.request(Method::GET, ME)), StatusCode::UNAUTHORIZED).await;
        let third = Session::read(answered(second.refresh(&server), StatusCode::OK).await).await;
        answered(Credential::Bearer(third.token.clone()).on(server.request(Method::POST, "/api/auth/sign-out")), StatusCode::NO_CONTENT)
            .await;
        for session in [&first, &second, &third] {
            is_dead(&server, session).await;
        }
    }

    async fn a_used_refresh_token_ends_its_session_for_the_one_who_goes_on_with_it(server: Server) {
        let person = server.new_person().await;
        let other = Session::begin(&server, &person.email, None).await;
        let ends = async || Store::open(&server).await.number("SELECT count(*) FROM audit_entries WHERE action = 'session.end'").await;
        for generations in 1..=3 {
            let stolen = Session::begin(&server, &person.email, None).await;
            let mut newest = Session::read(answered(stolen.refresh(&server), StatusCode::OK).await).await;
            for _ in 1..generations {
                newest = Session::read(answered(newest.refresh(&server), StatusCode::OK).await).await;
            }
            is_good(&server, &newest).await;
            refused(stolen.refresh(&server), StatusCode::UNAUTHORIZED).await;
            is_dead(&server, &newest).await;
            // It is told once, in the trail.
            refused(stolen.refresh(&server), StatusCode::UNAUTHORIZED).await;
            assert_eq!(ends().await, generations);
        }
        is_good(&server, &other).await;
        // A token that was made up from the part that is always the same is no other case.
        let session = Session::begin(&server, &person.email, None).await;
        let made_up = format!("{}{}", &session.refresh_token[..22], "x".repeat(43));
        refused(server.request(Method::POST, "/api/auth/refresh").json(&json!({"refresh_token": made_up})), StatusCode::UNAUTHORIZED).await;
        is_dead(&server, &session).await;
    }

    async fn a_refresh_whose_answer_was_lost_can_be_repeated(server: Server) {
        let person = server.new_person().await;
        let session = Session::begin(&server, &person.email, None).await;
        let refresh = async || Session::read(answered(session.refresh(&server).header("Idempotency-Key", "one"), StatusCode::OK).await).await;
        let (lost, again) = (refresh().await, refresh().await);
        assert_eq!((lost.token, lost.refresh_token), (again.token.clone(), again.refresh_token.clone()));
        is_good(&server, &again).await;
    }

    async fn of_two_refreshes_at_once_one_wins(server: Server) {
        let person = server.new_person().await;
        let mut session = Session::begin(&server, &person.email, None).await;
        for _ in 0..10 {
            let (one, two) = tokio::join!(session.refresh(&server).send(), session.refresh(&server).send());
            let (one, two) = (one.unwrap(), two.unwrap());
            let (winner, loser) = if one.status() == StatusCode::OK { (one, two) } else { (two, one) };
            assert_eq!((winner.status(), loser.status()), (StatusCode::OK, StatusCode::UNAUTHORIZED));
            session = Session::read(winner).await;
        }
        is_good(&server, &session).await;
    }

    async fn a_refresh_takes_the_surfaces_spelling_too_and_nothing_but_a_refresh_token(server: Server) {
        let person = server.new_person().await;
        let session = Session::begin(&server, &person.email, None).await;
        let refresh = |token: &str| server.request(Method::POST, "/api/auth/refresh").json(&json!({"refreshToken": token}));
        for token in [session.token.as_str(), session.cookie.as_str(), "", "nonsense"] {
            refused(refresh(token), StatusCode::UNAUTHORIZED).await;
        }
        answered(refresh(&session.refresh_token), StatusCode::OK).await;
        let missing = refused(server.request(Method::POST, "/api/auth/refresh").json(&json!({})), StatusCode::BAD_REQUEST).await;
        assert_eq!(missing["errors"][0]["code"], "required");
    }

    async fn a_session_of_one_organization_is_a_stranger_everywhere_else(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let body = json!({"name": "Elsewhere", "slug": "elsewhere"});
        expect(server.request(Method::POST, "/api/organizations").bearer_auth(token).json(&body), StatusCode::CREATED).await;
        let bound = Session::begin(&server, &organization.owner.email, Some(&organization.slug)).await;
        let refreshed = Session::read(answered(bound.refresh(&server), StatusCode::OK).await).await;
        for token in [&bound.token, &refreshed.token] {
            let read = |path: &str| server.request(Method::GET, path).bearer_auth(token);
            answered(read(&format!("/api/organizations/{}", organization.slug)), StatusCode::OK).await;
            refused(read("/api/organizations/elsewhere"), StatusCode::FORBIDDEN).await;
            let listed = expect(read("/api/organizations"), StatusCode::OK).await;
            assert_eq!((&listed["pagination"]["totalCount"], &listed["data"][0]["id"]), (&json!(1), &json!(organization.id)));
            let body = json!({"name": "Third", "slug": "third"});
            refused(server.request(Method::POST, "/api/organizations").bearer_auth(token).json(&body), StatusCode::FORBIDDEN).await;
        }
    }

    async fn a_session_past_its_end_is_refused(server: Server) {
        let person = server.new_person().await;
        let session = Session::begin(&server, &person.email, None).await;
        change_database(&server, "UPDATE sessions SET expires_at = created_at").await;
        is_dead(&server, &session).await;
    }

    async fn an_api_key_has_no_session_to_end(server: Server) {
        let organization = server.new_organization().await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["read:user"]).await;
        let key = Credential::Key(key);
        refused(key.on(server.request(Method::POST, "/api/auth/sign-out")), StatusCode::FORBIDDEN).await;
        answered(key.on(server.request(Method::GET, ME)), StatusCode::OK).await;
    }
}
