//! The live schema, read back from the engine in one form for both, so that rules and tests can hold themselves against it.

use std::collections::BTreeMap;

use crate::{Result, Tx, params, sql};

/// The tables of a database by name, without the migrations' own table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Every table.
    pub tables: BTreeMap<String, Table>,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// In the order of the schema's text.
    pub columns: Vec<Column>,
    /// The columns of the primary key, in its order.
    pub primary_key: Vec<String>,
    /// Sorted by their columns.
    pub foreign_keys: Vec<ForeignKey>,
    /// Every index with the primary key's and those of unique constraints, sorted by their columns.
    pub indexes: Vec<Index>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// PostgreSQL's name of its type as the migration spells it, such as `timestamptz`.
    pub kind: String,
    /// Whether it refuses `NULL`.
    pub required: bool,
}

crate::columns! { Column { name, kind: "lower(type)", required: "\"notnull\"" } }

/// One foreign key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignKey {
    /// The referring columns.
    pub columns: Vec<String>,
    /// The table they refer to.
    pub parent: String,
    /// Whether it says `ON DELETE CASCADE`.
    pub cascades: bool,
}

/// One index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Index {
    /// Its columns, in its order.
    pub columns: Vec<String>,
    /// Whether it refuses duplicates.
    pub unique: bool,
}

impl Table {
    /// Whether some index leads with exactly these columns, in any order.
    pub fn is_indexed(&self, columns: &[String]) -> bool {
        self.indexes.iter().any(|index| {
            index.columns.len() >= columns.len() && columns.iter().all(|column| index.columns[..columns.len()].contains(column))
        })
    }
}

pub(crate) async fn read(tx: &mut Tx) -> Result<Schema> {
    let mut tables = match tx {
        Tx::Sqlite(_) => read_sqlite(tx).await?,
        Tx::Postgres(_) => read_postgres(tx).await?,
    };
    tables.remove("schema_migrations");
    for table in tables.values_mut() {
        table.foreign_keys.sort();
        table.indexes.sort();
    }
    Ok(Schema { tables })
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}

async fn read_sqlite(tx: &mut Tx) -> Result<BTreeMap<String, Table>> {
    let mut tables = BTreeMap::new();
    for name in tx.read_all::<String>(sql!("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"), &[]).await? {
        let mut table = Table::default();
        let mut key = Vec::new();
        let columns = sql!("SELECT pk, {columns} FROM pragma_table_info($1) ORDER BY cid", Column);
        for (place, column) in tx.read_all::<(i64, Column)>(columns, params![&name]).await? {
            if place > 0 {
                key.push((place, column.name.clone()));
            }
            table.columns.push(column);
        }
        key.sort();
        table.primary_key = key.into_iter().map(|(_, column)| column).collect();
        // A primary key of SQLite admits NULL unless the table says otherwise; PostgreSQL never does, and nothing here relies on it.
        for column in &mut table.columns {
            column.required |= table.primary_key.contains(&column.name);
        }
        let foreign = sql!(
            "SELECT group_concat(\"from\", ','), max(\"table\"), max(on_delete)
             FROM (SELECT * FROM pragma_foreign_key_list($1) ORDER BY id, seq) GROUP BY id"
        );
        for (columns, parent, deletes) in tx.read_all::<(String, String, String)>(foreign, params![&name]).await? {
            table.foreign_keys.push(ForeignKey { columns: names(&columns), parent, cascades: deletes == "CASCADE" });
        }
        let indexes = sql!(
            "SELECT (SELECT group_concat(name, ',') FROM (SELECT name FROM pragma_index_info(list.name) ORDER BY seqno)), list.\"unique\"
             FROM pragma_index_list($1) AS list"
        );
        table.indexes = tx.read_all(indexes, params![&name]).await?.into_iter().map(index).collect();
        let key = Index { columns: table.primary_key.clone(), unique: true };
        if !table.indexes.contains(&key) {
            table.indexes.push(key);
        }
        tables.insert(name, table);
    }
    Ok(tables)
}

async fn read_postgres(tx: &mut Tx) -> Result<BTreeMap<String, Table>> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    let columns = sql!(
        "SELECT relname, attname, typname, attnotnull
         FROM pg_catalog.pg_class AS relation
         JOIN pg_catalog.pg_attribute AS attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
         JOIN pg_catalog.pg_type AS kind ON kind.oid = atttypid
         WHERE relkind = 'r' AND relnamespace = quote_ident(current_schema())::regnamespace
         ORDER BY relname, attnum"
    );
    for (table, name, kind, required) in tx.read_all::<(String, String, String, bool)>(columns, &[]).await? {
        let kind = match kind.as_str() {
            "int8" => "bigint".to_owned(),
            "bool" => "boolean".to_owned(),
            _ => kind,
        };
        tables.entry(table).or_default().columns.push(Column { name, kind, required });
    }
    let constraints = sql!(
        "SELECT child.relname, contype::text, coalesce(parent.relname, ''), confdeltype::text,
                (SELECT string_agg(attname::text, ',' ORDER BY place)
                 FROM unnest(conkey) WITH ORDINALITY AS part (number, place)
                 JOIN pg_catalog.pg_attribute ON attrelid = conrelid AND attnum = number)
         FROM pg_catalog.pg_constraint AS held
         JOIN pg_catalog.pg_class AS child ON child.oid = conrelid
         LEFT JOIN pg_catalog.pg_class AS parent ON parent.oid = confrelid
         WHERE contype IN ('p', 'f') AND child.relnamespace = quote_ident(current_schema())::regnamespace"
    );
    let constraints: Vec<(String, String, String, String, String)> = tx.read_all(constraints, &[]).await?;
    for (table, kind, parent, deletes, columns) in constraints {
        let (table, columns) = (tables.entry(table).or_default(), names(&columns));
        match kind.as_str() {
            "p" => table.primary_key = columns,
            _ => table.foreign_keys.push(ForeignKey { columns, parent, cascades: deletes == "c" }),
        }
    }
    let indexes = sql!(
        "SELECT relname,
                (SELECT string_agg(attname::text, ',' ORDER BY place)
                 FROM unnest(indkey::smallint[]) WITH ORDINALITY AS part (number, place)
                 JOIN pg_catalog.pg_attribute ON attrelid = indrelid AND attnum = number),
                indisunique
         FROM pg_catalog.pg_index JOIN pg_catalog.pg_class AS relation ON relation.oid = indrelid
         WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind = 'r'"
    );
    for (name, found) in tx.read_all::<(String, (String, bool))>(indexes, &[]).await? {
        if let Some(table) = tables.get_mut(&name) {
            table.indexes.push(index(found));
        }
    }
    Ok(tables)
}

fn index((columns, unique): (String, bool)) -> Index {
    Index { columns: names(&columns), unique }
}
