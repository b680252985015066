//! Customers, below an organization and on the customer surface, whose organization is the credential's.

use axum::http::StatusCode;
use plane::customers::{self, Customer, CustomerChange, CustomerFilter, Deleting, NewCustomer};
use plane::deletion::Subject;
use plane::fields::Check;
use plane::ids::{self, OrganizationRef};
use serde_json::{Value as Json, json};

use super::delete_or_plan;
use super::deletions::order;
use crate::body::Form;
use crate::dialect::time;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer {
    list_in(&door, door.organization(&organization)?).await
}

pub(crate) async fn list_current(door: Door) -> Answer {
    list_in(&door, door.current_organization()?).await
}

async fn list_in(door: &Door, organization: OrganizationRef) -> Answer {
    let filter = CustomerFilter {
        text: door.query.text("q"),
        email: door.query.text("email"),
        managed_by: door.query.read("managedBy", "must be a member's id", ids::parse)?,
        metadata: door.query.texts("metadata")?,
        is_deleted: is_deleted(door)?,
    };
    let page = customers::list(&door.cx, &organization, filter, door.query.part()?).await?;
    Ok(views::page(door.dialect, page, views::customer))
}

/// Whether those are meant who were softly deleted.
fn is_deleted(door: &Door) -> plane::Result<bool> {
    let state = door.query.read("state", "must be live or deleted", |state| match state {
        "live" => Some(false),
        "deleted" => Some(true),
        _ => None,
    });
    Ok(state?.unwrap_or(false))
}

async fn find(door: &Door, organization: &OrganizationRef, customer: &str) -> plane::Result<Customer> {
    match is_deleted(door)? {
        true => customers::get_deleted(&door.cx, organization, customer).await,
        false => customers::get(&door.cx, organization, customer).await,
    }
}

pub(crate) async fn create(door: Door, Segments(organization): Segments<String>, form: Form) -> Answer {
    create_in(&door, door.organization(&organization)?, form).await
}

pub(crate) async fn create_current(door: Door, form: Form) -> Answer {
    create_in(&door, door.current_organization()?, form).await
}

/// The name, from either of its fields. What is given besides is checked all the same.
fn name(form: &mut Form) -> plane::Result<Option<String>> {
    let (name, legal_name) = (form.optional_text("name"), form.optional_text("legal_name"));
    Check::new().optional("legal_name", legal_name.as_deref().filter(|_| name.is_some()), 1..=200).finish()?;
    Ok(name.or(legal_name))
}

async fn create_in(door: &Door, organization: OrganizationRef, mut form: Form) -> Answer {
    let managed_by = form.optional("managed_by", "must be a member's id", ids::parse);
    let name = name(&mut form)?;
    let new = NewCustomer {
        reference: form.optional_text("id"),
        name: name.unwrap_or_default(),
        email: form.text("email"),
        phone: form.optional_text("phone"),
        tax_id: form.optional_text("tax_id"),
        address: form.object("address"),
        metadata: form.object("metadata"),
        managed_by,
    };
    form.finish()?;
    let customer = customers::create(&door.cx, &organization, new).await?;
    Ok(views::tagged(StatusCode::CREATED, &customer.etag(), views::customer(door.dialect, customer)))
}

pub(crate) async fn read(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer {
    let customer = find(&door, &door.organization(&organization)?, &customer).await?;
    Ok(views::tagged(StatusCode::OK, &customer.etag(), views::customer(door.dialect, customer)))
}

pub(crate) async fn read_current(door: Door, Segments(customer): Segments<String>) -> Answer {
    let customer = find(&door, &door.current_organization()?, &customer).await?;
    Ok(views::tagged(StatusCode::OK, &customer.etag(), views::customer(door.dialect, customer)))
}

pub(crate) async fn update(door: Door, Segments((organization, customer)): Segments<(String, String)>, form: Form) -> Answer {
    update_in(&door, door.organization(&organization)?, &customer, form).await
}

pub(crate) async fn update_current(door: Door, Segments(customer): Segments<String>, form: Form) -> Answer {
    update_in(&door, door.current_organization()?, &customer, form).await
}

async fn update_in(door: &Door, organization: OrganizationRef, customer: &str, mut form: Form) -> Answer {
    let name = name(&mut form)?;
    let address = form.clearable("address", "must be an object", |address| address.is_object().then(|| address.clone()));
    let change = CustomerChange {
        reference: form.optional_text("id"),
        name,
        email: form.optional_text("email"),
        phone: form.clearable_text("phone"),
        tax_id: form.clearable_text("tax_id"),
        address: address.map(|address| address.unwrap_or_else(|| json!({}))),
        metadata: form.object("metadata"),
        managed_by: form.clearable("managed_by", "must be a member's id", |id| id.as_str().and_then(ids::parse)),
    };
    form.finish()?;
    let customer = customers::update(&door.cx, &organization, customer, change).await?;
    Ok(views::tagged(StatusCode::OK, &customer.etag(), views::customer(door.dialect, customer)))
}

pub(crate) async fn archive(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer {
    let customer = customers::archive(&door.cx, &door.organization(&organization)?, &customer).await?;
    Ok(views::tagged(StatusCode::OK, &customer.etag(), views::customer(door.dialect, customer)))
}

pub(crate) async fn unarchive(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer {
    let customer = customers::unarchive(&door.cx, &door.organization(&organization)?, &customer).await?;
    Ok(views::tagged(StatusCode::OK, &customer.etag(), views::customer(door.dialect, customer)))
}

pub(crate) async fn extend_current(door: Door, Segments(customer): Segments<String>, mut form: Form) -> Answer {
    let credits = form.number("credits");
    form.finish()?;
    let customer = customers::extend(&door.cx, &door.current_organization()?, &customer, credits).await?;
    let expires_at = customer.expires_at.map_or(Json::Null, time);
    let body = json!({"success": true, "message": "Customer extended successfully", "expiresAt": expires_at});
    Ok(views::tagged(StatusCode::OK, &customer.etag(), body))
}

pub(crate) async fn add_screen_current(door: Door, Segments(customer): Segments<String>, mut form: Form) -> Answer {
    let pass = form.number_or_text("pass_id");
    form.finish()?;
    let customer = customers::add_screen(&door.cx, &door.current_organization()?, &customer, &pass).await?;
    let body = json!({"success": true, "message": "Screen added successfully", "screens": customer.screens});
    Ok(views::tagged(StatusCode::OK, &customer.etag(), body))
}

pub(crate) async fn delete(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer {
    let organization = door.organization(&organization)?;
    let deleting = customers::delete(&door.cx, &organization, &customer, Deleting::Permanently, door.details()?);
    delete_or_plan(&door, Subject::Customer(organization.clone(), customer.clone(), Deleting::Permanently), deleting).await
}

pub(crate) async fn delete_current(door: Door, Segments(customer): Segments<String>) -> Answer {
    let how = if door.query.flag("hard")? { Deleting::Hard } else { Deleting::Softly };
    let organization = door.current_organization()?;
    let deleting = customers::delete(&door.cx, &organization, &customer, how, door.details()?);
    order(&door, Subject::Customer(organization.clone(), customer.clone(), how), deleting, |_, deletion| {
        let body = json!({"success": true, "message": "Customer deleted successfully", "deletedAt": time(deletion.created_at)});
        views::with_deletion(views::answer(StatusCode::OK, body), deletion)
    })
    .await
}
