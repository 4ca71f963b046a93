//! Record sets as the vendor writes them: one for each name and type, with labels for the whole of
//! it. Rule: a set is ours by its labels alone, and ours only as a whole.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use domain::code::Code;
use serde_json::Value;

use super::{labels, wire::labels_of};
use crate::{
    dns::{DnsFound, DnsName, RecordContent, RecordType},
    dns_query::{normal, shown, unquoted},
    error::ProviderError,
};

/// The label that names our record.
const RECORD: &str = "hangar-record";
/// The most bytes of one string within a text, and of a whole one that Hangar writes.
const STRING_MOST: usize = 255;
const TEXT_MOST: usize = 2048;

/// A set of records.
#[derive(Debug, Clone)]
pub(super) struct Rrset {
    pub(super) id: String,
    /// Relative to the zone; `@` for the zone itself.
    pub(super) name: String,
    /// In capitals.
    pub(super) kind: String,
    ttl: Option<u32>,
    pub(super) labels: BTreeMap<String, String>,
    values: Vec<String>,
}

impl Rrset {
    pub(super) fn read(value: &Value) -> Option<Self> {
        let (name, kind) = (value["name"].as_str()?, value["type"].as_str()?);
        // One that cannot be read is not passed over: the set would look like less than it is.
        let records = value["records"].as_array()?.iter();
        Some(Self {
            id: format!("{name}/{kind}"),
            name: name.to_owned(),
            kind: kind.to_owned(),
            ttl: value["ttl"].as_u64().and_then(|ttl| u32::try_from(ttl).ok()),
            labels: labels_of(value),
            values: records.map(|record| record["value"].as_str().map(str::to_owned)).collect::<Option<_>>()?,
        })
    }

    /// The id of ours that its labels name; `None` when it is not this installation's.
    pub(super) fn record_id(&self, instance: &str) -> Option<&str> {
        let ours = labels::of_instance(instance).into_iter().all(|(key, value)| self.labels.get(&key) == Some(&value));
        self.labels.get(RECORD).filter(|_| ours).map(String::as_str)
    }

    /// Its contents in the form in which they are compared.
    pub(super) fn contents(&self, zone: &str) -> Vec<String> {
        self.values.iter().map(|value| content_of(&self.kind, value, zone)).collect()
    }

    /// Whether it holds exactly this.
    pub(super) fn is(&self, content: &RecordContent, zone: &str) -> bool {
        self.kind == content.kind.as_str() && self.contents(zone) == [normal(content.kind, &content.content)]
    }

    /// This, as the vendor writes it, when it is all that the set holds.
    pub(super) fn value_of(&self, content: &RecordContent, zone: &str) -> Option<&str> {
        self.values.first().filter(|_| self.is(content, zone)).map(String::as_str)
    }

    /// Whether it holds this, perhaps among others.
    pub(super) fn holds(&self, content: &RecordContent, zone: &str) -> bool {
        self.kind == content.kind.as_str() && self.contents(zone).contains(&normal(content.kind, &content.content))
    }

    /// Whether it holds this alone, as it was found before.
    pub(super) fn is_as(&self, found: &DnsFound) -> bool {
        (&self.name, &self.kind) == (&found.name.name, &found.kind)
            && self.contents(&found.name.zone) == [found.content.as_str()]
    }

    /// What it holds, for people.
    pub(super) fn shown(&self, zone: &str) -> String {
        let contents: Vec<_> = self.contents(zone).iter().map(|it| shown(it)).collect();
        format!("{} {}", self.kind, contents.join(", "))
    }

    /// As the trait tells it: one for each record.
    pub(super) fn found(&self, zone: &str, instance: &str) -> Vec<DnsFound> {
        let record_id = self.record_id(instance);
        let one = |content: &String| DnsFound {
            vendor_id: Some(self.id.clone()),
            name: DnsName { zone: zone.to_owned(), name: self.name.clone() },
            kind: self.kind.clone(),
            content: content.clone(),
            ttl: self.ttl,
            proxied: false,
            ours: record_id.is_some(),
            record_id: record_id.map(str::to_owned),
        };
        self.contents(zone).iter().map(one).collect()
    }
}

