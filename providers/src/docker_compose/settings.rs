//! Where an account's engine is. Rule: a host is taken apart and put together again here, so that
//! nothing else of what was typed reaches a command or its environment.

use std::net::IpAddr;

use domain::list::FieldError;
use serde_json::Value;

use crate::error::field_error;

/// Where an engine listens unless it was told otherwise.
pub(super) const LOCAL_SOCKET: &str = "/var/run/docker.sock";

/// What projects' names begin with unless the account says otherwise.
pub(super) const PREFIX: &str = "hangar";

/// The port of an engine that listens without encryption.
const PLAIN_PORT: u16 = 2375;

/// The longest path of a socket that every system takes (`sun_path`, unix(7)), without its zero.
pub(super) const SOCKET_PATH_MOST: usize = 107;

/// How the engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A socket of this machine.
    Unix { path: String },
    /// A port, without encryption and without a password.
    Tcp { host: String, port: u16 },
    /// Through a login, by the `ssh` of this machine and its settings.
    Ssh { user: Option<String>, host: String, port: Option<u16> },
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix://") {
            let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-' | b'+' | b'@');
            let good = path.starts_with('/')
                && (2..=SOCKET_PATH_MOST).contains(&path.len())
                && path.bytes().all(fine)
                && !path.split('/').any(|part| part == "..");
            return good.then(|| Self::Unix { path: path.to_owned() });
        }
        if let Some(place) = text.strip_prefix("tcp://") {
            let (host, port) = place_of(place)?;
            return Some(Self::Tcp { host, port: port.unwrap_or(PLAIN_PORT) });
        }
        let place = text.strip_prefix("ssh://")?;
        let (user, place) = match place.split_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, place),
        };
        if user.is_some_and(|user| !is_word(user, 64)) {
            return None;
        }
        let (host, port) = place_of(place)?;
        Some(Self::Ssh { user: user.map(str::to_owned), host, port })
    }

    /// As `DOCKER_HOST` has it.
    pub(super) fn variable(&self) -> String {
        match self {
            Self::Unix { path } => format!("unix://{path}"),
            Self::Tcp { host, port } => format!("tcp://{}:{port}", bracketed(host)),
            Self::Ssh { user, host, port } => {
                let user = user.as_ref().map_or_else(String::new, |user| format!("{user}@"));
                let port = port.map_or_else(String::new, |port| format!(":{port}"));
                format!("ssh://{user}{}{port}", bracketed(host))
            }
        }
    }

    /// The machine's name, where it is another one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Unix { .. } => None,
            Self::Tcp { host, .. } | Self::Ssh { host, .. } => Some(host),
        }
    }
}

/// A host with or without a port; an IPv6 address stands in brackets.
fn place_of(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = match port {
        "" if !text.ends_with(':') => None,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok().filter(|port| *port > 0)?),
        _ => return None,
    };
    is_place(host).then(|| (host.to_owned(), port))
}

/// Whether it is an address or can be a machine's name.
pub(super) fn is_place(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_word(text, 253)
}

fn is_word(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Whether it can be a project's name, or the beginning of one: Compose takes lower-case letters,
/// digits, `-` and `_`, beginning with a letter or digit.
pub(super) fn is_project(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}

/// What an account says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) host: Host,
    /// What the names of its projects begin with.
    pub(super) prefix: String,
    /// Where published ports are reached.
    pub(super) public_host: String,
}

impl Settings {
    pub(super) fn read(settings: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let text = |name: &str| settings[name].as_str().map(str::trim).filter(|text| !text.is_empty());
        let host = match text("host").map(Host::parse) {
            None => Host::Unix { path: LOCAL_SOCKET.to_owned() },
            Some(Some(host)) => host,
            Some(None) => {
                let message = "must be unix:///path/to/socket, tcp://host:port or ssh://user@host:port";
                errors.push(field_error("/settings/host", message));
                Host::Unix { path: LOCAL_SOCKET.to_owned() }
            }
        };
        let prefix = text("project_prefix").unwrap_or(PREFIX);
        if !is_project(prefix, 30) || prefix.ends_with(['-', '_']) {
            let message = "must be 1 to 30 of a-z, 0-9, - and _, with a letter or digit at both ends";
            errors.push(field_error("/settings/project_prefix", message));
        }
        let public_host = text("public_host").or(host.name()).unwrap_or("127.0.0.1").to_owned();
        if !is_place(&public_host) {
            errors.push(field_error("/settings/public_host", "must be an address or a machine's name"));
        }
        if errors.is_empty() { Ok(Self { host, prefix: prefix.to_owned(), public_host }) } else { Err(errors) }
    }
}
