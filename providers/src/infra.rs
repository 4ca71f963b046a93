//! The life cycle of machines: the seven verbs, and the reads that go with them. Rule: every method
//! may be repeated after a crash or a lost answer and ends with the same machines.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use domain::{
    blueprint::BlueprintDefinition,
    code::Code,
    job::CommandOutput,
    node::{PartUsage, ReasonCode},
};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{
    error::ProviderError,
    journal::Journal,
    ssh::{ManagedKey, SshTarget},
};

/// Makes and takes away machines.
#[async_trait]
pub trait InfraProvider: Send + Sync {
    /// Makes the machine, or goes on where an earlier run with the same journal stopped.
    ///
    /// Steps: `ensure_ssh_key`, `create_server`, `start_server`, `fetch_server`. The machine may
    /// exist although an error comes back: undo with [`InfraProvider::destroy`] and the same
    /// journal.
    ///
    /// # Errors
    /// `PROVIDER_*`; with `lost` when the journal was lost.
    async fn provision(&self, wish: &ProvisionWish, journal: &mut dyn Journal) -> Result<Machine, ProviderError>;

    /// Takes the machine away and waits until it is gone: by its id after looking that its labels
    /// are ours, else by name and labels. Gone already is done. Also the undo of a `provision`.
    ///
    /// # Errors
    /// `PROVIDER_NAME_CONFLICT` when the id belongs to something that is not ours, which is left
    /// alone; other `PROVIDER_*`; with `lost` when the journal was lost.
    async fn destroy(&self, target: &MachineTarget, journal: &mut dyn Journal) -> Result<Destroyed, ProviderError>;

    /// Stops the machine: asks it to shut down, and switches it off once `graceful` is over.
    /// Stopped already is done. A machine that is stopped is billed like one that runs, unless the
    /// vendor says otherwise.
    ///
    /// Steps: `shut_down`, `power_off` where it was needed.
    ///
    /// # Errors
    /// `PROVIDER_RESOURCE_GONE`, `PROVIDER_NAME_CONFLICT` when it is not ours any more; other
    /// `PROVIDER_*`; with `lost` when the journal was lost.
    async fn suspend(
        &self,
        target: &MachineTarget,
        graceful: Duration,
        journal: &mut dyn Journal,
    ) -> Result<MachineStatus, ProviderError>;

    /// Starts the machine and waits until the vendor reports it running. Running already is done.
    ///
    /// Steps: `power_on`.
    ///
    /// # Errors
    /// As [`InfraProvider::suspend`].
    async fn resume(&self, target: &MachineTarget, journal: &mut dyn Journal) -> Result<MachineStatus, ProviderError>;

    /// Changes what the machine is, and leaves it running; a stack that is suspended stays so. After
    /// an error it may be switched off: [`InfraProvider::resume`] is the undo of a change of type. An
    /// image that was laid cannot be taken back; whether it was begun stands in the journal under
    /// `rebuild`. A stack whose new version does not get healthy is back at the old one when the
    /// error comes, which says so; an upgrade from a version to itself is the undo.
    ///
    /// Steps: `shut_down`, `power_off`, `change_type`, `power_on`; or `rebuild`; or, of a stack,
    /// `pull_images`, `upgrade_services` and `roll_back` where it was needed.
    ///
    /// # Errors
    /// `PROVIDER_CAPACITY` when there is none of the wanted type; otherwise as
    /// [`InfraProvider::suspend`].
    async fn upgrade(
        &self,
        target: &MachineTarget,
        wish: &UpgradeWish,
        journal: &mut dyn Journal,
    ) -> Result<MachineStatus, ProviderError>;

    /// Reads the machine once, within 10 s; `None` when it is gone.
    ///
    /// # Errors
    /// `PROVIDER_*`.
    async fn status(&self, infra_id: &str) -> Result<Option<MachineStatus>, ProviderError>;

    /// What speaks against using the machine, in the fixed order; empty when nothing does.
    async fn health_check(&self, target: &HealthTarget) -> Vec<ReasonCode>;

    /// What the parts of the machine do and take at present, for whoever looks at its health; empty
    /// where the vendor tells of no parts, or does not tell in time. Says nothing about health itself.
    async fn usage(&self, _target: &HealthTarget) -> Vec<PartUsage> {
        Vec::new()
    }

