//! The keys that sign access tokens: one signs, and those that it has replaced verify until the last token that they signed has ended.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use sql::{Database, Tx, params, sql};

use crate::encryption::{Encryption, SIGNING_KEYS};
use crate::tokens::{Claims, JsonWebKeySet, TokenKey, verify};
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
    let rows = tx.query(statement, &[]).await?.into_iter();
    rows.map(|mut row| {
        let (id, kept): (String, Vec<u8>) = (row.next()?, row.next()?);
        TokenKey::of(&encryption.decrypt(SIGNING_KEYS, id.as_bytes(), &kept)?, row.next()?, row.next()?)
    })
    .collect()
}

/// Makes a key that signs. Returns its id.
pub(crate) async fn make(tx: &mut Tx, encryption: &Encryption, now: Timestamp) -> Result<String> {
    let document = TokenKey::generate()?;
    let id = TokenKey::of(&document, now, None)?.id;
    let insert = sql!("INSERT INTO signing_keys (id, private_key, created_at) VALUES ($1, $2, $3)");
    tx.execute(insert, params![&id, encryption.encrypt(SIGNING_KEYS, id.as_bytes(), &document)?, now]).await?;
    Ok(id)
}
