//! A kind of account that makes stacks, all in memory: what the server decides about stacks is tested
//! against it. The rule: it keeps the contract of the adapters, and nothing of the server knows its
//! name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{
    blueprint::BlueprintDefinition,
    code::Code,
    job::CommandOutput,
    list::FieldError,
    node::ReasonCode,
    provider::{CallBudget, Capability, Catalog, OperationSchema},
};
use providers::{
    Account, AccountAccess, BackupMade, BackupWish, CheckReport, Destroyed, ExecWish, HealthTarget, InfraProvider,
    Journal, Machine, MachineFacts, MachinePower, MachineStatus, MachineTarget, ManagedKey, PartTrouble,
    ProviderAdapter, ProviderError, ProvisionWish, Trouble, UpgradeWish, async_trait,
};
use serde_json::{Value, json};

/// The kind's name.
pub const KIND: &str = "memory-stacks";

/// What the engine runs, and what it is told to do wrong.
#[derive(Default)]
pub struct World {
    pub stacks: BTreeMap<String, Stack>,
    /// Tags whose services never get healthy.
    pub unhealthy: BTreeSet<String>,
    /// Tags that the engine finds healthy and that are not.
    pub ill: BTreeSet<String>,
    /// What a backup fails with.
    pub backup_fails: Option<Code>,
    /// Whether the adapter breaks down in the middle of a backup.
    pub backup_panics: bool,
    /// Whether backups announce another size than they have.
    pub backup_lies: bool,
    /// Files of the next backups; none means that there is nothing to keep.
    pub files: Vec<(String, Vec<u8>)>,
    /// What making a stack fails with.
    pub provision_fails: Option<Code>,
    /// Commands that ran: service and words.
    pub ran: Vec<(Option<String>, Vec<String>)>,
    /// Upgrades that were asked for.
    pub upgrades: Vec<String>,
    /// Whether nothing answers.
    pub is_down: bool,
    next_port: u16,
}

/// A stack.
#[derive(Clone, Debug)]
pub struct Stack {
    pub node_id: String,
    pub instance: String,
    pub tag: String,
    pub runs: bool,
    /// Whether only some of its services run.
    pub half: bool,
    pub port: u16,
    /// What keeps its services from serving, by service.
    pub troubles: BTreeMap<String, Trouble>,
    pub variables: BTreeMap<String, String>,
    pub secrets: BTreeMap<String, String>,
}

/// The engine.
#[derive(Default)]
pub struct Engine {
    world: Mutex<World>,
    /// Whoever holds it holds up the answers to questions for one stack, which are of the moment when
    /// they were asked.
    pub looks: tokio::sync::RwLock<()>,
    /// Told whenever one was asked.
    pub looked: tokio::sync::Notify,
}

impl Engine {
    /// Looks at the world, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.world.lock().unwrap())
    }

    /// The only stack there is.
    pub fn only(&self) -> Stack {
        self.with(|world| {
            assert_eq!(world.stacks.len(), 1, "{:#?}", world.stacks);
            world.stacks.values().next().cloned().unwrap()
        })
    }
}

impl World {
    fn port(&mut self) -> u16 {
        self.next_port += 1;
        20_000 + self.next_port
    }

    fn answers(&self) -> Result<(), ProviderError> {
        match self.is_down {
            true => Err(ProviderError::new(Code::ProviderUnreachable, "The engine does not answer.")),
            false => Ok(()),
        }
    }

    fn of(&mut self, target: &MachineTarget) -> Result<&mut Stack, ProviderError> {
        self.answers()?;
        let found = self.stacks.get_mut(&target.server_name).filter(|stack| stack.node_id == target.node_id);
        found.ok_or_else(|| ProviderError::new(Code::ProviderResourceGone, "The stack is gone."))
    }
}

/// The kind.
pub struct Stacks(pub Arc<Engine>);

