//! The organizations API, below `/api`: seeds 000, 002 and 004, and what a client of theirs needs besides.

use axum::http::Method;
use plane::policy::Action;

use crate::catalogue::Content::{Nothing, Text};
use crate::catalogue::{Operation, Surface, tagged};
use crate::dialect::API;
use crate::endpoint::Endpoint;
use crate::handlers::{api_keys, auth, deletions, invitations, members, organizations, purges, retention, users};
use crate::parameters::{AtOnce, AuditAfter, Confirm, DeletionsWanted, Export, ItemFilter, MemberFilter, MetadataFilter, Said};
use crate::surfaces::{api_billing, api_customers, api_exports, api_holds, api_operators, api_requirements, api_webhooks, oauth};

/// Every operation of this surface.
pub(crate) fn surface() -> Surface {
    let operations = tagged("auth", auth_operations())
        .chain(tagged("users", user_operations()))
        .chain(tagged("organizations", organization_operations()))
        .chain(tagged("members", member_operations()))
        .chain(tagged("invitations", invitation_operations()))
        .chain(tagged("customers", api_customers::operations()))
        .chain(tagged("api-keys", api_key_operations()))
        .chain(tagged("webhooks", api_webhooks::operations()))
        .chain(tagged("oauth", oauth::operations()))
        .chain(tagged("deletions", deletion_operations()))
        .chain(tagged("exports", api_exports::operations()))
        .chain(tagged("holds", api_holds::operations()))
        .chain(tagged("requirements", api_requirements::operations()))
        .chain(tagged("billing", api_billing::operations()))
        .chain(tagged("operators", api_operators::operator_operations()))
        .collect();
    Surface { name: "", tags: TAGS, dialect: &API, prefix: "/api", operations }
}

const TAGS: &[(&str, &str)] = &[
    ("auth", "Sign up, sign in, sign out."),
    ("users", "One's own account, and people one shares an organization with."),
    ("organizations", "Make, read, change, archive, hand over and delete organizations."),
    ("members", "Who is in an organization, and as what."),
    ("invitations", "Who was invited and has not come yet."),
    ("customers", "An organization's customers and what they own."),
    ("api-keys", "Make, change, check and revoke API keys."),
    ("webhooks", "What is told of an organization's events, and what became of each delivery."),
    ("oauth", "OAuth 2.0: apps, and the tokens they get."),
    ("deletions", "What a deletion would do, how far it is, and its receipt."),
    ("exports", "Take out all that an organization or a customer owns."),
    ("holds", "Legal holds, which keep things from being deleted."),
    ("requirements", "What an organization asks of those who delete, and approvals."),
    ("billing", "Subscriptions at Stripe, which end with what they are for."),
    ("operators", "For the people who run the server."),
];

fn auth_operations() -> Vec<Operation> {
    vec![
        Operation::post("/auth/sign-up", "signUp", auth::sign_up)
            .says("Make a user")
            .explains("Answers the same whether or not the address is known here.")
            .anybody()
            .gives(202, "The address has an account now, if it had none."),
        Operation::post("/auth/sign-in", "signIn", auth::sign_in)
            .sets_cookie()
            .says("Sign in")
            .anybody()
            .gives(200, "Tokens, and the cookie `sessionid`.")
            .refuses(401, "The address is unknown or the password wrong.")
            .refuses(403, "The user is not a member of the organization named.")
            .refuses(404, "There is no such organization."),
        Operation::post("/auth/refresh", "refresh", auth::refresh)
            .sets_cookie()
            .says("Turn a refresh token into new tokens")
            .explains("The refresh token is used up; so is the old cookie. One that comes again after it was answered ends its session, also for the holder of the newest: send an `Idempotency-Key` to be able to repeat a request whose answer was lost.")
            .anybody()
            .gives(200, "New tokens, and a new cookie.")
            .refuses(401, "The token is unknown, used or past its end."),
        Operation::post("/auth/sign-out", "signOut", auth::sign_out)
            .sets_cookie()
            .says("End the session")
            .explains("Cookie, access tokens and refresh token of the session are no longer good.")
            .answers(204, "The session has ended.", Nothing)
            .refuses(403, "A key or token has no session to end."),
        Operation::post("/auth/signing-keys/rotate", "rotateSigningKey", auth::rotate_signing_key)
            .says("Sign access tokens with a new key")
            .explains(
                "From now on. The key before it verifies until the last token that it signed has ended, stands in `/.well-known/jwks.json` as long, and \
                 is erased then. With `at_once` it ends now: holders of tokens get new ones for their refresh tokens.",
            )
            .operators()
            .parameters::<AtOnce>()
            .gives(200, "The key that signs.")
            .refuses(409, "Ten keys verify already."),
    ]
}

