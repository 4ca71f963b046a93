//! The administrator's overview.

pub mod api;
