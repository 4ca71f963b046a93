//! The form that makes or changes a pool. The rule: texts come in, a wish or marked fields come out.

use domain::pool::{PoolCreate, PoolPatch};
use serde::{Deserialize, Serialize};

use crate::{Fault, ui::FormReader};

/// The fields, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolForm {
    /// The pool's name.
    pub name: String,
    /// How many ready ones to keep; none kept when empty.
    pub target_ready: String,
    /// How many machines at most; unlimited when empty.
    pub max_size: String,
    /// How machines are cleaned; `replace` when empty.
    pub cleaning: String,
    /// The longest time for which a machine is given, in hours; 720 when empty.
    pub max_duration_hours: String,
}

impl PoolForm {
    /// The wish that was typed.
    ///
    /// # Errors
    /// The fields that cannot be used.
    pub fn read(&self) -> Result<PoolCreate, Fault> {
        let mut reader = FormReader::default();
        let name = reader.required("/name", &self.name, "give it a name");
        let target_ready = reader.number("/target_ready", &self.target_ready);
        let max_size = reader.number("/max_size", &self.max_size);
        let cleaning = reader.optional("/cleaning", &self.cleaning);
        let max_duration_hours = reader.number("/max_duration_hours", &self.max_duration_hours);
        reader.finish(|| {
            Some(PoolCreate { name: name?, target_ready, max_size, cleaning, template: None, max_duration_hours })
        })
    }

    /// The change that was typed. The form comes filled in: an emptied target or limit is taken
    /// away; other empty fields stay as they are, and the name is not changed.
    ///
    /// # Errors
    /// The fields that cannot be used.
    pub fn read_change(&self) -> Result<PoolPatch, Fault> {
        let mut reader = FormReader::default();
        let target_ready = reader.number("/target_ready", &self.target_ready);
        let max_size = reader.number("/max_size", &self.max_size);
        let cleaning = reader.optional("/cleaning", &self.cleaning);
        let max_duration_hours = reader.number("/max_duration_hours", &self.max_duration_hours);
        reader.finish(|| {
            Some(PoolPatch {
                target_ready: Some(target_ready),
                max_size: Some(max_size),
                cleaning,
                template: None,
                max_duration_hours,
            })
        })
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn an_emptied_limit_is_taken_away() {
        let form = PoolForm { target_ready: " 3 ".to_owned(), ..PoolForm::default() };
        let change = form.read_change().unwrap();
        let wanted = PoolPatch { target_ready: Some(Some(3)), max_size: Some(None), ..PoolPatch::default() };
        assert_eq!(change, wanted);
    }

    #[test]
    fn every_wrong_field_is_marked_at_once() {
        let form = PoolForm {
            name: "No Good".to_owned(),
            target_ready: "many".to_owned(),
            cleaning: "magic".to_owned(),
            ..PoolForm::default()
        };
        let fault = form.read().unwrap_err();
        for pointer in ["/name", "/target_ready", "/cleaning"] {
            assert!(fault.field(pointer).is_some(), "{pointer} is not marked");
        }
    }
}