impl ProviderAdapter for Stacks {
    fn kind(&self) -> &'static str {
        KIND
    }
    fn display_name(&self) -> &'static str {
        "Stacks in memory"
    }
    fn capabilities(&self) -> &'static [Capability] {
        use Capability as C;
        &[C::Provision, C::Destroy, C::Suspend, C::Resume, C::Upgrade, C::HealthCheck, C::Exec]
    }
    fn settings_schema(&self) -> Value {
        json!({"type": "object", "properties": {"host": {"type": "string", "title": "Host"}}})
    }
    fn secret_schema(&self) -> Value {
        json!({"type": "object", "properties": {}})
    }
    fn operations(&self) -> BTreeMap<String, OperationSchema> {
        BTreeMap::new()
    }
    fn validate(&self, _settings: &Value, secret: Option<&Value>) -> Result<(), Vec<FieldError>> {
        let empty = secret.is_none_or(|secret| secret.as_object().is_some_and(|fields| fields.is_empty()));
        let wrong = || FieldError { pointer: "/secret".to_owned(), message: "must be empty".to_owned() };
        if empty { Ok(()) } else { Err(vec![wrong()]) }
    }
    fn has_blueprints(&self) -> bool {
        true
    }
    fn blueprint_check(&self, blueprint: &BlueprintDefinition) -> Result<(), Vec<FieldError>> {
        let wrong = |message: &str| vec![FieldError { pointer: "/file".to_owned(), message: message.to_owned() }];
        if blueprint.file.contains("privileged") { Err(wrong("must not be privileged")) } else { Ok(()) }
    }
    fn blueprint_claims(&self, blueprint: &BlueprintDefinition) -> Vec<String> {
        let claim = blueprint.file.contains("8443:443").then(|| "port 8443/tcp".to_owned());
        claim.into_iter().collect()
    }
    fn open(&self, access: AccountAccess) -> Result<Arc<dyn Account>, ProviderError> {
        let host = access.settings["host"].as_str().unwrap_or("stacks.example.org").to_owned();
        Ok(Arc::new(Open { engine: self.0.clone(), instance: access.instance, host }))
    }
}

struct Open {
    engine: Arc<Engine>,
    instance: String,
    host: String,
}

impl Open {
    fn status_of(&self, name: &str, stack: &Stack) -> MachineStatus {
        MachineStatus {
            infra_id: name.to_owned(),
            name: name.to_owned(),
            status: match (stack.half, stack.runs) {
                (true, _) => MachinePower::Unknown,
                (false, true) => MachinePower::Running,
                (false, false) => MachinePower::Off,
            },
            ipv4: None,
            ipv6: None,
            host: Some(self.host.clone()),
            server_type: None,
            location: None,
            image: Some(stack.tag.clone()),
            ours: stack.instance == self.instance,
            node_id: Some(stack.node_id.clone()),
            created: None,
            cockpit_port: stack.runs.then_some(stack.port),
            troubles: stack
                .troubles
                .iter()
                .map(|(part, trouble)| PartTrouble { part: part.clone(), trouble: *trouble })
                .collect(),
        }
    }

    fn now(&self, target: &MachineTarget) -> Result<MachineStatus, ProviderError> {
        self.engine.with(|world| {
            let stack = world.of(target)?.clone();
            Ok(self.status_of(&target.server_name, &stack))
        })
    }
}

#[async_trait]
impl Account for Open {
    async fn check(&self, _managed_key: Option<&ManagedKey>) -> Result<CheckReport, ProviderError> {
        self.engine.with(|world| world.answers())?;
        let message = "The engine answers.".to_owned();
        Ok(CheckReport { message, server_count: None, owned_count: None, expires_at: None })
    }
    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        Err(ProviderError::new(Code::ProviderInvalidRequest, "There is no catalogue."))
    }
    fn budget(&self) -> Option<CallBudget> {
        None
    }
    fn infra(&self) -> Option<&dyn InfraProvider> {
        Some(self)
    }
}

