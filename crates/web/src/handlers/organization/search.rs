//! What operators find.

use plane::search::{self, Found};

use crate::answers::Listed;
use crate::caller::Door;
use crate::problem::Answer;

pub(crate) async fn search(door: Door) -> Answer<Listed<Found>> {
    Ok(door.list(&search::search(&door.cx, door.query.get("q").unwrap_or_default()).await?))
}
