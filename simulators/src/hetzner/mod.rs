//! A Hetzner Cloud API as it answers in late 2026: servers, their actions, SSH keys, and the
//! catalogue, over one rate-limited bucket, with faults.
//!
//! `runtime` owns the sockets, the clock and the task that brings machines up and down, `shared` the
//! lock; `api` guards every call (token, bucket, faults, headers); `route` names it and sends it to `servers`,
//! `server_actions`, `ssh_keys` or `catalog_api`, which are plain functions over the `World`.
//!
//! Rule: all state is behind one lock and no endpoint awaits; time passes only by the action clock.

mod action;
mod api;
mod catalog;
mod catalog_api;
mod config;
mod control;
mod fault;
mod keys;
mod limit;
mod persist;
mod query;
mod reply;
mod route;
mod runtime;
mod server_actions;
mod server_create;
mod servers;
mod shared;
mod ssh_keys;
mod view;
mod world;

pub use config::{HetznerConfig, Hosts, RateLimit, Ssh, TokenAccess};
pub use fault::{Fault, FaultEffect, FaultId, FaultView, Match};
pub use route::RequestKind;
pub use runtime::Hetzner;
pub use view::{RequestView, ServerView, SshKeyView};
pub use world::ServerStatus;
