//! Attempts to prove a password: counted before the password is looked at, wherever one is.
//!
//! [`Hasher::verify`](crate::passwords::Hasher::verify) takes a [`Counted`], and there is one only for an attempt that was counted: no way to
//! prove a password goes around the limits.

use std::sync::Arc;

use crate::{Error, Result};

/// An attempt to prove that one knows the password of an account, which is named by its normal address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt<'a> {
    /// Of anybody who wants to sign in.
    SignIn(&'a str),
    /// Of a user who has signed in and changes what needs the current password.
    CurrentPassword(&'a str),
}

/// What counts attempts, and refuses those that are too many.
pub trait CountsAttempts: Send + Sync {
    /// Counts an attempt.
    ///
    /// # Errors
    /// [`Error::TooManyAttempts`].
    fn count(&self, attempt: Attempt<'_>) -> Result<()>;
}

/// Counts nothing: for the person at the program's own command line, who has the database in their hands.
#[derive(Debug, Clone, Copy)]
pub struct Uncounted;

impl CountsAttempts for Uncounted {
    fn count(&self, _: Attempt<'_>) -> Result<()> {
        Ok(())
    }
}

/// The right to look once whether a password is the right one.
pub(crate) struct Counted(());

impl Counted {
    /// # Errors
    /// [`Error::TooManyAttempts`]; [`Error::Internal`] in a context that counts nowhere.
    pub(crate) fn attempt(counter: Option<&Arc<dyn CountsAttempts>>, attempt: Attempt<'_>) -> Result<Counted> {
        let counter = counter.ok_or_else(|| Error::Internal("a password would be looked at without counting the attempt".into()))?;
        counter.count(attempt).map(|()| Counted(()))
    }
}
