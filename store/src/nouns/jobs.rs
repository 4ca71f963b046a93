//! Jobs as people see and steer them; how workers hold them is in `job_lease`. The rule: the rows
//! are the queue, there is no other.

use std::sync::LazyLock;

use domain::{
    id::{JobId, UserId},
    job::{CommandOutput, JobError, JobKind, JobStatus, Lane, Subject},
    list::{Filter, Page},
    time::Timestamp,
};
use serde_json::Value;

use crate::{
    Conn, FreshId as _, StoreError,
    args::{Arg, args, json, opt_json},
    list::{Letters, List, ListOf},
    record::Record,
    sql::{Statement, Table},
};

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub status: JobStatus,
    /// What it is about.
    pub subject: Subject,
    /// The name of what it is about.
    pub subject_name: Option<String>,
    /// Attempts begun so far.
    pub attempt: u32,
    /// Attempts before it is given up.
    pub max_attempts: u32,
    /// The step it is in or was in last.
    pub step: Option<String>,
    /// The job's own checkpoint.
    pub state: Value,
    /// Percent done, 0 to 100.
    pub progress: u8,
    /// The last failure.
    pub error: Option<JobError>,
    /// What its command or script wrote; secrets are masked.
    pub output: Option<CommandOutput>,
    /// Whether somebody asked it to stop.
    pub cancel_requested: bool,
    /// Counts the leases; whoever holds an older number holds nothing.
    pub fence: i64,
    /// Who holds it.
    pub lease_owner: Option<String>,
    /// Until when, without another sign of life.
    pub lease_until: Option<Timestamp>,
    /// Not before this moment.
    pub run_after: Timestamp,
    /// When the present step or the whole job must be done.
    pub deadline_at: Option<Timestamp>,
    /// Who asked for it.
    pub created_by: UserId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was first begun.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// Counts every change but signs of life.
    pub version: i64,
}

impl JobRow {
    /// A job that nobody has begun, due at `now`.
    pub fn queued(
        kind: JobKind,
        subject: Subject,
        subject_name: Option<String>,
        state: Value,
        max_attempts: u32,
        created_by: &UserId,
        now: Timestamp,
    ) -> Self {
        Self {
            id: JobId::fresh(),
            kind,
            status: JobStatus::Queued,
            subject,
            subject_name,
            attempt: 0,
            max_attempts,
            step: None,
            state,
            progress: 0,
            error: None,
            output: None,
            cancel_requested: false,
            fence: 0,
            lease_owner: None,
            lease_until: None,
            run_after: now,
            deadline_at: None,
            created_by: created_by.clone(),
            created_at: now,
            started_at: None,
            finished_at: None,
            version: 1,
        }
    }
}

const STORED: &[&str] = &[
    "id",
    "kind",
    "status",
    "subject_type",
    "subject_id",
    "subject_name",
    "search",
    "attempt",
    "max_attempts",
    "step",
    "state",
    "progress",
    "error_code",
    "error_message",
    "error_correlation",
    "output",
    "lane",
    "cancel_requested",
    "fence",
    "lease_owner",
    "lease_until",
    "run_after",
    "deadline_at",
    "created_by",
    "created_at",
    "started_at",
    "finished_at",
    "version",
];
pub(crate) const COLUMNS: &str = "id, kind, status, subject_type, subject_id, subject_name, attempt, max_attempts, \
    step, state, progress, error_code, error_message, error_correlation, output, cancel_requested, fence, lease_owner, lease_until, run_after, \
    deadline_at, created_by, created_at, started_at, finished_at, version";

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new("jobs", STORED, COLUMNS));
static OPEN_FOR: LazyLock<Statement> = LazyLock::new(|| {
    let open = "SELECT {columns} FROM jobs WHERE subject_id = $1 AND subject_type = $2 \
        AND status IN ('queued', 'running') ORDER BY id DESC LIMIT 1";
    Statement::new(open, COLUMNS)
});
static LATEST_FOR: LazyLock<Statement> = LazyLock::new(|| {
    let latest = "SELECT {columns} FROM jobs WHERE subject_id = $1 AND subject_type = $2 ORDER BY id DESC LIMIT 1";
    Statement::new(latest, COLUMNS)
});
static LIST: LazyLock<ListOf> = LazyLock::new(|| ListOf {
    select: format!("SELECT {COLUMNS} FROM jobs"),
    table: "jobs",
    id: "id",
    prefix: "job_",
    search: "search",
    letters: Letters::Folded,
});

