//! What the machines cost, and what keeps more from being acquired. The rule: money is added up in
//! millionths of its unit, and never across currencies; whether something may cost more is decided in
//! the transaction that writes it down, one after the other.

use std::collections::BTreeMap;

use ::providers::{Pair, Selection, choose};
use domain::{
    access::Principal,
    action::{Action, GateResult},
    code::Code,
    job::Subject,
    list::FieldError,
    node::{Cleanup, NodeCreate, NodeState},
    spending::{AcquisitionPolicy, AcquisitionView, Hold, HoldKind, Spend},
    time::{MINUTE, Millis, Timestamp},
    valid::{amount_display, amount_micros, amount_rounded},
};
use serde::{Deserialize, Serialize};
use store::{Conn, NodeRow, PricedNodes, ProviderRow};

use super::{
    Services,
    audit::{Happened, audit_in, event},
    breaker, need_admin,
};
use crate::fault::Fault;

/// Where the rules for acquiring stand among the installation's settings.
const POLICY: &str = "acquisition";

/// The price of what costs nothing at a vendor, such as a stack on a machine of one's own. It has no
/// currency, and only a pause of all acquisition holds it up.
pub(crate) const NO_PRICE: &str = "0";

/// Until a job that is held looks again; it is woken before when what holds it is lifted.
const LOOK_AGAIN: Millis = 5 * MINUTE;

/// The rules as they are stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Stored {
    policy: AcquisitionPolicy,
    changed_at: Option<Timestamp>,
    changed_by: Option<String>,
}

/// A price that would be paid.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    /// Per month, a decimal; `None` if it is not known.
    pub price_monthly: Option<&'a str>,
    /// Its currency.
    pub currency: Option<&'a str>,
    /// The node that bills now and would cost this instead.
    pub instead_of: Option<&'a NodeRow>,
}

