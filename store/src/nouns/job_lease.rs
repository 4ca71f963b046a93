//! How workers hold jobs: a lease with a fence number. The rule: every change that a worker makes
//! names the fence it was given; if that is no longer the job's, the lease is lost and nothing
//! changes.

use std::sync::LazyLock;

use domain::{
    code::Code,
    id::JobId,
    job::{CommandOutput, JobError, JobStatus, Lane},
    time::Timestamp,
};
use serde_json::Value;

use super::jobs::{COLUMNS, JobRow, lane_number, row};
use crate::{
    Conn, StoreError,
    args::{args, json},
    sql::Statement,
};

// The rows are chosen first and once (MATERIALIZED), so that exactly those are locked and changed.
static CLAIM_QUEUED: LazyLock<Statement> = LazyLock::new(|| {
    let claim = "WITH due AS MATERIALIZED (SELECT id FROM jobs WHERE status = 'queued' AND lane = $5 AND run_after <= $2 \
        ORDER BY run_after, id LIMIT $4{skip_locked}) \
        UPDATE jobs SET status = 'running', attempt = attempt + 1, fence = fence + 1, lease_owner = $1, \
        lease_until = $3, started_at = COALESCE(started_at, $2), version = version + 1 \
        WHERE id IN (SELECT id FROM due) RETURNING {columns}";
    Statement::new(claim, COLUMNS)
});
static CLAIM_EXPIRED: LazyLock<Statement> = LazyLock::new(|| {
    let claim = "WITH due AS MATERIALIZED (SELECT id FROM jobs WHERE status = 'running' AND lane = $5 AND lease_until < $2 \
        ORDER BY lease_until, id LIMIT $4{skip_locked}) \
        UPDATE jobs SET fence = fence + 1, lease_owner = $1, lease_until = $3, version = version + 1 \
        WHERE id IN (SELECT id FROM due) RETURNING {columns}";
    Statement::new(claim, COLUMNS)
});

const NEXT_DUE: &str = "SELECT \
    (SELECT run_after FROM jobs WHERE status = 'queued' AND lane = $1 ORDER BY run_after, id LIMIT 1) AS queued, \
    (SELECT lease_until FROM jobs WHERE status = 'running' AND lane = $1 ORDER BY lease_until, id LIMIT 1) AS running";
const HEARTBEAT: &str = "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND fence = $2 AND status = 'running' \
    RETURNING cancel_requested";
const CHECKPOINT: &str = "UPDATE jobs SET step = COALESCE($3, step), state = $4, progress = $5, version = version + 1 \
    WHERE id = $1 AND fence = $2 AND status = 'running'";
const REQUEUE: &str = "UPDATE jobs SET status = 'queued', run_after = $3, error_code = $4, error_message = $5, \
    error_correlation = $6, lease_owner = NULL, lease_until = NULL, version = version + 1 \
    WHERE id = $1 AND fence = $2 AND status = 'running'";
const POSTPONE: &str = "UPDATE jobs SET status = 'queued', attempt = CASE WHEN attempt > 0 THEN attempt - 1 ELSE 0 END, \
    run_after = $3, error_code = $4, error_message = $5, error_correlation = $6, lease_owner = NULL, lease_until = NULL, \
    version = version + 1 WHERE id = $1 AND fence = $2 AND status = 'running'";
// What waits has not begun: the time until it may go on does not count against its deadline.
const HOLD: &str = "UPDATE jobs SET status = 'queued', attempt = CASE WHEN attempt > 0 THEN attempt - 1 ELSE 0 END, \
    started_at = NULL, run_after = $3, error_code = $4, error_message = $5, error_correlation = $6, lease_owner = NULL, \
    lease_until = NULL, version = version + 1 WHERE id = $1 AND fence = $2 AND status = 'running'";
const WAKE: &str = "UPDATE jobs SET run_after = $2, version = version + 1 \
    WHERE status = 'queued' AND run_after > $2 AND error_code = $1";
const FINISH: &str = "UPDATE jobs SET status = $3, error_code = $4, error_message = $5, error_correlation = $6, finished_at = $7, \
    progress = CASE WHEN $3 = 'succeeded' THEN 100 ELSE progress END, deadline_at = NULL, \
    lease_owner = NULL, lease_until = NULL, version = version + 1 WHERE id = $1 AND fence = $2 AND status = 'running'";
const DEADLINE: &str = "UPDATE jobs SET deadline_at = $3, version = version + 1 \
    WHERE id = $1 AND fence = $2 AND status = 'running'";

const OUTPUT: &str = "UPDATE jobs SET output = $3, version = version + 1 \
    WHERE id = $1 AND fence = $2 AND status = 'running'";
const RELEASE_ALL: &str = "UPDATE jobs SET lease_until = 0, version = version + 1 WHERE status = 'running'";

/// A failure as its three columns hold it.
fn failure(error: Option<&JobError>) -> (Option<Code>, Option<&str>, Option<&str>) {
    (error.map(|e| e.code), error.map(|e| e.message.as_str()), error.and_then(|e| e.correlation_id.as_deref()))
}

