//! The archive itself: a zip whose files are written one after the other, each hashed as it goes, so that memory does not grow with it.

use std::collections::HashMap;
use std::io::Write;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use deletion::{Fate, Holds};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json, json};
use sql::{FromValue, Schema, Value};
use uuid::Uuid;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::Export;
use super::plan::{Part, Plan};
use crate::hex::hex;
use crate::storage::{Failure, Sink, Writing};

/// What programs look at before they read an archive.
const FORMAT: &str = "freehold-export";
const VERSION: i64 = 1;

/// An archive that is being written.
pub(super) struct Archive {
    /// Goes before the zip does.
    _writing: Writing,
    zip: ZipWriter<StreamWriter<Sink>>,
    options: SimpleFileOptions,
    /// The file in it that is being written.
    open: Option<Entry>,
    /// What the manifest will say of those before.
    files: Vec<Json>,
}

struct Entry {
    name: String,
    table: Option<&'static str>,
    rows: i64,
    bytes: u64,
    hash: Context,
}

impl Archive {
    /// Begins an archive, of which nothing is written twice: where it goes to may be no file.
    pub(super) fn begin_in(sink: Sink, now: Timestamp) -> Archive {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            // How large a table gets is not known before it is written.
            .large_file(true)
            .last_modified_time(zip_time(now))
            .unix_permissions(0o600);
        Archive { _writing: sink.writing(), zip: ZipWriter::new_stream(sink), options, open: None, files: Vec::new() }
    }

    /// Begins the file of a table.
    pub(super) fn begin(&mut self, part: &Part) -> Result<(), Failure> {
        self.start(part.file(), Some(part.rule.table))
    }

    fn start(&mut self, name: String, table: Option<&'static str>) -> Result<(), Failure> {
        self.end();
        self.zip.start_file(name.as_str(), self.options)?;
        self.open = Some(Entry { name, table, rows: 0, bytes: 0, hash: Context::new(&SHA256) });
        Ok(())
    }

    /// Writes rows, a line each, and returns how many bytes they came to.
    pub(super) fn write(&mut self, rows: Vec<Vec<Value>>, columns: &Columns) -> Result<usize, Failure> {
        let mut written = 0;
        let mut line = Vec::new();
        for row in rows {
            line.clear();
            columns.write(row, &mut line)?;
            written += line.len();
            self.put(&line)?;
        }
        Ok(written)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.zip.write_all(bytes)?;
        if let Some(entry) = &mut self.open {
            entry.rows += 1;
            entry.bytes += bytes.len() as u64;
            entry.hash.update(bytes);
        }
        Ok(())
    }

    fn end(&mut self) {
        let Some(Entry { name, table, rows, bytes, hash }) = self.open.take() else { return };
        let sha256 = hex(hash.finish().as_ref());
        let mut file = json!({"name": name, "bytes": bytes, "sha256": sha256});
        if let Some(table) = table {
            file["table"] = table.into();
            file["rows"] = rows.into();
        }
        self.files.push(file);
    }

    /// Adds schema and manifest, and returns what the archive was written to.
    pub(super) fn finish(mut self, schema: &Json, about: Json) -> Result<Sink, Failure> {
        self.start("schema.json".into(), None)?;
        self.put(format!("{schema:#}\n").as_bytes())?;
        self.end();
        let mut manifest = about;
        manifest["files"] = std::mem::take(&mut self.files).into();
        self.start("manifest.json".into(), None)?;
        self.put(format!("{manifest:#}\n").as_bytes())?;
        Ok(self.zip.finish()?.into_inner())
    }
}

/// How the rows of one table become lines.
#[derive(Debug, Clone)]
pub(super) struct Columns(Vec<(&'static str, String)>);

impl Columns {
    pub(super) fn of(part: &Part, schema: &Schema) -> Columns {
        let kinds = kinds(part.rule.table, schema);
        Columns(part.columns.iter().map(|(name, _)| (*name, kinds.get(name).cloned().unwrap_or_default())).collect())
    }

    fn write(&self, row: Vec<Value>, line: &mut Vec<u8>) -> Result<(), Failure> {
        let mut object = Map::new();
        for ((name, kind), value) in self.0.iter().zip(row) {
            object.insert((*name).to_owned(), to_json(kind, value)?);
        }
        serde_json::to_writer(&mut *line, &object).map_err(std::io::Error::from)?;
        line.push(b'\n');
        Ok(())
    }
}

fn kinds<'a>(table: &str, schema: &'a Schema) -> HashMap<&'a str, String> {
    let columns = schema.tables.get(table).map_or(&[][..], |table| &table.columns);
    columns.iter().map(|column| (column.name.as_str(), column.kind.clone())).collect()
}

