//! The five reference documents (`seeds/`), to the letter: each module is named after the operation of its document and sends the
//! document's own request, credential by credential, role by role, error by error.

mod apps_accounts_api_members_remove_member;
mod customer_delete;
mod customers_controller_remove;
mod organizations_controller_delete;
mod problems;
mod rate_limits;
