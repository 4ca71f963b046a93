//! What can be done to a server: `/servers/{id}/actions/{command}`. Rule: one action at a time; a
//! second one is refused with 423 until the first is done.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    action::action_json,
    catalog,
    catalog_api::offer,
    clock::{Effect, Start},
    images::snapshot_json,
    primary_ips::dns_ptr_of,
    query::{flag_of, labels_of, text_of},
    reply::Reply,
    route::Call,
    server_create::{key_of, user_data_of},
    servers::{find, find_unlocked},
    world::{Server, ServerStatus, Snapshot, World, timestamp},
};
use crate::random;

/// The window that backups are made in; the vendor chooses it.
const BACKUP_WINDOW: &str = "22-02";

pub(super) fn run(world: &mut World, call: &Call, id: &str, command: &str) -> Result<Reply, Reply> {
    find(world, id)?;
    let body = call.object()?;
    let plan = plan(world, find_unlocked(world, id)?, command, body)?;
    let id = find(world, id)?.id;
    let mut answer = json!({});
    let mut effect = plan.effect;
    if let Some(snapshot) = plan.snapshot {
        let image = world.next_id();
        let snapshot = Snapshot { id: image, ..snapshot };
        answer["image"] = snapshot_json(&snapshot);
        world.saved.snapshots.insert(image, snapshot);
        effect = Effect::CreateImage { image };
    }
    let action = world.action_start(Start::on_server(plan.command, id, effect), &call.course, call.now);
    if let (Some(server), Some(status)) = (world.saved.servers.get_mut(&id), plan.meanwhile) {
        server.status = status;
    }
    answer["action"] = action_json(&action, call.now);
    match command {
        "rebuild" => {
            let keyless = find(world, &id.to_string())?.authorized_keys.is_empty();
            answer["root_password"] = keyless.then(random::hex::<10>).into();
        }
        "request_console" => {
            let token = random::hex::<16>();
            answer["wss_url"] = format!("wss://console.example.net/?server_id={id}&token={token}").into();
            answer["password"] = random::hex::<16>().into();
        }
        _ => {}
    }
    Ok(Reply::created(answer))
}

struct Plan {
    command: &'static str,
    effect: Effect,
    /// The server's status while the action runs.
    meanwhile: Option<ServerStatus>,
    /// An image that is to be made; its id comes later.
    snapshot: Option<Snapshot>,
}

impl Plan {
    fn new(command: &'static str, effect: Effect) -> Self {
        Self { command, effect, meanwhile: None, snapshot: None }
    }

    fn meanwhile(self, meanwhile: Option<ServerStatus>) -> Self {
        Self { meanwhile, ..self }
    }
}

fn plan(world: &World, server: &Server, command: &str, body: &Map<String, Value>) -> Result<Plan, Reply> {
    let off = server.status == ServerStatus::Off;
    let plan = match command {
        "poweron" => {
            // Already on: the action succeeds and nothing restarts.
            let on = server.status == ServerStatus::Running;
            let effect = if on { Effect::Nothing } else { Effect::Boot };
            Plan::new("start_server", effect).meanwhile(off.then_some(ServerStatus::Starting))
        }
        "poweroff" => Plan::new("stop_server", Effect::PowerOff).meanwhile((!off).then_some(ServerStatus::Stopping)),
        "shutdown" => Plan::new("shutdown_server", Effect::Shutdown),
        "reboot" => Plan::new("reboot_server", Effect::Restart),
        "reset" => Plan::new("reset_server", Effect::Restart),
        "rebuild" => rebuild(world, server, body)?,
        "change_type" => change_type(world, server, body)?,
        "change_protection" => {
            let (delete, rebuild) = (flag_of(body, "delete")?, flag_of(body, "rebuild")?);
            Plan::new("change_protection", Effect::ChangeProtection { delete, rebuild })
        }
        "create_image" => create_image(world, server, body)?,
        "enable_backup" => Plan::new("enable_backup", Effect::SetBackup { window: Some(BACKUP_WINDOW.to_owned()) }),
        "disable_backup" => Plan::new("disable_backup", Effect::SetBackup { window: None }),
        "change_dns_ptr" => change_dns_ptr(world, server, body)?,
        "request_console" => Plan::new("request_console", Effect::Nothing),
        _ => return Err(Reply::error(StatusCode::NOT_FOUND, "not_found", "no such server action")),
    };
    Ok(plan)
}

