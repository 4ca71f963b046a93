//! The dashboard of a person's services.

pub mod api;
mod page;

pub use page::DashboardPage;
