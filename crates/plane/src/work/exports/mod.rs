//! Exports: everything an organization or a customer owns, as a zip of one NDJSON file a table, with a manifest and a schema.
//!
//! What is exported is what the rules of deletion name, so that nothing can be deleted that was not in the export before: a new table is in
//! both from the start. An export is a job with a row of its own, made by `worker.rs`, kept in a folder of the server or a bucket until it
//! expires, and removed by `maintenance.rs`.

mod archive;
mod maintenance;
mod place;
mod plan;
mod worker;

use std::ops::Range;

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

pub(crate) use maintenance::Found;
pub use place::claim;
pub(crate) use place::{become_another, has_any, owner_of};
pub use plan::statements;
pub(crate) use worker::LONGEST_PAUSE;
pub use worker::run;

use crate::access::{Tenant, enter, enter_unseen};
use crate::audit::{self, Note};
use crate::customers;
use crate::cx::Cx;
use crate::deletions::{Root, export_orders};
use crate::hex::hex;
use crate::ids::OrganizationRef;
use crate::ids::SERVER_SCOPE;
use crate::page::{Page, PageRequest};
use crate::policy::Action;
use crate::quotas::Quota;
use crate::revisions::derived;
use crate::storage::{Reader, Use};
use crate::{Error, Result};

const NOUN: &str = "Export";
const NOT_FOUND: Error = Error::NotFound(NOUN);
const LOST: Error = Error::Gone("The archive of this export is not there any more, or not whole: order another.");
const EXPIRED: Error = Error::Gone("The export has expired and its archive was removed: order another.");

crate::wire::words! {
    /// How far an export is.
    pub enum State as "ExportState", like "waiting" {
        /// No worker has begun.
        Waiting = "waiting",
        /// Its archive is being written.
        Running = "running",
        /// Its archive can be downloaded.
        Done = "done",
        /// It was given up.
        Failed = "failed",
        /// Its archive is gone.
        Expired = "expired",
    }
}

/// An export: who ordered what, how far it is, and until when it can be downloaded.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Export {
    /// Its id.
    pub id: Uuid,
    /// The organization, which may be gone.
    #[serde(rename = "organization_id")]
    #[schemars(with = "crate::wire::OrganizationId")]
    pub organization: Uuid,
    /// What is exported.
    #[schemars(with = "String", extend("enum" = ["organization", "customer"]))]
    pub root: Root,
    /// The organization's or the customer's id.
    #[serde(rename = "subject_id")]
    pub subject: Uuid,
    /// How the caller named it; null once it has expired.
    #[schemars(length(min = 0, max = 200), example = &"user123")]
    pub subject_label: Option<String>,
    /// The deletion that waits for it.
    #[serde(rename = "deletion_id")]
    pub deletion: Option<Uuid>,
    /// It can be downloaded while it is `done`.
    pub state: State,
    /// What ordered it.
    #[schemars(with = "crate::wire::Actor")]
    pub actor: String,
    /// The user who ordered it.
    pub actor_id: Option<Uuid>,
    /// Those that were begun.
    #[serde(rename = "tables", serialize_with = "exported_tables")]
    #[schemars(with = "Vec<ExportedTable>")]
    pub counts: Json,
    /// Rows written so far.
    #[schemars(example = 3)]
    pub rows_done: i64,
    /// How many there were when it began.
    #[schemars(example = 3)]
    pub rows_total: Option<i64>,
    /// The archive's size.
    #[schemars(example = 4_096)]
    pub bytes: Option<i64>,
    /// The archive's SHA-256, in hexadecimal digits.
    #[serde(serialize_with = "hexadecimal")]
    #[schemars(with = "Option<String>", length(equal = 64), example = &"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    pub sha256: Option<Vec<u8>>,
    /// Why it failed, or is being tried again.
    #[schemars(length(min = 0, max = 1_000))]
    pub error: Option<String>,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When it was done, or failed for good.
    pub finished_at: Option<Timestamp>,
    /// When the archive is removed.
    pub expires_at: Option<Timestamp>,
}

columns! { Export {
    id, organization: "organization_id", root, subject: "subject_id", subject_label, deletion: "deletion_id", state, actor, actor_id,
    counts, rows_done, rows_total, bytes, sha256, error, created_at, finished_at, expires_at,
} }

/// One table's part of an export.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct ExportedTable<'a> {
    /// The table.
    #[schemars(length(min = 1, max = 50), example = &"customers")]
    table: &'a str,
    /// Rows written so far.
    #[schemars(with = "i64", example = 3)]
    rows: &'a Json,
}

