//! Provider accounts.

pub mod api;