fn user_operations() -> Vec<Operation> {
    const OWN_KEY: &[(&str, &str)] = &[("keyId", "body.id")];
    vec![
        Operation::get("/users/me", "readMe", users::me)
            .etag()
            .says("Read one's own profile")
            .explains("Scope: `read:user`.")
            .gives(200, "The signed-in user.")
            .refuses(403, "The credential lacks the scope."),
        Operation::patch("/users/me", "updateMe", users::update_me)
            .etag()
            .says("Change one's own profile")
            .explains("Scope: `write:user`. What is missing stays. Metadata merges; an empty text takes a key away.")
            .gives(200, "The signed-in user.")
            .refuses(403, "The credential lacks the scope."),
        Operation::delete("/users/me", "deleteMe", users::delete_me)
            .etag()
            .says("Delete one's own account")
            .explains("Sign in again first: a session serves for 10 minutes, and only one that is bound to no organization. Each membership ends as a deletion of its own \
                       in its organization, with its keys, apps and tokens; every session ends; what others have that mentions the person holds ids only. \
                       All organizations that would be left without an owner are named in one refusal.")
            .answers(204, "Nothing of this account gives access any more.", Nothing)
            .refuses(403, "A key, a token, a bound session, or one that is older than 10 minutes.")
            .refuses(409, "The person is the last owner of an organization or the last operator (`blockers`), or a member of more than 500 organizations."),
        plan("/users/me/deletion-plan", "planAccountDeletion", users::plan_of_me)
            .refuses(403, "A key, a token or a bound session cannot delete an account."),
        Operation::post("/users/me/password", "changePassword", users::change_password)
            .etag()
            .says("Change one's own password")
            .explains("All other sessions of the user end at once; API keys go on. A wrong current password is an error of that field.")
            .answers(204, "The new password counts from now on.", Nothing)
            .refuses(403, "A key or token cannot change a password."),
        Operation::get("/users/me/api-keys", "listMyApiKeys", api_keys::list_own)
            .says("List one's own API keys")
            .explains("Scope: `read:user`. Keys of one's own (`csu_…`) are good in all organizations of their person.")
            .parameters::<MetadataFilter>()
            .gives(200, "Keys without their secrets, newest first.")
            .refuses(403, "The credential lacks the scope, or is bound to one organization."),
        Operation::post("/users/me/api-keys", "createMyApiKey", api_keys::create_own)
            .etag()
            .says("Make an API key of one's own")
            .explains("It acts as you in all your organizations, as you are a member there, within its scopes; with `write:organization` it can found some. \
                       An organization is named in the address or in `X-Organization`. It ends with your account; where you leave, it opens nothing any more, and what it made there ends.")
            .gives(201, "The key with its secret, shown once.")
            .refuses(403, "A key or token makes no keys of a person.")
            .refuses(409, "The person has 100 keys.")
            .leads("readMyApiKey", OWN_KEY)
            .leads("updateMyApiKey", OWN_KEY)
            .leads("revokeMyApiKey", OWN_KEY),
        Operation::get("/users/me/api-keys/{keyId}", "readMyApiKey", api_keys::read_own)
            .etag()
            .says("Read an API key of one's own")
            .explains("Scope: `read:user`.")
            .gives(200, "The key without its secret.")
            .refuses(403, "The credential lacks the scope, or is bound to one organization.")
            .refuses(404, "The person has no such key."),
        Operation::patch("/users/me/api-keys/{keyId}", "updateMyApiKey", api_keys::update_own)
            .etag()
            .says("Change an API key of one's own")
            .explains("With effect from the next request.")
            .gives(200, "The key as it is now.")
            .refuses(403, "A key or token changes no keys of a person.")
            .refuses(404, "The person has no such key."),
        Operation::post("/users/me/api-keys/{keyId}/rotate", "rotateMyApiKey", api_keys::rotate_own)
            .etag()
            .says("Give an API key of one's own a new secret")
            .explains("The secret it had is good for `overlapSeconds` more, one before that no longer. A key can rotate itself.")
            .gives(200, "The key with its new secret, shown once.")
            .refuses(403, "A key or token rotates no other.")
            .refuses(404, "The person has no such key."),
        Operation::new(Method::DELETE, "/users/me/api-keys/{keyId}", "revokeMyApiKey", api_keys::revoke_own)
            .etag()
            .says("Revoke an API key of one's own")
            .explains("It and what it made stop working at once. A key can revoke itself.")
            .answers(204, "The key is gone.", Nothing)
            .refuses(403, "A key or token revokes no other.")
            .refuses(404, "The person has no such key."),
        Operation::get("/users/{id}", "readUser", users::read)
            .etag()
            .says("Read a user")
            .explains("Scope: `read:user`. Oneself, and the members of organizations whose members one may list.")
            .gives(200, "The user.")
            .refuses(403, "The credential lacks the scope."),
    ]
}

