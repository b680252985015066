//! Two batches of cascade groups at once, where one transaction can write beside another and no other work wants the processors.
//!
//! The second begins where the first is going to end, erases meanwhile, and waits for the first only before it writes down how far it came.
//! It counts if the first has come as far as it said and no other worker has taken the deletion over; otherwise it is undone. So the cursor
//! goes forward as ever, and the worker that comes after a crash goes on from it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::key::Key;

/// Tells the second batch where the first is going to end. A first that is run again tells nothing more.
#[derive(Debug)]
pub(crate) struct BatchHandover(Mutex<Option<oneshot::Sender<Key>>>);

impl BatchHandover {
    pub(crate) fn tell(&self, end: Key) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The receiver may be gone.
            let _ = sender.send(end);
        }
    }
}

/// A handover from one batch, and its other end.
pub(crate) fn handover() -> (BatchHandover, oneshot::Receiver<Key>) {
    let (sender, receiver) = oneshot::channel();
    (BatchHandover(Mutex::new(Some(sender))), receiver)
}
