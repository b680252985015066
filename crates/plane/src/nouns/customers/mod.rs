//! Customers: the people and companies an organization serves. Known by a reference that is unique in their organization.

mod change;
mod delete;
mod list;

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::events::Event;
use crate::fields::{Check, merge_metadata};
use crate::hex::hex;
use crate::ids::OrganizationRef;
pub use crate::ids::is_reference;
use crate::normal_forms::{email_key, search_key};
use crate::policy::{self, Action};
use crate::revisions::etag;
use crate::{Cx, Error, FieldError, Result, members, notify};

pub(crate) use change::set_again;
pub use change::{CustomerChange, add_screen, archive, extend, unarchive, update};
pub use delete::{Deleting, delete};
pub(crate) use delete::{enter_to_delete, find_to_delete};
pub use list::{CustomerFilter, list};

/// A customer.
#[derive(Debug, Clone, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Customer {
    /// Internal id: never on the wire in place of the reference.
    #[serde(skip)]
    pub id: Uuid,
    /// Unique in the organization.
    #[serde(rename = "id")]
    #[schemars(length(min = 1, max = 100), example = &"user123")]
    pub reference: String,
    /// The organization.
    #[serde(rename = "organization_id")]
    #[schemars(with = "crate::wire::OrganizationId")]
    pub organization: Uuid,
    /// What people call the customer.
    #[schemars(length(min = 1, max = MOST_OF_A_NAME), example = &"Ada Lovelace")]
    pub name: String,
    /// The address.
    #[schemars(length(min = 1, max = 254))]
    pub email: String,
    /// The telephone number.
    #[schemars(length(min = 1, max = MOST_OF_A_NUMBER), example = &"+44 20 7946 0000")]
    pub phone: Option<String>,
    /// The tax number.
    #[schemars(length(min = 1, max = MOST_OF_A_NUMBER), example = &"GB123456789")]
    pub tax_id: Option<String>,
    /// Texts by name.
    #[schemars(with = "crate::wire::Address", example = serde_json::json!({"city": "London"}))]
    pub address: Json,
    /// Texts by name.
    #[schemars(with = "crate::wire::Metadata")]
    pub metadata: Json,
    /// The member who manages the customer.
    pub managed_by: Option<Uuid>,
    /// Until when the customer's credits last.
    pub expires_at: Option<Timestamp>,
    /// How many screens were added.
    #[schemars(example = 2)]
    pub screens: i64,
    /// Since when it is read-only.
    pub archived_at: Option<Timestamp>,
    /// Since when it is softly deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    pub deleted_at: Option<Timestamp>,
    /// Counts the changes of this record, from 1.
    #[serde(skip)]
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

columns! { Customer {
    id, organization: "organization_id", reference, name, email, phone, tax_id, address, metadata, managed_by, expires_at,
    screens: "(SELECT count(*) FROM screens WHERE screens.organization_id = customers.organization_id AND customer_id = customers.id)",
    archived_at, deleted_at, revision, created_at, updated_at,
} }

impl Customer {
    /// The tag of this state.
    pub fn etag(&self) -> String {
        etag(self.id, self.revision)
    }
}

/// Characters of a customer's name at the most.
pub const MOST_OF_A_NAME: usize = 200;
/// Characters of a telephone or tax number at the most.
pub const MOST_OF_A_NUMBER: usize = 50;

/// A new customer.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
pub struct NewCustomer {
    /// Unique in the organization: 1 to 100 visible ASCII characters without `/`, not `.` or `..`; made up if missing.
    #[serde(rename = "id")]
    #[schemars(with = "Option<crate::wire::Reference>")]
    pub reference: Option<String>,
    /// This or `legalName` is required.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<String>", length(min = 1, max = MOST_OF_A_NAME), example = &"Ada Lovelace")]
    pub name: String,
    /// The address.
    #[schemars(with = "crate::wire::Email")]
    pub email: String,
    /// The telephone number.
    #[schemars(length(min = 1, max = MOST_OF_A_NUMBER), example = &"+44 20 7946 0000")]
    pub phone: Option<String>,
    /// The tax number.
    #[schemars(length(min = 1, max = MOST_OF_A_NUMBER), example = &"GB123456789")]
    pub tax_id: Option<String>,
    /// Texts by name.
    #[serde(default = "crate::wire::no_object", deserialize_with = "crate::wire::object")]
    #[schemars(with = "Option<crate::wire::Address>", example = serde_json::json!({"city": "London"}))]
    pub address: Json,
    /// Texts by name.
    #[serde(default = "crate::wire::no_object", deserialize_with = "crate::wire::object")]
    #[schemars(with = "Option<crate::wire::Metadata>")]
    pub metadata: Json,
    /// The member who manages the customer. A reseller's customers are always their own.
    #[schemars(with = "Option<crate::wire::MemberId>", extend("x-unshown" = true))]
    pub managed_by: Option<Uuid>,
}