fn organization_operations() -> Vec<Operation> {
    const ID: &[(&str, &str)] = &[("id", "body.id")];
    vec![
        Operation::get("/organizations", "listOrganizations", organizations::list)
            .says("List my organizations")
            .explains("Scope: `read:organization`.")
            .parameters::<MetadataFilter>()
            .gives(200, "Organizations that the credential is good for.")
            .refuses(403, "The credential lacks the scope."),
        Operation::post("/organizations", "createOrganization", organizations::create).etag()
            .says("Make an organization")
            .gives(201, "The organization. Who made it owns it.")
            .refuses(403, "The credential is bound to one organization.")
            .refuses(409, "The slug is taken.")
            .leads("readOrganization", ID)
            .leads("OrganizationsController_delete", ID)
            .leads("inviteMember", &[("organizationId", "body.id")])
            .leads("createCustomer", &[("organizationId", "body.id")]),
        Operation::get("/organizations/{id}", "readOrganization", organizations::read).etag()
            .says("Read an organization")
            .may(Action::ReadOrganization)
            .gives(200, "The organization."),
        Operation::put("/organizations/{id}", "updateOrganization", organizations::update).etag()
            .says("Change an organization's profile")
            .explains("What is missing stays. The slug never changes.")
            .may(Action::UpdateOrganization)
            .gives(200, "The organization.")
            .refuses(409, "The organization is archived."),
        Operation::post("/organizations/{id}/archive", "archiveOrganization", organizations::archive).etag()
            .says("Archive an organization")
            .explains(
                "It becomes read-only: nothing can be added or changed, and customers cannot be deleted. Reading goes on, access can be taken \
                 away, and the organization can be deleted. Its API keys and OAuth tokens are revoked, and its OAuth apps need new secrets; none \
                 of them comes back when it is unarchived. One that is archived already stays as it is.",
            )
            .may(Action::ArchiveOrganization)
            .gives(200, "The organization."),
        Operation::post("/organizations/{id}/unarchive", "unarchiveOrganization", organizations::unarchive).etag()
            .says("Unarchive an organization")
            .explains("It can be written to again. One that is not archived stays as it is.")
            .may(Action::ArchiveOrganization)
            .gives(200, "The organization."),
        Operation::post("/organizations/{id}/transfer", "transferOrganization", organizations::transfer).etag()
            .says("Hand an organization over")
            .explains("The member becomes an owner and you an admin, in one step.")
            .may(Action::TransferOrganization)
            .gives(200, "The organization.")
            .refuses(409, "The organization is archived."),
        Operation::post("/organizations/{id}/recover", "recoverOrganization", organizations::recover).etag()
            .says("Give an organization an owner")
            .explains("For those whose owners are gone or cannot sign in. The person becomes an owner, whatever they were there; those who are owners stay \
                       it. In the organization's audit trail and in the server's, with the reason. Sign in again first: a session serves for 10 minutes.")
            .may(Action::RecoverOrganization)
            .gives(200, "The organization.")
            .refuses(409, "The person owns it already, or their removal from it is not over."),
        Operation::delete("/organizations/{id}", "OrganizationsController_delete", organizations::delete).parameters::<Export>().parameters::<Confirm>().etag()
            .says("Delete organization (owner only)")
            .explains(
                "**For owners only. This cannot be undone.** (Of an organization without an owner: for operators of the server, with a `reason`.) Permanently deletes the organization with its members, invitations, customers, \
                 apps, webhooks and keys. Access ends with the answer, everywhere; what is large is erased in the background: follow \
                 `Location`.",
            )
            .may(Action::DeleteOrganization)
            .answers(204, "Organization deleted permanently. All associated data removed.", Nothing)
            .refuses(403, "Access denied. Only the organization owner can delete the organization.")
            .refuses(404, "Organization not found with the provided ID.")
            .refuses(409, "A legal hold on the organization, or on something in it, forbids it; or something is missing that it asks for."),
        Operation::get("/organizations/{organizationId}/audit", "listAudit", deletions::list_audit)
            .says("Read the audit trail")
            .may(Action::ReadAudit)
            .gives(200, "Entries, newest first."),
        Operation::get("/organizations/{organizationId}/audit/log", "followAudit", deletions::follow_audit)
            .says("Follow the audit trail")
            .explains(
                "For whatever keeps a copy of it, such as a SIEM: one entry a line (NDJSON), in the order of their ids, those after `after_id`. Ask again \
                 with the id of the last line: each entry comes once, two minutes after it was written, and none is left out. An empty answer says that \
                 there is none yet. An entry holds the same as in `listAudit`.",
            )
            .may(Action::ReadAudit)
            .parameters::<AuditAfter>()
            .answers(200, "Entries, the oldest first.", Text("application/x-ndjson")),
    ]
}

