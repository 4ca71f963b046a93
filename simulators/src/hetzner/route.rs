//! Names every call and sends it to its endpoint. Rule: one table; a known path with another
//! method is 405, an unknown path 404.

use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    action, catalog_api,
    query::Query,
    reply::Reply,
    server_actions, server_create, servers, ssh_keys,
    world::{ActionError, World},
};

/// The kinds of request that faults and the request log speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RequestKind {
    /// `POST /servers`.
    ServerCreate,
    /// `GET /servers/{id}`.
    ServerGet,
    /// `GET /servers`.
    ServerList,
    /// `PUT /servers/{id}`.
    ServerUpdate,
    /// `DELETE /servers/{id}`.
    ServerDelete,
    /// `POST /servers/{id}/actions/{command}`.
    ServerAction,
    /// `GET /actions/{id}` and `GET /servers/{id}/actions/{id}`.
    ActionGet,
    /// `GET /actions` and `GET /servers/{id}/actions`.
    ActionList,
    /// `POST /ssh_keys`.
    SshKeyCreate,
    /// `GET /ssh_keys`.
    SshKeyList,
    /// `GET /ssh_keys/{id}`.
    SshKeyGet,
    /// `PUT /ssh_keys/{id}`.
    SshKeyUpdate,
    /// `DELETE /ssh_keys/{id}`.
    SshKeyDelete,
    /// Server types, locations, images and pricing.
    Catalog,
    /// Anything else that was asked for; in a fault: every request.
    Any,
}

/// A request, read.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// The path below `/v1`, in segments.
    pub(super) path: Vec<String>,
    pub(super) query: Query,
    /// The JSON body; `Err` when there is one that is no JSON object.
    pub(super) body: Result<Map<String, Value>, ()>,
    pub(super) now: Instant,
    /// How the actions that this request starts shall end, if not well.
    pub(super) action_error: Option<ActionError>,
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
    use RequestKind as K;
    match (method.as_str(), segments(path).as_slice()) {
        ("POST", ["servers"]) => K::ServerCreate,
        ("GET", ["servers"]) => K::ServerList,
        ("GET", ["servers", _]) => K::ServerGet,
        ("PUT", ["servers", _]) => K::ServerUpdate,
        ("DELETE", ["servers", _]) => K::ServerDelete,
        ("POST", ["servers", _, "actions", _]) => K::ServerAction,
        ("GET", ["actions", _] | ["servers", "actions", _] | ["servers", _, "actions", _]) => K::ActionGet,
        ("GET", ["actions"] | ["servers", _, "actions"]) => K::ActionList,
        ("POST", ["ssh_keys"]) => K::SshKeyCreate,
        ("GET", ["ssh_keys"]) => K::SshKeyList,
        ("GET", ["ssh_keys", _]) => K::SshKeyGet,
        ("PUT", ["ssh_keys", _]) => K::SshKeyUpdate,
        ("DELETE", ["ssh_keys", _]) => K::SshKeyDelete,
        ("GET", ["server_types" | "locations" | "images" | "pricing", ..]) => K::Catalog,
        _ => K::Any,
    }
}

/// Carries the request out.
pub(super) fn dispatch(world: &mut World, call: &Call) -> Reply {
    route(world, call).unwrap_or_else(|refusal| refusal)
}

fn route(world: &mut World, call: &Call) -> Result<Reply, Reply> {
    let path = segments(&call.path);
    match (call.method.as_str(), path.as_slice()) {
        ("GET", ["servers"]) => servers::list(world, call),
        ("POST", ["servers"]) => server_create::create(world, call),
        ("GET", ["servers", "actions", id]) => action::get(world, call, None, id),
        ("GET", ["servers", id]) => servers::get(world, id),
        ("PUT", ["servers", id]) => servers::update(world, call, id),
        ("DELETE", ["servers", id]) => servers::delete(world, call, id),
        ("GET", ["servers", id, "actions"]) => action::list_of_server(world, call, id),
        ("POST", ["servers", id, "actions", command]) => server_actions::run(world, call, id, command),
        ("GET", ["servers", id, "actions", action]) => action::get(world, call, Some(id), action),
        ("GET", ["actions"]) => action::list(world, call),
        ("GET", ["actions", id]) => action::get(world, call, None, id),
        ("GET", ["ssh_keys"]) => ssh_keys::list(world, call),
        ("POST", ["ssh_keys"]) => ssh_keys::create(world, call),
        ("GET", ["ssh_keys", id]) => ssh_keys::get(world, id),
        ("PUT", ["ssh_keys", id]) => ssh_keys::update(world, call, id),
        ("DELETE", ["ssh_keys", id]) => ssh_keys::delete(world, id),
        ("GET", ["server_types"]) => catalog_api::server_types(call),
        ("GET", ["server_types", id]) => catalog_api::server_type(id),
        ("GET", ["locations"]) => catalog_api::locations(call),
        ("GET", ["locations", id]) => catalog_api::location(id),
        ("GET", ["images"]) => catalog_api::images(call),
        ("GET", ["images", id]) => catalog_api::image(id),
        ("GET", ["pricing"]) => Ok(catalog_api::pricing()),
        (_, ["datacenters", ..]) => {
            Err(Reply::error(StatusCode::GONE, "deprecated_api_endpoint", "datacenters are gone, use locations"))
        }
        (
            _,
            ["servers" | "actions" | "ssh_keys" | "server_types" | "locations" | "images" | "pricing"]
            | ["servers" | "actions" | "ssh_keys" | "server_types" | "locations" | "images", _],
        ) => Err(Reply::error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "method not allowed")),
        _ => Err(Reply::error(StatusCode::NOT_FOUND, "not_found", "path not found")),
    }
}
