//! Members.

use plane::Result;
use plane::members::{self, Member, MemberFilter};
use plane::page::Page;
use plane::plans::Subject;
use plane::policy::Role;
use plane::wire::Metadata;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::answers::{One, OrPlan, Paged};
use crate::body::Body;
use crate::caller::{Caller, Segments};
use crate::dialect::Dialect;
use crate::handlers::{Deleted, delete_or_plan};
use crate::problem::{Answer, Failure};

pub(crate) async fn list(caller: Caller, Segments(organization): Segments<String>) -> Answer<Paged<Member>> {
    Ok(caller.page(find(&caller, &organization).await?, |member| member))
}

/// A membership with its user.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MemberOut {
    /// The membership's id, not the user's.
    id: Uuid,
    #[schemars(length(min = 1, max = 254))]
    user_email: String,
    #[schemars(length(min = 1, max = 100), example = &"Ada Lovelace")]
    user_name: String,
    /// What the user says about themselves.
    #[schemars(with = "Metadata")]
    user_metadata: Json,
    role: Role,
    /// The role for people.
    #[schemars(length(min = 1, max = 50), example = &"Editor")]
    role_display: String,
}

impl MemberOut {
    fn of(member: Member, dialect: &Dialect) -> MemberOut {
        let Member { id, email, name, user_metadata, role, .. } = member;
        MemberOut { id, user_email: email, user_name: name, user_metadata, role, role_display: for_people(role, dialect) }
    }
}

/// A role as people write it.
pub(crate) fn for_people(role: Role, dialect: &Dialect) -> String {
    let role = dialect.role(role);
    role.chars().take(1).flat_map(char::to_uppercase).chain(role.chars().skip(1)).collect()
}

/// The list as the account API shows it.
pub(crate) async fn list_out(caller: Caller, Segments(organization): Segments<String>) -> Answer<Paged<MemberOut>> {
    Ok(caller.page(find(&caller, &organization).await?, |member| MemberOut::of(member, caller.dialect)))
}

async fn find(caller: &Caller, organization: &str) -> Result<Page<Member>> {
    let role = caller.query.read("role", &caller.dialect.role_words(), |name| caller.dialect.parse_role(name))?;
    let filter = MemberFilter { role, text: caller.query.text("q") };
    members::list(&caller.cx, &caller.organization(organization)?, &filter, caller.query.page()?).await
}

pub(crate) async fn read(caller: Caller, Segments((organization, member)): Segments<(String, String)>) -> Answer<One<Member>> {
    let (organization, id) = (caller.organization(&organization)?, caller.id("member_id", &member)?);
    let member = members::get(&caller.cx, &organization, id).await?;
    Ok(caller.tagged(&member.etag(), &member))
}

/// A member as the account API shows it.
pub(crate) async fn read_out(caller: Caller, Segments((organization, member)): Segments<(String, String)>) -> Answer<One<MemberOut>> {
    let (organization, id) = (caller.organization(&organization)?, caller.id("member_id", &member)?);
    let member = members::get(&caller.cx, &organization, id).await?;
    Ok(caller.tagged(&member.etag(), &MemberOut::of(member, caller.dialect)))
}

/// What a member shall be.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewRole {
    role: Role,
}

pub(crate) async fn change_role(caller: Caller, Segments(at): Segments<(String, String)>, Body(new): Body<NewRole>) -> Answer<One<Member>> {
    let member = change(&caller, at, new.role).await?;
    Ok(caller.tagged(&member.etag(), &member))
}

/// The same as the account API answers it.
pub(crate) async fn change_role_out(
    caller: Caller,
    Segments(at): Segments<(String, String)>,
    Body(new): Body<NewRole>,
) -> Answer<One<MemberOut>> {
    let member = change(&caller, at, new.role).await?;
    Ok(caller.tagged(&member.etag(), &MemberOut::of(member, caller.dialect)))
}

async fn change(caller: &Caller, (organization, member): (String, String), role: Role) -> Result<Member, Failure> {
    let (organization, member) = (caller.organization(&organization)?, caller.id("member_id", &member)?);
    Ok(members::change_role(&caller.cx, &organization, member, role).await?)
}

pub(crate) async fn remove(caller: Caller, Segments((organization, member)): Segments<(String, String)>) -> Answer<OrPlan<Deleted>> {
    let (organization, member) = (caller.organization(&organization)?, caller.id("member_id", &member)?);
    let deleting = members::remove(&caller.cx, &organization, member, caller.reason());
    delete_or_plan(&caller, Subject::Member(organization.clone(), member), deleting).await
}
