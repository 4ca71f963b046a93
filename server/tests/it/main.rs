//! The server from outside, over HTTP. One binary, so that it is linked once. The rule: tests speak
//! through [`app::TestApp`], wait for conditions, never sleep, and run on every engine there is.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod app;
mod architecture;
mod events;
mod forge;
mod idempotency;
mod log;
mod problems;
mod secrets;
mod sessions;
mod sign_in;
