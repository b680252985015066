//! What access tokens say, and random secrets. Access tokens are JSON Web Tokens (RFC 7519); what signs them is in `signing_keys.rs`.
//!
//! A good signature is not enough here: the session behind a token must be alive, see `credentials.rs`. Parties that verify tokens on
//! their own see only signature and expiry.

use jiff::Timestamp;
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
pub(crate) const ACCESS_TOKEN: &str = "at+jwt";

impl Claims {
    pub(crate) fn expires_at(&self) -> Result<Timestamp> {
        Timestamp::from_second(self.exp).map_err(|_| Error::Unauthenticated)
    }
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
