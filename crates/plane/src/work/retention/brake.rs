//! The brake of retention: a round that would erase much of a table at once is more likely the work of a clock that is wrong than of time. It waits
//! for an operator's word, which is to start the server with a higher share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sql::{Statement, Value};

use crate::cx::{Actor, Cx};
use crate::{Plane, Result};

/// Rows that may go at once whatever their share.
const FEW: i64 = 20;

/// Rows that wait for an operator's word, by table.
pub(super) type Waiting = BTreeMap<&'static str, i64>;

/// What the last round has left to wait.
#[derive(Debug, Default)]
pub(super) struct Brakes(Mutex<Waiting>);

impl Brakes {
    /// Rows that wait for an operator's word, by table.
    fn report(&self) -> BTreeMap<&'static str, i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a round has come to. Tells of each table that begins to wait.
    pub(super) fn set(&self, waiting: Waiting) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (table, rows) in waiting.iter().filter(|(table, _)| !known.contains_key(*table)) {
            tracing::error!(
                table,
                rows,
                "retention would erase so much of this table at once that it waits: look at the machine's clock, and if that is right, start the \
                 server with --retention-brake=100 once"
            );
        }
        *known = waiting;
    }
}

impl Plane {
    /// Rows that retention would erase at once and that wait for an operator's word, by table: they are so much of it.
    pub fn braked(&self) -> BTreeMap<&'static str, i64> {
        self.memory.of::<Brakes>().report()
    }
}

/// Whether what is due in a table is too much of it: `due` counts those rows, and `reaches` finds the row of the table at an offset, if there is one.
pub(super) async fn holds(
    plane: &Arc<Plane>,
    waiting: &mut Waiting,
    table: &'static str,
    (count, bound): (Statement, Vec<Value>),
    reaches: Statement,
) -> Result<bool> {
    let share = i64::from(plane.config.retention_brake);
    if share >= 100 {
        return Ok(false);
    }
    let cx = Cx::new(plane, "retention").with_actor(Actor::System);
    let rows = cx.read(async move |_, tx| {
        tx.take_time().await?;
        let rows: i64 = tx.read_one(count, &bound).await?;
        // Of so many rows it would be no more than the share. More of them are not counted.
        let least = rows.saturating_mul(100) / share.max(1);
        let is_much = rows > FEW && tx.query_opt(reaches, &[Value::from(least - 1)]).await?.is_none();
        Ok(is_much.then_some(rows))
    });
    let rows = rows.await?;
    *waiting.entry(table).or_default() += rows.unwrap_or_default();
    waiting.retain(|_, rows| *rows > 0);
    Ok(rows.is_some())
}
