//! A form behind a question, for rows and cells. The rule: the question names the thing and the
//! consequence; without JavaScript the dialog and the form work the same.

use leptos::prelude::*;
use web_sys::SubmitEvent;

use super::{CloseDialog, Dialog, OpenDialog, Submit, behaviour::close_around};
use crate::routes::testid;

/// A button that asks before it sends its form.
#[component]
pub fn ConfirmForm(
    /// The dialog's id in the page.
    #[prop(into)]
    id: String,
    /// What both buttons say: "Release".
    #[prop(into)]
    label: String,
    /// The question: "Release the service of ada?".
    #[prop(into)]
    title: String,
    /// What it does to what and what follows.
    #[prop(into)]
    consequence: String,
    /// The server function that does it.
    url: &'static str,
    /// What the form sends.
    fields: Vec<(&'static str, String)>,
    /// Called instead of sending the form, where JavaScript runs.
    #[prop(into)]
    on_confirm: Callback<()>,
    /// Whether it is under way.
    #[prop(optional, into)]
    busy: Signal<bool>,
    /// Whether it takes something away.
    #[prop(optional)]
    danger: bool,
) -> impl IntoView {
    let on_submit = move |ev: SubmitEvent| {
        ev.prevent_default();
        close_around(&ev);
        on_confirm.run(());
    };
    let hidden =
        fields.into_iter().map(|(name, value)| view! { <input type="hidden" name=name value=value /> }).collect_view();
    let (opens, does) = (label.clone(), label);
    view! {
        <div class="confirm-form">
            <OpenDialog dialog=id.clone() danger=danger small=true disabled=busy>
                {opens}
            </OpenDialog>
            <Dialog id=id.clone() title=title testid=testid::CONFIRM>
                <form method="post" action=url on:submit=on_submit>
                    {hidden}
                    <p>{consequence}</p>
                    <div class="dialog-buttons">
                        <CloseDialog dialog=id>"Leave it"</CloseDialog>
                        <Submit busy=busy danger=danger>
                            {does}
                        </Submit>
                    </div>
                </form>
            </Dialog>
        </div>
    }
}
