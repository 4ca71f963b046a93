//! `POST /servers`. Rule: everything is checked before anything is made: input, then uniqueness,
//! then quota, then capacity.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    action::action_json,
    catalog::{self, Location, ServerType},
    catalog_api::offer,
    clock::{Effect, Start},
    images::ImageRef,
    query::{self, Labels, flag_of, labels_of},
    reply::Reply,
    route::Call,
    servers::{name_check, server_json},
    world::{Server, ServerStatus, SshKey, Target, World, host_key, timestamp, unix_now},
};
use crate::random;

/// The vendor's limit on user data, in bytes.
const USER_DATA_MAX: usize = 32 * 1024;

/// A checked request.
struct Order {
    name: String,
    server_type: &'static ServerType,
    location: &'static Location,
    image: ImageRef,
    firewalls: Vec<u64>,
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
    catalog::server_type(key).ok_or_else(|| Reply::invalid("server_type", "server type not found"))
}

fn unprocessable(code: &str, message: &str) -> Reply {
    Reply::error(StatusCode::UNPROCESSABLE_ENTITY, code, message)
}

fn location_of(world: &World, body: &Map<String, Value>, server_type: &ServerType) -> Result<&'static Location, Reply> {
    if body.get("datacenter").is_some_and(|value| !value.is_null()) {
        return Err(Reply::invalid("datacenter", "is no longer supported, use location"));
    }
    let location = match body.get("location").filter(|value| !value.is_null()) {
        Some(value) => key_of(value).and_then(|key| catalog::location(&key)),
        None => {
            let available = |name: &str| offer(world, server_type, name).is_some_and(|it| it.available);
            let first = server_type.prices.iter().find(|price| available(price.location));
            first.or(server_type.prices.first()).and_then(|price| catalog::location(price.location))
        }
    };
    let location = location.ok_or_else(|| Reply::invalid("location", "location not found"))?;
    let offer = offer(world, server_type, location.name)
        .ok_or_else(|| unprocessable("unsupported_error", "unsupported location for server type"))?;
    if offer.is_gone() {
        return Err(unprocessable("invalid_server_type", "server type is deprecated"));
    }
    Ok(location)
}

/// `[{"firewall": 38}]`.
fn firewalls_of(world: &World, body: &Map<String, Value>) -> Result<Vec<u64>, Reply> {
    let wanted = match body.get("firewalls") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(wanted)) => wanted,
        Some(_) => return Err(Reply::invalid("firewalls", "must be a list")),
    };
    let found = wanted.iter().map(|it| it["firewall"].as_u64().filter(|id| world.saved.firewalls.contains_key(id)));
    found.collect::<Option<_>>().ok_or_else(|| Reply::invalid("firewalls", "firewall not found"))
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
    let name = query::text_of(body, "name")?.ok_or_else(|| Reply::invalid("name", "is required"))?.to_owned();
    let server_type = server_type_of(&required(body, "server_type")?)?;
    let image = world
        .image_find(&required(body, "image")?, server_type.architecture)
        .ok_or_else(|| Reply::invalid("image", "image not found for this architecture"))?;
    if image.architecture != server_type.architecture {
        return Err(Reply::invalid("image", "image has another architecture than the server type"));
    }
    if !image.available || image.disk > server_type.disk {
        return Err(Reply::invalid("image", "image cannot be used for this server type"));
    }
    let location = location_of(world, body, server_type)?;
    let none = Map::new();
    let net = match body.get("public_net") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(net)) => net,
        Some(_) => return Err(Reply::invalid("public_net", "must be an object")),
    };
    let ipv4 = flag_of(net, "enable_ipv4")?.unwrap_or(true);
    let ipv6 = flag_of(net, "enable_ipv6")?.unwrap_or(true);
    if !ipv4 && !ipv6 {
        return Err(Reply::invalid("public_net", "a server needs an address or a network"));
    }
    let order = Order {
        server_type,
        location,
        image,
        firewalls: firewalls_of(world, body)?,
        keys: keys_of(world, body)?,
        labels: labels_of(body)?.unwrap_or_default(),
        user_data: user_data_of(body)?,
        ipv4,
        ipv6,
        start: flag_of(body, "start_after_create")?.unwrap_or(true),
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
    let ipv6 = order.ipv6.then(|| (world.next_id(), World::network()));
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
        host_key: host_key(world.has_hosts(), order.user_data.as_deref()),
        user_data: order.user_data,
        authorized_keys: order.keys.into_iter().map(|key| key.public_key).collect(),
        protected_delete: false,
        protected_rebuild: false,
        boots: 0,
        booted_at: unix_now(),
        disk: Some(order.server_type.disk),
        backup_window: None,
        ignores_shutdown: false,
    };
    world.saved.servers.insert(id, server.clone());
    world.primary_ips_add(&server);
    for firewall in order.firewalls {
        if let Some(firewall) = world.saved.firewalls.get_mut(&firewall) {
            firewall.applied.push(Target::Server(id));
        }
    }
    let create = Start::on_server("create_server", id, Effect::Create { start: order.start });
    let action = world.action_start(create, &call.course, call.now);
    let mut next_actions = Vec::new();
    if order.start {
        let boot = Start { steps: 2, ..Start::on_server("start_server", id, Effect::Boot) };
        let next = world.action_start(boot, &call.course, call.now);
        next_actions.push(action_json(&next, call.now));
    }
    Reply::created(json!({
        "server": server_json(world, &server),
        "action": action_json(&action, call.now),
        "next_actions": next_actions,
        "root_password": root_password,
    }))
}
