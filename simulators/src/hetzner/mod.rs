//! A Hetzner Cloud API as it answers in late 2026: servers, their actions, images, firewalls,
//! Primary IPs, SSH keys, DNS zones and the catalogue, over one rate-limited bucket, with faults.
//!
//! `runtime` owns the sockets and the task that brings machines up and down, `shared` the lock,
//! `world` the state and `clock` its changes; `api` guards every call (token, bucket, faults,
//! headers); `kind` names it and `route` sends it to an endpoint, a plain function over the `World`;
//! `behind` is what happens without any call.
//!
//! Rule: all state is behind one lock and no endpoint awaits; time passes only by the action clock.

mod action;
mod api;
mod behind;
mod catalog;
mod catalog_api;
mod clock;
mod config;
mod control;
mod fault;
mod firewall_rules;
mod firewalls;
mod images;
mod keys;
mod kind;
mod limit;
mod metrics;
mod persist;
mod primary_ips;
mod query;
mod reply;
mod route;
mod rrset_actions;
mod rrset_change;
mod rrsets;
mod runtime;
mod server_actions;
mod server_create;
mod servers;
mod shared;
mod ssh_keys;
mod view;
mod world;
mod zones;

pub use behind::ForeignServer;
pub use config::{HetznerConfig, Hosts, RateLimit, Ssh, TokenAccess};
pub use fault::{Fault, FaultEffect, FaultId, FaultView, Match};
pub use kind::RequestKind;
pub use runtime::Hetzner;
pub use view::{RequestView, ServerView, SshKeyView};
pub use world::ServerStatus;
