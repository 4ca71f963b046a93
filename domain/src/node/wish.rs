//! What is wanted of a node's verbs, checked as far as it can be without asking anybody. The rule:
//! every refusal names its field.

use crate::{
    blueprint::{TAG_WORDS, is_tag},
    list::FieldError,
    node::{NodeExec, NodeUpgrade},
};

/// The most arguments of a command, the program included.
pub const ARGV_MOST: usize = 100;

/// The most bytes of a command's arguments together.
pub const ARGV_BYTES_MOST: usize = 32 * 1024;

/// How long a command may run unless it says otherwise, in seconds.
pub const EXEC_SECONDS: u32 = 60;

fn wrong(pointer: impl Into<String>, message: &str) -> FieldError {
    FieldError { pointer: pointer.into(), message: message.to_owned() }
}

impl NodeExec {
    /// Seconds after which the command is killed.
    pub fn seconds(&self) -> u32 {
        self.timeout_seconds.unwrap_or(EXEC_SECONDS)
    }

    /// What cannot be accepted.
    ///
    /// # Errors
    /// Every field, with pointers such as `/argv/0`.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        match self.argv.first() {
            None => errors.push(wrong("/argv", "give the program and its arguments")),
            Some(program) if program.trim().is_empty() => errors.push(wrong("/argv/0", "give the program's name")),
            Some(_) => {}
        }
        if self.argv.len() > ARGV_MOST {
            errors.push(wrong("/argv", "must have at most 100 entries"));
        }
        if self.argv.iter().map(String::len).sum::<usize>() > ARGV_BYTES_MOST {
            errors.push(wrong("/argv", "must have at most 32,768 bytes together"));
        }
        for (index, word) in self.argv.iter().enumerate() {
            if word.contains('\0') {
                errors.push(wrong(format!("/argv/{index}"), "must be text"));
            }
        }
        if !(1..=3600).contains(&self.seconds()) {
            errors.push(wrong("/timeout_seconds", "must be from 1 to 3600"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

impl NodeUpgrade {
    /// What cannot be accepted.
    ///
    /// # Errors
    /// Unless exactly one of the three is named, and is what it can be.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        match (&self.server_type, &self.image, &self.tag) {
            (None, None, None) => {
                Err(vec![wrong("/server_type", "name the new server type, an image, or a stack's new tag")])
            }
            (Some(_), Some(_), _) => Err(vec![wrong("/image", "name either a server type or an image, not both")]),
            (Some(_), None, Some(_)) | (None, Some(_), Some(_)) => {
                Err(vec![wrong("/tag", "name either a tag or what a server becomes, not both")])
            }
            (None, None, Some(tag)) if !is_tag(tag) => Err(vec![wrong("/tag", TAG_WORDS)]),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(errors: Result<(), Vec<FieldError>>) -> Vec<String> {
        errors.err().unwrap_or_default().into_iter().map(|e| e.pointer).collect()
    }

    #[test]
    fn a_command_is_refused_by_field() {
        let of = |argv: &[&str], timeout_seconds| NodeExec {
            argv: argv.iter().map(|s| (*s).to_owned()).collect(),
            service: None,
            timeout_seconds,
        };
        assert_eq!(of(&["uptime"], None).check(), Ok(()));
        assert_eq!(of(&["true"], None).seconds(), EXEC_SECONDS);
        assert_eq!(pointers(of(&[], None).check()), ["/argv"]);
        assert_eq!(pointers(of(&[" "], None).check()), ["/argv/0"]);
        assert_eq!(pointers(of(&["sh", "a\0b"], Some(0)).check()), ["/argv/1", "/timeout_seconds"]);
        assert_eq!(pointers(of(&["true"; 101], Some(3601)).check()), ["/argv", "/timeout_seconds"]);
        assert_eq!(pointers(of(&["echo", &"x".repeat(ARGV_BYTES_MOST)], None).check()), ["/argv"]);
    }

    #[test]
    fn an_upgrade_is_to_one_thing() {
        let of = |server_type: Option<&str>, image: Option<&str>| NodeUpgrade {
            server_type: server_type.map(ToOwned::to_owned),
            image: image.map(ToOwned::to_owned),
            tag: None,
        };
        let to = |tag: &str| NodeUpgrade { tag: Some(tag.to_owned()), ..NodeUpgrade::default() };
        assert_eq!(of(Some("cx33"), None).check(), Ok(()));
        assert_eq!(of(None, Some("debian-13")).check(), Ok(()));
        assert_eq!(pointers(of(None, None).check()), ["/server_type"]);
        assert_eq!(pointers(of(Some("cx33"), Some("debian-13")).check()), ["/image"]);
        assert_eq!(to("1.2.3").check(), Ok(()));
        for bad in ["", "../x", "a b", "$(id)", "a\nb", "-x", &"x".repeat(129)] {
            assert_eq!(pointers(to(bad).check()), ["/tag"], "{bad}");
        }
        let both = NodeUpgrade { server_type: Some("cx33".to_owned()), ..to("2") };
        assert_eq!(pointers(both.check()), ["/tag"]);
    }
}
