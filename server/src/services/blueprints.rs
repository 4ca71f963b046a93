//! Blueprints, and the stacks that nodes are made into from them. The rule: a stored version never
//! changes; a node keeps the one it was made from, and a secret that was made for it is sealed.

use std::collections::{BTreeMap, BTreeSet};

use ::providers::{ProviderAdapter, StackWish};
use domain::{
    access::Principal,
    allocation::AllocationStatus,
    blueprint::{BlueprintDefinition, BlueprintPool, BlueprintVersion, BlueprintView, ComposeCreate, StackView},
    code::Code,
    id::NodeId,
    job::Subject,
    list::{FieldError, Filter},
    node::{Cleanup, NodeCreate},
    time::Timestamp,
    valid::BlueprintName,
};
use secrecy::SecretString;
use store::{BlueprintListed, BlueprintRow, Conn, NodeRow, PoolRow, ProviderRow, StoreError};
use zeroize::Zeroizing;

use super::{
    Services,
    audit::{Happened, audit_in, event},
    need_admin,
    nodes::node_place_lock_in,
    probe::cockpit_of,
    provisioner::allocation_events,
    templates::{fits, misfit, pools_naming_in},
};
use crate::fault::Fault;

/// How many versions are shown.
const VERSIONS_SHOWN: u32 = 100;

/// Blueprints read at once.
const PAGE: u32 = 200;

/// Bytes of randomness in a secret that Hangar makes.
const SECRET_BYTES: usize = 24;

/// What is chosen for a stack before its node is written down.
#[derive(Debug, Clone)]
pub(crate) struct StackChoice {
    /// The blueprint.
    pub blueprint: BlueprintName,
    /// Its version.
    pub version: u32,
    /// The version that runs.
    pub tag: String,
    /// The secrets that are made for it.
    pub secrets: Vec<String>,
}

/// What is made afresh for a node before it is written down.
#[derive(Clone)]
pub(crate) struct NodeKeys {
    /// The host key, public and sealed, of a server.
    pub host: Option<(String, String)>,
    /// The stack's secrets, sealed.
    pub secrets_sealed: Option<String>,
}

