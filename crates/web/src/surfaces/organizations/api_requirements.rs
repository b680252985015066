//! The organizations API's requirements of those who delete, and approvals.

use axum::http::Method;
use plane::policy::Action;

use crate::catalogue::Content::Nothing;
use crate::catalogue::Operation;
use crate::endpoint::Endpoint;
use crate::handlers::requirements;

/// An operation in which an owner approves of what another person can then do once.
fn approves<T: 'static>(path: &'static str, id: &'static str, handler: impl Endpoint<T>) -> Operation {
    Operation::post(path, id, handler)
        .may(Action::ApproveDeletion)
        .etag()
        .gives(201, "The approval.")
        .refuses(403, "The role does not suffice, or it is no session: a key or an app's token approves of nothing.")
        .leads("withdrawApproval", &[("organizationId", "path.organizationId"), ("approvalId", "body.id")])
}

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/organizations/{organizationId}/deletion-requirements", "readDeletionRequirements", requirements::read)
            .etag()
            .says("Read what is asked of those who delete")
            .explains(
                "For each kind of subject: a reason, the organization's slug typed again, a fresh sign-in, another owner's approval. It is asked \
                 on every surface alike; what is missing is told with everything else that stands in the way (`blockers`), in the plan too.",
            )
            .may(Action::ReadOrganization)
            .gives(200, "What is asked."),
        Operation::put("/organizations/{organizationId}/deletion-requirements", "replaceDeletionRequirements", requirements::replace)
            .etag()
            .says("Change what is asked of those who delete")
            .explains(
                "Takes the place of all that was asked. To ask for less than before, where a fresh sign-in or an approval was asked for, takes \
                 the same: that sign-in, and another owner's approval of it (`approveWeakerRequirements`).",
            )
            .may(Action::ChangeRequirements)
            .gives(200, "What is asked from now on.")
            .refuses(
                409,
                "Something is missing to ask for less (`blockers`), there is no second owner who could approve, or the organization is archived.",
            ),
        approves("/organizations/{organizationId}/deletion-requirements/approvals", "approveWeakerRequirements", requirements::approve_weakening)
        .says("Approve of weaker requirements")
        .explains("Another owner can then ask for less, once, within 24 hours."),
        approves("/organizations/{organizationId}/deletion-approvals", "approveOrganizationDeletion", requirements::approve_organization)
            .says("Approve of the organization's deletion")
            .explains(
                "Another owner can then order it, once, within 24 hours, as long as you are an owner. It takes the place of an earlier approval of \
                 yours.",
            ),
        approves("/organizations/{organizationId}/members/{memberId}/deletion-approvals", "approveMemberRemoval", requirements::approve_member)
        .says("Approve of a member's removal")
        .explains("Another person who may remove the member can then do so, once, within 24 hours, as long as you are an owner."),
        approves("/organizations/{organizationId}/customers/{customerId}/deletion-approvals", "approveCustomerDeletion", requirements::approve_customer)
        .says("Approve of a customer's deletion")
        .explains(
            "Another person who may delete the customer can then do so in any way, once, within 24 hours, as long as you are an owner. One that was \
             softly deleted can be approved to be erased.",
        ),
        Operation::get("/organizations/{organizationId}/deletion-approvals", "listApprovals", requirements::list_approvals)
            .says("List the approvals")
            .may(Action::ReadApprovals)
            .gives(200, "Approvals that can still be used, newest first."),
        Operation::new(
            Method::DELETE,
            "/organizations/{organizationId}/deletion-approvals/{approvalId}",
            "withdrawApproval",
            requirements::withdraw_approval,
        )
        .etag()
        .says("Take an approval back")
        .explains("It can no longer be used. Every owner can take back every approval.")
        .may(Action::ApproveDeletion)
        .answers(204, "The approval is gone.", Nothing),
    ]
}
