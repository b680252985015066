//! Addresses in their one spelling, before they are routed: what RFC 3986 (section 6.2.2) calls equivalent leads to the same operation.

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// The request with its path in one spelling: escapes of characters that need none are decoded, the hexadecimal digits of all others are in
/// upper case, and the segments `.` and `..` are resolved. A path with an escape that is none stays as it is, for the middleware to refuse.
pub(crate) fn in_one_spelling(mut request: Request) -> Request {
    if let Some(path) = spelled(request.uri().path()) {
        replace(&mut request, &path);
    }
    request
}

/// Puts another path in the place of a request's.
pub(crate) fn replace(request: &mut Request, path: &str) {
    let whole = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let Ok(target) = PathAndQuery::try_from(whole) else { return };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(target);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// Whether each `%` of a text is followed by two hexadecimal digits.
pub(crate) fn is_escaped_well(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'%')
        .all(|(place, _)| bytes.get(place + 1..place + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// The path in its one spelling, if that is another one.
fn spelled(path: &str) -> Option<String> {
    // Nearly all paths have nothing to change.
    if !path.contains(['%', '.']) || !path.starts_with('/') || !is_escaped_well(path) {
        return None;
    }
    let mut segments: Vec<String> = Vec::new();
    let mut ends_in_dots = false;
    for segment in path.split('/').skip(1).map(unescaped) {
        ends_in_dots = matches!(segment.as_str(), "." | "..");
        match segment.as_str() {
            "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    if ends_in_dots {
        segments.push(String::new());
    }
    let spelled = format!("/{}", segments.join("/"));
    (spelled != path).then_some(spelled)
}

/// A segment without escapes that it does not need. What has a meaning of its own in an address (`/`, `?`, `#`, `%`) keeps them.
fn unescaped(segment: &str) -> String {
    let mut spelled = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('%') {
        spelled.push_str(before);
        let (digits, after) = after.split_at_checked(2).unwrap_or((after, ""));
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) => spelled.push(char::from(byte)),
            _ => {
                spelled.push('%');
                spelled.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = after;
    }
    spelled.push_str(rest);
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equivalent_paths_have_one_spelling() {
        for (path, one) in [
            ("/api/%6Frganizations", "/api/organizations"),
            ("/customer/%c3%a9", "/customer/%C3%A9"),
            ("/customer/a%2fb%7E%3a", "/customer/a%2Fb~:"),
            ("/customer/%2525", "/customer/%2525"),
            ("/api/./organizations/x/../y", "/api/organizations/y"),
            ("/api/%2E%2e/docs", "/docs"),
            ("/../../docs/.", "/docs/"),
            ("/docs/..", "/"),
            ("/a//b/../c", "/a//c"),
            ("/a.b/..c/...", "/a.b/..c/..."),
        ] {
            assert_eq!(spelled(path).as_deref().unwrap_or(path), one, "{path}");
            assert_eq!(spelled(one), None, "{one}");
        }
        for broken in ["/%", "/%z0/%41", "/%4"] {
            assert!(spelled(broken).is_none() && !is_escaped_well(broken), "{broken}");
        }
    }

    #[test]
    fn a_new_path_keeps_the_query() {
        let mut request = Request::builder().uri("http://x.example/%61?b=%41").body(axum::body::Body::empty()).unwrap();
        request = in_one_spelling(request);
        assert_eq!(request.uri().to_string(), "http://x.example/a?b=%41");
    }
}
