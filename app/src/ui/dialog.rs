//! Native dialogs, opened and closed by the page's own markup (`command`), so that they work
//! without JavaScript where the browser can; `behaviour` helps out where it cannot. The browser
//! keeps the focus inside and gives it back.

use leptos::prelude::*;

/// A dialog. It is opened by an [`OpenDialog`] with the same id.
#[component]
pub fn Dialog(
    /// Its id in the page.
    #[prop(into)]
    id: String,
    /// Its heading.
    #[prop(into)]
    title: String,
    /// What the browser tests call it.
    #[prop(optional, into)]
    testid: Option<String>,
    /// What follows when it is closed, however that happens.
    #[prop(optional, into)]
    on_close: Option<Callback<()>>,
    /// What it holds.
    children: Children,
) -> impl IntoView {
    let closed = move |_| {
        if let Some(on_close) = on_close {
            on_close.run(());
        }
    };
    let heading = format!("{id}-title");
    view! {
        <dialog class="dialog" aria-labelledby=heading.clone() id=id data-testid=testid on:close=closed>
            <h2 class="dialog-title" id=heading.clone()>
                {title}
            </h2>
            {children()}
        </dialog>
    }
}

/// The button that opens a dialog.
#[component]
pub fn OpenDialog(
    /// The dialog's id.
    #[prop(into)]
    dialog: String,
    /// Whether it leads to something that takes away.
    #[prop(optional)]
    danger: bool,
    /// Whether it is the one thing to do here.
    #[prop(optional)]
    primary: bool,
    /// Whether it stands in a row or a panel.
    #[prop(optional)]
    small: bool,
    /// Whether it cannot be pressed now.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// What it says.
    children: Children,
) -> impl IntoView {
    view! {
        <button
            class="button"
            class:button-danger=danger
            class:button-primary=primary
            class:button-small=small
            r#type="button"
            disabled=disabled
            command="show-modal"
            commandfor=dialog
        >
            {children()}
        </button>
    }
}

/// The button that closes the dialog around it.
#[component]
pub fn CloseDialog(
    /// The dialog's id.
    #[prop(into)]
    dialog: String,
    /// What it says.
    children: Children,
) -> impl IntoView {
    view! {
        <button class="button" r#type="button" command="close" commandfor=dialog>
            {children()}
        </button>
    }
}
