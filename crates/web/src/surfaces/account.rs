//! The account API, below `/account/api/v1`: seed 003, and what a client of it needs besides.

use plane::policy::Action;

use crate::catalogue::{Operation, Surface, tagged};
use crate::dialect::ACCOUNT;
use crate::handlers::{api_keys, invitations, members, organizations, users};
use crate::parameters::{Confirm, Export, MemberFilter, MetadataFilter};

/// Every operation of this surface.
pub(crate) fn surface() -> Surface {
    let operations = tagged("Account", account_operations())
        .chain(tagged("Preferences", preference_operations()))
        .chain(tagged("Organizations", organization_operations()))
        .chain(tagged("Members", member_operations()))
        .chain(tagged("API Keys", api_key_operations()))
        .collect();
    Surface { name: "Account API", tags: TAGS, dialect: &ACCOUNT, prefix: "/account/api/v1", operations }
}

const TAGS: &[(&str, &str)] = &[
    ("Account", "Who the credential stands for, and the API key that came with the request."),
    ("Organizations", "Make, read, change and delete organizations."),
    ("Members", "Invite members, give them roles, remove them."),
    ("API Keys", "Make, list, change and revoke API keys."),
    ("Preferences", "Read one's own stances on traits (allergens, ways to eat, certifications). They are set on a page of the dashboard."),
];

fn account_operations() -> Vec<Operation> {
    vec![
        Operation::get("/whoami", "accountWhoami", users::whoami)
            .says("Who am I?")
            .explains("Scopes: `read:user` and `read:organization`.")
            .gives(200, "The credential's user, organizations and key.")
            .refuses(403, "The credential lacks a scope."),
    ]
}

fn preference_operations() -> Vec<Operation> {
    vec![
        Operation::get("/preferences", "accountListPreferences", users::preferences)
            .says("Read one's own preferences")
            .explains(
                "The traits on which the user has taken a stance, those taken back as `NEUTRAL`. Read-only here: they are set on the page \
                 `/dashboard/preferences`. Scope: `read:user`.",
            )
            .gives(200, "Stances by trait.")
            .refuses(403, "The credential lacks the scope."),
    ]
}

fn organization_operations() -> Vec<Operation> {
    vec![
        Operation::get("/organizations", "accountListOrganizations", organizations::list)
            .says("List my organizations")
            .explains("Scope: `read:organization`.")
            .parameters::<MetadataFilter>()
            .gives(200, "Organizations that the credential is good for.")
            .refuses(403, "The credential lacks the scope."),
        Operation::post("/organizations", "accountCreateOrganization", organizations::create)
            .etag()
            .says("Make an organization")
            .gives(201, "The organization. Who made it owns it.")
            .leads("accountReadOrganization", &[("id", "body.id")])
            .refuses(403, "The credential is bound to one organization.")
            .refuses(409, "The slug is taken."),
        Operation::get("/organizations/{id}", "accountReadOrganization", organizations::read)
            .etag()
            .says("Read an organization")
            .may(Action::ReadOrganization)
            .gives(200, "The organization."),
        Operation::put("/organizations/{id}", "accountUpdateOrganization", organizations::update)
            .etag()
            .says("Change an organization's profile")
            .explains("What is missing stays. The slug never changes.")
            .may(Action::UpdateOrganization)
            .gives(200, "The organization.")
            .refuses(409, "The organization is archived."),
        Operation::delete("/organizations/{id}", "accountDeleteOrganization", organizations::delete)
            .parameters::<Export>()
            .parameters::<Confirm>()
            .etag()
            .says("Delete an organization")
            .explains("**For owners only. This cannot be undone.** Permanently deletes the organization with its members, invitations, keys and all other data.")
            .may(Action::DeleteOrganization)
            .gives(200, "The organization is gone.")
            .refuses(409, "A legal hold on the organization, or on something in it, forbids it; or something is missing that it asks for."),
    ]
}

