//! Zones that a vendor does not show. Rule: one look does not tell a zone that is gone from one that
//! only cannot be seen now (a reload that goes wrong, a view that changed); it counts as gone when
//! every look for a while says so.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Looks that are further apart than this, beyond the while itself, say nothing of the time between.
const APART_MOST: Duration = Duration::from_secs(30);

/// For how long a zone was not seen.
#[derive(Debug, Clone, Copy)]
struct Spell {
    first: Instant,
    last: Instant,
}

/// What is known of the zones of one account.
#[derive(Debug, Default)]
pub(crate) struct Unseen(Mutex<BTreeMap<String, Spell>>);

impl Unseen {
    /// The zone was seen.
    pub(crate) fn end(&self, zone: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(zone);
    }

    /// The zone was looked for and not seen; whether it has not been for this `while_`, by every look.
    pub(crate) fn lasts(&self, zone: &str, while_: Duration) -> bool {
        let now = Instant::now();
        let mut spells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spell = spells.entry(zone.to_owned()).or_insert(Spell { first: now, last: now });
        if now - spell.last > while_ + APART_MOST {
            spell.first = now;
        }
        spell.last = now;
        now - spell.first >= while_
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHILE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn only_looks_that_follow_each_other_count() {
        let unseen = Unseen::default();
        let later = |seconds| tokio::time::advance(Duration::from_secs(seconds));
        assert!(!unseen.lasts("a", WHILE), "one look is none");
        later(59).await;
        assert!(!unseen.lasts("a", WHILE));
        later(1).await;
        assert!(unseen.lasts("a", WHILE));
        assert!(!unseen.lasts("b", WHILE), "another zone");
        later(3_600).await;
        assert!(!unseen.lasts("a", WHILE), "nobody looked for an hour");
        later(60).await;
        assert!(unseen.lasts("a", WHILE));
        unseen.end("a");
        assert!(!unseen.lasts("a", WHILE), "it was seen");
    }
}
