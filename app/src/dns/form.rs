//! The form that makes a record. The rule: texts come in, a wish or marked fields come out; whether
//! the content fits the type is the server's to judge.

use domain::{
    dns::{DnsRecordCreate, DnsType},
    id::ProviderId,
    valid::{RecordName, ZoneName},
};
use serde::{Deserialize, Serialize};

use crate::{
    Fault,
    ui::{FormReader, zone_parts},
};

/// The fields, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordForm {
    /// The account and the zone, as `prv_…/example.org`.
    pub zone: String,
    /// The name within the zone.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The content.
    pub content: String,
    /// Seconds; the vendor's when empty.
    pub ttl: String,
    /// `true` if the vendor's proxy stands before it.
    pub proxied: String,
}

impl RecordForm {
    /// The wish that was typed.
    ///
    /// # Errors
    /// The fields that cannot be used.
    pub fn read(&self) -> Result<DnsRecordCreate, Fault> {
        let mut reader = FormReader::default();
        let (account, zone) = zone_parts(&self.zone).unwrap_or_default();
        let provider_id: Option<ProviderId> = reader.required("/zone", account, "choose a zone");
        let zone: Option<ZoneName> = reader.optional("/zone", zone);
        let name: Option<RecordName> =
            reader.required("/name", &self.name.to_ascii_lowercase(), "give it a name; @ is the zone itself");
        let kind: Option<DnsType> = reader.required("/type", &self.kind, "choose a type");
        let content: Option<String> = reader.required("/content", &self.content, "say what it holds");
        let ttl = reader.number("/ttl", &self.ttl);
        reader.finish(|| {
            Some(DnsRecordCreate {
                provider_id: provider_id?,
                zone: zone?,
                name: name?,
                kind: kind?,
                content: content?,
                ttl,
                proxied: (self.proxied == "true").then_some(true),
                node_id: None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_brings_its_account() {
        let form = RecordForm {
            zone: "prv_1/example.org".to_owned(),
            name: " WWW ".to_owned(),
            kind: "A".to_owned(),
            content: " 192.0.2.1 ".to_owned(),
            ..RecordForm::default()
        };
        let wish = form.read().unwrap();
        assert_eq!((wish.provider_id.as_str(), wish.zone.as_str()), ("prv_1", "example.org"));
        assert_eq!((wish.name.as_str(), wish.content.as_str()), ("www", "192.0.2.1"));
        assert_eq!((wish.ttl, wish.proxied), (None, None));
    }

    #[test]
    fn every_wrong_field_is_marked_at_once() {
        let form = RecordForm { name: "a b".to_owned(), ttl: "long".to_owned(), ..RecordForm::default() };
        let fault = form.read().unwrap_err();
        for pointer in ["/zone", "/name", "/type", "/content", "/ttl"] {
            assert!(fault.field(pointer).is_some(), "{pointer} is not marked");
        }
    }
}
