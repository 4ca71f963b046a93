//! The form that changes a pool's template: the fields of the form that acquires a node, for servers
//! and stacks alike. The rule: it is read, with catalogue and blueprints, only when it is asked for.

use domain::{
    id::ProviderId,
    node::{AcquireOptions, NodeCreate},
    pool::PoolView,
};
use leptos::prelude::*;

use super::api::SetPoolTemplate;
use crate::{
    nodes::{Asked, Choosing, Fields, Template, fields},
    routes,
    routes::testid,
    ui::{Code, FormFault, LinkButton, Section, Submit, fault_of},
};

/// What must outlive a refetch of the page.
#[derive(Clone, Copy)]
pub(super) struct Templating {
    /// The action.
    pub action: ServerAction<SetPoolTemplate>,
    /// What was chosen. It belongs to the page: what is made while the form is drawn ends with that
    /// drawing.
    choosing: Choosing,
    /// Whether it was filled with the template that is changed.
    begun: StoredValue<bool>,
}

impl Templating {
    pub fn new(asked: Asked) -> Self {
        Self { action: ServerAction::new(), choosing: Choosing::new(asked, None), begun: StoredValue::new(false) }
    }

    /// The account whose catalogue or blueprints are wanted.
    pub fn account(self) -> Option<ProviderId> {
        self.choosing.account.get()
    }

    fn choosing(self, before: Option<&NodeCreate>) -> Choosing {
        if let Some(before) = before.filter(|_| !self.begun.get_value()) {
            self.begun.set_value(true);
            self.choosing.begin(before);
        }
        self.choosing
    }
}

/// A template in one line.
pub(super) fn words(template: &NodeCreate) -> String {
    match &template.compose {
        Some(compose) => {
            let tag = compose.tag.as_deref().map(|tag| format!(", tag {tag}")).unwrap_or_default();
            let backup = if compose.backup { ", with backups" } else { "" };
            format!("blueprint {}{tag}{backup}", compose.blueprint)
        }
        None => {
            let parts = [&template.server_type, &template.location, &template.image];
            let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
            if parts.is_empty() { "the smallest server there is".to_owned() } else { parts.join(", ") }
        }
    }
}

/// The section: what the template is, and the form once it was asked for.
pub(super) fn section(pool: &PoolView, options: Option<AcquireOptions>, state: Templating) -> impl IntoView + use<> {
    let body = match options {
        Some(options) => form(pool, options, state).into_any(),
        None => {
            let words = pool.template.as_ref().map(words);
            // Without JavaScript the form is drawn once, so that it must begin with the right account.
            let href = match &pool.template {
                Some(template) => routes::pool_template_through(&pool.name, &template.provider_id),
                None => routes::pool_template(&pool.name),
            };
            view! {
                <p>
                    <Code value=words />
                </p>
                <p>
                    <LinkButton href=href>"Change template"</LinkButton>
                </p>
            }
            .into_any()
        }
    };
    view! {
        <Section title="Template" id="template" note="What is acquired to keep machines ready.">
            {body}
        </Section>
    }
}

fn form(pool: &PoolView, options: AcquireOptions, state: Templating) -> impl IntoView + use<> {
    let fault = fault_of(state.action.value());
    let pending = state.action.pending();
    let before = pool.template.clone();
    let choosing = state.choosing(before.as_ref());
    let template = Template { pool: pool.name.clone(), before };
    let Fields { body, price, prices } = fields(options, choosing, fault, Some(template));
    let name = pool.name.to_string();
    view! {
        <div class="panel acquire" data-testid=testid::POOL_TEMPLATE>
            <ActionForm action=state.action attr:class="form">
                <input type="hidden" name="pool" value=name />
                {body}
                <div class="form-end">
                    <Submit busy=pending>"Change template"</Submit>
                    {price}
                </div>
            </ActionForm>
            <FormFault fault=fault />
        </div>
        {prices}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_in_one_line() {
        let of = |more: serde_json::Value| {
            let mut all = serde_json::json!({"provider_id": "prv_1", "name": "a"});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            words(&serde_json::from_value(all).unwrap())
        };
        assert_eq!(of(serde_json::json!({})), "the smallest server there is");
        assert_eq!(of(serde_json::json!({"server_type": "cx23", "image": "debian-13"})), "cx23, debian-13");
        let compose = serde_json::json!({"compose": {"blueprint": "shop", "tag": "2", "backup": true}});
        assert_eq!(of(compose), "blueprint shop, tag 2, with backups");
    }
}
