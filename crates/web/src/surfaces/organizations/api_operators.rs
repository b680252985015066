//! The organizations API, for the people who run the server.

use axum::http::Method;
use plane::policy::Action;

use crate::catalogue::Content::Nothing;
use crate::catalogue::Operation;
use crate::handlers::{operators, search};
use crate::parameters::{Reason, Search};

pub(crate) fn operator_operations() -> Vec<Operation> {
    const PERSON: &[(&str, &str)] = &[("userId", "body.id")];
    vec![
        Operation::get("/operator/search", "search", search::search)
            .says("Find organizations, people and keys")
            .explains("With their ids, states and sizes, and the audit entries of a request. Of customers nothing but how many there are. Up to 20 of a kind.")
            .operators()
            .parameters::<Search>()
            .gives(200, "What was found, which may be nothing."),
        Operation::get("/operator/operators", "listOperators", operators::list)
            .says("List the operators")
            .explains("By their addresses. There are few.")
            .operators()
            .gives(200, "All of them."),
        Operation::post("/operator/operators", "addOperator", operators::add)
            .says("Make a person an operator")
            .explains(
                "The person has an account. Their sessions end, because they were begun with fewer rights. In the server's audit trail, with the \
                 reason. Sign in again first: a session serves for 10 minutes.",
            )
            .operators()
            .gives(201, "They are one.")
            .leads("removeOperator", PERSON)
            .refuses(409, "They are an operator already."),
        Operation::new(Method::DELETE, "/operator/operators/{userId}", "removeOperator", operators::remove)
            .says("Make an operator an account like any other")
            .explains(
                "Their sessions end. In the server's audit trail, with the reason, which is needed. The last operator stays. Sign in again first: a \
                 session serves for 10 minutes.",
            )
            .operators()
            .parameters::<Reason>()
            .answers(204, "They are none any more.", Nothing)
            .refuses(404, "There is no such person.")
            .refuses(409, "They are no operator, or the last one."),
        Operation::get("/operator/organizations/{organizationId}/limits", "readLimits", operators::read_limits)
            .says("Read the limits of an organization")
            .may(Action::ChangeLimits)
            .gives(200, "What is otherwise than for all."),
        Operation::patch("/operator/organizations/{organizationId}/limits", "changeLimits", operators::change_limits)
            .says("Change the limits of an organization")
            .explains(
                "With effect from the next request. Its callers see them in `RateLimit-Policy`. In the organization's audit trail and in the server's, \
                 with the reason. Sign in again first: a session serves for 10 minutes.",
            )
            .may(Action::ChangeLimits)
            .gives(200, "What is otherwise than for all."),
    ]
}