    /// Runs one command on the machine. Called again with the same task, as after a crash, it waits
    /// for the run that was begun: the command runs once. The output is as the machine wrote it:
    /// whoever knows the secrets takes them out with [`mask`](crate::ssh::mask), once, before it is
    /// shown or kept, since what is taken out in part is not found any more.
    ///
    /// # Errors
    /// `PROVISION_SSH_UNREACHABLE`, `PROVISION_HOST_KEY_MISMATCH`, `PROVISION_TIMEOUT`; a command
    /// that ends with another exit code than 0 is no error.
    async fn exec(&self, target: &HealthTarget, wish: &ExecWish) -> Result<CommandOutput, ProviderError>;

    /// Writes what must not be lost of a machine that has such (the volumes of a stack's data
    /// services), before it is taken away, and leaves it stopped. After an error what was begun is not
    /// left there, and what was stopped runs again, also when it ran out of time or room. May be
    /// repeated: it begins anew. `None` when there is nothing to keep.
    ///
    /// # Errors
    /// `PROVIDER_INVALID_REQUEST` where the vendor has none; `PROVIDER_RESOURCE_GONE` when nothing of
    /// the machine is there; `PROVIDER_BACKUP_FAILED` when not all of it could be read or written, with
    /// the cause; with `lost` when the journal was lost.
    async fn backup(
        &self,
        _target: &MachineTarget,
        _wish: &BackupWish<'_>,
        _journal: &mut dyn Journal,
    ) -> Result<Option<BackupMade>, ProviderError> {
        Err(ProviderError::new(Code::ProviderInvalidRequest, "The vendor makes no backups."))
    }

    /// Starts again what the backup of the same job stopped, because it was lost afterwards or is not
    /// wanted any more. May be repeated; does nothing where there was none.
    ///
    /// # Errors
    /// As [`resume`](InfraProvider::resume).
    async fn backup_undone(&self, _target: &MachineTarget, _journal: &mut dyn Journal) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Sets the reverse name of one of the machine's addresses, or with `None` the vendor's own
    /// again, and waits until it is done. May be repeated. A machine that is gone has no name to
    /// clear.
    ///
    /// # Errors
    /// `PROVIDER_INVALID_REQUEST` where the vendor cannot do it, or refuses the address or the name;
    /// otherwise as [`InfraProvider::suspend`].
    async fn reverse_dns_set(
        &self,
        _target: &MachineTarget,
        _ip: &str,
        _name: Option<&str>,
    ) -> Result<(), ProviderError> {
        Err(ProviderError::new(Code::ProviderInvalidRequest, "The vendor does not set reverse names."))
    }

    /// Where all machines are reached, when that is one place and known before one is made: an address
    /// or a name.
    fn reached_at(&self) -> Option<String> {
        None
    }

    /// Every machine at the vendor that carries this installation's labels.
    ///
    /// # Errors
    /// `PROVIDER_*`.
    async fn owned(&self) -> Result<Vec<MachineStatus>, ProviderError>;

    /// Begins to listen to what the vendor tells by itself of machines that carry this installation's
    /// labels: whatever changes after the call began is told. `None` where a vendor tells nothing by
    /// itself and has to be asked.
    ///
    /// # Errors
    /// `PROVIDER_*`.
    async fn changes(&self) -> Result<Option<Changes>, ProviderError> {
        Ok(None)
    }
}

/// What a vendor tells by itself, until it breaks off: with an error or without one. Then it is asked
/// for anew, and what changed in between has to be looked for.
pub type Changes = BoxStream<'static, Result<Change, ProviderError>>;

/// Something of this installation's changed at the vendor, by whatever hand: it was started, ended,
/// was stopped or taken away, or is more or less healthy than before. How it is now has to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The vendor's id of the machine.
    pub infra_id: String,
}

/// What a machine shall become. What holds secrets is not written anywhere as a whole.
#[derive(Clone)]
pub enum UpgradeWish {
    /// Another type, at the same place; its disk keeps its size, so that the way back stays open.
    Type {
        /// The server type's name.
        server_type: String,
        /// For how long it is asked to shut down before it is switched off.
        graceful: Duration,
    },
    /// Laid anew from an image; everything on its disk is lost.
    Image {
        /// The image's name.
        image: String,
        /// Fresh user data. It may hold a host key: never printed.
        user_data: Option<String>,
    },
    /// Another version of the stack: pulled, each application service made anew in declared order
    /// and waited for until it is healthy; back to the old version of all when one is not.
    Tag {
        /// The stack with the wanted version. Never printed.
        stack: Box<StackWish>,
        /// The version that it has. The same as the wanted one asks for the way back: all services
        /// at once, and nothing is pulled that is there.
        from: String,
        /// Whether it is suspended and stays so; otherwise it runs afterwards, also if a service of
        /// it had ended.
        suspended: bool,
    },
}