const COUNTS: &str = "SELECT \
    CAST((SELECT COUNT(*) FROM jobs WHERE status = 'running') AS BIGINT) AS running, \
    CAST((SELECT COUNT(*) FROM jobs WHERE status = 'queued') AS BIGINT) AS queued";
const CANCEL: &str = "UPDATE jobs SET cancel_requested = 1, run_after = $2, version = version + 1 \
    WHERE id = $1 AND status IN ('queued', 'running')";
const RESTART: &str = "UPDATE jobs SET status = 'queued', attempt = 0, max_attempts = $4, cancel_requested = 0, \
    state = $2, step = NULL, progress = 0, error_code = NULL, error_message = NULL, error_correlation = NULL, \
    output = NULL, run_after = $3, \
    started_at = NULL, finished_at = NULL, deadline_at = NULL, lease_owner = NULL, lease_until = NULL, version = version + 1 \
    WHERE id = $1 AND status IN ('failed', 'cancelled')";
const RETRY: &str = "UPDATE jobs SET status = 'queued', attempt = 0, cancel_requested = 0, run_after = $2, \
    finished_at = NULL, deadline_at = NULL, lease_owner = NULL, lease_until = NULL, version = version + 1 \
    WHERE id = $1 AND status IN ('failed', 'cancelled')";

/// A lane as the database writes it.
pub(crate) fn lane_number(lane: Lane) -> i64 {
    match lane {
        Lane::Removing => 0,
        Lane::Making => 1,
    }
}

fn values(j: &JobRow) -> Result<Vec<Arg>, StoreError> {
    Ok(args![
        &j.id,
        j.kind,
        j.status,
        &j.subject.kind,
        &j.subject.id,
        &j.subject_name,
        j.subject_name.as_deref().unwrap_or_default().to_lowercase(),
        j.attempt,
        j.max_attempts,
        &j.step,
        json(&j.state)?,
        u32::from(j.progress),
        j.error.as_ref().map(|e| e.code),
        j.error.as_ref().map(|e| e.message.as_str()),
        j.error.as_ref().and_then(|e| e.correlation_id.as_deref()),
        opt_json(j.output.as_ref())?,
        lane_number(j.kind.lane()),
        j.cancel_requested,
        j.fence,
        &j.lease_owner,
        j.lease_until,
        j.run_after,
        j.deadline_at,
        &j.created_by,
        j.created_at,
        j.started_at,
        j.finished_at,
        j.version,
    ])
}

pub(crate) fn row(record: &Record) -> Result<JobRow, StoreError> {
    let code = record.opt_code("error_code")?;
    let message = record.opt_text("error_message")?.unwrap_or_default();
    let correlation_id = record.opt_text("error_correlation")?;
    Ok(JobRow {
        id: record.parse("id")?,
        kind: record.parse("kind")?,
        status: record.parse("status")?,
        subject: Subject { kind: record.text("subject_type")?, id: record.text("subject_id")? },
        subject_name: record.opt_text("subject_name")?,
        attempt: record.number("attempt")?,
        max_attempts: record.number("max_attempts")?,
        step: record.opt_text("step")?,
        state: record.json("state")?,
        progress: record.number("progress")?,
        error: code.map(|code| JobError { code, message, correlation_id }),
        output: record.opt_json("output")?,
        cancel_requested: record.flag("cancel_requested")?,
        fence: record.int("fence")?,
        lease_owner: record.opt_text("lease_owner")?,
        lease_until: record.opt_time("lease_until")?,
        run_after: record.time("run_after")?,
        deadline_at: record.opt_time("deadline_at")?,
        created_by: record.parse("created_by")?,
        created_at: record.time("created_at")?,
        started_at: record.opt_time("started_at")?,
        finished_at: record.opt_time("finished_at")?,
        version: record.int("version")?,
    })
}

