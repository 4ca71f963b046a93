//! The vendor's answers, read tolerantly. Rule: what is not needed is not read, what is missing is
//! absent, and an unknown word is no error; so answers of the past and of the future decode.
//!
//! Differences that are known: until mid 2026 servers carry a `datacenter` and images `deprecated`;
//! since 2025-09 deprecation stands per location of a type; older types have no `locations`.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use domain::provider::{Image, Location, ServerType, TypeLocation};
use serde_json::Value;

use super::labels;
use crate::infra::{MachineFacts, MachinePower, MachineStatus};

/// An id: a number of any size, or text.
pub(super) fn id_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    is_id(&text).then_some(text)
}

/// Whether a text may stand in a path as an id.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The name of something that is embedded whole, or only by its name.
fn name_of(value: &Value) -> Option<String> {
    text_of(value).or_else(|| text_of(&value["name"]))
}

pub(super) fn labels_of(value: &Value) -> BTreeMap<String, String> {
    let labels = value["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// A server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) power: MachinePower,
    /// Being made, moved or laid anew: nothing else can be done until that has ended.
    pub(super) busy: bool,
    ipv4: Option<String>,
    ipv6: Option<String>,
    pub(super) server_type: Option<String>,
    location: Option<String>,
    image: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    created: Option<String>,
}

impl Server {
    /// `None` without an id: nothing could be done with it.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let net = &value["public_net"];
        let status = value["status"].as_str().unwrap_or_default();
        Some(Self {
            id: id_of(&value["id"])?,
            name: text_of(&value["name"]).unwrap_or_default(),
            power: power_of(status),
            busy: matches!(status, "initializing" | "migrating" | "rebuilding"),
            ipv4: net["ipv4"]["ip"].as_str().and_then(ipv4_host),
            ipv6: net["ipv6"]["ip"].as_str().and_then(ipv6_host),
            server_type: name_of(&value["server_type"]),
            location: name_of(&value["location"]).or_else(|| name_of(&value["datacenter"]["location"])),
            image: name_of(&value["image"]),
            labels: labels_of(value),
            created: text_of(&value["created"]),
        })
    }

    fn host(&self) -> Option<String> {
        self.ipv4.clone().or_else(|| self.ipv6.clone())
    }

    /// What it says of itself.
    pub(super) fn facts(&self) -> MachineFacts {
        MachineFacts {
            infra_id: Some(self.id.clone()),
            action_id: None,
            ipv4: self.ipv4.clone(),
            ipv6: self.ipv6.clone(),
            host: self.host(),
            server_type: self.server_type.clone(),
            location: self.location.clone(),
            image: self.image.clone(),
            price_monthly: None,
            price_hourly: None,
        }
    }

    /// As the vendor says of it now; `instance` is this installation's id.
    pub(super) fn into_status(self, instance: &str) -> MachineStatus {
        MachineStatus {
            host: self.host(),
            ours: labels::is_instances(&self, instance),
            node_id: self.labels.get(labels::NODE).cloned(),
            created: self.created,
            infra_id: self.id,
            name: self.name,
            status: self.power,
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            server_type: self.server_type,
            location: self.location,
            image: self.image,
            cockpit_port: None,
            troubles: Vec::new(),
        }
    }
}

fn power_of(status: &str) -> MachinePower {
    match status {
        "running" => MachinePower::Running,
        "off" => MachinePower::Off,
        "deleting" => MachinePower::Deleting,
        "initializing" | "starting" | "stopping" | "migrating" | "rebuilding" => MachinePower::Changing,
        _ => MachinePower::Unknown,
    }
}

fn ipv4_host(text: &str) -> Option<String> {
    let address: Ipv4Addr = text.parse().ok()?;
    (!address.is_unspecified()).then(|| address.to_string())
}

/// The vendor names the network, `…::/64`; its first address is the host.
fn ipv6_host(text: &str) -> Option<String> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: Ipv6Addr = address.parse().ok()?;
    if address.is_unspecified() {
        return None;
    }
    let is_network = prefix.is_none_or(|prefix| prefix != "128") && address.segments()[4..] == [0, 0, 0, 0];
    let host = if is_network { Ipv6Addr::from_bits(address.to_bits() | 1) } else { address };
    Some(host.to_string())
}

/// How an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActionState {
    /// Running, or a word that is not known yet.
    Running,
    Success,
    Error,
}

/// An action.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) id: String,
    pub(super) command: String,
    pub(super) state: ActionState,
    /// Percent.
    pub(super) progress: Option<u8>,
    pub(super) error_code: Option<String>,
}