impl Services {
    /// Every blueprint in its newest version, without its file, and without those that are retired.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn blueprints(&self, who: &Principal) -> Result<Vec<BlueprintView>, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let mut views: Vec<BlueprintView> = Vec::new();
        loop {
            let after = views.last().map(|last| last.name.to_string()).unwrap_or_default();
            let some = c.blueprints_listed(&after, PAGE).await?;
            let last = some.len() < PAGE as usize;
            views.extend(some.into_iter().map(listed));
            if last {
                return Ok(views);
            }
        }
    }

    /// One blueprint with its versions; in the newest version unless one is named.
    ///
    /// # Errors
    /// `not_found`, also for one that is retired and whose version is not named.
    pub async fn blueprint_show(
        &self,
        who: &Principal,
        name: &BlueprintName,
        version: Option<u32>,
    ) -> Result<BlueprintView, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        let row = match version {
            None => c.blueprint_newest(name).await?.filter(|row| row.retired_at.is_none()),
            Some(version) => c.blueprint_get(name, version).await?,
        };
        let row = row.ok_or_else(|| Fault::not_found("blueprint"))?;
        let nodes = c.nodes_of_blueprint_count(name).await?;
        let versions = c.blueprint_versions(name, VERSIONS_SHOWN).await?;
        let versions = versions.into_iter().map(|head| BlueprintVersion {
            version: head.version,
            changed_at: head.created_at,
            changed_by: Some(head.created_by),
        });
        let (versions, pools) = (versions.collect(), pools_naming_in(&mut c, name).await?);
        let newest = if pools.is_empty() { None } else { c.blueprint_newest(name).await? };
        let told = |pool: PoolRow| {
            let misfit = pool.template.as_ref().and_then(|template| misfit(template, newest.as_ref()));
            BlueprintPool { pool: pool.name, misfit }
        };
        let told = pools.into_iter().map(told).collect();
        Ok(BlueprintView { versions, pools: told, ..view(row, nodes) })
    }

    /// Stores a new version, or a new blueprint. Nodes that are there keep the version they were made
    /// from.
    ///
    /// # Errors
    /// `validation` names the field; `conflict_state` when somebody else stored a version at the same
    /// moment.
    pub async fn blueprint_save(
        &self,
        who: &Principal,
        name: &BlueprintName,
        wish: BlueprintDefinition,
    ) -> Result<BlueprintView, Fault> {
        if let Err(fault) = self.save(who, name, wish).await {
            self.audit_refused(Some(who), "save-blueprint", Subject::new("blueprint", name), &fault).await;
            return Err(fault);
        }
        self.blueprint_show(who, name, None).await
    }

    async fn save(&self, who: &Principal, name: &BlueprintName, wish: BlueprintDefinition) -> Result<(), Fault> {
        need_admin(who)?;
        wish.check().map_err(Fault::fields)?;
        let mut errors: Vec<FieldError> = Vec::new();
        for adapter in self.stack_adapters() {
            // What one kind says of a field already is not said in another's words as well.
            let said: BTreeSet<_> = errors.iter().map(|error| error.pointer.clone()).collect();
            let more = adapter.blueprint_check(&wish).err().unwrap_or_default();
            errors.extend(more.into_iter().filter(|error| !said.contains(&error.pointer)));
        }
        if !errors.is_empty() {
            return Err(Fault::fields(errors));
        }
        let now = self.clock.now();
        let (who, name) = (who.clone(), name.clone());
        self.write::<(), Fault, _>(move |c| {
            let (who, name, wish) = (who.clone(), name.clone(), wish.clone());
            Box::pin(async move {
                let version = c.blueprint_newest(&name).await?.map_or(0, |row| row.version) + 1;
                let row = BlueprintRow {
                    name: name.clone(),
                    version,
                    definition: wish,
                    created_by: who.user_id.clone(),
                    created_at: now,
                    retired_at: None,
                };
                match c.blueprint_insert(&row).await {
                    Err(StoreError::Conflict { .. }) => {
                        return Err(Fault::new(
                            Code::ConflictState,
                            "Somebody else stored a version of this blueprint at the same moment: read it and decide anew.",
                        ));
                    }
                    other => other?,
                }
                let line = Happened::ok(&who, "save-blueprint", Subject::new("blueprint", &name), now)
                    .detail(format!("version {version}"));
                audit_in(c, line).await?;
                Ok(c.event_insert(&[event("blueprint", &name, i64::from(version), None)]).await?)
            })
        })
        .await
    }

    /// Retires a blueprint: nobody may ask for it any more. A version that is stored under its name
    /// later brings it back.
    ///
    /// # Errors
    /// `not_found`; `conflict_state` while a live node was made from it or a pool's template names it.
    pub async fn blueprint_retire(&self, who: &Principal, name: &BlueprintName) -> Result<(), Fault> {
        let outcome = self.retire(who, name).await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "delete-blueprint", Subject::new("blueprint", name), fault).await;
        }
        outcome
    }

    async fn retire(&self, who: &Principal, name: &BlueprintName) -> Result<(), Fault> {
        need_admin(who)?;
        let now = self.clock.now();
        let (who, name) = (who.clone(), name.clone());
        self.write::<(), Fault, _>(move |c| {
            let (who, name) = (who.clone(), name.clone());
            Box::pin(async move {
                // Whoever asks for a node of it at this moment has locked its version, and is counted.
                if c.blueprint_retire(&name, now).await? == 0 {
                    return Err(Fault::not_found("blueprint"));
                }
                let nodes = c.nodes_of_blueprint_count(&name).await?;
                if nodes > 0 {
                    let what =
                        if nodes == 1 { "1 live node was".to_owned() } else { format!("{nodes} live nodes were") };
                    let words = format!("{what} made from it. Destroy them first.");
                    return Err(Fault::new(Code::ConflictState, words));
                }
                if let Some(pool) = pools_naming_in(c, &name).await?.first() {
                    let words = format!("The template of the pool {} names it. Change the template first.", pool.name);
                    return Err(Fault::new(Code::ConflictState, words));
                }
                audit_in(c, Happened::ok(&who, "delete-blueprint", Subject::new("blueprint", &name), now)).await?;
                Ok(c.event_insert(&[event("blueprint", &name, now.millis(), None)]).await?)
            })
        })
        .await
    }

    /// The adapters whose machines are made from blueprints.
    fn stack_adapters(&self) -> impl Iterator<Item = &dyn ProviderAdapter> {
        let kinds = self.kinds().into_iter().filter(|kind| kind.has_blueprints);
        kinds.filter_map(|kind| self.registry.get(&kind.kind))
    }

    /// Whether the machines of a kind of account are made from blueprints.
    pub(crate) fn has_blueprints(&self, kind: &str) -> bool {
        self.registry.get(kind).is_some_and(ProviderAdapter::has_blueprints)
    }

    /// What a request for a node says of its stack, checked; `None` for a server.
    pub(super) async fn stack_wanted(
        &self,
        provider: &ProviderRow,
        spec: &NodeCreate,
        errors: &mut Vec<FieldError>,
    ) -> Result<Option<StackChoice>, Fault> {
        let mut wrong = |pointer: &str, message: String| {
            errors.push(FieldError { pointer: pointer.to_owned(), message });
        };
        let (kind, of_stacks) = (&provider.kind, self.has_blueprints(&provider.kind));
        let Some(compose) = &spec.compose else {
            if of_stacks {
                wrong("/compose", format!("name a blueprint: accounts of kind {kind} make stacks from one"));
            }
            return Ok(None);
        };
        if !of_stacks {
            wrong("/compose", format!("leave it out: accounts of kind {kind} make servers, not stacks"));
            return Ok(None);
        }
        for pointer in servers_only(spec) {
            wrong(pointer, "leave it out: it is of servers, and this is a stack".to_owned());
        }
        let newest = self.store.read().await?.blueprint_newest(&compose.blueprint).await?;
        Ok(fits(spec, compose, newest.as_ref(), errors))
    }

    /// What of the machine behind an account each stack of a blueprint takes for itself alone.
    pub(super) fn stack_claims(&self, kind: &str, blueprint: &BlueprintDefinition) -> Vec<String> {
        self.registry.get(kind).map(|adapter| adapter.blueprint_claims(blueprint)).unwrap_or_default()
    }

    /// Why another stack of `blueprint` cannot stand at an account now: what it takes for itself alone
    /// is a live node's. Ask the engine for what nobody here made.
    pub(super) async fn stack_claimed(
        &self,
        provider: &ProviderRow,
        blueprint: &BlueprintName,
    ) -> Result<Option<String>, Fault> {
        let mut c = self.store.read().await?;
        let Some(newest) = c.blueprint_newest(blueprint).await? else { return Ok(None) };
        let wanted = self.stack_claims(&provider.kind, &newest.definition);
        if wanted.is_empty() {
            return Ok(None);
        }
        let mut filter = Filter {
            provider: Some(provider.id.to_string()),
            status: Some("live".to_owned()),
            limit: Some(200),
            ..Filter::default()
        };
        loop {
            let page = c.nodes_page(&filter).await?;
            for node in page.items.into_iter().filter(|node| node.cleanup != Cleanup::Done) {
                let (Some(name), Some(version)) = (&node.blueprint, node.blueprint_version) else { continue };
                let Some(row) = c.blueprint_get(name, version).await? else { continue };
                let claims = self.stack_claims(&provider.kind, &row.definition);
                if let Some(claim) = wanted.iter().find(|claim| claims.contains(claim)) {
                    let name = &node.name;
                    return Ok(Some(format!("The node {name} has {claim} of the engine's machine for itself alone.")));
                }
            }
            match page.next_cursor {
                Some(next) => filter.cursor = Some(next),
                None => return Ok(None),
            }
        }
    }

    /// What a node takes another one's place with: the newest version of the blueprint if it can be
    /// had with the same choice, else the one that the other was made from.
    pub(crate) async fn stack_again(&self, node: &NodeRow) -> Result<Option<StackChoice>, Fault> {
        let (Some(name), Some(version), Some(compose)) = (&node.blueprint, node.blueprint_version, &node.spec.compose)
        else {
            return Ok(None);
        };
        let mut c = self.store.read().await?;
        let newest = c.blueprint_newest(name).await?.filter(|row| row.retired_at.is_none());
        if let Some(choice) = newest.and_then(|row| chosen(&row, compose).ok()) {
            return Ok(Some(choice));
        }
        let row = c.blueprint_get(name, version).await?.ok_or_else(|| Fault::not_found("blueprint"))?;
        chosen(&row, compose).map(Some).map_err(Fault::fields)
    }

    /// What is made afresh for a node: the host key of a server, or the secrets of a stack.
    pub(crate) fn node_keys(&self, id: &NodeId, stack: Option<&StackChoice>) -> Result<NodeKeys, Fault> {
        let Some(choice) = stack else {
            return Ok(NodeKeys { host: Some(self.host_key(id)?), secrets_sealed: None });
        };
        let mut secrets = BTreeMap::new();
        for name in &choice.secrets {
            secrets.insert(name.clone(), fresh_secret()?);
        }
        let text = Zeroizing::new(serde_json::to_vec(&secrets).map_err(|e| Fault::internal(&e))?);
        let sealed = self.keyring.seal(&secrets_row(id), &text).map_err(|e| Fault::internal(&e))?;
        Ok(NodeKeys { host: None, secrets_sealed: Some(sealed) })
    }

    /// The secrets that were made for a node's stack, by name.
    pub(crate) fn stack_secrets(&self, node: &NodeRow) -> Result<BTreeMap<String, String>, Fault> {
        let Some(sealed) = &node.secrets_sealed else { return Ok(BTreeMap::new()) };
        let text = self.keyring.open(&secrets_row(&node.id), sealed).map_err(|e| Fault::internal(&e))?;
        serde_json::from_slice(&text).map_err(|e| Fault::internal(&e))
    }

    /// The same as words to be masked.
    pub(super) fn stack_secret_words(&self, node: &NodeRow) -> Result<Vec<SecretString>, Fault> {
        Ok(self.stack_secrets(node)?.into_values().map(SecretString::from).collect())
    }

    /// What a node's blueprint holds, in the version that it was made from; `None` for a server.
    pub(crate) async fn blueprint_of(&self, node: &NodeRow) -> Result<Option<BlueprintDefinition>, Fault> {
        let (Some(name), Some(version)) = (&node.blueprint, node.blueprint_version) else { return Ok(None) };
        let row = self.store.read().await?.blueprint_get(name, version).await?;
        row.map(|row| Some(row.definition)).ok_or_else(|| Fault::not_found("blueprint"))
    }

    /// The stack that a node is, as its adapter wants it; `None` for a server.
    pub(crate) async fn stack_wish(&self, node: &NodeRow) -> Result<Option<StackWish>, Fault> {
        let Some(blueprint) = self.blueprint_of(node).await? else { return Ok(None) };
        let compose = node.spec.compose.as_ref().ok_or_else(|| Fault::not_found("blueprint"))?;
        let (variables, preset) = blueprint.resolve(compose).map_err(Fault::fields)?;
        let tag = node.tag.clone().unwrap_or(preset);
        Ok(Some(StackWish { variables, secrets: self.stack_secrets(node)?, tag, blueprint }))
    }

    /// The stack that a node is, as people see it.
    pub(super) async fn stack_view(&self, node: &NodeRow) -> Result<Option<StackView>, Fault> {
        let Some(view) = stack_head(node) else { return Ok(None) };
        let Some(wish) = self.stack_wish(node).await? else { return Ok(Some(view)) };
        let service_preset = wish.blueprint.service_preset().map(ToOwned::to_owned);
        Ok(Some(StackView { variables: wish.variables, services: wish.blueprint.services, service_preset, ..view }))
    }
}

