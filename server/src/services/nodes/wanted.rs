//! What is wanted of a node that is there, checked as far as it can be before its job begins. The
//! rule: every refusal names its field and what would be right.

use ::providers::ssh;
use domain::{
    job::JobKind,
    node::{NodeExec, NodeState, NodeUpgrade},
    provider::Catalog,
    valid::amount_display,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::{NodeRow, ProviderRow};

use super::verb::Begin;
use crate::{
    fault::Fault,
    services::{NewType, Services, Verb},
};

/// The most characters of a command in the trail.
const COMMAND_SHOWN: usize = 500;

impl Services {
    /// Another type or image for a node.
    pub(super) async fn upgrade_wanted(
        &self,
        row: &NodeRow,
        provider: &ProviderRow,
        wish: &NodeUpgrade,
    ) -> Result<Begin, Fault> {
        wish.check().map_err(Fault::fields)?;
        if let Some(tag) = &wish.tag {
            let Some(from) = row.tag.clone().filter(|_| row.blueprint.is_some()) else {
                return Err(Fault::field("/tag", "leave it out: this node is a server, not a stack"));
            };
            // What was changed behind Hangar's back is brought back by asking for the same again.
            if *tag == from && !row.drift.iter().any(|it| it.is_broken() || it.field == "tag") {
                return Err(Fault::field("/tag", format!("use another tag: the stack runs {from} already")));
            }
            let detail = format!("from the tag {from} to {tag}");
            let suspended = row.state == NodeState::Suspended;
            let verb = Verb::ChangeTag { tag: tag.clone(), from, suspended };
            return Ok(Begin::new("upgrade-node", JobKind::NodeUpgrade, verb).detail(detail));
        }
        if row.blueprint.is_some() {
            let pointer = if wish.image.is_some() { "/image" } else { "/server_type" };
            return Err(Fault::field(pointer, "leave it out: this node is a stack; name its new tag"));
        }
        if let Some(image) = &wish.image {
            let begin = self.rebuild_wanted(row, provider, Some(image)).await?;
            return Ok(Begin { identity: "upgrade-node", kind: JobKind::NodeUpgrade, ..begin });
        }
        let wanted = wish.server_type.clone().unwrap_or_default();
        let catalog = self.catalog_of(provider).await?;
        let new = new_type(&catalog, row, &wanted)?;
        let price = |monthly: &Option<String>| match monthly {
            Some(monthly) => format!("{} {} a month", amount_display(monthly), new.currency),
            None => "an unknown price".to_owned(),
        };
        let detail = format!(
            "from {} ({}) to {} ({})",
            row.server_type.as_deref().unwrap_or("an unknown type"),
            price(&row.price_monthly),
            new.server_type,
            price(&new.price_monthly),
        );
        Ok(Begin::new("upgrade-node", JobKind::NodeUpgrade, Verb::ChangeType(new)).detail(detail))
    }

    /// The same image again for a node, or the one that is named.
    pub(super) async fn rebuild_wanted(
        &self,
        row: &NodeRow,
        provider: &ProviderRow,
        image: Option<&str>,
    ) -> Result<Begin, Fault> {
        let image = match image {
            Some(wanted) => {
                let catalog = self.catalog_of(provider).await?;
                image_known(&catalog, row, wanted)?;
                wanted.to_owned()
            }
            None => row
                .image
                .clone()
                .ok_or_else(|| Fault::field("/image", "name the image: what the node was made from is not known"))?,
        };
        let detail = format!("from the image {image}");
        Ok(Begin::new("rebuild-node", JobKind::NodeRebuild, Verb::Rebuild { image }).detail(detail))
    }

    /// A command for a node. What the trail shows of it has its secrets masked.
    pub(super) async fn exec_wanted(
        &self,
        row: &NodeRow,
        provider: &ProviderRow,
        wish: &NodeExec,
    ) -> Result<Begin, Fault> {
        wish.check().map_err(Fault::fields)?;
        let mut wish = wish.clone();
        match self.blueprint_of(row).await? {
            None if wish.service.is_some() => {
                return Err(Fault::field("/service", "leave it out: this node has no services of its own"));
            }
            None => {}
            Some(blueprint) => {
                let names: Vec<_> = blueprint.services.iter().map(|service| service.name.as_str()).collect();
                let service = wish.service.take().or_else(|| blueprint.service_preset().map(ToOwned::to_owned));
                let known = service.filter(|service| names.contains(&service.as_str()));
                let words = || format!("name one of its services: {}", names.join(", "));
                wish.service = Some(known.ok_or_else(|| Fault::field("/service", words()))?);
            }
        }
        let secrets = self.secrets_of(row, provider).await?;
        let shown = masked(&ssh::shell_quoted(&wish.argv), &secrets);
        let mut detail: String = shown.chars().take(COMMAND_SHOWN).collect();
        if detail.len() < shown.len() {
            detail.push('…');
        }
        if let Some(service) = &wish.service {
            detail = format!("in {service}: {detail}");
        }
        let text = serde_json::to_vec(&wish).map_err(|e| Fault::internal(&e))?;
        let sealed = self.keyring.seal(&exec_row(row), &text).map_err(|e| Fault::internal(&e))?;
        Ok(Begin::new("exec-command", JobKind::NodeExec, Verb::Exec { sealed }).detail(detail))
    }

    /// Opens the command of a job.
    pub(crate) fn exec_open(&self, row: &NodeRow, sealed: &str) -> Result<NodeExec, Fault> {
        let text = self.keyring.open(&exec_row(row), sealed).map_err(|e| Fault::internal(&e))?;
        serde_json::from_slice(&text).map_err(|e| Fault::internal(&e))
    }

    /// The secrets that what a node prints might hold: they are masked wherever they stand.
    ///
    /// # Errors
    /// [`Fault`] when those that were made for it cannot be read: what is not known cannot be masked.
    pub(crate) async fn secrets_of(&self, row: &NodeRow, provider: &ProviderRow) -> Result<Vec<SecretString>, Fault> {
        let mut secrets = Vec::new();
        if let Ok(text) = tokio::fs::read_to_string(self.managed_key_path()).await {
            secrets.push(SecretString::from(text));
        }
        if let Ok(Some(key)) = self.host_key_open(row) {
            secrets.push(key.private_openssh().clone());
        }
        secrets.extend(self.stack_secret_words(row)?);
        if let Ok(secret) = self.secret_of(provider) {
            words_of(&secret, &mut secrets);
        }
        Ok(secrets)
    }

    /// A type with what it costs at a location, as far as the catalogue can be had and knows it.
    pub(crate) async fn type_price(&self, provider: &ProviderRow, wanted: &str, location: Option<&str>) -> NewType {
        let catalog = self.catalog_of(provider).await.ok();
        let at = catalog.as_ref().and_then(|catalog| {
            let of = catalog.server_types.iter().find(|t| t.name == wanted)?;
            of.locations.iter().find(|at| Some(at.location.as_str()) == location)
        });
        NewType {
            server_type: wanted.to_owned(),
            price_monthly: at.and_then(|at| known(&at.price_monthly)),
            price_hourly: at.and_then(|at| known(&at.price_hourly)),
            currency: catalog.as_ref().map(|c| c.currency.clone()).unwrap_or_default(),
            before: (None, None, None),
        }
    }
}

/// `text` without these secrets and without what looks like one.
pub(crate) fn masked(text: &str, secrets: &[SecretString]) -> String {
    let secrets: Vec<&str> = secrets.iter().map(|s| s.expose_secret()).collect();
    ssh::mask(text, &secrets)
}

fn words_of(value: &Value, into: &mut Vec<SecretString>) {
    match value {
        Value::String(text) => into.push(SecretString::from(text.trim())),
        Value::Array(items) => items.iter().for_each(|item| words_of(item, into)),
        Value::Object(fields) => fields.values().for_each(|item| words_of(item, into)),
        _ => {}
    }
}

fn exec_row(row: &NodeRow) -> String {
    format!("exec:{}", row.id)
}

/// Reads the input of an action; no input is the same as an empty one.
pub(super) fn input_of<T: DeserializeOwned + Default>(input: Value) -> Result<T, Fault> {
    match input {
        Value::Null => Ok(T::default()),
        input => serde_json::from_value(input).map_err(|e| Fault::unreadable("The action's input", &e)),
    }
}

/// The wanted type as it stands in the catalogue at the node's location, if the node can become it.
fn new_type(catalog: &Catalog, row: &NodeRow, wanted: &str) -> Result<NewType, Fault> {
    let refuse = |message: String| Err(Fault::field("/server_type", message));
    let Some(of) = catalog.server_types.iter().find(|t| t.name == wanted) else {
        return refuse(format!("use a type of the account's catalogue; there is no {wanted}"));
    };
    if row.server_type.as_deref() == Some(wanted) {
        return refuse(format!("use another type: the node is a {wanted} already"));
    }
    let location = row.location.as_deref().unwrap_or_default();
    let Some(at) = of.locations.iter().find(|at| at.location == location) else {
        return refuse(format!("use a type that can be had at {location}, where the node is; {wanted} cannot"));
    };
    if at.deprecated {
        return refuse(format!("use a type that the vendor does not phase out at {location}, as it does {wanted}"));
    }
    let now = row.server_type.as_deref().and_then(|name| catalog.server_types.iter().find(|t| t.name == name));
    if let Some(now) = now {
        if now.architecture != of.architecture {
            return refuse(format!(
                "use a type of the node's architecture {}; {wanted} is {}",
                now.architecture, of.architecture
            ));
        }
        if of.disk_gb < now.disk_gb {
            return refuse(format!(
                "use a type with a disk of at least {} GB, as the node has; {wanted} has {} GB",
                now.disk_gb, of.disk_gb
            ));
        }
    }
    Ok(NewType {
        server_type: of.name.clone(),
        price_monthly: known(&at.price_monthly),
        price_hourly: known(&at.price_hourly),
        currency: catalog.currency.clone(),
        before: (row.price_monthly.clone(), row.price_hourly.clone(), row.currency.clone()),
    })
}

fn known(price: &str) -> Option<String> {
    Some(price.to_owned()).filter(|price| !price.is_empty())
}

fn image_known(catalog: &Catalog, row: &NodeRow, wanted: &str) -> Result<(), Fault> {
    let named: Vec<_> = catalog.images.iter().filter(|image| image.name == wanted).collect();
    if named.is_empty() {
        return Err(Fault::field("/image", format!("use an image of the account's catalogue; there is no {wanted}")));
    }
    let now = row.server_type.as_deref().and_then(|name| catalog.server_types.iter().find(|t| t.name == name));
    match now {
        Some(now) if !named.iter().any(|image| image.architecture == now.architecture) => Err(Fault::field(
            "/image",
            format!("use an image for the node's architecture {}; {wanted} is for another", now.architecture),
        )),
        _ => Ok(()),
    }
}
