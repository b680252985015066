//! Access tokens: JSON Web Tokens that anybody can verify with the published keys (RFC 7515, 7517, 7519), and everything that only looks
//! like one.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey};
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::encrypted::signing_keys;
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Session, answered, refused};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64url without padding (RFC 4648).
fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (place, byte)| word | u32::from(*byte) << (16 - 8 * place));
        text.extend((0..=chunk.len()).map(|place| char::from(ALPHABET[(word >> (18 - 6 * place) & 63) as usize])));
    }
    text
}

/// The reverse of [`encode`].
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in text.as_bytes().chunks(4) {
        let digit = |byte: &u8| ALPHABET.iter().position(|letter| letter == byte).unwrap() as u32;
        let word = chunk.iter().enumerate().fold(0_u32, |word, (place, byte)| word | digit(byte) << (18 - 6 * place));
        bytes.extend((0..chunk.len() - 1).map(|place| (word >> (16 - 8 * place)) as u8));
    }
    bytes
}

/// Header, claims and signature of a token.
fn parts(token: &str) -> (Json, Json, String) {
    let parts: Vec<&str> = token.split('.').collect();
    let json = |part: &str| serde_json::from_slice(&decode(part)).unwrap();
    assert_eq!(parts.len(), 3);
    (json(parts[0]), json(parts[1]), parts[2].to_owned())
}

fn unsigned(header: &Json, claims: &Json) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

/// A token with these parts, signed with a key as the server signs.
fn sign(key: &EcdsaKeyPair, header: &Json, claims: &Json) -> String {
    let text = unsigned(header, claims);
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", encode(signature.as_ref()))
}

/// The server's own key, out of its database.
async fn signing_key(server: &Server) -> EcdsaKeyPair {
    let document = signing_keys(server).await.pop().unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document).unwrap()
}

async fn published_key(server: &Server) -> Json {
    let set = expect(server.request(Method::GET, "/.well-known/jwks.json"), StatusCode::OK).await;
    assert_eq!(set["keys"].as_array().unwrap().len(), 1);
    set["keys"][0].clone()
}

async fn is_refused(server: &Server, token: &str) {
    refused(server.request(Method::GET, "/api/users/me").header("Authorization", format!("Bearer {token}")), StatusCode::UNAUTHORIZED)
        .await;
}

