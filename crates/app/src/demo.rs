//! `--demo`: two organizations with people of every role, customers and keys, all made through the operations that requests use, and a
//! request to paste for each of the four documented deletions. `freehold demo end` removes all of it.

use std::sync::Arc;

use clap::Subcommand;
use plane::api_keys::{self, Kind, NewApiKey};
use plane::attempts::Uncounted;
use plane::credentials::{Presented, authenticate};
use plane::customers::{self, Deleting, NewCustomer};
use plane::cx::Actor;
use plane::deletions::Details;
use plane::ids::{OrganizationRef, to_short};
use plane::members::MemberFilter;
use plane::organizations::{self, NewOrganization};
use plane::page::PageRequest;
use plane::policy::Role;
use plane::users::{self, NewUser, operators};
use plane::{Cx, Error, Plane, Result, dependants, invitations, members, sessions};
use serde_json::{Map, Value as Json, json};

use crate::operators::PlaceArgs;
use crate::{Outcome, say};

#[derive(Subcommand)]
pub(crate) enum Demo {
    /// Remove the demo's people and organizations. The database can be used without `--demo` afterwards.
    End {
        #[command(flatten)]
        place: PlaceArgs,
        /// Delete other organizations that the demo's people own as well.
        #[arg(long)]
        all: bool,
    },
}

pub(crate) async fn run(command: Demo) -> Outcome {
    let Demo::End { place, all } = command;
    let anonymous = crate::operators::alone(&place).await?.counting(Arc::new(Uncounted));
    end(&anonymous, all).await?;
    crate::operators::end(&anonymous).await?;
    say("The demo's people and organizations are removed. What is large is erased once a server runs.");
    Ok(())
}

/// Makes what the demo has, and again what was deleted of it since, and returns what to print. The password of the demo's people is a new
/// one at every start: on a database that others use one day, a published one opens nothing.
///
/// # Errors
/// [`Error::Malformed`] for a database that others than the demo's people use, and when the demo is no longer one.
pub(crate) async fn fill(plane: &Arc<Plane>) -> Result<Vec<String>> {
    let anonymous = Cx::new(plane, "demo").counting(Arc::new(Uncounted));
    if !is_there(&anonymous).await? && users::are_there(&anonymous).await? {
        let words = "there are people in this database already: --demo is for one that is empty, or was filled by it. Give it a --data folder of its own";
        return Err(Error::Malformed(words.into()));
    }
    complete(&anonymous).await.map_err(|error| {
        Error::Malformed(format!(
            "what is left of the demo cannot be made whole: {error} Remove it with freehold demo end, and start again"
        ))
    })
}

/// Refuses a database with the demo's people: the password of its operator was printed.
///
/// # Errors
/// [`Error::Malformed`].
pub(crate) async fn refuse(plane: &Arc<Plane>) -> Result<()> {
    match is_there(&Cx::new(plane, "demo")).await? {
        true => Err(Error::Malformed(
            "this database was filled by --demo: start with --demo, or remove the demo's people and organizations first with freehold demo end".into(),
        )),
        false => Ok(()),
    }
}

/// Whether a database was filled by `--demo` and the demo has not been ended.
async fn is_there(anonymous: &Cx) -> Result<bool> {
    Ok(operators::list(&anonymous.clone().with_actor(Actor::System)).await?.iter().any(|operator| operator.email == OPERATOR))
}

