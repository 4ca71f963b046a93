//! The part of the acquire form that comes out of the catalogue: type, location, image, price,
//! fallbacks, and the table of all pairs.

use domain::{
    node::NodeCreate,
    provider::{Catalog, ServerType},
    valid::{amount_display, amount_rounded},
};
use leptos::prelude::*;

use super::{
    acquire::Choosing,
    choose::{self, Pick, Terms},
};
use crate::{
    Fault,
    context::now,
    routes::testid,
    ui::{Cell, Column, Notice, Row, SelectField, Status, Table, TextField, Time, Tone},
};

const PRICES: &[Column] = &[
    Column::text("Type"),
    Column::text("Location"),
    Column::number("Cores"),
    Column::number("Memory"),
    Column::number("Disk"),
    Column::text("Architecture"),
    Column::number("Per hour"),
    Column::number("Per month"),
    Column::text("To be had"),
];

/// The parts, each for its place in the form.
pub(super) struct Machine {
    /// How old the catalogue is.
    pub age: AnyView,
    /// Type, location, image.
    pub fields: AnyView,
    /// What to try when there is no capacity.
    pub fallbacks: AnyView,
    /// What it costs, beside the button.
    pub price: AnyView,
    /// Every pair with its price.
    pub prices: AnyView,
}

/// Out of a catalogue.
///
/// `before` are the fallbacks to begin with.
pub(super) fn of_catalog(
    catalog: Catalog,
    state: Choosing,
    fault: Signal<Option<Fault>>,
    before: Vec<String>,
) -> Machine {
    let wanted = state.wanted;
    let present = now().get_untracked();
    let terms = Memo::new(move |_| wanted.with(|wanted| Terms::new(present, &wanted.ceiling)));
    let prices = prices(&catalog, Terms { now: present, ceiling: None }).into_any();
    let age = age(&catalog).into_any();
    let catalog = StoredValue::new(catalog);
    let pick = Memo::new(move |_| {
        catalog.with_value(|catalog| wanted.with(|wanted| choose::pick(catalog, wanted, terms.get())))
    });
    let part = move |of: fn(&Pick) -> &String| Signal::derive(move || pick.with(|pick| of(pick).clone()));
    let server_type = part(|pick| &pick.server_type);
    let types = Signal::derive(move || catalog.with_value(|c| choose::type_choices(c, terms.get())));
    let pairs = Signal::derive(move || catalog.with_value(|c| choose::pair_choices(c, terms.get())));
    let places =
        Signal::derive(move || catalog.with_value(|c| choose::location_choices(c, &server_type.get(), terms.get())));
    let images = Signal::derive(move || catalog.with_value(|c| choose::image_choices(c, &server_type.get())));
    let fields = view! {
        <SelectField
            name="form[server_type]"
            label="Type"
            choices=types
            value=server_type
            on_change=move |name: String| wanted.update(|wanted| wanted.server_type = Some(name))
            pointer="/server_type"
            fault=fault
        />
        <SelectField
            name="form[location]"
            label="Location"
            choices=places
            value=part(|pick| &pick.location)
            on_change=move |name: String| wanted.update(|wanted| wanted.location = Some(name))
            pointer="/location"
            fault=fault
        />
        <SelectField
            name="form[image]"
            label="Image"
            choices=images
            value=part(|pick| &pick.image)
            on_change=move |name: String| wanted.update(|wanted| wanted.image = Some(name))
            pointer="/image"
            fault=fault
        />
    };
    let price = view! {
        <p class="form-price" aria-live="polite" data-testid=testid::PRICE>
            {move || catalog.with_value(|catalog| choose::price_text(catalog, &pick.get(), terms.get()))}
        </p>
    };
    let fallbacks = [
        ("form[fallback_1]", "/fallbacks/0", "If there is no capacity, take"),
        ("form[fallback_2]", "/fallbacks/1", "then"),
        ("form[fallback_3]", "/fallbacks/2", "at last"),
    ]
    .into_iter()
    .enumerate()
    .map(|(at, (name, pointer, label))| {
        let value = before.get(at).cloned().unwrap_or_default();
        view! {
            <SelectField name=name label=label choices=pairs value=value pointer=pointer fault=fault />
        }
    })
    .collect_view();
    Machine { age, fields: fields.into_any(), fallbacks: fallbacks.into_any(), price: price.into_any(), prices }
}

