//! How much of something is left, as a picture and in words.

use leptos::prelude::*;

/// A meter with words.
#[component]
pub fn Meter(
    /// What is left.
    value: u32,
    /// The most that there can be.
    most: u32,
    /// Below this it is little.
    low: u32,
    /// Of what, for screen readers.
    #[prop(into)]
    label: String,
    /// The same in words.
    children: Children,
) -> impl IntoView {
    let most = most.max(1);
    view! {
        <div class="meter">
            <meter
                min="0"
                max=most.to_string()
                low=low.min(most).to_string()
                optimum=most.to_string()
                value=value.min(most).to_string()
                aria-label=label
            ></meter>
            <p>{children()}</p>
        </div>
    }
}
