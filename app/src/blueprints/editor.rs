//! The editor of a blueprint: its file, services, variables and cockpit. The rule: it works without
//! JavaScript; there are always empty rows to type in.

use domain::blueprint::{BlueprintDefinition, BlueprintService, BlueprintVariable, ENTRIES_MOST, ServiceRole};
use leptos::prelude::*;

use super::{api::SaveBlueprint, start};
use crate::{
    Fault,
    routes::testid,
    ui::{CheckField, Choice, FormFault, SelectField, Submit, TextArea, TextField, fault_of},
};

/// Empty rows below the filled ones.
const SPARE: usize = 2;

/// What must outlive a refetch of the page.
#[derive(Clone, Copy)]
pub(super) struct Editing {
    /// The action.
    pub save: ServerAction<SaveBlueprint>,
    /// More rows of services.
    pub services: RwSignal<usize>,
    /// More rows of variables.
    pub variables: RwSignal<usize>,
}

impl Editing {
    pub fn new() -> Self {
        Self { save: ServerAction::new(), services: RwSignal::new(0), variables: RwSignal::new(0) }
    }
}

/// The form; `name` is fixed for a blueprint that is there already.
pub(super) fn form(name: Option<String>, definition: BlueprintDefinition, state: Editing) -> impl IntoView {
    let BlueprintDefinition { file, services, variables, cockpit, tag, allow_host_ports } = definition;
    let fault = fault_of(state.save.value());
    let pending = state.save.pending();
    let label = if name.is_none() { "Create blueprint" } else { "Save as a new version" };
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
                placeholder="shop"
                help="Lower-case letters, digits and hyphens, up to 40. An existing name gets a new version."
            />
        }
        .into_any(),
    };
    let (service, port) = cockpit.map(|cockpit| (cockpit.service, cockpit.port.to_string())).unzip();
    let services = rows(services, state.services, move |at, one| service_row(at, one, fault));
    let variables = rows(variables, state.variables, move |at, one| variable_row(at, one, fault));
    view! {
        <div class="panel" data-testid=testid::BLUEPRINT_FORM>
            <ActionForm action=state.save attr:class="form blueprint-form">
                {name_field}
                <TextArea
                    name="form[file]"
                    label="Compose file"
                    value=file
                    rows=22
                    pointer="/file"
                    fault=fault
                    code=true
                    help="${HANGAR_TAG} is the version, which an upgrade changes; ${NAME} a variable below. Not a place for secrets: every administrator can read it. Up to 256 KB."
                />
                {start::rules()}
                <fieldset class="fieldset stack">
                    <legend class="field-label">"Services"</legend>
                    <p class="field-help">
                        "Every service of the file, by its name there, in the order in which an upgrade makes them anew. An application service can be made anew at any time. A data service keeps what must not be lost: it is never suspended and keeps its image, and a backup holds its volumes. 1000 thousandths of CPU are one core; empty is no limit."
                    </p>
                    <p class="field-error" aria-live="polite">
                        {move || fault.get().and_then(|fault| fault.field("/services").map(|why| format!("This list {why}.")))}
                    </p>
                    {services}
                </fieldset>
                <fieldset class="fieldset stack">
                    <legend class="field-label">"Variables"</legend>
                    <p class="field-help">
                        "What the file asks for by ${NAME}: capital letters, digits and _. Whoever acquires a node is asked for those without a default. A secret is made by Hangar for each node and shown on no page."
                    </p>
                    {variables}
                </fieldset>
                <fieldset class="fieldset stack">
                    <legend class="field-label">"Cockpit"</legend>
                    <div class="requirement">
                        <TextField
                            name="form[cockpit_service]"
                            label="Service"
                            value=service
                            pointer="/cockpit/service"
                            fault=fault
                            mono=true
                            help="The page that its users open; none when empty."
                        />
                        <TextField
                            name="form[cockpit_port]"
                            label="Port"
                            kind="number"
                            value=port
                            pointer="/cockpit/port"
                            fault=fault
                            help="Inside the container, as under ports in the file."
                        />
                    </div>
                </fieldset>
                <TextField
                    name="form[tag]"
                    label="Tag"
                    value=tag
                    pointer="/tag"
                    fault=fault
                    mono=true
                    help="The version that new nodes get unless another is named."
                />
                <CheckField
                    name="form[allow_host_ports]"
                    label="The file may claim fixed ports of the host"
                    help="Then only one node of it fits on an engine.".to_owned()
                    checked=allow_host_ports
                />
                <div class="form-end">
                    <Submit busy=pending>{label}</Submit>
                    <p class="muted">"Nodes that are there keep the version they were made from; new ones get this one."</p>
                </div>
            </ActionForm>
            <FormFault fault=fault />
        </div>
    }
}

