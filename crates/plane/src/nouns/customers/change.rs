//! Changes of a customer: its fields, who manages it, how long its credits last, and its screens.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::{Customer, MOST_OF_A_NAME, MOST_OF_A_NUMBER, load, lock, lock_any, unknown_manager};
use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::deletions::{self, Root};
use crate::events::Event;
use crate::fields::{Check, merge_metadata};
use crate::ids::OrganizationRef;
use crate::normal_forms::{composed, email_key};
use crate::policy::Action;
use crate::{Cx, Error, FieldError, Result, ledger, locks, members, notify};

/// What one credit adds.
const CREDIT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What shall be changed about a customer. What is missing stays.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
pub struct CustomerChange {
    /// Never changes: leave it out, or send the one it has.
    #[serde(rename = "id")]
    #[schemars(length(min = 1, max = 100), example = &"user123", extend("readOnly" = true))]
    pub reference: Option<String>,
    /// What people call the customer.
    #[schemars(length(min = 1, max = MOST_OF_A_NAME), example = &"Ada Lovelace")]
    pub name: Option<String>,
    /// The address.
    #[schemars(with = "Option<crate::wire::Email>")]
    pub email: Option<String>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "crate::wire::clearable")]
    #[schemars(length(min = 1, max = MOST_OF_A_NUMBER), example = &"+44 20 7946 0000")]
    pub phone: Option<Option<String>>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "crate::wire::clearable")]
    #[schemars(length(min = 1, max = MOST_OF_A_NUMBER), example = &"GB123456789")]
    pub tax_id: Option<Option<String>>,
    /// Takes the place of the old one; null takes it away.
    #[serde(default, deserialize_with = "crate::wire::emptied_object")]
    #[schemars(with = "Option<crate::wire::Address>", example = serde_json::json!({"city": "London"}))]
    pub address: Option<Json>,
    /// Merged into what is there; an empty text takes a key away.
    #[serde(default = "crate::wire::no_object", deserialize_with = "crate::wire::object")]
    #[schemars(with = "Option<crate::wire::Metadata>")]
    pub metadata: Json,
    /// The member who shall manage the customer; null for none. For those who may assign customers.
    #[serde(default, deserialize_with = "crate::wire::clearable")]
    #[schemars(with = "Option<crate::wire::MemberId>", extend("x-unshown" = true))]
    pub managed_by: Option<Option<Uuid>>,
}

/// Changes a customer.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`]; [`Error::Forbidden`] for a reseller and a customer under other management, and for those who may
/// not assign customers; [`Error::Invalid`]; [`Error::Conflict`] when the organization is archived.
pub async fn update(cx: &Cx, organization: &OrganizationRef, reference: &str, change: CustomerChange) -> Result<Customer> {
    // The answer is the customer.
    let tenant = enter(cx, organization, Action::WriteCustomers).await?.also(cx, Action::ReadCustomers)?;
    let mut check = Check::new();
    check
        .metadata("metadata", &change.metadata)
        .optional("name", change.name.as_deref(), 1..=MOST_OF_A_NAME)
        .optional("phone", change.phone.iter().flatten().next().map(String::as_str), 1..=MOST_OF_A_NUMBER)
        .optional("tax_id", change.tax_id.iter().flatten().next().map(String::as_str), 1..=MOST_OF_A_NUMBER);
    if let Some(email) = &change.email {
        check.email("email", email);
    }
    if let Some(address) = &change.address {
        check.address("address", address);
    }
    check.finish()?;
    let reference = reference.to_owned();
    tenant.write(cx, async move |cx, tx, tenant| update_in(cx, tx, tenant, &reference, &change).await).await
}

async fn update_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, reference: &str, change: &CustomerChange) -> Result<Customer> {
    // Members are locked before their customers, as in a member's removal.
    let manager = match change.managed_by.flatten() {
        Some(manager) => members::lock(tx, tenant, manager).await?,
        None => None,
    };
    lock(tx, tenant, reference, Action::WriteCustomers).await?;
    let old = load(tx, tenant, reference).await?;
    cx.expects(old.id, old.revision)?;
    if change.reference.as_ref().is_some_and(|other| *other != old.reference) {
        return Err(FieldError::new("id", "immutable", "never changes: leave the field out, or make another customer").into());
    }
    if let Some(managed_by) = change.managed_by
        && managed_by != old.managed_by
    {
        tenant.also(cx, Action::AssignCustomer)?;
        if managed_by.is_some() && manager.is_none() {
            return Err(unknown_manager());
        }
    }
    let change = change.clone();
    let new = Customer {
        name: change.name.unwrap_or_else(|| old.name.clone()),
        email: change.email.unwrap_or_else(|| old.email.clone()),
        phone: change.phone.unwrap_or_else(|| old.phone.clone()),
        tax_id: change.tax_id.unwrap_or_else(|| old.tax_id.clone()),
        address: change.address.unwrap_or_else(|| old.address.clone()),
        metadata: merge_metadata("metadata", &old.metadata, &change.metadata)?,
        managed_by: change.managed_by.unwrap_or(old.managed_by),
        ..old.clone()
    };
    if new == old {
        return Ok(old);
    }
    let statement = sql!(
        "UPDATE customers SET name = $3, email = $4, phone = $5, tax_id = $6, address = $7, metadata = $8, managed_by = $9,
                              email_key = $10, search_key = $11
         WHERE organization_id = $1 AND id = $2"
    );
    let values = params![
        new.organization,
        new.id,
        &new.name,
        &new.email,
        new.phone.as_deref(),
        new.tax_id.as_deref(),
        &new.address,
        &new.metadata,
        new.managed_by,
        email_key(&new.email),
        new.search_key(),
    ];
    tx.execute(statement, values).await?;
    if new.managed_by != old.managed_by {
        note_state(cx, tx, &new).await?;
    }
    finish(cx, tx, tenant, &new, "customer.update").await
}

