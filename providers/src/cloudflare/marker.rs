//! The comment that says what is ours: `hangar <installation> <record>`. Rule: it is written in the
//! same call as the record, and nothing is adopted or taken away without all of it.

use md5::{Digest as _, Md5};

const HANGAR: &str = "hangar";
/// The longest comment on free plans.
const COMMENT_MOST: usize = 100;
/// A longer name of an installation stands there as its digest.
const INSTANCE_MOST: usize = 40;

/// The marker of this installation.
#[derive(Debug)]
pub(super) struct Marker {
    instance: String,
}

impl Marker {
    pub(super) fn new(instance: &str) -> Self {
        let instance = if instance.len() <= INSTANCE_MOST {
            instance.to_owned()
        } else {
            let digest = Md5::digest(instance.as_bytes());
            format!("md5-{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        Self { instance }
    }

    /// What every comment of this installation begins with.
    pub(super) fn prefix(&self) -> String {
        format!("{HANGAR} {} ", self.instance)
    }

    /// The comment of a record; `None` when its id has no room in it.
    pub(super) fn comment(&self, record_id: &str) -> Option<String> {
        let comment = format!("{}{record_id}", self.prefix());
        let plain = !record_id.is_empty() && record_id.bytes().all(|b| b.is_ascii_graphic());
        (plain && comment.len() <= COMMENT_MOST).then_some(comment)
    }

    /// The id of our record that a comment names, when it is one of this installation's.
    pub(super) fn record_id<'a>(&self, comment: &'a str) -> Option<&'a str> {
        let id = comment.strip_prefix(&self.prefix())?;
        (!id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic())).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_fits_and_is_recognised_by_its_installation_alone() {
        let record = "dns_018f0000-0000-7000-8000-000000000001";
        for instance in ["inst-1".to_owned(), "i".repeat(63)] {
            let marker = Marker::new(&instance);
            let comment = marker.comment(record).unwrap();
            assert!(comment.len() <= COMMENT_MOST, "{comment}");
            assert_eq!(marker.record_id(&comment), Some(record));
            assert_eq!(Marker::new("inst").record_id(&comment), None);
            assert_eq!(marker.record_id(&comment.replacen("hangar", "Hangar", 1)), None);
        }
        let marker = Marker::new("inst-1");
        assert_eq!(marker.comment(&"x".repeat(100)), None);
        for other in ["", "hangar", "hangar inst-1", "hangar inst-1 ", "hangar inst-1 a b", "hangar inst-11 a"] {
            assert_eq!(marker.record_id(other), None, "{other}");
        }
    }
}
