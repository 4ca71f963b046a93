//! What the contract of DNS providers is tried on: a bed is one implementation with a vendor of its
//! own behind it. Rule: a bed acts on the vendor only as somebody else would, by hand.
//!
//! A new implementation is one file here and one line at the end of `dns_contract.rs`.

pub mod bind;
pub mod cloudflare;
pub mod hetzner;

use std::sync::Arc;

use providers::{Account, RecordType, async_trait};

/// An implementation with a vendor of its own.
#[async_trait]
pub trait DnsBed: Send + Sync + Sized {
    /// Whether it can run on this machine, or has to.
    fn is_here() -> bool {
        true
    }

    /// A vendor with one zone, in which nothing is ours yet.
    async fn start() -> Self;

    /// The zone's name.
    fn zone(&self) -> String;

    /// An account at the vendor, opened by this installation. Its time-outs are
    /// `common::timeouts()`.
    fn account(&self, instance: &str) -> Arc<dyn Account>;

    /// Somebody else makes these records.
    async fn put(&self, records: &[Foreign]);

    /// Somebody changes the content of a record by hand; its marker stays.
    async fn change(&self, fqdn: &str, kind: RecordType, content: &str);

    /// Somebody takes the marker off a name's records by hand; their contents stay.
    async fn unmark(&self, fqdn: &str);

    /// Somebody takes a record away by hand.
    async fn remove(&self, fqdn: &str, kind: RecordType);

    /// Somebody takes the zone away by hand, or the vendor does.
    async fn remove_zone(&self);

    /// Every record of the zone, whole, as the vendor keeps it, with whatever it knows of it (ids,
    /// times, markers), in a fixed order. What changes by itself, such as the SOA, is left out.
    async fn records(&self) -> Vec<String>;

    /// From now on the zone takes so many more records; false when this vendor has no such limit.
    async fn room(&self, records: usize) -> bool;

    /// The `nth` request from now on, and no other, meets this; false when that cannot be arranged
    /// with this vendor.
    async fn trouble(&self, nth: u32, trouble: Trouble) -> bool;

    /// No trouble that has not come yet comes any more.
    async fn calm(&self);

    /// Waits until whatever is late is carried out.
    async fn settled(&self);

    /// Whether the vendor's zone is answered for by a name server.
    fn has_name_server(&self) -> bool {
        true
    }
}

/// A record that is not ours.
#[derive(Clone, Debug)]
pub struct Foreign {
    pub fqdn: String,
    pub kind: RecordType,
    pub content: String,
}

/// What a request may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is carried out, and its answer is an error or never comes.
    AnswerLost,
    /// It is carried out, and its answer cannot be read.
    Unreadable,
    /// The connection breaks before it is carried out.
    Broken,
    /// The vendor answers with an error of its own.
    ServerError,
    /// No answer comes now; it is carried out a little later.
    Late,
    /// The vendor asks for fewer calls.
    RateLimited,
    /// The vendor refuses the credential.
    Refused,
}

impl Trouble {
    /// Those after which the same call may succeed.
    pub const PASSING: [Self; 6] =
        [Self::AnswerLost, Self::Unreadable, Self::Broken, Self::ServerError, Self::Late, Self::RateLimited];
}
