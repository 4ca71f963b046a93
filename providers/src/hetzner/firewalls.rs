//! The firewalls that an order names. Rule: the vendor takes ids only, people know names.

use domain::code::Code;
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::{core::Core, wire::id_of};
use crate::error::ProviderError;

/// The entries of an order for these firewalls, which are names or ids.
pub(super) async fn entries(core: &Core, wanted: &[String]) -> Result<Vec<Value>, ProviderError> {
    let ids = try_join_all(wanted.iter().map(|one| id(core, one))).await?;
    Ok(ids.into_iter().map(|id| json!({"firewall": id})).collect())
}

async fn id(core: &Core, wanted: &str) -> Result<u64, ProviderError> {
    if let Ok(id) = wanted.parse() {
        return Ok(id);
    }
    let listed = core.list("/firewalls", "firewalls", &[("name", wanted)]).await?;
    let named = listed.iter().find(|firewall| firewall["name"] == wanted);
    named.and_then(|firewall| id_of(&firewall["id"])?.parse().ok()).ok_or_else(|| {
        let message = "The project has no firewall of a name that was asked for.";
        ProviderError::new(Code::ProviderInvalidRequest, message)
    })
}
