//! A Forge (Forgejo or Gitea) as a sign-in provider: OAuth 2 authorization code with PKCE, user
//! information, and a page where one picks a demo person instead of typing a password.
//!
//! Rule: it is as strict as the real one (single-use codes, exact redirect, PKCE verified), or a
//! client that is wrong would pass here and fail there.

mod authorize;
mod config;
mod runtime;
mod token;
mod user;

pub use config::{ForgeConfig, ForgeFault, Person};
pub use runtime::Forge;