on_both_engines! {
    async fn anybody_can_verify_a_token_with_the_published_key(server: Server) {
        let organization = server.new_organization().await;
        let key = published_key(&server).await;
        let bound = Session::begin(&server, &organization.owner.email, Some(&organization.slug)).await.token;
        for (token, org) in [(&organization.owner.token, Json::Null), (&bound, json!(organization.id))] {
            let (header, claims, signature) = parts(token);
            assert_eq!((&header["alg"], &header["kid"], &header["typ"]), (&json!("ES256"), &key["kid"], &json!("at+jwt")));
            let mut point = vec![4];
            point.extend(decode(key["x"].as_str().unwrap()));
            point.extend(decode(key["y"].as_str().unwrap()));
            let signed = token.rsplit_once('.').unwrap().0;
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).verify(signed.as_bytes(), &decode(&signature)).unwrap();
            let me = expect(server.request(Method::GET, "/api/users/me").bearer_auth(token), StatusCode::OK).await;
            assert_eq!((&claims["sub"], &claims["org"]), (&me["id"], &org));
            assert_eq!(claims["iss"], server.url.replace("127.0.0.1", "localhost"));
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
        }
    }

    async fn an_access_token_is_what_rfc_9068_says_and_those_of_before_are_good_until_they_end(server: Server) {
        let person = server.new_person().await;
        let (header, claims, _) = parts(&person.token);
        let (_, others, _) = parts(&server.sign_in(&person.email, None).await);
        assert_eq!(header["typ"], "at+jwt");
        assert_eq!((&claims["aud"], &claims["client_id"]), (&claims["iss"], &json!("freehold")));
        assert!(claims["jti"].is_string() && claims["jti"] != others["jti"], "{claims}");
        let key = signing_key(&server).await;
        let with = |kind: Option<&str>, audience: Option<&str>| {
            let (mut header, mut claims) = (header.clone(), claims.clone());
            match kind {
                Some(kind) => header["typ"] = kind.into(),
                None => drop(header.as_object_mut().unwrap().remove("typ")),
            }
            match audience {
                Some(audience) => claims["aud"] = audience.into(),
                None => ["aud", "jti", "client_id"].iter().for_each(|name| drop(claims.as_object_mut().unwrap().remove(*name))),
            }
            sign(&key, &header, &claims)
        };
        let own = claims["iss"].as_str().unwrap();
        // As they were before, and as they are.
        for token in [with(Some("JWT"), None), with(None, None), with(Some("at+jwt"), Some(own)), with(Some("AT+JWT"), Some(own))] {
            answered(server.request(Method::GET, "/api/users/me").bearer_auth(token), StatusCode::OK).await;
        }
        let elsewhere = "https://elsewhere.example";
        for token in [with(Some("at+jwt"), None), with(Some("at+jwt"), Some(elsewhere)), with(Some("JWT"), Some(own)), with(None, Some(elsewhere))] {
            is_refused(&server, &token).await;
        }
    }

    async fn the_published_set_holds_public_keys_only_and_may_be_cached(server: Server) {
        let key = published_key(&server).await;
        let names: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["kty", "crv", "alg", "use", "kid", "x", "y"]);
        assert_eq!((&key["kty"], &key["crv"], &key["alg"], &key["use"]), (&json!("EC"), &json!("P-256"), &json!("ES256"), &json!("sig")));
        let answer = answered(server.request(Method::GET, "/.well-known/jwks.json"), StatusCode::OK).await;
        assert!(answer.headers()["cache-control"].to_str().unwrap().starts_with("public"));
    }

    async fn a_token_that_was_changed_anywhere_is_refused(server: Server) {
        let (person, other) = (server.new_person().await, server.new_person().await);
        let (header, claims, signature) = parts(&person.token);
        let (_, others_claims, _) = parts(&other.token);
        let with = |name: &str, value: Json| {
            let mut claims = claims.clone();
            claims[name] = value;
            format!("{}.{signature}", unsigned(&header, &claims))
        };
        let changed_signature = format!("{}{}", if signature.starts_with('A') { "B" } else { "A" }, &signature[1..]);
        let forgeries = [
            with("sub", others_claims["sub"].clone()),
            with("sid", others_claims["sid"].clone()),
            with("exp", json!(i64::MAX)),
            with("is_operator", json!(true)),
            format!("{}.{signature}", unsigned(&header, &others_claims)),
            format!("{}.{changed_signature}", unsigned(&header, &claims)),
            format!("{}.", unsigned(&header, &claims)),
            unsigned(&header, &claims),
            format!("{}.{}", unsigned(&header, &claims), encode(&[0; 64])),
            format!("{}A", person.token),
            format!("{}.", person.token),
            format!(".{}", person.token),
            person.token.replace('.', ""),
            person.token.to_lowercase(),
            "x".repeat(20_000),
            "..".to_owned(),
        ];
        for forgery in forgeries {
            is_refused(&server, &forgery).await;
        }
        answered(server.request(Method::GET, "/api/users/me").bearer_auth(&person.token), StatusCode::OK).await;
    }

    async fn no_other_algorithm_is_accepted(server: Server) {
        let person = server.new_person().await;
        let (header, claims, signature) = parts(&person.token);
        let key = published_key(&server).await;
        let with_algorithm = |algorithm: &str| {
            let mut header = header.clone();
            header["alg"] = algorithm.into();
            unsigned(&header, &claims)
        };
        for algorithm in ["none", "None", "NONE", "ES384", "RS256", "EdDSA", ""] {
            for signature in ["", signature.as_str()] {
                is_refused(&server, &format!("{}.{signature}", with_algorithm(algorithm))).await;
            }
        }
        // The public key, which everybody has, must not do as a shared secret.
        let mut point = vec![4];
        point.extend(decode(key["x"].as_str().unwrap()));
        point.extend(decode(key["y"].as_str().unwrap()));
        for secret in [point.as_slice(), key["x"].as_str().unwrap().as_bytes(), b""] {
            let text = with_algorithm("HS256");
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
            is_refused(&server, &format!("{text}.{}", encode(tag.as_ref()))).await;
        }
    }

    async fn a_token_brings_no_key_of_its_own(server: Server) {
        let person = server.new_person().await;
        let (header, claims, _) = parts(&person.token);
        let own = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        is_refused(&server, &sign(&own, &header, &claims)).await;
        let jwk = published_key(&server).await;
        for (name, value) in [("jwk", jwk), ("jku", json!("http://localhost/keys")), ("x5u", json!("http://localhost/keys"))] {
            let mut header = header.clone();
            header[name] = value;
            is_refused(&server, &sign(&own, &header, &claims)).await;
        }
    }

    async fn even_the_servers_own_signature_does_not_make_up_for_issuer_expiry_or_session(server: Server) {
        let person = server.new_person().await;
        let (header, claims, _) = parts(&person.token);
        let key = signing_key(&server).await;
        let with = |name: &str, value: Option<Json>| {
            let mut claims = claims.clone();
            match value {
                Some(value) => claims[name] = value,
                None => drop(claims.as_object_mut().unwrap().remove(name)),
            }
            sign(&key, &header, &claims)
        };
        let now = Timestamp::now().as_second();
        answered(server.request(Method::GET, "/api/users/me").bearer_auth(with("jti", Some(json!("harmless")))), StatusCode::OK).await;
        let bad = [
            with("exp", Some(json!(now))),
            with("exp", Some(json!(now - 86_400))),
            with("exp", Some(json!(0))),
            with("exp", Some(json!(-1))),
            with("exp", Some(json!(i64::MAX))),
            with("exp", Some(json!("tomorrow"))),
            with("exp", None),
            with("iss", Some(json!("https://elsewhere.example"))),
            with("iss", Some(json!(""))),
            with("iss", None),
            with("sid", Some(json!(uuid::Uuid::new_v4()))),
            with("sid", Some(json!("nonsense"))),
            with("sid", None),
        ];
        for token in bad {
            is_refused(&server, &token).await;
        }
        for kid in [Some(json!("another")), Some(json!("")), None] {
            let mut header = header.clone();
            match kid {
                Some(kid) => header["kid"] = kid,
                None => drop(header.as_object_mut().unwrap().remove("kid")),
            }
            is_refused(&server, &sign(&key, &header, &claims)).await;
        }
    }

    async fn a_token_of_another_server_is_refused(server: Server) {
        let person = server.new_person().await;
        let other = Server::start(server.engine, &[]).await;
        let theirs = other.new_person().await;
        assert_eq!(person.email, theirs.email);
        is_refused(&server, &theirs.token).await;
        is_refused(&other, &person.token).await;
        answered(server.request(Method::GET, "/api/users/me").bearer_auth(&person.token), StatusCode::OK).await;
    }
}
