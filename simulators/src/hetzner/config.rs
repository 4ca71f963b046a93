//! What a simulated Hetzner is started with. Rule: the defaults suit a test; nothing is read from
//! the environment.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// How to start a simulated Hetzner.
#[derive(Clone, Debug)]
pub struct HetznerConfig {
    /// Where the API listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The tokens that are known, all of the same project. The vendor's own have 64 characters,
    /// and its command line refuses others.
    pub tokens: Vec<(String, TokenAccess)>,
    /// How long an action runs.
    pub action_time: Duration,
    /// The project's bucket of requests.
    pub rate_limit: RateLimit,
    /// How many requests are left in the bucket at the start; a full one when `None`.
    pub rate_limit_left: Option<u32>,
    /// How many servers the project may have.
    pub server_quota: usize,
    /// What stands behind a server's address.
    pub hosts: Hosts,
    /// Where to keep the state, so that it survives a restart; with it, ports that were picked
    /// are picked again.
    pub state_file: Option<PathBuf>,
}

impl Default for HetznerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tokens: vec![("t".repeat(64), TokenAccess::ReadWrite)],
            action_time: Duration::from_millis(20),
            rate_limit: RateLimit::default(),
            rate_limit_left: None,
            server_quota: 100,
            hosts: Hosts::None,
            state_file: None,
        }
    }
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAccess {
    /// Everything.
    ReadWrite,
    /// Only GET; anything else is refused with `token_readonly`.
    ReadOnly,
}

/// The bucket of requests that all clients of a project share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Requests in a full bucket.
    pub limit: u32,
    /// Requests that flow back per second.
    pub refill_per_second: f64,
}

impl RateLimit {
    /// A bucket of `limit` requests that an empty one refills to in `window`: a shorter hour, for
    /// tests and benchmarks. A window of zero never refills.
    pub fn per_window(limit: u32, window: Duration) -> Self {
        let seconds = window.as_secs_f64();
        let refill_per_second = if seconds > 0.0 { f64::from(limit) / seconds } else { 0.0 };
        Self { limit, refill_per_second }
    }
}

impl Default for RateLimit {
    /// 3600, refilled one per second, as the vendor documents.
    fn default() -> Self {
        Self { limit: 3600, refill_per_second: 1.0 }
    }
}

/// What stands behind a server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// A loopback address where nothing answers.
    None,
    /// A loopback address where a cockpit page answers while the server runs.
    Loopback {
        /// The port of the page, the same for every server; 0 picks one.
        cockpit_port: u16,
        /// Whether an SSH server answers too.
        ssh: Ssh,
    },
}

/// Whether an SSH server answers on each running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ssh {
    /// Never.
    Off,
    /// Where OpenSSH's server is installed and can run without privileges.
    Auto {
        /// The port, the same for every server; 0 picks one.
        port: u16,
    },
}