/// Holds the version that a node is made from, in the caller's transaction: it is not retired before
/// the node counts.
pub(super) async fn blueprint_hold_in(c: &mut Conn, choice: &StackChoice, growth: bool) -> Result<(), Fault> {
    let held = c.blueprint_lock(&choice.blueprint, choice.version).await?;
    // What takes another one's place may be of a version that was retired meanwhile.
    match held.filter(|head| !growth || head.retired_at.is_none()) {
        Some(_) => Ok(()),
        None => Err(Fault::field("/compose/blueprint", "use the name of a blueprint that is stored")),
    }
}

/// The cockpit of a node answers at another port. Whoever holds the machine is led there too: behind
/// the former one may be somebody else's by now.
pub(crate) async fn node_port_in(c: &mut Conn, id: &NodeId, port: u16, now: Timestamp) -> Result<(), Fault> {
    node_place_lock_in(c, id).await?;
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    if row.cockpit_port == Some(i64::from(port)) {
        return Ok(());
    }
    row.cockpit_port = Some(i64::from(port));
    if row.ready_at.is_some() {
        row.cockpit_url = cockpit_of(&row);
    }
    row.updated_at = now;
    c.node_save(&row).await?;
    c.event_insert(&[event("node", id, row.version + 1, None)]).await?;
    let vm_id = id.as_str().parse().map_err(|e| Fault::internal(&e))?;
    let Some(mut vm) = c.pool_vm_lock(&vm_id).await? else { return Ok(()) };
    if vm.cockpit_url == row.cockpit_url {
        return Ok(());
    }
    vm.cockpit_url.clone_from(&row.cockpit_url);
    vm.updated_at = now;
    c.pool_vm_save(&vm).await?;
    c.event_insert(&[event("pool", &vm.pool, now.millis(), None)]).await?;
    let Some(held) = c.allocation_of_vm(&vm_id).await? else { return Ok(()) };
    let Some(mut held) = c.allocation_lock(&held.id).await? else { return Ok(()) };
    if held.status == AllocationStatus::Active {
        held.cockpit_url = row.cockpit_url.clone();
        c.allocation_save(&held).await?;
        held.version += 1;
        c.event_insert(&allocation_events(&held)).await?;
    }
    Ok(())
}

