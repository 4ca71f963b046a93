//! Provider accounts. A form sends texts; what its schema calls a number or a truth becomes one.

use std::collections::BTreeMap;

use app::{
    ports::{Answer, ProvidersPort},
    ui::ActedView,
};
use async_trait::async_trait;
use domain::{
    access::Principal,
    id::ProviderId,
    provider::{ProviderCreate, ProviderView, ProvidersPage},
};
use serde_json::{Map, Value, json};

use super::{Backend, acted, answer};

impl Backend {
    fn schemas(&self, kind: &str) -> (Value, Value) {
        let found = self.services.kinds().into_iter().find(|k| k.kind == kind);
        found.map(|k| (k.settings_schema, k.secret_schema)).unwrap_or_default()
    }
}

/// The texts of a form as its schema wants them; empty ones are left out. What is not of the wanted
/// kind stays a text, so that the adapter names the field.
fn typed(fields: BTreeMap<String, String>, schema: &Value) -> Value {
    let mut object = Map::new();
    for (name, text) in fields {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let kind = &schema["properties"][&name]["type"];
        let is = |wanted: &str| kind == wanted || kind.as_array().is_some_and(|k| k.iter().any(|k| k == wanted));
        let value = if is("integer") || is("number") {
            serde_json::from_str::<serde_json::Number>(text).map(Value::Number).ok()
        } else if is("boolean") {
            match text {
                "true" | "on" | "1" => Some(Value::Bool(true)),
                "false" | "off" | "0" => Some(Value::Bool(false)),
                _ => None,
            }
        } else {
            None
        };
        object.insert(name, value.unwrap_or_else(|| Value::String(text.to_owned())));
    }
    Value::Object(object)
}

#[async_trait]
impl ProvidersPort for Backend {
    async fn list(&self, who: &Principal) -> Answer<ProvidersPage> {
        answer(self.services.providers_show_page(who).await)
    }

    async fn show(&self, who: &Principal, id: ProviderId) -> Answer<ProviderView> {
        answer(self.services.provider_show(who, &id).await)
    }

    async fn connect(
        &self,
        who: &Principal,
        kind: String,
        name: String,
        settings: BTreeMap<String, String>,
        secret: BTreeMap<String, String>,
    ) -> Answer<ProviderView> {
        let (settings_schema, secret_schema) = self.schemas(&kind);
        let wish = ProviderCreate {
            kind,
            name,
            settings: typed(settings, &settings_schema),
            secret: typed(secret, &secret_schema),
        };
        answer(self.services.provider_connect_or_mend(who, wish).await)
    }

    async fn replace_secret(
        &self,
        who: &Principal,
        id: ProviderId,
        secret: BTreeMap<String, String>,
    ) -> Answer<ProviderView> {
        let kind = answer(self.services.provider_show(who, &id).await)?.kind;
        let (_, schema) = self.schemas(&kind);
        answer(self.services.provider_secret_replace(who, &id, typed(secret, &schema)).await)
    }

    async fn act(&self, who: &Principal, id: ProviderId, identity: String) -> Answer<ActedView> {
        acted(self.services.provider_act(who, &id, &identity, json!({})).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_the_schema_says() {
        let schema = json!({"properties": {"ssh_port": {"type": ["integer", "null"]}, "tls": {"type": "boolean"}}});
        let typed = |pairs: &[(&str, &str)]| {
            typed(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(), &schema)
        };
        assert_eq!(
            typed(&[("ssh_port", "2222"), ("tls", "on"), ("endpoint", " https://x "), ("empty", " ")]),
            json!({"ssh_port": 2222, "tls": true, "endpoint": "https://x"})
        );
        assert_eq!(typed(&[("ssh_port", "many")]), json!({"ssh_port": "many"}));
    }
}
