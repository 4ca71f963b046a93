//! The choice out of a catalogue.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use domain::{
    node::Fallback,
    provider::{Catalog, Image, Location, ServerType, TypeLocation},
    time::Timestamp,
};
use providers::{Chosen, FieldError, Selection, choose};

fn at(location: &str, price: &str) -> TypeLocation {
    TypeLocation {
        location: location.to_owned(),
        available: true,
        deprecated: false,
        unavailable_after: None,
        recommended: false,
        price_monthly: price.to_owned(),
        price_hourly: "0.01".to_owned(),
    }
}

fn server_type(name: &str, architecture: &str, locations: Vec<TypeLocation>) -> ServerType {
    ServerType {
        name: name.to_owned(),
        description: String::new(),
        cores: 2,
        memory_gb: "4".to_owned(),
        disk_gb: 40,
        architecture: architecture.to_owned(),
        locations,
    }
}

fn image(name: &str, architecture: &str) -> Image {
    Image { name: name.to_owned(), description: String::new(), architecture: architecture.to_owned() }
}

fn location(name: &str) -> Location {
    Location { name: name.to_owned(), description: String::new(), city: String::new(), country: String::new() }
}

/// `old` is deprecated, `full` indicates no capacity, `arm` is cheapest of all, `big` is dear.
fn catalog() -> Catalog {
    let deprecated = TypeLocation { deprecated: true, ..at("fsn1", "1.00") };
    let full = TypeLocation { available: false, ..at("fsn1", "2.00") };
    Catalog {
        server_types: vec![
            server_type("old", "x86", vec![deprecated]),
            server_type("full", "x86", vec![full]),
            server_type("arm", "arm", vec![at("fsn1", "0.50")]),
            server_type("small", "x86", vec![at("sin", "5.00"), at("fsn1", "4.15"), at("hel1", "4.1500")]),
            server_type("big", "x86", vec![at("fsn1", "40.00")]),
        ],
        locations: ["fsn1", "hel1", "sin"].map(location).to_vec(),
        images: vec![
            image("debian-9", "x86"),
            image("debian-13", "x86"),
            image("debian-12", "x86"),
            image("debian-12", "arm"),
            image("ubuntu-24.04", "x86"),
        ],
        currency: "EUR".to_owned(),
        read_at: None,
        stale: None,
    }
}

fn selection(server_type: Option<&str>, location: Option<&str>) -> Selection {
    Selection {
        server_type: server_type.map(str::to_owned),
        location: location.map(str::to_owned),
        ..Selection::default()
    }
}

fn with_fallback(mut wish: Selection, server_type: &str, location: &str) -> Selection {
    wish.fallbacks.push(Fallback { server_type: server_type.to_owned(), location: location.to_owned() });
    wish
}

fn pairs(chosen: &Chosen) -> Vec<(&str, &str)> {
    chosen.pairs.iter().map(|it| (it.server_type.as_str(), it.location.as_str())).collect()
}

fn refused(wish: &Selection) -> Vec<FieldError> {
    choose(&catalog(), wish).unwrap_err()
}

#[test]
fn by_default_the_cheapest_x86_with_capacity_and_the_newest_debian() {
    let chosen = choose(&catalog(), &Selection::default()).unwrap();
    // hel1 costs the same, so it may stand in; sin costs more, so it may not.
    assert_eq!(pairs(&chosen), [("small", "fsn1"), ("small", "hel1")]);
    assert_eq!(
        (chosen.image.as_str(), chosen.price_monthly.as_str(), chosen.currency.as_str()),
        ("debian-13", "4.15", "EUR")
    );
}

#[test]
fn the_price_is_that_of_the_pair() {
    let chosen = choose(&catalog(), &selection(Some("small"), Some("sin"))).unwrap();
    assert_eq!((pairs(&chosen), chosen.price_monthly.as_str()), (vec![("small", "sin")], "5.00"));
    let pair = &chosen.pairs[0];
    assert_eq!((pair.price_monthly.as_deref(), pair.price_hourly.as_deref()), (Some("5.00"), Some("0.01")));
    assert_eq!(chosen.price_hourly, "0.01");
}

#[test]
fn a_location_alone_is_kept() {
    let chosen = choose(&catalog(), &selection(None, Some("sin"))).unwrap();
    assert_eq!(pairs(&chosen), [("small", "sin")]);
}

/// `going` is phased out: until the end of 2026 at fsn1, and without a day at hel1.
fn catalog_with_a_type_that_goes(read_at: Option<&str>) -> Catalog {
    let mut catalog = catalog();
    let going = TypeLocation { deprecated: true, ..at("fsn1", "0.10") };
    let until = TypeLocation { unavailable_after: Some("2026-12-31T00:00:00Z".to_owned()), ..going.clone() };
    let elsewhere = TypeLocation { location: "hel1".to_owned(), ..going };
    catalog.server_types.push(server_type("going", "x86", vec![until, elsewhere]));
    catalog.read_at = read_at.map(|text| Timestamp::parse(text).unwrap());
    catalog
}

