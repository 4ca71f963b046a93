//! A kind of account, and an account of it. Rule: an adapter holds no state; an account holds one
//! credential and never shows it.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    blueprint::BlueprintDefinition,
    list::FieldError,
    provider::{CallBudget, Capability, Catalog, OperationSchema},
};
use secrecy::zeroize::Zeroize as _;
use serde_json::Value;

use crate::{dns::DnsProvider, error::ProviderError, infra::InfraProvider, ssh::ManagedKey};

/// A kind of account. A new vendor is one of these and one line in the registry.
pub trait ProviderAdapter: Send + Sync {
    /// The stable name, such as `hetzner`.
    fn kind(&self) -> &'static str;

    /// The name for people.
    fn display_name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> &'static [Capability];

    /// JSON Schema of the settings; the connect form is made from it.
    fn settings_schema(&self) -> Value;

    /// JSON Schema of the secret; its fields are `writeOnly`.
    fn secret_schema(&self) -> Value;

    /// Input and output of each operation as JSON Schema.
    fn operations(&self) -> BTreeMap<String, OperationSchema>;

    /// Checks settings and, where given, a secret, without asking the vendor.
    ///
    /// # Errors
    /// Every field that cannot be used, with pointers such as `/settings/endpoint` and
    /// `/secret/api_token`.
    fn validate(&self, settings: &Value, secret: Option<&Value>) -> Result<(), Vec<FieldError>>;

    /// Whether its machines are made from blueprints.
    fn has_blueprints(&self) -> bool {
        false
    }

    /// Checks the file of a blueprint, without asking the vendor: after
    /// [`BlueprintDefinition::check`], before it is stored.
    ///
    /// # Errors
    /// Every field that cannot be used, with pointers such as `/file` and `/services/0/name`.
    fn blueprint_check(&self, _blueprint: &BlueprintDefinition) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    /// What of the machine behind an account each stack of a blueprint takes for itself alone, such as
    /// `port 8080/tcp`: two that claim the same cannot stand there side by side.
    fn blueprint_claims(&self, _blueprint: &BlueprintDefinition) -> Vec<String> {
        Vec::new()
    }

    /// Opens an account; no call is made.
    ///
    /// # Errors
    /// `PROVIDER_ACQUISITION_UNAVAILABLE` when settings or secret cannot be used.
    fn open(&self, account: AccountAccess) -> Result<Arc<dyn Account>, ProviderError>;
}

/// What is needed to open an account.
#[derive(Debug)]
pub struct AccountAccess {
    /// As the settings schema says.
    pub settings: Value,
    /// As the secret schema says.
    pub secret: AccountSecret,
    /// This installation's id, which goes into labels: up to 63 of `[A-Za-z0-9._-]`,
    /// alphanumeric at both ends.
    pub instance: String,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// A folder of this process's own for what is handed to the vendor's tools; it may be emptied
    /// between two calls. Made 0700 when it is first needed.
    pub work_dir: PathBuf,
}

/// A secret as its schema says. It is never printed, and wiped when dropped.
pub struct AccountSecret(Value);

impl AccountSecret {
    /// Wraps a secret.
    pub fn new(secret: Value) -> Self {
        Self(secret)
    }

    /// The secret itself.
    pub fn expose(&self) -> &Value {
        &self.0
    }
}

impl fmt::Debug for AccountSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountSecret(…)")
    }
}

impl Drop for AccountSecret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        _ => {}
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// For one read, and for a whole check, catalogue or status.
    pub read: Duration,
    /// For one call that changes something.
    pub write: Duration,
    /// For the vendor to finish what it accepted: a create, a start, a delete.
    pub action: Duration,
    /// Before the first question whether it is finished.
    pub poll_first: Duration,
    /// Between such questions at most, while the vendor does not limit calls.
    pub poll_most: Duration,
    /// For how long an undo watches out for a create whose answer never came and that may still
    /// be carried out.
    pub late_create: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(10),
            write: Duration::from_secs(30),
            action: Duration::from_secs(600),
            poll_first: Duration::from_millis(200),
            poll_most: Duration::from_secs(2),
            late_create: Duration::from_secs(15),
        }
    }
}

/// An account at a vendor.
#[async_trait]
pub trait Account: Send + Sync {
    /// Asks the vendor whether the credential works, within [`Timeouts::read`]. With a managed
    /// key it also registers that key or labels it anew, which proves that the credential may
    /// write.
    ///
    /// # Errors
    /// `PROVIDER_CREDENTIAL_REJECTED`, `PROVIDER_TOKEN_READONLY`, or another `PROVIDER_*`;
    /// `PROVIDER_RATE_LIMITED` tells when to come again, where other work is in line before it.
    async fn check(&self, managed_key: Option<&ManagedKey>) -> Result<CheckReport, ProviderError>;

    /// What can be had, with the price of each pair, within [`Timeouts::read`].
    ///
    /// # Errors
    /// `PROVIDER_*`.
    async fn catalog(&self) -> Result<Catalog, ProviderError>;

    /// What the vendor last said of the budget of calls that everybody with this credential
    /// shares; `None` where it has none or was not asked yet.
    fn budget(&self) -> Option<CallBudget>;

    /// The life cycle of machines, where the vendor has them.
    fn infra(&self) -> Option<&dyn InfraProvider>;

    /// DNS records, where the vendor has them.
    fn dns(&self) -> Option<&dyn DnsProvider> {
        None
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// One sentence for people, or two.
    pub message: String,
    /// Servers that the credential sees.
    pub server_count: Option<u64>,
    /// Those of them that carry this installation's labels.
    pub owned_count: Option<u64>,
    /// When the credential expires, as the vendor writes it (RFC 3339), where it says so.
    pub expires_at: Option<String>,
}
