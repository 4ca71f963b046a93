//! The shapes of nodes in the API and on the pages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    action::Action,
    blueprint::{BlueprintView, ComposeCreate, StackView},
    code::Code,
    dns::DnsAccount,
    id::{JobId, NodeId, ProviderId},
    job::JobStatus,
    node::{Cleanup, Health, NodeState},
    provider::{Catalog, ProviderView},
    spending::Hold,
    time::Timestamp,
    valid::{PoolName, ProfileName},
};

/// Another (type, location) to try when the first has no capacity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fallback {
    /// The server type.
    pub server_type: String,
    /// The location.
    pub location: String,
}

/// The DNS name that is wanted with a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DnsWish {
    /// The account that holds the zone.
    pub provider_id: ProviderId,
    /// The zone, such as `example.org`.
    pub zone: String,
    /// The name within the zone, such as `alpha`.
    pub name: String,
    /// Time to live in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Whether the vendor's proxy stands before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxied: Option<bool>,
}

/// The request to acquire a node; also the template of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeCreate {
    /// The account through which it is made.
    pub provider_id: ProviderId,
    /// Its name: an RFC 1123 label of up to 54 characters.
    pub name: String,
    /// The server type; the vendor's smallest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_type: Option<String>,
    /// The location; the first with capacity when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The image; the newest Debian when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What to try when there is no capacity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Fallback>,
    /// The ceiling per month, a decimal in the account's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price_monthly: Option<String>,
    /// The DNS name that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsWish>,
    /// The pool it goes into once it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolName>,
    /// The cockpit URL; may hold `{fqdn}`, `{ipv4}`, `{name}` and, of a stack, `{port}`. A stack whose
    /// blueprint names its cockpit needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cockpit_url: Option<String>,
    /// How it is prepared and checked; `base` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    /// Whether its cockpit URL must answer before it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_cockpit: Option<bool>,
    /// Seconds for which a node is kept that failed after the hand-over; 86,400 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_failed_for: Option<u32>,
    /// More cloud-config, merged with Hangar's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// More labels at the vendor.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether it gets an IPv4 address; true when absent. Without one it is reached over IPv6 alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<bool>,
    /// Firewalls at the vendor, by name or id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firewalls: Vec<String>,
    /// What a stack is made from: needed by kinds with blueprints, refused by all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<ComposeCreate>,
}

/// What a node shall become; exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeUpgrade {
    /// Another server type at the same location; its data stays, it is off for some minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_type: Option<String>,
    /// Another image: the node is laid anew, with fresh user data and host key. Its data is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Another version of a stack: its application services are made anew one after the other, and go
    /// back to the old version when one does not get healthy. Its data stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// How a node is destroyed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeDestroy {
    /// Whether what must not be lost is kept first; when that fails, nothing is taken away. When absent:
    /// true for a stack with data services that was ready once, false for everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
}

/// A command that shall run on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeExec {
    /// The program and its arguments, 1 to 100, together up to 32 KiB. No shell reads them; for one,
    /// give `["sh", "-c", "…"]`.
    #[serde(default)]
    pub argv: Vec<String>,
    /// In which service of a stack; the cockpit's, or the only one, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// After so many seconds it is killed: 1 to 3600; 60 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
}

/// The answer to an accepted acquisition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeAccepted {
    /// The node.
    pub node_id: NodeId,
    /// The job that makes it.
    pub job_id: JobId,
}

/// How fresh what is shown is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Freshness {
    /// When the vendor was asked last.
    pub observed_at: Option<Timestamp>,
    /// Whether that is longer ago than it should be.
    #[serde(default)]
    pub stale: bool,
    /// Why it is, where the reason is known.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A difference between what is recorded and what the vendor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Drift {
    /// The field.
    pub field: String,
    /// What Hangar recorded.
    pub recorded: String,
    /// What the vendor says.
    pub observed: String,
    /// What to do about it.
    pub guidance: String,
}

/// What [`Drift::observed`] says of a server that the vendor does not have any more.
pub const GONE: &str = "gone";

/// What [`Drift::field`] is when services of a stack do not serve.
pub const SERVICES: &str = "services";

/// What [`Drift::observed`] says of services that were found well once after they did not serve. What
/// ends again and again runs in between, so that they are looked at once more.
pub const RUNNING_AGAIN: &str = "running again";

