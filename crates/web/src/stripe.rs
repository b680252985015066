//! Stripe's API: the few calls of it that this server makes, and how it reads the answers.
//!
//! A thin client of our own on `reqwest`, with a version of the API that is fixed here. What is called when stands in `courier/billing.rs`.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use plane::StripeAccount;
use plane::outbox::PATIENCE;
use plane::subscription_steps::SubscriptionState;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::Value as Json;

/// The version of the API that answers are read by.
const VERSION: &str = "2025-03-31.basil";
/// Bytes of an answer that are read: a subscription has a few thousand.
const MOST_ANSWER: usize = 1024 * 1024;

/// Stripe, as one account sees it.
#[derive(Clone)]
pub(crate) struct Stripe {
    client: Client,
    url: String,
}

/// What Stripe answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Json,
    /// For Stripe's support.
    pub(crate) request_id: Option<String>,
    /// How long Stripe asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Answer {
    /// Whether it was done.
    pub(crate) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What was wrong, in Stripe's words: a code, and a sentence that may hold ids and no personal data.
    pub(crate) fn error(&self) -> Option<String> {
        let error = &self.body["error"];
        let parts = [&error["code"], &error["message"]].into_iter().filter_map(Json::as_str);
        let words: Vec<&str> = parts.collect();
        (!words.is_empty()).then(|| words.join(": "))
    }

    /// The subscription that it holds, if it holds one.
    pub(crate) fn subscription(&self) -> Option<SubscriptionState> {
        let found = &self.body;
        let text = |value: &Json| value.as_str().filter(|text| text.len() <= 255).map(str::to_owned);
        let time = |value: &Json| value.as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok());
        let item = &found["items"]["data"][0];
        // A price, or what it was called before.
        let price = if item["price"].is_object() { &item["price"] } else { &item["plan"] };
        let recurring = if price["recurring"].is_object() { &price["recurring"] } else { price };
        Some(SubscriptionState {
            status: text(&found["status"])?,
            stripe_customer_id: text(&found["customer"]).or_else(|| text(&found["customer"]["id"])),
            price: text(&price["id"]),
            amount: price["unit_amount"].as_i64().or_else(|| price["amount"].as_i64()),
            currency: text(&price["currency"]),
            interval: text(&recurring["interval"]),
            quantity: item["quantity"].as_i64(),
            // It stands with the items in newer versions of the API.
            current_period_end: time(&item["current_period_end"]).or_else(|| time(&found["current_period_end"])),
            cancel_at: time(&found["cancel_at"]).or_else(|| {
                let is_set = found["cancel_at_period_end"].as_bool().unwrap_or(false);
                time(&item["current_period_end"]).or_else(|| time(&found["current_period_end"])).filter(|_| is_set)
            }),
            ended_at: time(&found["ended_at"]),
            is_changed: false,
            request_id: self.request_id.clone(),
        })
    }

    /// Whether Stripe does not know what was asked for: neither here nor in the other of its two modes, test and live.
    pub(crate) fn is_missing(&self) -> bool {
        let error = &self.body["error"];
        let is_elsewhere = error["message"].as_str().is_some_and(|words| words.contains("a similar object exists in"));
        self.status == 404 && error["code"] == "resource_missing" && !is_elsewhere
    }

    /// Whether the subscription is to end with the period that is paid for, or at a time.
    pub(crate) fn is_to_end(&self) -> bool {
        self.body["cancel_at_period_end"].as_bool().unwrap_or(false) || self.body["cancel_at"].is_number()
    }

    /// The ids of the subscription's items.
    pub(crate) fn items(&self) -> Vec<&str> {
        self.body["items"]["data"].as_array().into_iter().flatten().filter_map(|item| item["id"].as_str()).collect()
    }
}

impl Stripe {
    /// A client for an account; none where the server has no key.
    ///
    /// # Errors
    /// Words about what is wrong with the key or the address, or what the system lacks.
    pub(crate) fn new(account: &StripeAccount) -> Result<Option<Stripe>, String> {
        let Some(key) = &account.secret_key else { return Ok(None) };
        let mut headers = HeaderMap::new();
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| "the key of Stripe holds what no key does".to_owned())?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
        headers.insert("stripe-version", HeaderValue::from_static(VERSION));
        let client = Client::builder()
            .default_headers(headers)
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .timeout(PATIENCE)
            .user_agent(concat!("Freehold/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("the client for Stripe cannot be made: {error}"))?;
        Ok(Some(Stripe { client, url: account.api_url.trim_end_matches('/').to_owned() }))
    }

    /// Reads a subscription.
    pub(crate) async fn read(&self, subscription: &str) -> Result<Answer, &'static str> {
        self.ask(Method::GET, &format!("subscriptions/{subscription}"), &[], None).await
    }

