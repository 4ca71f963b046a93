//! SSH: keys, the user data that plants a pinned host key, tasks that outlive the connection,
//! profiles, and the verification of a machine. Rule: a host key is known before the first
//! contact, and private halves are never printed.

mod connection;
mod keys;
mod mask;
mod profile;
mod quote;
mod task;
mod user_data;
mod verify;

pub use connection::{SshFailure, SshTarget, ssh_available};
pub use keys::{HostKey, KeyError, ManagedKey, fingerprint_md5};
pub use mask::{MASKED, mask};
pub use profile::{Checks, PACKAGE_LOCK_MOST, Requirement, is_plain_name, profile_script, profile_within};
pub use quote::shell_quoted;
pub use task::{RemoteTask, TAIL_MOST, TASK_SCRIPT_MOST, Tail, TaskEnd, task_forget, task_run};
pub use user_data::{USER_DATA_MOST, UserData, user_data};
pub use verify::{ssh_wait, verify, verify_profile};