impl Action {
    /// `None` without an id, as when an answer has none.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let state = match value["status"].as_str() {
            Some("success") => ActionState::Success,
            Some("error") => ActionState::Error,
            _ => ActionState::Running,
        };
        let percent = value["progress"].as_f64().map(|progress| progress.clamp(0.0, 100.0));
        Some(Self {
            id: id_of(&value["id"])?,
            command: value["command"].as_str().and_then(super::errors::word).unwrap_or("action").to_owned(),
            state,
            progress: percent.map(|percent| percent.round() as u8),
            error_code: value["error"]["code"].as_str().and_then(super::errors::word).map(str::to_owned),
        })
    }

    /// The action of an answer and those that follow it.
    pub(super) fn all_in(body: &Value) -> Vec<Self> {
        let next = body["next_actions"].as_array().into_iter().flatten();
        std::iter::once(&body["action"]).chain(next).filter_map(Self::read).collect()
    }
}

/// Decimal money, as text or as a number; the gross price where there is one.
fn price_of(price: &Value) -> String {
    let of = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    of(&price["gross"]).or_else(|| of(&price["net"])).unwrap_or_default()
}

fn is_set(value: &Value) -> bool {
    !value.is_null() && *value != Value::Bool(false)
}

/// Old answers say `deprecated` (a flag or a date), newer ones `deprecation`.
fn is_deprecated(value: &Value) -> bool {
    is_set(&value["deprecated"]) || is_set(&value["deprecation"])
}

/// When what is phased out can no longer be ordered.
fn unavailable_after(value: &Value) -> Option<String> {
    text_of(&value["deprecation"]["unavailable_after"])
}

pub(super) fn server_type(value: &Value) -> Option<ServerType> {
    let everywhere = is_deprecated(value);
    let everywhere_until = unavailable_after(value);
    let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
    let prices = list("prices");
    let price_at =
        |location: &str| prices.iter().find(|price| name_of(&price["location"]).as_deref() == Some(location));
    let offer = |location: String, entry: &Value| {
        let price = price_at(&location).unwrap_or(&Value::Null);
        TypeLocation {
            available: entry["available"].as_bool().unwrap_or(true),
            deprecated: everywhere || is_deprecated(entry),
            price_monthly: price_of(&price["price_monthly"]),
            price_hourly: price_of(&price["price_hourly"]),
            unavailable_after: everywhere_until.clone().or_else(|| unavailable_after(entry)),
            recommended: entry["recommended"].as_bool().unwrap_or(false),
            location,
        }
    };
    let mut locations: Vec<_> =
        list("locations").iter().filter_map(|entry| Some(offer(name_of(entry)?, entry))).collect();
    if locations.is_empty() {
        let places = prices.iter().filter_map(|price| name_of(&price["location"]));
        locations = places.map(|location| offer(location, &Value::Null)).collect();
    }
    let whole = |value: &Value| value.as_f64().map_or(0, |number| number.clamp(0.0, f64::from(u32::MAX)) as u32);
    Some(ServerType {
        name: text_of(&value["name"])?,
        description: text_of(&value["description"]).unwrap_or_default(),
        cores: whole(&value["cores"]),
        memory_gb: value["memory"].as_f64().map_or_else(String::new, |memory| memory.to_string()),
        disk_gb: whole(&value["disk"]),
        architecture: architecture_of(value),
        locations,
    })
}

/// Before there was more than one, it was x86.
fn architecture_of(value: &Value) -> String {
    text_of(&value["architecture"]).unwrap_or_else(|| "x86".to_owned())
}

pub(super) fn location(value: &Value) -> Option<Location> {
    Some(Location {
        name: text_of(&value["name"])?,
        description: text_of(&value["description"]).unwrap_or_default(),
        city: text_of(&value["city"]).unwrap_or_default(),
        country: text_of(&value["country"]).unwrap_or_default(),
    })
}

/// A system image that can be ordered; `None` for snapshots, backups and what is going or gone.
pub(super) fn image(value: &Value) -> Option<Image> {
    let is = |key: &str, wanted: &str| value[key].as_str().is_none_or(|word| word == wanted);
    if !is("type", "system") || !is("status", "available") || is_deprecated(value) || is_set(&value["deleted"]) {
        return None;
    }
    Some(Image {
        name: text_of(&value["name"])?,
        description: text_of(&value["description"]).unwrap_or_default(),
        architecture: architecture_of(value),
    })
}

/// A registered SSH key.
#[derive(Debug, Clone)]
pub(super) struct SshKey {
    pub(super) id: String,
    pub(super) fingerprint: Option<String>,
    pub(super) public_key: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
}

impl SshKey {
    pub(super) fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: id_of(&value["id"])?,
            fingerprint: text_of(&value["fingerprint"]),
            public_key: text_of(&value["public_key"]),
            labels: labels_of(value),
        })
    }
}