    /// Changes a subscription.
    pub(crate) async fn change(&self, subscription: &str, form: &[(&str, String)], key: &str) -> Result<Answer, &'static str> {
        self.ask(Method::POST, &format!("subscriptions/{subscription}"), form, Some(key)).await
    }

    /// Ends a subscription at once.
    pub(crate) async fn cancel(&self, subscription: &str, form: &[(&str, String)], key: &str) -> Result<Answer, &'static str> {
        self.ask(Method::DELETE, &format!("subscriptions/{subscription}"), form, Some(key)).await
    }

    /// Makes something that has no key.
    pub(crate) async fn make(&self, what: &str, form: &[(&str, String)]) -> Result<Answer, &'static str> {
        self.ask(Method::POST, what, form, None).await
    }

    async fn ask(&self, method: Method, path: &str, form: &[(&str, String)], key: Option<&str>) -> Result<Answer, &'static str> {
        let mut request = self.client.request(method, format!("{}/v1/{path}", self.url));
        if !form.is_empty() {
            let mut body = String::new();
            for (name, value) in form {
                let separator = if body.is_empty() { "" } else { "&" };
                let _ = write!(body, "{separator}{}={}", encoded(name), encoded(value));
            }
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let mut answer = request.send().await.map_err(sort)?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let request_id = header("request-id").filter(|id| id.len() <= 100);
        let retry_after = header(RETRY_AFTER.as_str()).and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(sort)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_ANSWER {
                return Err("Stripe's answer is larger than any that it gives");
            }
        }
        Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or_default(), request_id, retry_after })
    }
}

/// A text as forms have it (`application/x-www-form-urlencoded`).
fn encoded(text: &str) -> percent_encoding::PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

fn sort(error: reqwest::Error) -> &'static str {
    tracing::debug!(?error, "a call of Stripe came to nothing");
    match () {
        () if error.is_timeout() => "no answer from Stripe within 10 seconds",
        () if error.is_connect() => "no connection to Stripe",
        () => "the connection to Stripe broke before there was an answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(body: Json) -> Answer {
        Answer { status: 200, body, request_id: None, retry_after: None }
    }

    #[test]
    fn a_subscription_is_read_in_the_forms_of_newer_and_of_older_versions_of_the_api() {
        let newer = answer(json!({
            "status": "active", "customer": "cus_1", "cancel_at_period_end": true, "cancel_at": 2_000, "ended_at": null,
            "items": {"data": [{"id": "si_1", "quantity": 3, "current_period_end": 2_000,
                                "price": {"id": "price_1", "unit_amount": 2_900, "currency": "eur", "recurring": {"interval": "month"}}}]},
        }));
        let older = answer(json!({
            "status": "active", "customer": {"id": "cus_1"}, "cancel_at_period_end": true, "cancel_at": null, "current_period_end": 2_000,
            "items": {"data": [{"id": "si_1", "quantity": 3, "plan": {"id": "price_1", "amount": 2_900, "currency": "eur", "interval": "month"}}]},
        }));
        assert_eq!(newer.subscription(), older.subscription());
        let read = newer.subscription().unwrap();
        let time = Timestamp::from_second(2_000).ok();
        assert_eq!((read.amount, read.interval.as_deref(), read.quantity, read.cancel_at), (Some(2_900), Some("month"), Some(3), time));
        assert!(newer.is_to_end() && older.is_to_end() && !answer(json!({"cancel_at": null})).is_to_end());
        assert!(answer(json!({"error": {}})).subscription().is_none());
    }

    #[test]
    fn what_is_unknown_to_stripe_is_told_from_what_is_unknown_to_this_key_or_to_something_between() {
        let told = |status, body| Answer { status, ..answer(body) }.is_missing();
        assert!(told(404, json!({"error": {"code": "resource_missing", "message": "No such subscription: 'sub_1'"}})));
        let other =
            "No such subscription: 'sub_1'; a similar object exists in live mode, but a test mode key was used to make this request.";
        assert!(!told(404, json!({"error": {"code": "resource_missing", "message": other}})));
        assert!(!told(404, json!("<html>not found</html>")) && !told(400, json!({"error": {"code": "resource_missing"}})));
    }

    #[test]
    fn a_refusal_is_told_in_stripes_words() {
        let refused = answer(json!({"error": {"code": "resource_missing", "message": "No such subscription: 'sub_1'"}}));
        assert_eq!(refused.error().unwrap(), "resource_missing: No such subscription: 'sub_1'");
        assert_eq!(answer(json!("<html>")).error(), None);
    }
}
