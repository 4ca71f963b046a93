//! Changes behind the client's back, as if someone used the vendor's console. Rule: no action tells
//! of them, and what runs on a server is done before, so that nothing undoes them.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::Deserialize;

use super::{
    catalog,
    config::RateLimit,
    limit::Bucket,
    shared::Shared,
    view::ServerView,
    world::{OfferChange, Server, ServerStatus, World, host_key, timestamp, unix_now},
};

/// A server that somebody else made, or that was left over.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignServer {
    /// Its name; it must be free.
    pub name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its type's name.
    #[serde(default = "server_type")]
    pub server_type: String,
    /// Its location's name.
    #[serde(default = "location")]
    pub location: String,
    /// Its image's name.
    #[serde(default = "image")]
    pub image: String,
    /// Where it is in its life.
    #[serde(default = "running")]
    pub status: ServerStatus,
}

fn server_type() -> String {
    "cx23".to_owned()
}

fn location() -> String {
    "fsn1".to_owned()
}

fn image() -> String {
    "debian-13".to_owned()
}

fn running() -> ServerStatus {
    ServerStatus::Running
}

impl ForeignServer {
    /// A running server of the smallest type with these labels.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        Self {
            name: name.to_owned(),
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            server_type: server_type(),
            location: location(),
            image: image(),
            status: running(),
        }
    }
}

impl Shared {
    /// Changes the server that `is_it` finds; false when there is none.
    pub(super) fn server_change(&self, is_it: impl Fn(u64, &str) -> bool, change: impl FnOnce(&mut Server)) -> bool {
        self.with(|state| {
            let world = &mut state.world;
            let found = world.saved.servers.values().find(|it| is_it(it.id, &it.name));
            let Some(id) = found.map(|server| server.id) else { return false };
            world.settle_server(id);
            // What was being deleted is gone now.
            let Some(server) = world.saved.servers.get_mut(&id) else { return false };
            change(server);
            world.changed = true;
            true
        })
    }

    pub(super) fn server_set(&self, is_it: impl Fn(u64, &str) -> bool, status: ServerStatus) -> bool {
        self.server_change(is_it, |server| {
            if status == ServerStatus::Running {
                server.boot();
            }
            server.status = status;
        })
    }

    /// Gives a server another address; `None` when there is no such server, or it has none.
    pub(super) fn server_move(&self, is_it: impl Fn(u64, &str) -> bool) -> Option<Ipv4Addr> {
        let address = self.with(|state| state.world.free_address())?;
        let mut old = None;
        self.server_change(is_it, |server| {
            if let Some((id, ip)) = &mut server.ipv4 {
                *ip = address;
                old = Some(*id);
                // The machine at the old address goes, another comes up at the new one.
                server.boots += 1;
            }
        });
        let primary = old?;
        self.with(|state| {
            if let Some(ip) = state.world.saved.primary_ips.get_mut(&primary) {
                ip.ip = address.to_string();
            }
        });
        Some(address)
    }

    /// Removes the server that `is_it` finds, at once.
    pub(super) fn server_remove(&self, is_it: impl Fn(u64, &str) -> bool) -> bool {
        self.with(|state| {
            let world = &mut state.world;
            let found = world.saved.servers.values().find(|it| is_it(it.id, &it.name)).map(|it| it.id);
            let Some(id) = found else { return false };
            world.server_take(id);
            true
        })
    }

    /// Makes a server without an action; `None` when its name is taken or something it names is not
    /// known.
    pub(super) fn server_add(&self, foreign: ForeignServer) -> Option<ServerView> {
        self.with(|state| {
            let world = &mut state.world;
            let server_type = catalog::server_type(&foreign.server_type)?;
            let location = catalog::location(&foreign.location)?;
            let image = world.image_find(&foreign.image, server_type.architecture)?.id;
            if world.saved.servers.values().any(|server| server.name == foreign.name) {
                return None;
            }
            let address = world.free_address()?;
            let id = world.next_id();
            let server = Server {
                id,
                name: foreign.name,
                status: foreign.status,
                created: timestamp(),
                server_type: server_type.name.to_owned(),
                location: location.name.to_owned(),
                image,
                labels: foreign.labels,
                ipv4: Some((world.next_id(), address)),
                ipv6: Some((world.next_id(), World::network())),
                user_data: None,
                authorized_keys: Vec::new(),
                host_key: host_key(world.has_hosts(), None),
                protected_delete: false,
                protected_rebuild: false,
                boots: 1,
                booted_at: unix_now(),
                disk: Some(server_type.disk),
                backup_window: None,
                ignores_shutdown: false,
            };
            world.primary_ips_add(&server);
            let view = ServerView::of(world, &server);
            world.saved.servers.insert(id, server);
            world.changed = true;
            Some(view)
        })
    }

    pub(super) fn capacity_set(&self, server_type: &str, location: &str, available: bool) {
        self.with(|state| {
            let pair = (server_type.to_owned(), location.to_owned());
            let full = &mut state.world.saved.full;
            state.world.changed = if available { full.remove(&pair) } else { full.insert(pair) };
        });
    }

    /// Changes what the catalogue says of a type at a location; what is `None` stays.
    pub(super) fn offer_set(&self, change: OfferChange) {
        self.with(|state| {
            let offers = &mut state.world.saved.offers;
            let same = |it: &&mut OfferChange| it.server_type == change.server_type && it.location == change.location;
            match offers.iter_mut().find(same) {
                Some(offer) => {
                    offer.available = change.available.or(offer.available);
                    offer.recommended = change.recommended.or(offer.recommended);
                    offer.deprecation = change.deprecation.or(offer.deprecation.take());
                }
                None => offers.push(change),
            }
            state.world.changed = true;
        });
    }

    /// Replaces the bucket; a full one when `left` is not told.
    pub(super) fn rate_limit_set(&self, limit: RateLimit, left: Option<u32>) {
        self.with(|state| state.bucket = Bucket::new(limit, left));
    }

    pub(super) fn server_quota_set(&self, servers: usize) {
        self.with(|state| state.world.server_quota = servers);
    }
}
