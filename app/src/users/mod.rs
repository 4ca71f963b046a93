//! People.

pub mod api;
mod page;

pub use page::UsersPage;
