//! The ports of the pages, implemented over the services. The rule: call, project the error,
//! nothing else; what may be done is decided in the services.

#![expect(clippy::result_large_err, reason = "the ports answer with the problem itself")]

mod blueprints;
mod dns;
mod nodes;
mod orphans;
mod people;
mod pools;
mod profiles;
mod providers;
mod service;
mod settings;

use std::sync::Arc;

use app::{
    ports::{Answer, Ports},
    ui::ActedView,
};
use domain::job::JobView;

use crate::{
    fault::Fault,
    http::problem_of,
    services::{Acted, Services},
};

/// Every port over `services`.
pub fn ports(services: Arc<Services>) -> Ports {
    let backend = Arc::new(Backend { services });
    Ports {
        session: backend.clone(),
        account: backend.clone(),
        overview: backend.clone(),
        services: backend.clone(),
        providers: backend.clone(),
        nodes: backend.clone(),
        dns: backend.clone(),
        pools: backend.clone(),
        allocations: backend.clone(),
        users: backend.clone(),
        jobs: backend.clone(),
        blueprints: backend.clone(),
        backups: backend.clone(),
        profiles: backend.clone(),
        orphans: backend.clone(),
        settings: backend.clone(),
        audit: backend,
    }
}

/// All ports in one.
struct Backend {
    services: Arc<Services>,
}

/// The failure as pages show it.
fn answer<T>(result: Result<T, Fault>) -> Answer<T> {
    result.map_err(problem_of)
}

/// What an action came to, in words.
fn acted(result: Result<Acted, Fault>) -> Answer<ActedView> {
    Ok(match answer(result)? {
        Acted::Accepted { job_id } => {
            ActedView { job_id: Some(job_id), message: "It is under way; the job shows how it goes.".to_owned() }
        }
        Acted::Done(value) => {
            let said = value.get("message").or_else(|| value.get("last_message")).and_then(serde_json::Value::as_str);
            ActedView { job_id: None, message: said.unwrap_or("Done.").to_owned() }
        }
    })
}

fn acted_on(result: Result<JobView, Fault>) -> Answer<ActedView> {
    let job = answer(result)?;
    let message = if job.cancel_requested && !job.status.is_over() {
        "The job is being cancelled.".to_owned()
    } else {
        format!("The job is {}.", job.status)
    };
    Ok(ActedView { job_id: Some(job.id), message })
}
