//! From a call to its endpoint. Rule: what a token may see is decided before what it may change, and
//! both before anything is looked at.

use axum::http::Method;
use serde_json::{Map, Value};

use super::{
    batch,
    config::{CloudflareToken, RecordAccess},
    query::Query,
    records::{self, Change},
    reply::Reply,
    world::{World, sees},
    zones,
};

/// A call, read.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// What follows the base.
    pub(super) path: Vec<String>,
    pub(super) query: Query,
    /// The body; an error when it is no JSON object.
    pub(super) body: Result<Map<String, Value>, ()>,
    pub(super) token: CloudflareToken,
}

pub(super) fn dispatch(world: &mut World, call: &Call) -> Reply {
    answer(world, call).unwrap_or_else(|refusal| refusal)
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn answer(world: &mut World, call: &Call) -> Result<Reply, Reply> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let token = &call.token;
    let body = || call.body.as_ref().map_err(|()| Reply::error(400, 9207, "Request body is invalid."));
    match (call.method.as_str(), &path[..]) {
        ("GET", ["user", "tokens", "verify"]) => zones::verify(world, token, None),
        ("GET", ["accounts", account, "tokens", "verify"]) => zones::verify(world, token, Some(account)),
        ("GET", ["zones"]) => zones::list(world, token, &call.query),
        ("POST", ["zones"]) => zones::create(world, token, body()?),
        (_, ["zones", id, ..]) if !is_id(id) => Err(Reply::no_route(&path.join("/"))),
        ("GET", ["zones", id]) => zones::get(world, token, id),
        ("DELETE", ["zones", id]) => zones::delete(world, token, id),
        // What belongs to a zone but is no record: there is none of it.
        ("GET", ["zones", _, "pagerules"]) => Ok(Reply::ok(Value::Array(Vec::new()))),
        (method, ["zones", id, "dns_records", rest @ ..]) => {
            let known = world.saved.zones.iter().find(|zone| zone.id == *id);
            let zone = known.ok_or_else(|| Reply::no_zone(id))?;
            if !sees(token, &zone.name) {
                return Err(Reply::no_access());
            }
            if method != "GET" && token.record_access != RecordAccess::Edit {
                return Err(Reply::not_allowed());
            }
            match (method, rest) {
                ("GET", []) => records::list(zone, &call.query),
                ("POST", []) => records::call(world, id, Change::Post(body()?)),
                ("POST", ["batch"]) => batch::run(world, id, body()?),
                (_, [record]) if !is_id(record) => Err(Reply::no_route(&path.join("/"))),
                ("GET", [record]) => records::get(zone, record),
                ("PATCH", [record]) => records::call(world, id, Change::Patch(record, body()?)),
                ("PUT", [record]) => records::call(world, id, Change::Put(record, body()?)),
                ("DELETE", [record]) => records::call(world, id, Change::Delete(record)),
                _ => Err(Reply::no_route(&path.join("/"))),
            }
        }
        _ => Err(Reply::no_route(&path.join("/"))),
    }
}
