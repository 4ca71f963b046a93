//! The catalogue: types, locations and images, with the price of each pair. Rule: entries that
//! cannot be read are left out, and a list that cannot be read is an error.

use domain::{code::Code, provider::Catalog};
use futures::future::{join, try_join3};
use tokio::time::Instant;

use super::{
    core::{Core, Turn},
    errors::Scope,
    wire,
};
use crate::{budget::Class, error::ProviderError};

/// What the vendor bills in unless the account's price list says otherwise.
const CURRENCY: &str = "EUR";

/// Every call has its turn not later than `until`.
pub(super) async fn read(core: &Core, until: Instant) -> Result<Catalog, ProviderError> {
    let turn = Turn::by(Class::Background, until);
    let lists = try_join3(
        core.list(turn, "/server_types", "server_types", &[]),
        core.list(turn, "/locations", "locations", &[]),
        core.list(turn, "/images", "images", &[("type", "system"), ("status", "available")]),
    );
    let (lists, currency) = join(lists, currency(core, turn)).await;
    let (types, locations, images) = lists?;
    Ok(Catalog {
        server_types: types.iter().filter_map(wire::server_type).collect(),
        locations: locations.iter().filter_map(wire::location).collect(),
        images: images.iter().filter_map(wire::image).collect(),
        currency: currency?,
        read_at: None,
        stale: None,
    })
}

/// Only the price list names the currency, and not every implementation has one.
async fn currency(core: &Core, turn: Turn) -> Result<String, ProviderError> {
    match core.get(turn, "/pricing", &[], Scope::Collection).await {
        Ok(body) => Ok(body["pricing"]["currency"].as_str().unwrap_or(CURRENCY).to_owned()),
        Err(error) if matches!(error.code, Code::ProviderUnreachable | Code::ProviderRateLimited) => Err(error),
        Err(_) => Ok(CURRENCY.to_owned()),
    }
}
