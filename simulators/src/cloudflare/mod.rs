//! Cloudflare's DNS API as it answers in late 2026: zones, their records, batches and the
//! verification of tokens, over one limit of calls that blocks, with faults; and a name server that
//! answers for the zones.
//!
//! `runtime` owns the sockets, `shared` the lock, `world` the state; `api` guards every call (limit,
//! token, faults, headers), `kind` names it and `route` sends it to an endpoint, a plain function
//! over the `World`: `zones`, `records` and `batch`, with `validate` for what a record may be and
//! `query` for filters and pages. `control` and the methods of [`Cloudflare`] are what happens
//! without any call, `dns` answers questions.
//!
//! Rule: all state is behind one lock and no endpoint awaits.

mod api;
mod batch;
mod behind;
mod config;
mod control;
mod dns;
mod fault;
mod kind;
mod limit;
mod persist;
mod query;
mod records;
mod reply;
mod route;
mod runtime;
mod shared;
mod validate;
mod world;
mod zones;

pub use behind::{RecordChange, RecordSeed};
pub use config::{CallLimit, CloudflareConfig, CloudflareToken, RecordAccess, TokenOwner, TokenStatus, ZoneAccess};
pub use fault::{CloudflareEffect, CloudflareFault, CloudflareFaultId};
pub use kind::CloudflareCall;
pub use runtime::Cloudflare;
pub use shared::CallView;
