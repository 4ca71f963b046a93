//! People.

pub mod api;
