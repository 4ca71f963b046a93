//! Identifiers. Each noun has its own newtype with a fixed prefix; the rule: inside Hangar no id is
//! a bare `String`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct InvalidId {
    text: String,
    what: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The id made from a UUID; a version 7 UUID keeps ids in order of creation.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(format!("{}{}", $prefix, uuid.simple()))
            }

            /// The whole id.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// A short form for people: the random tail, never the time head, so that ids made in
            /// the same moment still look different.
            pub fn short(&self) -> &str {
                let start = self.0.len().saturating_sub(8).max($prefix.len());
                self.0.get(start..).unwrap_or(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let tail = text.strip_prefix($prefix).unwrap_or_default();
                let fits = (1..=64).contains(&tail.len())
                    && tail.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
                if fits {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId {
                        text: text.chars().take(80).collect(),
                        what: concat!("an id that begins with ", $prefix),
                    })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// A connected account at a vendor.
    ProviderId = "prv_";
    /// A machine that Hangar acquired and owns.
    NodeId = "nod_";
    /// A DNS record that Hangar created and owns.
    DnsRecordId = "dns_";
    /// What was kept of a node before it was destroyed.
    BackupId = "bak_";
    /// A pool of assignable machines.
    PoolId = "pol_";
    /// One machine assigned to one person for a time.
    AllocationId = "alc_";
    /// A person.
    UserId = "usr_";
    /// A durable piece of work.
    JobId = "job_";
    /// An entry of the audit trail; its order is the order of events.
    AuditId = "aud_";
    /// An API token (the record of it, not its value).
    TokenId = "tok_";
}

impl UserId {
    /// The fixed user as which the admin secret acts.
    pub fn admin() -> Self {
        Self("usr_admin".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_only_its_own_prefix() {
        let id = NodeId::from_uuid(Uuid::nil());
        assert_eq!(id.as_str().parse::<NodeId>(), Ok(id.clone()));
        assert!(id.as_str().parse::<JobId>().is_err());
        assert!("nod_".parse::<NodeId>().is_err());
        assert!("nod_ab/../c".parse::<NodeId>().is_err());
        assert!("usr_admin".parse::<UserId>() == Ok(UserId::admin()));
    }

    #[test]
    fn the_short_form_is_the_random_tail() {
        let id: NodeId = "nod_0193aaaabbbb7cccddddeeee12345678".parse().unwrap();
        assert_eq!(id.short(), "12345678");
        assert_eq!(UserId::admin().short(), "admin");
    }
}
