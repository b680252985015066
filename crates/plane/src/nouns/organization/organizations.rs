//! Organizations: the tenants. Everything but users belongs to one of them.

use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use sql::Tx;
use sql::{columns, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::deletions::{self, Deletion, Details, Order, Root};
use crate::events::Event;
use crate::fields::{Check, merge_metadata, metadata_filter};
use crate::ids::{OrganizationRef, is_slug};
use crate::page::{Page, PageRequest};
use crate::policy::{Action, Role};
use crate::revisions::etag;
use crate::{Cx, Error, FieldError, Result, ledger, locks, members, notify, ownership, policy, sessions};

/// An organization.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Organization {
    /// Its id.
    #[schemars(with = "crate::wire::OrganizationId")]
    pub id: Uuid,
    /// What people call it.
    #[schemars(length(min = 3, max = 100), example = &"Acme")]
    pub name: String,
    /// Unique and unchanging.
    #[schemars(length(min = 3, max = 50), example = &"acme")]
    pub slug: String,
    /// Address of a picture.
    #[schemars(length(min = 1, max = 2_000), example = &"https://example.com/logo.png")]
    pub logo: Option<String>,
    /// Not shown to publishable keys, like all that is not its public profile.
    #[schemars(length(min = 1, max = 100), example = &"free")]
    pub plan: Option<String>,
    /// Its owner; of several the one who has been a member longest.
    #[serde(rename = "owner_id")]
    pub owner: Option<Uuid>,
    /// Its customer id at Stripe.
    #[schemars(length(min = 1, max = 100), example = &"cus_123")]
    pub stripe_customer_id: Option<String>,
    /// How its own subscription stands.
    #[schemars(length(min = 1, max = 50), example = &"none")]
    pub subscription_status: Option<String>,
    /// Texts by name.
    #[schemars(with = "Option<crate::wire::Metadata>")]
    pub metadata: Option<Json>,
    /// Since when it is read-only.
    pub archived_at: Option<Timestamp>,
    /// Counts the changes of this record, from 1.
    #[serde(skip)]
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

columns! { Organization {
    id, slug, name, logo, plan, subscription_status, stripe_customer_id,
    owner: "(SELECT user_id FROM members WHERE organization_id = organizations.id AND role = 'owner' AND state = 'live' ORDER BY id LIMIT 1)",
    metadata, archived_at, revision, created_at, updated_at,
} }

impl Organization {
    /// The tag of this state.
    pub fn etag(&self) -> String {
        etag(self.id, self.revision)
    }
}

/// A new organization. Who makes it is its owner.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
pub struct NewOrganization {
    /// What people call it.
    #[schemars(length(min = 3, max = 100), example = &"Acme")]
    pub name: String,
    /// Unique and unchanging. Must not read as an id.
    #[schemars(with = "crate::wire::Slug")]
    pub slug: String,
    /// Address of a picture, http or https.
    #[schemars(with = "Option<crate::wire::Link>", example = &"https://example.com/logo.png")]
    pub logo: Option<String>,
    /// Texts by name.
    #[serde(default = "crate::wire::no_object", deserialize_with = "crate::wire::object")]
    #[schemars(with = "Option<crate::wire::Metadata>")]
    pub metadata: Json,
}

/// What shall be changed about an organization. What is missing stays.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
pub struct OrganizationChange {
    /// What people call it.
    #[schemars(length(min = 3, max = 100), example = &"Acme")]
    pub name: Option<String>,
    /// Never changes: leave it out, or send the one it has.
    #[schemars(length(min = 3, max = 50), example = &"acme", extend("readOnly" = true))]
    pub slug: Option<String>,
    /// Address of a picture, http or https; null takes it away.
    #[serde(default, deserialize_with = "crate::wire::clearable")]
    #[schemars(with = "Option<crate::wire::Link>", example = &"https://example.com/logo.png")]
    pub logo: Option<Option<String>>,
    /// Merged into what is there; an empty text takes a key away.
    #[serde(default = "crate::wire::no_object", deserialize_with = "crate::wire::object")]
    #[schemars(with = "Option<crate::wire::Metadata>")]
    pub metadata: Json,
}

/// Makes an organization whose owner is the signed-in user.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Conflict`] when the slug is taken; [`Error::Forbidden`] for an API key: it belongs to one organization.
pub async fn create(cx: &Cx, new: NewOrganization) -> Result<Organization> {
    let principal = cx.principal()?;
    if principal.organization.is_some() {
        return Err(Error::Forbidden(
            "This credential is bound to one organization and cannot make another: sign in without naming one.".into(),
        ));
    }
    cx.needs("write:organization")?;
    let mut check = Check::new();
    check.name("name", &new.name, 3..=100).link("logo", new.logo.as_deref()).metadata("metadata", &new.metadata);
    if !is_slug(&new.slug) {
        check.refuse("slug", "invalid_slug", crate::wire::SLUG);
    }
    check.finish()?;
    let metadata = merge_metadata("metadata", &Json::Null, &new.metadata)?;
    let new = NewOrganization { metadata, ..new };
    let user = principal.user;
    cx.write_own(async move |cx, tx| {
        locks::hold_user(tx, user).await?;
        let id = cx.new_id()?;
        let organization = sql!(
            "INSERT INTO organizations (id, slug, name, logo, plan, subscription_status, metadata, state, version, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 'free', 'none', $6, 'live', 1, $5, $5)"
        );
        let inserted = tx.execute(organization, params![id, &new.slug, &new.name, new.logo.as_deref(), cx.now, &new.metadata]).await;
        inserted.map_err(|error| match error {
            sql::Error::Unique(_) => Error::Conflict("This slug is taken: choose another.".into()),
            other => other.into(),
        })?;
        let member = sql!(
            "INSERT INTO members (organization_id, id, user_id, role, state, version, created_at) VALUES ($1, $2, $3, $4, 'live', 1, $5)"
        );
        tx.execute(member, params![id, cx.new_id()?, user, Role::Owner.name(), cx.now]).await?;
        let note = Note { action: "organization.create", subject: "organization", subject_id: Some(id), ..Note::default() };
        audit::record(cx, tx, id, &note).await?;
        load(tx, id).await
    })
    .await
}

/// Reads an organization.
///
/// # Errors
/// Those of [`enter`].
pub async fn get(cx: &Cx, organization: &OrganizationRef) -> Result<Organization> {
    if let Some(own) = cx.published_organization() {
        return public_profile(cx, own, organization).await;
    }
    let tenant = enter(cx, organization, Action::ReadOrganization).await?;
    let id = tenant.organization();
    cx.read(async move |_, tx| load(tx, id).await).await
}

/// What a publishable key reads of its organization: name, slug and picture, and when it was made and last changed. Everything else is absent.
async fn public_profile(cx: &Cx, own: Uuid, wanted: &OrganizationRef) -> Result<Organization> {
    let id = own;
    let known = cx.read(async move |_, tx| load(tx, id).await).await?;
    let is_meant = match wanted {
        OrganizationRef::Id(id) => *id == known.id,
        OrganizationRef::Slug(slug) => *slug == known.slug,
        OrganizationRef::Current => true,
    };
    match is_meant {
        true => Ok(Organization { plan: None, subscription_status: None, stripe_customer_id: None, owner: None, metadata: None, ..known }),
        false => Err(Error::Outsider("User is not a member of this organization.".into())),
    }
}

/// Lists the organizations of the signed-in user, or of them those whose metadata has these texts.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::Forbidden`] for a key without the scope; [`Error::Invalid`].
pub async fn list_mine(cx: &Cx, metadata: &Map<String, Json>, request: PageRequest) -> Result<Page<Organization>> {
    let principal = cx.needs(Action::ReadOrganization.scope())?;
    let metadata = metadata_filter(metadata)?;
    let (user, bound) = (principal.user, principal.organization);
    cx.read_filtered(metadata.is_some(), async move |cx, tx| {
        let of_members = sql!(
            "SELECT members.organization_id
             FROM members JOIN organizations ON organizations.id = members.organization_id
             WHERE members.user_id = $1 AND members.state = 'live' AND organizations.state = 'live'
               AND (CAST($2 AS jsonb) IS NULL OR jsonb_contains(organizations.metadata, $2))
             ORDER BY members.organization_id"
        );
        // A service account is no member anywhere.
        let of_service = sql!(
            "SELECT id FROM organizations
             WHERE id = $1 AND state = 'live' AND (CAST($2 AS jsonb) IS NULL OR jsonb_contains(metadata, $2))"
        );
        let (statement, of) = match bound {
            Some(own) if cx.principal()?.service_role.is_some() => (of_service, own),
            _ => (of_members, user),
        };
        let mut ids: Vec<Uuid> = tx.read_all(statement, params![of, metadata.as_ref()]).await?;
        ids.retain(|id| bound.is_none_or(|bound| bound == *id));
        let mut entries = Vec::new();
        for id in ids.iter().skip(usize::try_from(request.offset()).unwrap_or(usize::MAX)).take(request.size as usize) {
            entries.push(load(tx, *id).await?);
        }
        Ok(Page::new(entries, ids.len() as i64, request))
    })
    .await
}

/// Changes an organization's profile.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an owner; [`Error::Invalid`], also for another slug than its own; [`Error::Conflict`] when it is
/// archived.
pub async fn update(cx: &Cx, organization: &OrganizationRef, change: OrganizationChange) -> Result<Organization> {
    // The answer is the record.
    let tenant = enter(cx, organization, Action::UpdateOrganization).await?.also(cx, Action::ReadOrganization)?;
    let mut check = Check::new();
    if let Some(name) = &change.name {
        check.name("name", name, 3..=100);
    }
    check.link("logo", change.logo.iter().flatten().next().map(String::as_str));
    check.metadata("metadata", &change.metadata);
    check.finish()?;
    tenant
        .write(cx, async move |cx, tx, tenant| {
            tenant.lock(tx).await?;
            tenant.is_writable(tx).await?;
            let old = load(tx, tenant.organization()).await?;
            cx.expects(old.id, old.revision)?;
            if change.slug.as_ref().is_some_and(|slug| *slug != old.slug) {
                let words =
                    format!("never changes: this organization's is {}. Leave the field out, or make another organization.", old.slug);
                return Err(FieldError::new("slug", "immutable", words).into());
            }
            let name = change.name.as_ref().unwrap_or(&old.name);
            let (logo, kept) = (change.logo.as_ref().unwrap_or(&old.logo), old.metadata.clone().unwrap_or_default());
            let metadata = merge_metadata("metadata", &kept, &change.metadata)?;
            if (name, logo, &metadata) == (&old.name, &old.logo, &kept) {
                return Ok(old);
            }
            let statement = sql!(
                "UPDATE organizations SET name = $2, logo = $3, updated_at = $4, metadata = $5, revision = revision + 1
                 WHERE id = $1 AND state = 'live'"
            );
            tx.execute(statement, params![old.id, name, logo.as_deref(), cx.now, &metadata]).await?;
            let note = Note { action: "organization.update", subject: "organization", subject_id: Some(old.id), ..Note::default() };
            audit::record(cx, tx, old.id, &note).await?;
            tell(cx, tx, tenant.organization(), Event::OrganizationUpdated).await?;
            load(tx, old.id).await
        })
        .await
}

/// Makes an organization read-only. Its API keys and OAuth tokens end, and the secrets of its OAuth apps; people go on reading. One that is
/// archived already stays as it is.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an owner, [`Error::NotFound`].
pub async fn archive(cx: &Cx, organization: &OrganizationRef) -> Result<Organization> {
    let note = Note { action: "organization.archive", subject: "organization", ..Note::default() };
    set_archived(cx, organization, note, true).await
}

/// Makes an archived organization writable again. One that is not archived stays as it is.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an owner, [`Error::NotFound`].
pub async fn unarchive(cx: &Cx, organization: &OrganizationRef) -> Result<Organization> {
    let note = Note { action: "organization.unarchive", subject: "organization", ..Note::default() };
    set_archived(cx, organization, note, false).await
}

async fn set_archived(cx: &Cx, organization: &OrganizationRef, note: Note, shall_be: bool) -> Result<Organization> {
    audit::attempt(cx, organization, note.clone(), async {
        let tenant = enter(cx, organization, Action::ArchiveOrganization).await?;
        if !shall_be {
            deletions::go_on_with_archive(cx, tenant.organization()).await?;
        }
        let write = tenant.write_ending(cx, [tenant.organization()], async move |cx, tx, tenant| {
            tenant.lock(tx).await?;
            let id = tenant.organization();
            let old = load(tx, id).await?;
            cx.expects(id, old.revision)?;
            if old.archived_at.is_some() == shall_be {
                return Ok((old, false));
            }
            // What is put away comes back as it was, with the time of its last change.
            let statement = sql!("UPDATE organizations SET archived_at = $2, revision = revision + 1 WHERE id = $1 AND state = 'live'");
            tx.execute(statement, params![id, shall_be.then_some(cx.now)]).await?;
            let goes_on = match shall_be {
                true => deletions::begin_archive(cx, tx, id).await?,
                false => deletions::end_archive(cx, tx, id).await.map(|()| false)?,
            };
            audit::record(cx, tx, id, &Note { subject_id: Some(id), ..note.clone() }).await?;
            let archived = ledger::Entry::Archived { organization: id, is_archived: shall_be, revision: old.revision + 1 };
            ledger::note(cx, tx, archived).await?;
            tell(cx, tx, tenant.organization(), if shall_be { Event::OrganizationArchived } else { Event::OrganizationRestored }).await?;
            Ok((load(tx, id).await?, goes_on))
        });
        let (changed, goes_on) = write.await?;
        if goes_on && let Err(error) = deletions::go_on_with_archive(cx, changed.id).await {
            tracing::warn!(organization = %changed.id, %error, "what opened an archive could not all be ended; the upkeep goes on with it");
        }
        Ok(changed)
    })
    .await
}

/// Hands the organization over: the member becomes an owner and the acting owner an admin, in one step.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an owner; [`Error::Invalid`] when there is no such member, or it is the acting owner's own
/// membership; [`Error::Conflict`] when the organization is archived.
pub async fn transfer(cx: &Cx, organization: &OrganizationRef, member: Uuid) -> Result<Organization> {
    let note = Note { action: "organization.transfer", subject: "organization", ..Note::default() };
    audit::attempt(cx, organization, note, async {
        let tenant = enter(cx, organization, Action::TransferOrganization).await?;
        let own = tenant.membership().map(|own| own.id);
        tenant.write_ending(cx, own, async move |cx, tx, tenant| transfer_in(cx, tx, tenant, member).await).await
    })
    .await
}

async fn transfer_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, member: Uuid) -> Result<Organization> {
    tenant.lock(tx).await?;
    tenant.is_writable(tx).await?;
    let id = tenant.organization();
    expects(cx, tx, id).await?;
    let own = tenant.membership().map(|own| own.id).filter(|own| *own != member);
    let own = own.ok_or_else(|| FieldError::new("member_id", "own_membership", "must be another member's than your own"))?;
    let role = members::lock(tx, tenant, member).await?;
    let role = role.ok_or_else(|| FieldError::new("member_id", "unknown_member", "must be the id of a member of this organization"))?;
    if role != Role::Owner {
        members::set_role(cx, tx, tenant, member, Role::Owner).await?;
    }
    members::set_role(cx, tx, tenant, own, Role::Admin).await?;
    ownership::count_change(cx, tx, tenant.organization()).await?;
    let detail = Some(format!("from member {own} to member {member}"));
    let note = Note { action: "organization.transfer", subject: "organization", subject_id: Some(id), detail, ..Note::default() };
    audit::record(cx, tx, id, &note).await?;
    load(tx, id).await
}

