//! Makes a stack. Rule: nothing is made while something of its name is there that is not ours, and
//! everything may be asked for again: Compose leaves what is as it should be.

use std::{collections::BTreeSet, net::IpAddr};

use domain::code::Code;
use serde_json::json;

use super::{
    command::Call,
    core::{Core, foreign},
    errors::is_port_taken,
    files::{Plan, Written},
    labels::{self, is_ours},
    stack::Stack,
};
use crate::{
    error::{Effect, ProviderError},
    infra::{Machine, MachineFacts, ProvisionWish},
    journal::Journal,
};

/// Whether something may have been asked for whose end is not known; a destruction watches for it.
pub(super) const MAKING: &str = "making";

/// How often the engine is given the occasion to choose other ports; each time it tries ten.
const PORT_TRIES: u32 = 4;

/// What stands where a server has its type.
const TYPE: &str = "compose";

pub(super) async fn run(
    core: &Core,
    wish: &ProvisionWish,
    journal: &mut dyn Journal,
) -> Result<Machine, ProviderError> {
    let Some(stack) = &wish.stack else {
        return Err(ProviderError::new(
            Code::ProviderInvalidRequest,
            "A stack is made from a blueprint; none was given.",
        ));
    };
    let project = core.project(&wish.server_name)?;
    let plan = Plan::new(core, stack, core.owner(&wish.node_id, &wish.server_name), project.clone())?;
    journal.step("create_server", "Make the stack's containers").await?;
    core.alone(&project).await?;
    all_ours(core, &plan).await?;
    // From here on there may be something of it.
    journal.found(MachineFacts { infra_id: Some(project.clone()), ..facts(core, &stack.tag) }).await?;
    let files = plan.written(core)?;
    images_had(core, &plan, &files, &plan.images(), journal).await?;
    journal.put(MAKING, json!(true)).await?;
    up(core, &plan, &files, &["--no-start", "--remove-orphans"]).await?;
    journal.step("start_server", "Start the stack's services").await?;
    up(core, &plan, &files, &["--detach"]).await?;
    journal.put(MAKING, json!(false)).await?;
    journal.step("fetch_server", "Read the stack's ports").await?;
    let there = Stack::read(core, &project).await?;
    if there.units.is_empty() {
        return Err(super::core::gone());
    }
    let status = there.into_status(core, &project);
    journal.found(MachineFacts { infra_id: Some(project.clone()), ..facts(core, &stack.tag) }).await?;
    Ok(Machine {
        infra_id: project,
        action_id: None,
        ipv4: status.ipv4,
        ipv6: status.ipv6,
        host: core.settings.public_host.clone(),
        server_type: TYPE.to_owned(),
        location: location(core),
        image: stack.tag.clone(),
        price_monthly: None,
        price_hourly: None,
        cockpit_port: status.cockpit_port,
    })
}

fn location(core: &Core) -> String {
    core.settings.host.name().unwrap_or("local").to_owned()
}

fn facts(core: &Core, tag: &str) -> MachineFacts {
    let host = &core.settings.public_host;
    let ip = host.parse::<IpAddr>().ok();
    MachineFacts {
        ipv4: ip.filter(IpAddr::is_ipv4).map(|ip| ip.to_string()),
        ipv6: ip.filter(IpAddr::is_ipv6).map(|ip| ip.to_string()),
        host: Some(host.clone()),
        server_type: Some(TYPE.to_owned()),
        location: Some(location(core)),
        image: Some(tag.to_owned()),
        ..MachineFacts::default()
    }
}

/// Whether nothing stands under the project's name, or all of it is ours. Compose would take a
/// volume of the right name for its own, whoever made it.
async fn all_ours(core: &Core, plan: &Plan) -> Result<(), ProviderError> {
    let ours = |of: &labels::Labels| is_ours(of, &plan.owner.instance, &plan.owner.node_id);
    if !Stack::read(core, &plan.project).await?.all(ours) {
        return Err(foreign());
    }
    for name in plan.model.volumes.keys() {
        let there = core.engine.volume(&format!("{}_{name}", plan.project)).await?;
        if there.is_some_and(|it| !ours(&it.labels)) {
            return Err(foreign());
        }
    }
    for name in &plan.model.networks {
        let there = core.engine.networks_named(&format!("{}_{name}", plan.project)).await?;
        if there.into_iter().any(|it| !ours(&it.labels.unwrap_or_default())) {
            return Err(foreign());
        }
    }
    for service in &plan.model.services {
        let there = core.engine.container(&format!("{}-{}-1", plan.project, service.told.name)).await?;
        let labels = |it: bollard::models::ContainerInspectResponse| it.config.and_then(|it| it.labels);
        if there.is_some_and(|it| !ours(&labels(it).unwrap_or_default())) {
            return Err(foreign());
        }
    }
    Ok(())
}

