//! Our names and contents in the protocol's terms, and back. Rule: what cannot be said in DNS is
//! `DNS_VALIDATION` before anything is sent.

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::code::Code;
use hickory_proto::rr::{
    DNSClass, Name, RData, Record, RecordType as WireType,
    rdata::{A, AAAA, CNAME, TXT},
};

use crate::{
    dns::{DnsName, RecordContent, RecordType},
    dns_query,
    error::ProviderError,
};

/// The most bytes of one string within a TXT record (RFC 1035, section 3.3.14).
const STRING_MOST: usize = 255;
/// The most bytes of a text that Hangar writes; what is longer fits few resolvers' answers.
const TEXT_MOST: usize = 2048;

/// A whole name, with or without its dot at the end; `None` when it is none.
pub(super) fn name(text: &str) -> Option<Name> {
    let text = text.trim_end_matches('.');
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'*');
    if text.is_empty() || !text.bytes().all(plain) {
        return None;
    }
    Name::from_ascii(format!("{text}.")).ok()
}

/// The name that is meant.
///
/// # Errors
/// `DNS_VALIDATION`
pub(super) fn name_of(name: &DnsName) -> Result<Name, ProviderError> {
    self::name(&name.fqdn()).ok_or_else(|| invalid(format!("{name} cannot be a name in DNS.")))
}

/// A whole name as our names are written, relative to a zone; `None` when it is not in there.
pub(super) fn relative(name: &Name, origin: &Name, zone: &str) -> Option<DnsName> {
    let name = name.to_lowercase();
    if !origin.to_lowercase().zone_of(&name) {
        return None;
    }
    let whole = name.to_ascii();
    let whole = whole.trim_end_matches('.');
    let relative = whole.strip_suffix(zone)?.trim_end_matches('.');
    let relative = if relative.is_empty() { "@" } else { relative };
    Some(DnsName { zone: zone.to_owned(), name: relative.to_owned() })
}

pub(super) fn wire_type(kind: RecordType) -> WireType {
    match kind {
        RecordType::A => WireType::A,
        RecordType::Aaaa => WireType::AAAA,
        RecordType::Cname => WireType::CNAME,
        RecordType::Txt => WireType::TXT,
    }
}

/// A content as a record's data.
///
/// # Errors
/// `DNS_VALIDATION`
pub(super) fn data_of(content: &RecordContent) -> Result<RData, ProviderError> {
    let text = content.content.as_str();
    let data = match content.kind {
        RecordType::A => text.trim().parse::<Ipv4Addr>().ok().map(|it| RData::A(A(it))),
        RecordType::Aaaa => text.trim().parse::<Ipv6Addr>().ok().map(|it| RData::AAAA(AAAA(it))),
        RecordType::Cname => name(text.trim()).map(|it| RData::CNAME(CNAME(it.to_lowercase()))),
        RecordType::Txt => (!text.is_empty() && text.len() <= TEXT_MOST)
            .then(|| RData::TXT(TXT::from_bytes(text.as_bytes().chunks(STRING_MOST).collect()))),
    };
    data.ok_or_else(|| invalid(format!("The content cannot stand in a record of type {}.", content.kind.as_str())))
}

pub(super) fn invalid(message: impl Into<String>) -> ProviderError {
    ProviderError::new(Code::DnsValidation, message)
}

/// Whether two contents are the same, however a text is cut into strings.
pub(super) fn is_same(one: &RData, other: &RData) -> bool {
    match (one, other) {
        (RData::TXT(one), RData::TXT(other)) => one.txt_data.concat() == other.txt_data.concat(),
        _ => one.record_type() == other.record_type() && text_of(one) == text_of(other),
    }
}

/// A content in the one form in which it is compared and shown.
pub(super) fn text_of(data: &RData) -> String {
    match data {
        RData::A(address) => address.0.to_string(),
        RData::AAAA(address) => address.0.to_string(),
        RData::CNAME(name) => name.0.to_lowercase().to_ascii().trim_end_matches('.').to_owned(),
        RData::TXT(text) => String::from_utf8_lossy(&text.txt_data.concat()).into_owned(),
        other => other.to_string(),
    }
}

/// The same, for people.
pub(super) fn shown(data: &RData) -> String {
    dns_query::shown(&text_of(data))
}

/// A record to be added.
pub(super) fn added(name: &Name, ttl: u32, data: RData) -> Record {
    Record::from_rdata(name.clone(), ttl, data)
}

/// Exactly this record is to be taken out (RFC 2136, section 2.5.4).
pub(super) fn removed(name: &Name, data: RData) -> Record {
    let mut record = Record::from_rdata(name.clone(), 0, data);
    record.dns_class = DNSClass::NONE;
    record
}

/// One record of a set that must stand exactly so (RFC 2136, section 2.4.2).
pub(super) fn stands(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), 0, data)
}

/// No record of this type may stand (section 2.4.3); with `ANY` none at all (section 2.4.5).
pub(super) fn absent(name: &Name, kind: WireType) -> Record {
    let mut record = Record::update0(name.clone(), 0, kind);
    record.dns_class = DNSClass::NONE;
    record
}

/// Some record of this type must stand (section 2.4.1); with `ANY` any at all (section 2.4.4).
pub(super) fn present(name: &Name, kind: WireType) -> Record {
    let mut record = Record::update0(name.clone(), 0, kind);
    record.dns_class = DNSClass::ANY;
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(kind: RecordType, content: &str) -> RecordContent {
        RecordContent { record_id: "dns_1".to_owned(), kind, content: content.to_owned() }
    }

    #[test]
    fn only_what_dns_can_say_is_said() {
        assert!(data_of(&content(RecordType::A, "192.0.2.1")).is_ok());
        for (kind, text) in [
            (RecordType::A, "192.0.2.256"),
            (RecordType::A, "2001:db8::1"),
            (RecordType::Aaaa, "192.0.2.1"),
            (RecordType::Cname, "two words"),
            (RecordType::Cname, ""),
            (RecordType::Txt, ""),
        ] {
            assert_eq!(data_of(&content(kind, text)).unwrap_err().code, Code::DnsValidation, "{kind:?} {text}");
        }
    }

    #[test]
    fn a_long_text_is_cut_into_strings_and_stays_the_same() {
        let text = "x".repeat(600);
        let data = data_of(&content(RecordType::Txt, &text)).unwrap();
        let RData::TXT(strings) = &data else { panic!("{data:?}") };
        assert_eq!(strings.txt_data.iter().map(|it| it.len()).collect::<Vec<_>>(), [255, 255, 90]);
        assert_eq!(text_of(&data), text);
        assert!(is_same(&data, &RData::TXT(TXT::new(vec!["x".repeat(200), "x".repeat(200), "x".repeat(200)]))));
    }

    #[test]
    fn names_go_there_and_back() {
        let origin = name("example.org").unwrap();
        for relative_name in ["@", "alpha", "a.b", "*.dev"] {
            let one = DnsName { zone: "example.org".to_owned(), name: relative_name.to_owned() };
            assert_eq!(relative(&name_of(&one).unwrap(), &origin, "example.org"), Some(one));
        }
        assert_eq!(relative(&name("example.net").unwrap(), &origin, "example.org"), None);
        assert!(name("with space.example.org").is_none());
        assert!(name(&format!("{}.example.org", "l".repeat(64))).is_none());
    }
}
