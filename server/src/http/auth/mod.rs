//! How callers prove who they are: the admin secret, a session made by it or by the Forge. The
//! rule: what a client can name is never proof.

mod forge;
mod lockout;
mod secret;

pub use forge::{ForgeFailure, ForgeLogin, Pending};
pub use lockout::Locked;
pub(in crate::http) use secret::hex;
pub use secret::{AdminAuth, HashError, Refused, hash_secret};