/// A stack runs its old version again, because the new one was no good.
pub(crate) async fn node_rolled_back_in(
    c: &mut Conn,
    id: &NodeId,
    (tag, from): (&str, &str),
    code: Code,
    now: Timestamp,
) -> Result<(), Fault> {
    let system = Principal::system();
    let line = Happened::ok(&system, "node.rolled-back", Subject::new("node", id), now);
    let words = match tag == from {
        true => format!("It runs {from}, which was not well at first."),
        false => format!("The tag {tag} was given up; it runs {from} again."),
    };
    audit_in(c, line.detail(words).failed(code)).await
}

/// The node has a fresh version of its stack.
pub(crate) async fn node_tag_in(c: &mut Conn, id: &NodeId, tag: &str, now: Timestamp) -> Result<(), Fault> {
    let Some(mut row) = c.node_lock(id).await? else { return Ok(()) };
    row.tag = Some(tag.to_owned());
    row.observed_at = Some(now);
    row.updated_at = now;
    c.node_save(&row).await?;
    let system = Principal::system();
    let line = Happened::ok(&system, "node.upgraded", Subject::new("node", id), now).detail(format!("tag {tag}"));
    audit_in(c, line).await?;
    Ok(c.event_insert(&[event("node", id, row.version + 1, None)]).await?)
}

