//! The organizations API's exports.

use axum::http::Method;
use plane::policy::Action;

use crate::catalogue::Content::{File, Nothing};
use crate::catalogue::Operation;
use crate::handlers::exports;

const FOR_OWNERS: &str = "An export of the whole organization is for owners only.";

pub(crate) fn operations() -> Vec<Operation> {
    const EXPORT: &[(&str, &str)] = &[("id", "body.id")];
    const CONTENTS: &str = "A zip of one NDJSON file a table, `schema.json`, and `manifest.json` with counts and SHA-256 of each. Made in the \
                            background: the record says how far it is. Secrets and their hashes are never in it. What is written meanwhile may or \
                            may not be in it: archive the organization first if that matters.";
    vec![
        Operation::post("/organizations/{organizationId}/exports", "exportOrganization", exports::of_organization)
            .says("Export an organization")
            .explains(CONTENTS)
            .may(Action::ExportOrganization)
            .gives(202, "The export will be made.")
            .located()
            .refuses(409, "As many exports are kept as may be.")
            .leads("readExport", EXPORT)
            .leads("downloadExport", EXPORT)
            .leads("deleteExport", EXPORT),
        Operation::post("/organizations/{organizationId}/customers/{customerId}/exports", "exportCustomer", exports::of_customer)
            .says("Export a customer")
            .explains(CONTENTS)
            .may(Action::ExportCustomer)
            .gives(202, "The export will be made.")
            .located()
            .refuses(409, "As many exports are kept as may be.")
            .leads("readExport", EXPORT)
            .leads("downloadExport", EXPORT)
            .leads("deleteExport", EXPORT),
        Operation::get("/organizations/{organizationId}/exports", "listExports", exports::list)
            .says("List the exports")
            .explains("Those of the whole organization are listed for owners only.")
            .may(Action::ExportCustomer)
            .gives(200, "Exports, newest first."),
        Operation::get("/exports/{id}", "readExport", exports::read)
            .etag()
            .says("Read an export")
            .explains(FOR_OWNERS)
            .may(Action::ExportCustomer)
            .gives(200, "The export and its progress."),
        Operation::get("/exports/{id}/download", "downloadExport", exports::download)
            .says("Download an export")
            .explains(FOR_OWNERS)
            .may(Action::ExportCustomer)
            .answers(200, "The archive.", File("application/zip"))
            .refuses(409, "The export is not done.")
            .refuses(410, "The export has expired, or its archive is lost or not whole.")
            .refuses(416, "The archive has none of the bytes in `Range`.")
            .refuses(503, "As many archives are sent as can be, or their place cannot be reached."),
        // Not a deletion with a record and a receipt of its own: what is exported stays where it was.
        Operation::new(Method::DELETE, "/exports/{id}", "deleteExport", exports::delete)
            .etag()
            .says("Delete an export")
            .explains(FOR_OWNERS)
            .may(Action::ExportCustomer)
            .answers(204, "Record and archive are gone. One that was under way stops; a deletion that waited for it goes on.", Nothing),
    ]
}