impl std::fmt::Debug for UpgradeWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Type { server_type, .. } => f.debug_struct("Type").field("server_type", server_type).finish(),
            Self::Image { image, .. } => f.debug_struct("Image").field("image", image).finish_non_exhaustive(),
            Self::Tag { stack, from, suspended } => {
                f.debug_struct("Tag").field("to", &stack.tag).field("from", from).field("suspended", suspended).finish()
            }
        }
    }
}

/// Where a backup goes, and how much it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupWish<'a> {
    /// A folder that exists and is empty.
    pub into: &'a std::path::Path,
    /// The most bytes that it may write.
    pub most_bytes: u64,
    /// The bytes of its disk that must stay free while it writes, whoever else does.
    pub leave_bytes: u64,
    /// It is given up after this long, and a second later for every [`BackupWish::PACE`] bytes that came.
    pub within: Duration,
}

impl BackupWish<'_> {
    /// For so many bytes that came it may take a second longer.
    pub const PACE: u64 = 1 << 20;
}

/// What a backup wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupMade {
    /// The files' names within the folder.
    pub files: Vec<String>,
    /// Their size together, in bytes.
    pub bytes: u64,
}

/// The stack that a machine is made of, where it is one.
#[derive(Clone)]
pub struct StackWish {
    /// What its blueprint holds, as the adapter checked it.
    pub blueprint: BlueprintDefinition,
    /// Values for the blueprint's variables.
    pub variables: BTreeMap<String, String>,
    /// Generated secrets: variables too, never printed.
    pub secrets: BTreeMap<String, String>,
    /// The version, `${HANGAR_TAG}` in the file.
    pub tag: String,
}

impl std::fmt::Debug for StackWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StackWish").field("variables", &self.variables).field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// A command that shall run on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecWish {
    /// The run: the same task is never run twice. Up to 64 of `[a-z0-9_-]`.
    pub task: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// In which part of the machine, where it has parts (a Compose service).
    pub service: Option<String>,
    /// After this long it is killed.
    pub within: Duration,
}

/// A type at a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The server type's name.
    pub server_type: String,
    /// The location's name.
    pub location: String,
    /// The price of exactly this pair per month, a decimal in the account's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_monthly: Option<String>,
    /// The price of exactly this pair per hour that has begun, a decimal in the account's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_hourly: Option<String>,
}

/// The machine that is wanted.
#[derive(Clone)]
pub struct ProvisionWish {
    /// The node it is for; a label.
    pub node_id: String,
    /// The job that asks for it; a label.
    pub job_id: String,
    /// Its name at the vendor: unique and the same at every try, since it is the only key that
    /// makes a create repeatable.
    pub server_name: String,
    /// What to try, in order; the next one only when there is no capacity.
    pub pairs: Vec<Pair>,
    /// The image's name.
    pub image: String,
    /// The key that Hangar logs in with.
    pub managed_key: ManagedKey,
    /// User data, up to 32 KiB. It may hold a host key: never printed.
    pub user_data: Option<String>,
    /// More labels; ours win.
    pub labels: BTreeMap<String, String>,
    /// Whether it gets an IPv4 address; an IPv6 address it has in any case.
    pub ipv4: bool,
    /// Firewalls, by name or id.
    pub firewalls: Vec<String>,
    /// This installation's id; a label.
    pub instance: String,
    /// The stack, where the kind makes stacks and not servers.
    pub stack: Option<StackWish>,
}

impl std::fmt::Debug for ProvisionWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProvisionWish")
            .field("node_id", &self.node_id)
            .field("server_name", &self.server_name)
            .field("pairs", &self.pairs)
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

/// A machine that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The vendor's id.
    pub infra_id: String,
    /// The vendor's id of the action that made it, where it is known.
    pub action_id: Option<String>,
    /// Its IPv4 address.
    pub ipv4: Option<String>,
    /// Its IPv6 address: a host's, not a network.
    pub ipv6: Option<String>,
    /// Where it is reached: the IPv4 address, else the IPv6 one.
    pub host: String,
    /// Its type.
    pub server_type: String,
    /// Its location.
    pub location: String,
    /// Its image.
    pub image: String,
    /// Its price per month, where the pair that it was made from is known.
    pub price_monthly: Option<String>,
    /// Its price per hour that has begun, likewise.
    pub price_hourly: Option<String>,
    /// The port of its host at which its cockpit answers, where the machine decides that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cockpit_port: Option<u16>,
}

