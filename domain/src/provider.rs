//! Provider accounts: their standing, capabilities, catalogue and actions. Four different things
//! are called "provider" in systems like this one; here the word means a connected account.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    access::Principal,
    action::{Action, ActionSpec, Verdict, assemble},
    code::Code,
    id::ProviderId,
    spending::Hold,
    state::words,
    time::Timestamp,
};

words! {
    /// How an account stands, by a live check only.
    ProviderStatus {
        /// The last live check succeeded.
        Connected = "connected",
        /// The last live check failed: refused, read-only or unreachable.
        Degraded = "degraded",
        /// Never connected.
        Disconnected = "disconnected",
    }
}

words! {
    /// What an adapter can do.
    Capability {
        /// Makes servers.
        Provision = "provision",
        /// Takes servers away.
        Destroy = "destroy",
        /// Stops servers.
        Suspend = "suspend",
        /// Starts stopped servers.
        Resume = "resume",
        /// Changes type or image.
        Upgrade = "upgrade",
        /// Lays servers anew.
        Rebuild = "rebuild",
        /// Checks servers.
        HealthCheck = "health_check",
        /// Runs commands.
        Exec = "exec",
        /// Makes and deletes DNS records.
        Dns = "dns",
    }
}

/// A kind of account that Hangar knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProviderKindView {
    /// The stable name, such as `hetzner`.
    pub kind: String,
    /// The name for people.
    pub display_name: String,
    /// What its adapter can do.
    pub capabilities: Vec<Capability>,
    /// Whether its machines are made from blueprints.
    #[serde(default)]
    pub has_blueprints: bool,
    /// JSON Schema of the settings.
    pub settings_schema: Value,
    /// JSON Schema of the secret.
    pub secret_schema: Value,
    /// The adapter contract: each operation's input and output as JSON Schema.
    pub operations: BTreeMap<String, OperationSchema>,
}

/// Input and output of one operation of an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationSchema {
    /// JSON Schema of what goes in.
    pub input_schema: Value,
    /// JSON Schema of what comes out.
    pub output_schema: Value,
}

/// The request to connect an account.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProviderCreate {
    /// The kind, such as `hetzner`.
    pub kind: String,
    /// What people call the account; unique.
    pub name: String,
    /// As the kind's settings schema says.
    #[serde(default = "empty_object")]
    pub settings: Value,
    /// As the kind's secret schema says. Never returned.
    #[serde(default = "empty_object")]
    pub secret: Value,
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

impl std::fmt::Debug for ProviderCreate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderCreate").field("kind", &self.kind).field("name", &self.name).finish_non_exhaustive()
    }
}

/// An account as the API and the pages show it. The secret is never part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProviderView {
    /// Its id.
    pub id: ProviderId,
    /// The kind.
    pub kind: String,
    /// The kind's name for people.
    pub display_name: String,
    /// What people call it.
    pub name: String,
    /// How it stands.
    pub status: ProviderStatus,
    /// What its adapter can do.
    pub capabilities: Vec<Capability>,
    /// The settings, as one JSON text per key.
    pub settings: BTreeMap<String, String>,
    /// Whether a secret is stored.
    pub secret_configured: bool,
    /// The code of the last failed check.
    pub last_code: Option<Code>,
    /// The last check in one sentence.
    pub last_message: Option<String>,
    /// What to do, in order.
    pub guidance: Vec<String>,
    /// When a check first succeeded.
    pub connected_at: Option<Timestamp>,
    /// When it was checked last.
    pub last_checked_at: Option<Timestamp>,
    /// When its credential ends, where the vendor says so.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// Live nodes made through it.
    pub nodes: u32,
    /// What the vendor last said of its budget of calls; `None` where it has none, was not asked
    /// since the start, and in lists.
    #[serde(default)]
    pub budget: Option<CallBudget>,
    /// Machines at the vendor that carry this installation's labels, when it was last observed.
    #[serde(default)]
    pub owned: Option<u32>,
    /// When its machines were last observed.
    #[serde(default)]
    pub observed_at: Option<Timestamp>,
    /// Failures in a row that stop it from being asked for more machines.
    #[serde(default)]
    pub breaker: Option<Breaker>,
    /// Counts every change.
    pub version: i64,
    /// What can be done with it; empty in lists.
    pub actions: Vec<Action>,
}

/// What is left of the calls that everybody with the same credential shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallBudget {
    /// The most that there can be at once.
    pub limit: u32,
    /// What was left when the vendor answered last.
    pub remaining: u32,
    /// Seconds until it is full again, counted from now.
    pub full_in_seconds: u32,
}

