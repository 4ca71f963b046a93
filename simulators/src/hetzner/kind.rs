//! The kinds of request that faults and the request log speak of. Rule: every request has exactly
//! one; what a fault names may cover several.

use axum::http::Method;
use serde::{Deserialize, Serialize};

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RequestKind {
    /// `POST /servers`.
    ServerCreate,
    /// `GET /servers/{id}`.
    ServerGet,
    /// `GET /servers`.
    ServerList,
    /// `PUT /servers/{id}`.
    ServerUpdate,
    /// `DELETE /servers/{id}`.
    ServerDelete,
    /// `GET /servers/{id}/metrics`.
    ServerMetrics,
    /// `POST /servers/{id}/actions/poweron`.
    ServerPoweron,
    /// `POST /servers/{id}/actions/poweroff`.
    ServerPoweroff,
    /// `POST /servers/{id}/actions/shutdown`.
    ServerShutdown,
    /// `POST /servers/{id}/actions/reboot`.
    ServerReboot,
    /// `POST /servers/{id}/actions/reset`.
    ServerReset,
    /// `POST /servers/{id}/actions/rebuild`.
    ServerRebuild,
    /// `POST /servers/{id}/actions/change_type`.
    ServerChangeType,
    /// Any other `POST /servers/{id}/actions/{command}`; in a fault: each of them.
    ServerAction,
    /// `GET /actions/{id}` and the same below a thing or a kind of things.
    ActionGet,
    /// `GET /actions` and the same below a thing or a kind of things.
    ActionList,
    /// `POST /ssh_keys`.
    SshKeyCreate,
    /// `GET /ssh_keys`.
    SshKeyList,
    /// `GET /ssh_keys/{id}`.
    SshKeyGet,
    /// `PUT /ssh_keys/{id}`.
    SshKeyUpdate,
    /// `DELETE /ssh_keys/{id}`.
    SshKeyDelete,
    /// Reading server types, locations, images and pricing.
    Catalog,
    /// Changing an image.
    Image,
    /// Anything below `/firewalls` but its actions.
    Firewall,
    /// Anything below `/primary_ips` but its actions.
    PrimaryIp,
    /// `GET /zones`.
    ZoneList,
    /// `GET /zones/{zone}`.
    ZoneGet,
    /// Making, changing and deleting zones.
    ZoneChange,
    /// `GET /zones/{zone}/rrsets`.
    RrsetList,
    /// `GET /zones/{zone}/rrsets/{name}/{type}`.
    RrsetGet,
    /// `POST /zones/{zone}/rrsets`.
    RrsetCreate,
    /// `PUT /zones/{zone}/rrsets/{name}/{type}`.
    RrsetUpdate,
    /// `DELETE /zones/{zone}/rrsets/{name}/{type}`.
    RrsetDelete,
    /// `POST /zones/{zone}/rrsets/{name}/{type}/actions/{command}`.
    RrsetAction,
    /// Anything else that was asked for; in a fault: every request.
    Any,
}

impl RequestKind {
    /// Whether a fault on this is about a request of that kind.
    pub(super) fn covers(self, kind: Self) -> bool {
        match self {
            Self::Any => true,
            Self::ServerAction => kind.is_server_action(),
            _ => self == kind,
        }
    }

    fn is_server_action(self) -> bool {
        matches!(
            self,
            Self::ServerPoweron
                | Self::ServerPoweroff
                | Self::ServerShutdown
                | Self::ServerReboot
                | Self::ServerReset
                | Self::ServerRebuild
                | Self::ServerChangeType
                | Self::ServerAction
        )
    }

    /// What kind of request this is; `path` is what follows `/v1`, in segments.
    pub(super) fn of(method: &Method, path: &[&str]) -> Self {
        match (method.as_str(), path) {
            ("POST", ["servers"]) => Self::ServerCreate,
            ("GET", ["servers"]) => Self::ServerList,
            ("GET", ["actions"] | [_, "actions"] | [_, _, "actions"]) => Self::ActionList,
            ("GET", ["actions", _] | [_, "actions", _] | [_, _, "actions", _]) => Self::ActionGet,
            ("GET", ["servers", _]) => Self::ServerGet,
            ("PUT", ["servers", _]) => Self::ServerUpdate,
            ("DELETE", ["servers", _]) => Self::ServerDelete,
            ("GET", ["servers", _, "metrics"]) => Self::ServerMetrics,
            ("POST", ["servers", _, "actions", command]) => match *command {
                "poweron" => Self::ServerPoweron,
                "poweroff" => Self::ServerPoweroff,
                "shutdown" => Self::ServerShutdown,
                "reboot" => Self::ServerReboot,
                "reset" => Self::ServerReset,
                "rebuild" => Self::ServerRebuild,
                "change_type" => Self::ServerChangeType,
                _ => Self::ServerAction,
            },
            ("POST", ["ssh_keys"]) => Self::SshKeyCreate,
            ("GET", ["ssh_keys"]) => Self::SshKeyList,
            ("GET", ["ssh_keys", _]) => Self::SshKeyGet,
            ("PUT", ["ssh_keys", _]) => Self::SshKeyUpdate,
            ("DELETE", ["ssh_keys", _]) => Self::SshKeyDelete,
            ("GET", ["server_types" | "locations" | "images" | "pricing", ..]) => Self::Catalog,
            (_, ["images", ..]) => Self::Image,
            (_, ["firewalls", ..]) => Self::Firewall,
            (_, ["primary_ips", ..]) => Self::PrimaryIp,
            ("GET", ["zones"]) => Self::ZoneList,
            ("GET", ["zones", _]) => Self::ZoneGet,
            ("GET", ["zones", _, "rrsets"]) => Self::RrsetList,
            ("POST", ["zones", _, "rrsets"]) => Self::RrsetCreate,
            ("GET", ["zones", _, "rrsets", _, _]) => Self::RrsetGet,
            ("PUT", ["zones", _, "rrsets", _, _]) => Self::RrsetUpdate,
            ("DELETE", ["zones", _, "rrsets", _, _]) => Self::RrsetDelete,
            ("POST", ["zones", _, "rrsets", _, _, "actions", _]) => Self::RrsetAction,
            (_, ["zones", ..]) => Self::ZoneChange,
            _ => Self::Any,
        }
    }
}