#[test]
fn what_is_phased_out_can_be_had_by_name_until_its_last_day() {
    let named = selection(Some("going"), None);
    for read_at in [None, Some("2026-12-30T23:59:59Z")] {
        let catalog = catalog_with_a_type_that_goes(read_at);
        assert_eq!(pairs(&choose(&catalog, &named).unwrap()), [("going", "fsn1")], "where a day is known");
        assert_eq!(pairs(&choose(&catalog, &Selection::default()).unwrap())[0].0, "small", "never by itself");
        let errors = choose(&catalog, &selection(Some("going"), Some("hel1"))).unwrap_err();
        assert!(errors[0].message.contains("deprecated at hel1"), "{errors:?}");
    }
    let late = catalog_with_a_type_that_goes(Some("2026-12-31T00:00:00Z"));
    let errors = choose(&late, &named).unwrap_err();
    assert_eq!(errors[0].pointer, "/server_type");
    assert!(errors[0].message.contains("since 2026-12-31"), "{errors:?}");

    // At one location it is over, at another it is not deprecated at all.
    let mut late = late;
    late.server_types.last_mut().unwrap().locations[1].deprecated = false;
    assert_eq!(pairs(&choose(&late, &named).unwrap()), [("going", "hel1")]);
    let errors = choose(&late, &selection(Some("going"), Some("fsn1"))).unwrap_err();
    assert_eq!(errors[0].pointer, "/location");
    assert!(errors[0].message.contains("since 2026-12-31") && errors[0].message.contains("hel1"), "{errors:?}");
}

#[test]
fn no_indicated_capacity_is_only_an_indication_for_what_was_asked_for() {
    let chosen = choose(&catalog(), &selection(Some("full"), Some("fsn1"))).unwrap();
    assert_eq!(pairs(&chosen), [("full", "fsn1")]);
}

#[test]
fn fallbacks_follow_in_order_without_repetition() {
    let wish = with_fallback(selection(Some("small"), Some("fsn1")), "big", "fsn1");
    let wish = with_fallback(with_fallback(wish, "small", "fsn1"), "small", "hel1");
    assert_eq!(pairs(&choose(&catalog(), &wish).unwrap()), [("small", "fsn1"), ("big", "fsn1"), ("small", "hel1")]);
}

#[test]
fn what_is_above_the_ceiling_is_left_out() {
    let mut wish = with_fallback(selection(Some("big"), Some("fsn1")), "small", "fsn1");
    wish.max_price_monthly = Some("4.15".to_owned());
    let chosen = choose(&catalog(), &wish).unwrap();
    assert_eq!((pairs(&chosen), chosen.price_monthly.as_str()), (vec![("small", "fsn1")], "4.15"));

    wish.max_price_monthly = Some("4.14".to_owned());
    let errors = refused(&wish);
    assert_eq!(errors[0].pointer, "/max_price_monthly");
    assert!(errors[0].message.contains("4.15 EUR"), "{errors:?}");

    wish.max_price_monthly = Some("4,15".to_owned());
    assert_eq!(refused(&wish)[0].pointer, "/max_price_monthly");
}

#[test]
fn what_does_not_exist_is_refused_with_what_does() {
    let cases = [
        (selection(Some("cx11"), None), "/server_type", "small"),
        (selection(Some("old"), None), "/server_type", "deprecated"),
        (selection(Some("small"), Some("moon1")), "/location", "hel1"),
        (selection(None, Some("moon1")), "/location", "hel1"),
        (selection(Some("big"), Some("hel1")), "/location", "fsn1"),
        (selection(None, Some("")), "/location", "hel1"),
        (Selection { image: Some("plan9".to_owned()), ..Selection::default() }, "/image", "debian-13"),
        (with_fallback(Selection::default(), "cx11", "fsn1"), "/fallbacks/0/server_type", "small"),
        (with_fallback(Selection::default(), "big", "sin"), "/fallbacks/0/location", "fsn1"),
    ];
    for (wish, pointer, hint) in cases {
        let errors = refused(&wish);
        assert_eq!(errors[0].pointer, pointer, "{wish:?}");
        assert!(errors[0].message.contains(hint), "{errors:?}");
    }
    let several =
        with_fallback(Selection { image: Some("plan9".to_owned()), ..selection(Some("cx11"), None) }, "x", "y");
    assert_eq!(refused(&several).len(), 3, "all at once");
}

#[test]
fn an_image_runs_on_every_architecture_that_is_tried() {
    assert_eq!(choose(&catalog(), &selection(Some("arm"), None)).unwrap().image, "debian-12");
    let mixed = with_fallback(selection(Some("small"), Some("fsn1")), "arm", "fsn1");
    assert_eq!(choose(&catalog(), &mixed).unwrap().image, "debian-12");
    let wrong = Selection { image: Some("debian-13".to_owned()), ..mixed };
    let errors = refused(&wrong);
    assert_eq!(errors[0].pointer, "/image");
    assert!(errors[0].message.contains("arm") && errors[0].message.contains("debian-12"), "{errors:?}");
}

#[test]
fn an_unknown_price_is_above_every_ceiling() {
    let mut catalog = catalog();
    catalog.server_types[4].locations[0].price_monthly = String::new();
    assert!(choose(&catalog, &selection(Some("big"), None)).is_ok());
    let wish = Selection { max_price_monthly: Some("1000".to_owned()), ..selection(Some("big"), None) };
    assert_eq!(choose(&catalog, &wish).unwrap_err()[0].pointer, "/max_price_monthly");
}

#[test]
fn an_empty_catalogue_is_refused_and_does_not_panic() {
    let empty = Catalog {
        server_types: vec![],
        locations: vec![],
        images: vec![],
        currency: "EUR".to_owned(),
        read_at: None,
        stale: None,
    };
    assert!(choose(&empty, &Selection::default()).is_err());
}
