//! What customers own: subscriptions, transactions, devices, sessions and activity entries. Five tables of one shape, described by data.

use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use sql::{FromRow, Row, Statement, Static, Tx, Value, params};
use std::sync::OnceLock;
use uuid::Uuid;

use crate::access::enter;
use crate::audit::{self, Note};
use crate::customers;
use crate::deletions::{self, Root};
use crate::fields::{Check, parse_time};
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::Action;
use crate::revisions::derived;
use crate::{Cx, Error, Result, fields, ledger, locks};

/// What a column of a dependant holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Text of up to so many characters.
    Text(usize),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number of 64 bits.
    Number,
    /// A time, written as in RFC 3339.
    Time,
}

/// One column that callers write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in snake case.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// Whether it must be given. A missing word is the first of its list, a missing time of a required column is now.
    pub required: bool,
    /// What it says, if its name does not.
    pub about: &'static str,
    /// What it may look like.
    pub like: &'static str,
}

impl Field {
    const fn like(mut self, like: &'static str) -> Field {
        self.like = like;
        self
    }
}

/// One kind of dependant.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its place in addresses, such as `subscriptions`.
    pub path: &'static str,
    /// Its table.
    pub table: &'static str,
    /// Its name in errors.
    pub noun: &'static str,
    /// What callers write.
    pub fields: &'static [Field],
    /// Whether an entry can be removed: what opens something to the customer. The others are the books and the history.
    pub is_removable: bool,
}

const fn required(name: &'static str, holds: Holds) -> Field {
    Field { name, holds, required: true, about: "", like: "" }
}

const fn optional(name: &'static str, holds: Holds) -> Field {
    Field { name, holds, required: false, about: "", like: "" }
}

/// Every kind.
pub const KINDS: [Kind; 5] = [
    Kind {
        path: "subscriptions",
        table: "subscriptions",
        noun: "Subscription",
        fields: &[
            required("plan", Holds::Text(100)).like("basic"),
            Field {
                about: "An active subscription keeps its customer from being deleted.",
                ..optional("status", Holds::Word(&["active", "cancelled", "expired"])).like("cancelled")
            },
            required("starts_at", Holds::Time),
            optional("ends_at", Holds::Time),
        ],
        is_removable: false,
    },
    Kind {
        path: "transactions",
        table: "transactions",
        noun: "Transaction",
        fields: &[
            Field { about: "In the currency's smallest unit.", ..required("amount", Holds::Number).like("1999") },
            required("currency", Holds::Text(3)).like("EUR"),
            Field {
                about: "A pending transaction keeps its customer from being deleted.",
                ..optional("status", Holds::Word(&["settled", "pending", "failed"])).like("settled")
            },
            optional("description", Holds::Text(500)).like("Invoice 42"),
        ],
        is_removable: false,
    },
    Kind {
        path: "devices",
        table: "devices",
        noun: "Device",
        fields: &[required("name", Holds::Text(100)).like("Laptop"), optional("platform", Holds::Text(50)).like("linux")],
        is_removable: true,
    },
    Kind {
        path: "sessions",
        table: "customer_sessions",
        noun: "Session",
        fields: &[optional("ip_address", Holds::Text(45)).like("192.0.2.7"), optional("user_agent", Holds::Text(500)).like("curl/8")],
        is_removable: true,
    },
    Kind {
        path: "activity",
        table: "activity_entries",
        noun: "Activity entry",
        fields: &[required("kind", Holds::Text(100)).like("signed_in"), optional("message", Holds::Text(2_000)).like("From a new place")],
        is_removable: false,
    },
];

impl Kind {
    /// The kind at this place in addresses.
    pub fn at(path: &str) -> Option<&'static Kind> {
        const KNOWN: &[Kind] = &KINDS;
        KNOWN.iter().find(|kind| kind.path == path)
    }

    fn statements(&self) -> &'static Statements {
        static ALL: OnceLock<Vec<(&'static str, Statements)>> = OnceLock::new();
        let all = ALL.get_or_init(|| KINDS.iter().map(|kind| (kind.table, Statements::of(kind))).collect());
        match all.iter().find(|(table, _)| *table == self.table) {
            Some((_, statements)) => statements,
            None => unreachable!("statements are made for every kind"),
        }
    }
}

struct Statements {
    insert: Statement,
    list: Statement,
    count: Statement,
    get: Statement,
    update: Statement,
    remove: Statement,
}

