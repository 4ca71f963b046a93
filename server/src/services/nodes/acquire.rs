//! What is wanted of a new node, checked as far as it can be before its job runs.

use std::{net::IpAddr, time::Duration};

use ::providers::{Chosen, Selection, choose, ssh::HostKey};
use domain::{
    access::Principal,
    code::Code,
    id::NodeId,
    job::Subject,
    list::FieldError,
    node::{NodeAccepted, NodeCreate},
    provider::{Capability, ProviderStatus, provider_actions},
    spending::{Hold, HoldKind},
    valid::{CockpitTemplate, NodeName, amount_micros},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use store::{FreshId, NodeRow, ProviderRow};

use super::write::{Growth, node_insert_in};
use crate::{
    fault::Fault,
    services::{
        Services,
        accounts::provider_fields,
        blueprints::StackChoice,
        dns::NameAs,
        idempotency::{self, Idempotent},
        need_admin,
        spending::{acquisition_in, held_code},
        views::provider_facts,
    },
};

/// A catalogue that takes longer than this to come does not hold up the answer; the job asks again.
pub(in crate::services) const CATALOG_BOUND: Duration = Duration::from_secs(10);

/// Everything of a new node that is known before its transaction.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub spec: NodeCreate,
    pub name: NodeName,
    pub chosen: Option<Chosen>,
    pub ssh_user: String,
    pub ssh_port: i64,
    /// The stack that it becomes, if it is one.
    pub stack: Option<StackChoice>,
    /// Whether it gets exactly the DNS name that is wished.
    pub named: NameAs,
}

