//! `/zones` and the verification of tokens. Rule: a token sees the zones that it is about, and none
//! when it may not read zones at all.

use serde_json::{Map, Value, json};

use super::{
    config::{CloudflareToken, RecordAccess, TokenOwner, TokenStatus, ZoneAccess},
    query::Query,
    reply::Reply,
    world::{World, Zone, sees},
};

/// The page size when none is asked for, and its bounds.
const PER_PAGE: (usize, usize, usize) = (20, 5, 50);

fn view(zone: &Zone, account: &str, token: &CloudflareToken) -> Value {
    let mut permissions = vec!["#zone:read", "#dns_records:read"];
    if token.record_access == RecordAccess::Edit {
        permissions.push("#dns_records:edit");
    }
    json!({
        "id": zone.id,
        "name": zone.name,
        "status": "active",
        "paused": false,
        "type": "full",
        "development_mode": 0,
        "name_servers": Zone::name_servers(),
        "original_name_servers": null,
        "original_registrar": null,
        "original_dnshost": null,
        "created_on": zone.created_on,
        "modified_on": zone.created_on,
        "activated_on": zone.created_on,
        "owner": {"id": null, "type": "user", "email": null},
        "account": {"id": account, "name": "Simulated account"},
        "tenant": {"id": null, "name": null},
        "tenant_unit": {"id": null},
        "permissions": permissions,
        "plan": {
            "id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
            "name": "Free Website",
            "legacy_id": "free",
            "price": 0,
            "currency": "USD",
            "frequency": "",
            "is_subscribed": false,
            "can_subscribe": false,
            "legacy_discount": false,
            "externally_managed": false,
        },
        "meta": {"step": 2, "custom_certificate_quota": 0, "page_rule_quota": 3, "phishing_detected": false},
    })
}

pub(super) fn list(world: &World, token: &CloudflareToken, query: &Query) -> Result<Reply, Reply> {
    if token.zone_access == ZoneAccess::None {
        return Err(Reply::no_access());
    }
    let (usual, least, most) = PER_PAGE;
    let (page, per_page) = query.page(usual, least, most)?;
    let account = &world.saved.account;
    let passes = |zone: &&Zone| {
        sees(token, &zone.name)
            && query.one("name").or(query.one("name.exact")).is_none_or(|name| zone.name.eq_ignore_ascii_case(name))
            && query.one("status").is_none_or(|status| status == "active")
            && query.one("account.id").is_none_or(|id| id == account)
    };
    let mut zones: Vec<_> = world.saved.zones.iter().filter(passes).collect();
    zones.sort_by(|a, b| a.name.cmp(&b.name));
    let total = zones.len();
    let skipped = (page - 1).saturating_mul(per_page);
    let shown = zones.into_iter().skip(skipped).take(per_page).map(|zone| view(zone, account, token)).collect();
    Ok(Reply::page(shown, page, per_page, total))
}

pub(super) fn get(world: &World, token: &CloudflareToken, id: &str) -> Result<Reply, Reply> {
    if token.zone_access == ZoneAccess::None {
        return Err(Reply::no_access());
    }
    let zone = world.zone(id, token).ok_or_else(|| Reply::no_zone(id))?;
    Ok(Reply::ok(view(zone, &world.saved.account, token)))
}

pub(super) fn create(world: &mut World, token: &CloudflareToken, body: &Map<String, Value>) -> Result<Reply, Reply> {
    if token.zone_access != ZoneAccess::Edit || token.zones.is_some() {
        return Err(Reply::not_allowed());
    }
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    if !name.contains('.') {
        return Err(Reply::error(400, 1097, "name is not a registered domain"));
    }
    let zone = Zone::new(name);
    if world.saved.zones.iter().any(|it| it.name == zone.name) {
        return Err(Reply::error(400, 1061, &format!("{} already exists", zone.name)));
    }
    let reply = Reply::ok(view(&zone, &world.saved.account, token));
    world.saved.zones.push(zone);
    world.changed = true;
    Ok(reply)
}

pub(super) fn delete(world: &mut World, token: &CloudflareToken, id: &str) -> Result<Reply, Reply> {
    if token.zone_access != ZoneAccess::Edit {
        return Err(Reply::not_allowed());
    }
    if world.zone(id, token).is_none() {
        return Err(Reply::no_zone(id));
    }
    world.saved.zones.retain(|zone| zone.id != id);
    world.changed = true;
    Ok(Reply::ok(json!({"id": id})))
}

/// `account` is the one in the path, where the path names one.
pub(super) fn verify(world: &World, token: &CloudflareToken, account: Option<&str>) -> Result<Reply, Reply> {
    let here = match account {
        None => token.owner == TokenOwner::User,
        Some(id) => token.owner == TokenOwner::Account && id == world.saved.account,
    };
    if !here {
        return Err(Reply::error(401, 1000, "Invalid API Token"));
    }
    let mut result = json!({"id": token_id(&token.value), "status": match token.status {
        TokenStatus::Active => "active",
        TokenStatus::Disabled => "disabled",
        TokenStatus::Expired => "expired",
    }});
    if let Some(at) = &token.expires_on {
        result["expires_on"] = json!(at);
    }
    Ok(match token.status {
        TokenStatus::Active => Reply::told(result, 10000, "This API Token is valid and active"),
        _ => Reply::ok(result),
    })
}

/// An id that stays the same and tells nothing of the token.
fn token_id(value: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let digest: [u8; 32] = Sha256::digest(value.as_bytes()).into();
    crate::random::hex_of(&digest[..16])
}
