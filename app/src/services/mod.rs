//! One's own services.

pub mod api;
mod form;
mod page;

pub use form::RequestForm;
pub use page::ServicePage;