fn member_operations() -> Vec<Operation> {
    vec![
        Operation::get("/organizations/{org_id}/members", "accountListMembers", members::list_out)
            .says("List the members")
            .may(Action::ListMembers)
            .parameters::<MemberFilter>()
            .gives(200, "Members, the longest-standing first."),
        Operation::post("/organizations/{org_id}/members", "accountInviteMember", invitations::create_out)
            .etag()
            .says("Invite a person")
            .explains("The person becomes a member by accepting, and is `invited` until then. An earlier invitation of the same address is replaced.")
            .may(Action::Invite)
            .gives(201, "The person who was invited, with the invitation's secret.")
            .refuses(409, "The person is a member already, or the organization is archived."),
        Operation::get("/organizations/{org_id}/members/{member_id}", "accountReadMember", members::read_out)
            .etag()
            .says("Read a member")
            .may(Action::ListMembers)
            .gives(200, "The member."),
        Operation::put("/organizations/{org_id}/members/{member_id}", "accountChangeRole", members::change_role_out)
            .etag()
            .says("Give a member another role")
            .explains("It counts from the answer on. Only owners make and unmake owners.")
            .may(Action::ChangeRole)
            .gives(200, "The member.")
            .refuses(409, "The member is the organization's last owner, or the organization is archived."),
        Operation::delete("/organizations/{org_id}/members/{member_id}", "apps_accounts_api_members_remove_member", members::remove)
            .parameters::<Confirm>()
            .etag()
            .says("Remove a member")
            .explains("Remove a member from the organization.")
            .may_or_own(Action::RemoveMember, Action::Leave)
            .gives(200, "OK")
            .refuses(409, "The member is the organization's last owner, a legal hold forbids it, or something is missing that the organization asks for."),
    ]
}

fn api_key_operations() -> Vec<Operation> {
    vec![
        Operation::get("/organizations/{organization_id}/api-keys", "accountListApiKeys", api_keys::list)
            .says("List the API keys")
            .may(Action::ListApiKeys)
            .parameters::<MetadataFilter>()
            .gives(200, "Keys without their secrets, newest first."),
        Operation::post("/organizations/{organization_id}/api-keys", "accountCreateApiKey", api_keys::create)
            .etag()
            .says("Make an API key")
            .may(Action::CreateApiKey)
            .gives(201, "The key with its secret, shown once.")
            .leads("accountReadApiKey", &[("organization_id", "path.organization_id"), ("key_id", "body.id")]),
        Operation::get("/organizations/{organization_id}/api-keys/{key_id}", "accountReadApiKey", api_keys::read)
            .etag()
            .says("Read an API key")
            .may(Action::ListApiKeys)
            .gives(200, "The key without its secret."),
        Operation::patch("/organizations/{organization_id}/api-keys/{key_id}", "accountUpdateApiKey", api_keys::update)
            .etag()
            .says("Change an API key")
            .explains("With effect from the next request. A key that acts as an owner is changed by owners only.")
            .may(Action::UpdateApiKey)
            .gives(200, "The key as it is now."),
        Operation::post("/organizations/{organization_id}/api-keys/{key_id}/rotate", "accountRotateApiKey", api_keys::rotate)
            .etag()
            .says("Give an API key a new secret")
            .explains("The secret it had is good for `overlap_seconds` more, one before that no longer. For the member whose key it is, the key itself, and the key or \
                       token that made it; of a service account for those who could make another with its role.")
            .may_or_own(Action::GiveToApiKey, Action::RotateOwnApiKey)
            .gives(200, "The key with its new secret, shown once."),
        Operation::delete("/organizations/{organization_id}/api-keys/{key_id}", "accountRevokeApiKey", api_keys::revoke)
            .etag()
            .says("Revoke an API key")
            .may_or_own(Action::RevokeApiKey, Action::RevokeOwnApiKey)
            .gives(200, "The key is gone."),
    ]
}
