//! Access tokens: JSON Web Tokens (RFC 7519) signed with ES256, whose public keys anyone may read as a JWK set (RFC 7517).
//!
//! A good signature is not enough here: the session behind a token must be alive, see `credentials.rs`. Parties that verify tokens on
//! their own see only signature and expiry.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::hex::hex;
use crate::{Error, Result};

/// What access tokens of OAuth apps begin with.
pub(crate) const ACCESS_PREFIX: &str = "fho_";
/// 256 bits.
pub(crate) const SECRET_LENGTH: usize = 43;

/// What an access token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// The server's public address.
    pub iss: String,
    /// Who shall take it: this server too. None in tokens of before (RFC 9068).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// The token's own id. None in tokens of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Who asked for it: [`SIGN_IN`]. None in tokens of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The user.
    pub sub: Uuid,
    /// The session that must be alive.
    pub sid: Uuid,
    /// The only organization the token is good for, if it is bound to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<Uuid>,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Expires at, in seconds since 1970.
    pub exp: i64,
}

/// The client of tokens that people get by signing in here.
pub(crate) const SIGN_IN: &str = "freehold";
/// The type of access tokens (RFC 9068, section 2.1).
const ACCESS_TOKEN: &str = "at+jwt";

impl Claims {
    pub(crate) fn expires_at(&self) -> Result<Timestamp> {
        Timestamp::from_second(self.exp).map_err(|_| Error::Unauthenticated)
    }
}

/// A key that signs, and how to verify with it.
pub(crate) struct TokenKey {
    /// The header `kid` of what it signs.
    pub(crate) id: String,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// Until when it verifies. None for the one that signs.
    pub(crate) retires_at: Option<Timestamp>,
    signing: EncodingKey,
    verifying: DecodingKey,
    x: String,
    y: String,
}

impl TokenKey {
    /// A new key, as a document of PKCS #8.
    pub(crate) fn generate() -> Result<Vec<u8>> {
        #[expect(clippy::disallowed_methods, reason = "the library makes its keys from the system's randomness only")]
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Ok(document.map_err(|_| Error::Internal("no signing key could be made".into()))?.as_ref().to_vec())
    }

    /// The key in a document of PKCS #8.
    pub(crate) fn of(document: &[u8], created_at: Timestamp, retires_at: Option<Timestamp>) -> Result<TokenKey> {
        // jsonwebtoken wants its crypto library named once a process; a second time is refused and changes nothing.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document)
            .map_err(|error| Error::Internal(format!("the signing key in the database: {error}")))?;
        // An uncompressed point (SEC 1): 0x04, then x and y of 32 bytes each.
        let point = pair.public_key().as_ref();
        let (x, y) = (base64url(&point[1..33]), base64url(&point[33..65]));
        let verifying = DecodingKey::from_ec_components(&x, &y).map_err(|error| Error::Internal(format!("the signing key: {error}")))?;
        Ok(TokenKey { id: key_id(point), created_at, retires_at, signing: EncodingKey::from_ec_der(document), verifying, x, y })
    }

    pub(crate) fn is_good(&self, now: Timestamp) -> bool {
        self.retires_at.is_none_or(|until| until > now)
    }

    pub(crate) fn sign(&self, claims: &Claims) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        header.typ = Some(ACCESS_TOKEN.into());
        jsonwebtoken::encode(&header, claims, &self.signing).map_err(|error| Error::Internal(format!("signing a token: {error}")))
    }

    pub(crate) fn jwk(&self) -> JsonWebKey {
        let (kid, x, y) = (self.id.clone(), self.x.clone(), self.y.clone());
        JsonWebKey { kty: "EC", crv: "P-256", alg: "ES256", r#use: "sig", kid, x, y }
    }
}

/// The keys that verify this server's access tokens.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct JsonWebKeySet {
    /// The first signs.
    pub keys: Vec<JsonWebKey>,
}

/// A public key (RFC 7517).
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct JsonWebKey {
    #[schemars(length(min = 1, max = 10), example = &"EC")]
    kty: &'static str,
    #[schemars(length(min = 1, max = 10), example = &"P-256")]
    crv: &'static str,
    #[schemars(length(min = 1, max = 10), example = &"ES256")]
    alg: &'static str,
    #[schemars(length(min = 1, max = 10), example = &"sig")]
    r#use: &'static str,
    /// What tokens call it in their header.
    #[schemars(length(min = 1, max = 64), example = &"2f6d5c4b3a291807")]
    pub kid: String,
    #[schemars(length(min = 1, max = 64), example = &"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")]
    x: String,
    #[schemars(length(min = 1, max = 64), example = &"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")]
    y: String,
}

