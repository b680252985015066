//! What a transaction wants to have done when it is committed.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Tx;

/// What is done around one commit.
pub(crate) struct Hook {
    /// When it is asked for.
    before: Option<Box<dyn FnOnce() + Send>>,
    /// When it is done, and whether that is sure.
    after: Box<dyn FnOnce(bool) + Send>,
}

impl Tx {
    /// Runs `hook` after the commit and before the caller of the transaction gets its answer. It also runs when the commit's outcome is
    /// not known (the connection broke), and never after a roll-back. What a hook does wrong harms neither the caller nor other hooks.
    pub fn on_commit(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks().push(Hook { before: None, after: Box::new(|_| hook()) });
    }

    /// Like [`Tx::on_commit`], but not when the commit's outcome is not known.
    pub fn on_sure_commit(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.on_sure_commit_after(None, hook);
    }

    /// Like [`Tx::on_sure_commit`], and runs `before` when the commit is asked for: others may read what it says from then on, and before `hook` is run.
    pub fn around_sure_commit(&mut self, before: impl FnOnce() + Send + 'static, hook: impl FnOnce() + Send + 'static) {
        self.on_sure_commit_after(Some(Box::new(before)), hook);
    }

    fn on_sure_commit_after(&mut self, before: Option<Box<dyn FnOnce() + Send>>, hook: impl FnOnce() + Send + 'static) {
        let after = Box::new(|is_sure| {
            if is_sure {
                hook();
            }
        });
        self.hooks().push(Hook { before, after });
    }

    fn hooks(&mut self) -> &mut Vec<Hook> {
        match self {
            Tx::Sqlite(tx) => &mut tx.hooks,
            Tx::Postgres(tx) => &mut tx.hooks,
        }
    }
}

/// Runs what was asked for when a commit is asked for.
pub(crate) fn run_before(hooks: &mut [Hook]) {
    hooks.iter_mut().filter_map(|hook| hook.before.take()).for_each(|before| before());
}

/// Runs what was asked for on commit. A hook that panics must not tell the caller that a committed transaction failed.
pub(crate) fn run_hooks(hooks: Vec<Hook>, is_sure: bool) {
    for hook in hooks {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (hook.after)(is_sure))) {
            tracing::error!(words = panic_words(Some(panic)), "what a transaction asked for on its commit was not done");
        }
    }
}

/// The words of a panic inside a transaction, for the log.
pub(crate) fn panic_words(panic: Option<Box<dyn Any + Send>>) -> String {
    let words = panic.and_then(|panic| {
        panic.downcast_ref::<&str>().map(|words| (*words).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned())
    });
    format!("a transaction panicked: {}", words.unwrap_or_else(|| "no message".into()))
}