/// The labels of a record of ours.
pub(super) fn labels_for(instance: &str, record_id: &str) -> BTreeMap<String, String> {
    let mut labels = labels::of_instance(instance);
    labels.insert(RECORD.to_owned(), record_id.to_owned());
    labels
}

/// A content as the vendor wants it written.
///
/// # Errors
/// `DNS_VALIDATION`
pub(super) fn value_of(content: &RecordContent) -> Result<String, ProviderError> {
    let text = content.content.trim();
    let value = match content.kind {
        RecordType::A => text.parse::<Ipv4Addr>().ok().map(|it| it.to_string()),
        RecordType::Aaaa => text.parse::<Ipv6Addr>().ok().map(|it| it.to_string()),
        RecordType::Cname => {
            let target = normal(RecordType::Cname, text);
            is_name(&target).then(|| format!("{target}."))
        }
        RecordType::Txt => quoted(&content.content),
    };
    value.ok_or_else(|| invalid(format!("The content cannot stand in a record of type {}.", content.kind.as_str())))
}

pub(super) fn invalid(message: impl Into<String>) -> ProviderError {
    ProviderError::new(Code::DnsValidation, message)
}

/// Whether this is a name whose labels the vendor takes.
pub(super) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    name.len() <= 253 && name.strip_prefix("*.").unwrap_or(name).split('.').all(label)
}

/// A text in strings of the length that there may be, each in quotes.
fn quoted(text: &str) -> Option<String> {
    if text.is_empty() || text.len() > TEXT_MOST || text.contains(char::is_control) {
        return None;
    }
    let mut strings = vec![String::new()];
    let mut length = 0;
    for c in text.chars() {
        length += c.len_utf8();
        if length > STRING_MOST {
            strings.push(String::new());
            length = c.len_utf8();
        }
        let last = strings.last_mut()?;
        if matches!(c, '"' | '\\') {
            last.push('\\');
        }
        last.push(c);
    }
    Some(strings.iter().map(|it| format!("\"{it}\"")).collect::<Vec<_>>().join(" "))
}

fn content_of(kind: &str, value: &str, zone: &str) -> String {
    match kind {
        "A" => normal(RecordType::A, value),
        "AAAA" => normal(RecordType::Aaaa, value),
        "TXT" => unquoted(value),
        // Names without a dot at their end are within the zone.
        "CNAME" if value == "@" => zone.to_owned(),
        "CNAME" if !value.ends_with('.') => normal(RecordType::Cname, &format!("{value}.{zone}")),
        "CNAME" => normal(RecordType::Cname, value),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_go_there_and_back() {
        let long = "ä".repeat(300);
        for text in ["plain", "say \"hi\"; \\ and more", long.as_str()] {
            let value = quoted(text).unwrap();
            assert_eq!(unquoted(&value), text);
            assert!(value.split("\" \"").all(|string| string.trim_matches('"').len() <= 2 * STRING_MOST), "{value}");
        }
        assert_eq!(quoted(""), None);
        assert_eq!(quoted("two\nlines"), None);
    }

    #[test]
    fn names_in_contents_are_whole() {
        assert_eq!(content_of("CNAME", "www", "example.org"), "www.example.org");
        assert_eq!(content_of("CNAME", "@", "example.org"), "example.org");
        assert_eq!(content_of("CNAME", "Other.example.net.", "example.org"), "other.example.net");
    }

    #[test]
    fn a_set_is_ours_by_all_of_its_labels() {
        let mut labels = json!(labels_for("inst-1", "dns_1"));
        let read =
            |labels: &Value| Rrset::read(&json!({"name": "a", "type": "A", "labels": labels, "records": []})).unwrap();
        assert_eq!(read(&labels).record_id("inst-1"), Some("dns_1"));
        assert_eq!(read(&labels).record_id("inst-2"), None);
        labels["managed-by"] = json!("somebody");
        assert_eq!(read(&labels).record_id("inst-1"), None);
    }
}