/// A value as everybody can read it, the same from either engine.
fn to_json(kind: &str, value: Value) -> Result<Json, sql::Error> {
    Ok(match (kind, value) {
        (_, Value::Null) => Json::Null,
        ("uuid", value) => Uuid::from_value(value)?.to_string().into(),
        ("timestamptz", value) => Timestamp::from_value(value)?.to_string().into(),
        ("boolean", value) => bool::from_value(value)?.into(),
        ("jsonb", value) => Json::from_value(value)?,
        ("bigint", value) => i64::from_value(value)?.into(),
        ("bytea", value) => STANDARD.encode(Vec::from_value(value)?).into(),
        (_, value) => String::from_value(value)?.into(),
    })
}

/// `schema.json`: what the files hold.
pub(super) fn describe(plan: &Plan, schema: &Schema) -> Json {
    let tables: Vec<Json> = plan.parts.iter().map(|part| describe_table(part, schema)).collect();
    json!({
        "about": "One file a table, one JSON object a line. Times are RFC 3339 in UTC; uuids are text; jsonb is JSON as it was stored. \
                  Columns in leftOut hold secrets or their hashes and are never exported.",
        "tables": tables,
    })
}

fn describe_table(part: &Part, schema: &Schema) -> Json {
    let live = schema.tables.get(part.rule.table);
    let columns = part.columns.iter().map(|(name, holds)| {
        let column = live.and_then(|table| table.columns.iter().find(|column| column.name == *name));
        json!({
            "name": name,
            "type": column.map(|column| column.kind.as_str()),
            "required": column.is_some_and(|column| column.required),
            "holds": match holds {
                Holds::Plain => "plain",
                Holds::Personal => "personal",
                Holds::Link(_) => "link",
                Holds::Secret => "secret",
            },
        })
    });
    json!({
        "name": part.rule.table,
        "file": part.file(),
        "primaryKey": live.map(|table| &table.primary_key),
        "columns": columns.collect::<Vec<_>>(),
        "leftOut": part.left_out,
        "whenDeleted": match part.rule.fate {
            Fate::Erase => "erased",
            Fate::Redact(_) => "redacted",
            Fate::Keep => "kept",
        },
        "why": part.rule.why,
    })
}

/// `manifest.json` but for its list of files.
pub(super) fn about(export: &Export, begun_at: Timestamp) -> Json {
    json!({
        "format": FORMAT,
        "version": VERSION,
        "exportId": export.id.to_string(),
        "root": export.root.name(),
        "organizationId": export.organization.to_string(),
        "subjectId": export.subject.to_string(),
        "deletionId": export.deletion.map(|id| id.to_string()),
        "orderedAt": export.created_at.to_string(),
        "begunAt": begun_at.to_string(),
        "consistency": "Rows that were written between begunAt and the end of the export may or may not be in it.",
        "files": [],
    })
}

/// The time as MS-DOS knew it, which zips still have.
fn zip_time(time: Timestamp) -> DateTime {
    let at = time.to_zoned(TimeZone::UTC).datetime();
    let part = |number: i8| u8::try_from(number).unwrap_or(0);
    let year = u16::try_from(at.year()).unwrap_or(0);
    let made = DateTime::from_date_and_time(year, part(at.month()), part(at.day()), part(at.hour()), part(at.minute()), part(at.second()));
    made.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_from_either_engine() {
        let id = Uuid::from_u128(7);
        let time = Timestamp::from_microsecond(1_767_225_600_000_001).unwrap();
        let pairs = [
            ("uuid", Value::Uuid(id), Value::Bytes(id.as_bytes().to_vec())),
            ("timestamptz", Value::Time(time), Value::Int(1_767_225_600_000_001)),
            ("boolean", Value::Bool(true), Value::Int(1)),
            ("jsonb", Value::Json(json!({"a": [1]})), Value::Text("{\"a\":[1]}".into())),
        ];
        for (kind, one, other) in pairs {
            assert_eq!(to_json(kind, one).unwrap(), to_json(kind, other).unwrap(), "{kind}");
        }
        assert_eq!(to_json("timestamptz", Value::Time(time)).unwrap(), "2026-01-01T00:00:00.000001Z");
        assert_eq!(to_json("bytea", Value::Bytes(vec![0, 255])).unwrap(), "AP8=");
        assert_eq!(to_json("text", Value::Null).unwrap(), Json::Null);
    }
}
