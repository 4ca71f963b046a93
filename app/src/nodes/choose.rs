//! What the acquire form offers out of a catalogue, and what the chosen pair costs. The rule: the
//! price shown is that of exactly the type and location that are sent, and what cannot be had is
//! shown with the reason and cannot be chosen.

use domain::{
    provider::{Catalog, Image, ServerType, TypeLocation},
    valid::{amount_display, amount_micros, amount_rounded},
};

use crate::ui::Choice;

/// What a person chose so far; `None` is nothing yet, an empty text is "leave it to Hangar".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub server_type: Option<String>,
    pub location: Option<String>,
    pub image: Option<String>,
}

/// What the form has chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pick {
    pub server_type: String,
    pub location: String,
    pub image: String,
}

fn offered(place: &TypeLocation) -> bool {
    place.available && !place.deprecated
}

/// Why a pair cannot be had.
pub(super) fn why_not(place: &TypeLocation) -> Option<&'static str> {
    match (place.deprecated, place.available) {
        (true, _) => Some("being phased out"),
        (false, false) => Some("no capacity now"),
        (false, true) => None,
    }
}

fn micros(place: &TypeLocation) -> u64 {
    amount_micros(&place.price_monthly).unwrap_or(u64::MAX)
}

fn cheapest(server: &ServerType) -> Option<&TypeLocation> {
    server.locations.iter().filter(|place| offered(place)).min_by_key(|place| micros(place))
}

fn find<'a>(catalog: &'a Catalog, server_type: &str) -> Option<&'a ServerType> {
    catalog.server_types.iter().find(|server| server.name == server_type)
}

/// What is chosen, given what a person wanted: where that cannot be had, the cheapest that can.
pub(super) fn pick(catalog: &Catalog, wanted: &Wanted) -> Pick {
    let wish = wanted.server_type.as_deref().and_then(|name| find(catalog, name));
    let server = wish.filter(|server| cheapest(server).is_some()).or_else(|| {
        let all = catalog.server_types.iter().filter_map(|server| Some((micros(cheapest(server)?), server)));
        all.min_by_key(|(price, _)| *price).map(|(_, server)| server)
    });
    let Some(server) = server else { return Pick::default() };
    let location = match wanted.location.as_deref() {
        Some("") => String::new(),
        Some(name) if server.locations.iter().any(|place| place.location == name && offered(place)) => name.to_owned(),
        _ => cheapest(server).map(|place| place.location.clone()).unwrap_or_default(),
    };
    let image = match wanted.image.as_deref() {
        Some("") => String::new(),
        Some(name) if catalog.images.iter().any(|image| image.name == name && fits(image, server)) => name.to_owned(),
        _ => newest_debian(catalog, server).unwrap_or_default(),
    };
    Pick { server_type: server.name.clone(), location, image }
}

fn fits(image: &Image, server: &ServerType) -> bool {
    image.architecture == server.architecture
}

fn newest_debian(catalog: &Catalog, server: &ServerType) -> Option<String> {
    let all = catalog.images.iter().filter(|image| fits(image, server)).filter_map(|image| {
        let version: u32 = image.name.strip_prefix("debian-")?.parse().ok()?;
        Some((version, image.name.clone()))
    });
    all.max_by_key(|(version, _)| *version).map(|(_, name)| name)
}

/// The types, cheapest first; those that cannot be had anywhere last.
pub(super) fn type_choices(catalog: &Catalog) -> Vec<Choice> {
    let mut types: Vec<&ServerType> = catalog.server_types.iter().collect();
    types.sort_by_key(|server| cheapest(server).map_or(u64::MAX, micros));
    types.into_iter().map(|server| type_choice(server, &catalog.currency)).collect()
}

fn type_choice(server: &ServerType, currency: &str) -> Choice {
    let size = format!(
        "{}: {} {}, {} GB memory, {} GB disk, {}",
        server.name,
        server.cores,
        if server.cores == 1 { "core" } else { "cores" },
        short(&server.memory_gb),
        server.disk_gb,
        server.architecture
    );
    match cheapest(server) {
        Some(place) => Choice::new(
            server.name.clone(),
            format!("{size} · from {} {currency}", amount_rounded(&place.price_monthly)),
        ),
        None => {
            let why = server.locations.first().and_then(why_not).unwrap_or("not to be had anywhere");
            Choice::new(server.name.clone(), format!("{size} · {why}")).disabled()
        }
    }
}

