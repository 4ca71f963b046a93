//! A failure that a job or a node keeps: what happened, under which code, what to do, and by what
//! the vendor finds the refused call again.

use domain::{action::Recovery, code::Code as Failed};
use leptos::prelude::*;

use super::{Code, Copied, Notice, Tone};
use crate::routes::testid;

/// The four fields of guidance.
#[component]
pub fn RecoveryFields(
    /// What to do.
    recovery: Recovery,
) -> impl IntoView {
    view! {
        <dl class="recovery">
            <dt>"Cause"</dt>
            <dd>{recovery.cause}</dd>
            <dt>"Policy context"</dt>
            <dd>{recovery.policy_context}</dd>
            <dt>"Next step"</dt>
            <dd>{recovery.next_step}</dd>
            <dt>"Safe retry"</dt>
            <dd>{recovery.safe_retry}</dd>
        </dl>
    }
}

/// A kept failure with its guidance.
#[component]
pub fn Failure(
    /// The stable code.
    code: Failed,
    /// How it looks: bad once it is final.
    #[prop(default = Tone::Bad)]
    tone: Tone,
    /// What it says first; the code's own heading unless given.
    #[prop(optional_no_strip)]
    title: Option<String>,
    /// What happened this time.
    #[prop(optional_no_strip)]
    message: Option<String>,
    /// By what the vendor finds the refused call again.
    #[prop(optional_no_strip)]
    correlation_id: Option<String>,
    /// What more there is to say.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let title = title.unwrap_or_else(|| code.title().to_owned());
    let asked = correlation_id.map(|id| {
        view! {
            <p class="small">
                "The vendor's support finds the refused call by " <Copied value=id what="correlation id" />
            </p>
        }
    });
    view! {
        <Notice tone=tone title=title testid=testid::FAILURE>
            <p>
                {message} " " <Code value=code.as_str().to_owned() />
            </p>
            {children.map(|children| children())}
            <RecoveryFields recovery=code.recovery() />
            {asked}
        </Notice>
    }
}
