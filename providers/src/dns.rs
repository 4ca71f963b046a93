//! DNS records. Rule: nothing that is not ours is ever changed or taken away; whose a record is, is
//! decided by the marker that was written in the same request as the record, and never by its name.

use std::fmt;

use async_trait::async_trait;
use domain::code::Code;
use serde::{Deserialize, Serialize};

use crate::{dns_query, error::ProviderError, journal::Journal};

/// Makes and takes away DNS records in the zones of one account.
#[async_trait]
pub trait DnsProvider: Send + Sync {
    /// The zones that the credential sees, by name; at most 1,000.
    ///
    /// # Errors
    /// `PROVIDER_*`.
    async fn zones(&self) -> Result<Vec<DnsZone>, ProviderError>;

    /// Every record of exactly this name, of whatever type, and whose it is.
    ///
    /// # Errors
    /// `DNS_ZONE_NOT_FOUND`, `DNS_VALIDATION`, other `PROVIDER_*`.
    async fn lookup(&self, name: &DnsName) -> Result<Vec<DnsFound>, ProviderError>;

    /// Makes the records of one name, all or none, or goes on where an earlier run with the same
    /// journal stopped. What is there already and ours is taken over; with our marker but another
    /// content it is an error like something foreign, since somebody changed it by hand.
    ///
    /// Steps: `create_record`. After an error some may be there: undo with
    /// [`DnsProvider::delete_record`] for each and the same journal.
    ///
    /// # Errors
    /// `DNS_NAME_CONFLICT` when an A, AAAA or CNAME record that is not ours stands there, which is
    /// left alone, or another one of ours, unless both are addresses and of different types; `DNS_ZONE_NOT_FOUND`, `DNS_QUOTA_EXCEEDED`, `DNS_VALIDATION`; other `PROVIDER_*`;
    /// with `lost` when the journal was lost.
    async fn create_record(
        &self,
        wish: &RecordWish,
        journal: &mut dyn Journal,
    ) -> Result<Vec<RecordMade>, ProviderError>;

    /// Takes one record away, after reading again that its marker and its content are still ours.
    /// Gone already is done. Also the undo of a `create_record`.
    ///
    /// Steps: `delete_record`.
    ///
    /// # Errors
    /// `PROVIDER_*`; with `lost` when the journal was lost. A zone that is gone holds nothing of ours
    /// any more, which is [`RecordDeleted::Gone`]; where the vendor's word for that may also mean that
    /// it only cannot be seen now, it is looked for again for a while before.
    async fn delete_record(
        &self,
        target: &RecordTarget,
        journal: &mut dyn Journal,
    ) -> Result<RecordDeleted, ProviderError>;

    /// Makes a record ours that somebody else wrote, or that was changed by hand, because a person
    /// says so: it gets the marker of `record_id`, also in place of another installation's, and nothing
    /// else of it changes. May be repeated.
    ///
    /// # Errors
    /// `DNS_NAME_CONFLICT` when it is not as it was found, or where the vendor marks sets of records
    /// as a whole, not alone; `PROVIDER_RESOURCE_GONE` when it is not there any more;
    /// `PROVIDER_INVALID_REQUEST` where a record that stands cannot be marked; `DNS_ZONE_NOT_FOUND`;
    /// other `PROVIDER_*`.
    async fn adopt_record(&self, _found: &DnsFound, _record_id: &str) -> Result<RecordMade, ProviderError> {
        let message = "This kind of account cannot mark a record that somebody else wrote.";
        Err(ProviderError::new(Code::ProviderInvalidRequest, message))
    }

    /// Every record of a zone that carries this installation's marker.
    ///
    /// # Errors
    /// As [`DnsProvider::lookup`].
    async fn owned(&self, zone: &str) -> Result<Vec<DnsFound>, ProviderError>;

    /// Whether every authoritative server of the zone that can be reached and does not refuse answers
    /// with this record (behind the vendor's proxy: with any address), found and asked within 10 s.
    ///
    /// # Errors
    /// `PROVIDER_UNREACHABLE` when none could be asked.
    async fn is_visible(&self, target: &RecordTarget) -> Result<bool, ProviderError>;
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsZone {
    /// The vendor's id, or the name where it has no other.
    pub id: String,
    /// Its name, in lower case and without a dot at the end.
    pub name: String,
}

/// A name within a zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DnsName {
    /// The zone, in lower case and without a dot at the end.
    pub zone: String,
    /// The name relative to it, in lower case; `@` for the zone itself.
    pub name: String,
}

impl DnsName {
    /// The whole name, without a dot at the end.
    pub fn fqdn(&self) -> String {
        if self.name == "@" { self.zone.clone() } else { format!("{}.{}", self.name, self.zone) }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fqdn())
    }
}

/// The types of records that Hangar makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name.
    Cname,
    /// Text.
    Txt,
}

impl RecordType {
    /// As zones write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
        }
    }

    /// The one that zones write like this; `None` for those that Hangar does not make.
    pub fn named(text: &str) -> Option<Self> {
        [Self::A, Self::Aaaa, Self::Cname, Self::Txt].into_iter().find(|it| it.as_str() == text)
    }
}

/// One record that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordContent {
    /// Hangar's own id of it; part of its marker where there is room.
    pub record_id: String,
    /// Its type.
    pub kind: RecordType,
    /// Its content: an address, a name without a dot at the end, or text.
    pub content: String,
}

/// The records that are wanted under one name: all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordWish {
    /// The name.
    pub name: DnsName,
    /// What stands there; never empty, no type twice.
    pub contents: Vec<RecordContent>,
    /// Seconds for which it may be remembered; the vendor's default when absent.
    pub ttl: Option<u32>,
    /// Whether the vendor's proxy stands before it, where it has one.
    pub proxied: Option<bool>,
}

/// A record that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordMade {
    /// Hangar's own id of it.
    pub record_id: String,
    /// The vendor's id, where it has one for a single record.
    pub vendor_id: Option<String>,
}

/// A record that was made and is to be found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordTarget {
    /// The name.
    pub name: DnsName,
    /// What Hangar wrote there.
    pub content: RecordContent,
    /// The vendor's id, where it is known.
    pub vendor_id: Option<String>,
    /// Whether the vendor's proxy stands before it.
    pub proxied: bool,
}

/// What a deletion found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordDeleted {
    /// It was there and is gone.
    Deleted,
    /// It was gone already, or never was.
    Gone,
    /// Somebody changed it, or it is not ours any more; it was left alone.
    Changed {
        /// What stands there now, for people.
        observed: String,
    },
}

/// A record that stands in a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsFound {
    /// The vendor's id, where it has one for a single record.
    pub vendor_id: Option<String>,
    /// Its name.
    pub name: DnsName,
    /// Its type, in capitals.
    pub kind: String,
    /// Its content as it is compared: addresses in their one short form, texts whole and without their
    /// quotes. Texts of other people may be long and hold anything.
    pub content: String,
    /// Seconds for which it may be remembered, where the vendor says so.
    pub ttl: Option<u32>,
    /// Whether the vendor's proxy stands before it.
    pub proxied: bool,
    /// Whether it carries this installation's marker.
    pub ours: bool,
    /// The id of ours that its marker names, where it names one.
    pub record_id: Option<String>,
}

impl DnsFound {
    /// Its content for people: without control characters and cut.
    pub fn shown(&self) -> String {
        dns_query::shown(&self.content)
    }
}