impl Customer {
    /// The form in which it is searched.
    fn search_key(&self) -> String {
        search_key(&[&self.name, &self.reference], &self.email)
    }
}

/// Makes a customer.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Forbidden`]; [`Error::Conflict`] when the reference is in use.
pub async fn create(cx: &Cx, organization: &OrganizationRef, new: NewCustomer) -> Result<Customer> {
    let tenant = enter(cx, organization, Action::WriteCustomers).await?;
    let reference = match new.reference {
        Some(reference) => reference,
        None => hex(&deletion::random::<12>()?),
    };
    let mut check = Check::new();
    check
        .text("name", &new.name, 1..=MOST_OF_A_NAME)
        .email("email", &new.email)
        .optional("phone", new.phone.as_deref(), 1..=MOST_OF_A_NUMBER)
        .optional("tax_id", new.tax_id.as_deref(), 1..=MOST_OF_A_NUMBER)
        .address("address", &new.address)
        .metadata("metadata", &new.metadata);
    if !is_reference(&reference) {
        check.refuse("id", "invalid_id", crate::wire::REFERENCE);
    }
    check.finish()?;
    let metadata = merge_metadata("metadata", &Json::Null, &new.metadata)?;
    let managed_by = match tenant.only_managed_by() {
        Some(own) => Some(own),
        None => new.managed_by,
    };
    if managed_by.is_some() && managed_by != tenant.membership().map(|own| own.id) {
        tenant.also(cx, Action::AssignCustomer)?;
    }
    let customer = Customer {
        id: cx.new_id()?,
        organization: tenant.organization(),
        reference,
        name: new.name,
        email: new.email,
        phone: new.phone,
        tax_id: new.tax_id,
        address: new.address,
        metadata,
        managed_by,
        expires_at: None,
        screens: 0,
        archived_at: None,
        deleted_at: None,
        revision: 1,
        created_at: cx.now,
        updated_at: cx.now,
    };
    tenant
        .write(cx, async move |cx, tx, tenant| {
            tenant.is_writable(tx).await?;
            if let Some(manager) = customer.managed_by
                && members::lock(tx, tenant, manager).await?.is_none()
            {
                return Err(unknown_manager());
            }
            insert(tx, &customer).await?;
            let note = Note { action: "customer.create", subject: "customer", subject_id: Some(customer.id), ..Note::default() };
            audit::record(cx, tx, customer.organization, &note).await?;
            let data = crate::payloads::CustomerEvent { organization_id: customer.organization, id: &customer.reference };
            notify::emit(cx, tx, customer.organization, Event::CustomerCreated, notify::About::Customer(customer.id), data).await?;
            Ok(customer.clone())
        })
        .await
}

fn unknown_manager() -> Error {
    FieldError::new("managed_by", "unknown_member", "must be the id of a member of this organization").into()
}

async fn insert(tx: &mut Tx, customer: &Customer) -> Result<()> {
    let statement = sql!(
        "INSERT INTO customers (organization_id, id, reference, name, email, phone, tax_id, address, metadata, managed_by, state, version,
                                created_at, updated_at, email_key, search_key)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'live', 1, $11, $11, $12, $13)"
    );
    let values = params![
        customer.organization,
        customer.id,
        &customer.reference,
        &customer.name,
        &customer.email,
        customer.phone.as_deref(),
        customer.tax_id.as_deref(),
        &customer.address,
        &customer.metadata,
        customer.managed_by,
        customer.created_at,
        email_key(&customer.email),
        customer.search_key(),
    ];
    tx.execute(statement, values).await.map(drop).map_err(|error| match error {
        sql::Error::Unique(_) => Error::Conflict("A customer with this id exists, or existed and is kept: choose another id.".into()),
        sql::Error::ForeignKey(_) => Error::NotFound("Organization"),
        other => other.into(),
    })
}

/// Reads a customer.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`]; [`Error::Forbidden`] for a reseller and a customer under other management.
pub async fn get(cx: &Cx, organization: &OrganizationRef, reference: &str) -> Result<Customer> {
    get_in(cx, organization, reference, false).await
}

