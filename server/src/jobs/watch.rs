//! What the clock starts: the end of allocations, background checks of accounts, the comparison of
//! their machines with what is recorded, those who listen to what vendors tell, catalogues before
//! they are old, the end of what is kept after a failure, and the tidying of old records.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{access::Principal, time::HOUR};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::listen::Listeners;
use crate::{
    fault::Fault,
    services::{OBSERVED_AT_ONCE, SIGN_IN_FAILURES_COUNT, Services},
};

/// How many live events are kept for listeners that come back.
const EVENTS_KEPT: i64 = 10_000;

/// Runs until stopped. Every process may run it: each sweep is decided in its own transaction. The
/// sweeps run side by side, so that a vendor who does not answer holds up no expiry.
pub async fn watch(services: Arc<Services>, release_every: Duration, stop: CancellationToken) {
    let release = every(release_every, &stop, || async {
        let report = services.auto_release_now(&Principal::system()).await?;
        if report.rows_released > 0 {
            tracing::info!(released = report.rows_released, "allocations ran out");
        }
        Ok(())
    });
    let accounts = every(Duration::from_secs(5), &stop, || async { services.providers_check_due().await.map(drop) });
    let looks = Mutex::new(JoinSet::new());
    let observe = every(Duration::from_secs(2), &stop, || accounts_observe(&services, &looks));
    let listeners = Listeners::default();
    let listen = every(Duration::from_secs(2), &stop, || listeners.tend(&services));
    let catalogs = every(Duration::from_secs(30), &stop, || async { services.catalogs_refresh().await });
    let keep = every(Duration::from_secs(30), &stop, || async { services.nodes_keep_sweep().await.map(drop) });
    let fill = every(Duration::from_secs(2), &stop, || async {
        let filled = services.pools_fill().await?;
        if filled.acquired + filled.retired > 0 {
            tracing::info!(
                acquired = filled.acquired,
                retired = filled.retired,
                "pools were brought nearer to their targets"
            );
        }
        Ok(())
    });
    let tidy = every(Duration::from_secs(600), &stop, || tidy_up(&services));
    tokio::join!(release, accounts, observe, listen, catalogs, keep, fill, tidy);
}

/// Begins to observe the accounts whose turn it is, side by side, and waits for none: a vendor that does
/// not answer delays no other one's next look.
async fn accounts_observe(services: &Arc<Services>, looks: &Mutex<JoinSet<()>>) -> Result<(), Fault> {
    let looks = || looks.lock().unwrap_or_else(PoisonError::into_inner);
    let under_way = {
        let mut looks = looks();
        while looks.try_join_next().is_some() {}
        u32::try_from(looks.len()).unwrap_or(u32::MAX)
    };
    let free = OBSERVED_AT_ONCE.saturating_sub(under_way);
    if free == 0 {
        return Ok(());
    }
    for account in services.accounts_observe_claim(free).await? {
        let services = services.clone();
        looks().spawn(async move { services.account_observe(&account).await });
    }
    Ok(())
}

/// Runs a sweep again and again until stopped; what fails is said and tried again.
async fn every<F, Fut>(period: Duration, stop: &CancellationToken, sweep: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<(), Fault>>,
{
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = sweep() => outcome,
        };
        if let Err(fault) = outcome {
            tracing::warn!(code = %fault.code, detail = %fault.detail, "a sweep could not be carried out");
        }
    }
}

/// Deletes what nobody asks for any more.
///
/// # Errors
/// [`Fault`] if the store does not answer.
pub async fn tidy_up(services: &Services) -> Result<(), Fault> {
    services.backups_sweep().await?;
    let now = services.clock().now();
    services
        .store()
        .write::<(), Fault, _>(move |c| {
            Box::pin(async move {
                c.events_purge(EVENTS_KEPT).await?;
                c.sessions_purge(now).await?;
                c.idempotency_purge(now.plus(-24 * HOUR)).await?;
                c.login_failures_purge(now.plus(-SIGN_IN_FAILURES_COUNT)).await?;
                Ok(())
            })
        })
        .await
}
