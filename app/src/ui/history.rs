//! What happened to a thing, newest first.

use domain::audit::AuditEntry;
use leptos::prelude::*;

use super::{Code, Status, Time};

/// The entries of a history.
#[component]
pub fn History(
    /// The entries, newest first.
    entries: Vec<AuditEntry>,
) -> impl IntoView {
    if entries.is_empty() {
        return view! { <p class="muted">"Nothing is recorded yet."</p> }.into_any();
    }
    view! { <ol class="history">{entries.into_iter().map(entry).collect_view()}</ol> }.into_any()
}

fn entry(entry: AuditEntry) -> impl IntoView {
    let who = entry.actor_name.unwrap_or(entry.actor);
    view! {
        <li class="history-entry" data-action=entry.action>
            <div class="history-head">
                <Code value=entry.action.clone() />
                <Status word=entry.outcome.as_str() />
                <span class="muted">{who}</span>
                <span class="history-time muted small">
                    <Time at=entry.at />
                </span>
            </div>
            {entry.detail.map(|detail| view! { <p class="muted">{detail}</p> })}
            {entry.code.map(|code| view! { <p class="small"><Code value=code.as_str().to_owned() /></p> })}
        </li>
    }
}
