//! The choice of type, location and image out of a live catalogue. Rule: a pure function; every
//! refusal says what would be right, and a price is always that of exactly one pair.

use std::collections::BTreeSet;

use domain::{
    list::FieldError,
    node::{Fallback, NodeCreate},
    provider::{Catalog, ServerType, TypeLocation},
    time::Timestamp,
    valid::{amount_display, amount_micros},
};
use serde::{Deserialize, Serialize};

use crate::{error::field_error, infra::Pair};

/// What the operator asked for; what is absent is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The server type.
    pub server_type: Option<String>,
    /// The location.
    pub location: Option<String>,
    /// The image.
    pub image: Option<String>,
    /// What to try when there is no capacity.
    pub fallbacks: Vec<Fallback>,
    /// The ceiling per month, a decimal in the catalogue's currency.
    pub max_price_monthly: Option<String>,
}

impl From<&NodeCreate> for Selection {
    fn from(wish: &NodeCreate) -> Self {
        Self {
            server_type: wish.server_type.clone(),
            location: wish.location.clone(),
            image: wish.image.clone(),
            fallbacks: wish.fallbacks.clone(),
            max_price_monthly: wish.max_price_monthly.clone(),
        }
    }
}

/// What is tried, and what the first try costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// What to try, in order; never empty.
    pub pairs: Vec<Pair>,
    /// The image.
    pub image: String,
    /// The price of the first pair per month, a decimal; empty when it is not known.
    pub price_monthly: String,
    /// The price of the first pair per hour that has begun, likewise.
    #[serde(default)]
    pub price_hourly: String,
    /// The currency of every price.
    pub currency: String,
}

/// A type at one of its locations.
#[derive(Clone, Copy)]
struct Offer<'a> {
    of: &'a ServerType,
    at: &'a TypeLocation,
}

impl Offer<'_> {
    /// Unknown prices come last and are above every ceiling.
    fn price(&self) -> u64 {
        amount_micros(&self.at.price_monthly).unwrap_or(u64::MAX)
    }

    fn pair(&self) -> Pair {
        let known = |price: &String| Some(price.clone()).filter(|price| !price.is_empty());
        Pair {
            server_type: self.of.name.clone(),
            location: self.at.location.clone(),
            price_monthly: known(&self.at.price_monthly),
            price_hourly: known(&self.at.price_hourly),
        }
    }
}

/// Whether it can still be ordered: what is phased out can be until its last day, where that is
/// known. Held against the time at which the catalogue was read.
fn is_orderable(at: &TypeLocation, catalog: &Catalog) -> bool {
    let last = at.unavailable_after.as_deref().and_then(Timestamp::parse);
    !at.deprecated || last.is_some_and(|last| catalog.read_at.is_none_or(|now| now < last))
}

/// Types that can be ordered somewhere.
fn orderable(catalog: &Catalog) -> impl Iterator<Item = &ServerType> {
    catalog.server_types.iter().filter(|of| of.locations.iter().any(|at| is_orderable(at, catalog)))
}

