//! The database layer's tests, each on both engines. The rule: a test sees only the public methods
//! of the crate; only the comparison of the two schemas reads the engines' own catalogues.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod claims;
mod common;
mod constraints;
mod group_commit;
mod history;
mod leases;
mod lists;
mod round_trip;
mod schema;
