//! The bare handler: an axum server that knows one answer, in a process of its own. What a framework costs that does nothing.

use std::process::Stdio;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt;
use clap::Args;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::Result;
use crate::bench::server::words;

/// One answer.
#[derive(Args, Clone)]
pub(crate) struct BareArgs {
    /// The path that is asked for.
    path: String,
    /// The answer's content type.
    content_type: String,
    /// The answer.
    body: String,
}

/// Serves until it is killed. Its first line says where.
pub(crate) async fn serve(arguments: BareArgs) -> Result {
    let BareArgs { path, content_type, body } = arguments;
    let answer = async move || ([(CONTENT_TYPE, content_type)], body).into_response();
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(words)?;
    println!("http://{}", listener.local_addr().map_err(words)?);
    // As the server sets it.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().route(&path, get(answer))).await.map_err(words)
}

/// A running bare handler. Killed when dropped.
pub(crate) struct Bare {
    pub(crate) url: String,
    _child: Child,
}

impl Bare {
    pub(crate) async fn start(path: &str, content_type: &str, body: &str) -> Result<Bare> {
        let mut command = Command::new(std::env::current_exe().map_err(words)?);
        command.args(["bare", path, content_type, body]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(words)?;
        let output = child.stdout.take().ok_or("the bare handler has no output")?;
        let first = BufReader::new(output).lines().next_line().await.map_err(words)?;
        Ok(Bare { url: first.ok_or("the bare handler does not listen")?, _child: child })
    }
}