/// A decimal without what says nothing: `4.0` is `4`.
fn short(decimal: &str) -> &str {
    match decimal.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => whole,
        _ => decimal,
    }
}

/// The locations of a type.
pub(super) fn location_choices(catalog: &Catalog, server_type: &str) -> Vec<Choice> {
    let any = Choice::new("", "any: the first with capacity");
    let places = find(catalog, server_type).map(|server| server.locations.as_slice()).unwrap_or_default();
    let places = places.iter().map(|place| {
        let city = catalog.locations.iter().find(|location| location.name == place.location);
        let city = city.map(|location| format!(", {} ({})", location.city, location.country)).unwrap_or_default();
        let label = format!("{}{city} · {} {}", place.location, amount_rounded(&place.price_monthly), catalog.currency);
        match why_not(place) {
            None => Choice::new(place.location.clone(), label),
            Some(why) => Choice::new(place.location.clone(), format!("{label} · {why}")).disabled(),
        }
    });
    places.chain([any]).collect()
}

/// The images that a type can run.
pub(super) fn image_choices(catalog: &Catalog, server_type: &str) -> Vec<Choice> {
    let server = find(catalog, server_type);
    let mut seen: Vec<&str> = Vec::new();
    let images = catalog.images.iter().filter(|image| server.is_none_or(|server| fits(image, server)));
    let mut choices = Vec::new();
    for image in images {
        if !seen.contains(&image.name.as_str()) {
            seen.push(&image.name);
            choices.push(Choice::new(image.name.clone(), format!("{} · {}", image.name, image.description)));
        }
    }
    choices.push(Choice::new("", "the newest Debian"));
    choices
}

/// Every pair that can be had, cheapest first, as a fallback.
pub(super) fn pair_choices(catalog: &Catalog) -> Vec<Choice> {
    let mut pairs: Vec<(u64, Choice)> = Vec::new();
    for server in &catalog.server_types {
        for place in server.locations.iter().filter(|place| offered(place)) {
            let label = format!(
                "{} at {} · {} {}",
                server.name,
                place.location,
                amount_rounded(&place.price_monthly),
                catalog.currency
            );
            pairs.push((micros(place), Choice::new(format!("{}/{}", server.name, place.location), label)));
        }
    }
    pairs.sort_by_key(|(price, _)| *price);
    std::iter::once(Choice::new("", "none")).chain(pairs.into_iter().map(|(_, choice)| choice)).collect()
}