async fn tell(cx: &Cx, tx: &mut Tx, organization: Uuid, event: Event) -> Result<()> {
    notify::emit(cx, tx, organization, event, notify::About::Other(organization), crate::payloads::OrganizationEvent::of(organization))
        .await?;
    Ok(())
}

/// Deletes an organization and everything in it. Access ends with the answer; what is large goes in the background.
///
/// # Errors
/// [`Error::Forbidden`] for anyone but an owner, and where there is none an operator; [`Error::Invalid`] for an operator without a reason;
/// [`Error::NotFound`]; [`Error::Blocked`] while a legal hold is in force on something in it.
pub async fn delete(cx: &Cx, organization: &OrganizationRef, details: Details) -> Result<Deletion> {
    let note = Note { action: "organization.delete", subject: "organization", reason: details.reason.clone(), ..Note::default() };
    audit::attempt(cx, organization, note, async {
        let tenant = enter_to_delete(cx, organization, details.export).await?;
        deletions::count_ahead(cx, &tenant).await?;
        let ends = [tenant.organization()];
        tenant.write_ending(cx, ends, async move |cx, tx, tenant| delete_in(cx, tx, tenant, &details).await).await
    })
    .await
}

async fn delete_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, details: &Details) -> Result<Deletion> {
    tenant.lock(tx).await?;
    check_deletion(cx, tx, tenant, details.reason.as_deref()).await?;
    expects(cx, tx, tenant.organization()).await?;
    let order = Order {
        root: Root::Organization,
        subject: tenant.organization(),
        label: None,
        reason: details.reason.clone(),
        action: "organization.delete",
        detail: None,
        export: details.export,
    };
    deletions::delete(cx, tx, tenant.organization(), order).await
}

