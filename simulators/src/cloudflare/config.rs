//! What a simulated Cloudflare is started with. Rule: the defaults suit a test; nothing is read from
//! the environment.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// How to start a simulated Cloudflare.
#[derive(Clone, Debug)]
pub struct CloudflareConfig {
    /// Where the API listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where the name server listens, over UDP and TCP; port 0 picks a free one.
    pub dns_listen: SocketAddr,
    /// The tokens that are known, all of the same account.
    pub tokens: Vec<CloudflareToken>,
    /// The zones that are there at the first start.
    pub zones: Vec<String>,
    /// Records that a zone may hold: 200 for free zones made since September 2024.
    pub record_quota: usize,
    /// How many calls everybody together may make.
    pub limit: CallLimit,
    /// Where to keep the state, so that it survives a restart; with it, ports that were picked
    /// are picked again.
    pub state_file: Option<PathBuf>,
}

impl Default for CloudflareConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            dns_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tokens: vec![CloudflareToken::new("c".repeat(40))],
            zones: vec!["example.com".to_owned()],
            record_quota: 200,
            limit: CallLimit::default(),
            state_file: None,
        }
    }
}

/// A token and what it may do.
#[derive(Clone, Debug)]
pub struct CloudflareToken {
    /// The token itself.
    pub value: String,
    /// Where it can be verified.
    pub owner: TokenOwner,
    /// Whether it works.
    pub status: TokenStatus,
    /// When it expires, RFC 3339; only shown.
    pub expires_on: Option<String>,
    /// The names of the zones that it is about; every zone when `None`.
    pub zones: Option<Vec<String>>,
    /// What it may do with zones.
    pub zone_access: ZoneAccess,
    /// What it may do with records.
    pub record_access: RecordAccess,
}

impl CloudflareToken {
    /// A user's token that may do everything.
    pub fn new(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            owner: TokenOwner::User,
            status: TokenStatus::Active,
            expires_on: None,
            zones: None,
            zone_access: ZoneAccess::Edit,
            record_access: RecordAccess::Edit,
        }
    }
}

/// Who a token belongs to, which decides where it can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOwner {
    /// Verified at `/user/tokens/verify`.
    User,
    /// Verified at `/accounts/{id}/tokens/verify` only.
    Account,
}

/// Whether a token works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    /// It does.
    Active,
    /// It was switched off.
    Disabled,
    /// Its time is over.
    Expired,
}

/// What a token may do with zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneAccess {
    /// Neither list nor read them.
    None,
    /// List and read them.
    Read,
    /// Also make and delete them.
    Edit,
}

/// What a token may do with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordAccess {
    /// Read them.
    Read,
    /// Change them.
    Edit,
}

/// How many calls everybody together may make, and what happens when there are more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimit {
    /// Calls within a window.
    pub calls: u32,
    /// The window, which begins with its first call.
    pub window: Duration,
    /// For how long every call is refused once there were more.
    pub block: Duration,
}

impl Default for CallLimit {
    /// 1,200 in five minutes, else blocked for five minutes, as the vendor documents.
    fn default() -> Self {
        Self { calls: 1200, window: Duration::from_secs(300), block: Duration::from_secs(300) }
    }
}
