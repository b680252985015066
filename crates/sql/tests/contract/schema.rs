//! The schema reads back the same on both engines, from one text.

use std::collections::BTreeMap;

use sql::{Column, Database, Error, ForeignKey, Index, Migration, Result, Schema, Table, sql};

use crate::engines::{Place, on_both_engines, one, run};

on_both_engines!(
    a_schema_reads_back_as_it_was_written,
    a_table_that_no_migration_has_made_is_no_part_of_it,
    a_table_knows_whether_columns_lead_one_of_its_indexes,
    a_statement_that_fits_the_schema_can_be_prepared_and_no_other,
);

static MIGRATIONS: [Migration; 1] = [Migration {
    name: "0001_schema",
    // Ends without a line break, and has a semicolon and a parenthesis where a careless reader of it would stumble.
    text: "-- Tenants (and what hangs on them); the smallest schema that has one of each kind.
CREATE TABLE organizations (
    id uuid PRIMARY KEY,
    slug text NOT NULL,
    settings jsonb,
    UNIQUE (slug)
);

CREATE TABLE members (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'member')),
    is_active boolean NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    UNIQUE (organization_id, role, id)
);
CREATE INDEX members_by_role ON members (role, organization_id);

CREATE TABLE audit_entries (
    id uuid PRIMARY KEY,
    organization_id uuid,
    picture bytea
);

CREATE TABLE invitations (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    invited_by uuid,
    successor uuid REFERENCES organizations (id),
    FOREIGN KEY (organization_id, invited_by) REFERENCES members (organization_id, id) ON DELETE CASCADE,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX invitations_of_member ON invitations (organization_id, invited_by, id);
CREATE TABLE holds (
    organization_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    PRIMARY KEY (organization_id, id)
);",
}];

fn words(list: &str) -> Vec<String> {
    list.split(' ').map(str::to_owned).collect()
}

fn column(name: &str, kind: &str, required: bool) -> Column {
    Column { name: name.into(), kind: kind.into(), required }
}

fn foreign_key(columns: &str, parent: &str, cascades: bool) -> ForeignKey {
    ForeignKey { columns: words(columns), parent: parent.into(), cascades }
}

fn index(columns: &str, unique: bool) -> Index {
    Index { columns: words(columns), unique }
}

fn expected() -> Schema {
    let organizations = Table {
        columns: vec![column("id", "uuid", true), column("slug", "text", true), column("settings", "jsonb", false)],
        primary_key: words("id"),
        foreign_keys: vec![],
        indexes: vec![index("id", true), index("slug", true)],
    };
    let members = Table {
        columns: vec![
            column("organization_id", "uuid", true),
            column("id", "uuid", true),
            column("role", "text", true),
            column("is_active", "boolean", true),
            column("version", "bigint", true),
            column("created_at", "timestamptz", true),
        ],
        primary_key: words("organization_id id"),
        foreign_keys: vec![foreign_key("organization_id", "organizations", true)],
        indexes: vec![index("organization_id id", true), index("organization_id role id", true), index("role organization_id", false)],
    };
    let audit_entries = Table {
        columns: vec![column("id", "uuid", true), column("organization_id", "uuid", false), column("picture", "bytea", false)],
        primary_key: words("id"),
        foreign_keys: vec![],
        indexes: vec![index("id", true)],
    };
    let invitations = Table {
        columns: vec![
            column("organization_id", "uuid", true),
            column("id", "uuid", true),
            column("invited_by", "uuid", false),
            column("successor", "uuid", false),
        ],
        primary_key: words("organization_id id"),
        foreign_keys: vec![foreign_key("organization_id invited_by", "members", true), foreign_key("successor", "organizations", false)],
        indexes: vec![index("organization_id id", true), index("organization_id invited_by id", false)],
    };
    let holds = Table {
        columns: vec![column("organization_id", "uuid", true), column("id", "uuid", true)],
        primary_key: words("organization_id id"),
        foreign_keys: vec![foreign_key("organization_id", "organizations", true)],
        indexes: vec![index("organization_id id", true)],
    };
    let tables = [
        ("organizations", organizations),
        ("members", members),
        ("audit_entries", audit_entries),
        ("invitations", invitations),
        ("holds", holds),
    ];
    Schema { tables: BTreeMap::from(tables.map(|(name, table)| (name.to_owned(), table))) }
}

async fn a_schema_reads_back_as_it_was_written(database: Database) -> Result<()> {
    database.migrate(&MIGRATIONS).await?;
    assert_eq!(database.schema(&MIGRATIONS).await?, expected());
    Ok(())
}

async fn a_table_that_no_migration_has_made_is_no_part_of_it(database: Database) -> Result<()> {
    run(&database, sql!("CREATE TABLE users (id bigint PRIMARY KEY)"), &[]).await?;
    database.migrate(&[]).await?;
    assert_eq!(one::<i64>(&database, sql!("SELECT count(*) FROM schema_migrations")).await?, 0);
    assert_eq!(database.schema(&[]).await?.tables.len(), 0);
    Ok(())
}

async fn a_table_knows_whether_columns_lead_one_of_its_indexes(database: Database) -> Result<()> {
    database.migrate(&MIGRATIONS).await?;
    let schema = database.schema(&MIGRATIONS).await?;
    let indexed = |table: &str, columns: &str| schema.tables[table].is_indexed(&words(columns));
    assert!(indexed("invitations", "organization_id"));
    assert!(indexed("invitations", "organization_id invited_by"));
    assert!(indexed("invitations", "invited_by organization_id"), "the order of a foreign key's columns does not matter");
    assert!(!indexed("invitations", "invited_by"));
    assert!(!indexed("invitations", "successor"));
    Ok(())
}

async fn a_statement_that_fits_the_schema_can_be_prepared_and_no_other(database: Database) -> Result<()> {
    database.migrate(&MIGRATIONS).await?;
    database.prepare(sql!("SELECT role FROM members WHERE organization_id = $1 AND id = $2")).await?;
    database.prepare(sql!("DELETE FROM organizations WHERE id = $1")).await?;
    assert_eq!(run(&database, sql!("DELETE FROM organizations"), &[]).await?, 0, "preparing runs nothing");
    for misfit in [sql!("SELECT rank FROM members"), sql!("SELECT role FROM membrs"), sql!("SELECT role FORM members")] {
        let refused = database.prepare(misfit).await;
        assert!(matches!(refused, Err(Error::Statement(_))), "{misfit:?}: {refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_a_tenant_owns_is_stored_in_the_order_of_its_key() -> Result<()> {
    let place = Place::sqlite();
    let database = place.open().await?;
    database.migrate(&MIGRATIONS).await?;
    for (table, clustered) in
        [("organizations", false), ("members", true), ("audit_entries", false), ("invitations", true), ("holds", true)]
    {
        let row = sql::Statement::generated(format!("SELECT rowid FROM {table}"));
        assert_eq!(database.prepare(row).await.is_err(), clustered, "{table}");
    }
    Ok(())
}