fn member_operations() -> Vec<Operation> {
    vec![
        Operation::get("/organizations/{organizationId}/members", "listMembers", members::list)
            .says("List the members")
            .may(Action::ListMembers)
            .parameters::<MemberFilter>()
            .gives(200, "Members, the longest-standing first."),
        Operation::get("/organizations/{organizationId}/members/{memberId}", "readMember", members::read).etag()
            .says("Read a member")
            .may(Action::ListMembers)
            .gives(200, "The member."),
        Operation::put("/organizations/{organizationId}/members/{memberId}/role", "changeRole", members::change_role).etag()
            .says("Give a member another role")
            .explains("It counts from the answer on. Only owners make and unmake owners.")
            .may(Action::ChangeRole)
            .gives(200, "The member.")
            .refuses(409, "The member is the organization's last owner, or the organization is archived."),
        Operation::post("/organizations/{organizationId}/members/invite", "inviteMember", invitations::create)
            .etag()
            .says("Invite a person")
            .explains(
                "The invitation is good for 7 days, once, for a user with that address. It takes the place of an earlier one that could still \
                 be accepted. A master invites resellers only.",
            )
            .may(Action::Invite)
            .gives(201, "The invitation with its secret.")
            .refuses(409, "The person is a member already, or the organization is archived.")
            .leads("cancelInvitation", &[("organizationId", "path.organizationId"), ("inviteId", "body.id")]),
        Operation::delete("/organizations/{organizationId}/members/{memberId}", "removeMember", members::remove).etag()
            .parameters::<Confirm>()
            .says("Remove a member, or leave")
            .explains("The person's keys, tokens and sessions for this organization stop at once; their other organizations are untouched. A master removes resellers only.")
            .may_or_own(Action::RemoveMember, Action::Leave)
            .answers(204, "The membership is gone.", Nothing)
            .refuses(409, "The member is the organization's last owner, a legal hold forbids it, or something is missing that the organization asks for."),
    ]
}

fn invitation_operations() -> Vec<Operation> {
    vec![
        Operation::get("/organizations/{organizationId}/invites", "listInvitations", invitations::list)
            .says("List the invitations")
            .may(Action::ListInvitations)
            .gives(200, "Invitations, newest first."),
        Operation::delete("/organizations/{organizationId}/invites/{inviteId}", "cancelInvitation", invitations::cancel)
            .etag()
            .says("Cancel an invitation")
            .explains("It stays in the list, marked, and can no longer be accepted.")
            .may(Action::CancelInvitation)
            .answers(204, "The invitation is cancelled.", Nothing),
        Operation::post("/invites/accept", "acceptInvitation", invitations::accept)
            .says("Accept an invitation")
            .explains("For the user with the address that was invited; a session, not a key.")
            .gives(200, "The membership.")
            .refuses(403, "A key or token cannot accept.")
            .refuses(404, "There is no such pending invitation for this user.")
            .refuses(409, "The user is a member already, or the organization is archived.")
            .leads("listMembers", &[("organizationId", "body.organizationId")]),
    ]
}

