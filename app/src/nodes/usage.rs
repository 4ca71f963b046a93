//! What the parts of a node did and took when it was last checked.

use domain::{
    blueprint::{ServiceRole, StackView},
    node::{PartState, PartUsage},
};
use leptos::prelude::*;

use crate::{
    routes::testid,
    ui::{Cell, Code, Column, Row, Status, Table, Tone},
};

const COLUMNS: &[Column] = &[
    Column::text("Service"),
    Column::text("Role"),
    Column::text("State"),
    Column::number("CPU"),
    Column::number("Memory"),
];

/// The table, where the vendor told of parts.
pub(super) fn table(usage: &[PartUsage], stack: Option<&StackView>) -> Option<impl IntoView + use<>> {
    let rows = usage.iter().map(|part| row(part, stack)).collect_view();
    (!usage.is_empty()).then(|| {
        view! {
            <Table caption="What its services took when it was checked" columns=COLUMNS testid=testid::USAGE>
                {rows}
            </Table>
        }
    })
}

fn row(part: &PartUsage, stack: Option<&StackView>) -> impl IntoView + use<> {
    let told = stack.and_then(|stack| stack.services.iter().find(|one| one.name == part.name));
    let role = match told.map(|one| one.role) {
        Some(ServiceRole::Application) => "application",
        Some(ServiceRole::Data) => "data",
        None => "—",
    };
    let tone = match part.state {
        PartState::Healthy | PartState::Up => Tone::Ok,
        PartState::Starting | PartState::Changing => Tone::Busy,
        PartState::Unhealthy => Tone::Bad,
        PartState::Stopped => Tone::Neutral,
    };
    let (name, state) = (part.name.clone(), part.state.as_str());
    let cpu = in_words(part.cpu_millis.map(cores), part.cpu_most_millis.map(cores), "cores");
    let memory = in_words(part.memory_bytes.map(mebibytes), part.memory_most_bytes.map(mebibytes), "MiB");
    view! {
        <Row id=name.clone()>
            <Cell label="Service">
                <Code value=name />
            </Cell>
            <Cell label="Role">{role}</Cell>
            <Cell label="State">
                <Status word=state tone_is=tone />
            </Cell>
            <Cell label="CPU" number=true>
                {cpu}
            </Cell>
            <Cell label="Memory" number=true>
                {memory}
            </Cell>
        </Row>
    }
}

fn in_words(taken: Option<String>, most: Option<String>, unit: &str) -> String {
    match (taken, most) {
        (None, _) => "—".to_owned(),
        (Some(taken), None) => format!("{taken} {unit}"),
        (Some(taken), Some(most)) => format!("{taken} of {most} {unit}"),
    }
}

/// Thousandths of a core as cores.
fn cores(millis: u32) -> String {
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes as mebibytes, to a tenth.
fn mebibytes(bytes: u64) -> String {
    const MEBIBYTE: u64 = 1024 * 1024;
    let (whole, tenths) = (bytes / MEBIBYTE, bytes % MEBIBYTE * 10 / MEBIBYTE);
    if tenths == 0 { whole.to_string() } else { format!("{whole}.{tenths}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_in_cores_and_mebibytes_with_their_limits() {
        let told = |taken, most| in_words(Some(cores(taken)), Some(cores(most)), "cores");
        assert_eq!(told(20, 500), "0.02 of 0.5 cores");
        assert_eq!(told(0, 2000), "0 of 2 cores");
        assert_eq!(in_words(Some(cores(1234)), None, "cores"), "1.234 cores");
        assert_eq!(in_words(None, Some(mebibytes(1)), "MiB"), "—");
        let told: Vec<_> = [0, 104_857, 104_858, 64 << 20, (3 << 30) + (1 << 19)].map(mebibytes).into();
        assert_eq!(told, ["0", "0", "0.1", "64", "3072.5"]);
    }
}
