//! The DNS records that name a node.

use domain::dns::{DnsRecordView, DnsState};
use leptos::prelude::*;

use crate::{
    routes,
    routes::testid,
    ui::{Cell, Code, Column, Row, RowLink, Section, Status, Table, Time, Tone},
};

/// Most records of a node that its page shows.
#[cfg(feature = "ssr")]
const SHOWN: u32 = 200;

/// The records that go with a node, under whatever name they stand and whatever became of them.
#[cfg(feature = "ssr")]
pub(super) fn of_node(id: &domain::id::NodeId) -> domain::list::Filter {
    domain::list::Filter {
        node: Some(id.to_string()),
        status: Some("live".to_owned()),
        limit: Some(SHOWN),
        ..domain::list::Filter::default()
    }
}

const RECORDS: &[Column] =
    &[Column::text("Name"), Column::text("Content"), Column::text("Status"), Column::text("Observed")];

/// The records, if there are any.
pub(super) fn section(records: &[DnsRecordView]) -> impl IntoView + use<> {
    let rows: Vec<_> = records.iter().cloned().map(row).collect();
    (!rows.is_empty()).then(|| {
        view! {
            <Section title="DNS records" id="records" note="They are made with the node and taken away before it.">
                <Table caption="DNS records" columns=RECORDS testid=testid::RECORDS_OF>
                    {rows}
                </Table>
            </Section>
        }
    })
}

fn row(record: DnsRecordView) -> impl IntoView {
    let DnsRecordView { id, fqdn, kind, content, state, freshness, drift, .. } = record;
    let content = Some(content).filter(|content| !content.is_empty());
    // What could not be made never stood there: something else does.
    let word = if state == DnsState::Failed { "name taken" } else { "drift" };
    let drift =
        (!drift.is_empty()).then(|| view! { <span class="cell-sub"><Status word=word tone_is=Tone::Warn /></span> });
    view! {
        <Row id=id.to_string()>
            <Cell label="Name">
                <span class="name">
                    <RowLink href=routes::dns_record(&id)>{fqdn}</RowLink>
                </span>
                <span class="cell-sub">{kind.as_str()}</span>
            </Cell>
            <Cell label="Content">
                <Code value=content />
            </Cell>
            <Cell label="Status">
                <Status word=state.as_str() />
                {drift}
            </Cell>
            <Cell label="Observed">
                <Time at=freshness.observed_at />
            </Cell>
        </Row>
    }
}

/// What of them goes with the node, in words that follow its server: " and its records …".
pub(super) fn words(records: &[DnsRecordView], fqdn: Option<&str>) -> String {
    let all: Vec<String> = records
        .iter()
        .filter(|record| record.state != DnsState::Failed)
        .map(|record| format!("{} {} ({})", record.kind, record.fqdn, record.content))
        .collect();
    match (all.as_slice(), fqdn) {
        ([], None) => String::new(),
        ([], Some(fqdn)) => format!(" and its record {fqdn}"),
        ([one], _) => format!(" and its record {one}"),
        (several, _) => format!(" and its records {}", several.join(", ")),
    }
}
