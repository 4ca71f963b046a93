//! What an account holds in the DNS, and when its credential ends. The rule: people are reminded while
//! there is still time to make another one.

use domain::{
    dns::DnsZoneView,
    id::ProviderId,
    provider::ProviderView,
    time::{HOUR, Millis},
};
use leptos::prelude::*;

use crate::{
    context::now,
    routes,
    routes::testid,
    ui::{Cell, Code, Column, LinkButton, Notice, Row, Section, Table, Time, Tone},
};

/// From how long before the end of a credential on people are reminded.
const REMINDER: Millis = 14 * 24 * HOUR;
const ZONES: &[Column] = &[Column::text("Zone"), Column::text("Vendor's id")];

/// The reminder, once it is time.
pub(super) fn reminder(account: &ProviderView) -> Option<impl IntoView + use<>> {
    let end = account.expires_at?;
    let left = end.since(now().get_untracked());
    let (title, tone) = match left {
        left if left <= 0 => ("The credential has ended", Tone::Bad),
        left if left <= REMINDER => ("The credential ends soon", Tone::Warn),
        _ => return None,
    };
    Some(view! {
        <Notice tone=tone title=title testid=testid::EXPIRY>
            <p>
                "It ends " <Time at=end /> ". Make another one at the vendor and "
                <a class="link" href="#secret">
                    "replace the secret"
                </a> "; what is in use stays in use until then."
            </p>
        </Notice>
    })
}

/// The zones.
pub(super) fn section(id: &ProviderId, zones: Result<Vec<DnsZoneView>, String>) -> impl IntoView + use<> {
    let create = routes::dns_create_in(id);
    let records = routes::dns_through(id);
    let body = match zones {
        Err(why) => view! { <p class="muted">"The zones cannot be read now: " {why}</p> }.into_any(),
        Ok(zones) if zones.is_empty() => {
            view! { <p class="muted">"The vendor shows no zone to this credential."</p> }.into_any()
        }
        Ok(zones) => {
            let rows = zones
                .into_iter()
                .map(|zone| {
                    let name = zone.name.to_string();
                    view! {
                        <Row id=name.clone()>
                            <Cell label="Zone">{name}</Cell>
                            <Cell label="Vendor's id">
                                <Code value=zone.id />
                            </Cell>
                        </Row>
                    }
                })
                .collect_view();
            view! {
                <Table caption="Zones" columns=ZONES testid=testid::ZONES>
                    {rows}
                </Table>
                <p class="below">
                    <LinkButton href=create small=true>
                        "Create record"
                    </LinkButton> " "
                    <LinkButton href=records small=true>
                        "Its records"
                    </LinkButton>
                </p>
            }
            .into_any()
        }
    };
    view! {
        <Section title="Zones" id="zones" note="The zones that this credential sees. Hangar touches nothing in them but its own records.">
            {body}
        </Section>
    }
}
