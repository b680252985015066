//! Passwords: argon2id (RFC 9106), off the async threads and bounded, so that a flood of sign-ins costs neither latency nor memory.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::attempts::Counted;
use crate::{Error, Result, cx};

/// Hashes computed at one time; each takes 19 MiB (OWASP's minimum for argon2id, the default of the library).
const AT_ONCE: usize = 4;
/// How long a caller waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Hasher {
    turns: Arc<Semaphore>,
    /// Verified in place of an unknown user's hash, so that an answer takes as long whether or not the user exists.
    decoy: String,
}

impl Hasher {
    pub(crate) fn new() -> Result<Hasher> {
        let decoy = hash(&hex(&cx::random::<16>()?))?;
        Ok(Hasher { turns: Arc::new(Semaphore::new(AT_ONCE)), decoy })
    }

    /// Makes the hash of a new password, as a PHC string.
    pub(crate) async fn hash(&self, password: String) -> Result<String> {
        self.in_turn(move || hash(&password)).await
    }

    /// Whether the password fits the hash. Takes as long for `None`, and is then always false. One attempt that was counted is one look.
    pub(crate) async fn verify(&self, _: Counted, password: String, known: Option<String>) -> Result<bool> {
        let exists = known.is_some();
        let against = known.unwrap_or_else(|| self.decoy.clone());
        let fits = self
            .in_turn(move || {
                let parsed = PasswordHash::new(&against).map_err(|error| Error::Internal(format!("a stored password hash: {error}")))?;
                Ok(Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
            })
            .await?;
        Ok(fits && exists)
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        const BUSY: Error = Error::Overloaded("Too many sign-ins at once. Try again in a few seconds.");
        let turn = tokio::time::timeout(PATIENCE, self.turns.clone().acquire_owned()).await.map_err(|_| BUSY)?.map_err(|_| BUSY)?;
        let task = tokio::task::spawn_blocking(move || {
            // The turn ends with the work, even if the caller is gone by then.
            let _turn = turn;
            work()
        });
        task.await.map_err(|error| Error::Internal(format!("password hashing: {error}")))?
    }
}

fn hash(password: &str) -> Result<String> {
    let salt = cx::random::<16>()?;
    let hashed = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|error| Error::Internal(format!("password hashing: {error}")))?;
    Ok(hashed.to_string())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
