//! The schema is the same on both engines and in the shape that deletion needs: tenants first, cascades everywhere, an index under each.

use plane::clocks::TIMERS;
use sql::{Column, ForeignKey, Index, Schema, Table};

use crate::engines::Engines;

/// Tables that carry an organization and outlive it, or outlive its members: the rules of deletion say why.
const NOT_LED_BY_THEIR_ORGANIZATION: [&str; 2] = ["sessions", "idempotent_answers"];

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_the_same_schema() {
    let engines = Engines::open().await;
    let [sqlite, postgres] = &engines.all;
    let (sqlite, postgres) = (sqlite.schema(plane::MIGRATIONS).await.unwrap(), postgres.schema(plane::MIGRATIONS).await.unwrap());
    assert_eq!(sqlite.tables.keys().collect::<Vec<_>>(), postgres.tables.keys().collect::<Vec<_>>());
    for (name, table) in &sqlite.tables {
        assert_eq!(table, &postgres.tables[name], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_foreign_key_cascades_and_has_an_index() {
    let engines = Engines::open().await;
    for database in &engines.all {
        assert_eq!(faults(&database.schema(plane::MIGRATIONS).await.unwrap()), Vec::<String>::new(), "{}", database.engine_name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_waits_for_is_over_when_a_clock_was_wrong() {
    let engines = Engines::open().await;
    for database in &engines.all {
        let schema = database.schema(plane::MIGRATIONS).await.unwrap();
        let columns =
            schema.tables.iter().flat_map(|(name, table)| table.columns.iter().map(move |column| (name.as_str(), column.name.as_str())));
        let waited: Vec<_> = columns.filter(|(_, column)| column.starts_with("lease_") || column.starts_with("next_")).collect();
        assert_eq!(waited, TIMERS.map(|timer| (timer.table, timer.column)), "{}", database.engine_name());
    }
}

#[test]
fn a_foreign_key_without_an_index_or_a_cascade_fails() {
    let column = |name: &str| Column { name: name.into(), kind: "uuid".into(), required: true };
    let mut table = Table {
        columns: vec![column("organization_id"), column("id"), column("parent_id")],
        primary_key: vec!["organization_id".into(), "id".into()],
        foreign_keys: vec![ForeignKey {
            columns: vec!["organization_id".into(), "parent_id".into()],
            parent: "parents".into(),
            cascades: true,
        }],
        indexes: vec![Index { columns: vec!["organization_id".into(), "id".into()], unique: true }],
    };
    let told = |table: &Table| faults(&Schema { tables: [("children".to_owned(), table.clone())].into() });
    assert_eq!(told(&table), ["children has no index under organization_id, parent_id"]);
    table.indexes.push(Index { columns: vec!["organization_id".into(), "parent_id".into()], unique: false });
    assert_eq!(told(&table), Vec::<String>::new());
    table.foreign_keys[0].cascades = false;
    assert_eq!(told(&table), ["children does not go with parents"]);
    table.foreign_keys.clear();
    table.primary_key.reverse();
    assert_eq!(told(&table), ["children is not led by its organization"]);
}

fn faults(schema: &Schema) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, table) in &schema.tables {
        for key in &table.foreign_keys {
            if !table.is_indexed(&key.columns) {
                faults.push(format!("{name} has no index under {}", key.columns.join(", ")));
            }
            if !key.cascades {
                faults.push(format!("{name} does not go with {}", key.parent));
            }
        }
        let is_of_a_tenant = table.columns.iter().any(|column| column.name == "organization_id");
        let is_led = table.primary_key.first().is_some_and(|first| first == "organization_id");
        if is_of_a_tenant && !is_led && !NOT_LED_BY_THEIR_ORGANIZATION.contains(&name.as_str()) {
            faults.push(format!("{name} is not led by its organization"));
        }
    }
    faults
}
