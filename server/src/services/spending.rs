//! What the machines cost, and what keeps more from being acquired. The rule: money is added up in
//! millionths of its unit, and never across currencies.

use std::collections::BTreeMap;

use domain::{
    access::Principal,
    spending::{AcquisitionPolicy, AcquisitionView, Hold, HoldKind, Spend},
    time::Timestamp,
    valid::amount_micros,
};
use serde::{Deserialize, Serialize};
use store::{Conn, PricedNodes};

use super::{Services, need_admin};
use crate::fault::Fault;

/// Where the rules for acquiring stand among the installation's settings.
const POLICY: &str = "acquisition";

/// The rules as they are stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Stored {
    policy: AcquisitionPolicy,
    changed_at: Option<Timestamp>,
    changed_by: Option<String>,
}

impl Services {
    /// The rules for acquiring, and what is spent.
    ///
    /// # Errors
    /// `forbidden` for everybody but administrators.
    pub async fn acquisition(&self, who: &Principal) -> Result<AcquisitionView, Fault> {
        need_admin(who)?;
        let mut c = self.store.read().await?;
        acquisition_in(&mut c).await
    }

    /// Sets the rules for acquiring.
    ///
    /// # Errors
    /// `validation` names the field that cannot be used.
    pub async fn acquisition_set(&self, who: &Principal, _wish: AcquisitionPolicy) -> Result<AcquisitionView, Fault> {
        need_admin(who)?;
        Err(Fault::not_found("setting"))
    }
}

/// The rules and what there is to hold against them.
pub(super) async fn acquisition_in(c: &mut Conn) -> Result<AcquisitionView, Fault> {
    let stored = c.setting_get(POLICY).await?;
    let Stored { policy, changed_at, changed_by } = match stored {
        Some(text) => serde_json::from_str(&text).map_err(|e| Fault::internal(&e))?,
        None => Stored::default(),
    };
    let (spend, unpriced) = spend_of(&c.nodes_spend().await?);
    let hold = hold_of(&policy, &spend);
    Ok(AcquisitionView { policy, hold, spend, unpriced, changed_at, changed_by })
}

/// What keeps every acquisition from being begun, whatever it would cost.
fn hold_of(policy: &AcquisitionPolicy, spend: &[Spend]) -> Option<Hold> {
    if policy.paused {
        let why = policy.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        return Some(Hold { kind: HoldKind::Paused, reason: format!("All acquisition is paused{why}.") });
    }
    let (cap, currency) = (policy.cap_monthly.as_deref()?, policy.currency.as_deref()?);
    let spent = spend.iter().find(|it| it.currency == currency)?;
    let reached = amount_micros(&spent.monthly).ok()? >= amount_micros(cap).ok()?;
    reached.then(|| Hold {
        kind: HoldKind::Cap,
        reason: format!("The nodes cost {} {currency} a month; the spending cap is {cap} {currency}.", spent.monthly),
    })
}

/// The sums by currency, and how many nodes have no price that is known.
pub(super) fn spend_of(priced: &[PricedNodes]) -> (Vec<Spend>, u32) {
    let mut sums: BTreeMap<&str, (u64, u64, u32)> = BTreeMap::new();
    let mut unpriced = 0;
    for group in priced {
        let monthly = group.price_monthly.as_deref().and_then(|price| amount_micros(price).ok());
        let (Some(currency), Some(monthly)) = (group.currency.as_deref(), monthly) else {
            unpriced += group.nodes;
            continue;
        };
        let hourly = group.price_hourly.as_deref().and_then(|price| amount_micros(price).ok()).unwrap_or(0);
        let sum = sums.entry(currency).or_default();
        sum.0 += monthly * u64::from(group.nodes);
        sum.1 += hourly * u64::from(group.nodes);
        sum.2 += group.nodes;
    }
    let spend = sums.into_iter().map(|(currency, (monthly, hourly, nodes))| Spend {
        currency: currency.to_owned(),
        monthly: decimal(monthly, 2),
        hourly: decimal(hourly, 4),
        nodes,
    });
    (spend.collect(), unpriced)
}

/// Millionths as a decimal, rounded to so many places (up to 6).
fn decimal(micros: u64, places: u32) -> String {
    let unit = 10_u64.pow(6 - places.min(6));
    let rounded = (micros + unit / 2) / unit;
    let scale = 10_u64.pow(places.min(6));
    format!("{}.{:0width$}", rounded / scale, rounded % scale, width = places as usize)
}
