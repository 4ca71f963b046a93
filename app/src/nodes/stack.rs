//! The part of the form that says what a stack is made from: blueprint, tag, variables. The rule: the
//! fields of every blueprint are there, so that nothing typed is lost by looking at another one; only
//! those of the chosen one are shown and sent.

use domain::{
    blueprint::{BlueprintVariable, BlueprintView, ComposeCreate},
    id::ProviderId,
};
use leptos::prelude::*;

use super::{acquire::Template, machine::Machine};
use crate::{
    Fault, routes,
    routes::testid,
    ui::{CheckField, Choice, LinkButton, Notice, SelectField, TextField, Tone},
};

/// Out of the blueprints there are.
pub(super) fn of_blueprints(
    blueprints: Vec<BlueprintView>,
    chosen: RwSignal<String>,
    fault: Signal<Option<Fault>>,
    (template, account): (Option<&Template>, Option<ProviderId>),
) -> Machine {
    let none = || ().into_any();
    let price = view! {
        <p class="form-price" data-testid=testid::PRICE>
            "It runs on an engine of your own: nothing is billed for it."
        </p>
    };
    let fields = if blueprints.is_empty() {
        missing().into_any()
    } else {
        fields(blueprints, chosen, fault, (template, account))
    };
    Machine { age: none(), fields, fallbacks: none(), price: price.into_any(), prices: none() }
}

fn missing() -> impl IntoView {
    view! {
        <Notice tone=Tone::Warn title="There is no blueprint yet">
            <p>"This account makes stacks, and a blueprint says what one is made of."</p>
            <p>
                <LinkButton href=routes::BLUEPRINTS primary=true>
                    "Make a blueprint"
                </LinkButton>
            </p>
        </Notice>
    }
}

fn fields(
    blueprints: Vec<BlueprintView>,
    chosen: RwSignal<String>,
    fault: Signal<Option<Fault>>,
    (template, account): (Option<&Template>, Option<ProviderId>),
) -> AnyView {
    let before = template.and_then(|it| it.before.as_ref()).and_then(|before| before.compose.clone());
    let names: Vec<String> = blueprints.iter().map(|one| one.name.to_string()).collect();
    let choices: Vec<Choice> = names.iter().map(|name| Choice::new(name.clone(), name.clone())).collect();
    let first = chosen.get_untracked();
    let first = if names.contains(&first) { first } else { names.first().cloned().unwrap_or_default() };
    let others = account.and_then(|account| others(&names, &first, &account, template));
    let value = Signal::derive(move || {
        let wanted = chosen.get();
        if names.contains(&wanted) { wanted } else { names.first().cloned().unwrap_or_default() }
    });
    let tag = before.as_ref().and_then(|before| before.tag.clone());
    let backup = before.as_ref().is_some_and(|before| before.backup);
    let backup = template.map(|_| {
        view! {
            <CheckField
                name="form[backup]"
                label="Keep a backup of what the pool takes away"
                help="Made before a stack that was given back, or that is one too many, is destroyed. They are listed under Backups and stay until they are deleted."
                    .to_owned()
                checked=backup
            />
        }
    });
    let all = blueprints.into_iter().map(|one| variables(one, value, fault, before.as_ref())).collect_view();
    view! {
        <SelectField
            name="form[blueprint]"
            label="Blueprint"
            choices=choices
            value=value
            on_change=move |name: String| chosen.set(name)
            pointer="/compose/blueprint"
            fault=fault
        />
        {others}
        <TextField
            name="form[tag]"
            label="Tag"
            value=tag
            pointer="/compose/tag"
            fault=fault
            mono=true
            help="The version that it runs; the blueprint's own when empty."
        />
        {all}
        {backup}
    }
    .into_any()
}

/// Without JavaScript these lead to the form with another blueprint's variables.
fn others(
    names: &[String],
    shown: &str,
    account: &ProviderId,
    template: Option<&Template>,
) -> Option<impl IntoView + use<>> {
    let links: Vec<_> = names
        .iter()
        .filter(|name| *name != shown)
        .map(|name| {
            let href = match template {
                None => routes::acquire_of(account, name),
                Some(template) => routes::pool_template_of(&template.pool, account, name),
            };
            view! {
                " "
                <a class="link" href=href rel="external">
                    {name.clone()}
                </a>
            }
        })
        .collect();
    (!links.is_empty()).then(|| view! { <p class="field-help">"What another blueprint asks for:" {links}</p> })
}

fn variables(
    blueprint: BlueprintView,
    chosen: Signal<String>,
    fault: Signal<Option<Fault>>,
    before: Option<&ComposeCreate>,
) -> impl IntoView + use<> {
    let before = before.filter(|before| before.blueprint == blueprint.name);
    let BlueprintView { name, version, definition, .. } = blueprint;
    let (href, word) = (routes::blueprint(&name), name.to_string());
    let made: Vec<&str> = definition.variables.iter().filter(|one| one.generate).map(|one| one.name.as_str()).collect();
    let made = match made.as_slice() {
        [] => None,
        [one] => Some(format!(" Hangar makes the secret {one} for it.")),
        all => Some(format!(" Hangar makes the secrets {} for it.", all.join(", "))),
    };
    let note = format!("version {version}, tag {} unless another is named.", definition.tag);
    let asked: Vec<_> = definition
        .variables
        .into_iter()
        .filter(|one| !one.generate)
        .map(|one| {
            let value = before.and_then(|before| before.variables.get(&one.name)).cloned();
            variable(&word, one, value, fault)
        })
        .collect();
    let other = {
        let name = word.clone();
        Memo::new(move |_| chosen.get() != name)
    };
    view! {
        <fieldset class="form fieldset" disabled=other hidden=other data-blueprint=word.clone()>
            <legend class="visually-hidden">{word.clone()}</legend>
            <p class="field-help">
                <a class="link" href=href>
                    {word.clone()}
                </a>
                ": "
                {note}
                {made}
            </p>
            {asked}
        </fieldset>
    }
}

fn variable(
    blueprint: &str,
    one: BlueprintVariable,
    value: Option<String>,
    fault: Signal<Option<Fault>>,
) -> impl IntoView + use<> {
    let BlueprintVariable { name, description, default, .. } = one;
    let required = default.is_none();
    view! {
        <TextField
            scope=blueprint.to_owned()
            name=format!("form[variables][{name}]")
            label=name.clone()
            help=description
            value=value
            placeholder=default
            pointer=format!("/compose/variables/{name}")
            fault=fault
            mono=true
            required=required
        />
    }
}