/// What every view of a stack shows, without asking for its blueprint.
pub(super) fn stack_head(node: &NodeRow) -> Option<StackView> {
    Some(StackView {
        blueprint: node.blueprint.clone()?,
        blueprint_version: node.blueprint_version?,
        tag: node.tag.clone().unwrap_or_default(),
        cockpit_port: node.cockpit_port.and_then(|port| u16::try_from(port).ok()),
        variables: BTreeMap::new(),
        services: Vec::new(),
        service_preset: None,
        served: node.ready_at.is_some(),
    })
}

/// What is sealed with a node's stack.
pub(super) fn secrets_row(id: &NodeId) -> String {
    format!("stack:{id}")
}

pub(super) fn chosen(row: &BlueprintRow, compose: &ComposeCreate) -> Result<StackChoice, Vec<FieldError>> {
    let (_, tag) = row.definition.resolve(compose)?;
    let secrets = row.definition.variables.iter().filter(|variable| variable.generate);
    Ok(StackChoice {
        blueprint: row.name.clone(),
        version: row.version,
        tag,
        secrets: secrets.map(|variable| variable.name.clone()).collect(),
    })
}

/// A secret of letters and digits alone, so that it needs no quoting wherever it goes.
fn fresh_secret() -> Result<String, Fault> {
    use std::fmt::Write as _;
    let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
    getrandom::fill(bytes.as_mut()).map_err(|_| Fault::new(Code::Internal, "The system has no randomness to give."))?;
    let mut text = String::with_capacity(SECRET_BYTES * 2);
    for byte in bytes.iter() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// The fields of a request that a stack has nothing for.
fn servers_only(spec: &NodeCreate) -> Vec<&'static str> {
    let given = [
        (spec.server_type.is_some(), "/server_type"),
        (spec.location.is_some(), "/location"),
        (spec.image.is_some(), "/image"),
        (!spec.fallbacks.is_empty(), "/fallbacks"),
        (spec.max_price_monthly.is_some(), "/max_price_monthly"),
        (spec.profile.is_some(), "/profile"),
        (spec.user_data.is_some(), "/user_data"),
        (spec.ipv4.is_some(), "/ipv4"),
        (!spec.firewalls.is_empty(), "/firewalls"),
        (!spec.labels.is_empty(), "/labels"),
    ];
    given.into_iter().filter_map(|(given, pointer)| given.then_some(pointer)).collect()
}

fn view(row: BlueprintRow, nodes: u32) -> BlueprintView {
    let BlueprintRow { name, version, definition, created_by, created_at, .. } = row;
    listed(BlueprintListed { name, version, definition, created_by, created_at, nodes })
}

fn listed(row: BlueprintListed) -> BlueprintView {
    BlueprintView {
        name: row.name,
        version: row.version,
        definition: row.definition,
        nodes: row.nodes,
        changed_at: row.created_at,
        changed_by: Some(row.created_by),
        versions: Vec::new(),
        pools: Vec::new(),
    }
}
