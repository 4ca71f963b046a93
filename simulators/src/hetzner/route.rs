//! Sends every call to its endpoint. Rule: one table; a known path with another method is 405, an
//! unknown path 404.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    action, catalog_api, clock::Course, firewalls, images, kind::RequestKind, metrics, primary_ips, query::Query,
    reply::Reply, rrset_actions, rrsets, server_actions, server_create, servers, ssh_keys, world::World, zones,
};

/// A request, read.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// The path below `/v1`, in segments, decoded.
    pub(super) path: Vec<String>,
    pub(super) query: Query,
    /// The JSON body; `Err` when there is one that is no JSON object.
    pub(super) body: Result<Map<String, Value>, ()>,
    pub(super) now: Instant,
    /// How the actions that this request starts shall go.
    pub(super) course: Course,
}

impl Call {
    /// The body as an object, or 400 `json_error`.
    pub(super) fn object(&self) -> Result<&Map<String, Value>, Reply> {
        self.body.as_ref().map_err(|()| {
            Reply::error(StatusCode::BAD_REQUEST, "json_error", "invalid JSON in request body, must be an object")
        })
    }
}

fn segments(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// What kind of request this is.
pub(super) fn kind(method: &Method, path: &[String]) -> RequestKind {
    RequestKind::of(method, &segments(path))
}

/// Carries the request out.
pub(super) fn dispatch(world: &mut World, call: &Call) -> Reply {
    route(world, call).unwrap_or_else(|refusal| refusal)
}

/// The vendor's word for the things of a collection whose actions can be asked for.
fn kind_of(collection: &str) -> Option<&'static str> {
    Some(match collection {
        "servers" => "server",
        "firewalls" => "firewall",
        "images" => "image",
        "primary_ips" => "primary_ip",
        "zones" => "zone",
        _ => return None,
    })
}

fn route(world: &mut World, call: &Call) -> Result<Reply, Reply> {
    let path = segments(&call.path);
    let Some((collection, rest)) = path.split_first() else { return Err(unknown()) };
    let answer = match *collection {
        "datacenters" => return Err(gone()),
        "actions" => actions(world, call, rest),
        "servers" => server(world, call, rest),
        "ssh_keys" => ssh_key(world, call, rest),
        "images" => image(world, call, rest),
        "firewalls" => firewall(world, call, rest),
        "primary_ips" => primary_ip(world, call, rest),
        "zones" => zone(world, call, rest),
        "server_types" | "locations" | "pricing" => catalog(world, call, &path),
        _ => None,
    };
    let answer = answer.or_else(|| actions_of(world, call, kind_of(collection)?, rest));
    answer.unwrap_or_else(|| Err(if is_known(&path) { not_allowed() } else { unknown() }))
}

fn unknown() -> Reply {
    Reply::error(StatusCode::NOT_FOUND, "not_found", "path not found")
}

fn not_allowed() -> Reply {
    Reply::error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "method not allowed")
}

fn gone() -> Reply {
    Reply::error(StatusCode::GONE, "deprecated_api_endpoint", "datacenters are gone, use locations")
}

/// Whether another method than the one that was used would find something here.
fn is_known(path: &[&str]) -> bool {
    let collections = [
        "servers",
        "actions",
        "ssh_keys",
        "server_types",
        "locations",
        "images",
        "pricing",
        "firewalls",
        "primary_ips",
        "zones",
    ];
    match path {
        ["pricing"] => true,
        ["pricing", ..] => false,
        [collection] | [collection, _] => collections.contains(collection),
        [collection, _, "actions"] | [collection, _, "actions", _] => kind_of(collection).is_some(),
        ["servers", _, "metrics"] | ["zones", _, "rrsets"] => true,
        ["zones", _, "rrsets", _, _] | ["zones", _, "rrsets", _, _, "actions", _] => true,
        _ => false,
    }
}

type Answer = Option<Result<Reply, Reply>>;

fn actions(world: &World, call: &Call, rest: &[&str]) -> Answer {
    Some(match (call.method.as_str(), rest) {
        ("GET", []) => action::list(world, call),
        ("GET", [id]) => action::get(world, call, None, id),
        _ => return None,
    })
}

/// The actions of a kind of things, or of one of them.
fn actions_of(world: &World, call: &Call, kind: &str, rest: &[&str]) -> Answer {
    Some(match (call.method.as_str(), rest) {
        ("GET", ["actions"]) => action::list_of_kind(world, call, kind),
        ("GET", ["actions", id]) => action::get_of_kind(world, call, kind, id),
        ("GET", [id, "actions"]) => action::list_about(world, call, kind, id),
        ("GET", [id, "actions", action]) => action::get(world, call, Some((kind, id)), action),
        _ => return None,
    })
}

