//! The organizations API's legal holds.

use plane::policy::Action;

use crate::catalogue::Operation;
use crate::handlers::holds;
use crate::parameters::HoldFilter;

pub(crate) fn operations() -> Vec<Operation> {
    const HOLD: &[(&str, &str)] = &[("organizationId", "path.organizationId"), ("holdId", "body.id")];
    vec![
        Operation::post("/organizations/{organizationId}/holds", "holdOrganization", holds::of_organization).etag()
            .says("Place a legal hold on an organization")
            .explains(
                "As long as it is in force no one deletes the organization, nor a customer, a membership or a webhook of it; deletions that \
                 were ordered before stop where they are, and histories are not cut. Keys, tokens and invitations can be revoked all the same.",
            )
            .may(Action::PlaceHold)
            .gives(201, "The hold, which is in force.")
            .refuses(409, "There are as many holds on it as may be.")
            .leads("readHold", HOLD)
            .leads("releaseHold", HOLD),
        Operation::post("/organizations/{organizationId}/customers/{customerId}/holds", "holdCustomer", holds::of_customer).etag()
            .says("Place a legal hold on a customer")
            .explains("As long as it is in force no one deletes the customer, in any way, nor the organization. One that was softly deleted can be held, too.")
            .may(Action::PlaceHold)
            .gives(201, "The hold, which is in force.")
            .refuses(409, "There are as many holds on it as may be.")
            .leads("readHold", HOLD)
            .leads("releaseHold", HOLD),
        Operation::post("/organizations/{organizationId}/members/{memberId}/holds", "holdMember", holds::of_member).etag()
            .says("Place a legal hold on a member's user")
            .explains(
                "As long as it is in force no one removes the user from this organization, nor deletes the organization. Their access can be \
                 taken away all the same: by another role, and by revoking their API keys.",
            )
            .may(Action::PlaceHold)
            .gives(201, "The hold, which is in force.")
            .refuses(409, "There are as many holds on it as may be.")
            .leads("readHold", HOLD)
            .leads("releaseHold", HOLD),
        Operation::get("/organizations/{organizationId}/holds", "listHolds", holds::list)
            .says("List the legal holds")
            .may(Action::ReadHolds)
            .parameters::<HoldFilter>()
            .gives(200, "Holds, newest first: also those that are over."),
        Operation::get("/organizations/{organizationId}/holds/{holdId}", "readHold", holds::read)
            .etag()
            .says("Read a legal hold")
            .may(Action::ReadHolds)
            .gives(200, "The hold: who placed it, until when and why, and who released it."),
        Operation::post("/organizations/{organizationId}/holds/{holdId}/release", "releaseHold", holds::release)
            .etag()
            .says("Release a legal hold")
            .explains(
                "What it stopped can be ordered again, and deletions that waited for it go on. Its record stays. One that an operator of the \
                 server placed is released by operators only.",
            )
            .may(Action::ReleaseHold)
            .gives(200, "The hold, which is over.")
            .refuses(409, "It was released already."),
    ]
}
