//! Every noun made, read and listed, in the spelling of each surface.

mod archives;
mod credits;
mod customer_changes;
mod customers;
mod dashboard;
mod deleted_customers;
mod dependants;
mod metadata;
mod organization_changes;
mod organizations;
mod pages;
mod resellers;
mod resends;
mod revisions;
mod roles;
mod search;
mod slices;
mod users;
