//! Schemas of what only deletions say.

use super::CONDITION_TYPES;
use crate::wire::sets;

sets! {
    /// Why a deletion waits.
    ConditionType, &CONDITION_TYPES, "webhook_deliveries";
    /// Which deletions are listed; `open` are those not completed yet.
    DeletionFilter, &super::DeletionFilter::names(), "reversible";
}
