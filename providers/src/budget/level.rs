//! What is known of the bucket: its size, how much is in it, how fast it fills. Rule: the level is
//! never taken for higher than it may be, and the refill never for faster.

use std::time::Duration;

use domain::provider::CallBudget;
use tokio::time::Instant;

use super::{Class, Told};

/// A bucket fills within an hour, unless its answers say otherwise.
const FULL_AFTER: f64 = 3600.0;
/// Answers by which it would take longer than this are not believed.
const FULL_AFTER_MOST: f64 = 2.0 * FULL_AFTER;
/// So many missing calls tell the refill well enough: times are told in whole seconds.
const MISSING_LEAST: f64 = 8.0;
/// After how long a higher refill gives way to a newer one.
const REFILL_FRESH: Duration = Duration::from_secs(60);
/// A refill that is so many times as fast as a bucket that fills within an hour is not believed;
/// simulated hours are shortened, though not that much.
const REFILL_MOST: f64 = 200.0;
/// Longer than anybody waits.
const FAR: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug, Default)]
pub(super) struct Level {
    bucket: Option<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    limit: f64,
    level: f64,
    /// Per second.
    rate: f64,
    at: Instant,
    /// When the refill was told.
    told: Option<Instant>,
    /// When it is full, but for so many calls that were not counted when this was told.
    full: Option<(Instant, f64)>,
}

impl Level {
    pub(super) fn is_known(&self) -> bool {
        self.bucket.is_some()
    }

    /// Time passes: the bucket fills.
    pub(super) fn pass(&mut self, now: Instant) {
        if let Some(bucket) = &mut self.bucket {
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            bucket.level = (bucket.level + passed * bucket.rate).min(bucket.limit);
            if let Some((_, taken)) = bucket.full.filter(|(at, _)| now >= *at) {
                bucket.level = bucket.level.max(bucket.limit - taken);
            }
            bucket.at = now;
        }
    }

    /// Takes one call out; else when there is one for this class.
    pub(super) fn take(&mut self, class: Class, now: Instant) -> Result<(), Instant> {
        let wait = self.wait(class, 0);
        if wait > Duration::ZERO {
            return Err(now + wait);
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.level -= 1.0;
            if let Some((_, taken)) = &mut bucket.full {
                *taken += 1.0;
            }
        }
        Ok(())
    }

    /// How long until there is a call for this class after `ahead` others.
    pub(super) fn wait(&self, class: Class, ahead: usize) -> Duration {
        let Some(bucket) = &self.bucket else { return Duration::ZERO };
        let need = (1.0 + class.reserve(bucket.limit)).min(bucket.limit.max(1.0)) + ahead as f64;
        // A hair is no reason to wait, and rounding must not make it a moment too short.
        if bucket.level >= need - 1e-9 {
            return Duration::ZERO;
        }
        let seconds = (need - bucket.level) / bucket.rate;
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(FAR).min(FAR);
        let full = bucket.full.filter(|(_, taken)| bucket.limit - taken >= need);
        let until_full = full.map_or(FAR, |(at, _)| at.saturating_duration_since(bucket.at));
        wait.min(until_full).max(Duration::from_millis(1))
    }

    /// How long one call takes to flow back.
    pub(super) fn refill(&self) -> Duration {
        let rate = self.bucket.as_ref().map_or(1.0, |bucket| bucket.rate);
        Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::from_secs(1))
    }

    /// Calls a second that questions may cost: a fifth of what flows back, and what is there over
    /// a minute.
    pub(super) fn spare_rate(&self) -> Option<f64> {
        self.bucket.as_ref().map(|bucket| (bucket.rate / 5.0).max(bucket.level / 60.0))
    }

    pub(super) fn standing(&self) -> Option<CallBudget> {
        let bucket = self.bucket.as_ref()?;
        Some(CallBudget {
            limit: bucket.limit as u32,
            remaining: bucket.level.max(0.0) as u32,
            full_in_seconds: ((bucket.limit - bucket.level) / bucket.rate).ceil() as u32,
        })
    }

    /// An answer to a call beside which `beside` others were on their way at some time; any of
    /// them may not have been counted yet.
    pub(super) fn learn(&mut self, told: Told, beside: usize, now: Instant) {
        let limit = told.limit.map(f64::from).or(self.bucket.as_ref().map(|bucket| bucket.limit));
        let (Some(limit), Some(remaining)) = (limit.filter(|limit| *limit >= 1.0), told.remaining) else {
            if let (Some(bucket), true) = (&mut self.bucket, told.refused) {
                bucket.level = bucket.level.min(0.0);
            }
            return;
        };
        let most = f64::from(remaining).min(limit);
        let told = Told { full_in: told.full_in.filter(|full_in| may_be(limit - most, limit, *full_in)), ..told };
        let least = most - beside as f64;
        let bucket = self.bucket.get_or_insert(Bucket {
            limit,
            level: least,
            rate: limit / FULL_AFTER,
            at: now,
            told: None,
            full: None,
        });
        if bucket.limit != limit {
            (bucket.limit, bucket.rate, bucket.told) = (limit, limit / FULL_AFTER, None);
        }
        bucket.full = told.full_in.filter(|_| !told.refused).map(|full_in| (now + full_in.min(FAR), beside as f64));
        bucket.level = if told.refused { bucket.level.min(0.0) } else { bucket.level.clamp(least, most) };
        bucket.learn_refill(limit - most, told, now);
    }
}

/// Whether `missing` calls may flow back within `full_in`. Resets that lie in the past are sent by
/// gateways that count by windows, and by clocks that are late.
fn may_be(missing: f64, limit: f64, full_in: Duration) -> bool {
    missing <= 2.0 || missing - 1.0 <= full_in.as_secs_f64() * REFILL_MOST * limit / FULL_AFTER
}

impl Bucket {
    /// `full_in` is rounded up to whole seconds and `missing` to whole calls: by one call less the
    /// refill is at most as fast as it is.
    fn learn_refill(&mut self, missing: f64, told: Told, now: Instant) {
        let Some(full_in) = told.full_in.filter(|full_in| !full_in.is_zero()) else { return };
        // A refusal says that the bucket is empty, whatever its own count is.
        if told.refused || missing < MISSING_LEAST.min(self.limit / 2.0).max(2.0) {
            return;
        }
        let rate = (missing - 1.0) / full_in.as_secs_f64();
        // Each answer tells a least; the highest of the recent ones is nearest to what it is.
        let recent = self.told.is_some_and(|at| now.saturating_duration_since(at) < REFILL_FRESH);
        if self.limit / rate <= FULL_AFTER_MOST && (rate > self.rate || !recent) {
            (self.rate, self.told) = (rate, Some(now));
        }
    }
}
