//! Customers, below an organization and on the customer surface, whose organization is the credential's.

use axum::http::StatusCode;
use plane::customers::{self, Deleting, NewCustomer};
use serde_json::json;

use super::deleted;
use crate::body::Form;
use crate::dialect::time;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = customers::list(&door.cx, &door.organization(&organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::customer))
}

pub(crate) async fn create(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let managed_by = form.optional("managed_by", "must be a member's id", plane::ids::parse);
    let (name, legal_name) = (form.optional_text("name"), form.optional_text("legal_name"));
    let new = NewCustomer {
        reference: form.optional_text("id"),
        name: name.or(legal_name).unwrap_or_default(),
        email: form.text("email"),
        phone: form.optional_text("phone"),
        tax_id: form.optional_text("tax_id"),
        address: form.object("address"),
        metadata: form.object("metadata"),
        managed_by,
    };
    form.finish()?;
    let customer = customers::create(&door.cx, &door.organization(&organization)?, new).await?;
    Ok(views::answer(StatusCode::CREATED, views::customer(door.dialect, customer)))
}

pub(crate) async fn read(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer {
    let customer = customers::get(&door.cx, &door.organization(&organization)?, &customer).await?;
    Ok(views::answer(StatusCode::OK, views::customer(door.dialect, customer)))
}

pub(crate) async fn delete(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer {
    let organization = door.organization(&organization)?;
    let deletion = customers::delete(&door.cx, &organization, &customer, Deleting::Permanently, door.reason()).await?;
    Ok(deleted(door.dialect, &deletion))
}

pub(crate) async fn read_current(door: Door, Segments(customer): Segments<String>) -> Answer {
    let customer = customers::get(&door.cx, &door.current_organization()?, &customer).await?;
    Ok(views::answer(StatusCode::OK, views::customer(door.dialect, customer)))
}

pub(crate) async fn delete_current(door: Door, Segments(customer): Segments<String>) -> Answer {
    let how = if door.query.flag("hard")? { Deleting::Hard } else { Deleting::Softly };
    let deletion = customers::delete(&door.cx, &door.current_organization()?, &customer, how, door.reason()).await?;
    let body = json!({"success": true, "message": "Customer deleted successfully", "deletedAt": time(deletion.created_at)});
    Ok(views::with_deletion(views::answer(StatusCode::OK, body), &deletion))
}
