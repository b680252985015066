//! Readers of the database are shared fairly: of one organization only so many read at a time, whatever it asks for, so that its searches
//! do not stand in the way of others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::{Error, Result};

/// The readers, as organizations share them.
pub(crate) struct FairReaders {
    /// Reads of one organization at a time.
    each: usize,
    tenants: Mutex<HashMap<Uuid, Tenant>>,
}

struct Tenant {
    turns: Arc<Semaphore>,
    /// Reads that are under way or wait.
    reads: usize,
}

/// A read's turn. It is over when this is dropped.
pub(crate) struct Turn<'a> {
    readers: &'a FairReaders,
    organization: Uuid,
    permit: Option<OwnedSemaphorePermit>,
}

impl FairReaders {
    /// So many reads of each organization at a time.
    pub(crate) fn new(each: usize) -> FairReaders {
        FairReaders { each: each.max(1), tenants: Mutex::default() }
    }

    /// Waits until this organization may read once more. In the order in which its reads came.
    pub(crate) async fn turn(&self, organization: Uuid) -> Result<Turn<'_>> {
        let turns = {
            let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            let tenant = tenants.entry(organization).or_insert_with(|| Tenant { turns: Arc::new(Semaphore::new(self.each)), reads: 0 });
            tenant.reads += 1;
            tenant.turns.clone()
        };
        // From here on its end counts it out, also when no caller waits for it any more.
        let mut turn = Turn { readers: self, organization, permit: None };
        turn.permit = Some(turns.acquire_owned().await.map_err(|_| Error::Internal("the turns of readers ended".into()))?);
        Ok(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.permit = None;
        let mut tenants = self.readers.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = tenants.entry(self.organization) {
            entry.get_mut().reads -= 1;
            if entry.get().reads == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn an_organization_reads_so_often_at_a_time_and_no_other_waits_for_it() {
        let readers = FairReaders::new(2);
        let [one, other] = [1, 2].map(Uuid::from_u128);
        let (first, second) = (readers.turn(one).await.unwrap(), readers.turn(one).await.unwrap());
        let mut third = Box::pin(readers.turn(one));
        assert!(third.as_mut().now_or_never().is_none());
        // One that is given up leaves nothing behind.
        let mut given_up = Box::pin(readers.turn(one));
        assert!(given_up.as_mut().now_or_never().is_none());
        drop(given_up);
        assert!(readers.turn(other).now_or_never().is_some());
        drop(first);
        let third = third.await.unwrap();
        drop((second, third));
        assert!(readers.tenants.lock().unwrap().is_empty());
    }
}