fn exported_tables<S: serde::Serializer>(counts: &Json, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(counts.as_object().into_iter().flatten().map(|(table, rows)| ExportedTable { table, rows }))
}

fn hexadecimal<S: serde::Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&bytes.as_deref().map(hex), serializer)
}

impl Export {
    /// The tag of this state. How far it is is none of it.
    pub fn etag(&self) -> String {
        derived(self.id, &self.state)
    }
}

impl Export {
    /// The name of the archive for the person who saves it.
    pub fn file_name(&self) -> String {
        format!("freehold-{}-{}.zip", self.root.name(), self.id)
    }

    /// The archive's SHA-256 in hexadecimal digits.
    pub fn sha256_hex(&self) -> Option<String> {
        self.sha256.as_deref().map(hex)
    }

    fn action(&self) -> Action {
        action(self.root)
    }

    /// As it is at this time: the maintenance of archives may not have been there yet.
    fn at(mut self, now: Timestamp) -> Export {
        if self.state == State::Done && self.expires_at.is_some_and(|end| end <= now) {
            self.state = State::Expired;
        }
        self
    }
}

/// The action that an export of such a subject is.
fn action(root: Root) -> Action {
    if root == Root::Organization { Action::ExportOrganization } else { Action::ExportCustomer }
}

/// An archive, or a part of it, that may be downloaded.
#[derive(Debug)]
pub struct Download {
    /// Its record.
    pub export: Export,
    /// Which bytes of it were wanted.
    pub range: Range<u64>,
    /// What is read.
    pub reader: Reader,
}

/// Orders an export of an organization with everything in it.
///
/// # Errors
/// Those of [`enter`]; [`Error::Conflict`] when there are too many.
pub async fn of_organization(cx: &Cx, organization: &OrganizationRef) -> Result<Export> {
    let note = Note { action: "export.create", subject: "organization", ..Note::default() };
    audit::attempt(cx, organization, note, async {
        let tenant = enter(cx, organization, Action::ExportOrganization).await?;
        tenant.write(cx, async move |cx, tx, tenant| create(cx, tx, tenant, None).await).await
    })
    .await
}

/// Orders an export of a customer with everything it owns.
///
/// # Errors
/// Those of [`enter`]; [`Error::NotFound`]; [`Error::Conflict`] when there are too many.
pub async fn of_customer(cx: &Cx, organization: &OrganizationRef, reference: &str) -> Result<Export> {
    let subject_label = Some(reference.to_owned());
    let note = Note { action: "export.create", subject: "customer", subject_label, ..Note::default() };
    audit::attempt(cx, organization, note, async {
        let tenant = enter(cx, organization, Action::ExportCustomer).await?;
        let reference = reference.to_owned();
        tenant.write(cx, async move |cx, tx, tenant| create(cx, tx, tenant, Some(&reference)).await).await
    })
    .await
}

/// Under the locks of what a deletion closes: none overlooks the new row.
async fn create(cx: &Cx, tx: &mut Tx, tenant: &Tenant, customer: Option<&String>) -> Result<Export> {
    let organization = tenant.organization();
    tenant.lock(tx).await?;
    let (root, subject) = match customer {
        None => (Root::Organization, organization),
        Some(reference) => (Root::Customer, customers::lock_live(tx, tenant, reference).await?),
    };
    tenant.has_room(cx, tx, Quota::Exports).await?;
    let id = export_orders::insert(cx, tx, organization, (root, subject, customer), None).await?;
    let note = Note {
        action: "export.create",
        subject: root.noun(),
        subject_id: Some(subject),
        subject_label: customer.cloned(),
        detail: Some(format!("export {id}")),
        ..Note::default()
    };
    audit::record(cx, tx, organization, &note).await?;
    load(tx, id).await?.ok_or(NOT_FOUND)
}

/// Lists an organization's exports, newest first: those that the actor may order.
///
/// # Errors
/// Those of [`enter`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, request: PageRequest) -> Result<Page<Export>> {
    let tenant = enter(cx, organization, Action::ExportCustomer).await?;
    let is_owner = tenant.also(cx, Action::ExportOrganization).is_ok();
    cx.read(async move |cx, tx| {
        let count = sql!("SELECT count(*) FROM exports WHERE organization_id = $1 AND (root <> 'organization' OR $2)");
        let total = tx.read_one(count, params![tenant.organization(), is_owner]).await?;
        let statement = sql!(
            "SELECT {columns}
                 FROM exports WHERE organization_id = $1 AND (root <> 'organization' OR $2) ORDER BY id DESC LIMIT $3 OFFSET $4",
            Export
        );
        let bound = params![tenant.organization(), is_owner, request.limit(), request.offset()];
        let exports: Vec<Export> = tx.read_all(statement, bound).await?;
        Ok(Page::new(exports.into_iter().map(|export| export.at(cx.now)).collect(), total, request))
    })
    .await
}

