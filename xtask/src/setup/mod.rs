//! What the machine must have for building and testing, and how it gets there.
//!
//! Root on Debian: installed. Everybody else: named, with the command that installs it.
//! Rule: nothing here asks for a password, starts a service of the system or changes its settings.

mod apt;
pub mod bind;
pub mod chromium;
pub mod docker;
pub mod hetzner;
pub mod node;
pub mod postgres;
pub mod python;
pub mod sshd;
pub mod wasm_target;

pub use apt::is_root;
use std::fmt;

/// Something that this machine does not have.
#[derive(Debug, Clone)]
pub struct Missing {
    /// What it is and why it is not here.
    pub reason: String,
    /// The command that would install it.
    pub install: String,
}

/// What was looked for, or why it is not there.
pub type Found<T> = Result<T, Missing>;

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; to install: {}", self.reason, self.install)
    }
}

impl std::error::Error for Missing {}
