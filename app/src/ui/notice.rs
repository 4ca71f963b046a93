//! Messages: notices, failures, emptiness. The rule: a failure says what happened, what it means,
//! what to do, and under which id the log knows it.

use leptos::prelude::*;

use super::{Code, Icon, RecoveryFields, Sign, Tone};
use crate::{Fault, routes, routes::testid};

/// A message in a box.
#[component]
pub fn Notice(
    /// How it looks.
    tone: Tone,
    /// What it says first.
    #[prop(optional, into)]
    title: Option<String>,
    /// What the browser tests call it.
    #[prop(optional, into)]
    testid: Option<String>,
    /// What more there is to say.
    children: Children,
) -> impl IntoView {
    let sign = match tone {
        Tone::Ok => Sign::Check,
        Tone::Bad => Sign::Cross,
        _ => Sign::Alert,
    };
    view! {
        <div class=format!("notice notice-{}", tone.as_str()) role="status" data-testid=testid>
            <Icon of=sign />
            <div class="notice-body">
                {title.map(|title| view! { <p class="notice-title">{title}</p> })}
                {children()}
            </div>
        </div>
    }
}

/// A failure.
#[component]
pub fn FaultView(
    /// What failed.
    fault: Fault,
) -> impl IntoView {
    let sign_in = (fault.status == 401).then(|| {
        view! {
            <p>
                <a class="button" href=routes::LOGIN rel="external">
                    "Sign in"
                </a>
            </p>
        }
    });
    let recovery = fault.recovery.clone().map(|recovery| view! { <RecoveryFields recovery=recovery /> });
    let request =
        (!fault.request_id.is_empty()).then(|| view! { " · request " <Code value=fault.request_id.clone() /> });
    view! {
        <div class="notice notice-bad fault" role="alert" data-testid=testid::FAULT data-code=fault.code.as_str()>
            <Icon of=Sign::Cross />
            <div class="notice-body">
                <p class="notice-title">{fault.title.clone()}</p>
                <p>{fault.detail.clone()}</p>
                {recovery}
                {sign_in}
                <p class="muted small">"Code " <Code value=fault.code.as_str().to_owned() /> {request}</p>
            </div>
        </div>
    }
}

/// What is shown where there is nothing yet: what this place is for and the one thing to do next.
#[component]
pub fn EmptyState(
    /// What there is none of: "No nodes yet".
    #[prop(into)]
    title: String,
    /// What this place is for.
    #[prop(into)]
    text: String,
    /// The one thing to do next.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    view! {
        <div class="empty" data-testid=testid::EMPTY>
            <p class="empty-title">{title}</p>
            <p class="muted">{text}</p>
            {children.map(|children| view! { <div class="empty-next">{children()}</div> })}
        </div>
    }
}
