//! The timeline of a job.

use domain::{id::JobId, job::JobStep};

use crate::{Conn, StoreError, args::args, record::Record};

const PUT: &str = "INSERT INTO job_steps (job_id, seq, name, label, status, started_at, finished_at, detail) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (job_id, seq) DO UPDATE SET name = excluded.name, \
    label = excluded.label, status = excluded.status, started_at = excluded.started_at, \
    finished_at = excluded.finished_at, detail = excluded.detail";
const OF: &str = "SELECT name, label, status, started_at, finished_at, detail FROM job_steps WHERE job_id = $1 ORDER BY seq LIMIT 500";
const CLEAR: &str = "DELETE FROM job_steps WHERE job_id = $1";

fn step(record: &Record) -> Result<JobStep, StoreError> {
    Ok(JobStep {
        name: record.text("name")?,
        label: record.text("label")?,
        status: record.parse("status")?,
        started_at: record.opt_time("started_at")?,
        finished_at: record.opt_time("finished_at")?,
        detail: record.opt_text("detail")?,
    })
}

impl Conn {
    /// Writes the step at place `seq`, whether it is there or not.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if there is no such job.
    pub async fn job_step_put(&mut self, job: &JobId, seq: i64, step: &JobStep) -> Result<(), StoreError> {
        let args =
            args![job, seq, &step.name, &step.label, step.status, step.started_at, step.finished_at, &step.detail];
        self.change(PUT, args).await.map(drop)
    }

    /// The steps in order; at most 500.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_steps(&mut self, job: &JobId) -> Result<Vec<JobStep>, StoreError> {
        self.rows(OF, args![job]).await?.iter().map(step).collect()
    }

    /// Forgets the steps.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn job_steps_clear(&mut self, job: &JobId) -> Result<(), StoreError> {
        self.change(CLEAR, args![job]).await.map(drop)
    }
}