#[async_trait]
impl InfraProvider for Open {
    async fn provision(&self, wish: &ProvisionWish, journal: &mut dyn Journal) -> Result<Machine, ProviderError> {
        let wanted = wish.stack.clone().unwrap();
        journal.step("create_server", "Create the stack").await?;
        journal.step("start_server", "Start its services").await?;
        let stack = self.engine.with(|world| {
            world.answers()?;
            if let Some(code) = world.provision_fails {
                return Err(ProviderError::new(code, "Making it failed."));
            }
            let port = world.port();
            let fresh = Stack {
                node_id: wish.node_id.clone(),
                instance: wish.instance.clone(),
                tag: wanted.tag,
                runs: true,
                half: false,
                port,
                troubles: BTreeMap::new(),
                variables: wanted.variables,
                secrets: wanted.secrets,
            };
            let stack = world.stacks.entry(wish.server_name.clone()).or_insert(fresh);
            match stack.node_id == wish.node_id {
                true => Ok(stack.clone()),
                false => Err(ProviderError::new(Code::ProviderNameConflict, "The name is somebody else's.")),
            }
        })?;
        let (infra_id, host) = (wish.server_name.clone(), self.host.clone());
        let facts = MachineFacts { infra_id: Some(infra_id.clone()), ..MachineFacts::default() };
        journal.found(facts).await?;
        journal.step("fetch_server", "Read its ports").await?;
        Ok(Machine {
            infra_id,
            action_id: None,
            ipv4: None,
            ipv6: None,
            host,
            server_type: String::new(),
            location: String::new(),
            image: String::new(),
            price_monthly: None,
            price_hourly: None,
            cockpit_port: Some(stack.port),
        })
    }

    async fn destroy(&self, target: &MachineTarget, journal: &mut dyn Journal) -> Result<Destroyed, ProviderError> {
        journal.step("delete_server", "Remove the stack").await?;
        self.engine.with(|world| {
            world.answers()?;
            let ours = world.stacks.get(&target.server_name).is_some_and(|stack| stack.node_id == target.node_id);
            Ok(Destroyed { found: ours && world.stacks.remove(&target.server_name).is_some() })
        })
    }

    async fn suspend(
        &self,
        target: &MachineTarget,
        _graceful: Duration,
        journal: &mut dyn Journal,
    ) -> Result<MachineStatus, ProviderError> {
        journal.step("shut_down", "Stop the services").await?;
        self.engine.with(|world| world.of(target).map(|stack| stack.runs = false))?;
        self.now(target)
    }

    async fn resume(&self, target: &MachineTarget, journal: &mut dyn Journal) -> Result<MachineStatus, ProviderError> {
        journal.step("power_on", "Start the services").await?;
        self.engine.with(|world| {
            let port = world.port();
            let stack = world.of(target)?;
            if !stack.runs {
                (stack.runs, stack.port) = (true, port);
            }
            stack.troubles.retain(|_, trouble| *trouble != Trouble::Stopped);
            Ok::<_, ProviderError>(())
        })?;
        self.now(target)
    }

    async fn upgrade(
        &self,
        target: &MachineTarget,
        wish: &UpgradeWish,
        journal: &mut dyn Journal,
    ) -> Result<MachineStatus, ProviderError> {
        let UpgradeWish::Tag { stack: wanted, from, suspended } = wish else {
            return Err(ProviderError::new(Code::ProviderInvalidRequest, "A stack has neither type nor image."));
        };
        journal.step("pull_images", "Get the images").await?;
        journal.step("upgrade_services", "Make the services anew").await?;
        self.engine.with(|world| {
            world.upgrades.push(wanted.tag.clone());
            let bad = world.unhealthy.contains(&wanted.tag);
            let stack = world.of(target)?;
            assert_eq!(stack.runs, !suspended, "a stack that is suspended is not started by an upgrade");
            stack.troubles.retain(|_, trouble| *trouble != Trouble::Missing);
            stack.tag = if bad { from.clone() } else { wanted.tag.clone() };
            match bad && wanted.tag != *from {
                true => Err(ProviderError::new(
                    Code::ProvisionNotReady,
                    format!("web did not get healthy with the tag {}; every service is back at {from}.", wanted.tag),
                )),
                false => Ok(()),
            }
        })?;
        self.now(target)
    }

