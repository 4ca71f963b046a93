//! What the machines cost, and what keeps more from being acquired. The rule: money is a decimal in
//! a named currency, and what cannot be added up is not added up.

use serde::{Deserialize, Serialize};

use crate::{action::Verdict, state::words, time::Timestamp};

words! {
    /// What keeps every acquisition from being begun.
    HoldKind {
        /// An administrator paused all acquisition.
        Paused = "paused",
        /// The spending cap is reached.
        Cap = "cap",
    }
}

/// Something that keeps every acquisition from being begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hold {
    /// What it is.
    pub kind: HoldKind,
    /// One sentence for people.
    pub reason: String,
}

impl Hold {
    /// The gate that it is.
    pub fn verdict(hold: Option<&Self>) -> Verdict {
        match hold {
            None => Verdict::pass("acquisition-open", "Acquisition is open."),
            Some(Hold { kind: HoldKind::Paused, reason }) => Verdict::blocked(
                "acquisition-open",
                reason.clone(),
                "One switch stops everything that would cost more money; what runs goes on.",
                "Open Settings and let acquisition go on.",
                "Yes: nothing was asked of the vendor.",
            ),
            Some(Hold { kind: HoldKind::Cap, reason }) => Verdict::blocked(
                "acquisition-open",
                reason.clone(),
                "Hangar never acquires beyond the spending cap.",
                "Destroy what is not needed, or raise the cap under Settings.",
                "Yes: nothing was asked of the vendor.",
            ),
        }
    }
}

/// The rules for acquiring, as an administrator sets them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AcquisitionPolicy {
    /// Whether no acquisition is begun at all.
    #[serde(default)]
    pub paused: bool,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The most that all nodes together may cost a month, a decimal; nodes whose price is not known
    /// are then refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_monthly: Option<String>,
    /// The currency of the cap, such as `EUR`; nodes that are billed in another are then refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

/// What the machines of one currency cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Spend {
    /// The currency.
    pub currency: String,
    /// Per month, a decimal.
    pub monthly: String,
    /// Per hour that has begun, a decimal.
    pub hourly: String,
    /// Nodes that it is the sum of.
    pub nodes: u32,
}

/// The rules for acquiring and what there is to hold against them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AcquisitionView {
    /// The rules.
    pub policy: AcquisitionPolicy,
    /// What keeps acquisition from going on now.
    pub hold: Option<Hold>,
    /// What all live nodes cost, by currency.
    pub spend: Vec<Spend>,
    /// Live nodes whose price is not known.
    pub unpriced: u32,
    /// When the rules were changed last.
    pub changed_at: Option<Timestamp>,
    /// By whom.
    pub changed_by: Option<String>,
}
