//! The audit trail. The rule: lines are added, never changed; the id's order is the order of events.

use std::sync::LazyLock;

use domain::{
    audit::AuditEntry,
    job::Subject,
    list::{Filter, Page},
};

use crate::{
    Conn, StoreError,
    args::args,
    list::{Letters, List, ListOf},
    record::Record,
};

pub(crate) const COLUMNS: &[&str] = &[
    "id",
    "at",
    "actor",
    "actor_name",
    "action",
    "subject_type",
    "subject_id",
    "outcome",
    "code",
    "detail",
    "request_id",
];

static LIST: LazyLock<ListOf> = LazyLock::new(|| ListOf {
    select: format!("SELECT {} FROM audit", COLUMNS.join(", ")),
    table: "audit",
    id: "id",
    prefix: "aud_",
    search: "subject_id",
    letters: Letters::AsTheyAre,
});

const OF: &str = "SELECT id, at, actor, actor_name, action, subject_type, subject_id, outcome, code, detail, request_id \
    FROM audit WHERE subject_id = $1 AND subject_type = $2 ORDER BY id DESC LIMIT $3";

fn entry(record: &Record) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        id: record.parse("id")?,
        at: record.time("at")?,
        actor: record.text("actor")?,
        actor_name: record.opt_text("actor_name")?,
        action: record.text("action")?,
        subject: Subject { kind: record.text("subject_type")?, id: record.text("subject_id")? },
        outcome: record.parse("outcome")?,
        code: record.opt_code("code")?,
        detail: record.opt_text("detail")?,
    })
}

impl Conn {
    /// Adds a line. It is written just before the commit, so the operation itself cannot read it;
    /// a fault of it shows in the answer of the whole operation.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] outside a write.
    pub async fn audit_insert(&mut self, entry: &AuditEntry, request_id: Option<&str>) -> Result<(), StoreError> {
        self.may_change()?;
        self.pending.audit(args![
            &entry.id,
            entry.at,
            &entry.actor,
            &entry.actor_name,
            &entry.action,
            &entry.subject.kind,
            &entry.subject.id,
            entry.outcome,
            entry.code,
            &entry.detail,
            request_id,
        ]);
        Ok(())
    }

    /// A page of the trail, newest first: `status` is the outcome, `kind` the kind of subject,
    /// `subject` its id, `user` the actor; `q` begins a subject's id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_page(&mut self, filter: &Filter) -> Result<Page<AuditEntry>, StoreError> {
        audit_list(filter).page(self, filter, entry).await
    }

    /// How many lines fit `filter`, counted up to `cap`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_count(&mut self, filter: &Filter, cap: u32) -> Result<u32, StoreError> {
        audit_list(filter).count(self, cap).await
    }

    /// The newest lines about one subject.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_of(
        &mut self,
        subject_type: &str,
        subject_id: &str,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.rows(OF, args![subject_id, subject_type, limit]).await?.iter().map(entry).collect()
    }
}

fn audit_list(filter: &Filter) -> List<'static> {
    List::new(&LIST)
        .only("subject_id", filter.subject.as_deref())
        .only("actor", filter.user.as_deref())
        .only("outcome", filter.status.as_deref())
        .only("subject_type", filter.kind.as_deref())
        .search(filter)
}
