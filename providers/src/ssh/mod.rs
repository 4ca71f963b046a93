//! SSH: keys, the user data that plants a pinned host key, and the verification of a machine.
//! Rule: a host key is known before the first contact, and private halves are never printed.

mod keys;
mod user_data;
mod verify;

pub use keys::{HostKey, KeyError, ManagedKey, fingerprint_md5};
pub use user_data::{USER_DATA_MOST, UserData, user_data};
pub use verify::{SshFailure, SshTarget, ssh_available, verify};
