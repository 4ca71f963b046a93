//! What is recorded of a node: its facts, what it costs, how it is prepared, its health.

use domain::{
    node::{Cleanup, NodeState, NodeView},
    valid::CockpitUrl,
};
use leptos::prelude::*;

use super::{services, usage};
use crate::{
    routes,
    ui::{Cockpit, Code, Fact, Facts, Id, Section, Status, Time, Tone, money_hourly, money_monthly},
};

/// The facts.
pub(super) fn facts(node: &NodeView) -> impl IntoView + use<> {
    let code = |value: &Option<String>| {
        let value = value.clone();
        view! { <Code value=value /> }.into_any()
    };
    let [host, ipv4, ipv6, infra_id, image] =
        [&node.host, &node.ipv4, &node.ipv6, &node.infra_id, &node.image].map(code);
    let fqdn = match &node.fqdn {
        Some(fqdn) => {
            let (href, name) = (routes::dns_named(fqdn), fqdn.clone());
            view! {
                <a class="link" href=href>
                    {name}
                </a>
            }
            .into_any()
        }
        None => view! { <span class="none">"—"</span> }.into_any(),
    };
    let price = price(node);
    let place = [&node.server_type, &node.location].map(|one| one.clone().unwrap_or_else(|| "—".to_owned()));
    let [server_type, location] = place;
    let pool = node.pool.as_ref().map(|pool| (routes::pool(pool), pool.to_string()));
    let pool = match pool {
        Some((href, name)) => view! {
            <a class="link" href=href>
                {name}
            </a>
        }
        .into_any(),
        None => view! { <span class="none">"—"</span> }.into_any(),
    };
    // A link that leads nowhere now is no link.
    let cockpit: Option<CockpitUrl> =
        node.cockpit_url.as_deref().filter(|_| node.state == NodeState::Ready).and_then(|url| url.parse().ok());
    let stage = node.failed_stage.map(|stage| {
        view! {
            <Fact label="Failed stage">
                <Status word=stage.as_str() tone_is=Tone::Bad />
            </Fact>
        }
    });
    let (id, created) = (node.id.to_string(), node.created_at);
    // Nothing to take away is nothing to say.
    let cleanup = (node.cleanup != Cleanup::None).then(|| {
        let word = node.cleanup.as_str();
        view! {
            <Fact label="Cleanup">
                <Status word=word />
            </Fact>
        }
    });
    let (account, account_name) = (routes::provider(&node.provider_id), node.provider_name.clone());
    let kind = node.provider.clone();
    let made_of = match &node.stack {
        Some(stack) => services::facts(stack).into_any(),
        None => view! {
            <Fact label="Type">{server_type}</Fact>
            <Fact label="Location">{location}</Fact>
            <Fact label="Image">{image}</Fact>
            <Fact label="Price">{price}</Fact>
        }
        .into_any(),
    };
    let profile = node.stack.is_none().then(|| {
        let profile = profile(node);
        view! { <Fact label="Profile">{profile}</Fact> }
    });
    view! {
        <Facts>
            <Fact label="Host">{host}</Fact>
            <Fact label="IPv4">{ipv4}</Fact>
            <Fact label="IPv6">{ipv6}</Fact>
            <Fact label="DNS name">{fqdn}</Fact>
            <Fact label="Provider">
                <a class="link" href=account>
                    {account_name}
                </a>
                <span class="muted">" "{kind}</span>
            </Fact>
            <Fact label="Infra id">{infra_id}</Fact>
            {made_of}
            <Fact label="Pool">{pool}</Fact>
            <Fact label="Cockpit">
                <Cockpit url=cockpit />
            </Fact>
            {profile}
            {cleanup}
            {stage}
            <Fact label="Asked for">
                <Time at=created />
            </Fact>
            <Fact label="Id">
                <Id value=id />
            </Fact>
        </Facts>
    }
}

/// What it costs, by the month and by the hour.
fn price(node: &NodeView) -> impl IntoView + use<> {
    let (Some(monthly), Some(currency)) = (&node.price_monthly, &node.currency) else {
        return view! { <span class="none">"—"</span> }.into_any();
    };
    let monthly = money_monthly(monthly, currency);
    let hourly = node.price_hourly.as_ref().map(|hourly| {
        let hourly = money_hourly(hourly, currency);
        view! { <span class="fact-sub muted small">{hourly}</span> }
    });
    view! {
        {monthly}
        {hourly}
    }
    .into_any()
}

/// How it is prepared and checked, in which version that ran on it last.
fn profile(node: &NodeView) -> impl IntoView + use<> {
    let (href, name) = (routes::profile(&node.profile), node.profile.to_string());
    let version = node.profile_version.filter(|_| node.profile.has_login()).map(|version| match version {
        0 => "as shipped".to_owned(),
        version => format!("version {version}"),
    });
    view! {
        <a class="link" href=href>
            {name}
        </a>
        <span class="muted">" "{version}</span>
    }
}

/// What the last check found.
pub(super) fn health(node: &NodeView) -> impl IntoView + use<> {
    let checked = node.health.checked_at;
    let ready = node.health.ready;
    let codes = node.health.reason_codes.clone();
    let (word, tone) = if ready { ("ready", Tone::Ok) } else { ("not ready", Tone::Warn) };
    let lines = codes
        .into_iter()
        .map(|code| {
            view! {
                <li>
                    <Code value=code.as_str().to_owned() />
                    " "
                    {code.guidance()}
                </li>
            }
        })
        .collect_view();
    let usage = usage::table(&node.health.usage, node.stack.as_ref());
    let gone = node.state == NodeState::Destroyed;
    (!gone).then(|| {
        view! {
            <Section title="Health" id="health">
                <div class="panel stack">
                    <p>
                        <Status word=word tone_is=tone />
                        {match checked {
                            Some(at) => view! { <span class="muted">" checked " <Time at=at /></span> }.into_any(),
                            None => view! { <span class="muted">" not checked yet"</span> }.into_any(),
                        }}
                    </p>
                    {ready
                        .then(|| {
                            view! { <p class="muted">"Nothing speaks against handing it out."</p> }
                        })}
                    {(!ready).then(|| view! { <ul class="reasons">{lines}</ul> })}
                    {usage}
                </div>
            </Section>
        }
    })
}
