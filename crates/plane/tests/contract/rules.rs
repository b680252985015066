//! The rules of deletion cover the live schema, and notice when they no longer do.

use plane::deletion_rules::RULES;
use sql::{Column, ForeignKey, Schema, Table};

use crate::engines::Engines;

async fn live() -> Schema {
    Engines::open().await.all[0].schema(plane::MIGRATIONS).await.unwrap()
}

/// What the server would say instead of starting.
fn complaint(schema: &Schema) -> String {
    RULES.check(schema).unwrap_err().to_string()
}

fn column(name: &str) -> Column {
    Column { name: name.into(), kind: "text".into(), required: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_cover_the_schema_of_both_engines() {
    for database in &Engines::open().await.all {
        RULES.check(&database.schema(plane::MIGRATIONS).await.unwrap()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_rule_stops_the_start() {
    let mut schema = live().await;
    schema.tables.insert("notes".into(), Table { columns: vec![column("organization_id")], ..Table::default() });
    assert!(complaint(&schema).contains("the table notes has no rule"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_without_a_rule_stops_the_start() {
    let mut schema = live().await;
    schema.tables.get_mut("customers").unwrap().columns.push(column("nickname"));
    assert!(complaint(&schema).contains("the column customers.nickname has no rule"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_about_what_does_not_exist_stops_the_start() {
    let mut schema = live().await;
    schema.tables.remove("devices");
    schema.tables.get_mut("customers").unwrap().columns.retain(|column| column.name != "phone");
    let complaint = complaint(&schema);
    assert!(complaint.contains("the rules have the table devices, which does not exist"), "{complaint}");
    assert!(complaint.contains("the rules have the column customers.phone, which does not exist"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_without_an_index_to_walk_along_stops_the_start() {
    let mut schema = live().await;
    schema.tables.get_mut("api_keys").unwrap().indexes.retain(|index| !index.columns.contains(&"member_id".to_owned()));
    assert!(complaint(&schema).contains("api_keys has no index along organization_id, member_id, id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_would_not_go_with_its_customer_stops_the_start() {
    let mut schema = live().await;
    schema.tables.get_mut("screens").unwrap().foreign_keys.retain(|key| key.parent != "customers");
    assert!(complaint(&schema).contains("the rules of customer: screens has no foreign key by which it would go with its subject"));
}

#[tokio::test]
async fn a_child_that_would_be_erased_after_its_parent_stops_the_start() {
    let mut schema = live().await;
    let key = ForeignKey { columns: vec!["organization_id".into()], parent: "devices".into(), cascades: true };
    schema.tables.get_mut("customers").unwrap().foreign_keys.push(key);
    assert!(complaint(&schema).contains("customers hangs on devices and must be erased before it"));
}
