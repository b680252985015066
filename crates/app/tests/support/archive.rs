//! Archives of exports, unpacked.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use serde_json::Value as Json;
use zip::ZipArchive;

/// An archive that was downloaded and unpacked.
pub struct Archive {
    /// The files in it, by name.
    pub files: BTreeMap<String, Vec<u8>>,
    pub manifest: Json,
    pub schema: Json,
}

impl Archive {
    pub fn unpack(bytes: Vec<u8>) -> Archive {
        let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut files = BTreeMap::new();
        for place in 0..zip.len() {
            let mut file = zip.by_index(place).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            let name = file.name().unwrap().into_owned();
            assert!(files.insert(name.clone(), bytes).is_none(), "{name} is there twice");
        }
        let read = |name: &str| serde_json::from_slice(&files[name]).unwrap();
        Archive { manifest: read("manifest.json"), schema: read("schema.json"), files }
    }

    /// The rows of a table.
    pub fn rows(&self, table: &str) -> Vec<Json> {
        let text = std::str::from_utf8(&self.files[&format!("{table}.ndjson")]).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How many rows each table has, as the manifest says.
    pub fn counts(&self) -> BTreeMap<String, i64> {
        let files = self.manifest["files"].as_array().unwrap().iter();
        files.filter_map(|file| Some((file["table"].as_str()?.to_owned(), file["rows"].as_i64()?))).collect()
    }
}
