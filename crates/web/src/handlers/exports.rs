//! Exports: their records, and the archives, which go from the disk to the client a piece at a time.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use futures_util::stream;
use plane::exports::{self, Download, Export};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

/// Bytes of an archive in memory for each client that downloads one.
const PIECE: usize = 64 * 1024;

pub(crate) async fn of_organization(door: Door, Segments(organization): Segments<String>) -> Answer {
    let export = exports::of_organization(&door.cx, &door.organization(&organization)?).await?;
    Ok(accepted(&door, export))
}

pub(crate) async fn of_customer(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer {
    let export = exports::of_customer(&door.cx, &door.organization(&organization)?, &customer).await?;
    Ok(accepted(&door, export))
}

fn accepted(door: &Door, export: Export) -> Response<Body> {
    let location = format!("/api/exports/{}", export.id);
    let mut response = views::answer(StatusCode::ACCEPTED, views::export(door.dialect, export));
    set(&mut response, header::LOCATION, &location);
    response
}

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = exports::list(&door.cx, &door.organization(&organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::export))
}

pub(crate) async fn read(door: Door, Segments(export): Segments<String>) -> Answer {
    let export = exports::get(&door.cx, door.id("id", &export)?).await?;
    Ok(views::tagged(StatusCode::OK, &export.etag(), views::export(door.dialect, export)))
}

pub(crate) async fn delete(door: Door, Segments(export): Segments<String>) -> Answer {
    exports::delete(&door.cx, door.id("id", &export)?).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

pub(crate) async fn download(door: Door, Segments(export): Segments<String>) -> Answer {
    let Download { export, file, bytes } = exports::download(&door.cx, door.id("id", &export)?).await?;
    let mut response = Response::new(streamed(File::from_std(file)));
    set(&mut response, header::CONTENT_TYPE, "application/zip");
    set(&mut response, header::CONTENT_LENGTH, &bytes.to_string());
    set(&mut response, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{}\"", export.file_name()));
    Ok(response)
}

/// Reads as fast as the client takes it.
fn streamed(file: File) -> Body {
    Body::from_stream(stream::try_unfold(file, |mut file| async move {
        let mut piece = Vec::with_capacity(PIECE);
        match (&mut file).take(PIECE as u64).read_to_end(&mut piece).await? {
            0 => Ok::<_, io::Error>(None),
            _ => Ok(Some((Bytes::from(piece), file))),
        }
    }))
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
