//! Creations that went out and whose end is not known: they may be carried out later, also after
//! the record was taken away again. Rule: while our record stands, a late creation of it comes to
//! nothing, since the name is taken; so a record that had such creations is kept standing, or
//! watched out for, until none can come any more, and only then taken away.
//!
//! The journal holds under `dns_late:<what>` how many there are, and whether the record that stands
//! came of one whose end is known.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::journal::{Journal, JournalLost};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    open: u32,
    made: bool,
}

fn get(journal: &dyn Journal, what: &str) -> Noted {
    journal.get(&key(what)).and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
}

async fn put(journal: &mut dyn Journal, what: &str, noted: Noted) -> Result<(), JournalLost> {
    if get(journal, what) == noted {
        return Ok(());
    }
    journal.put(&key(what), json!(noted)).await
}

fn key(what: &str) -> String {
    format!("dns_late:{what}")
}

/// How many may still come.
pub(crate) fn open(journal: &dyn Journal, what: &str) -> u32 {
    get(journal, what).open
}

/// One goes out now.
pub(crate) async fn begun(journal: &mut dyn Journal, what: &str) -> Result<(), JournalLost> {
    let noted = get(journal, what);
    put(journal, what, Noted { open: noted.open.saturating_add(1), made: false }).await
}

/// The one that went out last has ended: by making the record, or by nothing.
pub(crate) async fn ended(journal: &mut dyn Journal, what: &str, made: bool) -> Result<(), JournalLost> {
    let noted = get(journal, what);
    put(journal, what, Noted { open: noted.open.saturating_sub(1), made }).await
}

/// The record was found standing: one of them made it, unless that is known already.
pub(crate) async fn found(journal: &mut dyn Journal, what: &str) -> Result<(), JournalLost> {
    if get(journal, what).made { Ok(()) } else { ended(journal, what, true).await }
}

/// None can come any more.
pub(crate) async fn over(journal: &mut dyn Journal, what: &str) -> Result<(), JournalLost> {
    put(journal, what, Noted::default()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::MemoryJournal;

    #[tokio::test]
    async fn each_creation_is_counted_until_its_end_is_known() {
        let mut journal = MemoryJournal::default();
        let journal: &mut dyn Journal = &mut journal;
        begun(journal, "a").await.unwrap();
        begun(journal, "a").await.unwrap();
        assert_eq!((open(journal, "a"), open(journal, "b")), (2, 0));
        found(journal, "a").await.unwrap();
        found(journal, "a").await.unwrap();
        assert_eq!(open(journal, "a"), 1, "one of both made what stands");
        begun(journal, "a").await.unwrap();
        ended(journal, "a", false).await.unwrap();
        assert_eq!(open(journal, "a"), 1);
        over(journal, "a").await.unwrap();
        assert_eq!(open(journal, "a"), 0);
    }
}
