//! What tests and the control endpoint see of the state. Rule: no secret: neither user data nor
//! host keys nor passwords.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::Serialize;

use super::{
    catalog,
    kind::RequestKind,
    world::{Server, ServerStatus, SshKey, World},
};
use crate::hosts::cloud_init;

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerView {
    /// The vendor's id.
    pub id: u64,
    /// Its unique name.
    pub name: String,
    /// Where it is in its life.
    pub status: ServerStatus,
    /// Its type's name.
    pub server_type: String,
    /// Its location's name.
    pub location: String,
    /// Its image's name; of one made from a server, the name of what is at its bottom.
    pub image: String,
    /// Its address, a loopback one.
    pub ipv4: Option<Ipv4Addr>,
    /// Its network, `…::/64`.
    pub ipv6: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was created, RFC 3339.
    pub created: String,
    /// Whether an action runs on it.
    pub locked: bool,
    /// How often it booted.
    pub boots: u64,
    /// The public half of its SSH host key, OpenSSH format; none where neither the user data nor a
    /// machine brought one.
    pub host_key: Option<String>,
}

impl ServerView {
    pub(super) fn of(world: &World, server: &Server) -> Self {
        Self {
            id: server.id,
            name: server.name.clone(),
            status: server.status,
            server_type: server.server_type.clone(),
            location: server.location.clone(),
            image: catalog::image(world.image_base(server.image)).map(|it| it.name.to_owned()).unwrap_or_default(),
            ipv4: server.ipv4.as_ref().map(|(_, address)| *address),
            ipv6: server.ipv6.as_ref().map(|(_, network)| network.clone()),
            labels: server.labels.clone(),
            created: server.created.clone(),
            locked: world.is_locked(server.id),
            boots: server.boots,
            host_key: cloud_init::public_half(&server.host_key),
        }
    }
}

/// A registered SSH key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SshKeyView {
    /// The vendor's id.
    pub id: u64,
    /// Its unique name.
    pub name: String,
    /// MD5 with colons, unique too.
    pub fingerprint: String,
    /// OpenSSH format.
    pub public_key: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl SshKeyView {
    pub(super) fn of(key: &SshKey) -> Self {
        Self {
            id: key.id,
            name: key.name.clone(),
            fingerprint: key.fingerprint.clone(),
            public_key: key.public_key.clone(),
            labels: key.labels.clone(),
        }
    }
}

/// A request that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestView {
    /// Counts from 1.
    pub seq: u64,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// What kind it was.
    pub kind: RequestKind,
    /// The status answered; `None` while there is no answer, and for ever when none was given.
    pub status: Option<u16>,
}
