//! Exports: their records, and the archives, which go from where they lie to the client a piece at a time, for as long as the client may have them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use futures_util::{FutureExt, stream};
use plane::Stopwatch;
use plane::exports::{self, Download, Export};
use plane::storage::Reader;
use plane::{Error, Result};
use uuid::Uuid;

use crate::AppState;
use crate::answers::{One, Paged};
use crate::caller::{Caller, Segments};
use crate::conditional::{precondition, verdict};
use crate::lasting::{Asker, Full, Limits, Place};
use crate::problem::{Answer, Failure};
use crate::ranges::{Wanted, check, wanted};

/// How often it is looked whether the export is still there. Whether its reader may have it is asked, of memory, before each piece.
const PACE: Duration = Duration::from_millis(250);
/// Downloads that are under way at once.
pub(crate) const MOST: Limits = Limits { altogether: 256, of_an_organization: 32, of_a_caller: 8 };

pub(crate) async fn of_organization(caller: Caller, Segments(organization): Segments<String>) -> Answer<One<Export>> {
    let export = exports::of_organization(&caller.cx, &caller.organization(&organization)?).await?;
    Ok(accepted(&caller, &export))
}

pub(crate) async fn of_customer(caller: Caller, Segments((organization, customer)): Segments<(String, String)>) -> Answer<One<Export>> {
    let export = exports::of_customer(&caller.cx, &caller.organization(&organization)?, &customer).await?;
    Ok(accepted(&caller, &export))
}

fn accepted(caller: &Caller, export: &Export) -> One<Export> {
    caller.one(StatusCode::ACCEPTED, export).with(|mut response| {
        set(&mut response, header::LOCATION, &format!("/api/exports/{}", export.id));
        response
    })
}

pub(crate) async fn list(caller: Caller, Segments(organization): Segments<String>) -> Answer<Paged<Export>> {
    let page = exports::list(&caller.cx, &caller.organization(&organization)?, caller.query.page()?).await?;
    Ok(caller.page(page, |export| export))
}

pub(crate) async fn read(caller: Caller, Segments(export): Segments<String>) -> Answer<One<Export>> {
    let export = exports::get(&caller.cx, caller.id("id", &export)?).await?;
    Ok(caller.tagged(&export.etag(), &export))
}

pub(crate) async fn delete(caller: Caller, Segments(export): Segments<String>) -> Answer {
    exports::delete(&caller.cx, caller.id("id", &export)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn download(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Segments(export): Segments<String>,
    method: Method,
    mut headers: HeaderMap,
) -> Answer {
    check(&headers)?;
    if method != Method::GET {
        // Parts are of what is sent.
        headers.remove(header::RANGE);
    }
    let id = caller.id("id", &export)?;
    // A caller without the right is refused by the download, which the trail shows.
    let organization = exports::get(&caller.cx, id).await.map_or(Uuid::nil(), |export| export.organization);
    let place = app.downloads.enter(caller.cx.principal()?.user, organization).map_err(refusal)?;
    let mut total = 0;
    let (mut known, precondition) = (None, precondition(&headers));
    let which = |export: &Export, bytes: u64| {
        total = bytes;
        // Before the range (RFC 9110, section 13.2.2).
        known = precondition.as_ref().and_then(|wanted| verdict(wanted, &tag(export)?));
        if known.is_some() {
            return None;
        }
        match wanted(&headers, bytes, tag(export).as_deref()) {
            Wanted::All => Some(0..bytes),
            Wanted::Part(range) => Some(range),
            Wanted::Nothing => None,
        }
    };
    let Download { export, range, reader } = match exports::download(&caller.cx, id, which).await? {
        Ok(download) => download,
        Err(bytes) => return known.unwrap_or(Err(Failure::NotThatLong(bytes))),
    };
    let is_all = range.end - range.start == total;
    let sending = Sending {
        reader,
        // What is sent whole is held against what was written.
        hash: export.sha256.as_ref().filter(|_| is_all).map(|_| Context::new(&SHA256)),
        left: range.end - range.start,
        export: export.clone(),
        asker: Asker::new(&caller, &headers)?,
        looked: app.plane.clock.stopwatch(),
        app,
        place,
    };
    let mut response = Response::new(streamed(sending));
    // Also of a range that is the whole.
    if headers.contains_key(header::RANGE) && matches!(wanted(&headers, total, tag(&export).as_deref()), Wanted::Part(_)) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        set(&mut response, header::CONTENT_RANGE, &format!("bytes {}-{}/{total}", range.start, range.end - 1));
    }
    set(&mut response, header::CONTENT_TYPE, "application/zip");
    set(&mut response, header::CONTENT_LENGTH, &(range.end - range.start).to_string());
    set(&mut response, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{}\"", export.file_name()));
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    if let Some(tag) = tag(&export) {
        set(&mut response, header::ETAG, &tag);
    }
    Ok(response)
}

/// A strong tag: of the same bytes, and no others.
fn tag(export: &Export) -> Option<String> {
    export.sha256_hex().map(|sha256| format!("\"{sha256}\""))
}

fn refusal(full: Full) -> Error {
    Error::Overloaded(match full {
        Full::Caller => "You download as many exports as you can at once. Wait until one is there.",
        Full::Organization => "As many exports of this organization are downloaded as can be at once. Try again later.",
        Full::Altogether => "As many exports are downloaded as this server can send at once. Try again later.",
    })
}

/// An archive on its way to a client.
struct Sending {
    app: Arc<AppState>,
    reader: Reader,
    /// Of what was sent so far, if all is to be sent.
    hash: Option<Context>,
    /// Bytes that are still to be sent.
    left: u64,
    export: Export,
    asker: Asker,
    /// When it was last there.
    looked: Stopwatch,
    place: Place,
}

/// Reads as fast as the client takes it. A client that may no longer have it sees the connection end before the announced length.
fn streamed(sending: Sending) -> Body {
    Body::from_stream(stream::try_unfold(sending, |mut sending| async move {
        if let Err(error) = sending.ask_again().await {
            tracing::info!(export = %sending.export.id, outcome = error.outcome(), "a download has ended before its archive");
            return Err(io::Error::other("the archive is no longer this client's to have"));
        }
        let Some(piece) = sending.reader.next().await? else {
            // It was cut short since it was looked up.
            return if sending.left == 0 { Ok::<_, io::Error>(None) } else { Err(sending.damaged()) };
        };
        sending.left = sending.left.saturating_sub(piece.len() as u64);
        if let Some(hash) = &mut sending.hash {
            hash.update(&piece);
        }
        // The last piece of an archive that is not what was written is held back, so that it is not taken for whole.
        if sending.left == 0
            && let Some(hash) = sending.hash.take()
            && Some(hash.finish().as_ref()) != sending.export.sha256.as_deref()
        {
            return Err(sending.damaged());
        }
        Ok(Some((piece, sending)))
    }))
}

impl Sending {
    fn damaged(&self) -> io::Error {
        tracing::error!(export = %self.export.id, "an archive is not what was written: look it over with `freehold doctor`");
        io::Error::other("the archive is not what was written")
    }

    /// Fails when the reader has lost access, or the export is gone or has expired.
    async fn ask_again(&mut self) -> Result<()> {
        if self.place.lost().now_or_never().is_some() {
            return Err(refusal(Full::Altogether));
        }
        let cx = self.asker.still().await?;
        exports::may_read(&cx, &self.export).await?;
        if self.looked.elapsed() >= PACE {
            self.looked = self.app.plane.clock.stopwatch();
            exports::is_there(&cx, self.export.id).await?;
        }
        Ok(())
    }
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
