//! The acquire form. The rule: texts come in, a wish or marked fields come out; what the texts mean
//! beyond their form is the server's to judge.

use std::collections::BTreeMap;

use domain::{
    blueprint::ComposeCreate,
    node::{DnsWish, Fallback, NodeCreate},
    valid::{CockpitTemplate, NodeName, ZoneName, amount_micros},
};
use serde::{Deserialize, Serialize};

use crate::{
    Fault,
    ui::{FormReader, zone_parts},
};

/// The fields, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AcquireForm {
    /// The account.
    pub provider_id: String,
    /// The node's name.
    pub name: String,
    /// The server type; the vendor's smallest when empty.
    pub server_type: String,
    /// The location; the first with capacity when empty.
    pub location: String,
    /// The image; the newest Debian when empty.
    pub image: String,
    /// The ceiling per month.
    pub max_price_monthly: String,
    /// The account and the zone, as `prv_…/example.org`; no DNS name when empty.
    pub dns_zone: String,
    /// The name within the zone; the node's name when empty.
    pub dns_name: String,
    /// The pool; none when empty.
    pub pool: String,
    /// The cockpit URL's template; none when empty.
    pub cockpit_url: String,
    /// The profile; `base` when empty.
    pub profile: String,
    /// `true` if the cockpit URL must answer before the node is ready.
    pub verify_cockpit: String,
    /// `true` if it gets no IPv4 address.
    pub ipv6_only: String,
    /// What to try first when there is no capacity, as `type/location`.
    pub fallback_1: String,
    /// What to try after that.
    pub fallback_2: String,
    /// What to try last.
    pub fallback_3: String,
    /// Firewalls at the vendor, by name or id, separated by commas.
    pub firewalls: String,
    /// Labels at the vendor, `key=value`, one a line.
    pub labels: String,
    /// The blueprint of a stack.
    pub blueprint: String,
    /// Its version; the blueprint's own when empty.
    pub tag: String,
    /// The values of its variables; the blueprint's own where empty.
    pub variables: BTreeMap<String, String>,
    /// `true` if a pool keeps a backup of what it takes away.
    pub backup: String,
}

impl AcquireForm {
    /// The template that was typed, with what the form does not ask for as it was `before`; `None` when
    /// no account is chosen.
    ///
    /// # Errors
    /// The fields that cannot be used.
    pub fn read_template(&self, before: Option<NodeCreate>) -> Result<Option<NodeCreate>, Fault> {
        if self.provider_id.trim().is_empty() {
            return Ok(None);
        }
        let mut wish = self.read()?;
        if let Some(before) = before.filter(|before| before.provider_id == wish.provider_id) {
            wish.user_data = before.user_data;
            wish.keep_failed_for = before.keep_failed_for;
            if let (Some(dns), Some(was)) = (&mut wish.dns, before.dns) {
                (dns.ttl, dns.proxied) = (was.ttl, was.proxied);
            }
        }
        Ok(Some(wish))
    }

    /// The wish that was typed. Field errors carry the pointers of the API: `/name`, `/dns/zone`.
    ///
    /// # Errors
    /// The fields that cannot be used.
    pub fn read(&self) -> Result<NodeCreate, Fault> {
        let mut reader = FormReader::default();
        let provider_id = reader.required("/provider_id", &self.provider_id, "choose an account");
        let name: Option<NodeName> = reader.required("/name", &self.name, "give it a name");
        let pool = reader.optional("/pool", &self.pool);
        let profile = reader.optional("/profile", &self.profile);
        let cockpit_url = FormReader::text(&self.cockpit_url);
        reader.check("/cockpit_url", cockpit_url.as_deref().map(CockpitTemplate::parse));
        let max_price_monthly = FormReader::text(&self.max_price_monthly);
        reader.check("/max_price_monthly", max_price_monthly.as_deref().map(amount_micros));
        let fallbacks: Vec<Fallback> =
            [&self.fallback_1, &self.fallback_2, &self.fallback_3].into_iter().filter_map(|text| pair(text)).collect();
        let dns = FormReader::text(&self.dns_zone).and_then(|chosen| {
            let (account, zone) = zone_parts(&chosen).unwrap_or_default();
            let provider_id = reader.required("/dns/zone", account, "choose a zone")?;
            let zone: ZoneName = reader.required("/dns/zone", zone, "choose a zone")?;
            let name = FormReader::text(&self.dns_name).unwrap_or_else(|| self.name.trim().to_owned());
            Some(DnsWish { provider_id, zone: zone.to_string(), name, ttl: None, proxied: None })
        });
        let compose = FormReader::text(&self.blueprint).and_then(|_| {
            let blueprint = reader.optional("/compose/blueprint", &self.blueprint)?;
            let given = self.variables.iter().filter(|(_, value)| !value.is_empty());
            Some(ComposeCreate {
                blueprint,
                variables: given.map(|(name, value)| (name.clone(), value.clone())).collect(),
                tag: FormReader::text(&self.tag),
                backup: self.backup == "true",
            })
        });
        let labels = labels(&self.labels);
        reader.check("/labels", Some(labels.as_ref().map(|_| ()).map_err(ToString::to_string)));
        let firewalls = self.firewalls.split([',', '\n']).filter_map(FormReader::text).collect();
        reader.finish(|| {
            Some(NodeCreate {
                provider_id: provider_id?,
                name: name?.as_str().to_owned(),
                server_type: FormReader::text(&self.server_type),
                location: FormReader::text(&self.location),
                image: FormReader::text(&self.image),
                fallbacks,
                max_price_monthly,
                dns,
                pool,
                cockpit_url,
                profile,
                verify_cockpit: (self.verify_cockpit == "true").then_some(true),
                keep_failed_for: None,
                user_data: None,
                ipv4: (self.ipv6_only == "true").then_some(false),
                labels: labels.ok()?,
                firewalls,
                compose,
            })
        })
    }
}

