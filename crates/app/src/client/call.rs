//! One request to the server.

use super::changes::pairs;
use super::failure::{Failure, Result};
use reqwest::{Method, Url};
use serde_json::Value as Json;
use std::borrow::Cow;

/// A request. The segments of its path may be anything that a person types.
#[derive(Clone)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: Vec<&'a str>,
    pub(super) query: Vec<(Cow<'static, str>, String)>,
    pub(super) organization: Option<&'a str>,
    pub(super) body: Option<Json>,
    /// A list of ids in the place of the body.
    pub(super) list: Option<Vec<u8>>,
    /// The entity tag of the record that is meant.
    pub(super) tag: Option<String>,
    /// Whether the list can be read along a cursor.
    pub(super) has_cursor: bool,
    /// Whether the answer is a file, which may take long.
    pub(super) is_download: bool,
}

impl<'a> Call<'a> {
    pub fn get<const N: usize>(path: [&'a str; N]) -> Call<'a> {
        Call {
            method: Method::GET,
            path: path.to_vec(),
            query: Vec::new(),
            organization: None,
            body: None,
            list: None,
            tag: None,
            has_cursor: false,
            is_download: false,
        }
    }

    pub fn post<const N: usize>(path: [&'a str; N], body: Json) -> Call<'a> {
        Call { method: Method::POST, body: Some(body), ..Call::get(path) }
    }

    pub fn put<const N: usize>(path: [&'a str; N], body: Json) -> Call<'a> {
        Call { method: Method::PUT, body: Some(body), ..Call::get(path) }
    }

    pub fn patch<const N: usize>(path: [&'a str; N], body: Json) -> Call<'a> {
        Call { method: Method::PATCH, body: Some(body), ..Call::get(path) }
    }

    /// With a list of ids, as it is in its file.
    pub fn post_list<const N: usize>(path: [&'a str; N], list: Vec<u8>) -> Call<'a> {
        Call { method: Method::POST, list: Some(list), ..Call::get(path) }
    }

    pub fn post_nothing<const N: usize>(path: [&'a str; N]) -> Call<'a> {
        Call { method: Method::POST, ..Call::get(path) }
    }

    pub fn delete<const N: usize>(path: [&'a str; N]) -> Call<'a> {
        Call { method: Method::DELETE, ..Call::get(path) }
    }

    /// With a parameter, when there is one.
    pub fn with(mut self, name: &'static str, value: Option<impl Into<String>>) -> Call<'a> {
        self.query.extend(value.map(|value| (name.into(), value.into())));
        self
    }

    /// Only what has these texts among its metadata, `KEY=VALUE` each.
    pub fn with_metadata(mut self, given: &[String]) -> Result<Call<'a>> {
        let pairs = pairs(given)?;
        let texts = pairs.iter().filter_map(Json::as_object).flatten();
        self.query.extend(texts.map(|(key, value)| (format!("metadata[{key}]").into(), value.as_str().unwrap_or_default().to_owned())));
        Ok(self)
    }

    /// Only as long as the record has this entity tag.
    pub fn unless_changed(mut self, tag: Option<String>) -> Call<'a> {
        self.tag = tag;
        self
    }

    /// For a list that can be read along a cursor, so that its end costs no more than its beginning.
    pub fn along_cursor(mut self) -> Call<'a> {
        self.has_cursor = true;
        self
    }

    /// For a file, which may be large.
    pub fn for_a_file(mut self) -> Call<'a> {
        self.is_download = true;
        self
    }

    /// For an address that names no organization itself.
    pub fn of_organization(mut self, organization: &'a str) -> Call<'a> {
        self.organization = Some(organization);
        self
    }

    /// Whether repeating it could do something twice. Signing in and up does not.
    pub(super) fn is_unrepeatable(&self) -> bool {
        self.method != Method::GET && self.path.get(1) != Some(&"auth")
    }

    pub(super) fn url(&self, server: &Url) -> Result<Url> {
        let mut url = server.clone();
        if let Some(odd) = self.path.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            return Err(Failure::usage(format!("“{odd}” is no id.")));
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&self.path);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }
}