impl Services {
    /// Writes down a node that is wanted and the job that will make it.
    ///
    /// # Errors
    /// `provider_not_connected`, or `validation` naming the field.
    pub async fn node_acquire(
        &self,
        who: &Principal,
        request: NodeCreate,
        idempotent: Option<Idempotent>,
    ) -> Result<NodeAccepted, Fault> {
        let subject = Subject::new("provider", &request.provider_id);
        let outcome = self.acquire(who, request, idempotent).await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "node.acquire", subject, fault).await;
        }
        outcome
    }

    async fn acquire(
        &self,
        who: &Principal,
        request: NodeCreate,
        idempotent: Option<Idempotent>,
    ) -> Result<NodeAccepted, Fault> {
        need_admin(who)?;
        let (provider, hold) = {
            let mut c = self.store.read().await?;
            (c.provider_get(&request.provider_id).await?, acquisition_in(&mut c).await?.hold)
        };
        let Some(provider) = provider else {
            return Err(Fault::field("/provider_id", "use the id of a connected account"));
        };
        // What costs nothing is held up by a pause alone.
        let hold = hold.filter(|it| request.compose.is_none() || it.kind == HoldKind::Paused);
        self.create_gate(who, &provider, hold)?;
        let wanted = Wanted { named: NameAs::Wished, ..self.node_wanted(&provider, request).await? };
        if let Some(choice) = &wanted.stack
            && let Some(claimed) = self.stack_claimed(&provider, &choice.blueprint).await?
        {
            let message = format!("cannot be made at this account once more: {claimed}");
            return Err(Fault::field("/compose/blueprint", message));
        }
        let now = self.clock.now();
        let id = NodeId::fresh();
        let keys = self.node_keys(&id, wanted.stack.as_ref())?;
        let settings = self.settings.work.clone();
        let who_owned = who.clone();
        self.write::<NodeAccepted, Fault, _>(move |c| {
            let (who, wanted, id, settings) = (who_owned.clone(), wanted.clone(), id.clone(), settings.clone());
            let keys = keys.clone();
            let idempotent = idempotent.clone();
            Box::pin(async move {
                let accepted =
                    node_insert_in(c, &who, &wanted, Growth::Yes, id, keys, settings.max_attempts, now).await?;
                idempotency::store_in(c, idempotent.as_ref(), 202, &accepted, now).await?;
                Ok(accepted)
            })
        })
        .await
    }

    /// Refuses what the gates of `create-server` hold back for everybody, whatever is wanted; the
    /// account's standing is told with what its last check said.
    fn create_gate(&self, who: &Principal, provider: &ProviderRow, hold: Option<Hold>) -> Result<(), Fault> {
        let kind = (self.capabilities(&provider.kind), self.has_secret(&provider.kind));
        let facts = provider_facts(provider, kind, (0, 0), hold, self.clock.now());
        let action = provider_actions(&facts, who).into_iter().find(|it| it.identity == "create-server");
        if provider.status != ProviderStatus::Connected {
            return Ok(());
        }
        match action.as_ref().and_then(|action| Some((action, held_code(action, facts.hold.as_ref())?))) {
            Some((action, code)) => Err(Fault { code, ..Fault::blocked(action) }),
            None => Ok(()),
        }
    }

    /// Checks a request for a node as far as it can be checked before its job runs.
    pub(crate) async fn node_wanted(&self, provider: &ProviderRow, spec: NodeCreate) -> Result<Wanted, Fault> {
        let mut errors = Vec::new();
        let mut wrong =
            |pointer: &str, message: String| errors.push(FieldError { pointer: pointer.to_owned(), message });
        let name = spec.name.parse::<NodeName>().map_err(|e| wrong("/name", e.to_string())).ok();
        if let Some(template) = &spec.cockpit_url
            && let Err(error) = CockpitTemplate::parse(template)
        {
            wrong("/cockpit_url", error.to_string());
        }
        if let Some(price) = &spec.max_price_monthly
            && let Err(error) = amount_micros(price)
        {
            wrong("/max_price_monthly", error.to_string());
        }
        if spec.user_data.as_ref().is_some_and(|d| d.len() > 24 * 1024) {
            wrong("/user_data", "user data is at most 24 KiB".to_owned());
        }
        if spec.ipv4 == Some(false) && spec.cockpit_url.as_deref().is_some_and(|url| url.contains("{ipv4}")) {
            wrong(
                "/cockpit_url",
                "a node without an IPv4 address has nothing for {ipv4}; use {fqdn} or {name}".to_owned(),
            );
        }
        if spec.verify_cockpit == Some(true) && spec.cockpit_url.is_none() && spec.compose.is_none() {
            wrong("/verify_cockpit", "verifying the cockpit needs a cockpit_url".to_owned());
        }
        for (key, value) in &spec.labels {
            if !label_key(key) || !label_value(value) {
                wrong(
                    &format!("/labels/{key}"),
                    "keys are 1 to 63 and values up to 63 letters, digits and . _ -, and no key begins with hangar or managed-by".to_owned(),
                );
            }
        }
        if let Some(profile) = &spec.profile {
            let known = self.profile_names().await?;
            if !known.contains(profile) {
                let names = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                wrong("/profile", format!("use the name of a profile that is stored: {names}"));
            }
        }
        let capabilities = self.capabilities(&provider.kind);
        if !capabilities.contains(&Capability::Provision) {
            wrong("/provider_id", format!("accounts of kind {} make no nodes", provider.kind));
        }
        if spec.compose.is_none() && spec.cockpit_url.as_deref().is_some_and(|url| url.contains("{port}")) {
            wrong("/cockpit_url", "only a stack has something for {port}; name the port itself".to_owned());
        }
        let stack = match capabilities.contains(&Capability::Provision) {
            true => self.stack_wanted(provider, &spec, &mut errors).await?,
            false => None,
        };
        if let Some(dns) = &spec.dns {
            self.dns_wish_checked(dns, &spec.name, &mut errors).await?;
            if let Some(why) = self.nameless(provider) {
                errors.push(FieldError { pointer: "/dns".to_owned(), message: why });
            }
        }
        if !errors.is_empty() {
            return Err(Fault::fields(errors));
        }
        let Some(name) = name else { return Err(Fault::field("/name", "a name is needed")) };
        if provider.status != ProviderStatus::Connected {
            return Err(Fault {
                recovery: Some(Box::new(Code::ProviderNotConnected.recovery())),
                ..Fault::new(
                    Code::ProviderNotConnected,
                    format!(
                        "The account {} is {}; its last check said: {}",
                        provider.name,
                        provider.status,
                        provider.last_message.as_deref().unwrap_or("nothing yet.")
                    ),
                )
            });
        }
        if let Some(dns) = &spec.dns {
            self.dns_wish_held(dns).await?;
        }
        let chosen = match &stack {
            // There is nothing to choose for a stack.
            Some(_) => None,
            None => match tokio::time::timeout(CATALOG_BOUND, self.catalog_of(provider)).await {
                Ok(Ok(catalog)) => Some(choose(&catalog, &Selection::from(&spec)).map_err(provider_fields)?),
                // The vendor does not answer now: the job chooses when it does.
                Ok(Err(_)) | Err(_) => None,
            },
        };
        let setting = |key: &str| provider.settings.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        Ok(Wanted {
            name,
            chosen,
            ssh_user: setting("ssh_user").unwrap_or_else(|| "root".to_owned()),
            ssh_port: provider
                .settings
                .get("ssh_port")
                .and_then(|v| v.as_i64().or_else(|| v.as_str()?.parse().ok()))
                .unwrap_or(22),
            spec,
            stack,
            named: NameAs::OwnOne,
        })
    }

    /// Why no node of an account can have a DNS name, where that is known before one is made: a record
    /// leads to an address, and to one that others reach.
    fn nameless(&self, provider: &ProviderRow) -> Option<String> {
        let open = self.account(provider).ok()?;
        let host = open.account.infra()?.reached_at()?;
        let instead = "connect the account with an address that others reach";
        match host.parse::<IpAddr>() {
            Ok(ip) if ip.is_loopback() || ip.is_unspecified() => Some(format!(
                "leave it out: the account's nodes are reached at {host}, which is another machine for everybody; {instead}"
            )),
            Ok(_) => None,
            Err(_) => Some(format!(
                "leave it out: the account's nodes are reached by the name {host}, and a record leads to an address; use that name, or {instead}"
            )),
        }
    }

    /// A fresh host key for a node: the public half, and the private half sealed.
    pub(crate) fn host_key(&self, id: &NodeId) -> Result<(String, String), Fault> {
        let key = HostKey::generate().map_err(|e| Fault::internal(&e))?;
        let sealed = self
            .keyring
            .seal(&host_key_row(id), key.private_openssh().expose_secret().as_bytes())
            .map_err(|e| Fault::internal(&e))?;
        Ok((key.public_openssh().to_owned(), sealed))
    }

    /// Opens a node's private host key.
    pub(crate) fn host_key_open(&self, node: &NodeRow) -> Result<Option<HostKey>, Fault> {
        let Some(sealed) = &node.host_key_sealed else { return Ok(None) };
        let text = self.keyring.open(&host_key_row(&node.id), sealed).map_err(|e| Fault::internal(&e))?;
        let text = std::str::from_utf8(&text).map_err(|e| Fault::internal(&e))?;
        HostKey::from_openssh(SecretString::from(text)).map(Some).map_err(|e| Fault::internal(&e))
    }
}

pub(in crate::services) fn host_key_row(id: &NodeId) -> String {
    format!("host_key:{id}")
}

fn label_value(text: &str) -> bool {
    let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.is_empty()
        || (text.len() <= 63
            && ends(text.bytes().next())
            && ends(text.bytes().last())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')))
}

fn label_key(text: &str) -> bool {
    !text.is_empty() && label_value(text) && !text.starts_with("hangar") && !text.starts_with("managed-by")
}
