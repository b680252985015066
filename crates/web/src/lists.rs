//! Lists of ids as bodies: `text/csv` with one id on each line, for what is asked for of thousands at once.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use plane::Error;

use crate::body::Form;
use crate::content::media_type;
use crate::problem::Failure;

/// Bytes of a list at the most: as many of the longest ids as a list can have.
pub(crate) const MOST_BYTES: usize = 12 * 1024 * 1024;

pub(crate) const TOO_LARGE: Failure = Failure::Http(StatusCode::PAYLOAD_TOO_LARGE, "The list is too large: 12 MiB at the most.");

/// A JSON object, or a list of ids.
pub(crate) enum FormOrList {
    Form(Form),
    List(Vec<String>),
}

impl<S: Send + Sync> FromRequest<S> for FormOrList {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<FormOrList, Failure> {
        if media_type(request.headers())? != "text/csv" {
            return Form::from_request(request, state).await.map(FormOrList::Form);
        }
        let bytes = to_bytes(request.into_body(), MOST_BYTES).await.map_err(|_| TOO_LARGE)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::Malformed("The list is not valid UTF-8.".into()))?;
        Ok(FormOrList::List(read(text)))
    }
}

/// The ids of a list: one on each line, in quotation marks (RFC 4180) or not. A first line `id` is a heading. Whatever else a line holds is
/// taken as it is, so that no part of it is taken for the id of somebody.
fn read(text: &str) -> Vec<String> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim).filter(|line| !line.is_empty());
    let mut ids: Vec<String> = lines.map(unquoted).collect();
    if ids.first().is_some_and(|first| first.eq_ignore_ascii_case("id")) {
        ids.remove(0);
    }
    ids
}

fn unquoted(line: &str) -> String {
    match line.strip_prefix('"').and_then(|line| line.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_an_id_and_a_heading_is_none() {
        assert_eq!(read("\u{feff}id\r\nuser1\r\n\r\n\"user,2\"\n\"a\"\"b\"\n user3 "), ["user1", "user,2", "a\"b", "user3"]);
        assert_eq!(read("user1\nid"), ["user1", "id"]);
        assert_eq!(read("user1,Ada\n"), ["user1,Ada"]);
        assert!(read("").is_empty() && read("ID\n").is_empty());
    }
}
