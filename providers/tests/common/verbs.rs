//! The verbs that change something at the vendor, each staged so that it has everything to do.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use providers::{
    Account, HostKey, Journal, MemoryJournal, ProviderError, ProvisionWish, UpgradeWish, UserData, ssh::user_data,
};
use serde_json::json;
use simulators::{Hetzner, RequestKind, ServerStatus};

use super::{NODE, target, token, wish};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Provision,
    Destroy,
    Suspend,
    Resume,
    Retype,
    Rebuild,
}

/// What a verb works on.
pub struct Stage {
    pub wish: ProvisionWish,
    pub id: Option<String>,
}

pub const IMAGE: &str = "ubuntu-24.04";
pub const TYPE: &str = "cx43";

impl Verb {
    pub const ALL: [Self; 6] =
        [Self::Provision, Self::Destroy, Self::Suspend, Self::Resume, Self::Retype, Self::Rebuild];

    pub async fn stage(self, sim: &Hetzner, account: &dyn Account) -> Stage {
        let mut wish = wish();
        if self == Self::Provision {
            firewall(sim, "web").await;
            wish.firewalls = vec!["web".to_owned()];
            return Stage { wish, id: None };
        }
        let machine = account.infra().unwrap().provision(&wish, &mut MemoryJournal::default()).await.unwrap();
        match self {
            // It has to be switched off in the end.
            Self::Suspend => assert!(sim.set_ignores_shutdown(&wish.server_name, true)),
            Self::Resume => assert!(sim.power_off(&wish.server_name)),
            _ => {}
        }
        Stage { wish, id: Some(machine.infra_id) }
    }

    pub async fn run(
        self,
        account: &dyn Account,
        stage: &Stage,
        journal: &mut dyn Journal,
    ) -> Result<(), ProviderError> {
        let infra = account.infra().unwrap();
        let target = target(stage.id.as_deref());
        match self {
            Self::Provision => infra.provision(&stage.wish, journal).await.map(drop),
            Self::Destroy => infra.destroy(&target, journal).await.map(drop),
            Self::Suspend => infra.suspend(&target, Duration::from_millis(20), journal).await.map(drop),
            Self::Resume => infra.resume(&target, journal).await.map(drop),
            Self::Retype => {
                let wish = UpgradeWish::Type { server_type: TYPE.to_owned(), graceful: Duration::from_secs(2) };
                infra.upgrade(&target, &wish, journal).await.map(drop)
            }
            Self::Rebuild => {
                let wish = UpgradeWish::Image { image: IMAGE.to_owned(), user_data: Some(fresh_user_data()) };
                infra.upgrade(&target, &wish, journal).await.map(drop)
            }
        }
    }

    /// Whether the vendor is as it should be after the verb.
    pub fn check(self, sim: &Hetzner, stage: &Stage, case: &str) {
        let servers = sim.servers();
        if self == Self::Destroy {
            assert!(servers.is_empty(), "{case}: {servers:?}");
            return;
        }
        let [server] = &servers[..] else { panic!("{case}: one server: {servers:?}") };
        if let Some(id) = &stage.id {
            assert_eq!(server.id.to_string(), *id, "{case}");
        }
        assert_eq!(server.labels["hangar-node"], NODE, "{case}");
        let status = if self == Self::Suspend { ServerStatus::Off } else { ServerStatus::Running };
        assert_eq!(server.status, status, "{case}");
        assert_eq!(server.server_type, if self == Self::Retype { TYPE } else { "cx33" }, "{case}");
        assert_eq!(server.image, if self == Self::Rebuild { IMAGE } else { "debian-13" }, "{case}");
        assert_eq!(sim.ssh_keys().len(), 1, "{case}");
        if self == Self::Rebuild {
            assert_eq!(server.host_key.as_deref(), Some(FRESH.public_openssh()), "{case}");
        }
    }

    /// Every call that the verb makes when nothing goes wrong: its kind and which one of them, of
    /// questions that are repeated only the first two.
    pub async fn calls(self) -> Vec<(RequestKind, u32)> {
        let sim = Hetzner::start(super::quick()).await.unwrap();
        let account = super::account(&sim.endpoint());
        let stage = self.stage(&sim, account.as_ref()).await;
        let before = sim.requests().len();
        self.run(account.as_ref(), &stage, &mut MemoryJournal::default()).await.unwrap();
        self.check(&sim, &stage, "undisturbed");
        let mut counts: BTreeMap<String, (RequestKind, u32)> = BTreeMap::new();
        for request in &sim.requests()[before..] {
            counts.entry(format!("{:?}", request.kind)).or_insert((request.kind, 0)).1 += 1;
        }
        let most = |kind| if matches!(kind, RequestKind::ActionGet | RequestKind::ServerGet) { 2 } else { u32::MAX };
        counts.into_values().flat_map(|(kind, count)| (1..=count.min(most(kind))).map(move |nth| (kind, nth))).collect()
    }
}

/// The host key that a rebuild plants.
static FRESH: LazyLock<HostKey> = LazyLock::new(|| HostKey::generate().unwrap());

pub fn fresh_user_data() -> String {
    let data = UserData { host_key: &FRESH, ssh_user: "root", authorized_key: "ssh-ed25519 AAAA k", extra: None };
    user_data(&data).unwrap()
}

pub async fn firewall(sim: &Hetzner, name: &str) {
    let request = reqwest::Client::new().post(format!("{}/firewalls", sim.endpoint())).bearer_auth(token());
    let answer = request.json(&json!({"name": name})).send().await.unwrap();
    assert_eq!(answer.status(), 201);
}
