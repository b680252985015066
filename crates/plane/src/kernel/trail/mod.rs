//! What is written down and told of what happens: audit trail, events, ledger.

pub mod audit;
pub mod audit_actions;
pub mod events;
pub mod ledger;
pub mod notify;
pub mod ownership;
pub mod payloads;
pub mod subscription_steps;
