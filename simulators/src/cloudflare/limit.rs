//! The limit of calls: so many in a window, and whoever makes more is blocked for a while, whatever
//! he does. Rule: a refused call tells in `retry-after` how long the block still lasts.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::config::CallLimit;

/// The calls of everybody together.
#[derive(Debug)]
pub(super) struct Calls {
    limit: CallLimit,
    began: Instant,
    made: u32,
    blocked: Option<Instant>,
}

impl Calls {
    pub(super) fn new(limit: CallLimit) -> Self {
        Self { limit, began: Instant::now(), made: 0, blocked: None }
    }

    /// Counts one call; for how long it is still blocked when it is refused.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(until) = self.blocked {
            if until > now {
                return Err(until - now);
            }
            self.blocked = None;
            self.made = 0;
            self.began = now;
        }
        if now.saturating_duration_since(self.began) >= self.limit.window {
            self.made = 0;
            self.began = now;
        }
        self.made += 1;
        if self.made > self.limit.calls {
            self.blocked = Some(now + self.limit.block);
            return Err(self.limit.block);
        }
        Ok(())
    }

    /// What every answer tells.
    pub(super) fn headers(&self, now: Instant, headers: &mut HeaderMap) {
        let CallLimit { calls, window, .. } = self.limit;
        let left = if self.blocked.is_some() { 0 } else { calls.saturating_sub(self.made) };
        let ends = self.blocked.unwrap_or(self.began + window).saturating_duration_since(now).as_secs();
        put(headers, "ratelimit", format!("\"default\";r={left};t={ends}"));
        put(headers, "ratelimit-policy", format!("\"default\";q={calls};w={}", window.as_secs()));
    }
}

/// Sets one header whose name and value are ours and plain.
pub(super) fn put(headers: &mut HeaderMap, name: &'static str, value: String) {
    if let Ok(value) = HeaderValue::from_str(&value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
