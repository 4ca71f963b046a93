//! What the clock starts: the end of allocations, background checks of accounts, the end of what
//! is kept after a failure, and the tidying of old records.

use std::{sync::Arc, time::Duration};

use domain::{
    access::Principal,
    time::{HOUR, MINUTE},
};
use tokio_util::sync::CancellationToken;

use crate::{fault::Fault, services::Services};

/// How many live events are kept for listeners that come back.
const EVENTS_KEPT: i64 = 10_000;

/// Runs until stopped. Every process may run it: each sweep is decided in its own transaction.
pub async fn watch(services: Arc<Services>, release_every: Duration, stop: CancellationToken) {
    let mut release = tokio::time::interval(release_every);
    let mut accounts = tokio::time::interval(Duration::from_secs(5));
    let mut keep = tokio::time::interval(Duration::from_secs(30));
    let mut fill = tokio::time::interval(Duration::from_secs(2));
    let mut tidy = tokio::time::interval(Duration::from_secs(600));
    for timer in [&mut release, &mut accounts, &mut keep, &mut fill, &mut tidy] {
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            _ = release.tick() => services.auto_release_now(&Principal::system()).await.map(|report| {
                if report.rows_released > 0 {
                    tracing::info!(released = report.rows_released, "allocations ran out");
                }
            }),
            _ = accounts.tick() => services.providers_check_due().await.map(|_| ()),
            _ = keep.tick() => services.nodes_keep_sweep().await.map(|_| ()),
            _ = fill.tick() => services.pools_fill().await.map(|filled| {
                if filled.acquired + filled.retired > 0 {
                    tracing::info!(acquired = filled.acquired, retired = filled.retired, "pools were brought nearer to their targets");
                }
            }),
            _ = tidy.tick() => tidy_up(&services).await,
        };
        if let Err(fault) = outcome {
            tracing::warn!(code = %fault.code, detail = %fault.detail, "a sweep could not be carried out");
        }
    }
}

async fn tidy_up(services: &Services) -> Result<(), Fault> {
    let now = services.clock().now();
    services
        .store()
        .write::<(), Fault, _>(move |c| {
            Box::pin(async move {
                c.events_purge(EVENTS_KEPT).await?;
                c.sessions_purge(now).await?;
                c.idempotency_purge(now.plus(-24 * HOUR)).await?;
                c.login_failures_purge(now.plus(-60 * MINUTE)).await?;
                Ok(())
            })
        })
        .await
}
