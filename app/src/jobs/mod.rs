//! Jobs.

pub mod api;
mod detail;
mod list;

pub use detail::JobDetailPage;
pub use list::JobsListPage;