/// Stops an account from being asked the same again and again in vain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Breaker {
    /// Acquisitions that failed in a row, each for a reason that does not pass by itself.
    pub failures: u32,
    /// The code of the last one.
    pub code: Option<Code>,
    /// Until when no further acquisition is begun; `None` while there were too few failures.
    pub open_until: Option<Timestamp>,
}

impl Breaker {
    /// The gate that it is for whatever asks for a new server at `now`.
    pub fn verdict(breaker: Option<&Self>, now: Timestamp) -> Verdict {
        match breaker.filter(|b| b.open_until.is_some_and(|until| until > now)) {
            None => Verdict::pass("account-breaker", "No row of failures holds it up."),
            Some(breaker) => Verdict::blocked(
                "account-breaker",
                format!("{} acquisitions in a row failed{}.", breaker.failures, breaker.words()),
                "What fails the same way every time is not asked for again and again: vendors block accounts for that.",
                "Mend the cause, then choose Try again now; without that it goes on by itself later.",
                "Yes: nothing was asked of the vendor.",
            ),
        }
    }

    /// The last failure, as the end of a sentence.
    fn words(&self) -> String {
        self.code.map(|code| format!(", the last one with {code}")).unwrap_or_default()
    }
}

/// What the page of the accounts shows: the accounts, and the kinds never connected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProvidersPage {
    /// The connected accounts.
    pub accounts: Vec<ProviderView>,
    /// Every known kind.
    pub kinds: Vec<ProviderKindView>,
    /// The kind preselected for new accounts.
    pub preselected_kind: String,
    /// In the demo: the settings and secret that work, one for each simulated kind.
    pub demo_hints: Vec<DemoHint>,
}

/// What a newcomer types in the demo; the connect form has it filled in already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoHint {
    /// The kind of the simulated vendor.
    pub kind: String,
    /// Settings that reach the simulated vendor.
    pub settings: BTreeMap<String, String>,
    /// A secret that it accepts.
    pub secret: BTreeMap<String, String>,
}

/// What can be had from an account, with the price of each pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Catalog {
    /// The server types.
    pub server_types: Vec<ServerType>,
    /// The locations.
    pub locations: Vec<Location>,
    /// The images.
    pub images: Vec<Image>,
    /// The currency of every price.
    pub currency: String,
    /// When it was read from the vendor; `None` straight from an adapter.
    #[serde(default)]
    pub read_at: Option<Timestamp>,
    /// Why it is not newer, where the vendor could not be asked again.
    #[serde(default)]
    pub stale: Option<String>,
}

/// A server type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerType {
    /// The name that orders use.
    pub name: String,
    /// The vendor's description.
    pub description: String,
    /// Virtual cores.
    pub cores: u32,
    /// Memory in GB, a decimal.
    pub memory_gb: String,
    /// Disk in GB.
    pub disk_gb: u32,
    /// `x86` or `arm`, or what the vendor calls it.
    pub architecture: String,
    /// Where it can be had.
    pub locations: Vec<TypeLocation>,
}

/// A server type at a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TypeLocation {
    /// The location's name.
    pub location: String,
    /// The vendor's indication of capacity; a create may still be refused.
    pub available: bool,
    /// Whether the vendor phases it out here.
    pub deprecated: bool,
    /// When it can no longer be ordered here, as the vendor writes it (RFC 3339), where it says so.
    #[serde(default)]
    pub unavailable_after: Option<String>,
    /// Whether the vendor recommends it here.
    #[serde(default)]
    pub recommended: bool,
    /// Gross price per month, a decimal.
    pub price_monthly: String,
    /// Gross price per hour, a decimal.
    pub price_hourly: String,
}

/// A location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Location {
    /// The name that orders use.
    pub name: String,
    /// The vendor's description.
    pub description: String,
    /// The city.
    pub city: String,
    /// ISO 3166-1 country code.
    pub country: String,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Image {
    /// The name that orders use.
    pub name: String,
    /// The vendor's description.
    pub description: String,
    /// The architecture it runs on.
    pub architecture: String,
}

/// What the gates of an account's actions look at.
#[derive(Debug, Clone)]
pub struct ProviderFacts {
    /// The account.
    pub id: ProviderId,
    /// How it stands.
    pub status: ProviderStatus,
    /// What its adapter can do.
    pub capabilities: Vec<Capability>,
    /// Whether accounts of its kind have a secret.
    pub has_secret: bool,
    /// Nodes through it that are not destroyed.
    pub live_nodes: u32,
    /// Records through it that are not deleted.
    pub live_records: u32,
    /// Its failures in a row, if there are any.
    pub breaker: Option<Breaker>,
    /// What keeps every account from acquiring, if anything does.
    pub hold: Option<Hold>,
    /// The present time.
    pub now: Timestamp,
}

