//! The DNS vendors that Hangar is tried with: a bed is a vendor of its own with one zone, for an
//! account of one kind. Rule: a bed acts on the vendor only as somebody else would, by hand; what
//! Hangar does there, it does by itself.
//!
//! Another kind is one file here and one line at the end of each table of tests.
#![expect(dead_code, reason = "no test uses everything")]

pub mod bind;
pub mod cloudflare;
pub mod hetzner;

use std::time::Duration;

use serde_json::{Value, json};

/// A vendor with one zone.
pub trait DnsBed: Sized {
    /// How long a name may take until it is visible; short where no name server answers at all.
    const NAME_DEADLINE: Duration;

    /// Whether it can run on this machine, or has to.
    fn is_here() -> bool {
        true
    }

    /// A vendor with one zone, which holds a few records of other people.
    async fn start() -> Self;

    /// The zone's name.
    fn zone(&self) -> String;

    /// What an account is connected by: kind, settings and secret.
    fn account(&self) -> Value;

    /// Somebody else makes these records: a name in the zone, a type and a content.
    async fn put(&self, records: &[(String, &'static str, String)]);

    /// Somebody changes the content of a record by hand; its marker stays.
    async fn change(&self, name: &str, kind: &str, content: &str);

    /// Somebody takes the marker off a name's records by hand; their contents stay.
    async fn unmark(&self, name: &str);

    /// Somebody takes a record away by hand.
    async fn remove(&self, name: &str, kind: &str);

    /// Somebody takes the zone away by hand, or the vendor does.
    async fn remove_zone(&self);

    /// Every record of the zone, whole, as the vendor keeps it, in a fixed order; nothing where there
    /// is no zone. What changes by itself, such as the SOA, is left out.
    async fn records(&self) -> Vec<String>;

    /// The contents under this name and type.
    async fn contents(&self, name: &str, kind: &str) -> Vec<String>;

    /// The zone takes no further record; false when there is no such limit here.
    async fn full(&self) -> bool;

    /// The `nth` request of these from now on, and no other, meets this; false when that cannot happen
    /// here.
    fn trouble(&self, call: Call, nth: u32, trouble: Trouble) -> bool;

    /// Waits until the last trouble was met.
    async fn met(&self);

    /// No trouble that has not come yet comes any more.
    fn calm(&self);

    /// The body that connects an account under this name.
    fn connection(&self, name: &str) -> Value {
        let mut body = self.account();
        body["name"] = json!(name);
        body
    }
}

/// Which requests count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Any,
    Create,
    Delete,
}

/// What a request may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is carried out, and its answer is lost.
    AnswerLost,
    /// It is carried out, and its answer cannot be read.
    Unreadable,
    /// The connection breaks before it is carried out.
    Broken,
    /// The vendor answers with an error of its own.
    ServerError,
    /// The vendor asks for fewer calls.
    RateLimited,
    /// The vendor refuses the credential.
    Refused,
    /// No answer ever comes.
    Hang { after_effect: bool },
    /// An error at once, and it is carried out this much later.
    Late { ms: u64 },
}

impl Trouble {
    /// Those after which the same request may succeed.
    pub const PASSING: [Self; 5] =
        [Self::AnswerLost, Self::Unreadable, Self::Broken, Self::ServerError, Self::RateLimited];
}

/// What other people have in every zone.
fn neighbours() -> Vec<(String, &'static str, String)> {
    let one = |name: &str, kind, content: &str| (name.to_owned(), kind, content.to_owned());
    vec![
        one("www", "A", "198.51.100.1"),
        one("alpha2", "A", "198.51.100.2"),
        one("alph", "AAAA", "2001:db8:2::1"),
        one("note", "TXT", "hangar was here"),
    ]
}