impl Drift {
    /// Whether nobody can use the node, reached at `host`, because of it: it is off, being taken away
    /// or gone, some of it does not serve, or its host may be somebody else's by now.
    pub fn is_unfit(&self, host: Option<&str>) -> bool {
        let is_moved = matches!(self.field.as_str(), "ipv4" | "ipv6") && host == Some(self.recorded.as_str());
        is_moved || self.is_down() || self.is_broken()
    }

    /// Whether it was found that services of a stack do not serve.
    pub fn is_broken(&self) -> bool {
        self.field == SERVICES
    }

    /// Whether the server is off, being taken away, or gone.
    pub fn is_down(&self) -> bool {
        matches!(self.field.as_str(), "server" | "status") && self.observed != "running"
    }

    /// Whether the vendor does not have the server any more.
    pub fn is_gone(&self) -> bool {
        self.field == "server" && self.observed == GONE
    }

    /// Whether the server, or a service of a stack that has all of them, is off although it should
    /// run: starting it is what helps.
    pub fn is_powered_off(&self) -> bool {
        let says = |word: &str| self.observed.split([' ', ',']).any(|it| it == word);
        match self.field.as_str() {
            "status" => self.observed == "off",
            SERVICES => says("stopped") && !says("missing"),
            _ => false,
        }
    }
}

/// The newest job of a thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobRef {
    /// The job.
    pub id: JobId,
    /// Where it stands.
    pub status: JobStatus,
    /// Percent done.
    pub progress: u8,
}

/// A node as the API and the pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeView {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// The account through which it was made.
    pub provider_id: ProviderId,
    /// The account's kind, such as `hetzner`.
    pub provider: String,
    /// The account's name.
    pub provider_name: String,
    /// The vendor's id of the server.
    pub infra_id: Option<String>,
    /// Where it stands.
    pub state: NodeState,
    /// The state in which it failed.
    pub failed_stage: Option<NodeState>,
    /// The code of the failure.
    pub code: Option<Code>,
    /// The failure in one sentence.
    pub message: Option<String>,
    /// Whether something it left behind is still to be taken away.
    pub cleanup: Cleanup,
    /// Where it is reached.
    pub host: Option<String>,
    /// Its IPv4 address.
    pub ipv4: Option<String>,
    /// Its IPv6 address.
    pub ipv6: Option<String>,
    /// Its DNS name.
    pub fqdn: Option<String>,
    /// The vendor's id of the action that made it.
    pub action_id: Option<String>,
    /// Its type.
    pub server_type: Option<String>,
    /// Its location.
    pub location: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// Its price per month, a decimal.
    pub price_monthly: Option<String>,
    /// Its price per hour that has begun, a decimal.
    pub price_hourly: Option<String>,
    /// The currency of the prices.
    pub currency: Option<String>,
    /// How it is prepared and checked.
    pub profile: ProfileName,
    /// The version of its profile that ran on it last.
    pub profile_version: Option<u32>,
    /// What the last check found.
    pub health: Health,
    /// How fresh the vendor's truth is.
    pub freshness: Freshness,
    /// Where the vendor's truth differs.
    pub drift: Vec<Drift>,
    /// Its pool.
    pub pool: Option<PoolName>,
    /// Its cockpit.
    pub cockpit_url: Option<String>,
    /// The stack that it is, if it is one.
    #[serde(default)]
    pub stack: Option<StackView>,
    /// Its newest job.
    pub job: Option<JobRef>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Counts every change.
    pub version: i64,
    /// What can be done with it; empty in lists.
    pub actions: Vec<Action>,
}

/// What the acquire form offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcquireOptions {
    /// The accounts that can make nodes.
    pub providers: Vec<ProviderView>,
    /// The chosen or first connected account.
    pub selected: Option<ProviderId>,
    /// Its catalogue, or why there is none.
    pub catalog: Result<Catalog, String>,
    /// The pools there are.
    pub pools: Vec<PoolName>,
    /// A cockpit URL that fits this installation (the demo's).
    pub suggested_cockpit_url: Option<String>,
    /// The profile preselected here, and why not `base` if it is not.
    pub suggested_profile: ProfileName,
    /// The profiles there are.
    pub profiles: Vec<ProfileName>,
    /// The blueprints there are, where the chosen account's kind makes stacks from them.
    #[serde(default)]
    pub blueprints: Option<Vec<BlueprintView>>,
    /// What keeps every acquisition from being begun now.
    pub hold: Option<Hold>,
    /// The accounts that hold zones, with those.
    #[serde(default)]
    pub dns: Vec<DnsAccount>,
    /// A note on the profile, such as that SSH verification is off.
    pub profile_note: Option<String>,
}
