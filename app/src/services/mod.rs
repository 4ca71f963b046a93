//! One's own services.

pub mod api;
mod form;

pub use form::RequestForm;
