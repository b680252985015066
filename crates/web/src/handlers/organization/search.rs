//! What operators find.

use plane::search::{self, Found};

use crate::answers::Listed;
use crate::caller::Caller;
use crate::problem::Answer;

pub(crate) async fn search(caller: Caller) -> Answer<Listed<Found>> {
    Ok(caller.list(&search::search(&caller.cx, caller.query.get("q").unwrap_or_default()).await?))
}
