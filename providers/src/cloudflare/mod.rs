//! Cloudflare, for DNS.
//!
//! `core` makes every call, `limit` keeps within the vendor's limit of calls, `errors` is the one
//! error table, `wire` reads answers tolerantly; `zones`, `create` and `delete` are what is done
//! with them, `marker` says what is ours, `schemas` what the adapter shows of itself. Rule: the
//! vendor's words stay in here, and a record is never replaced whole: PUT resets what it does not
//! name.

mod account;
mod adopt;
mod check;
mod core;
mod create;
mod delete;
mod errors;
mod limit;
mod marker;
mod schemas;
mod wire;
mod zones;

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

/// The adapter to Cloudflare's DNS, and to whatever else speaks its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloudflareAdapter;

impl ProviderAdapter for CloudflareAdapter {
    fn kind(&self) -> &'static str {
        "cloudflare"
    }

    fn display_name(&self) -> &'static str {
        "Cloudflare"
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::Dns]
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
            for field in ["zone_id", "account_id"] {
                if settings[field].as_str().is_some_and(|id| !wire::is_id(id.trim())) {
                    let message = "must be an id as the vendor shows it: 32 digits and letters from a to f";
                    errors.push(field_error(format!("/settings/{field}"), message));
                }
            }
            if settings["zone_name"].is_string() && !settings["zone_id"].is_string() {
                errors.push(field_error("/settings/zone_name", "is of use only together with zone_id"));
            }
            if let Some(servers) = settings["dns_servers"].as_str()
                && let Err(message) = dns_query::server_list(servers)
            {
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
        let settings = &access.settings;
        let endpoint =
            core::base_of(endpoint_of(settings)).map_err(|_| unavailable("The account's endpoint cannot be used."))?;
        let token = token_of(access.secret.expose())
            .ok_or_else(|| unavailable("The account has no secret that can be used."))?;
        let text = |field: &str| settings[field].as_str().map(str::trim).filter(|it| !it.is_empty());
        let id = |field: &str| text(field).filter(|id| wire::is_id(id)).map(str::to_owned);
        let servers = dns_query::server_list(text("dns_servers").unwrap_or_default())
            .map_err(|_| unavailable("The account's name servers cannot be used."))?;
        let core = core::Core::new(&endpoint, &SecretString::from(token), access.timeouts)?;
        Ok(Arc::new(account::CloudflareAccount {
            core,
            marker: marker::Marker::new(&access.instance),
            zone_id: id("zone_id"),
            zone_name: text("zone_name").map(|name| name.trim_end_matches('.').to_ascii_lowercase()),
            account_id: id("account_id"),
            dns_servers: servers,
            plain: endpoint.scheme() == "http" && !core::is_loopback(&endpoint),
            known: zones::Known::default(),
        }))
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