/// Pulls the images that the engine does not have.
pub(super) async fn images_had(
    core: &Core,
    plan: &Plan,
    files: &Written,
    images: &[(&str, String)],
    journal: &mut dyn Journal,
) -> Result<(), ProviderError> {
    for (service, image) in images {
        if core.engine.has_image(image).await? {
            continue;
        }
        journal.detail(&format!("Pulling the image of {service}"), None).await?;
        compose(core, plan, files, &["pull", service]).await.map_err(|error| not_had(service, error))?;
    }
    Ok(())
}

/// Pulls images whether the engine has them or not, since a version's name may have moved; what it
/// has will do where the registry cannot be asked, and then the step says so.
pub(super) async fn images_renewed(
    core: &Core,
    plan: &Plan,
    files: &Written,
    images: &[(&str, String)],
    journal: &mut dyn Journal,
) -> Result<(), ProviderError> {
    let mut stale = Vec::new();
    let mut seen = BTreeSet::new();
    for (service, image) in images {
        if !seen.insert(image) || (image.contains('@') && core.engine.has_image(image).await?) {
            continue;
        }
        journal.detail(&format!("Pulling the image of {service}"), None).await?;
        let Err(error) = compose(core, plan, files, &["pull", service]).await else { continue };
        // What it could not store would be missing later as well.
        if error.code == Code::ProviderQuotaExceeded || !core.engine.has_image(image).await? {
            return Err(not_had(service, error));
        }
        tracing::info!(%error, "an image was not pulled, and the engine's is used");
        stale.push(*service);
    }
    if !stale.is_empty() {
        let told = format!("Not pulled, so what the engine has is used: the image of {}", stale.join(", "));
        journal.detail(&told, None).await?;
    }
    Ok(())
}

fn not_had(service: &str, mut error: ProviderError) -> ProviderError {
    if error.code == Code::ProviderInvalidRequest || error.code == Code::ProviderApiError {
        error.code = Code::ProviderInvalidRequest;
        error.message = format!("The image of the service {service} is not on the engine and cannot be pulled.");
    }
    error.with_effect(Effect::None)
}

/// Makes containers as the files say. One that an engine killed in the middle of starting it cannot
/// start any more is made anew: what it was to keep is in volumes.
pub(super) async fn up(core: &Core, plan: &Plan, files: &Written, words: &[&str]) -> Result<(), ProviderError> {
    let all = |first: &[&'static str]| [first, &["--no-build", "--pull", "never"], words].concat();
    let up = all(&["up"]);
    match other_ports(|| compose(core, plan, files, &up)).await {
        Err(error) if error.code == Code::ProviderLocked => {
            tracing::info!(%error, "a stack's containers are made anew");
            compose(core, plan, files, &all(&["up", "--force-recreate"])).await
        }
        // The stack names none itself: there will be some.
        Err(mut error) if is_port_taken(&error) && plan.model.claims().is_empty() => {
            error.code = Code::ProviderLocked;
            error.message = "The ports that the engine chose are taken; it chooses others later.".to_owned();
            Err(error)
        }
        done => done,
    }
}

/// Begins again where a port of the host is taken: the engine, which chooses ports without looking
/// whether they are free, goes on behind those that it has tried. One that the blueprint claims stays
/// taken.
pub(super) async fn other_ports<F>(start: impl Fn() -> F) -> Result<(), ProviderError>
where
    F: Future<Output = Result<(), ProviderError>>,
{
    for _ in 1..PORT_TRIES {
        match start().await {
            Err(error) if is_port_taken(&error) => tracing::info!("the ports that the engine chose are taken"),
            done => return done,
        }
    }
    start().await
}

/// One call of Compose with the stack's files.
async fn compose(core: &Core, plan: &Plan, files: &Written, words: &[&str]) -> Result<(), ProviderError> {
    let call = Call {
        project: &plan.project,
        files: Some(files.folder()),
        words,
        secrets: Some(&plan.secrets()),
        within: core.timeouts.action,
    };
    settled(core, core.compose.run(&call).await).await
}

/// What a call came to. A failure whose cause Compose does not tell may be the engine's silence.
pub(super) async fn settled(core: &Core, outcome: Result<(), ProviderError>) -> Result<(), ProviderError> {
    let Err(mut error) = outcome else { return Ok(()) };
    if error.code == Code::ProviderApiError && !core.engine.answers().await {
        error.code = Code::ProviderUnreachable;
        error.message = "The engine cannot be reached.".to_owned();
    }
    Err(error)
}
