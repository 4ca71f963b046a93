//! The kinds of call that faults and the log speak of. Rule: every call has exactly one.

use axum::http::Method;
use serde::{Deserialize, Serialize};

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CloudflareCall {
    /// `GET /user/tokens/verify` and `GET /accounts/{account}/tokens/verify`.
    TokenVerify,
    /// `GET /zones`.
    ZoneList,
    /// `GET /zones/{zone}`.
    ZoneGet,
    /// Making and deleting zones.
    ZoneChange,
    /// `GET /zones/{zone}/dns_records`.
    RecordList,
    /// `GET /zones/{zone}/dns_records/{record}`.
    RecordGet,
    /// `POST /zones/{zone}/dns_records`.
    RecordCreate,
    /// `PATCH /zones/{zone}/dns_records/{record}`.
    RecordEdit,
    /// `PUT /zones/{zone}/dns_records/{record}`.
    RecordReplace,
    /// `DELETE /zones/{zone}/dns_records/{record}`.
    RecordDelete,
    /// `POST /zones/{zone}/dns_records/batch`.
    RecordBatch,
    /// Anything else that was asked for; in a fault: every call.
    Any,
}

impl CloudflareCall {
    /// Whether a fault on this is about a call of that kind.
    pub(super) fn covers(self, kind: Self) -> bool {
        self == Self::Any || self == kind
    }

    /// What kind of call this is; `path` is what follows the base, in segments.
    pub(super) fn of(method: &Method, path: &[&str]) -> Self {
        match (method.as_str(), path) {
            ("GET", ["user", "tokens", "verify"] | ["accounts", _, "tokens", "verify"]) => Self::TokenVerify,
            ("GET", ["zones"]) => Self::ZoneList,
            ("GET", ["zones", _]) => Self::ZoneGet,
            (_, ["zones"] | ["zones", _]) => Self::ZoneChange,
            ("GET", ["zones", _, "dns_records"]) => Self::RecordList,
            ("POST", ["zones", _, "dns_records"]) => Self::RecordCreate,
            ("POST", ["zones", _, "dns_records", "batch"]) => Self::RecordBatch,
            ("GET", ["zones", _, "dns_records", _]) => Self::RecordGet,
            ("PATCH", ["zones", _, "dns_records", _]) => Self::RecordEdit,
            ("PUT", ["zones", _, "dns_records", _]) => Self::RecordReplace,
            ("DELETE", ["zones", _, "dns_records", _]) => Self::RecordDelete,
            _ => Self::Any,
        }
    }
}
