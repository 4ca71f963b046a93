//! The vendor's answers, read tolerantly. Rule: what is not needed is not read, what is missing is
//! absent, and nothing becomes part of a path that is no id.

use serde_json::Value;

use crate::{
    dns::{DnsFound, DnsName, RecordContent, RecordType},
    dns_query,
};

use super::marker::Marker;

/// Whether a text is an id of the vendor's.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn id_of(value: &Value) -> Option<String> {
    value.as_str().filter(|text| is_id(text)).map(str::to_owned)
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) name_servers: Vec<String>,
    pub(super) account_id: Option<String>,
    /// Whether the vendor answers for it; not one that somebody began to move or moved away.
    pub(super) active: bool,
}

impl Zone {
    pub(super) fn read(value: &Value) -> Option<Self> {
        let servers = value["name_servers"].as_array().into_iter().flatten();
        Some(Self {
            id: id_of(&value["id"])?,
            name: value["name"].as_str()?.trim_end_matches('.').to_ascii_lowercase(),
            name_servers: servers.filter_map(Value::as_str).map(str::to_owned).collect(),
            account_id: id_of(&value["account"]["id"]),
            active: value["status"] == "active",
        })
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) fqdn: String,
    pub(super) kind: String,
    pub(super) content: String,
    /// 1 is automatic.
    pub(super) ttl: Option<u32>,
    pub(super) proxied: bool,
    pub(super) comment: String,
}

impl Record {
    pub(super) fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: id_of(&value["id"])?,
            fqdn: value["name"].as_str()?.trim_end_matches('.').to_ascii_lowercase(),
            kind: value["type"].as_str()?.to_ascii_uppercase(),
            content: value["content"].as_str().unwrap_or_default().to_owned(),
            // Some answers of the past wrote it with a fraction.
            ttl: value["ttl"].as_f64().filter(|ttl| (1.0..=4e9).contains(ttl)).map(|ttl| ttl as u32),
            proxied: value["proxied"].as_bool().unwrap_or(false),
            comment: value["comment"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// The id of ours that its marker names.
    pub(super) fn record_id<'a>(&'a self, marker: &Marker) -> Option<&'a str> {
        marker.record_id(&self.comment)
    }

    /// Whether it carries the marker of this record of ours.
    pub(super) fn is_marked(&self, marker: &Marker, record_id: &str) -> bool {
        self.record_id(marker) == Some(record_id)
    }

    /// Whether type and content are these.
    pub(super) fn holds(&self, content: &RecordContent) -> bool {
        let own = plain(content.kind, &self.content);
        self.kind == content.kind.as_str()
            && dns_query::normal(content.kind, &own) == dns_query::normal(content.kind, &content.content)
    }

    /// Whether it is as it was found before.
    pub(super) fn is_as(&self, found: &DnsFound) -> bool {
        let content = if self.kind == "TXT" { plain(RecordType::Txt, &self.content) } else { self.content.clone() };
        (&self.fqdn, &self.kind, &content) == (&found.name.fqdn(), &found.kind, &found.content)
    }

    /// What stands there, for people.
    pub(super) fn observed(&self) -> String {
        format!("{} {} {}", self.fqdn, self.kind, dns_query::shown(&self.content))
    }

    /// As others see it.
    pub(super) fn found(&self, zone: &Zone, marker: &Marker) -> DnsFound {
        let relative = self.fqdn.strip_suffix(&zone.name).map(|it| it.trim_end_matches('.'));
        let name = relative.filter(|it| !it.is_empty()).unwrap_or("@").to_owned();
        let content = if self.kind == "TXT" { plain(RecordType::Txt, &self.content) } else { self.content.clone() };
        let record_id = self.record_id(marker).map(str::to_owned);
        DnsFound {
            vendor_id: Some(vendor_id(&zone.id, &self.id)),
            name: DnsName { zone: zone.name.clone(), name },
            kind: self.kind.clone(),
            content,
            ttl: self.ttl.filter(|ttl| *ttl > 1),
            proxied: self.proxied,
            ours: record_id.is_some(),
            record_id,
        }
    }
}

/// The vendor's id of a record: of the zone too, since records are only found below their zone, and
/// a zone's name tells neither whether the zone is gone nor whether it may only not be seen.
pub(super) fn vendor_id(zone: &str, record: &str) -> String {
    format!("{zone}/{record}")
}

/// The two ids of a record.
pub(super) fn ids_of(vendor_id: &str) -> Option<(&str, &str)> {
    vendor_id.split_once('/').filter(|(zone, record)| is_id(zone) && is_id(record))
}

/// A content as it is sent: texts in quotes, in strings of at most 255 bytes.
pub(super) fn sent(content: &RecordContent) -> String {
    if content.kind != RecordType::Txt {
        return content.content.clone();
    }
    let mut strings = vec![String::new()];
    let mut room = 255;
    for letter in content.content.chars() {
        if letter.len_utf8() > room {
            strings.push(String::new());
            room = 255;
        }
        room -= letter.len_utf8();
        if let Some(last) = strings.last_mut() {
            if matches!(letter, '"' | '\\') {
                last.push('\\');
            }
            last.push(letter);
        }
    }
    strings.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(" ")
}

/// A content without the quotes of texts.
fn plain(kind: RecordType, content: &str) -> String {
    if kind == RecordType::Txt { dns_query::unquoted(content) } else { content.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: &str) -> RecordContent {
        RecordContent { record_id: "dns_1".to_owned(), kind: RecordType::Txt, content: content.to_owned() }
    }

    #[test]
    fn texts_are_quoted_and_read_back() {
        assert_eq!(sent(&text(r#"a "b" \c"#)), r#""a \"b\" \\c""#);
        let long = "x".repeat(300);
        for content in [r#"a "b" \c"#, "v=spf1 -all", "", "grüße", &long] {
            let sent = sent(&text(content));
            assert!(sent.split("\" \"").all(|it| it.len() <= 300), "{sent}");
            assert_eq!(plain(RecordType::Txt, &sent), content);
        }
        assert_eq!(plain(RecordType::Txt, "bare"), "bare");
    }

    #[test]
    fn only_ids_become_part_of_a_path() {
        let (zone, record) = ("0".repeat(32), "f".repeat(32));
        assert_eq!(ids_of(&vendor_id(&zone, &record)), Some((zone.as_str(), record.as_str())));
        for bad in ["", "/", "../x", &zone, &format!("{zone}/../{record}"), &format!("{zone}/{}", "g".repeat(32))] {
            assert_eq!(ids_of(bad), None, "{bad}");
        }
    }
}
