//! What the services of a stack do and take. Rule: as far as it can be had in time: a container that
//! does not answer is told without numbers, and nothing of this is an error.

use std::time::Duration;

use bollard::models::{ContainerMemoryStats, ContainerStatsResponse};
use domain::{
    node::{PartState, PartUsage},
    time::Timestamp,
};
use futures::{StreamExt as _, stream};
use tokio::time::{sleep, timeout};

use super::{
    core::Core,
    stack::{Health, Stack, Standing, Unit},
};

/// For how long a container's work is measured.
const MEASURED: Duration = Duration::from_millis(500);
/// How long one container may take to tell.
const TOLD_WITHIN: Duration = Duration::from_secs(4);
/// Containers that are measured at once.
const AT_ONCE: usize = 20;

/// Each service of a project, by its name.
pub(super) async fn run(core: &Core, project: &str) -> Vec<PartUsage> {
    let Ok(stack) = Stack::read(core, project).await else { return Vec::new() };
    let parts = stream::iter(stack.units).map(|unit| part(core, unit));
    let mut parts: Vec<_> = parts.buffer_unordered(AT_ONCE).collect().await;
    parts.sort_by(|one, other| one.name.cmp(&other.name));
    parts
}

async fn part(core: &Core, unit: Unit) -> PartUsage {
    let state = match (unit.standing, unit.health) {
        (Standing::Stopped, _) => PartState::Stopped,
        (Standing::Between, _) => PartState::Changing,
        (Standing::Running, Health::Unchecked) => PartState::Up,
        (Standing::Running, Health::Starting) => PartState::Starting,
        (Standing::Running, Health::Healthy) => PartState::Healthy,
        (Standing::Running, Health::Unhealthy) => PartState::Unhealthy,
    };
    let mut part = PartUsage::new(unit.service(), state);
    let measured = async {
        if let Ok(Some(told)) = core.engine.container(&unit.id).await {
            let most = told.host_config.unwrap_or_default();
            part.cpu_most_millis =
                most.nano_cpus.filter(|it| *it > 0).and_then(|it| u32::try_from(it / 1_000_000).ok());
            part.memory_most_bytes = most.memory.filter(|it| *it > 0).and_then(|it| u64::try_from(it).ok());
        }
        if unit.standing != Standing::Running {
            return;
        }
        let Ok(Some(before)) = core.engine.stats(&unit.id).await else { return };
        part.memory_bytes = before.memory_stats.as_ref().and_then(memory);
        sleep(MEASURED).await;
        let Ok(Some(after)) = core.engine.stats(&unit.id).await else { return };
        part.memory_bytes = after.memory_stats.as_ref().and_then(memory).or(part.memory_bytes);
        part.cpu_millis = cpu_millis(&before, &after);
    };
    // What is known by then is kept.
    let _late = timeout(TOLD_WITHIN, measured).await;
    part
}

/// What it took of a core between two moments, in thousandths.
fn cpu_millis(before: &ContainerStatsResponse, after: &ContainerStatsResponse) -> Option<u32> {
    let read = |told: &ContainerStatsResponse| {
        let nanos = told.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?;
        Some((nanos, Timestamp::parse(told.read.as_deref()?)?))
    };
    let ((worked, begun), (worked_then, ended)) = (read(before)?, read(after)?);
    let millis = u64::try_from(ended.since(begun)).ok().filter(|it| *it > 0)?;
    // A container that was started anew meanwhile begins at nothing.
    let worked = worked_then.checked_sub(worked)?;
    u32::try_from(worked / 1000 / millis).ok()
}

/// What it holds, without files that the system reads ahead and lets go of when others need the
/// memory: as `docker stats` counts it.
fn memory(told: &ContainerMemoryStats) -> Option<u64> {
    let cached = told.stats.as_ref().and_then(|all| {
        // Of the older control groups the first, of the newer ones the second.
        all.get("total_inactive_file").or_else(|| all.get("inactive_file")).copied()
    });
    told.usage.filter(|used| *used > 0).map(|used| used.saturating_sub(cached.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stats(read: &str, nanos: u64) -> ContainerStatsResponse {
        serde_json::from_value(json!({"read": read, "cpu_stats": {"cpu_usage": {"total_usage": nanos}}})).unwrap()
    }

    #[test]
    fn work_is_counted_in_thousandths_of_a_core() {
        let before = stats("2026-11-20T04:30:00.123456789Z", 1_000_000_000);
        let after = |millis: u64, nanos| stats(&format!("2026-11-20T04:30:00.{}56789Z", 1234 + millis * 10), nanos);
        assert_eq!(cpu_millis(&before, &after(500, 1_250_000_000)), Some(500));
        assert_eq!(cpu_millis(&before, &after(500, 1_000_000_000)), Some(0));
        assert_eq!(cpu_millis(&before, &after(500, 2_500_000_000)), Some(3000), "several cores");
        assert_eq!(cpu_millis(&before, &after(0, 2_000_000_000)), None, "no time went by");
        assert_eq!(cpu_millis(&before, &after(500, 5)), None, "it was started anew");
        assert_eq!(cpu_millis(&before, &ContainerStatsResponse::default()), None);
    }

    #[test]
    fn what_the_system_only_reads_ahead_is_not_held() {
        let told = |value| memory(&serde_json::from_value(value).unwrap());
        assert_eq!(told(json!({"usage": 100, "stats": {"inactive_file": 30}})), Some(70));
        let older = json!({"usage": 100, "stats": {"inactive_file": 1, "total_inactive_file": 40}});
        assert_eq!(told(older), Some(60));
        assert_eq!(told(json!({"usage": 100})), Some(100));
        assert_eq!(told(json!({})), None);
    }
}