fn api_key_operations() -> Vec<Operation> {
    const KEY: &[(&str, &str)] = &[("organizationId", "path.organizationId"), ("keyId", "body.id")];
    vec![
        Operation::get("/organizations/{organizationId}/api-keys", "listApiKeys", api_keys::list)
            .says("List the API keys")
            .may(Action::ListApiKeys)
            .parameters::<MetadataFilter>()
            .gives(200, "Keys without their secrets, newest first."),
        Operation::post("/organizations/{organizationId}/api-keys", "createApiKey", api_keys::create)
            .etag()
            .says("Make an API key")
            .may(Action::CreateApiKey)
            .gives(201, "The key with its secret, shown once.")
            .leads("readApiKey", KEY)
            .leads("updateApiKey", KEY)
            .leads("revokeApiKey", KEY),
        Operation::get("/organizations/{organizationId}/api-keys/{keyId}", "readApiKey", api_keys::read)
            .etag()
            .says("Read an API key")
            .may(Action::ListApiKeys)
            .gives(200, "The key without its secret."),
        Operation::patch("/organizations/{organizationId}/api-keys/{keyId}", "updateApiKey", api_keys::update)
            .etag()
            .says("Change an API key")
            .explains("With effect from the next request. A key that acts as an owner is changed by owners only.")
            .may(Action::UpdateApiKey)
            .gives(200, "The key as it is now."),
        Operation::post("/organizations/{organizationId}/api-keys/{keyId}/rotate", "rotateApiKey", api_keys::rotate)
            .etag()
            .says("Give an API key a new secret")
            .explains("The secret it had is good for `overlapSeconds` more, one before that no longer. For the member whose key it is, the key itself, and the key or \
                       token that made it; of a service account for those who could make another with its role.")
            .may_or_own(Action::GiveToApiKey, Action::RotateOwnApiKey)
            .gives(200, "The key with its new secret, shown once."),
        Operation::delete("/organizations/{organizationId}/api-keys/{keyId}", "revokeApiKey", api_keys::revoke)
            .etag()
            .says("Revoke an API key")
            .explains("It stops working at once.")
            .may_or_own(Action::RevokeApiKey, Action::RevokeOwnApiKey)
            .answers(204, "The key is gone.", Nothing),
        Operation::post("/api-keys/validate", "validateApiKey", api_keys::validate)
            .says("Find out whether an API key is good")
            .explains("The key stands in the header `X-API-Key`; other credentials are not looked at.")
            .anybody()
            .gives(200, "The key is good.")
            .refuses(401, "There is no key, or it is not good: mistyped, revoked, or past its end.")
            .refuses(403, "The key is switched off, or not allowed from this address."),
    ]
}

