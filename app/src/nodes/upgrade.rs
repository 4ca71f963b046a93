//! The forms that make a node into another type or lay it anew with another image. The rule: what
//! it costs now, what it will cost, and what is lost stand before the button.

use domain::{
    node::{NodeUpgrade, NodeView},
    provider::{Catalog, ServerType, TypeLocation},
    time::Timestamp,
    valid::{amount_display, amount_rounded},
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    api::UpgradeNode,
    choose::{self, Terms},
    services,
};
use crate::{
    Fault,
    context::now,
    routes::testid,
    ui::{Choice, FormFault, FormReader, Notice, Section, SelectField, Submit, Tone, TypeName, difference, fault_of},
};

/// The fields, as typed; one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpgradeForm {
    /// The wanted type.
    pub server_type: String,
    /// The wanted image.
    pub image: String,
    /// The wanted tag of a stack.
    pub tag: String,
}

impl UpgradeForm {
    /// The wish that was typed.
    ///
    /// # Errors
    /// The fields that cannot be used.
    pub fn read(&self) -> Result<NodeUpgrade, Fault> {
        let mut reader = FormReader::default();
        let (server_type, image) = (FormReader::text(&self.server_type), FormReader::text(&self.image));
        let tag = FormReader::text(&self.tag);
        match (&server_type, &image) {
            _ if tag.is_some() => {}
            (None, None) => reader.check::<(), _>("/server_type", Some(Err("choose what it shall become"))),
            (Some(_), Some(_)) => reader.check::<(), _>("/image", Some(Err("choose a type or an image, not both"))),
            _ => {}
        }
        let wish = NodeUpgrade { server_type, image, tag };
        if wish.tag.is_some() {
            for error in wish.check().err().unwrap_or_default() {
                reader.check::<(), _>(&error.pointer, Some(Err(error.message)));
            }
        }
        reader.finish(|| Some(wish))
    }
}

/// What must outlive a refetch of the page.
#[derive(Clone, Copy)]
pub(super) struct Upgrading {
    /// The action.
    pub action: ServerAction<UpgradeNode>,
    /// The chosen type; the first that can be had while empty.
    pub wanted: RwSignal<String>,
}

impl Upgrading {
    pub fn new() -> Self {
        Self { action: ServerAction::new(), wanted: RwSignal::new(String::new()) }
    }
}

/// The types at the node's location, cheapest first: what each costs more or less, or why it cannot
/// be had.
fn choices(catalog: &Catalog, node: &NodeView, now: Timestamp) -> Vec<Choice> {
    let location = node.location.as_deref().unwrap_or_default();
    let present = node.server_type.as_deref().and_then(|name| choose::find(catalog, name));
    let terms = Terms { now, ceiling: None };
    let mut all: Vec<(bool, u64, Choice)> = Vec::new();
    for server in &catalog.server_types {
        let Some(place) = server.locations.iter().find(|place| place.location == location) else { continue };
        let why = why_not(server, place, present, terms);
        let more = node
            .price_monthly
            .as_deref()
            .and_then(|price| difference(price, &place.price_monthly))
            .map(|more| format!(" ({more})"))
            .unwrap_or_default();
        let price = amount_rounded(&place.price_monthly);
        let mark = choose::marked(place);
        let label = format!("{} · {price} {}{more}{mark}", choose::size(server), catalog.currency);
        let choice = match why {
            None => Choice::new(server.name.clone(), label),
            Some(why) => Choice::new(server.name.clone(), format!("{label} · {why}")).disabled(),
        };
        all.push((choice.disabled, choose::micros(place), choice));
    }
    all.sort_by_key(|(disabled, price, _)| (*disabled, *price));
    all.into_iter().map(|(.., choice)| choice).collect()
}

fn why_not(server: &ServerType, place: &TypeLocation, present: Option<&ServerType>, terms: Terms) -> Option<String> {
    if let Some(present) = present {
        if present.name == server.name {
            return Some("what it is now".to_owned());
        }
        if present.architecture != server.architecture {
            return Some(format!("not for {}", present.architecture));
        }
    }
    choose::why_not(place, terms)
}

/// What changes with the price: now, then, and the difference.
fn price_text(catalog: &Catalog, node: &NodeView, wanted: &str) -> String {
    let place = choose::find(catalog, wanted)
        .and_then(|server| server.locations.iter().find(|place| Some(&place.location) == node.location.as_ref()));
    let Some(place) = place else { return "Nothing else can be had at this location at the moment.".to_owned() };
    let currency = &catalog.currency;
    let then = format!(
        "{} {currency} per month ({} per hour)",
        amount_rounded(&place.price_monthly),
        amount_display(&place.price_hourly)
    );
    match &node.price_monthly {
        Some(price) => {
            let more = difference(price, &place.price_monthly).unwrap_or_default();
            format!("Now {} {currency}, then {then}: {more} {currency} per month.", amount_rounded(price))
        }
        None => format!("Then {then}."),
    }
}

