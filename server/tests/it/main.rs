//! The server from outside, over HTTP. One binary, so that it is linked once. The rule: tests speak
//! through [`app::TestApp`], wait for conditions, never sleep, and run on every engine there is.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod allocations;
mod app;
mod architecture;
mod breaker;
mod dns;
#[path = "../dns_beds/mod.rs"]
mod dns_beds;
mod dns_matrix;
mod dns_races;
mod dns_truth;
mod engine;
mod events;
mod forge;
mod idempotency;
mod jobs;
mod log;
mod matrix;
mod nodes;
mod orphans;
mod pools;
mod problems;
mod profiles;
mod providers;
mod refresh;
mod release_hook;
mod secrets;
mod sessions;
mod sign_in;
mod spending;
mod stacks;
mod stacks_real;
mod truth;
mod verbs;