/// Chooses what to try. Absent: the cheapest type that is not deprecated, x86 before others, where
/// the vendor indicates capacity; the newest Debian. What is deprecated is taken only when it is
/// asked for by name and can still be ordered. Without a location, the other locations of
/// the same type at no higher price follow as fallbacks. Pairs above the ceiling are left out.
///
/// # Errors
/// The fields that cannot be used, as pointers into a [`NodeCreate`].
pub fn choose(catalog: &Catalog, wish: &Selection) -> Result<Chosen, Vec<FieldError>> {
    let ceiling = match wish.max_price_monthly.as_deref().map(amount_micros).transpose() {
        Ok(ceiling) => ceiling,
        Err(invalid) => return Err(vec![field_error("/max_price_monthly", invalid.to_string())]),
    };
    let mut errors = Vec::new();
    if let Some(image) = &wish.image
        && !catalog.images.iter().any(|it| it.name == *image)
    {
        errors.push(unknown("/image", "image", image, catalog.images.iter().map(|it| &it.name)));
    }
    let mut offers = match first_offers(catalog, wish) {
        Ok(offers) => offers,
        Err(error) => {
            errors.push(error);
            Vec::new()
        }
    };
    for (index, fallback) in wish.fallbacks.iter().enumerate() {
        match named(catalog, &fallback.server_type, Some(&fallback.location), &format!("/fallbacks/{index}")) {
            Ok(more) => offers.extend(more),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut seen = BTreeSet::new();
    offers.retain(|offer| seen.insert((offer.of.name.as_str(), offer.at.location.as_str())));
    let image = image_for(catalog, wish, &offers)?;
    let cheapest = offers.iter().map(Offer::price).min().unwrap_or(u64::MAX);
    offers.retain(|offer| ceiling.is_none_or(|most| offer.price() <= most));
    let Some(first) = offers.first() else {
        return Err(vec![too_dear(catalog, cheapest)]);
    };
    Ok(Chosen {
        image,
        price_monthly: first.at.price_monthly.clone(),
        price_hourly: first.at.price_hourly.clone(),
        currency: catalog.currency.clone(),
        pairs: offers.iter().map(Offer::pair).collect(),
    })
}

fn too_dear(catalog: &Catalog, cheapest: u64) -> FieldError {
    let message = if cheapest == u64::MAX {
        "the price is not known, so it cannot be held against a ceiling".to_owned()
    } else {
        let price = amount_display(&format!("{}.{:06}", cheapest / 1_000_000, cheapest % 1_000_000));
        format!("the cheapest of what was asked for costs {price} {} a month", catalog.currency)
    };
    field_error("/max_price_monthly", message)
}

fn unknown<'a>(pointer: &str, what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> FieldError {
    let mut known: Vec<&str> = known.map(String::as_str).collect();
    known.sort_unstable();
    known.dedup();
    let name: String = name.chars().take(80).collect();
    field_error(pointer, format!("there is no {what} {name:?}; there are {}", known.join(", ")))
}

/// The offers that the wish itself names or leaves open, best first.
fn first_offers<'a>(catalog: &'a Catalog, wish: &Selection) -> Result<Vec<Offer<'a>>, FieldError> {
    match (&wish.server_type, &wish.location) {
        (Some(server_type), location) => {
            let mut offers = named(catalog, server_type, location.as_deref(), "")?;
            if location.is_none() {
                prefer_cheap(&mut offers);
            }
            Ok(offers)
        }
        (None, location) => {
            if let Some(location) = location
                && !catalog.locations.iter().any(|it| it.name == *location)
                && !catalog.server_types.iter().flat_map(|it| &it.locations).any(|it| it.location == *location)
            {
                return Err(unknown("/location", "location", location, catalog.locations.iter().map(|it| &it.name)));
            }
            cheapest(catalog, wish, location.as_deref())
        }
    }
}

/// Keeps the cheapest with capacity and, as fallbacks, those at no higher price.
fn prefer_cheap(offers: &mut Vec<Offer<'_>>) {
    if offers.iter().any(|offer| offer.at.available) {
        offers.retain(|offer| offer.at.available);
    }
    offers.sort_by_key(Offer::price);
    let best = offers.first().map(Offer::price);
    offers.retain(|offer| Some(offer.price()) == best);
}

/// The offers of a named type: at the named location, or wherever it can be had.
fn named<'a>(
    catalog: &'a Catalog,
    server_type: &str,
    location: Option<&str>,
    base: &str,
) -> Result<Vec<Offer<'a>>, FieldError> {
    let type_pointer = format!("{base}/server_type");
    let Some(of) = catalog.server_types.iter().find(|it| it.name == server_type) else {
        return Err(unknown(&type_pointer, "server type", server_type, orderable(catalog).map(|it| &it.name)));
    };
    let mut usable: Vec<_> =
        of.locations.iter().filter(|at| is_orderable(at, catalog)).map(|at| Offer { of, at }).collect();
    if usable.is_empty() {
        let others: Vec<_> = orderable(catalog).map(|it| it.name.as_str()).collect();
        let since = of.locations.iter().filter_map(|at| at.unavailable_after.as_deref()).max().map(day);
        let since = since.map(|day| format!(" since {day}")).unwrap_or_default();
        let message = format!(
            "{server_type} is deprecated by the vendor and cannot be ordered{since}; there are {}",
            others.join(", ")
        );
        return Err(field_error(type_pointer, message));
    }
    let Some(location) = location else {
        if usable.iter().any(|offer| !offer.at.deprecated) {
            usable.retain(|offer| !offer.at.deprecated);
        }
        return Ok(usable);
    };
    if let Some(offer) = usable.iter().find(|offer| offer.at.location == location) {
        return Ok(vec![*offer]);
    }
    let known = catalog.locations.iter().any(|it| it.name == location);
    let pointer = format!("{base}/location");
    if !known && !of.locations.iter().any(|at| at.location == location) {
        return Err(unknown(&pointer, "location", location, catalog.locations.iter().map(|it| &it.name)));
    }
    let places: Vec<_> = usable.iter().map(|offer| offer.at.location.as_str()).collect();
    let ended = of.locations.iter().find(|at| at.location == location);
    let why = match ended.map(|at| at.unavailable_after.as_deref().map(day)) {
        Some(Some(day)) => format!("can no longer be ordered at {location} since {day}"),
        Some(None) => format!("is deprecated at {location} and cannot be ordered there"),
        None => format!("is not offered at {location}"),
    };
    let message = format!("{server_type} {why}; it is offered at {}", places.join(", "));
    Err(field_error(pointer, message))
}

