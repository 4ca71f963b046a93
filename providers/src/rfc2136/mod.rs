//! Name servers that take dynamic updates (RFC 2136), signed by TSIG (RFC 8945).
//!
//! `session` makes every exchange, `errors` is the one table of response codes, `wire` turns our
//! names and contents into the protocol's; `marker` says what is ours, `standing` reads what there
//! is, `create`, `delete`, `adopt` and `transfer` are what is done with it. Rule: each change is one UPDATE
//! whose prerequisites are what was read, so that between reading and writing nothing can be lost.

mod account;
mod adopt;
mod check;
mod create;
mod delete;
mod errors;
mod marker;
mod schemas;
mod session;
mod standing;
#[cfg(test)]
mod tests;
mod transfer;
mod wire;

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    code::Code,
    list::FieldError,
    provider::{Capability, OperationSchema},
};
use hickory_proto::rr::{Name, TSigner, rdata::tsig::TsigAlgorithm};
use serde_json::Value;

use crate::{
    adapter::{Account, AccountAccess, ProviderAdapter},
    dns_query,
    error::{ProviderError, field_error},
    schema,
};

/// How far the clocks of the server and of this machine may differ (RFC 8945, section 10, as
/// recommended there).
const FUDGE_SECONDS: u16 = 300;

/// The adapter to name servers that take signed dynamic updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc2136Adapter;

impl ProviderAdapter for Rfc2136Adapter {
    fn kind(&self) -> &'static str {
        "rfc2136"
    }

    fn display_name(&self) -> &'static str {
        "DNS server (RFC 2136)"
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
        schema::dns_operations(0)
    }

    fn validate(&self, settings: &Value, secret: Option<&Value>) -> Result<(), Vec<FieldError>> {
        let mut errors = schema::errors(&schemas::settings(), settings, "/settings");
        if errors.is_empty() {
            errors.extend(Settings::read(settings).err().unwrap_or_default());
        }
        if let Some(secret) = secret {
            let refused = schema::errors(&schemas::secret(), secret, "/secret");
            if refused.is_empty() && key_of(secret).is_none() {
                errors.push(field_error("/secret/key", "must be the key's secret in base64, as tsig-keygen prints it"));
            }
            errors.extend(refused);
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn open(&self, access: AccountAccess) -> Result<Arc<dyn Account>, ProviderError> {
        let unavailable = |message: &str| ProviderError::new(Code::ProviderAcquisitionUnavailable, message);
        let settings =
            Settings::read(&access.settings).map_err(|_| unavailable("The account's settings cannot be used."))?;
        let key =
            key_of(access.secret.expose()).ok_or_else(|| unavailable("The account has no secret that can be used."))?;
        let signer = settings
            .signer(key)
            .map_err(|source| unavailable("The account's secret cannot be used.").with_source(source))?;
        Ok(Arc::new(account::Rfc2136Account::new(settings, signer, access.instance, access.timeouts)))
    }
}

/// The settings, read.
#[derive(Debug, Clone)]
struct Settings {
    /// Host and port of the primary server.
    host: String,
    port: u16,
    /// The zone, in lower case and without a dot at the end.
    zone: String,
    /// The zone as the protocol has it.
    origin: Name,
    key_name: Name,
    algorithm: &'static str,
}

impl Settings {
    fn read(settings: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let text = |name: &str| settings[name].as_str().unwrap_or_default().trim();
        let (host, port) = dns_query::host_and_port(text("server"));
        if port == 0 || !is_host(&host) {
            errors.push(field_error("/settings/server", "must be a host or host:port, such as ns1.example.org:53"));
        }
        let mut name_at = |pointer: &str, text: &str| {
            let name = wire::name(text).filter(|name| !name.is_root());
            if name.is_none() {
                errors.push(field_error(pointer, "must be a domain name such as example.org"));
            }
            name
        };
        let zone = text("zone").trim_end_matches('.').to_ascii_lowercase();
        let origin = name_at("/settings/zone", &zone);
        let key_name = name_at("/settings/key_name", text("key_name"));
        let wanted = settings["algorithm"].as_str().unwrap_or(schemas::ALGORITHMS[0]);
        let algorithm = schemas::ALGORITHMS.into_iter().find(|known| *known == wanted);
        if algorithm.is_none() {
            let known = schemas::ALGORITHMS.join(" or ");
            errors.push(field_error("/settings/algorithm", format!("must be {known}")));
        }
        match (origin, key_name, algorithm) {
            (Some(origin), Some(key_name), Some(algorithm)) if errors.is_empty() => {
                Ok(Self { host, port, zone, origin, key_name, algorithm })
            }
            _ => Err(errors),
        }
    }

    fn signer(&self, key: Vec<u8>) -> Result<TSigner, hickory_proto::dnssec::DnsSecError> {
        let algorithm =
            if self.algorithm == "hmac-sha512" { TsigAlgorithm::HmacSha512 } else { TsigAlgorithm::HmacSha256 };
        TSigner::new(key, algorithm, self.key_name.clone(), FUDGE_SECONDS)
    }
}

/// An address, or a name whose labels are what hosts may have.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
    };
    host.parse::<std::net::IpAddr>().is_ok() || (host.len() <= 253 && host.split('.').all(label))
}

/// The key's bytes, without the quotes and spaces that come along when it is pasted.
fn key_of(secret: &Value) -> Option<Vec<u8>> {
    let text = secret["key"].as_str()?.trim().trim_end_matches(';').trim_matches('"');
    STANDARD.decode(text).ok().filter(|key| !key.is_empty())
}
