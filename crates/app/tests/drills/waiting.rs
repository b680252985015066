//! Waiting for what comes by itself, and no longer than it can take.

use std::time::Duration;

/// What has not come after this does not come.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until a condition holds; the drill fails when it does not within [`PATIENCE`].
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waits).await.is_ok(), "waited {} s in vain until {what}", PATIENCE.as_secs());
}
