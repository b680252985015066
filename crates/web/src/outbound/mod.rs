//! Outgoing requests: calls addresses that users chose, and none that [`Destinations`] does not permit.
//!
//! A host that is written as an address is judged before anything is sent, since no resolver ever sees it. A name is resolved once for
//! each call, what may not be called is dropped from the answer, and the connection goes to what is left: whatever the name means a moment
//! later does not matter. No redirect is followed, no proxy used, no connection kept, and of the answer only the
//! status, the pause that it asks for and its beginning are of interest.

mod resolver;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use plane::destinations::Destinations;
use plane::outbox::{self, PATIENCE};
use reqwest::dns::Resolve;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use resolver::{SystemResolver, Vetted};

/// Bytes of an answer that are read before the connection is dropped.
const MOST_ANSWER: usize = 64 * 1024;

/// Calls what may be called.
pub(crate) struct Outbound {
    destinations: Destinations,
    /// For https; none when the system has no certificates to trust.
    secure: Option<Client>,
    /// For http within allowed networks.
    plain: Client,
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// The beginning of the body; nothing from a network that the operator allowed.
    pub(crate) body: Option<String>,
    /// How long the receiver asks to be left alone, in its own words.
    pub(crate) retry_after: Option<String>,
}

/// Why a call came to nothing. The words never tell what a name resolved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The address is not one that may be called.
    Forbidden,
    /// There is no way to check the other side's certificate.
    NoCertificates,
    /// No connection was made.
    Unreachable,
    /// There was no answer in time.
    TimedOut,
    /// The connection broke.
    Broken,
}

impl Unanswered {
    /// For the history of deliveries.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Unanswered::Forbidden => "the URL does not lead to an address that this server may call",
            Unanswered::NoCertificates => "this server has no root certificates: its operator must install them (ca-certificates)",
            Unanswered::Unreachable => "no connection: the host has no public address, does not listen there, or has no good certificate",
            Unanswered::TimedOut => "no answer within 10 seconds",
            Unanswered::Broken => "the connection broke before there was an answer",
        }
    }
}

impl Outbound {
    /// The system's resolver, and these destinations.
    ///
    /// # Errors
    /// Words about what the system lacks.
    pub(crate) fn new(destinations: Destinations) -> Result<Outbound, String> {
        Outbound::with_resolver(destinations, Arc::new(SystemResolver))
    }

    fn with_resolver(destinations: Destinations, resolver: Arc<dyn Resolve>) -> Result<Outbound, String> {
        let vetted = |only_allowed| Vetted { resolver: resolver.clone(), destinations: destinations.clone(), only_allowed };
        let secure = client(vetted(false)).https_only(true).build();
        if let Err(error) = &secure {
            tracing::warn!(%error, "no webhook can be called over https: install root certificates (ca-certificates) and start again");
        }
        // Plain connections check no certificate, so they need none to trust.
        let plain = client(vetted(true)).tls_certs_only([]).build().map_err(|error| format!("the HTTP client cannot be made: {error}"))?;
        Ok(Outbound { destinations, secure: secure.ok(), plain })
    }

    /// Posts JSON and returns the answer.
    pub(crate) async fn post(&self, url: &str, mut headers: HeaderMap, body: String) -> Result<Answered, Unanswered> {
        let url = self.destinations.check("url", url).map_err(|_| Unanswered::Forbidden)?;
        let client = match url.scheme() {
            "https" => self.secure.as_ref().ok_or(Unanswered::NoCertificates)?,
            _ => &self.plain,
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut answer = client.post(url).headers(headers).body(body).send().await.map_err(sort)?;
        let status = answer.status().as_u16();
        // What an operator's own network says is not for every member who can make a webhook.
        let is_shown = answer.remote_addr().is_some_and(|address| !self.destinations.is_allowed(address.ip()));
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // A polite listener: who answers may finish. What comes of the rest changes nothing any more.
        let (mut read, mut beginning) = (0, Vec::new());
        while let Ok(Some(chunk)) = answer.chunk().await {
            read += chunk.len();
            beginning.extend(chunk.iter().take((4 * outbox::MOST_ANSWER).saturating_sub(beginning.len())));
            if read > MOST_ANSWER {
                break;
            }
        }
        // PostgreSQL takes no NUL, and a reader no other control character.
        let shown = |character: &char| !character.is_control() || matches!(character, '\n' | '\t');
        let body: String = String::from_utf8_lossy(&beginning).chars().filter(shown).take(outbox::MOST_ANSWER).collect();
        Ok(Answered { status, body: Some(body).filter(|body| is_shown && !body.is_empty()), retry_after })
    }
}

fn client(resolver: Vetted) -> ClientBuilder {
    Client::builder()
        .dns_resolver(resolver)
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .http1_only()
        .timeout(PATIENCE)
        .user_agent(concat!("Freehold/", env!("CARGO_PKG_VERSION")))
}

fn sort(error: reqwest::Error) -> Unanswered {
    // Some people keep secrets in the URLs of their webhooks.
    let error = error.without_url();
    tracing::debug!(?error, "a call came to nothing");
    match () {
        () if error.is_timeout() => Unanswered::TimedOut,
        () if error.is_connect() => Unanswered::Unreachable,
        () => Unanswered::Broken,
    }
}
