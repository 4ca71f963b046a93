//! The audit trail.

pub mod api;
