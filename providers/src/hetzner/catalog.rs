//! The catalogue: types, locations and images, with the price of each pair. Rule: entries that
//! cannot be read are left out, and a list that cannot be read is an error.

use domain::{code::Code, provider::Catalog};
use futures::future::{join, try_join3};

use super::{core::Core, errors::Scope, wire};
use crate::{budget::Class, error::ProviderError};

/// What the vendor bills in unless the account's price list says otherwise.
const CURRENCY: &str = "EUR";

pub(super) async fn read(core: &Core) -> Result<Catalog, ProviderError> {
    let lists = try_join3(
        core.list(Class::Background, "/server_types", "server_types", &[]),
        core.list(Class::Background, "/locations", "locations", &[]),
        core.list(Class::Background, "/images", "images", &[("type", "system"), ("status", "available")]),
    );
    let (lists, currency) = join(lists, currency(core)).await;
    let (types, locations, images) = lists?;
    Ok(Catalog {
        server_types: types.iter().filter_map(wire::server_type).collect(),
        locations: locations.iter().filter_map(wire::location).collect(),
        images: images.iter().filter_map(wire::image).collect(),
        currency: currency?,
        read_at: None,
    })
}

/// Only the price list names the currency, and not every implementation has one.
async fn currency(core: &Core) -> Result<String, ProviderError> {
    match core.get(Class::Background, "/pricing", &[], Scope::Collection).await {
        Ok(body) => Ok(body["pricing"]["currency"].as_str().unwrap_or(CURRENCY).to_owned()),
        Err(error) if matches!(error.code, Code::ProviderUnreachable | Code::ProviderRateLimited) => Err(error),
        Err(_) => Ok(CURRENCY.to_owned()),
    }
}
