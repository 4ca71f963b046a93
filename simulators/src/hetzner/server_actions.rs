//! What can be done to a server: `/servers/{id}/actions/{command}`. Rule: one action at a time; a
//! second one is refused with 423 until the first is done.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    action::action_json,
    catalog,
    reply::Reply,
    route::Call,
    server_create::{key_of, user_data_of},
    servers::{find, find_unlocked},
    world::{Effect, Server, ServerStatus, World},
};
use crate::random;

pub(super) fn run(world: &mut World, call: &Call, id: &str, command: &str) -> Result<Reply, Reply> {
    find(world, id)?;
    let body = call.object()?;
    let plan = plan(find_unlocked(world, id)?, command, body)?;
    let id = find(world, id)?.id;
    let error = call.action_error.clone();
    let action = world.action_start(plan.command, id, plan.effect, error, (call.now, 1));
    if let (Some(server), Some(status)) = (world.saved.servers.get_mut(&id), plan.meanwhile) {
        server.status = status;
    }
    let mut body = json!({"action": action_json(&action, call.now)});
    if plan.command == "rebuild_server" {
        let keyless = find(world, &id.to_string())?.authorized_keys.is_empty();
        body["root_password"] = keyless.then(random::hex::<10>).into();
    }
    Ok(Reply::created(body))
}

struct Plan {
    command: &'static str,
    effect: Effect,
    /// The server's status while the action runs.
    meanwhile: Option<ServerStatus>,
}

fn plan(server: &Server, command: &str, body: &Map<String, Value>) -> Result<Plan, Reply> {
    let simple = |command, effect, meanwhile| Ok(Plan { command, effect, meanwhile });
    let off = server.status == ServerStatus::Off;
    let stopping = (!off).then_some(ServerStatus::Stopping);
    match command {
        "poweron" => {
            // Already on: the action succeeds and nothing restarts.
            let on = server.status == ServerStatus::Running;
            let effect = if on { Effect::Nothing } else { Effect::Boot };
            simple("start_server", effect, off.then_some(ServerStatus::Starting))
        }
        "poweroff" => simple("stop_server", Effect::PowerOff, stopping),
        // Its success means no more than that the signal was sent; this machine obeys.
        "shutdown" => simple("shutdown_server", Effect::PowerOff, stopping),
        "reboot" => simple("reboot_server", Effect::Restart, None),
        "reset" => simple("reset_server", Effect::Restart, None),
        "rebuild" => rebuild(server, body),
        "change_type" => change_type(server, body),
        "change_protection" => {
            let flag = |field: &str| body.get(field).and_then(Value::as_bool);
            let effect = Effect::ChangeProtection { delete: flag("delete"), rebuild: flag("rebuild") };
            simple("change_protection", effect, None)
        }
        _ => Err(Reply::error(StatusCode::NOT_FOUND, "not_found", "no such server action")),
    }
}

fn rebuild(server: &Server, body: &Map<String, Value>) -> Result<Plan, Reply> {
    if server.protected_rebuild {
        return Err(Reply::protected("server rebuild is protected"));
    }
    let architecture = catalog::server_type(&server.server_type).map_or("x86", |it| it.architecture);
    let image = body
        .get("image")
        .and_then(key_of)
        .and_then(|key| catalog::image_for(&key, architecture))
        .filter(|image| image.architecture == architecture)
        .ok_or_else(|| Reply::invalid("image", "image not found for this architecture"))?;
    let user_data = user_data_of(body)?;
    Ok(Plan {
        command: "rebuild_server",
        effect: Effect::Rebuild { image: image.id, user_data },
        meanwhile: Some(ServerStatus::Rebuilding),
    })
}

fn change_type(server: &Server, body: &Map<String, Value>) -> Result<Plan, Reply> {
    let wanted = body
        .get("server_type")
        .and_then(key_of)
        .and_then(|key| catalog::server_type(&key))
        .ok_or_else(|| Reply::invalid("server_type", "server type not found"))?;
    if !body.get("upgrade_disk").is_some_and(Value::is_boolean) {
        return Err(Reply::invalid("upgrade_disk", "is required"));
    }
    let refuse = |code, message| Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, code, message));
    if server.status != ServerStatus::Off {
        return refuse("server_not_stopped", "server must be stopped");
    }
    let same_architecture =
        catalog::server_type(&server.server_type).is_some_and(|now| now.architecture == wanted.architecture);
    let offered = wanted.prices.iter().any(|price| price.location == server.location);
    if !same_architecture || !offered || wanted.deprecation.is_some() {
        return refuse("invalid_server_type", "server type cannot be used for this server");
    }
    Ok(Plan {
        command: "change_server_type",
        effect: Effect::ChangeType { server_type: wanted.name.to_owned() },
        meanwhile: Some(ServerStatus::Migrating),
    })
}
