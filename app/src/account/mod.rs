//! One's own account.

pub mod api;
mod page;

pub use page::AccountPage;