/// Adds credits: 30 days each, from now or from the end of those that are left. Credits that are added at once add up.
///
/// # Errors
/// Those of [`update`]; [`Error::Invalid`] unless there are 1 to 120 credits; [`Error::Conflict`] when they would last beyond the year 9999.
pub async fn extend(cx: &Cx, organization: &OrganizationRef, reference: &str, credits: i64) -> Result<Customer> {
    // The answer is the customer.
    let tenant = enter(cx, organization, Action::WriteCustomers).await?.also(cx, Action::ReadCustomers)?;
    if !(1..=120).contains(&credits) {
        return Err(FieldError::new("credits", "out_of_range", "must be a whole number from 1 to 120").into());
    }
    let reference = reference.to_owned();
    tenant
        .write(cx, async move |cx, tx, tenant| {
            lock(tx, tenant, &reference, Action::WriteCustomers).await?;
            let old = load(tx, tenant, &reference).await?;
            cx.expects(old.id, old.revision)?;
            let from = old.expires_at.map_or(cx.now, |end| end.max(cx.now));
            let end =
                i32::try_from(credits).ok().and_then(|credits| CREDIT.checked_mul(credits)).and_then(|added| from.checked_add(added).ok());
            // Cut to the microsecond that the database keeps, which the last second that there is does not survive.
            let end = end.and_then(|end| Timestamp::from_microsecond(end.as_microsecond()).ok());
            let end = end.ok_or_else(|| Error::Conflict("These credits would last beyond the year 9999: add fewer.".into()))?;
            let statement = sql!("UPDATE customers SET expires_at = $3 WHERE organization_id = $1 AND id = $2");
            tx.execute(statement, params![old.organization, old.id, end]).await?;
            finish(cx, tx, tenant, &old, "customer.extend").await
        })
        .await
}

/// Adds a screen for a pass. A pass is used once in an organization, for any customer.
///
/// # Errors
/// Those of [`update`]; [`Error::Invalid`] unless the pass has 1 to 100 characters; [`Error::Conflict`] when it was used.
pub async fn add_screen(cx: &Cx, organization: &OrganizationRef, reference: &str, pass: &str) -> Result<Customer> {
    // The answer is the customer.
    let tenant = enter(cx, organization, Action::WriteCustomers).await?.also(cx, Action::ReadCustomers)?;
    Check::new().text("pass_id", pass, 1..=100).finish()?;
    let (reference, pass) = (reference.to_owned(), pass.to_owned());
    tenant
        .write(cx, async move |cx, tx, tenant| {
            lock(tx, tenant, &reference, Action::WriteCustomers).await?;
            let old = load(tx, tenant, &reference).await?;
            cx.expects(old.id, old.revision)?;
            let statement = sql!("INSERT INTO screens (organization_id, customer_id, id, pass_id, created_at) VALUES ($1, $2, $3, $4, $5)");
            let values = params![old.organization, old.id, cx.new_id()?, &*composed(&pass), cx.now];
            tx.execute(statement, values).await.map_err(|error| match error {
                sql::Error::Unique(_) => Error::Conflict("This pass was used already: use another.".into()),
                other => other.into(),
            })?;
            finish(cx, tx, tenant, &old, "customer.add_screen").await
        })
        .await
}

/// Makes a customer read-only. Its sessions end and its devices are disconnected; all else is kept, and can be read and exported. One that is
/// archived already stays as it is.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`]; [`Error::Forbidden`] for a reseller and a customer under other management; [`Error::Conflict`]
/// when the organization is archived; [`Error::Blocked`] while a legal hold keeps what would end.
pub async fn archive(cx: &Cx, organization: &OrganizationRef, reference: &str) -> Result<Customer> {
    set_archived(cx, organization, reference, true).await
}

