//! What a new blueprint begins with, and what its file may hold. The rule: the example runs as it is on
//! an engine that reaches Docker Hub, so that a first blueprint needs nothing but a name.

use domain::blueprint::{BlueprintCockpit, BlueprintDefinition, BlueprintService, BlueprintVariable, ServiceRole};
use leptos::prelude::*;

const FILE: &str = r#"# An example that runs as it is. Put your own services in its place.
services:
  web:
    image: nginx:${HANGAR_TAG}
    ports: ["80"]
    environment:
      TZ: ${TIME_ZONE}
    healthcheck:
      test: ["CMD", "curl", "--fail", "http://127.0.0.1/"]
      interval: 5s
    depends_on: [db]
  db:
    image: postgres:17
    environment:
      POSTGRES_PASSWORD: ${DB_PASSWORD}
    volumes:
      - data:/var/lib/postgresql/data
volumes:
  data:
"#;

/// A page and a database behind it.
pub(super) fn example() -> BlueprintDefinition {
    let service = |name: &str, role, memory| BlueprintService {
        name: name.to_owned(),
        role,
        memory_mib: Some(memory),
        cpu_millis: None,
    };
    let variable = |name: &str, description: &str, default: Option<&str>| BlueprintVariable {
        name: name.to_owned(),
        description: description.to_owned(),
        default: default.map(ToOwned::to_owned),
        generate: default.is_none(),
    };
    BlueprintDefinition {
        file: FILE.to_owned(),
        services: vec![service("web", ServiceRole::Application, 128), service("db", ServiceRole::Data, 512)],
        variables: vec![
            variable("TIME_ZONE", "Time zone of its log", Some("UTC")),
            variable("DB_PASSWORD", "Of the database", None),
        ],
        cockpit: Some(BlueprintCockpit { service: "web".to_owned(), port: 80 }),
        tag: "1.28".to_owned(),
        allow_host_ports: false,
    }
}

/// What the file may hold, folded away.
pub(super) fn rules() -> impl IntoView {
    let code = |text: &'static str| view! { <code class="code">{text}</code> };
    view! {
        <details class="more">
            <summary>"What the file may hold"</summary>
            <dl class="rules">
                <dt>"A service"</dt>
                <dd>
                    {code("image")} " (required; there is no " {code("build")} "), "
                    {code("command")} ", " {code("entrypoint")} ", " {code("environment")} ", " {code("ports")} ", "
                    {code("expose")} ", " {code("volumes")} ", " {code("tmpfs")} ", " {code("networks")} ", "
                    {code("depends_on")} ", " {code("healthcheck")} ", " {code("labels")} ", " {code("restart")} ", "
                    {code("stop_signal")} ", " {code("stop_grace_period")} ", " {code("init")} ", "
                    {code("read_only")} ", " {code("tty")} ", " {code("stdin_open")} ", " {code("user")} ", "
                    {code("hostname")} ", " {code("working_dir")} ", " {code("shm_size")} ", " {code("cap_drop")}
                    ". Beside " {code("services")} " stand " {code("volumes")} " and " {code("networks")} "."
                </dd>
                <dt>"Ports"</dt>
                <dd>
                    "The container's side alone, such as " {code("ports: [\"80\"]")}
                    ": many nodes share an engine, and Docker gives each a port of the host that is free."
                </dd>
                <dt>"Volumes"</dt>
                <dd>
                    "Named ones, such as " {code("data:/var/lib/data")} " with " {code("data:")} " below "
                    {code("volumes:")} ". Paths of the host are refused."
                </dd>
                <dt>"Variables"</dt>
                <dd>
                    {code("${NAME}")} " in " {code("image")} ", " {code("command")} ", " {code("entrypoint")} ", "
                    {code("environment")} " and the health check's " {code("test")}
                    ". Hangar itself gives " {code("${HANGAR_TAG}")} ", the version; " {code("${HANGAR_NODE}")}
                    ", the node's id; " {code("${HANGAR_HOST}")} ", where its ports are reached. "
                    {code("$$")} " is a dollar sign."
                </dd>
                <dt>"Health"</dt>
                <dd>
                    "A node is ready, and an upgrade goes on, once each service is healthy by its health check; without one it has to keep running. A service that ends when its work is done makes the stack unhealthy."
                </dd>
                <dt>"Not allowed"</dt>
                <dd>
                    "Whatever reaches out of the container or reads files of the host ("
                    {code("privileged")} ", " {code("devices")} ", " {code("network_mode")} ", " {code("env_file")}
                    " …), limits (they stand with the services below), anchors, aliases and tags of YAML. A refusal names the line."
                </dd>
            </dl>
        </details>
    }
}