/// The forms, once they were asked for.
pub(super) fn section(node: &NodeView, offers: Option<Result<Catalog, String>>, state: Upgrading) -> Option<AnyView> {
    let offers = offers?;
    let action = node.actions.iter().find(|action| action.identity == "upgrade-node")?;
    if node.stack.is_some() {
        return services::upgrade(node, action, state).map(IntoAny::into_any);
    }
    let body = if !action.enabled {
        let why = action.blocked_reasons();
        view! {
            <Notice tone=Tone::Neutral title="It cannot be upgraded now">
                <p>{why}</p>
            </Notice>
        }
        .into_any()
    } else {
        match offers {
            Ok(catalog) => forms(catalog, node.clone(), state).into_any(),
            Err(why) => view! {
                <Notice tone=Tone::Warn title="The catalogue cannot be read now">
                    <p>{why}</p>
                </Notice>
            }
            .into_any(),
        }
    };
    let section = view! {
        <Section title="Upgrade" note="Another type, or another image.">
            {body}
        </Section>
    };
    Some(section.into_any())
}

fn forms(catalog: Catalog, node: NodeView, state: Upgrading) -> impl IntoView {
    let Upgrading { action, wanted } = state;
    let fault = fault_of(action.value());
    let pending = action.pending();
    let all = choices(&catalog, &node, now().get_untracked());
    let first = all.iter().find(|choice| !choice.disabled).map(|choice| choice.value.clone()).unwrap_or_default();
    let (none, open) =
        (first.is_empty(), all.iter().filter(|choice| !choice.disabled).map(|c| c.value.clone()).collect::<Vec<_>>());
    let chosen = Signal::derive(move || {
        let wanted = wanted.get();
        if open.contains(&wanted) { wanted } else { first.clone() }
    });
    let images = images(&catalog, &node);
    let (id, name) = (node.id.to_string(), node.name.clone());
    let (id_too, name_too, name_again) = (id.clone(), name.clone(), name.clone());
    let price = move || price_text(&catalog, &node, &chosen.get());
    view! {
        <div class="stack upgrade">
            <div class="panel" data-testid=testid::UPGRADE_TYPE>
                <h3>"Another type"</h3>
                <ActionForm action=action attr:class="form">
                    <input type="hidden" name="id" value=id />
                    <SelectField
                        scope="upgrade"
                        name="form[server_type]"
                        label="Type"
                        choices=all
                        value=chosen
                        on_change=move |name: String| wanted.set(name)
                        pointer="/server_type"
                        fault=fault
                    />
                    <p class="form-price" aria-live="polite" data-testid=testid::UPGRADE_PRICE>
                        {price}
                    </p>
                    <p class="form-note">
                        {name}
                        " is shut down, changed and started again: it is off for some minutes. What is on its disk stays."
                    </p>
                    <Submit busy=pending blocked=none>
                        "Change type"
                    </Submit>
                </ActionForm>
            </div>
            <div class="panel" data-testid=testid::UPGRADE_IMAGE>
                <h3>"Another image"</h3>
                <ActionForm action=action attr:class="form">
                    <input type="hidden" name="id" value=id_too />
                    <SelectField
                        scope="upgrade"
                        name="form[image]"
                        label="Image"
                        choices=images
                        pointer="/image"
                        fault=fault
                    />
                    <p class="form-note form-note-bad">
                        "Lays " {name_too}
                        " anew with this image, fresh user data and a fresh host key. Everything on its disk is lost. This cannot be undone."
                    </p>
                    <TypeName name=name_again />
                    <Submit busy=pending danger=true>
                        "Change image"
                    </Submit>
                </ActionForm>
            </div>
            <FormFault fault=fault />
        </div>
    }
}

/// The images that its type can run, the present one marked.
fn images(catalog: &Catalog, node: &NodeView) -> Vec<Choice> {
    let all = choose::image_choices(catalog, node.server_type.as_deref().unwrap_or_default());
    all.into_iter()
        .filter(|choice| !choice.value.is_empty())
        .map(|mut choice| {
            if Some(&choice.value) == node.image.as_ref() {
                choice.label.push_str(" · what it has now");
            }
            choice
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_is_wanted() {
        let form = |server_type: &str, image: &str| UpgradeForm {
            server_type: server_type.to_owned(),
            image: image.to_owned(),
            tag: String::new(),
        };
        assert_eq!(form("cx33", " ").read().unwrap().server_type.as_deref(), Some("cx33"));
        assert_eq!(form("", "debian-13").read().unwrap().image.as_deref(), Some("debian-13"));
        assert!(form("", "").read().unwrap_err().field("/server_type").is_some());
        assert!(form("cx33", "debian-13").read().unwrap_err().field("/image").is_some());
        let tag = UpgradeForm { tag: "2".to_owned(), ..UpgradeForm::default() };
        assert_eq!(tag.read().unwrap().tag.as_deref(), Some("2"));
        let wrong = UpgradeForm { tag: "$(id)".to_owned(), ..UpgradeForm::default() };
        assert!(wrong.read().unwrap_err().field("/tag").is_some());
    }
}