/// Makes an archived customer writable again. One that is not archived stays as it is.
///
/// # Errors
/// Those of [`archive`].
pub async fn unarchive(cx: &Cx, organization: &OrganizationRef, reference: &str) -> Result<Customer> {
    set_archived(cx, organization, reference, false).await
}

async fn set_archived(cx: &Cx, organization: &OrganizationRef, reference: &str, shall_be: bool) -> Result<Customer> {
    // The answer is the customer.
    let tenant = enter(cx, organization, Action::ArchiveCustomer).await?.also(cx, Action::ReadCustomers)?;
    let reference = reference.to_owned();
    tenant
        .write(cx, async move |cx, tx, tenant| {
            locks::keep_holds_out(tx, tenant.organization()).await?;
            let (id, archived_at) = lock_any(tx, tenant, &reference, Action::ArchiveCustomer).await?;
            let old = load(tx, tenant, &reference).await?;
            cx.expects(old.id, old.revision)?;
            if archived_at.is_some() == shall_be {
                return Ok(old);
            }
            // What is put away comes back as it was, with the time of its last change.
            let statement = sql!("UPDATE customers SET archived_at = $3, revision = revision + 1 WHERE organization_id = $1 AND id = $2");
            tx.execute(statement, params![old.organization, id, shall_be.then_some(cx.now)]).await?;
            if shall_be {
                let mut held = deletions::blockers(cx, tx, Root::Customer, old.organization, id).await?;
                held.retain(|blocker| blocker.code == "legal_hold");
                if !held.is_empty() {
                    return Err(Error::Blocked(held));
                }
                deletions::end_credentials(cx, tx, (Root::Customer, old.organization, id), Root::Customer.credentials()).await?;
            }
            note_state(cx, tx, &Customer { archived_at: shall_be.then_some(cx.now), ..old.clone() }).await?;
            tell(cx, tx, tenant, &old, if shall_be { "customer.archive" } else { "customer.unarchive" }).await
        })
        .await
}

/// Tells the ledger who manages a customer and whether it is archived, from the change on that is being made.
async fn note_state(cx: &Cx, tx: &mut Tx, customer: &Customer) -> Result<()> {
    let entry = ledger::Entry::Customer {
        organization: customer.organization,
        customer: customer.id,
        managed_by: customer.managed_by,
        is_archived: customer.archived_at.is_some(),
        revision: customer.revision + 1,
    };
    ledger::note(cx, tx, entry).await
}

/// Puts a customer under this management again, and archives it, in a database that was restored from before that. `was_archived`: its sessions and
/// devices have ended since. Returns whether there was anything to do.
///
/// # Errors
/// The database's.
pub(crate) async fn set_again(
    cx: &Cx,
    tx: &mut Tx,
    (organization, id): (Uuid, Uuid),
    managed_by: Option<Uuid>,
    (is_archived, was_archived): (bool, bool),
    revision: i64,
) -> Result<bool> {
    // A manager that the older state does not know manages no customer.
    let set = sql!(
        "UPDATE customers SET revision = $5, archived_at = $4,
                              managed_by = (SELECT id FROM members WHERE organization_id = $1 AND id = $3 AND state = 'live')
         WHERE organization_id = $1 AND id = $2 AND revision < $5"
    );
    if tx.execute(set, params![organization, id, managed_by, is_archived.then_some(cx.now), revision]).await? == 0 {
        return Ok(false);
    }
    if was_archived {
        deletions::end_credentials(cx, tx, (Root::Customer, organization, id), Root::Customer.credentials()).await?;
    }
    Ok(true)
}

/// What every change of a customer's own fields ends with.
async fn finish(cx: &Cx, tx: &mut Tx, tenant: &Tenant, customer: &Customer, action: &'static str) -> Result<Customer> {
    let statement = sql!("UPDATE customers SET updated_at = $3, revision = revision + 1 WHERE organization_id = $1 AND id = $2");
    tx.execute(statement, params![customer.organization, customer.id, cx.now]).await?;
    tell(cx, tx, tenant, customer, action).await
}

/// Writes a change into the audit trail, tells the webhooks, and returns the customer as it is now.
async fn tell(cx: &Cx, tx: &mut Tx, tenant: &Tenant, customer: &Customer, action: &'static str) -> Result<Customer> {
    let note = Note { action, subject: "customer", subject_id: Some(customer.id), ..Note::default() };
    audit::record(cx, tx, customer.organization, &note).await?;
    let data = crate::payloads::CustomerEvent { organization_id: customer.organization, id: &customer.reference };
    notify::emit(cx, tx, customer.organization, Event::CustomerUpdated, notify::About::Customer(customer.id), data).await?;
    load(tx, tenant, &customer.reference).await
}