impl Statements {
    fn of(kind: &Kind) -> Statements {
        let Kind { table, .. } = kind;
        let columns: String = kind.fields.iter().map(|field| format!(", {}", field.name)).collect();
        let places: String = (0..kind.fields.len()).map(|place| format!(", ${}", place + 5)).collect();
        let changes: Vec<String> =
            kind.fields.iter().enumerate().map(|(place, field)| format!("{} = ${}", field.name, place + 4)).collect();
        Statements {
            insert: Statement::generated(format!(
                "INSERT INTO {table} (organization_id, customer_id, id, created_at{columns}) VALUES ($1, $2, $3, $4{places})"
            )),
            list: Statement::generated(format!(
                "SELECT id, created_at{columns} FROM {table} WHERE organization_id = $1 AND customer_id = $2 ORDER BY id DESC LIMIT $3 OFFSET $4"
            )),
            count: Statement::generated(format!("SELECT count(*) FROM {table} WHERE organization_id = $1 AND customer_id = $2")),
            get: Statement::generated(format!(
                "SELECT id, created_at{columns} FROM {table} WHERE organization_id = $1 AND customer_id = $2 AND id = $3"
            )),
            update: Statement::generated(format!(
                "UPDATE {table} SET {} WHERE organization_id = $1 AND customer_id = $2 AND id = $3",
                changes.join(", ")
            )),
            remove: Statement::generated(format!("DELETE FROM {table} WHERE organization_id = $1 AND customer_id = $2 AND id = $3")),
        }
    }
}

/// Every statement of this file, for the test that prepares them.
pub fn statements() -> Vec<Statement> {
    KINDS
        .iter()
        .flat_map(|kind| {
            let Statements { insert, list, count, get, update, remove } = kind.statements();
            [*insert, *list, *count, *get, *update, *remove]
        })
        .collect()
}