/// What holds up a job that has not asked for its server yet.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Why.
    pub code: Code,
    /// The same in one sentence.
    pub reason: String,
    /// How long until it is worth another look.
    pub wait: Millis,
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
    pub async fn acquisition_set(&self, who: &Principal, wish: AcquisitionPolicy) -> Result<AcquisitionView, Fault> {
        let outcome = self.policy_put(who, wish).await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "set-acquisition", Subject::new("setting", POLICY), fault).await;
        }
        outcome?;
        self.acquisition(who).await
    }

    async fn policy_put(&self, who: &Principal, wish: AcquisitionPolicy) -> Result<(), Fault> {
        need_admin(who)?;
        let policy = checked(wish)?;
        let now = self.clock.now();
        let who = who.clone();
        self.write::<(), Fault, _>(move |c| {
            let (who, policy) = (who.clone(), policy.clone());
            Box::pin(async move {
                c.setting_lock(POLICY).await?;
                let line =
                    Happened::ok(&who, "set-acquisition", Subject::new("setting", POLICY), now).detail(words(&policy));
                audit_in(c, line).await?;
                let stored = Stored { policy, changed_at: Some(now), changed_by: Some(who.display_name.clone()) };
                let text = serde_json::to_string(&stored).map_err(|e| Fault::internal(&e))?;
                c.setting_put(POLICY, &text).await?;
                // Whoever waits looks again, and waits on if need be.
                c.jobs_wake(Code::AcquisitionPaused, now).await?;
                c.jobs_wake(Code::SpendingCapReached, now).await?;
                Ok(c.event_insert(&[event("setting", POLICY, now.millis(), None)]).await?)
            })
        })
        .await
    }

    /// The row of the rules is there from the beginning, so that it can be locked.
    pub(super) async fn policy_ensure(&self) -> Result<(), Fault> {
        let text = serde_json::to_string(&Stored::default()).map_err(|e| Fault::internal(&e))?;
        self.write::<(), Fault, _>(move |c| {
            let text = text.clone();
            Box::pin(async move { Ok(c.setting_put_new(POLICY, &text).await.map(drop)?) })
        })
        .await
    }

    /// What keeps a node's server from being asked for now. One that has a server goes on.
    pub(crate) async fn node_held(&self, node: &NodeRow, provider: &ProviderRow) -> Result<Option<Held>, Fault> {
        if node.infra_id.is_some() {
            return Ok(None);
        }
        let now = self.clock.now();
        let policy = stored_in(&mut self.store.read().await?).await?.policy;
        if let Some(hold) = paused(&policy) {
            return Ok(Some(Held { code: Code::AcquisitionPaused, reason: hold.reason, wait: LOOK_AGAIN }));
        }
        let Some(until) = breaker::paused_until(provider, now) else { return Ok(None) };
        let wait = until.since(now).min(LOOK_AGAIN);
        Ok(Some(Held { code: Code::AccountPaused, reason: breaker::paused_words(provider, now), wait }))
    }

    /// Whether `pair` may be tried now in the place of `first`: while a cap is set nothing dearer, since
    /// only the first one was held against the cap.
    pub(crate) async fn pair_within_cap(&self, first: &Pair, pair: &Pair) -> Result<bool, Fault> {
        let policy = stored_in(&mut self.store.read().await?).await?.policy;
        let within = matches!((micros(pair), micros(first)), (Some(price), Some(most)) if price <= most);
        Ok(policy.cap_monthly.is_none() || within)
    }

    /// What keeps a node of this template from being acquired now: asks no vendor, so without a
    /// catalogue that is known only what holds up everything.
    pub(super) async fn template_hold(&self, template: &NodeCreate) -> Result<Option<String>, Fault> {
        let now = self.clock.now();
        let (policy, priced, provider) = {
            let mut c = self.store.read().await?;
            let provider = c.provider_get(&template.provider_id).await?;
            (stored_in(&mut c).await?.policy, c.nodes_spend().await?, provider)
        };
        let held = match template.compose {
            Some(_) => paused(&policy),
            None => hold_of(&policy, &priced),
        };
        if let Some(hold) = held {
            return Ok(Some(hold.reason));
        }
        let Some(provider) = provider else { return Ok(None) };
        if breaker::paused_until(&provider, now).is_some() {
            return Ok(Some(breaker::paused_words(&provider, now)));
        }
        if let Some(compose) = &template.compose {
            return match self.stack_claimed(&provider, &compose.blueprint).await? {
                Some(claimed) => Ok(Some(claimed)),
                None => self.template_misfit(template).await,
            };
        }
        let Some(catalog) = policy.cap_monthly.as_ref().and_then(|_| self.catalog_known(&provider)) else {
            return Ok(None);
        };
        let Ok(chosen) = choose(&catalog, &Selection::from(template)) else { return Ok(None) };
        let asked =
            Asked { price_monthly: Some(&chosen.price_monthly), currency: Some(&chosen.currency), instead_of: None };
        Ok(refusal(&policy, &priced, &asked).map(|hold| hold.reason))
    }
}

/// Refuses what may not cost more now, in the caller's transaction, which must write the price down:
/// whoever comes next sees it. What costs no more than before is never refused.
///
/// # Errors
/// `acquisition_paused`, `spending_cap_reached`.
pub(crate) async fn admit_in(c: &mut Conn, asked: Asked<'_>) -> Result<(), Fault> {
    let policy = policy_locked_in(c).await?;
    if !policy.paused && policy.cap_monthly.is_none() {
        return Ok(());
    }
    let priced = c.nodes_spend().await?;
    refusal(&policy, &priced, &asked).map_or(Ok(()), |hold| Err(fault(&hold)))
}

/// Refuses a retry of a node that needs a new server and may not cost that now, in the caller's
/// transaction, which must write its price down.
///
/// # Errors
/// As [`admit_in`].
pub(crate) async fn retry_admit_in(c: &mut Conn, row: &NodeRow) -> Result<(), Fault> {
    let policy = policy_locked_in(c).await?;
    let priced = c.nodes_spend().await?;
    retry_refusal(&policy, &priced, row).map_or(Ok(()), |hold| Err(fault(&hold)))
}

/// What [`retry_admit_in`] would say now.
pub(super) async fn retry_hold_in(c: &mut Conn, row: &NodeRow) -> Result<Option<Hold>, Fault> {
    let policy = stored_in(c).await?.policy;
    let priced = c.nodes_spend().await?;
    Ok(retry_refusal(&policy, &priced, row))
}