/// Labels, one a line.
fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let lines = text.lines().filter_map(FormReader::text);
    lines
        .map(|line| match line.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
            _ => Err(format!("write key=value, one a line; “{line}” is not")),
        })
        .collect()
}

/// A pair of type and location as the form's choices send it.
fn pair(text: &str) -> Option<Fallback> {
    let (server_type, location) = text.trim().split_once('/')?;
    Some(Fallback { server_type: server_type.to_owned(), location: location.to_owned() })
}

#[cfg(test)]
mod tests {

    use super::*;

    fn filled() -> AcquireForm {
        AcquireForm { provider_id: "prv_1".to_owned(), name: " alpha ".to_owned(), ..AcquireForm::default() }
    }

    #[test]
    fn what_is_left_empty_is_left_to_the_server() {
        let wish = filled().read().unwrap();
        assert_eq!(wish.name, "alpha");
        assert_eq!((wish.server_type, wish.pool, wish.dns), (None, None, None));
        assert_eq!((wish.verify_cockpit, wish.fallbacks.len()), (None, 0));
    }

    #[test]
    fn fallbacks_keep_their_order() {
        let form = AcquireForm {
            fallback_1: "cx32/nbg1".to_owned(),
            fallback_3: "cax11/hel1".to_owned(),
            verify_cockpit: "true".to_owned(),
            ..filled()
        };
        let wish = form.read().unwrap();
        let pairs: Vec<_> = wish.fallbacks.iter().map(|f| (f.server_type.as_str(), f.location.as_str())).collect();
        assert_eq!(pairs, [("cx32", "nbg1"), ("cax11", "hel1")]);
        assert_eq!(wish.verify_cockpit, Some(true));
    }

    #[test]
    fn a_stack_is_made_from_a_blueprint() {
        let form = AcquireForm {
            blueprint: "shop".to_owned(),
            variables: [("A", "1"), ("B", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            backup: "true".to_owned(),
            ..filled()
        };
        let compose = form.read().unwrap().compose.unwrap();
        assert_eq!((compose.blueprint.as_str(), compose.tag, compose.backup), ("shop", None, true));
        assert_eq!(compose.variables.into_keys().collect::<Vec<_>>(), ["A"]);
        let wrong = AcquireForm { blueprint: "../shop".to_owned(), ..filled() };
        assert!(wrong.read().unwrap_err().field("/compose/blueprint").is_some());
    }

    #[test]
    fn a_template_keeps_what_the_form_does_not_ask_for() {
        let before = NodeCreate { user_data: Some("#cloud-config".to_owned()), ..filled().read().unwrap() };
        let kept = filled().read_template(Some(before.clone())).unwrap().unwrap();
        assert_eq!(kept.user_data.as_deref(), Some("#cloud-config"));
        let other = AcquireForm { provider_id: "prv_2".to_owned(), ..filled() };
        assert_eq!(other.read_template(Some(before)).unwrap().unwrap().user_data, None);
        assert_eq!(AcquireForm::default().read_template(None).unwrap(), None);
        let wrong = AcquireForm { name: String::new(), ..filled() };
        assert!(wrong.read_template(None).unwrap_err().field("/name").is_some());
    }

    #[test]
    fn firewalls_and_labels_are_lists() {
        let form = AcquireForm {
            firewalls: "web, 42,".to_owned(),
            labels: "team=a\r\n\r\n stage = \n".to_owned(),
            ..filled()
        };
        let wish = form.read().unwrap();
        assert_eq!(wish.firewalls, ["web", "42"]);
        let labels: Vec<_> = wish.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(labels, [("stage", ""), ("team", "a")]);
        let wrong = AcquireForm { labels: "team".to_owned(), ..filled() };
        assert!(wrong.read().unwrap_err().field("/labels").is_some());
    }

    #[test]
    fn every_wrong_field_is_marked_at_once() {
        let form = AcquireForm {
            name: "No Good".to_owned(),
            pool: "Bad Pool".to_owned(),
            cockpit_url: "javascript:alert(1)".to_owned(),
            max_price_monthly: "much".to_owned(),
            dns_zone: "prv_2/".to_owned(),
            ..AcquireForm::default()
        };
        let fault = form.read().unwrap_err();
        for pointer in ["/provider_id", "/name", "/pool", "/cockpit_url", "/max_price_monthly", "/dns/zone"] {
            assert!(fault.field(pointer).is_some(), "{pointer} is not marked");
        }
    }

    #[test]
    fn the_dns_name_is_the_nodes_unless_another_is_typed() {
        let form = AcquireForm { dns_zone: "prv_2/example.org".to_owned(), ..filled() };
        let wish = form.read().unwrap().dns.unwrap();
        assert_eq!(
            (wish.provider_id.as_str(), wish.zone.as_str(), wish.name.as_str()),
            ("prv_2", "example.org", "alpha")
        );
        let other = AcquireForm { dns_name: "www".to_owned(), ..form };
        assert_eq!(other.read().unwrap().dns.unwrap().name, "www");
    }
}
