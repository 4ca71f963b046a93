//! The form that asks for a service. The rule: texts come in, a wish or marked fields come out.

use domain::allocation::AllocationCreate;
use serde::{Deserialize, Serialize};

use crate::{Fault, ui::FormReader};

/// The fields, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestForm {
    /// The pool's name.
    pub pool: String,
    /// For how many hours; the usual time when empty.
    pub duration_hours: String,
}

impl RequestForm {
    /// The wish that was typed.
    ///
    /// # Errors
    /// The fields that cannot be used.
    pub fn read(&self) -> Result<AllocationCreate, Fault> {
        let mut reader = FormReader::default();
        let pool = reader.required("/pool", &self.pool, "choose a pool");
        let duration_hours = reader.number("/duration_hours", &self.duration_hours);
        reader.finish(|| {
            Some(AllocationCreate { pool: pool?, user_id: None, duration_hours, ssh_pub_key: None, cost_cents: None })
        })
    }
}
