//! One file for each command: its options, and its steps in their order.

pub mod bench;
pub mod bind;
pub mod build;
mod clients;
pub mod engine;
pub mod run;
pub mod setup;
pub mod test;
