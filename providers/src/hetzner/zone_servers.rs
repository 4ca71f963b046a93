//! Which name servers the vendor has given a zone. Rule: they are remembered for some minutes, since
//! whoever waits for a name asks each second, and each call would be one of the project's.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    core::{Core, Turn},
    dns::{zone_error, zone_path},
    errors::Scope,
};
use crate::{budget::Class, error::ProviderError};

/// For how long a zone's name servers are remembered.
const REMEMBERED: Duration = Duration::from_secs(300);

/// The name servers of the zones of one account.
#[derive(Debug, Default)]
pub(super) struct ZoneServers(Mutex<BTreeMap<String, (Instant, Vec<String>)>>);

impl ZoneServers {
    /// Those of one zone; asked for by `until`.
    pub(super) async fn of(&self, core: &Core, zone: &str, until: Instant) -> Result<Vec<String>, ProviderError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(zone).cloned();
        if let Some((told, servers)) = known
            && told.elapsed() < REMEMBERED
        {
            return Ok(servers);
        }
        let answer = core.get(Turn::by(Class::Poll, until), &zone_path(zone)?, &[], Scope::Resource).await;
        let answer = answer.map_err(|error| zone_error(zone, error))?;
        let assigned = answer["zone"]["authoritative_nameservers"]["assigned"].as_array().cloned().unwrap_or_default();
        let servers: Vec<_> = assigned.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect();
        if !servers.is_empty() {
            let entry = (Instant::now(), servers.clone());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(zone.to_owned(), entry);
        }
        Ok(servers)
    }
}
