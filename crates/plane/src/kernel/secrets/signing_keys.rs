//! The keys that sign access tokens with ES256: one signs, and those that it has replaced verify until the last token that they signed has
//! ended. Anyone may read the public ones as a JWK set (RFC 7517).

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use sql::{Database, Tx, params, sql};

use crate::encryption::{Encryption, SIGNING_KEYS};
use crate::hex::hex;
use crate::tokens::{ACCESS_TOKEN, Claims};
use crate::{Error, Result};

/// The keys of a server. The first signs.
pub(crate) struct SigningKeys(RwLock<Arc<Vec<TokenKey>>>);

impl SigningKeys {
    /// Loads them, or makes the first.
    pub(crate) async fn load(db: &Database, encryption: &Encryption, now: Timestamp) -> Result<SigningKeys> {
        let encryption = encryption.clone();
        let keys = db.write(async move |tx| {
            let keys = load(tx, &encryption).await?;
            if keys.first().is_some_and(|first| first.retires_at.is_none()) {
                return Ok(keys);
            }
            make(tx, &encryption, now).await?;
            load(tx, &encryption).await
        });
        Ok(SigningKeys(RwLock::new(Arc::new(keys.await?))))
    }

    pub(crate) fn all(&self) -> Arc<Vec<TokenKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes up what a transaction has left, unless a later one came first.
    pub(crate) fn take_up(&self, keys: Vec<TokenKey>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let age = |keys: &[TokenKey]| keys.first().map(|first| first.created_at);
        if age(&keys) >= age(&all) {
            *all = Arc::new(keys);
        }
    }

    /// Takes up what the database has, unless something was taken up since `before`.
    pub(crate) fn take_up_after(&self, before: &Arc<Vec<TokenKey>>, keys: Vec<TokenKey>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&all, before) {
            *all = Arc::new(keys);
        }
    }

    pub(crate) fn sign(&self, claims: &Claims) -> Result<String> {
        self.all().first().ok_or_else(|| Error::Internal("there is no signing key".into()))?.sign(claims)
    }

    pub(crate) fn verify(&self, token: &str, issuer: &str, now: Timestamp) -> Result<Claims> {
        verify(&self.all(), token, issuer, now)
    }

    pub(crate) fn jwks(&self, now: Timestamp) -> JsonWebKeySet {
        JsonWebKeySet { keys: self.all().iter().filter(|key| key.is_good(now)).map(TokenKey::jwk).collect() }
    }
}

/// All of them, the one that signs first.
pub(crate) async fn load(tx: &mut Tx, encryption: &Encryption) -> Result<Vec<TokenKey>> {
    let statement =
        sql!("SELECT id, private_key, created_at, retires_at FROM signing_keys ORDER BY retires_at IS NOT NULL, created_at DESC, id");
    let key = |(id, kept, created_at, retires_at): (String, Vec<u8>, _, _)| {
        TokenKey::of(&encryption.decrypt(SIGNING_KEYS, id.as_bytes(), &kept)?, created_at, retires_at)
    };
    tx.read_all(statement, &[]).await?.into_iter().map(key).collect()
}

/// Makes a key that signs. Returns its id.
pub(crate) async fn make(tx: &mut Tx, encryption: &Encryption, now: Timestamp) -> Result<String> {
    let document = TokenKey::generate()?;
    let id = TokenKey::of(&document, now, None)?.id;
    let insert = sql!("INSERT INTO signing_keys (id, private_key, created_at) VALUES ($1, $2, $3)");
    tx.execute(insert, params![&id, encryption.encrypt(SIGNING_KEYS, id.as_bytes(), &document)?, now]).await?;
    Ok(id)
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
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
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
    hex(&digest(&SHA256, point).as_ref()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    const ISSUER: &str = "https://freehold.example";

    fn signed(key: &TokenKey, header: &Json, claims: &Json) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
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