/// What is known of a machine so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineFacts {
    /// The vendor's id.
    pub infra_id: Option<String>,
    /// The vendor's id of the action that makes it.
    pub action_id: Option<String>,
    /// Its IPv4 address.
    pub ipv4: Option<String>,
    /// Its IPv6 address: a host's, not a network.
    pub ipv6: Option<String>,
    /// Where it is reached.
    pub host: Option<String>,
    /// Its type.
    pub server_type: Option<String>,
    /// Its location.
    pub location: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// Its price per month, a decimal in the account's currency.
    pub price_monthly: Option<String>,
    /// Its price per hour that has begun, a decimal in the account's currency.
    pub price_hourly: Option<String>,
}

impl MachineFacts {
    /// Takes over what `newer` knows and keeps the rest.
    pub fn merge(&mut self, newer: MachineFacts) {
        let take = |old: &mut Option<String>, new: Option<String>| {
            if new.is_some() {
                *old = new;
            }
        };
        take(&mut self.infra_id, newer.infra_id);
        take(&mut self.action_id, newer.action_id);
        take(&mut self.ipv4, newer.ipv4);
        take(&mut self.ipv6, newer.ipv6);
        take(&mut self.host, newer.host);
        take(&mut self.server_type, newer.server_type);
        take(&mut self.location, newer.location);
        take(&mut self.image, newer.image);
        take(&mut self.price_monthly, newer.price_monthly);
        take(&mut self.price_hourly, newer.price_hourly);
    }
}

/// A machine that something is to be done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineTarget {
    /// The vendor's id, where it is known.
    pub infra_id: Option<String>,
    /// Its name at the vendor.
    pub server_name: String,
    /// The node it was made for.
    pub node_id: String,
}

/// What a destruction found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destroyed {
    /// Whether the machine was there; false when it was gone already or never was.
    pub found: bool,
}

/// Whether a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachinePower {
    /// It runs.
    Running,
    /// It is switched off, and billed.
    Off,
    /// It is being made, started, stopped, moved or laid anew.
    Changing,
    /// It is being taken away.
    Deleting,
    /// The vendor says something else.
    Unknown,
}

/// What the vendor says of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineStatus {
    /// The vendor's id.
    pub infra_id: String,
    /// Its name at the vendor.
    pub name: String,
    /// Whether it runs.
    pub status: MachinePower,
    /// Its IPv4 address.
    pub ipv4: Option<String>,
    /// Its IPv6 address: a host's, not a network.
    pub ipv6: Option<String>,
    /// Where it is reached.
    pub host: Option<String>,
    /// Its type.
    pub server_type: Option<String>,
    /// Its location.
    pub location: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// Whether it carries the labels of this installation.
    pub ours: bool,
    /// The node that its label names.
    pub node_id: Option<String>,
    /// When it was made, as the vendor writes it (RFC 3339).
    pub created: Option<String>,
    /// The port of its host at which its cockpit answers, where the machine decides that; it may
    /// change whenever it is started.
    pub cockpit_port: Option<u16>,
    /// What keeps its parts from serving, where it has parts; a part that serves is not named.
    #[serde(default)]
    pub troubles: Vec<PartTrouble>,
}

/// What keeps a part of a machine (a service of a stack) from serving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartTrouble {
    /// The part's name.
    pub part: String,
    /// What is wrong with it.
    pub trouble: Trouble,
}

/// What is wrong with a part of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// It is not there.
    Missing,
    /// It does not run.
    Stopped,
    /// It is being started again, as what ends again and again is, or paused.
    Restarting,
    /// It runs, and its own check has not found it well yet.
    Starting,
    /// It runs, and its own check finds it unwell.
    Unhealthy,
}

impl Trouble {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stopped => "stopped",
            Self::Restarting => "restarting",
            Self::Starting => "starting",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A machine whose health is wanted.
#[derive(Debug, Clone)]
pub struct HealthTarget {
    /// The vendor's id.
    pub infra_id: Option<String>,
    /// Where it is reached.
    pub host: Option<String>,
    /// How to log in; `None` when Hangar does not.
    pub ssh: Option<SshTarget>,
    /// Commands that its profile asks for.
    pub requires: Vec<String>,
    /// How long the whole check may take.
    pub within: Duration,
}
