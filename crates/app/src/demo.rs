//! `--demo`: two organizations with people of every role, customers and keys, all made through the operations that requests use, and a
//! request to paste for each of the four documented deletions.

use std::sync::Arc;

use plane::api_keys::{self, Kind, NewApiKey};
use plane::attempts::Uncounted;
use plane::credentials::{Presented, authenticate};
use plane::customers::{self, NewCustomer};
use plane::cx::Actor;
use plane::ids::{OrganizationRef, to_short};
use plane::members::MemberFilter;
use plane::organizations::{self, NewOrganization};
use plane::page::PageRequest;
use plane::policy::Role;
use plane::users::{self, NewUser, operators};
use plane::{Cx, Error, Plane, Result, dependants, invitations, members, sessions};
use serde_json::{Map, Value as Json, json};

/// Makes the organizations and returns what to print. May be called on a database that has some already. The password of the demo's people
/// is a new one at every start: on a database that is served without `--demo` one day nobody comes in with one that was published.
///
/// # Errors
/// [`Error::Malformed`] for a database that others than the demo's people use.
pub(crate) async fn fill(plane: &Arc<Plane>) -> Result<Vec<String>> {
    let nobody = Cx::new(plane, "demo").counting(Arc::new(Uncounted));
    let is_of_the_demo = operators::list(&nobody).await?.iter().any(|operator| operator.email == OPERATOR);
    if !is_of_the_demo && users::are_there(&nobody).await? {
        let words = "there are people in this database already: --demo is for one that is empty, or was filled by it. Give it a --data folder of its own";
        return Err(Error::Malformed(words.into()));
    }
    let password = new_password()?;
    for role in Role::ALL {
        welcome(&nobody, &address(role), &password, false).await?;
    }
    welcome(&nobody, OPERATOR, &password, true).await?;
    let (owner, owner_token) = sign_in(&nobody, Role::Owner, &password, None).await?;

    // A new pair at every start: what was deleted from the last one stays deleted.
    let mark = owner.new_id()?.simple().to_string().split_off(24);
    let acme = make_organization(&owner, "Acme", &format!("acme-{mark}")).await?;
    let doomed = make_organization(&owner, "Globex", &format!("globex-{mark}")).await?;
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Owner) {
        let (_, token) = invitations::create(&owner, &acme, &address(role), role).await?;
        let (invited, _) = sign_in(&nobody, role, &password, None).await?;
        invitations::accept(&invited, &token).await?;
    }
    make_customers(&owner, &acme).await?;
    make_customers(&owner, &doomed).await?;

    let all = PageRequest::new(1, 100);
    let people = members::list(&owner, &acme, &MemberFilter::default(), all).await?.entries;
    let leaving = people.iter().find(|member| member.role == Role::Viewer).map_or_else(String::new, |member| to_short(member.id));
    let scopes = ["read:organization", "read:members", "write:members", "read:customers", "write:customers"].map(str::to_owned);
    let new_key = NewApiKey { scopes: Some(scopes.into()), ..NewApiKey::new(Kind::Organization, "Demo key") };
    let (_, key) = api_keys::create(&owner, &acme, new_key).await?;
    let acme_id = organizations::get(&owner, &acme).await?.id;
    let doomed_id = organizations::get(&owner, &doomed).await?.id;
    let (_, acme_token) = sign_in(&nobody, Role::Owner, &password, Some(acme)).await?;
    let url = &plane.config.public_url;
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

/// Who runs the demo.
const OPERATOR: &str = "operator@demo.example";

fn address(role: Role) -> String {
    format!("{}@demo.example", role.name())
}

/// 80 random bits, as hexadecimal digits in groups.
fn new_password() -> Result<String> {
    let digits = plane::cx::random::<10>()?.map(|byte| format!("{byte:02x}")).concat();
    Ok([&digits[..5], &digits[5..10], &digits[10..15], &digits[15..]].join("-"))
}

/// Makes somebody of the demo, or gives those who are there since the last start the new password.
async fn welcome(nobody: &Cx, email: &str, password: &str, is_operator: bool) -> Result<()> {
    let new = NewUser { email: email.into(), password: password.into(), name: None, is_operator };
    match users::sign_up(nobody, new).await? {
        Some(_) => Ok(()),
        None => users::reset_password(&nobody.clone().with_actor(Actor::System), email, password.into()).await,
    }
}

async fn sign_in(nobody: &Cx, role: Role, password: &str, organization: Option<OrganizationRef>) -> Result<(Cx, String)> {
    let signed_in = sessions::sign_in(nobody, &address(role), password.into(), organization).await?;
    let cx = authenticate(nobody.clone(), Presented::Bearer(&signed_in.access_token)).await?;
    Ok((cx, signed_in.access_token))
}

async fn make_organization(owner: &Cx, name: &str, slug: &str) -> Result<OrganizationRef> {
    let new = NewOrganization { name: name.into(), slug: slug.into(), logo: None, metadata: json!({}) };
    Ok(OrganizationRef::Id(organizations::create(owner, new).await?.id))
}

async fn make_customers(owner: &Cx, organization: &OrganizationRef) -> Result<()> {
    let people = [
        ("590ce6c56d04f840aa8438af", "Ada Lovelace", "ada@example.com"),
        ("user123", "Alan Turing", "alan@example.com"),
        ("user456", "Grace Hopper", "grace@example.com"),
    ];
    for (reference, name, email) in people {
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
        customers::create(owner, organization, new).await?;
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