/// The day of a moment as the vendor writes it.
fn day(moment: &str) -> &str {
    moment.get(..10).unwrap_or(moment)
}

/// The cheapest type there is, for which the image exists; x86 before others.
fn cheapest<'a>(catalog: &'a Catalog, wish: &Selection, location: Option<&str>) -> Result<Vec<Offer<'a>>, FieldError> {
    let fits = |of: &ServerType| {
        catalog.images.iter().any(|image| {
            image.architecture == of.architecture && wish.image.as_ref().is_none_or(|name| image.name == *name)
        })
    };
    let mut offers: Vec<Offer<'_>> = catalog
        .server_types
        .iter()
        .filter(|of| fits(of))
        .flat_map(|of| of.locations.iter().map(move |at| Offer { of, at }))
        .filter(|offer| !offer.at.deprecated && location.is_none_or(|name| offer.at.location == name))
        .collect();
    if offers.iter().any(|offer| offer.at.available) {
        offers.retain(|offer| offer.at.available);
    }
    // The sort is stable: of equal ones the first of the catalogue.
    offers.sort_by_key(|offer| (offer.of.architecture != "x86", offer.price()));
    let Some(best) = offers.first().copied() else {
        let place = location.map(|name| format!(" at {name}")).unwrap_or_default();
        let message = format!("the vendor offers no server type{place} that is not deprecated and fits the image");
        return Err(field_error("/server_type", message));
    };
    offers.retain(|offer| offer.of.name == best.of.name);
    prefer_cheap(&mut offers);
    Ok(offers)
}

/// The image, which must exist for the architecture of every pair.
fn image_for(catalog: &Catalog, wish: &Selection, offers: &[Offer<'_>]) -> Result<String, Vec<FieldError>> {
    let architectures: BTreeSet<&str> = offers.iter().map(|offer| offer.of.architecture.as_str()).collect();
    let runs_on = |name: &str, architecture: &str| {
        catalog.images.iter().any(|image| image.name == name && image.architecture == architecture)
    };
    let everywhere = |name: &str| architectures.iter().all(|architecture| runs_on(name, architecture));
    let listed = || {
        let names: BTreeSet<&str> =
            catalog.images.iter().map(|it| it.name.as_str()).filter(|it| everywhere(it)).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    };
    if let Some(name) = &wish.image {
        if everywhere(name) {
            return Ok(name.clone());
        }
        let missing: Vec<_> = architectures.iter().filter(|it| !runs_on(name, it)).copied().collect();
        let message = format!("{name} does not exist for {}; there are {}", missing.join(" and "), listed());
        return Err(vec![field_error("/image", message)]);
    }
    let newest = |family: &str| {
        let of_family = catalog.images.iter().filter(|image| image.name.starts_with(family) && everywhere(&image.name));
        of_family.max_by_key(|image| version(&image.name)).map(|image| image.name.clone())
    };
    newest("debian-")
        .or_else(|| newest("ubuntu-"))
        .or_else(|| catalog.images.iter().find(|image| everywhere(&image.name)).map(|image| image.name.clone()))
        .ok_or_else(|| vec![field_error("/image", "the vendor lists no image that runs on what was asked for")])
}

/// The numbers of a name in order: `debian-12` before `debian-13`, `ubuntu-22.04` before
/// `ubuntu-24.04`.
fn version(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}
