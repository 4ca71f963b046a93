//! Buttons. The rule: a button says what it does; while it works it says so and cannot be pressed
//! again.

use leptos::prelude::*;

/// The button that sends a form.
#[component]
pub fn Submit(
    /// Whether what it asked for is under way.
    #[prop(optional, into)]
    busy: Signal<bool>,
    /// Whether it cannot be pressed for a reason that stands beside it.
    #[prop(optional)]
    blocked: bool,
    /// Whether it takes something away.
    #[prop(optional)]
    danger: bool,
    /// Whether it is one of several of equal weight.
    #[prop(optional)]
    quiet: bool,
    /// Whether it stands in a row or a panel.
    #[prop(optional)]
    small: bool,
    /// What the browser tests call it.
    #[prop(optional, into)]
    testid: Option<String>,
    /// What it does.
    children: Children,
) -> impl IntoView {
    let kind = match (danger, quiet) {
        (true, _) => "button button-danger",
        (_, true) => "button",
        _ => "button button-primary",
    };
    view! {
        <button
            class=kind
            class:button-small=small
            class:is-busy=busy
            r#type="submit"
            disabled=move || blocked || busy.get()
            aria-busy=move || busy.get().to_string()
            data-testid=testid
        >
            <span class="button-busy" aria-hidden="true"></span>
            <span>{children()}</span>
        </button>
    }
}

/// A link that looks like a button.
#[component]
pub fn LinkButton(
    /// Where it leads: a path of this application.
    #[prop(into)]
    href: String,
    /// Whether it is the one thing to do here.
    #[prop(optional)]
    primary: bool,
    /// Whether it stands in a row or a panel.
    #[prop(optional)]
    small: bool,
    /// What the browser tests call it.
    #[prop(optional, into)]
    testid: Option<String>,
    /// What is there.
    children: Children,
) -> impl IntoView {
    view! {
        <a class="button" class:button-primary=primary class:button-small=small href=href data-testid=testid>
            {children()}
        </a>
    }
}
