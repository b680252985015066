//! The customer API, below `/customer`: seed 001. The organization is the credential's, or the one in `X-Organization`.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use plane::customers::{self, Deleting};
use serde_json::json;

use crate::Doors;
use crate::dialect::time;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

/// Every address of this surface.
pub(crate) fn routes() -> Router<Arc<Doors>> {
    Router::new().route("/{customer}", get(read_customer).delete(delete_customer))
}

async fn read_customer(door: Door, Segments(customer): Segments<String>) -> Answer {
    let customer = customers::get(&door.cx, &door.current_organization()?, &customer).await?;
    Ok(views::answer(StatusCode::OK, views::customer(door.dialect, customer)))
}

async fn delete_customer(door: Door, Segments(customer): Segments<String>) -> Answer {
    let how = if door.query.flag("hard")? { Deleting::Hard } else { Deleting::Softly };
    let deletion = customers::delete(&door.cx, &door.current_organization()?, &customer, how, door.reason()).await?;
    let body = json!({"success": true, "message": "Customer deleted successfully", "deletedAt": time(deletion.created_at)});
    Ok(views::with_deletion(views::answer(StatusCode::OK, body), &deletion))
}
