//! The head of a page and its sections.

use leptos::prelude::*;
use leptos_meta::Title;

/// The head of a page: title, beside it status and freshness, at the end what can be done. Also
/// sets the title of the tab.
#[component]
pub fn PageHead(
    /// The title.
    #[prop(into)]
    title: String,
    /// One line on what this place is, or how fresh it is.
    #[prop(optional, into)]
    note: ViewFn,
    /// Status and the like, beside the title.
    #[prop(optional, into)]
    beside: ViewFn,
    /// Buttons at the end.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    view! {
        <Title text=title.clone() />
        <div class="page-head">
            <div class="page-head-text">
                <div class="page-head-line">
                    <h1>{title}</h1>
                    {beside.run()}
                </div>
                <div class="page-head-note muted">{note.run()}</div>
            </div>
            {children.map(|children| view! { <div class="page-head-actions">{children()}</div> })}
        </div>
    }
}

/// A part of a page under its own heading.
#[component]
pub fn Section(
    /// The heading.
    #[prop(into)]
    title: String,
    /// Its id in the page, for links to it.
    #[prop(optional, into)]
    id: Option<String>,
    /// One line on it.
    #[prop(optional, into)]
    note: Option<String>,
    /// What it holds.
    children: Children,
) -> impl IntoView {
    view! {
        <section class="section" id=id>
            <div class="section-head">
                <h2>{title}</h2>
                {note.map(|note| view! { <p class="muted">{note}</p> })}
            </div>
            {children()}
        </section>
    }
}
