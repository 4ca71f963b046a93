//! Hetzner Cloud.
//!
//! `core` makes every call, `errors` is the one error table, `headers` and `wire` read answers
//! tolerantly; `board` and `poll` wait for what the vendor does, `find` finds a node's server,
//! `deed` does to it what may be done again. On these stand the verbs: `provision` (with `keys`,
//! `firewalls` and what is `known`), `destroy`, `power`, `change`; beside them `catalog`, and `dns`
//! with its `rrset`s and `adopt`. `labels` says what is ours, `schemas` what the adapter shows of
//! itself. Rule: the vendor's words stay in here.

mod account;
mod adopt;
mod board;
mod catalog;
mod change;
mod core;
mod deed;
mod destroy;
mod dns;
mod dns_delete;
mod errors;
mod find;
mod firewalls;
mod headers;
mod keys;
mod known;
mod labels;
mod poll;
mod power;
mod provision;
mod rrset;
mod schemas;
mod wire;
mod zone_servers;

pub use labels::label_errors;

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    code::Code,
    list::FieldError,
    provider::{Capability, OperationSchema},
};
use secrecy::SecretString;
use serde_json::Value;

use crate::{
    adapter::{Account, AccountAccess, ProviderAdapter},
    dns_query,
    error::{ProviderError, field_error},
    schema,
};

/// The adapter to Hetzner Cloud, and to whatever else speaks its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HetznerAdapter;

impl ProviderAdapter for HetznerAdapter {
    fn kind(&self) -> &'static str {
        "hetzner"
    }

    fn display_name(&self) -> &'static str {
        "Hetzner Cloud"
    }

    fn capabilities(&self) -> &'static [Capability] {
        use Capability as C;
        &[C::Provision, C::Destroy, C::Suspend, C::Resume, C::Upgrade, C::Rebuild, C::HealthCheck, C::Exec, C::Dns]
    }

    fn settings_schema(&self) -> Value {
        schemas::settings()
    }

    fn secret_schema(&self) -> Value {
        schemas::secret()
    }

    fn operations(&self) -> BTreeMap<String, OperationSchema> {
        schemas::operations()
    }

    fn validate(&self, settings: &Value, secret: Option<&Value>) -> Result<(), Vec<FieldError>> {
        let mut errors = schema::errors(&schemas::settings(), settings, "/settings");
        if errors.is_empty() {
            if let Err(message) = core::base_of(endpoint_of(settings)) {
                errors.push(field_error("/settings/endpoint", message));
            }
            if settings["ssh_user"].as_str().is_some_and(|user| !is_user(user)) {
                let message = "must be a user name: lower-case letters, digits, - and _, beginning with a letter or _";
                errors.push(field_error("/settings/ssh_user", message));
            }
            if settings["dns_servers"].as_str().is_some_and(|list| dns_query::server_list(list).is_err()) {
                let message = "must be name servers as host or host:port, separated by commas";
                errors.push(field_error("/settings/dns_servers", message));
            }
        }
        if let Some(secret) = secret {
            let refused = schema::errors(&schemas::secret(), secret, "/secret");
            if refused.is_empty() && token_of(secret).is_none() {
                let message = "must be a token as the vendor shows it, without spaces";
                errors.push(field_error("/secret/api_token", message));
            }
            errors.extend(refused);
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn open(&self, access: AccountAccess) -> Result<Arc<dyn Account>, ProviderError> {
        let unavailable = |message: &str| ProviderError::new(Code::ProviderAcquisitionUnavailable, message);
        let endpoint = core::base_of(endpoint_of(&access.settings))
            .map_err(|_| unavailable("The account's endpoint cannot be used."))?;
        let token = token_of(access.secret.expose())
            .ok_or_else(|| unavailable("The account has no secret that can be used."))?;
        let core = core::Core::new(&endpoint, &SecretString::from(token), access.instance, access.timeouts)?;
        let servers = dns_query::server_list(access.settings["dns_servers"].as_str().unwrap_or_default());
        let servers = servers.map_err(|_| unavailable("The account's name servers cannot be used."))?;
        Ok(Arc::new(account::HetznerAccount::new(core, &endpoint, servers)))
    }
}

fn endpoint_of(settings: &Value) -> &str {
    settings["endpoint"].as_str().unwrap_or(schemas::ENDPOINT)
}

/// The token without the spaces and line ends that come along when it is pasted.
fn token_of(secret: &Value) -> Option<&str> {
    let token = secret["api_token"].as_str()?.trim();
    (!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())).then_some(token)
}

fn is_user(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    first && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}
