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
use crate::caller::{Caller, Segments};
use crate::problem::Answer;

pub(crate) async fn list(caller: Caller, Segments(organization): Segments<String>) -> Answer<Sliced<Customer>> {
    list_in(&caller, caller.organization(&organization)?).await
}

pub(crate) async fn list_current(caller: Caller) -> Answer<Sliced<Customer>> {
    list_in(&caller, caller.current_organization()?).await
}

async fn list_in(caller: &Caller, organization: OrganizationRef) -> Answer<Sliced<Customer>> {
    let filter = CustomerFilter {
        text: caller.query.text("q"),
        email: caller.query.text("email"),
        managed_by: caller.query.read("managedBy", "must be a member's id", ids::parse)?,
        metadata: caller.query.texts("metadata")?,
        is_deleted: is_deleted(caller)?,
    };
    let page = customers::list(&caller.cx, &organization, filter, caller.query.part()?).await?;
    Ok(caller.slice(page, |entry| entry))
}

/// Whether those are meant who were softly deleted.
fn is_deleted(caller: &Caller) -> plane::Result<bool> {
    let state = caller.query.read("state", "must be live or deleted", |state| match state {
        "live" => Some(false),
        "deleted" => Some(true),
        _ => None,
    });
    Ok(state?.unwrap_or(false))
}

async fn find(caller: &Caller, organization: &OrganizationRef, customer: &str) -> plane::Result<Customer> {
    match is_deleted(caller)? {
        true => customers::get_deleted(&caller.cx, organization, customer).await,
        false => customers::get(&caller.cx, organization, customer).await,
    }
}

pub(crate) async fn create(
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(new): Body<NewCustomer>,
) -> Answer<One<Customer>> {
    create_in(&caller, caller.organization(&organization)?, new).await
}

pub(crate) async fn create_current(caller: Caller, Body(new): Body<NewCustomer>) -> Answer<One<Customer>> {
    create_in(&caller, caller.current_organization()?, new).await
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

async fn create_in(
    caller: &Caller,
    organization: OrganizationRef,
    NewCustomer { mut new, legal_name }: NewCustomer,
) -> Answer<One<Customer>> {
    if new.name.is_empty() {
        new.name = legal_name.unwrap_or_default();
    }
    let customer = customers::create(&caller.cx, &organization, new).await?;
    Ok(caller.created(&customer.etag(), &customer))
}

pub(crate) async fn read(caller: Caller, Segments((organization, customer)): Segments<(String, String)>) -> Answer<One<Customer>> {
    let customer = find(&caller, &caller.organization(&organization)?, &customer).await?;
    Ok(caller.tagged(&customer.etag(), &customer))
}

pub(crate) async fn read_current(caller: Caller, Segments(customer): Segments<String>) -> Answer<One<Customer>> {
    let customer = find(&caller, &caller.current_organization()?, &customer).await?;
    Ok(caller.tagged(&customer.etag(), &customer))
}

pub(crate) async fn update(
    caller: Caller,
    Segments((organization, customer)): Segments<(String, String)>,
    Body(change): Body<CustomerChange>,
) -> Answer<One<Customer>> {
    update_in(&caller, caller.organization(&organization)?, &customer, change).await
}

pub(crate) async fn update_current(
    caller: Caller,
    Segments(customer): Segments<String>,
    Body(change): Body<CustomerChange>,
) -> Answer<One<Customer>> {
    update_in(&caller, caller.current_organization()?, &customer, change).await
}

async fn update_in(caller: &Caller, organization: OrganizationRef, customer: &str, body: CustomerChange) -> Answer<One<Customer>> {
    let CustomerChange { mut change, legal_name } = body;
    change.name = change.name.or(legal_name);
    let customer = customers::update(&caller.cx, &organization, customer, change).await?;
    Ok(caller.tagged(&customer.etag(), &customer))
}

pub(crate) async fn archive(caller: Caller, Segments((organization, customer)): Segments<(String, String)>) -> Answer<One<Customer>> {
    let customer = customers::archive(&caller.cx, &caller.organization(&organization)?, &customer).await?;
    Ok(caller.tagged(&customer.etag(), &customer))
}

pub(crate) async fn unarchive(caller: Caller, Segments((organization, customer)): Segments<(String, String)>) -> Answer<One<Customer>> {
    let customer = customers::unarchive(&caller.cx, &caller.organization(&organization)?, &customer).await?;
    Ok(caller.tagged(&customer.etag(), &customer))
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
    caller: Caller,
    Segments(customer): Segments<String>,
    Body(Credits { credits }): Body<Credits>,
) -> Answer<One<CustomerExtended>> {
    let customer = customers::extend(&caller.cx, &caller.current_organization()?, &customer, credits).await?;
    let extended = CustomerExtended { success: true, message: "Customer extended successfully", expires_at: customer.expires_at };
    Ok(caller.tagged(&customer.etag(), &extended))
}

pub(crate) async fn add_screen_current(
    caller: Caller,
    Segments(customer): Segments<String>,
    Body(NewScreen { pass_id: pass }): Body<NewScreen>,
) -> Answer<One<ScreenAdded>> {
    let customer = customers::add_screen(&caller.cx, &caller.current_organization()?, &customer, &pass).await?;
    let added = ScreenAdded { success: true, message: "Screen added successfully", screens: customer.screens };
    Ok(caller.tagged(&customer.etag(), &added))
}

pub(crate) async fn delete(caller: Caller, Segments((organization, customer)): Segments<(String, String)>) -> Answer<OrPlan<Deleted>> {
    let organization = caller.organization(&organization)?;
    let deleting = customers::delete(&caller.cx, &organization, &customer, Deleting::Permanently, caller.details()?);
    delete_or_plan(&caller, Subject::Customer(organization.clone(), customer.clone(), Deleting::Permanently), deleting).await
}

/// The customer API's words for a deletion that succeeded.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CustomerDeleted {
    success: bool,
    #[schemars(length(min = 1, max = 200), example = &"Customer deleted successfully")]
    message: &'static str,
    deleted_at: Timestamp,
}

pub(crate) async fn delete_current(caller: Caller, Segments(customer): Segments<String>) -> Answer<OrPlan<CustomerDeleted>> {
    let how = if caller.query.flag("hard")? { Deleting::Hard } else { Deleting::Softly };
    let organization = caller.current_organization()?;
    let deleting = customers::delete(&caller.cx, &organization, &customer, how, caller.details()?);
    order(&caller, Subject::Customer(organization.clone(), customer.clone(), how), deleting, |deletion| {
        let message = "Customer deleted successfully";
        caller.one(StatusCode::OK, &CustomerDeleted { success: true, message, deleted_at: deletion.created_at })
    })
    .await
}
