//! Profiles: how Hangar prepares and checks a machine. The rule: what a profile installs and what
//! its check looks for are one list.

use serde::{Deserialize, Serialize};

use crate::{id::UserId, list::FieldError, time::Timestamp, valid::ProfileName};

/// The most bytes of a profile's script.
pub const SCRIPT_MOST: usize = 64 * 1024;

/// How long a profile's script may run unless it says otherwise, in seconds.
pub const SCRIPT_SECONDS: u32 = 900;

/// A command that a profile wants on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProfileRequirement {
    /// What must answer to `command -v`.
    pub command: String,
    /// The package that brings it; when absent it is only looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// What a profile does; what is stored is never changed, only followed by another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProfileDefinition {
    /// What it installs, and what its check looks for.
    #[serde(default)]
    pub requires: Vec<ProfileRequirement>,
    /// A POSIX shell script that may run again and again, run as root after the packages; up to
    /// 64 KiB. Not a place for secrets: every administrator can read it.
    #[serde(default)]
    pub script: String,
    /// After so many seconds it is killed: 10 to 3600; 900 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
}

impl ProfileDefinition {
    /// What `base` does until an administrator says otherwise: nothing but the commands that
    /// practically every cockpit's installer needs.
    pub fn base() -> Self {
        let of = |name: &str| ProfileRequirement { command: name.to_owned(), package: Some(name.to_owned()) };
        Self { requires: vec![of("curl"), of("tar")], script: String::new(), timeout_seconds: None }
    }

    /// Seconds after which the script is killed.
    pub fn seconds(&self) -> u32 {
        self.timeout_seconds.unwrap_or(SCRIPT_SECONDS)
    }

    /// What cannot be accepted.
    ///
    /// # Errors
    /// Every field, with pointers such as `/requires/0/command`.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut refuse =
            |pointer: String, message: &str| errors.push(FieldError { pointer, message: message.to_owned() });
        let name = |text: &str| {
            (1..=64).contains(&text.len())
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-'))
        };
        if self.requires.len() > 100 {
            refuse("/requires".to_owned(), "must have at most 100 entries");
        }
        for (index, requirement) in self.requires.iter().enumerate() {
            let what = "must be 1 to 64 of letters, digits, . _ + and -, beginning with a letter or digit";
            if !name(&requirement.command) {
                refuse(format!("/requires/{index}/command"), what);
            }
            if requirement.package.as_deref().is_some_and(|package| !name(package)) {
                refuse(format!("/requires/{index}/package"), what);
            }
        }
        if self.script.len() > SCRIPT_MOST {
            refuse("/script".to_owned(), "must have at most 65,536 bytes");
        }
        if self.script.contains('\0') {
            refuse("/script".to_owned(), "must be text");
        }
        if !(10..=3600).contains(&self.seconds()) {
            refuse("/timeout_seconds".to_owned(), "must be from 10 to 3600");
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// A profile as the API and the pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProfileView {
    /// Its name.
    pub name: ProfileName,
    /// The newest version; 0 is what Hangar ships.
    pub version: u32,
    /// What it does; `None` for `none`, by which Hangar does not log in.
    pub definition: Option<ProfileDefinition>,
    /// Live nodes that have it.
    pub nodes: u32,
    /// When this version was stored.
    pub changed_at: Option<Timestamp>,
    /// By whom.
    pub changed_by: Option<UserId>,
    /// The versions there are, the newest first; empty in lists.
    #[serde(default)]
    pub versions: Vec<ProfileVersion>,
}

/// One stored version of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProfileVersion {
    /// Counts from 1; 0 is what Hangar ships.
    pub version: u32,
    /// When it was stored.
    pub changed_at: Option<Timestamp>,
    /// By whom.
    pub changed_by: Option<UserId>,
}
