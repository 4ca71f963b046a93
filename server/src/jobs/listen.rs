//! Listening to vendors that tell by themselves what changed. One task an account; the rule: however
//! much is told and however often the telling breaks off, an account is looked at no more than about
//! once a second, and asked to tell again ever more seldom.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::providers::Changes;
use domain::id::ProviderId;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    fault::Fault,
    services::{Services, Told},
};

/// What is told within this belongs together and is looked at once.
const TOGETHER: Duration = Duration::from_millis(250);
/// From the end of one look to the next.
const BETWEEN: Duration = Duration::from_millis(750);
/// So long after the last thing was told there is one more look: a vendor may tell of a change before
/// its own listing shows it, and what has just been started needs a moment to be well.
const SETTLED: Duration = Duration::from_secs(3);
/// After this the vendor is asked to tell anew: a connection can break without a sign.
const ANEW: Duration = Duration::from_secs(600);
/// The first wait after a telling broke off, and the longest one.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// What lasted so long had not failed.
const LASTED: Duration = Duration::from_secs(60);

/// A task, and the mark of what its account was opened with.
type Listener = (i64, AbortOnDropHandle<()>);

/// Who listens in this process; all of them end with this.
#[derive(Default)]
pub(super) struct Listeners {
    of: Mutex<HashMap<ProviderId, Listener>>,
}

impl Listeners {
    /// Ends those whose account is not connected any more, or is opened in another way by now, and
    /// begins those that are missing. Every process listens by itself: to look twice does no harm.
    ///
    /// # Errors
    /// [`Fault`] if the store does not answer.
    pub(super) async fn tend(&self, services: &Arc<Services>) -> Result<(), Fault> {
        let wanted: HashMap<ProviderId, i64> = services.accounts_to_hear().await?.into_iter().collect();
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.retain(|id, (mark, _)| wanted.get(id) == Some(mark));
        for (id, mark) in wanted {
            // One whose vendor tells nothing stays here, ended.
            of.entry(id.clone()).or_insert_with(|| {
                let task = tokio::spawn(listened(services.clone(), id));
                (mark, AbortOnDropHandle::new(task))
            });
        }
        Ok(())
    }
}

/// Listens to one account, again and again; ends if its vendor tells nothing by itself.
async fn listened(services: Arc<Services>, id: ProviderId) {
    let mut wait = WAITS.0;
    loop {
        let begun = Instant::now();
        match services.account_changes(&id).await {
            Ok(None) => return,
            Ok(Some(changes)) => {
                looked(&services, &id, &Told::Any).await;
                heard(&services, &id, changes).await;
            }
            Err(fault) => tracing::info!(provider = %id, code = %fault.code, "a vendor cannot be listened to"),
        }
        sleep(wait).await;
        wait = next_wait(wait, begun.elapsed());
    }
}

/// How long to wait after the next time, if this one `lasted` so long.
fn next_wait(wait: Duration, lasted: Duration) -> Duration {
    if lasted >= LASTED + wait { WAITS.0 } else { (wait * 2).min(WAITS.1) }
}

/// Looks at the account whenever something is told, until the telling breaks off or is old.
async fn heard(services: &Services, id: &ProviderId, changes: Changes) {
    let mut changes = changes.fuse();
    let end = Instant::now() + ANEW;
    // What the last looks were about, until it has settled.
    let mut moving = BTreeSet::new();
    loop {
        let patience = if moving.is_empty() { end.saturating_duration_since(Instant::now()) } else { SETTLED };
        match timeout(patience, changes.next()).await {
            Err(_) if moving.is_empty() => return,
            Err(_) => {
                looked(services, id, &Told::These(std::mem::take(&mut moving))).await;
                continue;
            }
            Ok(Some(Ok(change))) => moving.insert(change.infra_id),
            Ok(Some(Err(_)) | None) => return,
        };
        sleep(TOGETHER).await;
        while let Some(Some(Ok(change))) = changes.next().now_or_never() {
            moving.insert(change.infra_id);
        }
        looked(services, id, &Told::These(moving.clone())).await;
        sleep(BETWEEN).await;
        if Instant::now() > end {
            return;
        }
    }
}

async fn looked(services: &Services, id: &ProviderId, told: &Told) {
    if let Err(fault) = services.account_changed(id, told).await {
        tracing::warn!(code = %fault.code, detail = %fault.detail, "an account could not be looked at");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telling_that_breaks_off_at_once_is_asked_for_ever_more_seldom() {
        let mut waits = vec![WAITS.0];
        for _ in 0..8 {
            waits.push(next_wait(*waits.last().unwrap(), Duration::from_millis(5)));
        }
        let seconds: Vec<_> = waits.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(next_wait(WAITS.1, WAITS.1 + LASTED), WAITS.0, "the wait itself is not the telling");
        assert_eq!(next_wait(WAITS.1, WAITS.1), WAITS.1);
    }
}