/// What a token says that one of these keys has signed.
pub(crate) fn verify(keys: &[TokenKey], token: &str, issuer: &str, now: Timestamp) -> Result<Claims> {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[issuer]);
    // The library would ask the system's clock; expiry is checked against this request's instead.
    validation.validate_exp = false;
    // Below, since tokens of before have none.
    validation.validate_aud = false;
    let header = jsonwebtoken::decode_header(token).map_err(|_| Error::Unauthenticated)?;
    let is_named = |key: &&TokenKey| header.kid.as_deref() == Some(key.id.as_str()) && key.is_good(now);
    let key = keys.iter().find(is_named).ok_or(Error::Unauthenticated)?;
    let claims: Claims = jsonwebtoken::decode(token, &key.verifying, &validation).map_err(|_| Error::Unauthenticated)?.claims;
    let is_typed = header.typ.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case(ACCESS_TOKEN));
    if is_typed != claims.aud.is_some() || claims.aud.as_deref().is_some_and(|audience| audience != issuer) {
        return Err(Error::Unauthenticated);
    }
    if claims.exp <= now.as_second() { Err(Error::Unauthenticated) } else { Ok(claims) }
}

fn key_id(point: &[u8]) -> String {
    hex(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, point).as_ref()[..8])
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

/// A secret of 256 random bits, as 64 hexadecimal digits: cookies, refresh tokens, invitations.
pub(crate) fn secret() -> Result<String> {
    Ok(hex(&deletion::random::<32>()?))
}

const ALPHANUMERIC: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Random digits and letters, each as likely as any other: 43 of them are 256 bits.
pub(crate) fn alphanumeric(length: usize) -> Result<String> {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // Bytes of 248 and more would make some characters likelier than others: 248 is 4 times 62.
        let fair = deletion::random::<64>()?.into_iter().filter(|byte| *byte < 248);
        text.extend(fair.take(length - text.len()).map(|byte| char::from(ALPHANUMERIC[usize::from(byte % 62)])));
    }
    Ok(text)
}

/// Whether a text has the form of an access token of an OAuth app: the cheap test before any look-up.
pub(crate) fn is_access_token(text: &str) -> bool {
    text.strip_prefix(ACCESS_PREFIX).is_some_and(|secret| is_secret(secret, SECRET_LENGTH))
}

pub(crate) fn is_secret(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    const ISSUER: &str = "https://freehold.example";

    fn signed(key: &TokenKey, header: &Json, claims: &Json) -> String {
        let message = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key.signing, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }

    #[test]
    fn a_well_signed_token_is_refused_when_a_claim_is_of_another_type_or_an_extension_is_unknown() {
        let keys = [TokenKey::of(&TokenKey::generate().unwrap(), Timestamp::UNIX_EPOCH, None).unwrap()];
        let now = Timestamp::from_second(1_000).unwrap();
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": keys[0].id});
        let claims = json!({"iss": ISSUER, "sub": uuid::Uuid::nil(), "sid": uuid::Uuid::nil(), "org": null, "iat": 0, "exp": 2_000});
        let with = |object: &Json, name: &str, value: Json| {
            let mut changed = object.clone();
            changed[name] = value;
            changed
        };
        let is_good = |header: &Json, claims: &Json| verify(&keys, &signed(&keys[0], header, claims), ISSUER, now).is_ok();
        assert!(is_good(&header, &claims));
        for (name, value) in [
            ("iss", json!([ISSUER])),
            ("iss", json!([ISSUER, "https://other.example"])),
            ("iss", json!({"0": ISSUER})),
            ("iss", json!(1)),
            ("iss", Json::Null),
            ("iss", json!("https://other.example")),
            ("sub", json!([uuid::Uuid::nil()])),
            ("sub", json!(7)),
            ("aud", json!({"x": 1})),
            ("exp", json!("2000")),
            ("exp", json!(999)),
        ] {
            assert!(!is_good(&header, &with(&claims, name, value.clone())), "{name}: {value}");
        }
        for (name, value) in [
            ("crit", json!(["unknown"])),
            ("crit", json!(["b64"])),
            ("alg", json!("none")),
            ("alg", json!("HS256")),
            ("kid", json!("another")),
        ] {
            assert!(!is_good(&with(&header, name, value.clone()), &claims), "{name}: {value}");
        }
    }
}