fn list(filter: &Filter) -> List<'static> {
    let list = List::new(&LIST);
    let (status, kind) = (filter.status.as_deref(), filter.kind.as_deref());
    let list = match filter.subject.as_deref() {
        Some(subject) => list.only("subject_id", Some(subject)).only("status", status).only("kind", kind),
        None => list.only("status", status).and("kind", kind),
    };
    list.search(filter)
}

impl Conn {
    /// Adds a job.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::JOB_ONE_OPEN`](crate::constraint::JOB_ONE_OPEN) if
    /// another one is open on the same node.
    pub async fn job_insert(&mut self, job: &JobRow) -> Result<(), StoreError> {
        self.change(&TABLE.insert, values(job)?).await.map(drop)
    }

    /// A job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_get(&mut self, id: &JobId) -> Result<Option<JobRow>, StoreError> {
        self.row(&TABLE.get, args![id]).await?.as_ref().map(row).transpose()
    }

    /// A job, held until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_lock(&mut self, id: &JobId) -> Result<Option<JobRow>, StoreError> {
        self.row(&TABLE.lock, args![id]).await?.as_ref().map(row).transpose()
    }

    /// The newest open job on a thing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_open_for(&mut self, subject_type: &str, subject_id: &str) -> Result<Option<JobRow>, StoreError> {
        self.row(&OPEN_FOR, args![subject_id, subject_type]).await?.as_ref().map(row).transpose()
    }

    /// The newest job on a thing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_latest_for(&mut self, subject_type: &str, subject_id: &str) -> Result<Option<JobRow>, StoreError> {
        self.row(&LATEST_FOR, args![subject_id, subject_type]).await?.as_ref().map(row).transpose()
    }

    /// A page of jobs, newest first: `status`, `kind`, `subject` is the subject's id; `q` begins the
    /// subject's name or the job's id.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`].
    pub async fn jobs_page(&mut self, filter: &Filter) -> Result<Page<JobRow>, StoreError> {
        list(filter).page(self, filter, row).await
    }

    /// How many jobs fit `filter`, counted up to `cap`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn jobs_count(&mut self, filter: &Filter, cap: u32) -> Result<u32, StoreError> {
        list(filter).count(self, cap).await
    }

    /// How many jobs run and how many are queued.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn jobs_status_counts(&mut self) -> Result<(u32, u32), StoreError> {
        match self.row(COUNTS, Vec::new()).await? {
            Some(record) => Ok((record.number("running")?, record.number("queued")?)),
            None => Ok((0, 0)),
        }
    }

    /// Asks an open job to stop and makes it due at `now`; answers whether it was open.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_cancel_request(&mut self, id: &JobId, now: Timestamp) -> Result<bool, StoreError> {
        self.change_one(CANCEL, args![id, now]).await
    }

    /// Queues a failed or cancelled job again with fresh attempts; its last error stays to be seen.
    /// Answers whether it was one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::JOB_ONE_OPEN`](crate::constraint::JOB_ONE_OPEN).
    pub async fn job_retry(&mut self, id: &JobId, now: Timestamp) -> Result<bool, StoreError> {
        self.change_one(RETRY, args![id, now]).await
    }

    /// Queues a failed or cancelled job again from the checkpoint `state`, with fresh attempts and an
    /// empty timeline. Answers whether it was one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] of [`constraint::JOB_ONE_OPEN`](crate::constraint::JOB_ONE_OPEN).
    pub async fn job_restart(
        &mut self,
        id: &JobId,
        state: &Value,
        max_attempts: u32,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let restarted = self.change_one(RESTART, args![id, json(state)?, now, max_attempts]).await?;
        if restarted {
            self.job_steps_clear(id).await?;
        }
        Ok(restarted)
    }
}
