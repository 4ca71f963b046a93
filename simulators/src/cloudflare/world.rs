//! The state: zones and their records. Rule: ids are never used twice, and names are kept in lower
//! case without a dot at the end.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, macros::format_description};

use super::config::CloudflareToken;
use crate::random;

/// The one account that everything belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) account: String,
    pub(super) zones: Vec<Zone>,
    #[serde(default)]
    pub(super) ports: Ports,
}

/// Ports that were picked, to be picked again.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ports {
    pub(super) api: u16,
    pub(super) dns: u16,
}

/// A zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Zone {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created_on: String,
    /// Counts its changes: the serial of its SOA.
    pub(super) serial: u32,
    /// Oldest first.
    pub(super) records: Vec<Record>,
}

/// A record. What is set only by some types, such as `data`, is kept as it was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) content: String,
    pub(super) ttl: u32,
    pub(super) proxied: bool,
    pub(super) comment: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) priority: Option<u16>,
    pub(super) data: Option<Map<String, Value>>,
    pub(super) created_on: String,
    pub(super) modified_on: String,
}

impl Record {
    /// Whether the vendor's proxy can stand before it.
    pub(super) fn is_proxiable(&self) -> bool {
        matches!(self.kind.as_str(), "A" | "AAAA" | "CNAME")
    }

    /// As the API shows it.
    pub(super) fn view(&self) -> Value {
        let mut view = json!({
            "id": self.id,
            "name": self.name,
            "type": self.kind,
            "content": self.content,
            "proxiable": self.is_proxiable(),
            "proxied": self.proxied,
            "ttl": self.ttl,
            "settings": {},
            "meta": {},
            "comment": self.comment,
            "tags": self.tags,
            "created_on": self.created_on,
            "modified_on": self.modified_on,
        });
        if let Some(priority) = self.priority {
            view["priority"] = json!(priority);
        }
        if let Some(data) = &self.data {
            view["data"] = json!(data);
        }
        view
    }
}

/// Everything that calls read and change.
#[derive(Debug)]
pub(super) struct World {
    pub(super) saved: Saved,
    pub(super) record_quota: usize,
    /// Whether the state file is older than the state.
    pub(super) changed: bool,
}

impl World {
    pub(super) fn fresh(zones: &[String]) -> Saved {
        Saved {
            account: random::hex::<16>(),
            zones: zones.iter().map(|name| Zone::new(name)).collect(),
            ports: Ports::default(),
        }
    }

    /// The zone of this id, where the token may see it.
    pub(super) fn zone(&self, id: &str, token: &CloudflareToken) -> Option<&Zone> {
        self.saved.zones.iter().find(|zone| zone.id == id && sees(token, &zone.name))
    }

    pub(super) fn zone_mut(&mut self, id: &str) -> Option<&mut Zone> {
        self.saved.zones.iter_mut().find(|zone| zone.id == id)
    }

    pub(super) fn zone_named(&mut self, name: &str) -> Option<&mut Zone> {
        self.saved.zones.iter_mut().find(|zone| zone.name == name)
    }

    /// The zone that a name belongs to: the longest that fits.
    pub(super) fn zone_of(&self, fqdn: &str) -> Option<&Zone> {
        let fits =
            |zone: &&Zone| fqdn == zone.name || fqdn.strip_suffix(&zone.name).is_some_and(|it| it.ends_with('.'));
        self.saved.zones.iter().filter(fits).max_by_key(|zone| zone.name.len())
    }
}

/// Whether a token is about this zone.
pub(super) fn sees(token: &CloudflareToken, zone: &str) -> bool {
    token.zones.as_ref().is_none_or(|zones| zones.iter().any(|it| it == zone))
}

impl Zone {
    pub(super) fn new(name: &str) -> Self {
        Self {
            id: random::hex::<16>(),
            name: name.trim_end_matches('.').to_ascii_lowercase(),
            created_on: now(),
            serial: 1,
            records: Vec::new(),
        }
    }

    /// What it must hold to be reached: the vendor's own servers. Their addresses are nowhere; the
    /// simulated server is asked by its address.
    pub(super) fn name_servers() -> [&'static str; 2] {
        ["ada.ns.cloudflare.example", "bob.ns.cloudflare.example"]
    }
}

/// The present time as the vendor writes it.
pub(super) fn now() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    // A date of four digits can always be written.
    OffsetDateTime::now_utc().format(format).unwrap_or_default()
}