async fn complete(anonymous: &Cx) -> Result<Vec<String>> {
    let password = new_password()?;
    for role in Role::ALL {
        welcome(anonymous, &address(role), &password, false).await?;
    }
    welcome(anonymous, OPERATOR, &password, true).await?;
    let (owner, owner_token) = sign_in(anonymous, Role::Owner, &password, None).await?;
    let acme = make_organization(&owner, "Acme", "acme").await?;
    let doomed = make_organization(&owner, "Globex", "globex").await?;
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Owner) {
        match invitations::create(&owner, &acme, &address(role), role).await {
            Ok((_, token)) => {
                let (invited, _) = sign_in(anonymous, role, &password, None).await?;
                invitations::accept(&invited, &token).await?;
            }
            // A member since an earlier start.
            Err(Error::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    make_customers(&owner, &acme).await?;
    make_customers(&owner, &doomed).await?;

    let all = PageRequest::new(1, 100);
    let people = members::list(&owner, &acme, &MemberFilter::default(), all).await?.entries;
    let leaving = people.iter().find(|member| member.role == Role::Viewer).map_or_else(String::new, |member| to_short(member.id));
    let scopes = ["read:organization", "read:members", "write:members", "read:customers", "write:customers"].map(str::to_owned);
    for earlier in api_keys::list(&owner, &acme, &Map::new(), all).await?.entries.iter().filter(|key| key.name == DEMO_KEY) {
        api_keys::revoke(&owner, &acme, earlier.id, None).await?;
    }
    let new_key = NewApiKey { scopes: Some(scopes.into()), ..NewApiKey::new(Kind::Organization, DEMO_KEY) };
    let (_, key) = api_keys::create(&owner, &acme, new_key).await?;
    let acme_id = organizations::get(&owner, &acme).await?.id;
    let doomed_id = organizations::get(&owner, &doomed).await?.id;
    let (_, acme_token) = sign_in(anonymous, Role::Owner, &password, Some(acme)).await?;
    let url = &anonymous.plane.config.public_url;
    Ok(vec![
        format!(
            "Everybody's password is {password} until the next start: owner@demo.example, admin@demo.example, …, operator@demo.example."
        ),
        "Paste any of these. Delete a customer (organizations API):".into(),
        format!(
            "curl -i -X DELETE {url}/api/organizations/{acme_id}/customers/590ce6c56d04f840aa8438af -H \"Authorization: Bearer {owner_token}\""
        ),
        "Delete a customer (customer API):".into(),
        format!(
            "curl -i -X DELETE \"{url}/customer/user123\" -H \"Authorization: Bearer {acme_token}\" -H \"Content-Type: application/json\""
        ),
        "Remove a member (account API):".into(),
        format!("curl -i -X DELETE {url}/account/api/v1/organizations/{}/members/{leaving} -H \"X-API-Key: {key}\"", to_short(acme_id)),
        "Delete an organization (organizations API):".into(),
        format!("curl -i -X DELETE {url}/api/organizations/{doomed_id} -H \"Authorization: Bearer {owner_token}\""),
    ])
}

/// Removes the organizations of the demo, then its people with whatever would be left without an owner: other organizations only with `all`.
async fn end(anonymous: &Cx, all: bool) -> Result<()> {
    if !is_there(anonymous).await? {
        return Err(Error::Malformed("this database was not filled by --demo: there is nothing to end".into()));
    }
    let password = new_password()?;
    let system = anonymous.clone().with_actor(Actor::System);
    let (mut people, mut others) = (Vec::new(), Vec::new());
    for role in Role::ALL {
        match users::reset_password(&system, &address(role), password.clone()).await {
            Ok(()) => {}
            Err(Error::NotFound(_)) => continue,
            Err(error) => return Err(error),
        }
        let (person, _) = sign_in(anonymous, role, &password, None).await?;
        others.extend(other_organizations(&person).await?);
        people.push((role, person));
    }
    if !all && !others.is_empty() {
        return Err(Error::Malformed(format!(
            "the demo's people own other organizations as well: {}. Make another person their owner, or delete them too with --all",
            others.join(", ")
        )));
    }
    for (role, person) in people {
        if role == Role::Owner {
            for slug in SLUGS {
                end_organization(&person, OrganizationRef::Slug(slug.into())).await?;
            }
        }
        end_person(&person).await?;
    }
    // The password that was printed first: whatever comes after this, it opens nothing.
    users::reset_password(&system, OPERATOR, password.clone()).await?;
    operators::remove(&system, OPERATOR, true).await?;
    let signed_in = sessions::sign_in(anonymous, OPERATOR, password, None).await?;
    end_person(&authenticate(anonymous.clone(), Presented::Bearer(&signed_in.access_token)).await?).await
}

/// The slugs of organizations that a person owns, but for those of the demo.
async fn other_organizations(person: &Cx) -> Result<Vec<String>> {
    let user = person.principal()?.user;
    let found = organizations::list_mine(person, &Map::new(), PageRequest::new(1, 1_000)).await?;
    let owned = found.entries.into_iter().filter(|one| one.owner == Some(user) && !SLUGS.contains(&&*one.slug));
    Ok(owned.map(|one| one.slug).collect())
}

/// Deletes a person's account, and first the organizations that have no other owner.
async fn end_person(person: &Cx) -> Result<()> {
    if let Err(Error::Blocked(blockers)) = users::delete(person, Some(OVER.into())).await {
        for blocker in blockers.iter().filter(|blocker| blocker.code == "last_owner") {
            end_organization(person, OrganizationRef::Id(blocker.id)).await?;
        }
    } else {
        return Ok(());
    }
    users::delete(person, Some(OVER.into())).await.map(drop)
}

/// Deletes an organization, if it is there and this person's.
async fn end_organization(owner: &Cx, organization: OrganizationRef) -> Result<()> {
    match organizations::delete(owner, &organization, Details { reason: Some(OVER.into()), export: false }).await {
        Ok(_) | Err(Error::NotFound(_) | Error::Outsider(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The organizations of the demo.
const SLUGS: [&str; 2] = ["acme", "globex"];
/// Who runs the demo.
const OPERATOR: &str = "operator@demo.example";
const DEMO_KEY: &str = "Demo key";
/// Why everything of the demo is deleted at its end.
const OVER: &str = "The demo is over.";

fn address(role: Role) -> String {
    format!("{}@demo.example", role.name())
}

/// 80 random bits, as hexadecimal digits in groups.
fn new_password() -> Result<String> {
    let digits = plane::random::<10>()?.map(|byte| format!("{byte:02x}")).concat();
    Ok([&digits[..5], &digits[5..10], &digits[10..15], &digits[15..]].join("-"))
}

/// Makes a person of the demo, or gives the new password to one who is there since the last start.
async fn welcome(anonymous: &Cx, email: &str, password: &str, is_operator: bool) -> Result<()> {
    let new = NewUser { email: email.into(), password: password.into(), name: None, is_operator };
    match users::sign_up(anonymous, new).await? {
        Some(_) => Ok(()),
        None => users::reset_password(&anonymous.clone().with_actor(Actor::System), email, password.into()).await,
    }
}

async fn sign_in(anonymous: &Cx, role: Role, password: &str, organization: Option<OrganizationRef>) -> Result<(Cx, String)> {
    let signed_in = sessions::sign_in(anonymous, &address(role), password.into(), organization).await?;
    let cx = authenticate(anonymous.clone(), Presented::Bearer(&signed_in.access_token)).await?;
    Ok((cx, signed_in.access_token))
}

/// The owner's organization of this slug, which may be there since an earlier start.
async fn make_organization(owner: &Cx, name: &str, slug: &str) -> Result<OrganizationRef> {
    let known = OrganizationRef::Slug(slug.into());
    match organizations::get(owner, &known).await {
        Ok(organization) => Ok(OrganizationRef::Id(organization.id)),
        Err(Error::NotFound(_)) => {
            let new = NewOrganization { name: name.into(), slug: slug.into(), logo: None, metadata: json!({}) };
            Ok(OrganizationRef::Id(organizations::create(owner, new).await?.id))
        }
        Err(error) => Err(error),
    }
}

async fn make_customers(owner: &Cx, organization: &OrganizationRef) -> Result<()> {
    let people = [
        ("590ce6c56d04f840aa8438af", "Ada Lovelace", "ada@example.com"),
        ("user123", "Alan Turing", "alan@example.com"),
        ("user456", "Grace Hopper", "grace@example.com"),
    ];
    for (reference, name, email) in people {
        if customers::get(owner, organization, reference).await.is_ok() {
            continue;
        }
        let new = NewCustomer {
            reference: Some(reference.into()),
            name: name.into(),
            email: email.into(),
            phone: None,
            tax_id: None,
            address: json!({"city": "London"}),
            metadata: json!({"source": "demo"}),
            managed_by: None,
        };
        match customers::create(owner, organization, new.clone()).await {
            // One that was deleted softly keeps its id.
            Err(Error::Conflict(_)) => {
                customers::delete(owner, organization, reference, Deleting::Hard, Details::default()).await?;
                customers::create(owner, organization, new).await?;
            }
            created => drop(created?),
        }
        let things = [
            ("subscriptions", json!({"plan": "basic", "status": "cancelled"})),
            ("transactions", json!({"amount": 1999, "currency": "EUR"})),
            ("devices", json!({"name": "Laptop", "platform": "linux"})),
            ("sessions", json!({"ip_address": "192.0.2.7"})),
            ("activity", json!({"kind": "signed_in"})),
        ];
        for (path, fields) in things {
            let Some(kind) = dependants::Kind::at(path) else { continue };
            let fields: Map<String, Json> = fields.as_object().cloned().unwrap_or_default();
            dependants::create(owner, organization, reference, kind, fields).await?;
        }
    }
    Ok(())
}
