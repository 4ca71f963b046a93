//! `POST /servers`. Rule: everything is checked before anything is made: input, then uniqueness,
//! then quota, then capacity.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    action::action_json,
    catalog::{self, Image, Location, ServerType},
    query::{Labels, labels_of},
    reply::Reply,
    route::Call,
    servers::{name_check, server_json},
    world::{Effect, Server, ServerStatus, SshKey, World, timestamp, unix_now},
};
use crate::{hosts::cloud_init, random};

/// The vendor's limit on user data, in bytes.
const USER_DATA_MAX: usize = 32 * 1024;

/// A checked request.
struct Order {
    name: String,
    server_type: &'static ServerType,
    location: &'static Location,
    image: &'static Image,
    keys: Vec<SshKey>,
    labels: Labels,
    user_data: Option<String>,
    ipv4: bool,
    ipv6: bool,
    start: bool,
}

/// A name or an id; ids come as numbers or as text.
pub(super) fn key_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn required(body: &Map<String, Value>, field: &str) -> Result<String, Reply> {
    body.get(field).and_then(key_of).ok_or_else(|| Reply::invalid(field, "is required"))
}

fn flag(value: Option<&Value>, field: &str, default: bool) -> Result<bool, Reply> {
    match value {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Reply::invalid(field, "must be true or false")),
    }
}

/// The `user_data` of a create or a rebuild.
pub(super) fn user_data_of(body: &Map<String, Value>) -> Result<Option<String>, Reply> {
    match body.get("user_data") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.len() <= USER_DATA_MAX => Ok(Some(text.clone())),
        Some(Value::String(_)) => Err(Reply::invalid("user_data", "must be at most 32 KiB")),
        Some(_) => Err(Reply::invalid("user_data", "must be text")),
    }
}

fn server_type_of(key: &str) -> Result<&'static ServerType, Reply> {
    let server_type =
        catalog::server_type(key).ok_or_else(|| Reply::invalid("server_type", "server type not found"))?;
    if server_type.deprecation.is_some() {
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "invalid_server_type", "server type is deprecated"));
    }
    Ok(server_type)
}

fn location_of(body: &Map<String, Value>, server_type: &ServerType) -> Result<&'static Location, Reply> {
    if body.get("datacenter").is_some_and(|value| !value.is_null()) {
        return Err(Reply::invalid("datacenter", "is no longer supported, use location"));
    }
    let location = match body.get("location").filter(|value| !value.is_null()) {
        Some(value) => key_of(value).and_then(|key| catalog::location(&key)),
        None => {
            server_type.prices.iter().find(|price| price.available).and_then(|price| catalog::location(price.location))
        }
    };
    let location = location.ok_or_else(|| Reply::invalid("location", "location not found"))?;
    if !server_type.prices.iter().any(|price| price.location == location.name) {
        return Err(Reply::error(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unsupported_error",
            "unsupported location for server type",
        ));
    }
    Ok(location)
}

fn keys_of(world: &World, body: &Map<String, Value>) -> Result<Vec<SshKey>, Reply> {
    let wanted = match body.get("ssh_keys") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(wanted)) => wanted,
        Some(_) => return Err(Reply::invalid("ssh_keys", "must be a list")),
    };
    wanted
        .iter()
        .map(|value| {
            let wanted = key_of(value);
            world
                .saved
                .ssh_keys
                .values()
                .find(|key| wanted.as_ref().is_some_and(|it| *it == key.name || *it == key.id.to_string()))
                .cloned()
                .ok_or_else(|| Reply::invalid("ssh_keys", "SSH key not found"))
        })
        .collect()
}

fn order_of(world: &World, body: &Map<String, Value>) -> Result<Order, Reply> {
    let name = required(body, "name")?;
    let server_type = server_type_of(&required(body, "server_type")?)?;
    let image = catalog::image_for(&required(body, "image")?, server_type.architecture)
        .ok_or_else(|| Reply::invalid("image", "image not found for this architecture"))?;
    if image.architecture != server_type.architecture {
        return Err(Reply::invalid("image", "image has another architecture than the server type"));
    }
    let location = location_of(body, server_type)?;
    let net = body.get("public_net").filter(|net| !net.is_null());
    let net = |field: &str| net.and_then(|net| net.get(field));
    let ipv4 = flag(net("enable_ipv4"), "public_net.enable_ipv4", true)?;
    let ipv6 = flag(net("enable_ipv6"), "public_net.enable_ipv6", true)?;
    if !ipv4 && !ipv6 {
        return Err(Reply::invalid("public_net", "a server needs an address or a network"));
    }
    let order = Order {
        server_type,
        location,
        image,
        keys: keys_of(world, body)?,
        labels: labels_of(body)?.unwrap_or_default(),
        user_data: user_data_of(body)?,
        ipv4,
        ipv6,
        start: flag(body.get("start_after_create"), "start_after_create", true)?,
        name,
    };
    name_check(world, &order.name, None)?;
    Ok(order)
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Reply, Reply> {
    let order = order_of(world, call.object()?)?;
    if world.saved.servers.len() >= world.server_quota {
        return Err(Reply::error_with(
            StatusCode::FORBIDDEN,
            "resource_limit_exceeded",
            "server limit exceeded",
            json!({"limits": [{"name": "servers"}]}),
        ));
    }
    let pair = (order.server_type.name.to_owned(), order.location.name.to_owned());
    if world.saved.full.contains(&pair) {
        return Err(Reply::no_capacity());
    }
    let address = if order.ipv4 { Some(world.free_address().ok_or_else(Reply::no_capacity)?) } else { None };
    Ok(make(world, call, order, address))
}

fn make(world: &mut World, call: &Call, order: Order, address: Option<std::net::Ipv4Addr>) -> Reply {
    let id = world.next_id();
    let ipv4 = address.map(|address| (world.next_id(), address));
    let ipv6 = order.ipv6.then(|| {
        let [a, b, c, d] = random::bytes::<4>();
        // The range for documentation: nothing can ever answer there.
        (world.next_id(), format!("2001:db8:{:x}:{:x}::/64", u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    });
    let root_password = order.keys.is_empty().then(random::hex::<10>);
    let server = Server {
        id,
        name: order.name,
        status: ServerStatus::Initializing,
        created: timestamp(),
        server_type: order.server_type.name.to_owned(),
        location: order.location.name.to_owned(),
        image: order.image.id,
        labels: order.labels,
        ipv4,
        ipv6,
        host_key: cloud_init::host_key(order.user_data.as_deref()),
        user_data: order.user_data,
        authorized_keys: order.keys.into_iter().map(|key| key.public_key).collect(),
        protected_delete: false,
        protected_rebuild: false,
        boots: 0,
        booted_at: unix_now(),
    };
    world.saved.servers.insert(id, server.clone());
    let error = || call.action_error.clone();
    let effect = Effect::Create { start: order.start };
    let action = world.action_start("create_server", id, effect, error(), (call.now, 1));
    let mut next_actions = Vec::new();
    if order.start {
        let next = world.action_start("start_server", id, Effect::Boot, error(), (call.now, 2));
        next_actions.push(action_json(&next, call.now));
    }
    Reply::created(json!({
        "server": server_json(world, &server),
        "action": action_json(&action, call.now),
        "next_actions": next_actions,
        "root_password": root_password,
    }))
}
