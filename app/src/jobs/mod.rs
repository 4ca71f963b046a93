//! Jobs.

pub mod api;