/// Where there is no catalogue, the vendor's own words are typed.
pub(super) fn in_words(why: String, fault: Signal<Option<Fault>>, template: Option<&NodeCreate>) -> Machine {
    let value = |of: fn(&NodeCreate) -> &Option<String>| template.and_then(|template| of(template).clone());
    let values = [value(|it| &it.server_type), value(|it| &it.location), value(|it| &it.image)];
    let [server_type, location, image] = values;
    let field = move |name: &'static str, label: &'static str, pointer: &'static str, help: &'static str, value| {
        view! {
            <TextField name=name label=label pointer=pointer fault=fault help=help.to_owned() value=value mono=true />
        }
    };
    let fields = view! {
        <Notice tone=Tone::Warn title="The catalogue cannot be read now">
            <p>{why}</p>
            <p>"What you leave empty is chosen once the vendor answers; set a price ceiling if that matters."</p>
        </Notice>
        {field("form[server_type]", "Type", "/server_type", "As the vendor names it; the smallest when empty.", server_type)}
        {field("form[location]", "Location", "/location", "As the vendor names it; the first with capacity when empty.", location)}
        {field("form[image]", "Image", "/image", "As the vendor names it; the newest Debian when empty.", image)}
    };
    let price = view! {
        <p class="form-price" data-testid=testid::PRICE>
            "The price is not known until the vendor answers."
        </p>
    };
    let none = || ().into_any();
    Machine { age: none(), fields: fields.into_any(), fallbacks: none(), price: price.into_any(), prices: none() }
}

fn age(catalog: &Catalog) -> impl IntoView + use<> {
    let old = catalog.stale.clone().map(|why| {
        view! {
            <Status word="stale" tone_is=Tone::Warn />
            " "
            {why}
            " Prices and capacity may have changed."
        }
    });
    catalog.read_at.map(|at| {
        view! {
            <p class="field-help" data-testid=testid::CATALOG_AGE>
                "Prices and capacity as the vendor gave them " <Time at=at /> ". " {old}
            </p>
        }
    })
}

/// What can be had, cheapest first, for whoever compares.
fn prices(catalog: &Catalog, terms: Terms) -> impl IntoView + use<> {
    let mut rows: Vec<(bool, u64, AnyView)> = Vec::new();
    for server in &catalog.server_types {
        rows.extend(price_rows(server, &catalog.currency, terms));
    }
    rows.sort_by_key(|(out, price, _)| (*out, *price));
    let rows = rows.into_iter().map(|(.., row)| row).collect_view();
    view! {
        <details class="prices">
            <summary>"Every type and location with its price"</summary>
            <Table caption="Prices" columns=PRICES testid=testid::PRICES>
                {rows}
            </Table>
        </details>
    }
}

fn price_rows(server: &ServerType, currency: &str, terms: Terms) -> Vec<(bool, u64, AnyView)> {
    let row = |place: &domain::provider::TypeLocation| {
        let (name, location) = (server.name.clone(), place.location.clone());
        let (cores, memory) = (server.cores, format!("{} GB", server.memory_gb));
        let (disk, architecture) = (format!("{} GB", server.disk_gb), server.architecture.clone());
        let (hourly, monthly) = (
            format!("{} {currency}", amount_display(&place.price_hourly)),
            format!("{} {currency}", amount_rounded(&place.price_monthly)),
        );
        let why = choose::why_not(place, terms);
        let out = why.is_some();
        let to_be_had = why.unwrap_or_else(|| match choose::mark(place) {
            mark if mark.is_empty() => "yes".to_owned(),
            mark => format!("yes, {mark}"),
        });
        let view = view! {
            <Row id=format!("{name}/{location}")>
                <Cell label="Type">{name}</Cell>
                <Cell label="Location">{location}</Cell>
                <Cell label="Cores" number=true>
                    {cores}
                </Cell>
                <Cell label="Memory" number=true>
                    {memory}
                </Cell>
                <Cell label="Disk" number=true>
                    {disk}
                </Cell>
                <Cell label="Architecture">{architecture}</Cell>
                <Cell label="Per hour" number=true>
                    {hourly}
                </Cell>
                <Cell label="Per month" number=true>
                    {monthly}
                </Cell>
                <Cell label="To be had">{to_be_had}</Cell>
            </Row>
        };
        (out, choose::micros(place), view.into_any())
    };
    server.locations.iter().map(row).collect()
}
