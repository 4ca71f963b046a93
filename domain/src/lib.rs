//! The vocabulary that both sides of Hangar speak: ids, states and their transitions, gates, codes
//! and the shapes of the API and the pages. The rule: no async, no IO, no clock.

pub mod access;
pub mod action;
pub mod allocation;
pub mod audit;
pub mod blueprint;
pub mod code;
pub mod dns;
pub mod id;
pub mod job;
pub mod list;
pub mod node;
pub mod orphan;
pub mod overview;
pub mod pool;
pub mod profile;
pub mod provider;
pub mod spending;
pub mod state;
pub mod time;
pub mod user;
pub mod valid;
