//! Simulated vendors for the demo and the tests: a Hetzner Cloud API, Cloudflare's DNS API with a
//! name server, and a Forge (Forgejo/Gitea) sign-in provider, all with faults on request.
//!
//! Rule: nothing here knows who calls it. A simulator is right when clients written by others,
//! against the real service, agree with it.

pub mod cloudflare;
mod error;
pub mod forge;
pub mod hetzner;
mod hosts;
mod net;
mod random;

pub use cloudflare::{
    CallLimit, CallView, Cloudflare, CloudflareCall, CloudflareConfig, CloudflareEffect, CloudflareFault,
    CloudflareFaultId, CloudflareToken, RecordAccess, RecordChange, RecordSeed, TokenOwner, TokenStatus, ZoneAccess,
};
pub use error::SimulatorError;
pub use forge::{Forge, ForgeConfig, ForgeFault, Person};
pub use hetzner::{
    Fault, FaultEffect, FaultId, ForeignServer, Hetzner, HetznerConfig, Hosts, Match, RateLimit, RequestKind,
    RequestView, ServerStatus, ServerView, Ssh, SshKeyView, TokenAccess,
};
