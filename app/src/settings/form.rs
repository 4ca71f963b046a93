//! The form that sets the rules for acquiring. The rule: texts come in, a wish or marked fields come
//! out.

use domain::{spending::AcquisitionPolicy, valid::amount_micros};
use serde::{Deserialize, Serialize};

use crate::{Fault, ui::FormReader};

/// The fields, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AcquisitionForm {
    /// `true` if no acquisition is begun at all.
    pub paused: String,
    /// Why.
    pub note: String,
    /// The most per month; none when empty.
    pub cap_monthly: String,
    /// The currency of the cap.
    pub currency: String,
}

impl AcquisitionForm {
    /// The rules that were typed. A currency without a cap says nothing.
    ///
    /// # Errors
    /// The fields that cannot be used.
    pub fn read(&self) -> Result<AcquisitionPolicy, Fault> {
        let mut reader = FormReader::default();
        let cap_monthly = FormReader::text(&self.cap_monthly);
        reader.check("/cap_monthly", cap_monthly.as_deref().map(amount_micros));
        let currency = match &cap_monthly {
            None => None,
            Some(_) => match FormReader::text(&self.currency).map(|text| text.to_ascii_uppercase()) {
                Some(code) if code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()) => Some(code),
                _ => {
                    reader.check::<(), _>("/currency", Some(Err("three letters, such as EUR")));
                    None
                }
            },
        };
        reader.finish(|| {
            Some(AcquisitionPolicy {
                paused: self.paused == "true",
                note: FormReader::text(&self.note),
                cap_monthly,
                currency,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(paused: &str, cap_monthly: &str, currency: &str) -> AcquisitionForm {
        AcquisitionForm {
            paused: paused.to_owned(),
            cap_monthly: cap_monthly.to_owned(),
            currency: currency.to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn a_cap_has_a_currency() {
        let policy = form("true", " 50 ", "eur").read().unwrap();
        assert!(policy.paused);
        assert_eq!((policy.cap_monthly.as_deref(), policy.currency.as_deref()), (Some("50"), Some("EUR")));
        assert!(form("", "50", "").read().unwrap_err().field("/currency").is_some());
        assert!(form("", "much", "EUR").read().unwrap_err().field("/cap_monthly").is_some());
    }

    #[test]
    fn without_a_cap_nothing_is_left_of_it() {
        assert_eq!(form("", "", "EUR").read().unwrap(), AcquisitionPolicy::default());
    }
}
