//! Images: the vendor's own, and those made from servers. Rule: the vendor's cannot be changed.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    action::action_json,
    catalog::{self, IMAGES, Image},
    catalog_api::deprecation,
    clock::{Effect, Resource, Start},
    query::{Labels, labels_of, page, text_of},
    reply::Reply,
    route::Call,
    world::{Snapshot, World},
};

/// What a server needs to know of an image.
pub(super) struct ImageRef {
    pub(super) id: u64,
    pub(super) architecture: &'static str,
    /// Gigabytes.
    pub(super) disk: u32,
    pub(super) available: bool,
}

/// Gigabytes that the vendor's images need.
const SYSTEM_DISK: u32 = 5;

impl World {
    /// An image by id, or by name for an architecture.
    pub(super) fn image_find(&self, key: &str, architecture: &str) -> Option<ImageRef> {
        if let Some(image) = catalog::image_for(key, architecture) {
            let (id, architecture) = (image.id, image.architecture);
            return Some(ImageRef { id, architecture, disk: SYSTEM_DISK, available: true });
        }
        let snapshot = self.saved.snapshots.get(&key.parse().ok()?)?;
        let architecture = catalog::image(snapshot.base).map_or("x86", |image| image.architecture);
        Some(ImageRef { id: snapshot.id, architecture, disk: snapshot.disk, available: snapshot.available })
    }

    /// The vendor's image at the bottom of an image.
    pub(super) fn image_base(&self, id: u64) -> u64 {
        self.saved.snapshots.get(&id).map_or(id, |snapshot| snapshot.base)
    }

    /// An image as answers embed it; null once it is gone.
    pub(super) fn image_json(&self, id: u64) -> Value {
        let system = catalog::image(id).map(system_json);
        system.or_else(|| self.saved.snapshots.get(&id).map(snapshot_json)).unwrap_or(Value::Null)
    }
}

/// One of the vendor's images in full, as of late 2026: it says `deprecation`, no longer `deprecated`.
fn system_json(it: &Image) -> Value {
    json!({
        "id": it.id,
        "type": it.kind,
        "status": "available",
        "name": it.name,
        "description": it.description,
        "image_size": null,
        "disk_size": f64::from(SYSTEM_DISK),
        "created": "2026-01-15T08:00:00Z",
        "created_from": null,
        "bound_to": null,
        "os_flavor": it.os_flavor,
        "os_version": it.os_version,
        "architecture": it.architecture,
        "rapid_deploy": it.rapid_deploy,
        "protection": {"delete": false},
        "deprecation": deprecation(it.deprecation),
        "deleted": null,
        "labels": {},
    })
}

/// An image made from a server in full.
pub(super) fn snapshot_json(it: &Snapshot) -> Value {
    let base = catalog::image(it.base);
    json!({
        "id": it.id,
        "type": it.kind,
        "status": if it.available { "available" } else { "creating" },
        "name": null,
        "description": it.description,
        "image_size": it.available.then_some(0.5),
        "disk_size": f64::from(it.disk),
        "created": it.created,
        "created_from": {"id": it.from.0, "name": it.from.1},
        "bound_to": (it.kind == "backup").then_some(it.from.0),
        "os_flavor": base.map_or("unknown", |base| base.os_flavor),
        "os_version": base.map(|base| base.os_version),
        "architecture": base.map_or("x86", |base| base.architecture),
        "rapid_deploy": false,
        "protection": {"delete": it.protected},
        "deprecation": null,
        "deleted": null,
        "labels": it.labels,
    })
}

pub(super) fn list(world: &World, call: &Call) -> Result<Reply, Reply> {
    let query = &call.query;
    for (name, known) in [
        ("type", ["system", "app", "snapshot", "backup"].as_slice()),
        ("status", ["available", "creating", "unavailable"].as_slice()),
        ("architecture", ["x86", "arm"].as_slice()),
    ] {
        query.one_of(name, known)?;
    }
    let deprecated_too = query.flag("include_deprecated")?;
    let selector = query.selector()?;
    let system = IMAGES.iter().filter(|it| deprecated_too || it.deprecation.is_none()).map(system_json);
    let own = world.saved.snapshots.values().map(snapshot_json);
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let items = system.chain(own).filter(|it| {
        let keeps = |name: &str, field: &str| query.keeps(name, &text(&it[field]));
        let labels: Labels = serde_json::from_value(it["labels"].clone()).unwrap_or_default();
        keeps("type", "type")
            && keeps("architecture", "architecture")
            && keeps("name", "name")
            && keeps("status", "status")
            && keeps("bound_to", "bound_to")
            && selector.selects(&labels)
    });
    page(query, "images", &["id", "name", "created"], items.collect())
}

pub(super) fn get(world: &World, id: &str) -> Result<Reply, Reply> {
    let image = id.parse().map_or(Value::Null, |id| world.image_json(id));
    if image.is_null() { Err(Reply::not_found("image", id)) } else { Ok(Reply::ok(json!({"image": image}))) }
}

/// An image made from a server; the vendor's own are refused.
fn own<'a>(world: &'a mut World, id: &str) -> Result<&'a mut Snapshot, Reply> {
    if id.parse().is_ok_and(|id| catalog::image(id).is_some()) {
        return Err(Reply::error(StatusCode::FORBIDDEN, "forbidden", "the vendor's images cannot be changed"));
    }
    let found = id.parse().ok().and_then(|id: u64| world.saved.snapshots.get_mut(&id));
    found.ok_or_else(|| Reply::not_found("image", id))
}

pub(super) fn update(world: &mut World, call: &Call, id: &str) -> Result<Reply, Reply> {
    let body = call.object()?;
    let labels = labels_of(body)?;
    let description = text_of(body, "description")?;
    let kind = text_of(body, "type")?;
    if kind.is_some_and(|kind| kind != "snapshot") {
        return Err(Reply::invalid("type", "must be snapshot"));
    }
    let image = own(world, id)?;
    if let Some(description) = description {
        description.clone_into(&mut image.description);
    }
    if let Some(kind) = kind {
        kind.clone_into(&mut image.kind);
    }
    image.labels = labels.unwrap_or_else(|| image.labels.clone());
    world.changed = true;
    get(world, id)
}

pub(super) fn delete(world: &mut World, id: &str) -> Result<Reply, Reply> {
    let image = own(world, id)?;
    if image.protected {
        return Err(Reply::protected("image deletion is protected"));
    }
    let id = image.id;
    world.saved.snapshots.remove(&id);
    world.changed = true;
    Ok(Reply::no_content())
}

pub(super) fn change_protection(world: &mut World, call: &Call, id: &str) -> Result<Reply, Reply> {
    let delete = call.object()?.get("delete").cloned().unwrap_or(Value::Null);
    let image = own(world, id)?;
    match delete {
        Value::Null => {}
        Value::Bool(delete) => image.protected = delete,
        _ => return Err(Reply::invalid("delete", "must be true or false")),
    }
    let id = image.id;
    let start = Start {
        command: "change_protection",
        subject: id,
        resources: vec![Resource::new("image", id)],
        effect: Effect::Nothing,
        steps: 1,
    };
    let action = world.action_start(start, &call.course, call.now);
    Ok(Reply::created(json!({"action": action_json(&action, call.now)})))
}
