//! Customers, below an organization and on the customer surface, whose organization is the credential's.

use axum::http::StatusCode;
use jiff::Timestamp;
use plane::customers::{self, Customer, CustomerFilter, Deleting, MOST_OF_A_NAME};
use plane::ids::{self, OrganizationRef};
use plane::plans::Subject;
use plane::wire::NumberOrText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deletions::order;
use super::{Deleted, delete_or_plan};
use crate::answers::{One, OrPlan, Sliced};
use crate::body::Body;
use crate::caller::{Door, Segments};
use crate::problem::Answer;

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer<Sliced<Customer>> {
    list_in(&door, door.organization(&organization)?).await
}

pub(crate) async fn list_current(door: Door) -> Answer<Sliced<Customer>> {
    list_in(&door, door.current_organization()?).await
}

async fn list_in(door: &Door, organization: OrganizationRef) -> Answer<Sliced<Customer>> {
    let filter = CustomerFilter {
        text: door.query.text("q"),
        email: door.query.text("email"),
        managed_by: door.query.read("managedBy", "must be a member's id", ids::parse)?,
        metadata: door.query.texts("metadata")?,
        is_deleted: is_deleted(door)?,
    };
    let page = customers::list(&door.cx, &organization, filter, door.query.part()?).await?;
    Ok(door.slice(page, |entry| entry))
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

pub(crate) async fn create(door: Door, Segments(organization): Segments<String>, Body(new): Body<NewCustomer>) -> Answer<One<Customer>> {
    create_in(&door, door.organization(&organization)?, new).await
}

pub(crate) async fn create_current(door: Door, Body(new): Body<NewCustomer>) -> Answer<One<Customer>> {
    create_in(&door, door.current_organization()?, new).await
}

/// A new customer.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewCustomer {
    #[serde(flatten)]
    new: customers::NewCustomer,
    /// The same as `name`.
    #[schemars(length(min = 1, max = MOST_OF_A_NAME), example = &"Ada Lovelace")]
    legal_name: Option<String>,
}

/// What shall be changed about a customer. What is missing stays.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct CustomerChange {
    #[serde(flatten)]
    change: customers::CustomerChange,
    /// The same as `name`.
    #[schemars(length(min = 1, max = MOST_OF_A_NAME), example = &"Ada Lovelace")]
    legal_name: Option<String>,
}

async fn create_in(door: &Door, organization: OrganizationRef, NewCustomer { mut new, legal_name }: NewCustomer) -> Answer<One<Customer>> {
    if new.name.is_empty() {
        new.name = legal_name.unwrap_or_default();
    }
    let customer = customers::create(&door.cx, &organization, new).await?;
    Ok(door.created(&customer.etag(), &customer))
}

pub(crate) async fn read(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer<One<Customer>> {
    let customer = find(&door, &door.organization(&organization)?, &customer).await?;
    Ok(door.tagged(&customer.etag(), &customer))
}

pub(crate) async fn read_current(door: Door, Segments(customer): Segments<String>) -> Answer<One<Customer>> {
    let customer = find(&door, &door.current_organization()?, &customer).await?;
    Ok(door.tagged(&customer.etag(), &customer))
}

pub(crate) async fn update(
    door: Door,
    Segments((organization, customer)): Segments<(String, String)>,
    Body(change): Body<CustomerChange>,
) -> Answer<One<Customer>> {
    update_in(&door, door.organization(&organization)?, &customer, change).await
}

pub(crate) async fn update_current(
    door: Door,
    Segments(customer): Segments<String>,
    Body(change): Body<CustomerChange>,
) -> Answer<One<Customer>> {
    update_in(&door, door.current_organization()?, &customer, change).await
}

async fn update_in(door: &Door, organization: OrganizationRef, customer: &str, body: CustomerChange) -> Answer<One<Customer>> {
    let CustomerChange { mut change, legal_name } = body;
    change.name = change.name.or(legal_name);
    let customer = customers::update(&door.cx, &organization, customer, change).await?;
    Ok(door.tagged(&customer.etag(), &customer))
}

pub(crate) async fn archive(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer<One<Customer>> {
    let customer = customers::archive(&door.cx, &door.organization(&organization)?, &customer).await?;
    Ok(door.tagged(&customer.etag(), &customer))
}

pub(crate) async fn unarchive(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer<One<Customer>> {
    let customer = customers::unarchive(&door.cx, &door.organization(&organization)?, &customer).await?;
    Ok(door.tagged(&customer.etag(), &customer))
}

/// Credits for a customer: 30 days each.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Credits {
    #[schemars(range(min = 1, max = 120), example = 12)]
    credits: i64,
}

/// A screen for a customer.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewScreen {
    /// The pass, which is used once in an organization: a whole number, or a text. 7 and "7" are the same.
    #[schemars(with = "NumberOrText", example = 7)]
    pass_id: String,
}

/// The customer API's words for credits that were added.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CustomerExtended {
    success: bool,
    #[schemars(length(min = 1, max = 200), example = &"Customer extended successfully")]
    message: &'static str,
    /// Until when the customer's credits last now.
    #[schemars(with = "Timestamp")]
    expires_at: Option<Timestamp>,
}

/// The customer API's words for a screen that was added.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ScreenAdded {
    success: bool,
    #[schemars(length(min = 1, max = 200), example = &"Screen added successfully")]
    message: &'static str,
    /// How many the customer has now.
    #[schemars(example = 2)]
    screens: i64,
}

pub(crate) async fn extend_current(
    door: Door,
    Segments(customer): Segments<String>,
    Body(Credits { credits }): Body<Credits>,
) -> Answer<One<CustomerExtended>> {
    let customer = customers::extend(&door.cx, &door.current_organization()?, &customer, credits).await?;
    let extended = CustomerExtended { success: true, message: "Customer extended successfully", expires_at: customer.expires_at };
    Ok(door.tagged(&customer.etag(), &extended))
}

pub(crate) async fn add_screen_current(
    door: Door,
    Segments(customer): Segments<String>,
    Body(NewScreen { pass_id: pass }): Body<NewScreen>,
) -> Answer<One<ScreenAdded>> {
    let customer = customers::add_screen(&door.cx, &door.current_organization()?, &customer, &pass).await?;
    let added = ScreenAdded { success: true, message: "Screen added successfully", screens: customer.screens };
    Ok(door.tagged(&customer.etag(), &added))
}

pub(crate) async fn delete(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer<OrPlan<Deleted>> {
    let organization = door.organization(&organization)?;
    let deleting = customers::delete(&door.cx, &organization, &customer, Deleting::Permanently, door.details()?);
    delete_or_plan(&door, Subject::Customer(organization.clone(), customer.clone(), Deleting::Permanently), deleting).await
}

/// The customer API's words for a deletion that succeeded.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CustomerDeleted {
    success: bool,
    #[schemars(length(min = 1, max = 200), example = &"Customer deleted successfully")]
    message: &'static str,
    deleted_at: Timestamp,
}

pub(crate) async fn delete_current(door: Door, Segments(customer): Segments<String>) -> Answer<OrPlan<CustomerDeleted>> {
    let how = if door.query.flag("hard")? { Deleting::Hard } else { Deleting::Softly };
    let organization = door.current_organization()?;
    let deleting = customers::delete(&door.cx, &organization, &customer, how, door.details()?);
    order(&door, Subject::Customer(organization.clone(), customer.clone(), how), deleting, |deletion| {
        let message = "Customer deleted successfully";
        door.one(StatusCode::OK, &CustomerDeleted { success: true, message, deleted_at: deletion.created_at })
    })
    .await
}