fn deletion_operations() -> Vec<Operation> {
    vec![
        Operation::get("/deletions", "listDeletions", deletions::list)
            .of_current()
            .says("List the deletions")
            .explains("Of the organization named, in `?organization=` or the header `X-Organization`, or the one that the credential is bound to; \
                       otherwise of all whose deletions one may read. For operators: of all that ever were.")
            .may(Action::ReadDeletions)
            .parameters::<DeletionsWanted>()
            .gives(200, "Deletions, newest first."),
        Operation::get("/retention", "listRetention", retention::list)
            .says("How long things are kept")
            .explains("What no one deletes, and what a deletion keeps, is erased when its time is over. The server's operators set the periods.")
            .gives(200, "Every period."),
        plan("/organizations/{organizationId}/deletion-plan", "planOrganizationDeletion", deletions::plan_of_organization)
            .parameters::<Said>().parameters::<Confirm>()
            .may(Action::DeleteOrganization),
        plan("/organizations/{organizationId}/members/{memberId}/deletion-plan", "planMemberRemoval", deletions::plan_of_member)
            .parameters::<Said>().parameters::<Confirm>()
            .may_or_own(Action::RemoveMember, Action::Leave),
        plan("/organizations/{organizationId}/customers/{customerId}/deletion-plan", "planCustomerDeletion", deletions::plan_of_customer)
            .parameters::<Said>().parameters::<Confirm>()
            .may(Action::DeleteCustomer),
        plan("/organizations/{organizationId}/api-keys/{keyId}/deletion-plan", "planApiKeyRevocation", deletions::plan_of_api_key)
            .may_or_own(Action::RevokeApiKey, Action::RevokeOwnApiKey),
        plan("/organizations/{organizationId}/invites/{inviteId}/deletion-plan", "planInvitationCancellation", deletions::plan_of_invitation)
            .may(Action::CancelInvitation),
        plan("/organizations/{organizationId}/webhooks/{webhookId}/deletion-plan", "planWebhookDeletion", deletions::plan_of_webhook)
            .may(Action::DeleteWebhook),
        plan("/oauth/token/{tokenId}/deletion-plan", "planOauthTokenRevocation", deletions::plan_of_oauth_token)
            .may(Action::RevokeOauthToken),
        plan("/oauth/apps/{clientId}/deletion-plan", "planOauthAppDeletion", deletions::plan_of_oauth_app).may(Action::DeleteOauthApp),
        Operation::get("/deletions/{id}", "readDeletion", deletions::read)
            .etag()
            .says("Read a deletion")
            .explains("For owners and admins of its organization, the person who ordered it, and operators: also after the organization is gone.")
            .may(Action::ReadDeletions)
            .gives(200, "The deletion: its progress, and its receipt once it is completed."),
        Operation::post("/deletions/{id}/restore", "restoreDeletion", deletions::restore)
            .etag()
            .says("Take a deletion back")
            .explains("Within the grace period that the organization had set (`reversibleUntil`): what was deleted is there again as it was, but \
                       for what opens it. API keys, OAuth tokens and sessions of it are gone for good, and its OAuth apps need new secrets. For \
                       owners, admins and operators; a deleted organization, and an owner’s membership, for owners and operators. One that was taken back \
                       already stays as it is.")
            .may(Action::RestoreDeletion)
            .gives(200, "The deletion, which is `restored`.")
            .refuses(409, "It had no grace period, or that is over; or what it is in is deleted or archived itself."),
        Operation::post("/deletions/{id}/stop", "stopPurge", purges::stop)
            .etag()
            .says("Stop a purge")
            .explains("Who was deleted stays deleted, and no other customer is from the answer on. Customers who were not reached are items with the \
                       outcome `stopped`, and the purge is completed with its receipt as always. For operators, owners, admins and the person who ordered it. One \
                       that was stopped already stays as it is.")
            .may(Action::StopPurge)
            .gives(200, "The deletion, with `stoppedAt`.")
            .refuses(409, "It is completed, or no purge: a deletion in its grace period is taken back with `restore`, any other goes on."),
        Operation::get("/deletions/{id}/items", "listPurgeItems", purges::items)
            .says("List what became of each customer of a purge")
            .explains("In their order. Nothing for other deletions. For those who may read the deletion.")
            .may(Action::ReadDeletions)
            .parameters::<ItemFilter>()
            .gives(200, "Items, the first first."),
        Operation::get("/deletions/{id}/effects", "listDeletionEffects", deletions::list_effects)
            .says("List what a deletion does outside")
            .explains(
                "What it tells webhooks and changes at the payment provider, each with its state, attempts, last error and what would let it go on. What \
                 an organization's own webhooks were told is gone with the organization, and so is the rest; its receipt says what came of it.",
            )
            .may(Action::ReadDeletions)
            .gives(200, "Effects, queue by queue, the oldest first."),
        Operation::get("/deletions/{id}/events", "watchDeletion", deletions::events)
            .says("Watch a deletion")
            .explains("Server-sent events: `progress` with the record (`readDeletion`) at once and at each change, at most every 250 ms; \
                       `completed` with the receipt, or `restored` with the record, which is the last; `ended` with a `reason` when the stream ends earlier: `unauthorized`, \
                       `not_found`, `unavailable`, `displaced` (this caller had many streams, and another caller none) or `stopping`. A comment every 15 seconds keeps the connection open.")
            .may(Action::ReadDeletions)
            .answers(200, "The events, until the deletion is completed or taken back.", Text("text/event-stream"))
            .refuses(503, "As many streams are open as the server, or one user, may have."),
    ]
}

/// What a deletion would do: the same words for every subject.
pub(crate) fn plan<T: 'static>(path: &'static str, id: &'static str, handler: impl Endpoint<T>) -> Operation {
    Operation::get(path, id, handler)
        .says("See what a deletion would do")
        .explains(
            "Rows by table with a sample of their ids, their fate and why, the credentials that would die, the events that webhooks would be \
             told, the subscriptions that would end at Stripe, everything that stands in the way, and about how long it would take. Give `plan` to the DELETE, and it does this or nothing.",
        )
        .gives(200, "The plan. Nothing has been changed.")
}