/// Reads an export: for those who may order such a one. One that was ordered with a deletion is for the one who ordered it also when the
/// organization is gone.
///
/// # Errors
/// [`Error::NotFound`], for strangers to its organization too; [`Error::Forbidden`].
pub async fn get(cx: &Cx, id: Uuid) -> Result<Export> {
    let found = find(cx, id).await?;
    enter_of(cx, found).await.map(|(export, _)| export)
}

/// Opens the archive of an export that is done. `wanted` says which of so many bytes are wanted; none where there are no such, and then there is
/// nothing to download.
///
/// # Errors
/// Those of [`get`]; [`Error::Conflict`] when it is not done; [`Error::Gone`] when it has expired, is lost or not whole; [`Error::Overloaded`] when
/// its place cannot be reached.
pub async fn download(
    cx: &Cx,
    id: Uuid,
    wanted: impl FnOnce(&Export, u64) -> Option<Range<u64>> + Send,
) -> Result<std::result::Result<Download, u64>> {
    let found = find(cx, id).await?;
    let (organization, note) = told("export.download", id, found.as_ref());
    audit::attempt(cx, &organization, note.clone(), async {
        let (export, standing) = enter_of(cx, found).await?;
        match export.state {
            State::Done => {}
            State::Expired => return Err(EXPIRED),
            State::Failed => return Err(Error::Conflict("The export failed, and there is nothing to download: order another.".into())),
            State::Waiting | State::Running => {
                return Err(Error::Conflict("The export is not done yet: its record says how far it is.".into()));
            }
        }
        let of_exports = |failure: crate::storage::Failure| failure.of(Use::Exports);
        let stored = cx.plane.archives.storage.find(&archive_name(export.id)).await.map_err(of_exports)?;
        // The database was restored without its archives, or a disk has lost a part of one.
        let is_whole = |bytes: u64| export.bytes.is_none_or(|written| u64::try_from(written).is_ok_and(|written| bytes == written));
        let stored = stored.filter(|stored| is_whole(stored.bytes())).ok_or(LOST)?;
        let bytes = stored.bytes();
        let Some(range) = wanted(&export, bytes) else { return Ok(Err(bytes)) };
        let reader = stored.read(range.clone()).await.map_err(of_exports)?;
        let organization = export.organization;
        standing.write(cx, async move |cx, tx| audit::record(cx, tx, organization, &note).await).await?;
        Ok(Ok(Download { export, range, reader }))
    })
    .await
}

/// Fails when the actor may no longer read an export: asked again while its archive is sent.
///
/// # Errors
/// [`Error::NotFound`] and [`Error::Forbidden`], as by [`get`].
pub async fn may_read(cx: &Cx, export: &Export) -> Result<()> {
    enter_of(cx, Some(export.clone())).await.map(drop)
}

/// Fails when an export is gone or its archive has had its time.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Gone`].
pub async fn is_there(cx: &Cx, id: Uuid) -> Result<()> {
    match find(cx, id).await?.ok_or(NOT_FOUND)?.at(cx.now).state {
        State::Done => Ok(()),
        _ => Err(EXPIRED),
    }
}

