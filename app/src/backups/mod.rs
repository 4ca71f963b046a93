//! Backups that were made of nodes before they were destroyed.

pub mod api;
mod page;

pub use page::BackupsPage;