/// One entry: its id, its time, and its fields as JSON in the kind's order.
#[derive(Debug, Clone)]
pub struct Dependant {
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub created_at: Timestamp,
    /// The fields' names and values.
    pub fields: Vec<(&'static str, Json)>,
}

impl Dependant {
    /// The tag of this state.
    pub fn etag(&self) -> String {
        derived(self.id, self)
    }
}

/// Adds an entry to a customer.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::NotFound`] for an unknown or deleted customer; [`Error::Forbidden`].
pub async fn create(
    cx: &Cx,
    organization: &OrganizationRef,
    reference: &str,
    kind: &'static Kind,
    given: Map<String, Json>,
) -> Result<Dependant> {
    let tenant = enter(cx, organization, Action::WriteCustomers).await?;
    let values = check(cx, kind, given)?;
    let (reference, kind) = (reference.to_owned(), Static(kind));
    tenant
        .write(cx, async move |cx, tx, tenant| {
            let customer = customers::lock(tx, tenant, &reference, Action::WriteCustomers).await?;
            let id = cx.new_id()?;
            let mut bound = params![tenant.organization(), customer, id, cx.now].to_vec();
            bound.extend(values.iter().cloned());
            tx.execute(kind.statements().insert, &bound).await?;
            let fields = kind.fields.iter().zip(&values).map(|(field, value)| (field.name, to_json(value))).collect();
            Ok(Dependant { id, created_at: cx.now, fields })
        })
        .await
}

fn check(cx: &Cx, kind: &Kind, mut given: Map<String, Json>) -> Result<Vec<Value>> {
    let mut check = Check::new();
    let values = kind.fields.iter().map(|field| check_field(cx, &mut check, field, given.remove(field.name))).collect();
    refuse_unknown(&mut check, kind, &given);
    check.finish()?;
    Ok(values)
}

fn refuse_unknown(check: &mut Check, kind: &Kind, given: &Map<String, Json>) {
    for name in given.keys() {
        check.unknown(name, kind.fields.iter().map(|field| field.name));
    }
}

fn check_field(cx: &Cx, check: &mut Check, field: &Field, given: Option<Json>) -> Value {
    let name = field.name;
    match (field.holds, given.filter(|value| !value.is_null())) {
        (Holds::Word(words), None) => Value::from(words[0]),
        (Holds::Time, None) if field.required => Value::from(cx.now),
        (_, None) if field.required => {
            check.refuse(name, "required", "is required");
            Value::Null
        }
        (_, None) => Value::Null,
        (Holds::Text(length), Some(Json::String(text))) => {
            check.text(name, &text, 1..=length);
            Value::from(text)
        }
        (Holds::Word(words), Some(Json::String(text))) => {
            if !words.contains(&text.as_str()) {
                check.refuse(name, "unknown_word", format!("must be one of {}", words.join(", ")));
            }
            Value::from(text)
        }
        (Holds::Number, Some(Json::Number(number))) if number.is_i64() => Value::from(number.as_i64()),
        (Holds::Time, Some(Json::String(text))) => match parse_time(&text) {
            Some(time) => Value::from(time),
            None => {
                check.refuse(name, "invalid_time", "must be a time such as 2026-01-31T12:00:00Z, in the years 1 to 9999");
                Value::Null
            }
        },
        (holds, Some(_)) => {
            let wanted = match holds {
                Holds::Text(_) | Holds::Word(_) | Holds::Time => "must be a text",
                Holds::Number => "must be a whole number",
            };
            check.refuse(name, "invalid_type", wanted);
            Value::Null
        }
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::from(text.as_str()),
        Value::Int(number) => Json::from(*number),
        Value::Time(time) => Json::from(time.to_string()),
        _ => Json::Null,
    }
}

/// Lists a customer's entries of one kind, newest first.
///
/// # Errors
/// Those of [`customers::get`].
pub async fn list(
    cx: &Cx,
    organization: &OrganizationRef,
    reference: &str,
    kind: &'static Kind,
    request: PageRequest,
) -> Result<Page<Dependant>> {
    let customer = customers::get(cx, organization, reference).await?;
    let organization = customer.organization;
    let (customer, kind) = (customer.id, Static(kind));
    cx.read(async move |_, tx| {
        let total = tx.read_one(kind.statements().count, params![organization, customer]).await?;
        let bound = params![organization, customer, request.size, request.offset()];
        let rows = tx.query(kind.statements().list, bound).await?;
        Ok(Page::new(rows.into_iter().map(|row| read(&kind, row)).collect::<Result<_>>()?, total, request))
    })
    .await
}

/// Reads an entry.
///
/// # Errors
/// Those of [`customers::get`]; [`Error::NotFound`].
pub async fn get(cx: &Cx, organization: &OrganizationRef, reference: &str, kind: &'static Kind, id: Uuid) -> Result<Dependant> {
    let customer = customers::get(cx, organization, reference).await?;
    let organization = customer.organization;
    let (customer, kind) = (customer.id, Static(kind));
    cx.read(async move |_, tx| load(tx, &kind, organization, customer, id).await).await
}

async fn load(tx: &mut Tx, kind: &Kind, organization: Uuid, customer: Uuid, id: Uuid) -> Result<Dependant> {
    let found = tx.query_opt(kind.statements().get, params![organization, customer, id]).await?;
    read(kind, found.ok_or(Error::NotFound(kind.noun))?)
}

/// Changes the given fields of an entry: how a subscription is cancelled or a transaction settled. Fields that are missing stay; null
/// empties one that may be empty.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Conflict`] when the organization is archived.
pub async fn update(
    cx: &Cx,
    organization: &OrganizationRef,
    reference: &str,
    kind: &'static Kind,
    id: Uuid,
    given: Map<String, Json>,
) -> Result<Dependant> {
    // The answer is the entry.
    let tenant = enter(cx, organization, Action::WriteCustomers).await?.also(cx, Action::ReadCustomers)?;
    let changes = check_changes(cx, kind, given)?;
    let (reference, kind) = (reference.to_owned(), Static(kind));
    tenant
        .write(cx, async move |cx, tx, tenant| {
            let customer = customers::lock(tx, tenant, &reference, Action::WriteCustomers).await?;
            let old = load(tx, &kind, tenant.organization(), customer, id).await?;
            cx.expects_tag(&old.etag())?;
            let mut bound = params![tenant.organization(), customer, id].to_vec();
            for ((field, change), (_, old)) in kind.fields.iter().zip(&changes).zip(&old.fields) {
                bound.push(change.clone().unwrap_or_else(|| from_json(field, old)));
            }
            tx.execute(kind.statements().update, &bound).await?;
            let new = load(tx, &kind, tenant.organization(), customer, id).await?;
            if new.fields != old.fields {
                // Whether a subscription is active decides whether its customer can be deleted.
                let detail = Some(format!("{} {id}", kind.path));
                let note =
                    Note { action: "customer.change_entry", subject: "customer", subject_id: Some(customer), detail, ..Note::default() };
                audit::record(cx, tx, tenant.organization(), &note).await?;
            }
            Ok(new)
        })
        .await
}

/// Removes an entry of a kind that can be removed: a session ends, a device is disconnected. It is erased at once; the audit trail says that it
/// was there, and has no record of its own as larger deletions have.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`]; [`Error::Blocked`] while a legal hold is in force on the customer or the organization;
/// [`Error::Conflict`] when either is archived; [`Error::Invalid`] for a reason of more than 500 characters.
pub async fn remove(
    cx: &Cx,
    organization: &OrganizationRef,
    reference: &str,
    kind: &'static Kind,
    id: Uuid,
    reason: Option<String>,
) -> Result<()> {
    let detail = Some(format!("{} {id}", kind.path));
    let note = Note { action: "customer.remove_entry", subject: "customer", detail, reason: reason.clone(), ..Note::default() };
    audit::attempt(cx, organization, note.clone(), async {
        let tenant = enter(cx, organization, Action::WriteCustomers).await?;
        fields::check_reason(reason.as_deref())?;
        if !kind.is_removable {
            return Err(Error::Internal(format!("{} are not removed", kind.path)));
        }
        let (reference, kind) = (reference.to_owned(), Static(kind));
        let write = tenant.write(cx, async move |cx, tx, tenant| {
            let organization = tenant.organization();
            locks::keep_holds_out(tx, organization).await?;
            let customer = customers::lock(tx, tenant, &reference, Action::WriteCustomers).await?;
            let entry = load(tx, &kind, organization, customer, id).await?;
            cx.expects_tag(&entry.etag())?;
            let mut held = deletions::blockers(cx, tx, Root::Customer, organization, customer).await?;
            held.retain(|blocker| blocker.code == "legal_hold");
            if !held.is_empty() {
                return Err(Error::Blocked(held));
            }
            tx.execute(kind.statements().remove, params![organization, customer, id]).await?;
            ledger::note(cx, tx, ledger::Entry::Removed { organization, customer, kind: kind.path.into(), id }).await?;
            audit::record(cx, tx, organization, &Note { subject_id: Some(customer), ..note.clone() }).await
        });
        write.await
    })
    .await
}

/// Removes an entry again in a database that was restored from before that. Returns whether it was there.
///
/// # Errors
/// The database's.
pub(crate) async fn remove_again(tx: &mut Tx, kind: &str, (organization, customer, id): (Uuid, Uuid, Uuid)) -> Result<bool> {
    let Some(kind) = KINDS.into_iter().find(|known| known.path == kind && known.is_removable) else { return Ok(false) };
    Ok(tx.execute(kind.statements().remove, params![organization, customer, id]).await? > 0)
}

/// A value for each field that is given, in the kind's order.
fn check_changes(cx: &Cx, kind: &Kind, mut given: Map<String, Json>) -> Result<Vec<Option<Value>>> {
    let mut check = Check::new();
    let mut values = Vec::with_capacity(kind.fields.len());
    for field in kind.fields {
        let change = given.remove(field.name);
        if change == Some(Json::Null) && (field.required || matches!(field.holds, Holds::Word(_))) {
            check.refuse(field.name, "required", "cannot be emptied");
            continue;
        }
        values.push(change.map(|change| check_field(cx, &mut check, field, Some(change))));
    }
    refuse_unknown(&mut check, kind, &given);
    check.finish()?;
    Ok(values)
}

/// A field's value as the database takes it, from what it gave.
fn from_json(field: &Field, value: &Json) -> Value {
    match (field.holds, value) {
        (Holds::Number, Json::Number(number)) => Value::from(number.as_i64()),
        (Holds::Time, Json::String(text)) => Value::from(parse_time(text)),
        (_, Json::String(text)) => Value::from(text),
        _ => Value::Null,
    }
}

fn read(kind: &Kind, row: Row) -> Result<Dependant> {
    row.read_with(|row| {
        let (id, created_at) = FromRow::from_row(row)?;
        let mut fields = Vec::with_capacity(kind.fields.len());
        for field in kind.fields {
            let value = match field.holds {
                Holds::Text(_) | Holds::Word(_) => Json::from(Option::<String>::from_row(row)?),
                Holds::Number => Json::from(Option::<i64>::from_row(row)?),
                Holds::Time => Json::from(Option::<Timestamp>::from_row(row)?.map(|time| time.to_string())),
            };
            fields.push((field.name, value));
        }
        Ok(Dependant { id, created_at, fields })
    })
}
