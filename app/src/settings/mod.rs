//! What administrators set for the whole installation.

pub mod api;
mod form;
mod page;

pub use form::AcquisitionForm;
pub use page::SettingsPage;
