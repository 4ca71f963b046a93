//! What the acquire form offers out of a catalogue, and what the chosen pair costs. The rule: the
//! price shown is that of exactly the type and location that are sent, and what cannot be had is
//! shown with the reason and cannot be chosen.

use domain::{
    provider::{Catalog, Image, ServerType, TypeLocation},
    time::Timestamp,
    valid::{amount_display, amount_micros, amount_rounded},
};

use crate::ui::Choice;

/// What a person chose so far; `None` is nothing yet, an empty text is "leave it to Hangar".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub server_type: Option<String>,
    pub location: Option<String>,
    pub image: Option<String>,
    /// The most per month, as typed.
    pub ceiling: String,
}

/// What the form has chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pick {
    pub server_type: String,
    pub location: String,
    pub image: String,
}

/// What else decides whether a pair can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// The present.
    pub now: Timestamp,
    /// The most per month, in millionths.
    pub ceiling: Option<u64>,
}

impl Terms {
    /// The terms of what was typed; what is no amount is no ceiling.
    pub fn new(now: Timestamp, ceiling: &str) -> Self {
        Self { now, ceiling: amount_micros(ceiling.trim()).ok() }
    }
}

fn offered(place: &TypeLocation, terms: Terms) -> bool {
    why_not(place, terms).is_none()
}

/// Why a pair cannot be had.
pub(super) fn why_not(place: &TypeLocation, terms: Terms) -> Option<String> {
    match (place.deprecated, last_day(place)) {
        (true, Some(at)) if at <= terms.now => return Some("no longer orderable".to_owned()),
        (true, None) => return Some("deprecated".to_owned()),
        _ => {}
    }
    if !place.available {
        return Some("sold out here".to_owned());
    }
    (terms.ceiling.is_some_and(|most| micros(place) > most)).then(|| "above the ceiling".to_owned())
}

fn last_day(place: &TypeLocation) -> Option<Timestamp> {
    Timestamp::parse(place.unavailable_after.as_deref()?)
}

/// What the vendor says of a pair that can be had: that it recommends it, or until when there is more
/// of it.
pub(super) fn mark(place: &TypeLocation) -> String {
    match (place.deprecated, last_day(place)) {
        (true, Some(at)) => {
            let day = at.rfc3339();
            format!("deprecated until {}", day.get(..10).unwrap_or(&day))
        }
        _ if place.recommended => "recommended".to_owned(),
        _ => String::new(),
    }
}

/// The mark as the end of a label.
pub(super) fn marked(place: &TypeLocation) -> String {
    let mark = mark(place);
    if mark.is_empty() { mark } else { format!(" · {mark}") }
}

pub(super) fn micros(place: &TypeLocation) -> u64 {
    amount_micros(&place.price_monthly).unwrap_or(u64::MAX)
}

fn cheapest(server: &ServerType, terms: Terms) -> Option<&TypeLocation> {
    server.locations.iter().filter(|place| offered(place, terms)).min_by_key(|place| order(place))
}

/// What is being phased out comes after everything else.
fn order(place: &TypeLocation) -> (bool, u64) {
    (place.deprecated, micros(place))
}

pub(super) fn find<'a>(catalog: &'a Catalog, server_type: &str) -> Option<&'a ServerType> {
    catalog.server_types.iter().find(|server| server.name == server_type)
}