impl Conn {
    /// Lets every lease run out, so that what a process before had under way is taken up again at
    /// once. Only for a database that this process has to itself.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn jobs_release_all(&mut self) -> Result<(), StoreError> {
        self.change(RELEASE_ALL, Vec::new()).await?;
        Ok(())
    }

    /// Takes up to `limit` due jobs of a lane for `worker`, until `lease_until` at first: queued ones whose
    /// time has come begin another attempt; running ones whose lease ran out before `now` go on in
    /// the same attempt under a new fence. The longest due come first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_claim_due(
        &mut self,
        worker: &str,
        lane: Lane,
        now: Timestamp,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<JobRow>, StoreError> {
        // What was interrupted first: it may hold something half done.
        let records =
            self.change_rows(&CLAIM_EXPIRED, args![worker, now, lease_until, limit, lane_number(lane)]).await?;
        let mut jobs = records.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        let rest = limit.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        if rest > 0 {
            let records =
                self.change_rows(&CLAIM_QUEUED, args![worker, now, lease_until, rest, lane_number(lane)]).await?;
            let mut queued = records.iter().map(row).collect::<Result<Vec<_>, _>>()?;
            queued.sort_by(|a, b| (a.run_after, &a.id).cmp(&(b.run_after, &b.id)));
            jobs.append(&mut queued);
        }
        Ok(jobs)
    }

    /// When the next job of a lane falls due: the earliest `run_after` of a queued one or end of a lease.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_next_due(&mut self, lane: Lane) -> Result<Option<Timestamp>, StoreError> {
        let Some(record) = self.row(NEXT_DUE, args![lane_number(lane)]).await? else { return Ok(None) };
        Ok([record.opt_time("queued")?, record.opt_time("running")?].into_iter().flatten().min())
    }

    /// Holds a job longer (or shorter: with `lease_until` in the past another worker goes on with
    /// the same attempt at once). Answers whether it is asked to stop; `None` if the lease is lost.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_heartbeat(
        &mut self,
        id: &JobId,
        fence: i64,
        lease_until: Timestamp,
    ) -> Result<Option<bool>, StoreError> {
        let rows = self.change_rows(HEARTBEAT, args![id, fence, lease_until]).await?;
        rows.first().map(|record| record.flag("cancel_requested")).transpose()
    }

    /// Notes how far a job is; without a `step` the last one stays. Answers `false` if the lease is
    /// lost, and then nothing changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_checkpoint(
        &mut self,
        id: &JobId,
        fence: i64,
        step: Option<&str>,
        state: &Value,
        progress: u8,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        let progress = u32::from(progress.min(100));
        self.change_one(CHECKPOINT, args![id, fence, step, json(state)?, progress]).await
    }

    /// Gives a job back to the queue, not before `run_after`, with the failure that caused it if
    /// any. Its next lease is another attempt. Answers `false` if the lease is lost.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_requeue(
        &mut self,
        id: &JobId,
        fence: i64,
        run_after: Timestamp,
        error: Option<&JobError>,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (code, message, correlation) = failure(error);
        self.change_one(REQUEUE, args![id, fence, run_after, code, message, correlation]).await
    }

    /// Puts a leased job back into the queue until `run_after` as if this attempt had not been begun;
    /// answers whether the lease still held.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_postpone(
        &mut self,
        id: &JobId,
        fence: i64,
        run_after: Timestamp,
        error: &JobError,
    ) -> Result<bool, StoreError> {
        let (code, message, correlation) = failure(Some(error));
        self.change_one(POSTPONE, args![id, fence, run_after, code, message, correlation]).await
    }

    /// The same for a job that may not begin now: it counts as not begun.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_hold(
        &mut self,
        id: &JobId,
        fence: i64,
        run_after: Timestamp,
        error: &JobError,
    ) -> Result<bool, StoreError> {
        let (code, message, correlation) = failure(Some(error));
        self.change_one(HOLD, args![id, fence, run_after, code, message, correlation]).await
    }

    /// Makes the queued jobs due at `now` that wait because of `code`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn jobs_wake(&mut self, code: Code, now: Timestamp) -> Result<(), StoreError> {
        self.change(WAKE, args![code, now]).await.map(drop)
    }

    /// Ends a job. Answers `false` if the lease is lost.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if `status` is not one in which a job is over.
    pub async fn job_finish(
        &mut self,
        id: &JobId,
        fence: i64,
        status: JobStatus,
        error: Option<&JobError>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if !status.is_over() {
            return Err(StoreError::Invalid("a job ends succeeded, failed or cancelled"));
        }
        let (code, message, correlation) = failure(error);
        self.change_one(FINISH, args![id, fence, status, code, message, correlation, now]).await
    }

    /// Sets or lifts the deadline. Answers `false` if the lease is lost.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_deadline_set(
        &mut self,
        id: &JobId,
        fence: i64,
        deadline_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.change_one(DEADLINE, args![id, fence, deadline_at]).await
    }

    /// Keeps what the job's command or script wrote so far. Answers `false` if the lease is lost.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_output_set(&mut self, id: &JobId, fence: i64, output: &CommandOutput) -> Result<bool, StoreError> {
        self.change_one(OUTPUT, args![id, fence, json(output)?]).await
    }
}
