//! Hetzner Cloud.
use std::{collections::BTreeMap, sync::Arc};

use domain::{
    code::Code,
    provider::{Capability, OperationSchema},
};
use serde_json::{Value, json};

use crate::{Account, AccountAccess, FieldError, ProviderAdapter, ProviderError};

/// The adapter.
#[derive(Debug, Clone, Copy)]
pub struct HetznerAdapter;

impl ProviderAdapter for HetznerAdapter {
    fn kind(&self) -> &'static str {
        "hetzner"
    }
    fn display_name(&self) -> &'static str {
        "Hetzner Cloud"
    }
    fn capabilities(&self) -> &'static [Capability] {
        &[Capability::Provision, Capability::Destroy, Capability::HealthCheck]
    }
    fn settings_schema(&self) -> Value {
        json!({})
    }
    fn secret_schema(&self) -> Value {
        json!({})
    }
    fn operations(&self) -> BTreeMap<String, OperationSchema> {
        BTreeMap::new()
    }
    fn validate(&self, settings: &Value, secret: Option<&Value>) -> Result<(), Vec<FieldError>> {
        let mut errors = crate::schema::errors(&self.settings_schema(), settings, "/settings");
        if let Some(secret) = secret {
            errors.extend(crate::schema::errors(&self.secret_schema(), secret, "/secret"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
    fn open(&self, _account: AccountAccess) -> Result<Arc<dyn Account>, ProviderError> {
        Err(ProviderError::new(Code::ProviderAcquisitionUnavailable, "not yet"))
    }
}
