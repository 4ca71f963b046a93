//! The dashboard of a person's services.

pub mod api;