/// Deletes an export with its archive. One that is under way stops. One that was ordered with a deletion needs what that needs, too.
///
/// # Errors
/// Those of [`get`].
pub async fn delete(cx: &Cx, id: Uuid) -> Result<()> {
    let found = find(cx, id).await?;
    let (organization, note) = told("export.delete", id, found.as_ref());
    audit::attempt(cx, &organization, note.clone(), async {
        let (export, standing) = enter_of(cx, found).await?;
        let standing = standing.also_ordering(cx, &export)?;
        let (organization, id) = (export.organization, export.id);
        let write = standing.write(cx, async move |cx, tx| {
            if cx.precondition.is_some() {
                // Takes the row's lock: its state stays what it is compared with.
                tx.execute(sql!("UPDATE exports SET fence = fence WHERE id = $1"), params![id]).await?;
                cx.expects_tag(&load(tx, id).await?.ok_or(NOT_FOUND)?.at(cx.now).etag())?;
            }
            let statement = sql!("DELETE FROM exports WHERE organization_id = $1 AND id = $2");
            if tx.execute(statement, params![organization, id]).await? == 0 {
                return Err(NOT_FOUND);
            }
            audit::record(cx, tx, organization, &note).await?;
            let plane = cx.plane.clone();
            // A deletion that waited for it waits no longer.
            tx.on_commit(move || plane.deletions.wake_waiting());
            Ok(())
        });
        write.await
    })
    .await?;
    // What cannot be removed now is an orphan, which the maintenance of archives removes.
    cx.plane.archives.note_unsure();
    // A bucket may take long to answer, which the caller does not wait for.
    if cx.plane.archives.storage.folder().is_none() {
        return Ok(());
    }
    let removed = match place::is_ours(&cx.plane).await {
        Ok(()) => cx.plane.archives.storage.remove(&archive_name(id)).await.map_err(|failure| failure.of(Use::Exports)),
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        tracing::warn!(export = %id, %error, "the archive of a deleted export could not be removed yet");
    }
    Ok(())
}

/// The organization under which an attempt is filed, and what is told of it.
fn told(action: &'static str, id: Uuid, found: Option<&Export>) -> (OrganizationRef, Note) {
    let organization = found.map_or(SERVER_SCOPE, |export| export.organization);
    let note = Note {
        action,
        subject: found.map_or("export", |export| export.root.noun()),
        subject_id: found.map(|export| export.subject),
        detail: Some(format!("export {id}")),
        deletion_id: found.and_then(|export| export.deletion),
        ..Note::default()
    };
    (OrganizationRef::Id(organization), note)
}

async fn find(cx: &Cx, id: Uuid) -> Result<Option<Export>> {
    // A caller who is not signed in hears nothing, not even that there is no such export.
    cx.principal()?;
    cx.read(async move |_, tx| load(tx, id).await).await
}

/// Why an actor may have an export.
enum Standing {
    /// They may order such a one in its organization.
    Inside(Tenant),
    /// They ordered it with a deletion.
    Orderer,
}

impl Standing {
    /// The same, for those who may also order what the export was ordered with: a deletion waits for its export, and its archive may be all that is
    /// left.
    fn also_ordering(self, cx: &Cx, export: &Export) -> Result<Standing> {
        if export.deletion.is_none() {
            return Ok(self);
        }
        let deleting = match export.root {
            Root::Organization => Action::DeleteOrganization,
            Root::RetiredCustomer => Action::RetireCustomer,
            _ => Action::DeleteCustomer,
        };
        match self {
            Standing::Inside(tenant) => Ok(Standing::Inside(tenant.also(cx, deleting)?)),
            Standing::Orderer => cx.principal()?.needs(deleting.scope()).map(|()| self),
        }
    }

    async fn write<T: Send + 'static>(&self, cx: &Cx, work: impl AsyncFn(&Cx, &mut Tx) -> Result<T> + Send + Sync + 'static) -> Result<T> {
        match self {
            Standing::Inside(tenant) => tenant.write(cx, async move |cx, tx, _| work(cx, tx).await).await,
            Standing::Orderer => cx.write_own(work).await,
        }
    }
}

async fn enter_of(cx: &Cx, found: Option<Export>) -> Result<(Export, Standing)> {
    let export = found.ok_or(NOT_FOUND)?.at(cx.now);
    match enter_unseen(cx, export.organization, export.action(), NOUN).await {
        Err(Error::NotFound(_)) if is_ones_own(cx, &export)? => Ok((export, Standing::Orderer)),
        Err(error) => Err(error),
        Ok(tenant) => Ok((export, Standing::Inside(tenant))),
    }
}

/// Whether the actor ordered it with a deletion, which may have left no organization to be a member of.
fn is_ones_own(cx: &Cx, export: &Export) -> Result<bool> {
    let principal = cx.principal()?;
    let is_good_here = principal.organization.is_none_or(|own| own == export.organization);
    let has_ordered_it = export.deletion.is_some() && export.actor_id == Some(principal.user);
    Ok(is_good_here && has_ordered_it && principal.needs(export.action().scope()).is_ok())
}

async fn load(tx: &mut Tx, id: Uuid) -> Result<Option<Export>> {
    let statement = sql!("SELECT {columns} FROM exports WHERE id = $1", Export);
    Ok(tx.read_opt(statement, params![id]).await?)
}

/// What the archive of an export is called when it is done.
pub(crate) fn archive_name(id: Uuid) -> String {
    format!("{id}.zip")
}