    async fn status(&self, infra_id: &str) -> Result<Option<MachineStatus>, ProviderError> {
        let seen = self.engine.with(|world| {
            world.answers()?;
            Ok(world.stacks.get(infra_id).map(|stack| self.status_of(infra_id, stack)))
        });
        self.engine.looked.notify_one();
        drop(self.engine.looks.read().await);
        seen
    }

    async fn health_check(&self, target: &HealthTarget) -> Vec<ReasonCode> {
        let name = target.infra_id.clone().unwrap_or_default();
        self.engine.with(|world| match world.stacks.get(&name) {
            Some(stack)
                if stack.runs
                    && stack.troubles.is_empty()
                    && !world.unhealthy.contains(&stack.tag)
                    && !world.ill.contains(&stack.tag) =>
            {
                Vec::new()
            }
            _ => vec![ReasonCode::NodeNotReady],
        })
    }

    async fn exec(&self, target: &HealthTarget, wish: &ExecWish) -> Result<CommandOutput, ProviderError> {
        let name = target.infra_id.clone().unwrap_or_default();
        self.engine.with(|world| {
            world.answers()?;
            world.ran.push((wish.service.clone(), wish.argv.clone()));
            let stack = world.stacks.get(&name).cloned();
            let secrets: Vec<_> = stack.into_iter().flat_map(|stack| stack.secrets.into_values()).collect();
            let stdout = format!("ran {}; the secret is {}", wish.argv.join(" "), secrets.join(" "));
            let (may_run, timed_out) = match wish.argv[0].as_str() {
                "forever" => (true, true),
                "forgotten" => (true, false),
                _ => (false, wish.argv[0] == "sleep"),
            };
            let exit_code = (!may_run && !timed_out).then(|| i32::from(wish.argv[0] == "false"));
            Ok(CommandOutput { exit_code, timed_out, may_run, stdout, ..CommandOutput::default() })
        })
    }

    async fn backup(
        &self,
        target: &MachineTarget,
        wish: &BackupWish<'_>,
        _journal: &mut dyn Journal,
    ) -> Result<Option<BackupMade>, ProviderError> {
        let into = wish.into;
        assert_eq!(std::fs::read_dir(into).unwrap().count(), 0, "the folder is empty");
        assert!(wish.most_bytes > 0);
        assert!(!self.engine.with(|world| world.backup_panics), "the adapter breaks down");
        let files = self.engine.with(|world| {
            world.of(target)?;
            match world.backup_fails {
                Some(code) => Err(ProviderError::new(code, "The volume could not be read.")),
                None => Ok(world.files.clone()),
            }
        })?;
        if files.is_empty() {
            return Ok(None);
        }
        for (name, content) in &files {
            std::fs::write(into.join(name), content).unwrap();
        }
        let lie = self.engine.with(|world| {
            let lie = u64::from(world.backup_lies);
            world.of(target).map(|stack| stack.runs = false).map(|()| lie)
        })?;
        let bytes = files.iter().map(|(_, content)| content.len() as u64).sum::<u64>() + lie;
        Ok(Some(BackupMade { files: files.into_iter().map(|(name, _)| name).collect(), bytes }))
    }

    async fn backup_undone(&self, target: &MachineTarget, _journal: &mut dyn Journal) -> Result<(), ProviderError> {
        self.engine.with(|world| world.of(target).map(|stack| stack.runs = true))
    }

    fn reached_at(&self) -> Option<String> {
        Some(self.host.clone())
    }

    async fn owned(&self) -> Result<Vec<MachineStatus>, ProviderError> {
        self.engine.with(|world| {
            world.answers()?;
            let all = world.stacks.iter().map(|(name, stack)| self.status_of(name, stack));
            Ok(all.filter(|status| status.ours).collect())
        })
    }
}