/// Filled rows, empty ones below, and a button for more.
fn rows<T: Send + 'static, V: IntoView + 'static>(
    filled: Vec<T>,
    more: RwSignal<usize>,
    row: impl Fn(usize, Option<T>) -> V + Copy + Send + 'static,
) -> impl IntoView {
    let count = filled.len();
    let shown = filled.into_iter().enumerate().map(|(at, one)| row(at, Some(one))).collect_view();
    let spare = move || {
        let until = (count + SPARE + more.get()).min(ENTRIES_MOST);
        (count..until).map(|at| row(at, None)).collect_view()
    };
    view! {
        {shown}
        {spare}
        <button
            class="button button-small needs-js"
            r#type="button"
            on:click=move |_| more.update(|more| *more += 1)
        >
            "Add a row"
        </button>
    }
}

fn service_row(at: usize, service: Option<BlueprintService>, fault: Signal<Option<Fault>>) -> impl IntoView {
    let role = match service.as_ref().map(|one| one.role) {
        Some(ServiceRole::Data) => "data",
        _ => "application",
    };
    let (name, memory, cpu) = match service {
        Some(one) => (Some(one.name), one.memory_mib, one.cpu_millis),
        None => (None, None, None),
    };
    let roles = vec![Choice::new("application", "application"), Choice::new("data", "data")];
    view! {
        <div class="requirement">
            <TextField
                name=format!("form[services][{at}][name]")
                label=format!("Service {}", at + 1)
                value=name
                pointer=format!("/services/{at}/name")
                fault=fault
                mono=true
            />
            <SelectField
                name=format!("form[services][{at}][role]")
                label="Role"
                choices=roles
                value=role.to_owned()
                pointer=format!("/services/{at}/role")
                fault=fault
            />
            <TextField
                name=format!("form[services][{at}][memory_mib]")
                label="Memory, MiB"
                kind="number"
                placeholder="no limit"
                value=memory.map(|most| most.to_string())
                pointer=format!("/services/{at}/memory_mib")
                fault=fault
            />
            <TextField
                name=format!("form[services][{at}][cpu_millis]")
                label="CPU, thousandths"
                kind="number"
                placeholder="no limit"
                value=cpu.map(|most| most.to_string())
                pointer=format!("/services/{at}/cpu_millis")
                fault=fault
            />
        </div>
    }
}

fn variable_row(at: usize, variable: Option<BlueprintVariable>, fault: Signal<Option<Fault>>) -> impl IntoView {
    let generate = variable.as_ref().is_some_and(|one| one.generate);
    let (name, description, default) = match variable {
        Some(one) => (Some(one.name), Some(one.description), one.default),
        None => (None, None, None),
    };
    view! {
        <div class="requirement requirement-variable">
            <TextField
                name=format!("form[variables][{at}][name]")
                label=format!("Variable {}", at + 1)
                value=name
                pointer=format!("/variables/{at}/name")
                fault=fault
                mono=true
            />
            <TextField
                name=format!("form[variables][{at}][default]")
                label="Default"
                value=default
                pointer=format!("/variables/{at}/default")
                fault=fault
                mono=true
            />
            <TextField
                name=format!("form[variables][{at}][description]")
                label="What it is"
                value=description
                pointer=format!("/variables/{at}/description")
                fault=fault
            />
            <CheckField name=format!("form[variables][{at}][generate]") label="Secret, made by Hangar" checked=generate />
        </div>
    }
}