fn retry_refusal(policy: &AcquisitionPolicy, priced: &[PricedNodes], row: &NodeRow) -> Option<Hold> {
    match row.price_monthly.as_deref() {
        // What is not known yet is held against the cap once the job has chosen.
        None => paused(policy),
        price_monthly => {
            let instead_of = bills(row).then_some(row);
            refusal(policy, priced, &Asked { price_monthly, currency: row.currency.as_deref(), instead_of })
        }
    }
}

/// The rules, held until the transaction ends, so that all who decide by them do so one after the
/// other.
async fn policy_locked_in(c: &mut Conn) -> Result<AcquisitionPolicy, Fault> {
    match c.setting_lock(POLICY).await? {
        Some(text) => serde_json::from_str::<Stored>(&text).map(|it| it.policy).map_err(|e| Fault::internal(&e)),
        None => Ok(AcquisitionPolicy::default()),
    }
}

/// The refusal that a hold is.
pub(super) fn fault(hold: &Hold) -> Fault {
    let code = match hold.kind {
        HoldKind::Paused => Code::AcquisitionPaused,
        HoldKind::Cap => Code::SpendingCapReached,
    };
    Fault { recovery: Some(Box::new(code.recovery())), ..Fault::new(code, hold.reason.clone()) }
}

/// The code of an action that only more acquisitions are kept from: its first gate that is closed is
/// one of theirs.
pub(super) fn held_code(action: &Action, hold: Option<&Hold>) -> Option<Code> {
    let closed = action.gates.iter().find(|gate| gate.result == GateResult::Blocked)?;
    match (&*closed.name, hold) {
        ("account-breaker", _) => Some(Code::AccountPaused),
        ("acquisition-open", Some(hold)) => Some(fault(hold).code),
        _ => None,
    }
}

/// Whether a node is among those that are added up, as the database adds them up.
pub(crate) fn bills(row: &NodeRow) -> bool {
    let nothing_left =
        row.cleanup == Cleanup::Done || (row.cleanup == Cleanup::None && row.create_attempted_at.is_none());
    row.state != NodeState::Destroyed && !(row.state == NodeState::Failed && nothing_left)
}

/// The rules and what there is to hold against them.
pub(super) async fn acquisition_in(c: &mut Conn) -> Result<AcquisitionView, Fault> {
    let Stored { policy, changed_at, changed_by } = stored_in(c).await?;
    let priced = c.nodes_spend().await?;
    let (spend, unpriced) = spend_of(&priced);
    let hold = hold_of(&policy, &priced);
    Ok(AcquisitionView { policy, hold, spend, unpriced, changed_at, changed_by })
}

async fn stored_in(c: &mut Conn) -> Result<Stored, Fault> {
    match c.setting_get(POLICY).await? {
        Some(text) => serde_json::from_str(&text).map_err(|e| Fault::internal(&e)),
        None => Ok(Stored::default()),
    }
}

fn checked(wish: AcquisitionPolicy) -> Result<AcquisitionPolicy, Fault> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, message: &str| {
        errors.push(FieldError { pointer: pointer.to_owned(), message: message.to_owned() });
    };
    let text = |field: Option<String>| field.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
    let policy = AcquisitionPolicy {
        paused: wish.paused,
        note: text(wish.note),
        cap_monthly: text(wish.cap_monthly),
        currency: text(wish.currency),
    };
    if policy.note.as_ref().is_some_and(|note| note.chars().count() > 300) {
        wrong("/note", "use at most 300 characters");
    }
    if let Some(cap) = &policy.cap_monthly
        && !matches!(amount_micros(cap), Ok(1..))
    {
        wrong("/cap_monthly", "use a plain decimal above zero, such as 150.00");
    }
    match &policy.currency {
        None if policy.cap_monthly.is_some() => wrong("/currency", "a cap needs its currency, such as EUR"),
        Some(currency) if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) => {
            wrong("/currency", "use the three capital letters of a currency, such as EUR");
        }
        _ => {}
    }
    if errors.is_empty() { Ok(policy) } else { Err(Fault::fields(errors)) }
}

/// The rules in one sentence, for the trail.
fn words(policy: &AcquisitionPolicy) -> String {
    let open = match (policy.paused, &policy.note) {
        (false, _) => "Acquisition is open".to_owned(),
        (true, None) => "Acquisition is paused".to_owned(),
        (true, Some(note)) => format!("Acquisition is paused ({note})"),
    };
    match (&policy.cap_monthly, &policy.currency) {
        (Some(cap), Some(currency)) => format!("{open}; the cap is {} {currency} a month.", amount_display(cap)),
        _ => format!("{open}; there is no cap."),
    }
}

