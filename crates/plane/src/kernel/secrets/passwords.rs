//! Passwords: argon2id (RFC 9106), off the async threads and bounded, so that a flood of sign-ins costs neither latency nor memory.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use tokio::sync::{Semaphore, oneshot};

use crate::attempts::Counted;
use crate::hex::hex;
use crate::{Error, Result, normal_forms};

/// Hashes computed at one time; each takes 19 MiB (OWASP's minimum for argon2id, the default of the library).
const AT_ONCE: usize = 4;
/// How long a caller waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a password and a hash stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is another password.
    None,
    /// The hash is of the password's normal form, as all new ones are.
    Normal,
    /// The hash is of just these bytes, from before there were normal forms: it is to be made anew.
    Typed,
}

pub(crate) struct Hasher {
    turns: Arc<Semaphore>,
    /// Verified in place of an unknown user's hash, so that an answer takes as long whether or not the user exists.
    decoy: String,
}

impl Hasher {
    pub(crate) fn new() -> Result<Hasher> {
        let decoy = hash(&hex(&deletion::random::<16>()?))?;
        Ok(Hasher { turns: Arc::new(Semaphore::new(AT_ONCE)), decoy })
    }

    /// Makes the hash of a new password's [normal form](normal_forms::password), as a PHC string.
    pub(crate) async fn hash(&self, password: String) -> Result<String> {
        self.in_turn(move || hash(&normal_forms::password(&password))).await
    }

    /// Whether the password fits the hash. Takes as long for `None`, which nothing fits. One attempt that was counted is one look.
    pub(crate) async fn verify(&self, _: Counted, password: String, known: Option<String>) -> Result<Fit> {
        let exists = known.is_some();
        let against = known.unwrap_or_else(|| self.decoy.clone());
        let fit = self.in_turn(move || fit(&password, &against)).await?;
        Ok(if exists { fit } else { Fit::None })
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        const BUSY: Error = Error::Overloaded("Too many sign-ins at once. Try again in a few seconds.");
        let turn = tokio::time::timeout(PATIENCE, self.turns.clone().acquire_owned()).await.map_err(|_| BUSY)?.map_err(|_| BUSY)?;
        let (sender, receiver) = oneshot::channel();
        // A thread of its own: no other work is to stand behind the others with it, and next to a hash it costs nothing.
        let hasher = std::thread::Builder::new().name("hasher".into()).spawn(move || {
            let _processor = sql::long_work::turn();
            // The turn ends with the work, even if the caller is gone by then.
            let _turn = turn;
            let _ = sender.send(work());
        });
        hasher.map_err(|error| Error::Internal(format!("a thread for a password's hash: {error}")))?;
        receiver.await.map_err(|_| Error::Internal("password hashing ended without a result".into()))?
    }
}

/// How a password as it was typed stands to a hash.
fn fit(password: &str, against: &str) -> Result<Fit> {
    let normal = normal_forms::password(password);
    Ok(match fits(&normal, against)? {
        true => Fit::Normal,
        false if normal != password && fits(password, against)? => Fit::Typed,
        false => Fit::None,
    })
}

fn hash(password: &str) -> Result<String> {
    let salt = deletion::random::<16>()?;
    let (algorithm, version, params) = (Algorithm::default(), Version::default(), Params::default());
    let defect = |error: &dyn std::fmt::Display| Error::Internal(format!("password hashing: {error}"));
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    compute(password, &salt, (algorithm, version, params.clone()), &mut output)?;
    let hashed = PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(&params).map_err(|error| defect(&error))?,
        salt: Some(Salt::new(&salt).map_err(|error| defect(&error))?),
        hash: Some(Output::new(&output).map_err(|error| defect(&error))?),
    };
    Ok(hashed.to_string())
}

/// Whether a password fits a hash, with the algorithm and the parameters that the hash names.
fn fits(password: &str, against: &str) -> Result<bool> {
    let defect = |error: &dyn std::fmt::Display| Error::Internal(format!("a stored password hash: {error}"));
    let parsed = PasswordHash::new(against).map_err(|error| defect(&error))?;
    let algorithm = Algorithm::try_from(parsed.algorithm.as_str()).map_err(|error| defect(&error))?;
    let version = parsed.version.map(Version::try_from).transpose().map_err(|error| defect(&error))?.unwrap_or_default();
    let params = Params::try_from(&parsed).map_err(|error| defect(&error))?;
    let (Some(salt), Some(expected)) = (parsed.salt, parsed.hash) else { return Err(defect(&"it has no salt or no output")) };
    let mut output = vec![0; expected.len()];
    compute(password, &salt, (algorithm, version, params), &mut output)?;
    Ok(verify_slices_are_equal(&output, expected.as_bytes()).is_ok())
}

/// Blocks of 1 KiB, 33 MiB of them. Memory of more than 32 MiB is the one kind that glibc's allocator never keeps for itself after it was
/// freed (`mallopt(3)`, `M_MMAP_THRESHOLD`); of what is reserved and not written to, the system gives no page.
const NEVER_KEPT: usize = 33 * 1024;

/// Computes a hash in memory that goes back to the system at once: a flood of sign-ins leaves none of it behind.
fn compute(password: &str, salt: &[u8], (algorithm, version, params): (Algorithm, Version, Params), output: &mut [u8]) -> Result<()> {
    let blocks = params.block_count();
    let mut memory = Vec::with_capacity(blocks.max(NEVER_KEPT));
    memory.resize_with(blocks, Block::default);
    Argon2::new(algorithm, version, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, output, &mut memory)
        .map_err(|error| Error::Internal(format!("password hashing: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_password_and_no_other_and_is_the_one_that_other_programs_make() {
        let made = hash("correct horse").unwrap();
        assert!(made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{made}");
        assert_eq!((fit("correct horse", &made).unwrap(), fit("correct horses", &made).unwrap()), (Fit::Normal, Fit::None));
        // Made with PyPI argon2-cffi's `hash_password` of the same parameters.
        let other = "$argon2id$v=19$m=19456,t=2,p=1$YSBzYWx0IG9mIDE2IGJ5dA$cDkYndb7ppkD1yGci/ch0u5xmp23ijxLX5MsigRqd4M";
        assert_eq!(fit("correct horse", other).unwrap(), Fit::Normal);
        assert!(fit("correct horse", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ").is_err());
    }

    #[test]
    fn a_password_fits_in_each_spelling_and_a_hash_from_before_normal_forms_as_typed() {
        let (composed, decomposed) = ("P\u{e4}ssw\u{f6}rter", "Pa\u{308}sswo\u{308}rter");
        let (new, old) = (hash(&normal_forms::password(decomposed)).unwrap(), hash(decomposed).unwrap());
        for typed in [composed, decomposed] {
            assert_eq!(fit(typed, &new).unwrap(), Fit::Normal, "{typed}");
        }
        assert_eq!(fit(decomposed, &old).unwrap(), Fit::Typed);
        for (typed, known) in [(composed, &old), ("Passworter", &new), ("Passworter", &old)] {
            assert_eq!(fit(typed, known).unwrap(), Fit::None, "{typed}");
        }
    }
}
