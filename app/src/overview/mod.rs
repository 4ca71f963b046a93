//! The first page: the administrator's overview; others are sent to their dashboard.

pub mod api;
mod page;

pub use page::HomePage;
