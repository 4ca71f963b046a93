//! The catalogue as the API tells it. Rule: the fields of late 2026 and no others: neither server
//! types nor images say `deprecated`; what is going says `deprecation`, types per location.

use serde_json::{Value, json};

use super::{
    catalog::{self, IMAGES, Image, LOCATIONS, Location, Price, SERVER_TYPES, ServerType},
    query::page,
    reply::Reply,
    route::Call,
};

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

fn deprecation(of: Option<(&str, &str)>) -> Value {
    of.map_or(
        Value::Null,
        |(announced, unavailable_after)| json!({"announced": announced, "unavailable_after": unavailable_after}),
    )
}

/// A server type in full.
pub(super) fn server_type_json(it: &ServerType) -> Value {
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
            Some(json!({
                "id": location.id,
                "name": location.name,
                "deprecation": deprecation(it.deprecation),
                "available": price.available,
                "recommended": price.recommended,
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

/// An image in full.
pub(super) fn image_json(it: &Image) -> Value {
    json!({
        "id": it.id,
        "type": it.kind,
        "status": "available",
        "name": it.name,
        "description": it.description,
        "image_size": null,
        "disk_size": 5.0,
        "created": "2026-01-15T08:00:00Z",
        "created_from": null,
        "bound_to": null,
        "os_flavor": it.os_flavor,
        "os_version": it.os_version,
        "architecture": it.architecture,
        "rapid_deploy": it.rapid_deploy,
        "protection": {"delete": false},
        "deprecation": deprecation(it.deprecation),
        "deleted": null,
        "labels": {},
    })
}

pub(super) fn server_types(call: &Call) -> Result<Reply, Reply> {
    let items = SERVER_TYPES.iter().filter(|it| call.query.keeps("name", it.name)).map(server_type_json).collect();
    page(&call.query, "server_types", &["id", "name"], items)
}

pub(super) fn server_type(id: &str) -> Result<Reply, Reply> {
    let it = SERVER_TYPES.iter().find(|it| it.id.to_string() == id);
    let it = it.ok_or_else(|| Reply::not_found("server type", id))?;
    Ok(Reply::ok(json!({"server_type": server_type_json(it)})))
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

pub(super) fn images(call: &Call) -> Result<Reply, Reply> {
    let query = &call.query;
    let deprecated_too = query.one("include_deprecated") == Some("true");
    let labels = query.selector()?;
    let items = IMAGES
        .iter()
        .filter(|it| {
            query.keeps("type", it.kind)
                && query.keeps("architecture", it.architecture)
                && query.keeps("name", it.name)
                && query.keeps("status", "available")
                && (deprecated_too || it.deprecation.is_none())
                && labels.selects(&Default::default())
        })
        .map(image_json)
        .collect();
    page(query, "images", &["id", "name", "created"], items)
}

pub(super) fn image(id: &str) -> Result<Reply, Reply> {
    let it = IMAGES.iter().find(|it| it.id.to_string() == id);
    let it = it.ok_or_else(|| Reply::not_found("image", id))?;
    Ok(Reply::ok(json!({"image": image_json(it)})))
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
        "floating_ips": [],
        "load_balancer_types": [],
    }}))
}
