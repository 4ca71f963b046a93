//! What is wanted of a new record, checked as far as it can be before its job runs. The rule: every
//! refusal names its field and what would be right.

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::{
    access::Principal,
    code::Code,
    dns::{DnsRecordAccepted, DnsRecordCreate, DnsType},
    job::{JobKind, Subject},
    list::FieldError,
    node::{DnsWish, NodeState},
    provider::{Capability, ProviderStatus},
    valid::{RecordName, ZoneName},
};
use store::{NodeRow, ProviderRow};

use super::write::{NewRecord, job_begin_in, record_insert_in};
use crate::{
    fault::Fault,
    services::{
        DnsWork, Services,
        idempotency::{self, Idempotent},
        need_admin,
    },
};

/// Seconds for which a record may be remembered.
const TTL: std::ops::RangeInclusive<u32> = 60..=86_400;
/// The longest text of a TXT record, in bytes.
const TEXT_MOST: usize = 2_048;

impl Services {
    /// Writes down a record that is wanted and the job that will make it.
    ///
    /// # Errors
    /// `validation` naming the field; `provider_not_connected`.
    pub async fn dns_record_create(
        &self,
        who: &Principal,
        request: DnsRecordCreate,
        idempotent: Option<Idempotent>,
    ) -> Result<DnsRecordAccepted, Fault> {
        let subject = Subject::new("provider", &request.provider_id);
        let outcome = self.record_create(who, request, idempotent).await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "create-dns-record", subject, fault).await;
        }
        outcome
    }

    async fn record_create(
        &self,
        who: &Principal,
        request: DnsRecordCreate,
        idempotent: Option<Idempotent>,
    ) -> Result<DnsRecordAccepted, Fault> {
        need_admin(who)?;
        let provider = self.store.read().await?.provider_get(&request.provider_id).await?;
        let Some(provider) = provider else {
            return Err(Fault::field("/provider_id", "use the id of a connected account"));
        };
        let mut errors = Vec::new();
        self.dns_fields(&provider, "", (request.ttl, request.proxied), &mut errors);
        if request.proxied == Some(true) && request.kind == DnsType::Txt {
            errors.push(wrong("/proxied", "leave it out: no proxy stands before a text"));
        }
        let content = content(request.kind, &request.content).map_err(|message| wrong("/content", message));
        let content = content.map_err(|error| errors.push(error)).unwrap_or_default();
        if let Some(node) = &request.node_id {
            let node = self.store.read().await?.node_get(node).await?;
            errors.extend(in_service(node.as_ref()).err());
        }
        if !errors.is_empty() {
            return Err(Fault::fields(errors));
        }
        connected(&provider)?;
        self.zone_held(&provider, &request.zone, "/zone").await?;
        let now = self.clock.now();
        let row = NewRecord {
            provider_id: provider.id.clone(),
            zone: request.zone,
            name: request.name,
            kind: request.kind,
            content,
            ttl: request.ttl,
            proxied: request.proxied == Some(true),
            node_id: request.node_id,
        }
        .row(who, now);
        let (who, max_attempts) = (who.clone(), self.settings.work.max_attempts);
        self.write::<DnsRecordAccepted, Fault, _>(move |c| {
            let (who, row, idempotent) = (who.clone(), row.clone(), idempotent.clone());
            Box::pin(async move {
                // The node before the record, and as it stands now: the vendor was asked in between.
                if let Some(node) = &row.node_id {
                    let node = c.node_lock(node).await?;
                    in_service(node.as_ref()).map_err(|error| Fault::fields(vec![error]))?;
                }
                record_insert_in(c, &row, "/name").await?;
                let begin = ("create-dns-record", JobKind::DnsCreate, DnsWork::Create);
                let job_id = job_begin_in(c, &who, &row, begin, max_attempts, now).await?;
                let accepted = DnsRecordAccepted { record_id: row.id.clone(), job_id };
                idempotency::store_in(c, idempotent.as_ref(), 202, &accepted, now).await?;
                Ok(accepted)
            })
        })
        .await
    }

    /// Checks the name that is wanted with a node, as far as it can be without asking a vendor. The
    /// zone is asked for afterwards, by [`Services::dns_wish_held`].
    pub(in crate::services) async fn dns_wish_checked(
        &self,
        wish: &DnsWish,
        node: &str,
        errors: &mut Vec<FieldError>,
    ) -> Result<(), Fault> {
        let known = self.store.read().await?.provider_get(&wish.provider_id).await?;
        match known {
            Some(row) => self.dns_fields(&row, "/dns", (wish.ttl, wish.proxied), errors),
            None => errors.push(wrong("/dns/provider_id", "use the id of a connected account that offers DNS")),
        }
        if let Err(error) = wish.zone.parse::<ZoneName>() {
            errors.push(wrong("/dns/zone", error));
        }
        // As long as the tail of every node's id, so that what fits here fits for every node.
        match name_filled(&wish.name, node, "00000000").parse::<RecordName>() {
            Ok(name) if name.as_str().starts_with('*') => {
                errors.push(wrong("/dns/name", "use a name of its own: a node is not reached by a wildcard"));
            }
            Ok(_) => {}
            Err(error) => errors.push(wrong("/dns/name", error)),
        }
        Ok(())
    }

    /// Whether the account holds the zone of a node's name, if it can tell now.
    pub(in crate::services) async fn dns_wish_held(&self, wish: &DnsWish) -> Result<(), Fault> {
        let Some(row) = self.store.read().await?.provider_get(&wish.provider_id).await? else { return Ok(()) };
        connected(&row)?;
        let zone = wish.zone.parse().map_err(|e| Fault::field("/dns/zone", format!("{e}")))?;
        self.zone_held(&row, &zone, "/dns/zone").await
    }

    fn dns_fields(
        &self,
        row: &ProviderRow,
        under: &str,
        (ttl, proxied): (Option<u32>, Option<bool>),
        errors: &mut Vec<FieldError>,
    ) {
        if !self.capabilities(&row.kind).contains(&Capability::Dns) {
            errors.push(wrong(
                &format!("{under}/provider_id"),
                format!("use an account whose kind offers DNS; accounts of kind {} hold no zones", row.kind),
            ));
            return;
        }
        if ttl.is_some_and(|ttl| !TTL.contains(&ttl)) {
            errors.push(wrong(&format!("{under}/ttl"), "a TTL is 60 to 86,400 seconds; leave it out for the vendor's"));
        }
        if proxied == Some(true) && !self.offers_proxy(&row.kind) {
            errors.push(wrong(
                &format!("{under}/proxied"),
                format!("leave it out: accounts of kind {} have no proxy", row.kind),
            ));
        }
    }

    /// Refuses a zone that the account does not hold. A vendor who does not answer now is asked again
    /// by the job.
    async fn zone_held(&self, row: &ProviderRow, zone: &ZoneName, pointer: &str) -> Result<(), Fault> {
        let Ok(zones) = self.zones_of(row).await else { return Ok(()) };
        if zones.iter().any(|it| it.name == *zone) {
            return Ok(());
        }
        let names: Vec<_> = zones.iter().take(20).map(|it| it.name.to_string()).collect();
        let held = if names.is_empty() { "it holds none".to_owned() } else { format!("it holds {}", names.join(", ")) };
        Err(Fault::field(pointer, format!("use a zone that the account {} holds; {held}", row.name)))
    }
}