/// Holds a locked organization against what the caller had read, if they said so.
pub(crate) async fn expects(cx: &Cx, tx: &mut Tx, id: Uuid) -> Result<()> {
    if cx.precondition.is_none() {
        return Ok(());
    }
    let revision = load(tx, id).await?.revision;
    cx.expects(id, revision)
}

pub(crate) async fn load(tx: &mut Tx, id: Uuid) -> Result<Organization> {
    let statement = sql!("SELECT {columns} FROM organizations WHERE id = $1 AND state = 'live'", Organization);
    tx.read_opt(statement, params![id]).await?.ok_or(Error::NotFound("Organization"))
}

/// Lets in who may delete an organization. With an export the right to that is needed too.
pub(crate) async fn enter_to_delete(cx: &Cx, organization: &OrganizationRef, export: bool) -> Result<Tenant> {
    let tenant = enter_as_owner_or_operator(cx, organization).await?;
    if export { tenant.also(cx, Action::ExportOrganization) } else { Ok(tenant) }
}

/// Lets in the owners, and where there is none an operator.
async fn enter_as_owner_or_operator(cx: &Cx, organization: &OrganizationRef) -> Result<Tenant> {
    let refused = match enter(cx, organization, Action::DeleteOrganization).await {
        Err(refused @ (Error::Outsider(_) | Error::Forbidden(_))) if cx.principal()?.is_operator => refused,
        entered => return entered,
    };
    let tenant = enter(cx, organization, Action::DeleteOwnerless).await?;
    match cx.read(async move |_, tx| deletions::approval_rows::has_owner(tx, tenant.organization()).await).await? {
        true => Err(refused),
        false => Ok(tenant),
    }
}

/// Holds what an operator deletes, which is locked, against what they may: an organization without an owner, and never without a reason.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Invalid`].
async fn check_deletion(cx: &Cx, tx: &mut Tx, tenant: &Tenant, reason: Option<&str>) -> Result<()> {
    if tenant.role() == Some(Role::Owner) {
        return Ok(());
    }
    if deletions::approval_rows::has_owner(tx, tenant.organization()).await? {
        return Err(Error::Forbidden(policy::refusal(Action::DeleteOwnerless).into()));
    }
    sessions::is_fresh(cx, tx, cx.principal()?.credential, "operators can delete an organization without an owner").await?;
    match reason.is_some_and(|reason| !reason.trim().is_empty()) {
        true => Ok(()),
        false => Err(FieldError::new("reason", "required", "must say why an operator deletes the organization").into()),
    }
}
