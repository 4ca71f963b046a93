//! The editor of a profile: requirements, script, time limit. The rule: it works without JavaScript;
//! there are always empty rows to type in.

use domain::profile::{ProfileDefinition, ProfileRequirement, SCRIPT_SECONDS};
use leptos::prelude::*;

use super::api::SaveProfile;
use crate::{
    routes::testid,
    ui::{FormFault, Submit, TextArea, TextField, fault_of},
};

/// Empty rows below the filled ones.
const SPARE: usize = 2;
/// The most rows of the form; more are left to the API.
const ROWS: usize = 100;

/// The form; `name` is fixed for a profile that is there already.
pub(super) fn form(
    name: Option<String>,
    definition: ProfileDefinition,
    save: ServerAction<SaveProfile>,
    more: RwSignal<usize>,
) -> impl IntoView {
    let ProfileDefinition { requires, script, timeout_seconds } = definition;
    let fault = fault_of(save.value());
    let pending = save.pending();
    let is_new = name.is_none();
    let label = if is_new { "Create profile" } else { "Save as a new version" };
    let filled = requires.len();
    let name_field = match name {
        Some(name) => view! { <input type="hidden" name="form[name]" value=name /> }.into_any(),
        None => view! {
            <TextField
                name="form[name]"
                label="Name"
                pointer="/name"
                fault=fault
                mono=true
                required=true
                placeholder="web"
                help="Lower-case letters, digits and hyphens, up to 40. An existing name gets a new version."
            />
        }
        .into_any(),
    };
    let row = move |at: usize, requirement: Option<ProfileRequirement>| {
        let (command, package) = requirement.map(|one| (one.command, one.package)).unzip();
        view! {
            <div class="requirement">
                <TextField
                    name=format!("form[requires][{at}][command]")
                    label=format!("Command {}", at + 1)
                    value=command
                    pointer=format!("/requires/{at}/command")
                    fault=fault
                    mono=true
                />
                <TextField
                    name=format!("form[requires][{at}][package]")
                    label=format!("Package {}", at + 1)
                    value=package.flatten()
                    pointer=format!("/requires/{at}/package")
                    fault=fault
                    mono=true
                />
            </div>
        }
    };
    let rows = requires.into_iter().enumerate().map(|(at, one)| row(at, Some(one))).collect_view();
    let spare = move || {
        let until = (filled + SPARE + more.get()).min(ROWS);
        (filled..until).map(|at| row(at, None)).collect_view()
    };
    view! {
        <div class="panel" data-testid=testid::PROFILE_FORM>
            <ActionForm action=save attr:class="form profile-form">
                {name_field}
                <fieldset class="fieldset stack">
                    <legend class="field-label">"Requirements"</legend>
                    <p class="field-help">
                        "Each command must be found on the machine; the package that brings it is installed first. Without a package it is only looked for. Empty rows say nothing."
                    </p>
                    {rows}
                    {spare}
                    <button
                        class="button button-small needs-js"
                        r#type="button"
                        on:click=move |_| more.update(|more| *more += 1)
                    >
                        "Add a row"
                    </button>
                </fieldset>
                <TextArea
                    name="form[script]"
                    label="Script"
                    value=script
                    rows=14
                    pointer="/script"
                    fault=fault
                    help="POSIX shell, run as root after the packages, and run again when a node is retried: it must bear that. Up to 64 KB. Not a place for secrets: every administrator can read it."
                />
                <TextField
                    name="form[timeout_seconds]"
                    label="Time limit in seconds"
                    kind="number"
                    value=timeout_seconds.map(|seconds| seconds.to_string())
                    placeholder=SCRIPT_SECONDS.to_string()
                    pointer="/timeout_seconds"
                    fault=fault
                    help="10 to 3600; 900 when empty. Then the script is killed."
                />
                <div class="form-end">
                    <Submit busy=pending>{label}</Submit>
                    <p class="muted">"Nodes that are there keep the version that ran on them; new ones get this one."</p>
                </div>
            </ActionForm>
            <FormFault fault=fault />
        </div>
    }
}