/// Reads a customer who was softly deleted and is kept for audit.
///
/// # Errors
/// Those of [`get`]; [`Error::Forbidden`] for those who may not delete customers so.
pub async fn get_deleted(cx: &Cx, organization: &OrganizationRef, reference: &str) -> Result<Customer> {
    get_in(cx, organization, reference, true).await
}

async fn get_in(cx: &Cx, organization: &OrganizationRef, reference: &str, is_deleted: bool) -> Result<Customer> {
    let tenant = enter_for(cx, organization, is_deleted).await?;
    if !is_reference(reference) {
        return Err(Error::NotFound("Customer"));
    }
    let reference = reference.to_owned();
    cx.read(async move |_, tx| {
        let customer = load_in(tx, &tenant, &reference, state(is_deleted)).await?;
        check_management(&tenant, customer.managed_by, Action::ReadCustomers)?;
        Ok(customer)
    })
    .await
}

/// Lets the actor in to read customers, or those who were softly deleted.
async fn enter_for(cx: &Cx, organization: &OrganizationRef, is_deleted: bool) -> Result<Tenant> {
    let tenant = enter(cx, organization, Action::ReadCustomers).await?;
    // A customer that no other caller finds any more is for those who may delete so: the narrower of the two limits counts.
    if is_deleted { tenant.also(cx, Action::ReadDeletedCustomers) } else { Ok(tenant) }
}

/// The state of the customers that are meant, in the database.
fn state(is_deleted: bool) -> &'static str {
    if is_deleted { "deleted" } else { "live" }
}

async fn load(tx: &mut Tx, tenant: &Tenant, reference: &str) -> Result<Customer> {
    load_in(tx, tenant, reference, state(false)).await
}

async fn load_in(tx: &mut Tx, tenant: &Tenant, reference: &str, state: &str) -> Result<Customer> {
    let statement = sql!("SELECT {columns} FROM customers WHERE organization_id = $1 AND reference = $2 AND state = $3", Customer);
    tx.read_opt(statement, params![tenant.organization(), reference, state]).await?.ok_or(Error::NotFound("Customer"))
}

/// Touches a customer's row and returns its id: what hangs on it can neither be added to nor deleted by others until this transaction
/// ends. None that is archived, and none in an organization that is.
pub(crate) async fn lock(tx: &mut Tx, tenant: &Tenant, reference: &str, action: Action) -> Result<Uuid> {
    match lock_any(tx, tenant, reference, action).await? {
        (_, Some(_)) => Err(Error::Conflict(
            "This customer is archived and read-only: unarchive it with POST …/customers/{customerId}/unarchive.".into(),
        )),
        (id, None) => Ok(id),
    }
}

/// The same for one that may be archived, and since when it is.
async fn lock_any(tx: &mut Tx, tenant: &Tenant, reference: &str, action: Action) -> Result<(Uuid, Option<Timestamp>)> {
    tenant.is_writable(tx).await?;
    if !is_reference(reference) {
        return Err(Error::NotFound("Customer"));
    }
    let statement = sql!(
        "UPDATE customers SET version = version + 1
         WHERE organization_id = $1 AND reference = $2 AND state = 'live'
           AND EXISTS (SELECT 1 FROM organizations WHERE organizations.id = $1 AND organizations.state = 'live')
         RETURNING id, managed_by, archived_at"
    );
    let found = tx.read_opt(statement, params![tenant.organization(), reference]).await?;
    let (id, managed_by, archived_at) = found.ok_or(Error::NotFound("Customer"))?;
    check_management(tenant, managed_by, action)?;
    Ok((id, archived_at))
}

/// Touches a live customer's row and returns its id, in an archive too: for what adds nothing to the customer.
pub(crate) async fn lock_live(tx: &mut Tx, tenant: &Tenant, reference: &str) -> Result<Uuid> {
    if !is_reference(reference) {
        return Err(Error::NotFound("Customer"));
    }
    let statement =
        sql!("UPDATE customers SET version = version + 1 WHERE organization_id = $1 AND reference = $2 AND state = 'live' RETURNING id");
    tx.read_opt(statement, params![tenant.organization(), reference]).await?.ok_or(Error::NotFound("Customer"))
}

/// Fails for a customer under other management, for those who may only do this with their own.
pub(crate) fn check_management(tenant: &Tenant, managed_by: Option<Uuid>, action: Action) -> Result<()> {
    match tenant.only_managed_by() {
        Some(own) if managed_by != Some(own) => Err(Error::Forbidden(match action {
            Action::RetireCustomer => policy::refusal(action).into(),
            _ => "Access denied. This customer is not under your management.".into(),
        })),
        _ => Ok(()),
    }
}
