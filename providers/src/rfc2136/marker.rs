//! The marker: one TXT record at `_hangar.<name>` that says which records of the name are ours.
//!
//! Its strings are `heritage=hangar`, `instance=<installation>` and, for each record, its type with
//! Hangar's id of it and the beginning of a SHA-256 of its content. Rule: what does not read back
//! as exactly this is somebody else's.

use std::collections::BTreeMap;

use hickory_proto::rr::{Name, RData, rdata::TXT};
use sha2::{Digest as _, Sha256};

use super::wire::{invalid, text_of};
use crate::{dns::RecordType, error::ProviderError};

/// The label under which markers stand.
pub(super) const LABEL: &str = "_hangar";
const HERITAGE: &str = "heritage=hangar";
const INSTANCE: &str = "instance=";
/// Hexadecimal digits of a content's hash; enough to notice a change by hand.
const HASH_DIGITS: usize = 16;

/// One record that a marker claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) record_id: String,
    hash: String,
}

impl Entry {
    /// # Errors
    /// `DNS_VALIDATION` when the id cannot stand in a marker.
    pub(super) fn new(record_id: &str, data: &RData) -> Result<Self, ProviderError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=128).contains(&record_id.len()) || !record_id.bytes().all(plain) {
            return Err(invalid("The record's id cannot stand in a marker."));
        }
        Ok(Self { record_id: record_id.to_owned(), hash: hash(data) })
    }

    /// Whether this is the content that was written.
    pub(super) fn is_about(&self, data: &RData) -> bool {
        self.hash == hash(data)
    }
}

fn hash(data: &RData) -> String {
    let digest = Sha256::digest(text_of(data).as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digits[..HASH_DIGITS].to_owned()
}

/// A marker of ours: one entry for each type of record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    instance: String,
    pub(super) entries: BTreeMap<RecordType, Entry>,
}

impl Marker {
    pub(super) fn new(instance: &str) -> Self {
        Self { instance: instance.to_owned(), entries: BTreeMap::new() }
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// Where the marker of a name stands; `None` when that would be too long for a name.
    pub(super) fn place(name: &Name) -> Option<Name> {
        name.prepend_label(LABEL).ok()
    }

    /// The name whose marker would stand here.
    pub(super) fn subject(place: &Name) -> Option<Name> {
        let first = place.iter().next()?;
        first.eq_ignore_ascii_case(LABEL.as_bytes()).then(|| place.base_name())
    }

    /// The marker in this record, if it is this installation's.
    pub(super) fn read(data: &RData, instance: &str) -> Option<Self> {
        Self::any(data).filter(|marker| marker.instance == instance)
    }

    /// The marker in this record, whichever installation's.
    pub(super) fn any(data: &RData) -> Option<Self> {
        let RData::TXT(text) = data else { return None };
        let mut strings = text.txt_data.iter().map(|it| std::str::from_utf8(it).ok());
        if strings.next()?? != HERITAGE {
            return None;
        }
        let mut marker = Self::new(strings.next()??.strip_prefix(INSTANCE)?);
        for string in strings {
            let (kind, rest) = string?.split_once('=')?;
            let (record_id, hash) = rest.split_once('/')?;
            let entry = Entry { record_id: record_id.to_owned(), hash: hash.to_owned() };
            marker.entries.insert(RecordType::named(kind)?, entry);
        }
        Some(marker)
    }

    pub(super) fn write(&self) -> RData {
        let mut strings = vec![HERITAGE.to_owned(), format!("{INSTANCE}{}", self.instance)];
        strings.extend(
            self.entries.iter().map(|(kind, entry)| format!("{}={}/{}", kind.as_str(), entry.record_id, entry.hash)),
        );
        RData::TXT(TXT::new(strings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rfc2136::wire::name;

    fn data(text: &str) -> RData {
        RData::A(text.parse::<std::net::Ipv4Addr>().unwrap().into())
    }

    #[test]
    fn a_marker_reads_back_for_its_own_installation_alone() {
        let mut marker = Marker::new("inst-1");
        marker.entries.insert(RecordType::A, Entry::new("dns_1", &data("192.0.2.1")).unwrap());
        let written = marker.write();
        assert_eq!(Marker::read(&written, "inst-1"), Some(marker));
        assert_eq!(Marker::read(&written, "inst-2"), None);
        let foreign = [vec!["v=spf1 -all"], vec![HERITAGE], vec![HERITAGE, "instance=inst-1", "MX=1/2"]];
        for strings in foreign {
            let text = RData::TXT(TXT::new(strings.into_iter().map(str::to_owned).collect()));
            assert_eq!(Marker::read(&text, "inst-1"), None, "{text}");
        }
    }

    #[test]
    fn a_content_changed_by_hand_is_noticed() {
        let entry = Entry::new("dns_1", &data("192.0.2.1")).unwrap();
        assert!(entry.is_about(&data("192.0.2.1")));
        assert!(!entry.is_about(&data("192.0.2.2")));
        assert!(Entry::new("two words", &data("192.0.2.1")).is_err());
    }

    #[test]
    fn a_marker_stands_below_its_name() {
        let subject = name("alpha.example.org").unwrap();
        let place = Marker::place(&subject).unwrap();
        assert_eq!(place, name("_hangar.alpha.example.org").unwrap());
        assert_eq!(Marker::subject(&place), Some(subject.clone()));
        assert_eq!(Marker::subject(&subject), None);
    }
}
