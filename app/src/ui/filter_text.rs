//! A text of a filter bar, beside the one that `/` leads to.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

/// A text that narrows a list; it counts once it is left or Enter is pressed.
#[component]
pub fn FilterText(
    /// The field of the filter: `user`, `subject`.
    name: &'static str,
    /// The label.
    #[prop(into)]
    label: String,
    /// An example inside the empty field.
    #[prop(optional, into)]
    placeholder: String,
) -> impl IntoView {
    let first = use_query_map().get_untracked().get(name).unwrap_or_default();
    view! {
        <label class="filter">
            <span class="filter-label">{label}</span>
            <input
                class="input"
                r#type="search"
                name=name
                value=first
                placeholder=placeholder
                autocomplete="off"
                spellcheck="false"
            />
        </label>
    }
}
