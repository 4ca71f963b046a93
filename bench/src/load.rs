//! Many clients at once. The rule: bounded in count and time, and every answer is looked at.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::task::JoinSet;

use crate::client::Connection;

/// No load goes on for longer.
const LIMIT: Duration = Duration::from_secs(20);

/// How it went.
#[derive(Default)]
pub struct Outcome {
    /// How long each took, in microseconds, the shortest first.
    micros: Vec<u64>,
    /// How long all took together.
    took: Duration,
}

impl Outcome {
    /// From single times and the time of all.
    pub fn new(mut micros: Vec<u64>, took: Duration) -> Self {
        micros.sort_unstable();
        Self { micros, took }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.micros.len()
    }

    /// How many a second.
    pub fn rate(&self) -> f64 {
        self.micros.len() as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// The time within which `share` of them (0 to 1) were answered, in milliseconds.
    pub fn within(&self, share: f64) -> f64 {
        let last = self.micros.len().saturating_sub(1);
        // Shares are between 0 and 1, so the place is within the list.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is a place")]
        let place = (last as f64 * share).round() as usize;
        self.micros.get(place).copied().unwrap_or_default() as f64 / 1_000.0
    }

    /// Both together, as if one had followed the other.
    pub fn and(mut self, other: &Self) -> Self {
        self.micros.extend_from_slice(&other.micros);
        Self::new(self.micros, self.took + other.took)
    }
}

/// Sends `count` requests over `connections`; `request` makes the n-th, and each must be answered
/// with `status`.
pub async fn run(
    address: SocketAddr,
    connections: usize,
    count: usize,
    status: u16,
    request: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
) -> Result<Outcome> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let (next, request) = (Arc::new(AtomicUsize::new(0)), Arc::new(request));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for mut connection in open {
        let (next, request) = (Arc::clone(&next), Arc::clone(&request));
        clients.spawn(async move {
            let mut micros = Vec::with_capacity(count / connections + 1);
            while began.elapsed() < LIMIT {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    break;
                }
                let text = request(n);
                let sent = Instant::now();
                let answer = connection.send(&text).await?;
                micros.push(u64::try_from(sent.elapsed().as_micros())?);
                if answer.status != status {
                    bail!("answered {}: {}", answer.status, String::from_utf8_lossy(answer.body));
                }
            }
            anyhow::Ok(micros)
        });
    }
    let mut micros = Vec::with_capacity(count);
    while let Some(client) = clients.join_next().await {
        micros.extend(client??);
    }
    Ok(Outcome::new(micros, began.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_places_in_the_order_of_times() {
        let outcome = Outcome::new((1..=101).rev().map(|n| n * 1_000).collect(), Duration::from_secs(2));
        assert_eq!((outcome.within(0.0), outcome.within(0.5), outcome.within(1.0)), (1.0, 51.0, 101.0));
        assert!((outcome.rate() - 50.5).abs() < 1e-9);
        let both = outcome.and(&Outcome::new(vec![500], Duration::from_secs(1)));
        assert_eq!((both.count(), both.within(0.0)), (102, 0.5));
        assert!((both.rate() - 34.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_has_no_times() {
        let nothing = Outcome::default();
        assert_eq!((nothing.count(), nothing.within(0.99)), (0, 0.0));
    }
}