/// Whether a node can be given one more name.
fn in_service(node: Option<&NodeRow>) -> Result<(), FieldError> {
    match node {
        Some(node) if matches!(node.state, NodeState::Ready | NodeState::Suspended) => Ok(()),
        Some(node) => Err(wrong("/node_id", format!("use a node that is in service; this one is {}", node.state))),
        None => Err(wrong("/node_id", "use the id of a node")),
    }
}

fn wrong(pointer: &str, message: impl ToString) -> FieldError {
    FieldError { pointer: pointer.to_owned(), message: message.to_string() }
}

fn connected(row: &ProviderRow) -> Result<(), Fault> {
    if row.status == ProviderStatus::Connected {
        return Ok(());
    }
    let said = row.last_message.as_deref().unwrap_or("nothing yet.");
    Err(Fault {
        recovery: Some(Box::new(Code::ProviderNotConnected.recovery())),
        ..Fault::new(
            Code::ProviderNotConnected,
            format!("The account {} is {}; its last check said: {said}", row.name, row.status),
        )
    })
}

/// A node's name in the DNS: `{name}` is the node's name, `{id}` the tail of its id.
pub(super) fn name_filled(template: &str, node: &str, tail: &str) -> String {
    template.replace("{name}", node).replace("{id}", tail)
}

/// The content as it is stored, or what would be right.
fn content(kind: DnsType, text: &str) -> Result<String, String> {
    let text = text.trim();
    match kind {
        DnsType::A => match text.parse::<Ipv4Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err("an A record holds an IPv4 address, such as 192.0.2.1".to_owned()),
        },
        DnsType::Aaaa => match text.parse::<Ipv6Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err("an AAAA record holds an IPv6 address, such as 2001:db8::1".to_owned()),
        },
        DnsType::Cname => {
            let name = text.trim_end_matches('.').to_ascii_lowercase();
            name.parse::<ZoneName>()
                .map(|name| name.to_string())
                .map_err(|_| "a CNAME record holds another whole name, such as www.example.org".to_owned())
        }
        DnsType::Txt if (1..=TEXT_MOST).contains(&text.len()) && !text.chars().any(char::is_control) => {
            Ok(text.to_owned())
        }
        DnsType::Txt => Err("a TXT record holds 1 to 2,048 bytes of text without control characters".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_stored_in_one_form() {
        assert_eq!(content(DnsType::A, " 192.0.2.1 "), Ok("192.0.2.1".to_owned()));
        assert_eq!(content(DnsType::Aaaa, "2001:DB8:0::1"), Ok("2001:db8::1".to_owned()));
        assert_eq!(content(DnsType::Cname, "WWW.example.org."), Ok("www.example.org".to_owned()));
        for (kind, text) in [
            (DnsType::A, "2001:db8::1"),
            (DnsType::Aaaa, "192.0.2.1"),
            (DnsType::Cname, "a b"),
            (DnsType::Txt, ""),
            (DnsType::Txt, "a\u{7}b"),
        ] {
            assert!(content(kind, text).is_err(), "{kind} {text}");
        }
    }

    #[test]
    fn names_are_filled() {
        assert_eq!(name_filled("{name}-{id}.lab", "alpha", "1a2b"), "alpha-1a2b.lab");
        assert_eq!(name_filled("web", "alpha", "1a2b"), "web");
    }
}
