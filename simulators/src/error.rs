//! What can keep a simulator from starting. Rule: once it runs, it answers over HTTP and never fails.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulatorError {
    /// The address to listen on is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// No loopback address of its own could be had for the simulated machines (only Linux answers
    /// on the whole of 127.0.0.0/8 without configuration).
    #[error("no loopback address for simulated machines")]
    Loopback {
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The state file cannot be read.
    #[error("cannot read the state file {}", path.display())]
    StateRead {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The state file is not one that this version wrote.
    #[error("the state file {} is not readable as simulator state", path.display())]
    StateFormat {
        /// The file.
        path: PathBuf,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
}
