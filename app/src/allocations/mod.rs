//! Allocations of everybody.

pub mod api;
mod page;

pub use page::AllocationsPage;
