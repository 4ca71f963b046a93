//! One's own account.

pub mod api;
