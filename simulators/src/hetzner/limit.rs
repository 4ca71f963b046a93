//! The project's bucket of requests. Rule: every answered request takes one and every answer tells
//! what is left, whoever asked.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::config::RateLimit;

/// A bucket that refills steadily.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: RateLimit,
    left: f64,
    at: Instant,
}

impl Bucket {
    /// A bucket with this many requests left, a full one when not told.
    pub(super) fn new(limit: RateLimit, left: Option<u32>) -> Self {
        let left = left.unwrap_or(limit.limit).min(limit.limit);
        Self { limit, left: f64::from(left), at: Instant::now() }
    }

    /// Takes one request; false when there is none left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let full = f64::from(self.limit.limit);
        self.left = (self.left + passed * self.limit.refill_per_second).min(full);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }

    /// The three headers. `RateLimit-Reset` is when the bucket is full again, in Unix seconds, not
    /// when the next call would work: clients that wait for it wait far too long.
    pub(super) fn headers(&self, now: OffsetDateTime, headers: &mut HeaderMap) {
        let missing = f64::from(self.limit.limit) - self.left;
        let rate = self.limit.refill_per_second;
        let wait = if rate > 0.0 { missing / rate } else { NEVER };
        let now = now.unix_timestamp_nanos() as f64 / 1e9;
        put(headers, "ratelimit-limit", self.limit.limit.to_string());
        put(headers, "ratelimit-remaining", (self.left as u32).to_string());
        put(headers, "ratelimit-reset", ((now + wait).ceil() as i64).to_string());
    }
}

/// What a bucket that never refills says, in seconds.
const NEVER: f64 = 3600.0;

/// Sets one header whose name and value are ours and plain.
pub(super) fn put(headers: &mut HeaderMap, name: &'static str, value: String) {
    if let Ok(value) = HeaderValue::from_str(&value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
