//! Tells the deployer that a machine was given back. The job is the outbox: it is written with the
//! release and delivered after it, at least once.

use std::{sync::Arc, time::Duration};

use domain::{
    code::{Code, Retry},
    job::{JobError, JobStatus, JobStep, StepStatus},
};
use serde_json::json;
use store::JobRow;

use super::runner::{Failure, Stop};
use crate::{
    fault::Fault,
    services::{Checkpoint, HookCleaned, Lease, ReleaseJobState, Services, event},
};

/// Delivers once.
pub(super) async fn run(services: &Arc<Services>, job: &JobRow, lease: &Lease) -> Result<(), Stop> {
    let entry: ReleaseJobState =
        serde_json::from_value(job.state.clone()).map_err(|e| Stop::from(Fault::internal(&e)))?;
    let begun = services.clock().now();
    let delivered = deliver(services, &entry).await;
    let now = services.clock().now();
    let step = |status, detail: &str| Checkpoint {
        step: Some("release_hook".to_owned()),
        state: job.state.clone(),
        progress: 100,
        steps: vec![(
            0,
            JobStep {
                name: "release_hook".to_owned(),
                label: "Tell the deployer".to_owned(),
                status,
                started_at: Some(begun),
                finished_at: Some(now),
                detail: Some(detail.to_owned()),
            },
        )],
    };
    let owned = (lease.clone(), entry.clone());
    match delivered {
        Ok(hook) => {
            let cleaner = services.cleaner();
            services
                .lease_write(
                    lease,
                    step(
                        StepStatus::Succeeded,
                        match hook {
                            HookCleaned::Yes => "The deployer accepted it.",
                            HookCleaned::No => "There is no release hook any more.",
                        },
                    ),
                    move |c, now| {
                        let ((lease, entry), cleaner) = (owned.clone(), cleaner.clone());
                        Box::pin(async move {
                            Services::release_hook_done_in(c, &entry, hook, &cleaner, now).await?;
                            c.job_finish(&lease.job, lease.fence, JobStatus::Succeeded, None, now).await?;
                            Ok(())
                        })
                    },
                )
                .await?;
            Ok(())
        }
        Err(failure) if job.attempt < job.max_attempts => {
            services
                .lease_write(lease, step(StepStatus::Failed, &failure.error.message), |_, _| Box::pin(async { Ok(()) }))
                .await?;
            Err(Stop::Failed(failure))
        }
        Err(failure) => {
            let error = failure.error.clone();
            let cleaner = services.cleaner();
            services
                .lease_write(lease, step(StepStatus::Failed, &failure.error.message), move |c, now| {
                    let ((lease, entry), error, cleaner) = (owned.clone(), error.clone(), cleaner.clone());
                    Box::pin(async move {
                        Services::release_hook_failed_in(c, &entry, &cleaner, now).await?;
                        c.job_finish(&lease.job, lease.fence, JobStatus::Failed, Some(&error), now).await?;
                        Ok(())
                    })
                })
                .await?;
            Ok(())
        }
    }
}

/// The job is given up without having got so far as to say so itself: the machine is held back or
/// replaced all the same.
pub(super) async fn given_up(services: &Services, job: &JobRow, lease: &Lease, error: JobError) -> Result<(), Stop> {
    let entry: Option<ReleaseJobState> = serde_json::from_value(job.state.clone()).ok();
    let (now, owned, cleaner) = (services.clock().now(), lease.clone(), services.cleaner());
    let held = services
        .store()
        .write::<bool, Fault, _>(move |c| {
            let (lease, error, entry, cleaner) = (owned.clone(), error.clone(), entry.clone(), cleaner.clone());
            Box::pin(async move {
                if !c.job_finish(&lease.job, lease.fence, JobStatus::Failed, Some(&error), now).await? {
                    return Ok(false);
                }
                if let Some(entry) = entry {
                    Services::release_hook_failed_in(c, &entry, &cleaner, now).await?;
                }
                c.event_insert(&[event("job", &lease.job, now.millis(), None)]).await?;
                Ok(true)
            })
        })
        .await?;
    if held { Ok(()) } else { Err(Stop::Lost) }
}

async fn deliver(services: &Services, entry: &ReleaseJobState) -> Result<HookCleaned, Failure> {
    let failed = |message: String| Failure { retry: Retry::Yes, ..Failure::new(Code::JobTimeout, message) };
    let Some(base) = &services.settings().deployer_url else {
        // The hook was taken out of the configuration meanwhile: there is nobody to tell, and
        // nobody who cleans.
        tracing::info!("deployer-release stub: would release pool_vm_id={} here", entry.pool_vm_id);
        return Ok(HookCleaned::No);
    };
    let url = format!("{}/admin/release-vm", base.as_str().trim_end_matches('/'));
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|_| failed("The release hook could not be sent.".to_owned()))?;
    let body = json!({ "pool_vm_id": entry.pool_vm_id, "allocation_id": entry.allocation_id });
    let answer = client
        .post(url)
        .json(&body)
        .send()
        .await
        .map_err(|_| failed("The deployer could not be reached.".to_owned()))?;
    if answer.status().is_success() {
        Ok(HookCleaned::Yes)
    } else {
        Err(failed(format!("The deployer answered {}.", answer.status().as_u16())))
    }
}
