//! A real Docker Engine for tests, and what they make stacks of.

#[expect(dead_code, reason = "the command that starts an engine by hand uses more")]
mod engine;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::blueprint::BlueprintDefinition;
use providers::{Account, AccountAccess, AccountSecret, Registry, StackWish, Timeouts};
use serde_json::{Value, json};

pub use engine::*;

/// A prefix that no other test of this program has.
pub fn prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("t{}x", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Long enough for a busy machine; what is to run out is made shorter by the test.
pub fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(60),
        read: Duration::from_secs(120),
        write: Duration::from_secs(120),
        action: Duration::from_secs(180),
        poll_first: Duration::from_millis(20),
        poll_most: Duration::from_millis(200),
        late_create: Duration::from_secs(1),
    }
}

pub fn account_at(settings: Value, instance: &str, timeouts: Timeouts, work_dir: &Path) -> Arc<dyn Account> {
    let access = AccountAccess {
        work_dir: work_dir.to_owned(),
        settings,
        secret: AccountSecret::new(json!({})),
        instance: instance.to_owned(),
        timeouts,
    };
    Registry::standard().get("docker-compose").unwrap().open(access).unwrap()
}

/// A stack with a page, something beside it, and a store behind it.
pub fn blueprint() -> BlueprintDefinition {
    let file = r#"
services:
  web:
    image: hangar-test/app:${HANGAR_TAG}
    ports: ["8080"]
    environment:
      TITLE: ${TITLE}
      PASSWORD: ${PASSWORD}
    depends_on: [db]
  side:
    image: "hangar-test/app:${HANGAR_TAG}"
    environment: ["NODE=${HANGAR_NODE}", "AT=${HANGAR_HOST}"]
  db:
    image: hangar-test/db:1
    restart: always
    environment: {PASSWORD: "${PASSWORD}"}
    volumes: ["data:/data"]
volumes:
  data:
"#;
    let value = json!({
        "file": file,
        "services": [
            {"name": "db", "role": "data", "memory_mib": 32},
            {"name": "web", "role": "application", "memory_mib": 64, "cpu_millis": 500},
            {"name": "side", "role": "application"},
        ],
        "variables": [{"name": "TITLE", "default": "Hello"}, {"name": "PASSWORD", "generate": true}],
        "cockpit": {"service": "web", "port": PORT},
        "tag": "good1",
    });
    serde_json::from_value(value).unwrap()
}

/// What nobody may ever see.
pub const SECRET: &str = "hunter22-of-the-node";

pub fn stack(tag: &str) -> StackWish {
    StackWish {
        blueprint: blueprint(),
        variables: [("TITLE".to_owned(), "A 'title' with $HOME and \\".to_owned())].into(),
        secrets: [("PASSWORD".to_owned(), SECRET.to_owned())].into(),
        tag: tag.to_owned(),
    }
}
