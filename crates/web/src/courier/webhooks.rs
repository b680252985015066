//! Webhooks are told, signed as Standard Webhooks says. What may be called stands in `outbound`.

use std::time::Duration;

use jiff::Timestamp;
use plane::Plane;
use plane::outbox::{Attempt, Due, GONE};
use reqwest::header::{HeaderMap, HeaderValue};

use crate::outbound::Outbound;

/// Makes one attempt.
pub(super) async fn tell(plane: &Plane, outbound: &Outbound, due: &Due) -> Attempt {
    let Some(endpoint) = &due.endpoint else {
        return Attempt { error: Some("it goes to no webhook"), is_final: true, ..Attempt::default() };
    };
    let timestamp = plane.clock.now().as_second();
    let mut headers = HeaderMap::new();
    let values = [
        ("webhook-id", due.id.to_string()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", endpoint.sign(due.id, timestamp, &due.payload)),
        ("x-webhook-signature", endpoint.sign_body(&due.payload)),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    let answered = match outbound.post(&endpoint.url, headers, due.payload.clone()).await {
        Ok(answered) => answered,
        Err(unanswered) => return Attempt { error: Some(unanswered.words()), ..Attempt::default() },
    };
    let error = match answered.status {
        200..=299 => None,
        300..=399 => Some("a redirect, which is not followed: register the address it leads to"),
        GONE => Some("the receiver wants nothing more (410 Gone): the webhook is switched off"),
        _ => Some("the answer was not a success (2xx)"),
    };
    let retry_after = answered.retry_after.and_then(|asked| pause(&asked, plane.clock.now()));
    let is_final = answered.status == GONE;
    Attempt { status: Some(answered.status), error, body: answered.body, retry_after, is_final, outcome: None }
}

/// How long a receiver asks to be left alone: seconds, or a time from now (RFC 9110, section 10.2.3).
fn pause(text: &str, now: Timestamp) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let until = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
            Duration::try_from(until.duration_since(now)).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_time() {
        let now: Timestamp = "2026-12-01T12:00:00Z".parse().unwrap();
        let seconds = |text| pause(text, now).map(|pause| pause.as_secs());
        assert_eq!([seconds("120"), seconds(" 0 "), seconds("Tue, 01 Dec 2026 12:01:30 GMT")], [Some(120), Some(0), Some(90)]);
        assert_eq!([seconds("Tue, 01 Dec 2026 11:00:00 GMT"), seconds("-1"), seconds("soon")], [None; 3]);
    }
}
