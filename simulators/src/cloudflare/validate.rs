//! What a record may be, and what may stand beside it. Rule: what the vendor refuses is refused
//! here, with its codes.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};

use super::{
    reply::Reply,
    world::{Record, Zone, now},
};
use crate::random;

/// The types that are known; the others are refused.
const KINDS: [&str; 20] = [
    "A",
    "AAAA",
    "CAA",
    "CERT",
    "CNAME",
    "DNSKEY",
    "DS",
    "HTTPS",
    "LOC",
    "MX",
    "NAPTR",
    "NS",
    "OPENPGPKEY",
    "PTR",
    "SMIMEA",
    "SRV",
    "SSHFP",
    "SVCB",
    "TLSA",
    "TXT",
];
/// The order in which the parts of `data` make the content.
const PARTS: [&str; 17] = [
    "flags",
    "tag",
    "weight",
    "port",
    "key_tag",
    "algorithm",
    "digest_type",
    "digest",
    "usage",
    "selector",
    "matching_type",
    "certificate",
    "type",
    "fingerprint",
    "order",
    "target",
    "value",
];
const COMMENT_MOST: usize = 100;

/// A record as a request body means it: on top of `before` for PATCH, of the defaults otherwise.
pub(super) fn record(zone: &Zone, body: &Map<String, Value>, before: Option<&Record>) -> Result<Record, Reply> {
    let mut record = before.cloned().unwrap_or_else(|| Record {
        id: random::hex::<16>(),
        name: String::new(),
        kind: String::new(),
        content: String::new(),
        ttl: 1,
        proxied: false,
        comment: None,
        tags: Vec::new(),
        priority: None,
        data: None,
        created_on: now(),
        modified_on: String::new(),
    });
    record.modified_on = now();
    if let Some(name) = text(body, "name")? {
        record.name = full_name(zone, name)?;
    }
    if let Some(kind) = text(body, "type")? {
        record.kind = kind.to_ascii_uppercase();
    }
    if let Some(content) = text(body, "content")? {
        content.clone_into(&mut record.content);
    }
    if let Some(Value::Object(data)) = body.get("data") {
        record.content = content_of(data);
        record.priority = data.get("priority").and_then(Value::as_u64).and_then(|it| u16::try_from(it).ok());
        record.data = Some(data.clone());
    }
    match body.get("ttl") {
        None | Some(Value::Null) => {}
        // Some clients send it as 300.0.
        Some(ttl) => {
            record.ttl = ttl.as_f64().filter(|it| (0.0..=4e9).contains(it)).map_or(0, |it| it as u32);
        }
    }
    match body.get("proxied") {
        None | Some(Value::Null) => {}
        Some(Value::Bool(proxied)) => record.proxied = *proxied,
        Some(_) => return Err(Reply::invalid(9003, "Invalid 'proxied' value, must be a boolean.")),
    }
    match body.get("priority") {
        None | Some(Value::Null) => {}
        Some(priority) => record.priority = priority.as_f64().map(|it| it as u16),
    }
    match body.get("comment") {
        None => {}
        Some(Value::Null) => record.comment = None,
        Some(Value::String(text)) => record.comment = (!text.is_empty()).then(|| text.clone()),
        Some(_) => return Err(Reply::invalid(9301, "DNS record comment must be text.")),
    }
    if let Some(Value::Array(tags)) = body.get("tags") {
        if !tags.is_empty() {
            let message = format!("DNS record has {} tags, exceeding the quota of 0.", tags.len());
            return Err(Reply::invalid(9300, &message));
        }
        record.tags.clear();
    }
    checked(record)
}

fn text<'a>(body: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Reply> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Reply::invalid(9207, &format!("Request body is invalid: {field} must be text."))),
    }
}

/// A name as it was told, whole: `@`, relative or absolute.
fn full_name(zone: &Zone, name: &str) -> Result<String, Reply> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let inside = name == zone.name || name.strip_suffix(&zone.name).is_some_and(|it| it.ends_with('.'));
    let name = match name.as_str() {
        "@" | "" => zone.name.clone(),
        _ if inside => name,
        _ => format!("{name}.{}", zone.name),
    };
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*');
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    if name.len() <= 253 && name.split('.').all(is_label) {
        Ok(name)
    } else {
        Err(Reply::invalid(9000, "DNS name is invalid."))
    }
}

fn content_of(data: &Map<String, Value>) -> String {
    let part = |name: &&str| match data.get(*name)? {
        Value::String(text) if *name == "value" && data.contains_key("tag") => Some(format!("\"{text}\"")),
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    PARTS.iter().filter_map(part).collect::<Vec<_>>().join(" ")
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn checked(mut record: Record) -> Result<Record, Reply> {
    if record.name.is_empty() {
        return Err(Reply::invalid(9000, "DNS name is invalid."));
    }
    if !KINDS.contains(&record.kind.as_str()) {
        return Err(Reply::invalid(9002, &format!("DNS record type \"{}\" is invalid.", record.kind)));
    }
    match record.kind.as_str() {
        "A" if record.content.parse::<Ipv4Addr>().is_err() => {
            return Err(Reply::invalid(9005, "Content for A record must be a valid IPv4 address."));
        }
        "AAAA" => match record.content.parse::<Ipv6Addr>() {
            Ok(address) => record.content = address.to_string(),
            Err(_) => return Err(Reply::invalid(9006, "Content for AAAA record must be a valid IPv6 address.")),
        },
        "CNAME" | "NS" | "PTR" | "MX" => {
            record.content = record.content.trim_end_matches('.').to_ascii_lowercase();
            if !is_host(&record.content) {
                let message = format!("Content for {} record is invalid.", record.kind);
                return Err(Reply::invalid(9007, &message));
            }
            if record.kind == "MX" && record.priority.is_none() {
                return Err(Reply::invalid(9100, "priority is a required field."));
            }
        }
        "TXT" if !record.content.starts_with('"') => record.content = format!("\"{}\"", record.content),
        _ if record.content.is_empty() => return Err(Reply::invalid(9020, "Content is a required field.")),
        _ => {}
    }
    if record.ttl != 1 && !(60..=86_400).contains(&record.ttl) {
        let message = "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.";
        return Err(Reply::invalid(9021, message));
    }
    if record.proxied && !record.is_proxiable() {
        return Err(Reply::invalid(9004, "This record type cannot be proxied."));
    }
    if record.proxied {
        record.ttl = 1;
    }
    if record.comment.as_ref().is_some_and(|it| it.chars().count() > COMMENT_MOST) {
        return Err(Reply::invalid(9301, "DNS record comment exceeds the maximum length of 100 characters."));
    }
    Ok(record)
}

/// Refuses a record that cannot stand beside those that are there.
pub(super) fn beside(zone: &Zone, record: &Record) -> Result<(), Reply> {
    let is_address = |kind: &str| matches!(kind, "A" | "AAAA");
    for other in zone.records.iter().filter(|it| it.name == record.name && it.id != record.id) {
        let same = other.kind == record.kind && other.content == record.content && other.priority == record.priority;
        if same && other.data == record.data {
            return Err(Reply::error(400, 81058, "An identical record already exists."));
        }
        if record.kind == "CNAME" && (is_address(&other.kind) || other.kind == "CNAME") {
            let message = "An A, AAAA, or CNAME record with that host already exists.";
            return Err(Reply::error(400, 81053, message));
        }
        if other.kind == "CNAME" && is_address(&record.kind) {
            return Err(Reply::error(400, 81054, "A CNAME record with that host already exists."));
        }
    }
    Ok(())
}