fn server(world: &mut World, call: &Call, rest: &[&str]) -> Answer {
    Some(match (call.method.as_str(), rest) {
        ("GET", []) => servers::list(world, call),
        ("POST", []) => server_create::create(world, call),
        ("GET", ["actions"]) => return None,
        ("GET", [id]) => servers::get(world, id),
        ("PUT", [id]) => servers::update(world, call, id),
        ("DELETE", [id]) => servers::delete(world, call, id),
        ("GET", [id, "metrics"]) => metrics::get(world, call, id),
        ("POST", [id, "actions", command]) => server_actions::run(world, call, id, command),
        _ => return None,
    })
}

fn ssh_key(world: &mut World, call: &Call, rest: &[&str]) -> Answer {
    Some(match (call.method.as_str(), rest) {
        ("GET", []) => ssh_keys::list(world, call),
        ("POST", []) => ssh_keys::create(world, call),
        ("GET", [id]) => ssh_keys::get(world, id),
        ("PUT", [id]) => ssh_keys::update(world, call, id),
        ("DELETE", [id]) => ssh_keys::delete(world, id),
        _ => return None,
    })
}

fn image(world: &mut World, call: &Call, rest: &[&str]) -> Answer {
    Some(match (call.method.as_str(), rest) {
        ("GET", []) => images::list(world, call),
        ("GET", ["actions"]) => return None,
        ("GET", [id]) => images::get(world, id),
        ("PUT", [id]) => images::update(world, call, id),
        ("DELETE", [id]) => images::delete(world, id),
        ("POST", [id, "actions", "change_protection"]) => images::change_protection(world, call, id),
        _ => return None,
    })
}

fn firewall(world: &mut World, call: &Call, rest: &[&str]) -> Answer {
    Some(match (call.method.as_str(), rest) {
        ("GET", []) => firewalls::list(world, call),
        ("POST", []) => firewalls::create(world, call),
        ("GET", ["actions"]) => return None,
        ("GET", [id]) => firewalls::get(world, id),
        ("PUT", [id]) => firewalls::update(world, call, id),
        ("DELETE", [id]) => firewalls::delete(world, id),
        ("POST", [id, "actions", command]) => firewalls::run(world, call, id, command),
        _ => return None,
    })
}

fn primary_ip(world: &mut World, call: &Call, rest: &[&str]) -> Answer {
    Some(match (call.method.as_str(), rest) {
        ("GET", []) => primary_ips::list(world, call),
        ("GET", ["actions"]) => return None,
        ("GET", [id]) => primary_ips::get(world, id),
        ("PUT", [id]) => primary_ips::update(world, call, id),
        ("DELETE", [id]) => primary_ips::delete(world, id),
        ("POST", [id, "actions", command]) => primary_ips::run(world, call, id, command),
        _ => return None,
    })
}

fn zone(world: &mut World, call: &Call, rest: &[&str]) -> Answer {
    Some(match (call.method.as_str(), rest) {
        ("GET", []) => zones::list(world, call),
        ("POST", []) => zones::create(world, call),
        ("GET", ["actions"]) => return None,
        ("GET", [zone]) => zones::get(world, zone),
        ("PUT", [zone]) => zones::update(world, call, zone),
        ("DELETE", [zone]) => zones::delete(world, call, zone),
        ("POST", [zone, "actions", command]) => zones::run(world, call, zone, command),
        ("GET", [zone, "actions", more @ ..]) if !zone.chars().all(|c| c.is_ascii_digit()) => {
            // Actions go by id, zones by name too.
            let id = match zones::find(world, zone) {
                Ok(zone) => zone.id.to_string(),
                Err(refusal) => return Some(Err(refusal)),
            };
            let path: Vec<&str> = [id.as_str(), "actions"].into_iter().chain(more.iter().copied()).collect();
            return actions_of(world, call, "zone", &path);
        }
        ("GET", [zone, "rrsets"]) => rrsets::list(world, call, zone),
        ("POST", [zone, "rrsets"]) => rrsets::create(world, call, zone),
        ("GET", [zone, "rrsets", name, kind]) => rrsets::get(world, zone, name, kind),
        ("PUT", [zone, "rrsets", name, kind]) => rrsets::update(world, call, zone, (name, kind)),
        ("DELETE", [zone, "rrsets", name, kind]) => rrsets::delete(world, call, zone, (name, kind)),
        ("POST", [zone, "rrsets", name, kind, "actions", command]) => {
            rrset_actions::run(world, call, zone, (name, kind), command)
        }
        _ => return None,
    })
}

fn catalog(world: &World, call: &Call, path: &[&str]) -> Answer {
    Some(match (call.method.as_str(), path) {
        ("GET", ["server_types"]) => catalog_api::server_types(world, call),
        ("GET", ["server_types", id]) => catalog_api::server_type(world, id),
        ("GET", ["locations"]) => catalog_api::locations(call),
        ("GET", ["locations", id]) => catalog_api::location(id),
        ("GET", ["pricing"]) => Ok(catalog_api::pricing()),
        _ => return None,
    })
}
