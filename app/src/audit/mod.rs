//! The audit trail.

pub mod api;
mod page;

pub use page::AuditPage;