fn paused(policy: &AcquisitionPolicy) -> Option<Hold> {
    let why = policy.note.as_deref().map(|note| format!(": {}", note.trim_end_matches('.'))).unwrap_or_default();
    policy.paused.then(|| Hold { kind: HoldKind::Paused, reason: format!("All acquisition is paused{why}.") })
}

/// The cap in millionths and its currency.
fn cap_of(policy: &AcquisitionPolicy) -> Option<(u64, &str)> {
    Some((amount_micros(policy.cap_monthly.as_deref()?).ok()?, policy.currency.as_deref()?))
}

/// What keeps every acquisition from being begun, whatever it would cost.
fn hold_of(policy: &AcquisitionPolicy, priced: &[PricedNodes]) -> Option<Hold> {
    if let Some(hold) = paused(policy) {
        return Some(hold);
    }
    let (cap, currency) = cap_of(policy)?;
    let spent = spent_of(priced, currency);
    (spent >= cap).then(|| {
        let (spent, cap) = (decimal(spent, 2), amount_rounded(policy.cap_monthly.as_deref().unwrap_or_default()));
        Hold {
            kind: HoldKind::Cap,
            reason: format!("The nodes cost {spent} {currency} a month; the spending cap is {cap} {currency}."),
        }
    })
}

/// Why something may not be paid for now, if it may not.
fn refusal(policy: &AcquisitionPolicy, priced: &[PricedNodes], asked: &Asked<'_>) -> Option<Hold> {
    let price = asked.price_monthly.and_then(|price| amount_micros(price).ok());
    let before = asked
        .instead_of
        .filter(|node| node.currency.as_deref() == asked.currency)
        .and_then(|node| amount_micros(node.price_monthly.as_deref()?).ok());
    if let (Some(price), Some(before)) = (price, before)
        && price <= before
    {
        return None;
    }
    if let Some(hold) = paused(policy) {
        return Some(hold);
    }
    if price == Some(0) && asked.currency.is_none() {
        return None;
    }
    let (cap, currency) = cap_of(policy)?;
    let limit = amount_rounded(policy.cap_monthly.as_deref().unwrap_or_default());
    let (Some(price), Some(of)) = (price, asked.currency) else {
        let reason = format!(
            "What it would cost is not known, so it cannot be held against the spending cap of {limit} {currency}."
        );
        return Some(Hold { kind: HoldKind::Cap, reason });
    };
    if of != currency {
        let reason =
            format!("It is billed in {of}, so it cannot be held against the spending cap of {limit} {currency}.");
        return Some(Hold { kind: HoldKind::Cap, reason });
    }
    let after = spent_of(priced, currency).saturating_sub(before.unwrap_or(0)).saturating_add(price);
    (after > cap).then(|| Hold {
        kind: HoldKind::Cap,
        reason: format!(
            "With it all nodes would cost {} {currency} a month; the spending cap is {limit} {currency}.",
            decimal(after, 2)
        ),
    })
}

fn micros(pair: &Pair) -> Option<u64> {
    amount_micros(pair.price_monthly.as_deref()?).ok()
}

/// The sum of what is known to be billed in a currency, in millionths.
fn spent_of(priced: &[PricedNodes], currency: &str) -> u64 {
    let of = priced.iter().filter(|group| group.currency.as_deref() == Some(currency));
    of.filter_map(|group| {
        Some(amount_micros(group.price_monthly.as_deref()?).ok()?.saturating_mul(u64::from(group.nodes)))
    })
    .fold(0, u64::saturating_add)
}

/// The sums by currency, and how many nodes have no price that is known.
pub(super) fn spend_of(priced: &[PricedNodes]) -> (Vec<Spend>, u32) {
    let mut sums: BTreeMap<&str, (u64, u64, u32)> = BTreeMap::new();
    let mut unpriced = 0;
    for group in priced {
        let monthly = group.price_monthly.as_deref().and_then(|price| amount_micros(price).ok());
        if group.currency.is_none() && monthly == Some(0) {
            continue;
        }
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
