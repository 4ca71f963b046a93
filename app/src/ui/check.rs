//! A yes or no in a form.

use leptos::prelude::*;

/// A box to tick; it sends `true` when ticked and nothing otherwise.
#[component]
pub fn CheckField(
    /// The name under which it is sent.
    #[prop(into)]
    name: String,
    /// The label.
    #[prop(into)]
    label: String,
    /// The help below.
    #[prop(optional_no_strip, into)]
    help: Option<String>,
    /// Whether it begins ticked.
    #[prop(optional)]
    checked: bool,
) -> impl IntoView {
    view! {
        <div class="field">
            <label class="check">
                <input r#type="checkbox" name=name value="true" checked=checked />
                <span>{label}</span>
            </label>
            <p class="field-help">{help}</p>
        </div>
    }
}