/// What the chosen pair costs.
pub(super) fn price_text(catalog: &Catalog, pick: &Pick) -> String {
    let currency = &catalog.currency;
    let Some(server) = find(catalog, &pick.server_type) else {
        return "Nothing can be had from this account at the moment.".to_owned();
    };
    if let Some(place) = server.locations.iter().find(|place| place.location == pick.location) {
        return format!(
            "{} {currency} per month ({} per hour) for {} at {}.",
            amount_rounded(&place.price_monthly),
            amount_display(&place.price_hourly),
            server.name,
            place.location
        );
    }
    let prices = server.locations.iter().filter(|place| offered(place));
    let least = prices.clone().min_by_key(|place| micros(place)).map(|place| amount_rounded(&place.price_monthly));
    let most = prices.max_by_key(|place| micros(place)).map(|place| amount_rounded(&place.price_monthly));
    match (least, most) {
        (Some(least), Some(most)) if least == most => {
            format!("{least} {currency} per month for {} at any location.", server.name)
        }
        (Some(least), Some(most)) => {
            format!("{least} to {most} {currency} per month for {}, by the location.", server.name)
        }
        _ => format!("{} cannot be had at the moment.", server.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::provider::Location;

    fn place(location: &str, price: &str, available: bool, deprecated: bool) -> TypeLocation {
        TypeLocation {
            location: location.to_owned(),
            available,
            deprecated,
            price_monthly: price.to_owned(),
            price_hourly: "0.0070000000".to_owned(),
        }
    }

    fn server(name: &str, architecture: &str, locations: Vec<TypeLocation>) -> ServerType {
        ServerType {
            name: name.to_owned(),
            description: name.to_owned(),
            cores: 2,
            memory_gb: "4.0".to_owned(),
            disk_gb: 40,
            architecture: architecture.to_owned(),
            locations,
        }
    }

    fn image(name: &str, architecture: &str) -> Image {
        Image { name: name.to_owned(), description: name.to_owned(), architecture: architecture.to_owned() }
    }

    fn catalog() -> Catalog {
        Catalog {
            server_types: vec![
                server("old", "x86", vec![place("fsn1", "1.00", true, true)]),
                server("big", "x86", vec![place("fsn1", "9.5000", true, false)]),
                server(
                    "small",
                    "x86",
                    vec![
                        place("fsn1", "4.00", false, false),
                        place("nbg1", "5.00", true, false),
                        place("hel1", "4.5063", true, false),
                    ],
                ),
                server("arm", "arm", vec![place("fsn1", "6.00", true, false)]),
            ],
            locations: vec![Location {
                name: "hel1".to_owned(),
                description: "Helsinki DC".to_owned(),
                city: "Helsinki".to_owned(),
                country: "FI".to_owned(),
            }],
            images: vec![image("debian-12", "x86"), image("debian-13", "x86"), image("ubuntu-24.04", "arm")],
            currency: "EUR".to_owned(),
        }
    }

    fn wanted(server_type: &str, location: &str) -> Wanted {
        Wanted { server_type: Some(server_type.to_owned()), location: Some(location.to_owned()), image: None }
    }

    #[test]
    fn at_first_the_cheapest_that_can_be_had_is_chosen() {
        let pick = pick(&catalog(), &Wanted::default());
        let chosen = (pick.server_type.as_str(), pick.location.as_str(), pick.image.as_str());
        assert_eq!(chosen, ("small", "hel1", "debian-13"));
    }

    #[test]
    fn what_cannot_be_had_is_never_chosen() {
        let (catalog, at) = (catalog(), |p: Pick| (p.server_type, p.location));
        let is = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(at(pick(&catalog, &wanted("old", "fsn1"))), is("small", "hel1"));
        assert_eq!(at(pick(&catalog, &wanted("small", "fsn1"))), is("small", "hel1"));
        assert_eq!(at(pick(&catalog, &wanted("small", "nbg1"))), is("small", "nbg1"));
        assert_eq!(at(pick(&catalog, &wanted("big", ""))), is("big", ""));
        assert_eq!(pick(&catalog, &wanted("arm", "fsn1")).image, "");
    }

    #[test]
    fn the_price_is_that_of_the_pair() {
        let catalog = catalog();
        let text =
            |server_type: &str, location: &str| price_text(&catalog, &pick(&catalog, &wanted(server_type, location)));
        assert_eq!(text("small", "nbg1"), "5.00 EUR per month (0.007 per hour) for small at nbg1.");
        assert_eq!(text("small", "hel1"), "4.51 EUR per month (0.007 per hour) for small at hel1.");
        assert_eq!(text("small", ""), "4.51 to 5.00 EUR per month for small, by the location.");
        assert_eq!(text("big", ""), "9.50 EUR per month for big at any location.");
    }

    #[test]
    fn what_cannot_be_had_says_why_and_cannot_be_chosen() {
        let types = type_choices(&catalog());
        assert_eq!(types[0].label, "small: 2 cores, 4 GB memory, 40 GB disk, x86 · from 4.51 EUR");
        let old = types.iter().find(|choice| choice.value == "old");
        assert!(old.is_some_and(|choice| choice.disabled && choice.label.ends_with("being phased out")));
        let places = location_choices(&catalog(), "small");
        assert!(places[0].disabled && places[0].label.ends_with("no capacity now"));
        assert_eq!(places[2].label, "hel1, Helsinki (FI) · 4.51 EUR");
        assert!(!places[2].disabled);
        assert!(pair_choices(&catalog()).iter().all(|choice| !choice.value.starts_with("old")));
    }

    #[test]
    fn an_image_is_of_the_types_architecture() {
        let names = |server_type: &str| -> Vec<String> {
            image_choices(&catalog(), server_type).into_iter().map(|choice| choice.value).collect()
        };
        assert_eq!(names("small"), ["debian-12", "debian-13", ""]);
        assert_eq!(names("arm"), ["ubuntu-24.04", ""]);
    }
}
