//! The firewalls that an order names. Rule: the vendor takes ids only, people know names.

use domain::code::Code;
use serde_json::{Value, json};

use super::{core::Core, wire::id_of};
use crate::{budget::Class, error::ProviderError};

/// The entries of an order for these firewalls, which are names or ids.
pub(super) async fn entries(core: &Core, wanted: &[String]) -> Result<Vec<Value>, ProviderError> {
    let mut entries = Vec::new();
    for one in wanted {
        // The vendor wants ids as numbers.
        let id: u64 = match one.parse() {
            Ok(id) => id,
            Err(_) => core.known.firewall(one, by_name(core, one)).await?.parse().map_err(|_| missing(one))?,
        };
        entries.push(json!({"firewall": id}));
    }
    Ok(entries)
}

async fn by_name(core: &Core, wanted: &str) -> Result<String, ProviderError> {
    let listed = core.list(Class::Make, "/firewalls", "firewalls", &[("name", wanted)]).await?;
    // The filter is only a help: whoever ignores it is not believed.
    let named = listed.iter().find(|firewall| firewall["name"] == wanted);
    named.and_then(|firewall| id_of(&firewall["id"])).ok_or_else(|| missing(wanted))
}

fn missing(name: &str) -> ProviderError {
    let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    let message = format!("The project has no firewall {name:?}; nothing was made.");
    ProviderError::new(Code::ProviderInvalidRequest, message)
}
