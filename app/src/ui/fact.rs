//! Facts: definition grids, ids, codes, secrets.

use domain::{job::Subject as About, valid::CockpitUrl};
use leptos::prelude::*;

use super::{Icon, Sign};
use crate::{routes, routes::testid};

/// A grid of facts; its children are [`Fact`]s.
#[component]
pub fn Facts(
    /// The facts.
    children: Children,
) -> impl IntoView {
    view! { <dl class="facts">{children()}</dl> }
}

/// One fact of a grid.
#[component]
pub fn Fact(
    /// What it is.
    #[prop(into)]
    label: String,
    /// Whether it takes the whole width.
    #[prop(optional)]
    wide: bool,
    /// The value.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="fact" class:fact-wide=wide>
            <dt>{label}</dt>
            <dd>{children()}</dd>
        </div>
    }
}

/// An id in its short form; a click copies the whole.
#[component]
pub fn Id(
    /// The whole id.
    #[prop(into)]
    value: String,
) -> impl IntoView {
    let short = value.split_once('_').map_or(value.as_str(), |(_, tail)| tail);
    let start = short.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
    let short = short.get(start..).unwrap_or(short).to_owned();
    view! {
        <button
            class="id"
            r#type="button"
            data-copy=value.clone()
            title=format!("{value}: click to copy")
            aria-label=format!("Copy {value}")
        >
            {short}
            <Icon of=Sign::Copy />
        </button>
    }
}

/// A value in fixed width: hosts, codes, keys. A dash when there is none.
#[component]
pub fn Code(
    /// The value.
    #[prop(into)]
    value: Option<String>,
) -> impl IntoView {
    match value {
        Some(value) => view! { <code class="code">{value}</code> }.into_any(),
        None => view! { <span class="none">"—"</span> }.into_any(),
    }
}

/// A value that is shown this once, with a button that copies it.
#[component]
pub fn Secret(
    /// The value.
    #[prop(into)]
    value: String,
) -> impl IntoView {
    view! {
        <span class="secret">
            <code class="code">{value.clone()}</code>
            <button class="button button-small" r#type="button" data-copy=value>
                "Copy"
            </button>
        </span>
    }
}

/// A value in fixed width with a button that copies it.
#[component]
pub fn Copied(
    /// The value.
    #[prop(into)]
    value: String,
    /// What it is, for screen readers: "correlation id".
    what: &'static str,
) -> impl IntoView {
    view! {
        <span class="secret">
            <code class="code">{value.clone()}</code>
            <button class="button button-small" r#type="button" data-copy=value aria-label=format!("Copy the {what}")>
                "Copy"
            </button>
        </span>
    }
}

/// What a job or an entry is about: its name, with a link where it has a page.
#[component]
pub fn Subject(
    /// The thing.
    about: About,
    /// Its name for people.
    #[prop(optional_no_strip, into)]
    name: Option<String>,
) -> impl IntoView {
    let text = name.unwrap_or_else(|| about.id.clone());
    let link = match routes::subject(&about) {
        Some(href) => view! { <a class="link" href=href>{text}</a> }.into_any(),
        None => view! { <span>{text}</span> }.into_any(),
    };
    view! { <span class="subject"><span class="muted">{about.kind}" "</span>{link}</span> }
}

/// The way into a machine: opens in a tab of its own, which cannot reach back; a dash when there is
/// none.
#[component]
pub fn Cockpit(
    /// The cockpit, checked when it was read.
    url: Option<CockpitUrl>,
    /// Whether it is the one thing to do here.
    #[prop(optional)]
    primary: bool,
) -> impl IntoView {
    match url {
        Some(url) => view! {
            <a
                class="cockpit"
                class:button=primary
                class:button-primary=primary
                href=String::from(url)
                target="_blank"
                rel="noopener"
                data-testid=testid::COCKPIT
            >
                "Open →"
            </a>
        }
        .into_any(),
        None => view! { <span class="none">"—"</span> }.into_any(),
    }
}
