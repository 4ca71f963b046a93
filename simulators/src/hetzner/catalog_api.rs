//! The catalogue as the API tells it. Rule: the fields of late 2026 and no others: neither server
//! types nor images say `deprecated`; what is going says `deprecation`, types per location.

use serde_json::{Value, json};

use super::{
    catalog::{self, AS_OF, LOCATIONS, Location, Price, SERVER_TYPES, ServerType},
    query::page,
    reply::Reply,
    route::Call,
    world::World,
};

/// What the catalogue says of a type at a location.
pub(super) struct Offer {
    pub(super) available: bool,
    pub(super) recommended: bool,
    pub(super) deprecation: Option<(String, String)>,
}

impl Offer {
    /// Whether it is past the day after which it cannot be had.
    pub(super) fn is_gone(&self) -> bool {
        // All are UTC and written alike, so that they compare as text.
        self.deprecation.as_ref().is_some_and(|(_, gone)| gone.as_str() <= AS_OF)
    }
}

/// The offer of a type at a location, tests' changes included; none where it is not sold at all.
pub(super) fn offer(world: &World, it: &ServerType, location: &str) -> Option<Offer> {
    let price = it.prices.iter().find(|price| price.location == location)?;
    let change = world.saved.offers.iter().find(|change| change.server_type == it.name && change.location == location);
    let built_in = price.deprecation.or(it.deprecation).map(|(from, to)| (from.to_owned(), to.to_owned()));
    Some(Offer {
        available: change.and_then(|change| change.available).unwrap_or(price.available),
        recommended: change.and_then(|change| change.recommended).unwrap_or(price.recommended),
        deprecation: change.and_then(|change| change.deprecation.clone()).or(built_in),
    })
}

/// Ten-thousandths of a euro as the vendor writes money.
fn net(amount: u64) -> String {
    format!("{}.{:04}000000", amount / 10_000, amount % 10_000)
}

/// The same with 19 % of tax.
fn gross(amount: u64) -> String {
    let millionths = amount * 119;
    format!("{}.{:06}0000000000", millionths / 1_000_000, millionths % 1_000_000)
}

fn money(amount: u64) -> Value {
    json!({"net": net(amount), "gross": gross(amount)})
}

/// Bytes of traffic that a month includes.
pub(super) fn included_traffic(location: &str) -> u64 {
    const TB: u64 = 1 << 40;
    match location {
        "ash" | "hil" => TB,
        "sin" => TB / 2,
        _ => 20 * TB,
    }
}

fn price(price: &Price) -> Value {
    json!({
        "location": price.location,
        "price_hourly": money(price.hourly),
        "price_monthly": money(price.monthly),
        "included_traffic": included_traffic(price.location),
        "price_per_tb_traffic": money(10_000),
    })
}

pub(super) fn deprecation(of: Option<(&str, &str)>) -> Value {
    of.map_or(
        Value::Null,
        |(announced, unavailable_after)| json!({"announced": announced, "unavailable_after": unavailable_after}),
    )
}

/// A server type in full.
pub(super) fn server_type_json(world: &World, it: &ServerType) -> Value {
    json!({
        "id": it.id,
        "name": it.name,
        "description": it.description.to_uppercase(),
        "category": it.category,
        "cores": it.cores,
        "memory": f64::from(it.memory),
        "disk": it.disk,
        "storage_type": "local",
        "cpu_type": it.cpu_type,
        "architecture": it.architecture,
        "prices": it.prices.iter().map(price).collect::<Vec<_>>(),
        "locations": it.prices.iter().filter_map(|price| {
            let location = catalog::location(price.location)?;
            let offer = offer(world, it, price.location)?;
            let going = offer.deprecation.as_ref().map(|(from, to)| (from.as_str(), to.as_str()));
            Some(json!({
                "id": location.id,
                "name": location.name,
                "deprecation": deprecation(going),
                "available": offer.available,
                "recommended": offer.recommended,
            }))
        }).collect::<Vec<_>>(),
    })
}

/// A location in full.
pub(super) fn location_json(it: &Location) -> Value {
    json!({
        "id": it.id,
        "name": it.name,
        "description": it.description,
        "country": it.country,
        "city": it.city,
        "latitude": it.latitude,
        "longitude": it.longitude,
        "network_zone": it.network_zone,
    })
}

pub(super) fn server_types(world: &World, call: &Call) -> Result<Reply, Reply> {
    let items = SERVER_TYPES.iter().filter(|it| call.query.keeps("name", it.name));
    let items = items.map(|it| server_type_json(world, it)).collect();
    page(&call.query, "server_types", &["id", "name"], items)
}

pub(super) fn server_type(world: &World, id: &str) -> Result<Reply, Reply> {
    let it = SERVER_TYPES.iter().find(|it| it.id.to_string() == id);
    let it = it.ok_or_else(|| Reply::not_found("server type", id))?;
    Ok(Reply::ok(json!({"server_type": server_type_json(world, it)})))
}

pub(super) fn locations(call: &Call) -> Result<Reply, Reply> {
    let items = LOCATIONS.iter().filter(|it| call.query.keeps("name", it.name)).map(location_json).collect();
    page(&call.query, "locations", &["id", "name"], items)
}

pub(super) fn location(id: &str) -> Result<Reply, Reply> {
    let it = LOCATIONS.iter().find(|it| it.id.to_string() == id);
    let it = it.ok_or_else(|| Reply::not_found("location", id))?;
    Ok(Reply::ok(json!({"location": location_json(it)})))
}

pub(super) fn pricing() -> Reply {
    let everywhere = |hourly, monthly| {
        let at = |it: &Location| {
            json!({
                "location": it.name,
                "price_hourly": money(hourly),
                "price_monthly": money(monthly),
            })
        };
        LOCATIONS.iter().map(at).collect::<Vec<_>>()
    };
    Reply::ok(json!({"pricing": {
        "currency": "EUR",
        "vat_rate": "19.000000",
        "image": {"price_per_gb_month": money(119)},
        "volume": {"price_per_gb_month": money(440)},
        "server_backup": {"percentage": "20.0000000000"},
        "server_types": SERVER_TYPES.iter().map(|it| json!({
            "id": it.id,
            "name": it.name,
            "prices": it.prices.iter().map(price).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "primary_ips": [
            {"type": "ipv4", "prices": everywhere(8, 5_000)},
            {"type": "ipv6", "prices": everywhere(0, 0)},
        ],
        "floating_ip": {"price_monthly": money(30_000)},
        "floating_ips": [],
        "load_balancer_types": [],
    }}))
}