/// What is chosen, given what a person wanted: where that cannot be had, the cheapest that can.
pub(super) fn pick(catalog: &Catalog, wanted: &Wanted, terms: Terms) -> Pick {
    let wish = wanted.server_type.as_deref().and_then(|name| find(catalog, name));
    let server = wish.filter(|server| cheapest(server, terms).is_some()).or_else(|| {
        let all = catalog.server_types.iter().filter_map(|server| Some((order(cheapest(server, terms)?), server)));
        all.min_by_key(|(price, _)| *price).map(|(_, server)| server)
    });
    let Some(server) = server else { return Pick::default() };
    let location = match wanted.location.as_deref() {
        Some("") => String::new(),
        Some(name) if server.locations.iter().any(|place| place.location == name && offered(place, terms)) => {
            name.to_owned()
        }
        _ => cheapest(server, terms).map(|place| place.location.clone()).unwrap_or_default(),
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
pub(super) fn type_choices(catalog: &Catalog, terms: Terms) -> Vec<Choice> {
    let mut types: Vec<&ServerType> = catalog.server_types.iter().collect();
    types.sort_by_key(|server| cheapest(server, terms).map_or((true, u64::MAX), order));
    types.into_iter().map(|server| type_choice(server, &catalog.currency, terms)).collect()
}

/// What a type is: cores, memory, disk, architecture.
pub(super) fn size(server: &ServerType) -> String {
    format!(
        "{}: {} {}, {} GB memory, {} GB disk, {}",
        server.name,
        server.cores,
        if server.cores == 1 { "core" } else { "cores" },
        short(&server.memory_gb),
        server.disk_gb,
        server.architecture
    )
}

fn type_choice(server: &ServerType, currency: &str, terms: Terms) -> Choice {
    let size = size(server);
    match cheapest(server, terms) {
        Some(place) => {
            let mut open = server.locations.iter().filter(|place| offered(place, terms));
            let mark = marked(open.find(|place| place.recommended && !place.deprecated).unwrap_or(place));
            let price = amount_rounded(&place.price_monthly);
            Choice::new(server.name.clone(), format!("{size} · from {price} {currency}{mark}"))
        }
        None => {
            let mut reasons: Vec<String> = server.locations.iter().filter_map(|place| why_not(place, terms)).collect();
            reasons.dedup();
            let why = match reasons.as_slice() {
                [one] if one == "sold out here" => "sold out everywhere".to_owned(),
                [one] => one.clone(),
                _ => "not to be had anywhere".to_owned(),
            };
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
pub(super) fn location_choices(catalog: &Catalog, server_type: &str, terms: Terms) -> Vec<Choice> {
    let any = Choice::new("", "any: the first with capacity");
    let places = find(catalog, server_type).map(|server| server.locations.as_slice()).unwrap_or_default();
    let places = places.iter().map(|place| {
        let city = catalog.locations.iter().find(|location| location.name == place.location);
        let city = city.map(|location| format!(", {} ({})", location.city, location.country)).unwrap_or_default();
        let label = format!("{}{city} · {} {}", place.location, amount_rounded(&place.price_monthly), catalog.currency);
        let mark = marked(place);
        match why_not(place, terms) {
            None => Choice::new(place.location.clone(), format!("{label}{mark}")),
            Some(why) => Choice::new(place.location.clone(), format!("{label} · {why}")).disabled(),
        }
    });
    places.chain([any]).collect()
}

/// The images: those that a type can run first, the others with the reason.
pub(super) fn image_choices(catalog: &Catalog, server_type: &str) -> Vec<Choice> {
    let server = find(catalog, server_type);
    let runs = |image: &Image| server.is_none_or(|server| fits(image, server));
    let mut seen: Vec<&str> = Vec::new();
    let (fitting, others): (Vec<_>, Vec<_>) = catalog.images.iter().partition(|image| runs(image));
    let mut choices = Vec::new();
    for image in fitting.iter().chain(&others) {
        if seen.contains(&image.name.as_str()) {
            continue;
        }
        seen.push(&image.name);
        let label = format!("{} · {}", image.name, image.description);
        choices.push(match server {
            Some(server) if !fits(image, server) => {
                Choice::new(image.name.clone(), format!("{label} · not for {}", server.architecture)).disabled()
            }
            _ => Choice::new(image.name.clone(), label),
        });
    }
    choices.insert(fitting.len().min(choices.len()), Choice::new("", "the newest Debian"));
    choices
}

/// Every pair, those that can be had first, cheapest first, as a fallback.
pub(super) fn pair_choices(catalog: &Catalog, terms: Terms) -> Vec<Choice> {
    let mut pairs: Vec<(bool, u64, Choice)> = Vec::new();
    for server in &catalog.server_types {
        for place in &server.locations {
            let price = amount_rounded(&place.price_monthly);
            let label =
                format!("{} at {} · {price} {}{}", server.name, place.location, catalog.currency, marked(place));
            let value = format!("{}/{}", server.name, place.location);
            let choice = match why_not(place, terms) {
                None => Choice::new(value, label),
                Some(why) => Choice::new(value, format!("{label} · {why}")).disabled(),
            };
            pairs.push((choice.disabled, micros(place), choice));
        }
    }
    pairs.sort_by_key(|(disabled, price, _)| (*disabled, *price));
    std::iter::once(Choice::new("", "none")).chain(pairs.into_iter().map(|(.., choice)| choice)).collect()
}

/// What the chosen pair costs.
pub(super) fn price_text(catalog: &Catalog, pick: &Pick, terms: Terms) -> String {
    let currency = &catalog.currency;
    let Some(server) = find(catalog, &pick.server_type) else {
        return match terms.ceiling {
            Some(_) => "Nothing can be had at this price at the moment.".to_owned(),
            None => "Nothing can be had from this account at the moment.".to_owned(),
        };
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
    let prices = server.locations.iter().filter(|place| offered(place, terms));
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
            unavailable_after: None,
            recommended: location == "nbg1",
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
            read_at: None,
            stale: None,
        }
    }

    const TERMS: Terms = Terms { now: Timestamp::from_millis(1_763_613_000_000), ceiling: None };

    fn wanted(server_type: &str, location: &str) -> Wanted {
        Wanted { server_type: Some(server_type.to_owned()), location: Some(location.to_owned()), ..Wanted::default() }
    }

    #[test]
    fn at_first_the_cheapest_that_can_be_had_is_chosen() {
        let pick = pick(&catalog(), &Wanted::default(), TERMS);
        let chosen = (pick.server_type.as_str(), pick.location.as_str(), pick.image.as_str());
        assert_eq!(chosen, ("small", "hel1", "debian-13"));
    }

    #[test]
    fn what_cannot_be_had_is_never_chosen() {
        let (catalog, at) = (catalog(), |p: Pick| (p.server_type, p.location));
        let is = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(at(pick(&catalog, &wanted("old", "fsn1"), TERMS)), is("small", "hel1"));
        assert_eq!(at(pick(&catalog, &wanted("small", "fsn1"), TERMS)), is("small", "hel1"));
        assert_eq!(at(pick(&catalog, &wanted("small", "nbg1"), TERMS)), is("small", "nbg1"));
        assert_eq!(at(pick(&catalog, &wanted("big", ""), TERMS)), is("big", ""));
        assert_eq!(pick(&catalog, &wanted("arm", "fsn1"), TERMS).image, "");
    }

    #[test]
    fn the_price_is_that_of_the_pair() {
        let catalog = catalog();
        let text = |server_type: &str, location: &str| {
            price_text(&catalog, &pick(&catalog, &wanted(server_type, location), TERMS), TERMS)
        };
        assert_eq!(text("small", "nbg1"), "5.00 EUR per month (0.007 per hour) for small at nbg1.");
        assert_eq!(text("small", "hel1"), "4.51 EUR per month (0.007 per hour) for small at hel1.");
        assert_eq!(text("small", ""), "4.51 to 5.00 EUR per month for small, by the location.");
        assert_eq!(text("big", ""), "9.50 EUR per month for big at any location.");
    }

    #[test]
    fn what_cannot_be_had_says_why_and_cannot_be_chosen() {
        let types = type_choices(&catalog(), TERMS);
        assert_eq!(types[0].label, "small: 2 cores, 4 GB memory, 40 GB disk, x86 · from 4.51 EUR · recommended");
        let old = types.iter().find(|choice| choice.value == "old");
        assert!(old.is_some_and(|choice| choice.disabled && choice.label.ends_with("deprecated")));
        let places = location_choices(&catalog(), "small", TERMS);
        assert!(places[0].disabled && places[0].label.ends_with("sold out here"));
        assert_eq!(places[2].label, "hel1, Helsinki (FI) · 4.51 EUR");
        assert!(!places[2].disabled);
        assert!(places[1].label.ends_with("recommended"));
        let pairs = pair_choices(&catalog(), TERMS);
        assert_eq!((pairs[0].value.as_str(), pairs[1].value.as_str()), ("", "small/hel1"));
        assert!(pairs.iter().filter(|pair| pair.value.starts_with("old")).all(|pair| pair.disabled));
    }

    #[test]
    fn an_image_is_of_the_types_architecture() {
        let names = |server_type: &str| -> Vec<String> {
            image_choices(&catalog(), server_type).into_iter().map(|choice| choice.value).collect()
        };
        assert_eq!(names("small"), ["debian-12", "debian-13", "", "ubuntu-24.04"]);
        assert_eq!(names("arm"), ["ubuntu-24.04", "", "debian-12", "debian-13"]);
        let others: Vec<_> = image_choices(&catalog(), "arm").into_iter().filter(|choice| choice.disabled).collect();
        assert!(others.len() == 2 && others.iter().all(|choice| choice.label.ends_with("not for arm")));
    }

    #[test]
    fn a_ceiling_takes_the_dearer_ones_away_and_says_so() {
        let terms = Terms::new(TERMS.now, " 4.80 ");
        assert_eq!(Terms::new(TERMS.now, "much").ceiling, None);
        let places = location_choices(&catalog(), "small", terms);
        assert!(places[1].disabled && places[1].label.ends_with("above the ceiling"));
        assert!(!places[2].disabled);
        assert_eq!(pick(&catalog(), &wanted("small", "nbg1"), terms).location, "hel1");
        let none = Terms::new(TERMS.now, "1");
        let text = price_text(&catalog(), &pick(&catalog(), &Wanted::default(), none), none);
        assert_eq!(text, "Nothing can be had at this price at the moment.");
    }

    #[test]
    fn the_end_of_a_deprecated_pair_has_a_date() {
        let until =
            |date: &str| TypeLocation { unavailable_after: Some(date.to_owned()), ..place("x", "1", true, true) };
        assert_eq!(why_not(&until("2026-01-31T00:00:00Z"), TERMS), None);
        assert_eq!(mark(&until("2026-01-31T00:00:00Z")), "deprecated until 2026-01-31");
        assert_eq!(why_not(&until("2025-01-31T00:00:00Z"), TERMS).as_deref(), Some("no longer orderable"));
    }

    #[test]
    fn what_is_phased_out_can_be_chosen_but_never_is_by_itself() {
        let mut catalog = catalog();
        catalog.server_types[0].locations[0].unavailable_after = Some("2026-01-31T00:00:00Z".to_owned());
        assert_eq!(pick(&catalog, &Wanted::default(), TERMS).server_type, "small");
        assert_eq!(pick(&catalog, &wanted("old", "fsn1"), TERMS).server_type, "old");
        let old = type_choices(&catalog, TERMS).pop().unwrap();
        assert!(!old.disabled && old.label.ends_with("deprecated until 2026-01-31"), "{}", old.label);
    }
}