const fn spec(
    identity: &'static str,
    method: &'static str,
    permission: &'static str,
    label: &'static str,
    description: &'static str,
) -> ActionSpec {
    ActionSpec { identity, alias: None, label, description, permission, method }
}

const PROVIDER_ACTIONS: &[ActionSpec] = &[
    spec("create-server", "POST", "hangar.node.create", "Acquire node", "Acquires a node through this account."),
    spec(
        "create-dns-record",
        "POST",
        "hangar.dns.create",
        "Create DNS record",
        "Creates a record in one of its zones.",
    ),
    spec(
        "check-connection",
        "POST",
        "hangar.provider.check",
        "Check connection",
        "Asks the vendor now whether the credential works.",
    ),
    spec(
        "replace-secret",
        "PUT",
        "hangar.provider.secret",
        "Replace secret",
        "Tries a new secret and keeps it if the vendor accepts it.",
    ),
    spec(
        "reset-breaker",
        "POST",
        "hangar.provider.reset",
        "Try again now",
        "Lets the account be asked for machines again, whatever failed before.",
    ),
    spec("disconnect", "DELETE", "hangar.provider.disconnect", "Disconnect", "Removes the account and its secret."),
    spec(
        "record-history",
        "GET",
        "hangar.provider.read",
        "Record history",
        "Shows everything that happened to the account.",
    ),
];

/// Every action of an account for `principal`.
pub fn provider_actions(facts: &ProviderFacts, principal: &Principal) -> Vec<Action> {
    let connected = || match facts.status {
        ProviderStatus::Connected => Verdict::pass("provider-connected", "The account is connected."),
        other => Verdict::blocked(
            "provider-connected",
            format!("The account is {other}."),
            "Nodes are acquired only through an account whose credential works.",
            "Follow the account's guidance: replace the secret or check the connection.",
            "Yes: nothing was changed.",
        ),
    };
    let offers = |wanted: Capability| {
        if facts.capabilities.contains(&wanted) {
            Verdict::pass("provider-capability", format!("The account's adapter offers {wanted}."))
        } else {
            Verdict::blocked(
                "provider-capability",
                format!("The account's adapter does not offer {wanted}."),
                "Hangar offers only what the adapter of the account declares.",
                "Use an account whose kind offers it.",
                "No: the answer stays the same until the adapter offers it.",
            )
        }
    };
    let unused = || {
        if facts.live_nodes == 0 && facts.live_records == 0 {
            Verdict::pass("no-live-resources", "Nothing that Hangar made through it is left.")
        } else {
            Verdict::blocked(
                "no-live-resources",
                format!("{} nodes and {} DNS records were made through it.", facts.live_nodes, facts.live_records),
                "An account whose resources still bill is never forgotten.",
                "Destroy its nodes and records first.",
                "Yes: nothing was changed.",
            )
        }
    };
    let tripped = || Breaker::verdict(facts.breaker.as_ref(), facts.now);
    let broken = || {
        if facts.breaker.is_some() {
            Verdict::pass("account-breaker", "There are failures to forget.")
        } else {
            Verdict::blocked(
                "account-breaker",
                "No acquisition through it failed lately.",
                "There is nothing to reset.",
                "Nothing to do.",
                "Yes: nothing was changed.",
            )
        }
    };
    let secret = || {
        if facts.has_secret {
            Verdict::pass("account-secret", "Accounts of its kind have a secret.")
        } else {
            Verdict::blocked(
                "account-secret",
                "Accounts of its kind have no secret.",
                "There is nothing to replace: the account is reached by the rights of the one that Hangar runs as.",
                "Nothing to do; what reaches the vendor is set up where Hangar runs.",
                "No: the answer stays the same.",
            )
        }
    };
    PROVIDER_ACTIONS
        .iter()
        .map(|spec| {
            let id = &facts.id;
            let (path, gates) = match spec.identity {
                "create-server" => (
                    "/api/v1/nodes".to_owned(),
                    vec![offers(Capability::Provision), connected(), tripped(), Hold::verdict(facts.hold.as_ref())],
                ),
                "create-dns-record" => ("/api/v1/dns-records".to_owned(), vec![offers(Capability::Dns), connected()]),
                "check-connection" => (format!("/api/v1/providers/{id}/check"), vec![]),
                "replace-secret" => (format!("/api/v1/providers/{id}/secret"), vec![secret()]),
                "reset-breaker" => (format!("/api/v1/providers/{id}/actions/reset-breaker"), vec![broken()]),
                "disconnect" => (format!("/api/v1/providers/{id}"), vec![unused()]),
                _ => (format!("/api/v1/providers/{id}/history"), vec![]),
            };
            let mut verdicts = vec![Verdict::permission(spec, principal, principal.is_admin())];
            verdicts.extend(gates);
            assemble(spec, path, verdicts)
        })
        .collect()
}
