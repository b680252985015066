//! What lives as long as the program, in the hands of a transaction.

use std::ops::Deref;

/// A reference that lives as long as the program, for the closure of a transaction to take along. Of a bare one the compiler asks that it be
/// `Send` for every lifetime once the transaction's future is part of a task, and refuses the task ("not general enough").
#[derive(Debug)]
pub struct Static<T: ?Sized + 'static>(pub &'static T);

impl<T: ?Sized> Clone for Static<T> {
    fn clone(&self) -> Static<T> {
        *self
    }
}

impl<T: ?Sized> Copy for Static<T> {}

impl<T: ?Sized> Deref for Static<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}
