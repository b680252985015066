//! The keys that sign and verify access tokens.

use super::Is::{Objects, Pattern, Text, Time};
use super::{Shape, optional, required};

pub(crate) static JWK: Shape = Shape::new(
    "JsonWebKey",
    "A public key (RFC 7517).",
    &[
        required("kty", Text(1, 10), "").like("EC"),
        required("crv", Text(1, 10), "").like("P-256"),
        required("alg", Text(1, 10), "").like("ES256"),
        required("use", Text(1, 10), "").like("sig"),
        required("kid", Text(1, 64), "").like("2f6d5c4b3a291807"),
        required("x", Text(1, 64), "").like("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
        required("y", Text(1, 64), "").like("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
    ],
);

pub(crate) static JWKS: Shape =
    Shape::new("JsonWebKeySet", "The keys that verify this server's access tokens.", &[required("keys", Objects(&JWK), "")]);

/// What tokens call a key.
const KID: super::Is = Pattern("^[0-9a-f]{16}$", 16);

pub(crate) static SIGNING_KEY: Shape = Shape::new(
    "SigningKey",
    "A key that signs access tokens.",
    &[
        required("kid", KID, "What tokens call it in their header.").like("2f6d5c4b3a291807"),
        required("created_at", Time, "When it began to sign."),
        optional("previous_until", Time, "Until when the key before it verifies; null if that ended at once."),
    ],
);
