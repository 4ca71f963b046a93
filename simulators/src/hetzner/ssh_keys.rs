//! SSH keys: `/ssh_keys`. Rule: name and fingerprint are both unique, and a conflict says which.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    keys::fingerprint,
    query::{labels_of, page, text_of},
    reply::Reply,
    route::Call,
    world::{SshKey, World, timestamp},
};

fn key_json(key: &SshKey) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "fingerprint": key.fingerprint,
        "public_key": key.public_key,
        "labels": key.labels,
        "created": key.created,
    })
}

fn find<'a>(world: &'a World, id: &str) -> Result<&'a SshKey, Reply> {
    id.parse().ok().and_then(|id: u64| world.saved.ssh_keys.get(&id)).ok_or_else(|| Reply::not_found("ssh key", id))
}

pub(super) fn list(world: &World, call: &Call) -> Result<Reply, Reply> {
    let query = &call.query;
    let labels = query.selector()?;
    let items = world
        .saved
        .ssh_keys
        .values()
        .filter(|key| {
            query.keeps("name", &key.name)
                && query.keeps("fingerprint", &key.fingerprint)
                && labels.selects(&key.labels)
        })
        .map(key_json)
        .collect();
    page(query, "ssh_keys", &["id", "name"], items)
}

pub(super) fn get(world: &World, id: &str) -> Result<Reply, Reply> {
    Ok(Reply::ok(json!({"ssh_key": key_json(find(world, id)?)})))
}

fn name_check(world: &World, name: &str, own: Option<u64>) -> Result<(), Reply> {
    if name.is_empty() || name.len() > 255 {
        return Err(Reply::invalid("name", "must have 1 to 255 characters"));
    }
    if world.saved.ssh_keys.values().any(|key| key.name == name && Some(key.id) != own) {
        return Err(Reply::taken("name", "SSH key name is already used"));
    }
    Ok(())
}

pub(super) fn create(world: &mut World, call: &Call) -> Result<Reply, Reply> {
    let body = call.object()?;
    let text = |field: &str| text_of(body, field).map(|it| it.map(str::trim));
    let name = text("name")?.ok_or_else(|| Reply::invalid("name", "is required"))?;
    let public_key = text("public_key")?.ok_or_else(|| Reply::invalid("public_key", "is required"))?;
    let fingerprint =
        fingerprint(public_key).ok_or_else(|| Reply::invalid("public_key", "is not an OpenSSH public key"))?;
    let labels = labels_of(body)?.unwrap_or_default();
    name_check(world, name, None)?;
    if world.saved.ssh_keys.values().any(|key| key.fingerprint == fingerprint) {
        // The vendor names the field of the request, and says "fingerprint" only in words.
        return Err(Reply::taken("public_key", "SSH key with the same fingerprint already exists"));
    }
    let id = world.next_id();
    let key = SshKey {
        id,
        name: name.to_owned(),
        fingerprint,
        public_key: public_key.to_owned(),
        labels,
        created: timestamp(),
    };
    let reply = Reply::created(json!({"ssh_key": key_json(&key)}));
    world.saved.ssh_keys.insert(id, key);
    world.changed = true;
    Ok(reply)
}

pub(super) fn update(world: &mut World, call: &Call, id: &str) -> Result<Reply, Reply> {
    let id = find(world, id)?.id;
    let body = call.object()?;
    let name = text_of(body, "name")?;
    if let Some(name) = name {
        name_check(world, name, Some(id))?;
    }
    let labels = labels_of(body)?;
    let Some(key) = world.saved.ssh_keys.get_mut(&id) else {
        return Err(Reply::not_found("ssh key", &id.to_string()));
    };
    if let Some(name) = name {
        name.clone_into(&mut key.name);
    }
    key.labels = labels.unwrap_or_else(|| key.labels.clone());
    world.changed = true;
    Ok(Reply { status: StatusCode::OK, body: Some(json!({"ssh_key": key_json(key)})) })
}

pub(super) fn delete(world: &mut World, id: &str) -> Result<Reply, Reply> {
    let id = find(world, id)?.id;
    world.saved.ssh_keys.remove(&id);
    world.changed = true;
    Ok(Reply::no_content())
}
