//! What a body is said to be: its media type (`Content-Type`) and its coding (`Content-Encoding`).

use std::io::Read;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use flate2::read::MultiGzDecoder;
use plane::Error;

use crate::problem::Failure;

const UNREADABLE: Failure = Failure::ContentCoding("The body is not the gzip that its header Content-Encoding says.");
const UNKNOWN: Failure =
    Failure::ContentCoding("Send the body as it is, or with the header Content-Encoding: gzip. No other coding is read.");
const CHARSET: Failure = Failure::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send the body in UTF-8: no other charset is read.");

/// The media type of a body in lower case and without its parameters; empty if the request says none.
///
/// # Errors
/// 415 for a charset other than UTF-8. A list may also be in UTF-16, which spreadsheets save, too.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<String, Failure> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
        let value = value.trim_matches('"');
        let known: &[&str] = match kind.as_str() {
            "text/csv" => &["utf-8", "utf8", "us-ascii", "utf-16", "utf-16le", "utf-16be"],
            _ => &["utf-8", "utf8", "us-ascii"],
        };
        if name.eq_ignore_ascii_case("charset") && !known.iter().any(|known| value.eq_ignore_ascii_case(known)) {
            return Err(CHARSET);
        }
    }
    Ok(kind)
}

/// A body as it was before it was compressed.
///
/// # Errors
/// 415 for a coding other than gzip, and for what is no gzip; `too_large` when more than `most` bytes come out.
pub(crate) async fn decoded(headers: &HeaderMap, body: Bytes, most: usize, too_large: Failure) -> Result<Bytes, Failure> {
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let text = value.to_str().map_err(|_| UNKNOWN)?;
        codings.extend(text.split(',').map(|coding| coding.trim().to_ascii_lowercase()).filter(|coding| !coding.is_empty()));
    }
    codings.retain(|coding| coding != "identity");
    match codings.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(body),
        ["gzip" | "x-gzip"] => {
            // A bound on what comes out: a mebibyte of gzip can hold a gibibyte.
            let unpacked = tokio::task::spawn_blocking(move || unpack(&body, most)).await;
            let unpacked = unpacked.map_err(|_| Error::Internal("unpacking a body was broken off".into()))?;
            match unpacked? {
                Some(unpacked) => Ok(unpacked.into()),
                None => Err(too_large),
            }
        }
        _ => Err(UNKNOWN),
    }
}

fn unpack(body: &[u8], most: usize) -> Result<Option<Vec<u8>>, Failure> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(body).take(most as u64 + 1).read_to_end(&mut unpacked).map_err(|_| UNREADABLE)?;
    Ok((unpacked.len() <= most).then_some(unpacked))
}
