//! Who one is.

pub mod api;