fn rebuild(world: &World, server: &Server, body: &Map<String, Value>) -> Result<Plan, Reply> {
    if server.protected_rebuild {
        return Err(Reply::protected("server rebuild is protected"));
    }
    let architecture = catalog::server_type(&server.server_type).map_or("x86", |it| it.architecture);
    let image = body
        .get("image")
        .and_then(key_of)
        .and_then(|key| world.image_find(&key, architecture))
        .filter(|image| image.architecture == architecture)
        .ok_or_else(|| Reply::invalid("image", "image not found for this architecture"))?;
    if !image.available || image.disk > disk_of(server) {
        return Err(Reply::invalid("image", "image cannot be used for this server"));
    }
    let user_data = user_data_of(body)?;
    let effect = Effect::Rebuild { image: image.id, user_data };
    Ok(Plan::new("rebuild_server", effect).meanwhile(Some(ServerStatus::Rebuilding)))
}

/// Gigabytes of a server's disk: its type's unless that was changed without it.
pub(super) fn disk_of(server: &Server) -> u32 {
    server.disk.or_else(|| catalog::server_type(&server.server_type).map(|it| it.disk)).unwrap_or_default()
}

fn change_type(world: &World, server: &Server, body: &Map<String, Value>) -> Result<Plan, Reply> {
    let wanted = body
        .get("server_type")
        .and_then(key_of)
        .and_then(|key| catalog::server_type(&key))
        .ok_or_else(|| Reply::invalid("server_type", "server type not found"))?;
    let upgrade_disk = flag_of(body, "upgrade_disk")?.ok_or_else(|| Reply::invalid("upgrade_disk", "is required"))?;
    let refuse = |code, message| Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, code, message));
    if server.status != ServerStatus::Off {
        return refuse("server_not_stopped", "server must be stopped");
    }
    let same_architecture =
        catalog::server_type(&server.server_type).is_some_and(|now| now.architecture == wanted.architecture);
    let offered = offer(world, wanted, &server.location).is_some_and(|offer| !offer.is_gone());
    let fits = wanted.disk >= disk_of(server);
    if !same_architecture || !offered || !fits || wanted.name == server.server_type {
        return refuse("invalid_server_type", "server type cannot be used for this server");
    }
    if world.saved.full.contains(&(wanted.name.to_owned(), server.location.clone())) {
        return Err(Reply::no_capacity());
    }
    let disk = if upgrade_disk { wanted.disk } else { disk_of(server) };
    let effect = Effect::ChangeType { server_type: wanted.name.to_owned(), disk: Some(disk) };
    Ok(Plan::new("change_server_type", effect).meanwhile(Some(ServerStatus::Migrating)))
}

fn create_image(world: &World, server: &Server, body: &Map<String, Value>) -> Result<Plan, Reply> {
    let kind = text_of(body, "type")?.unwrap_or("snapshot");
    if !["snapshot", "backup"].contains(&kind) {
        return Err(Reply::invalid("type", "must be snapshot or backup"));
    }
    if kind == "backup" && server.backup_window.is_none() {
        let message = "backups are not enabled for this server";
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "unsupported_error", message));
    }
    let snapshot = Snapshot {
        id: 0,
        kind: kind.to_owned(),
        available: false,
        description: text_of(body, "description")?.unwrap_or(&server.name).to_owned(),
        labels: labels_of(body)?.unwrap_or_default(),
        created: timestamp(),
        from: (server.id, server.name.clone()),
        base: world.image_base(server.image),
        disk: disk_of(server),
        protected: false,
    };
    Ok(Plan { snapshot: Some(snapshot), ..Plan::new("create_image", Effect::Nothing) })
}

fn change_dns_ptr(world: &World, server: &Server, body: &Map<String, Value>) -> Result<Plan, Reply> {
    let own = |ip: &str| world.saved.primary_ips.values().any(|it| it.assignee == Some(server.id) && it.holds(ip));
    Ok(Plan::new("change_dns_ptr", dns_ptr_of(body, own)?))
}
