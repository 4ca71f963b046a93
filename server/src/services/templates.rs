//! Whether what is asked for fits its blueprint, above all a pool's template, which outlives the version
//! that it was written for. The rule: what does not fit is said where it is seen, with its field.

use domain::{blueprint::ComposeCreate, list::FieldError, node::NodeCreate, valid::BlueprintName};
use store::{BlueprintRow, Conn, PoolRow};

use super::{
    Services,
    blueprints::{StackChoice, chosen},
};
use crate::fault::Fault;

impl Services {
    /// Why nothing can be acquired from a pool's template any more although it could be once: its
    /// blueprint was followed by a version that it does not fit, or what it names is not there any
    /// more. Asks no vendor.
    pub(super) async fn template_misfit(&self, template: &NodeCreate) -> Result<Option<String>, Fault> {
        let Some(compose) = &template.compose else { return Ok(None) };
        let newest = self.store.read().await?.blueprint_newest(&compose.blueprint).await?;
        Ok(misfit(template, newest.as_ref()))
    }
}

/// What a request says of its stack, checked against the blueprint as it is stored.
pub(super) fn fits(
    spec: &NodeCreate,
    compose: &ComposeCreate,
    newest: Option<&BlueprintRow>,
    errors: &mut Vec<FieldError>,
) -> Option<StackChoice> {
    let mut wrong = |pointer: &str, message: &str| {
        errors.push(FieldError { pointer: pointer.to_owned(), message: message.to_owned() });
    };
    let Some(row) = newest.filter(|row| row.retired_at.is_none()) else {
        wrong("/compose/blueprint", "use the name of a blueprint that is stored");
        return None;
    };
    let bare = row.definition.cockpit.is_none();
    if spec.verify_cockpit == Some(true) && spec.cockpit_url.is_none() && bare {
        wrong("/verify_cockpit", "verifying the cockpit needs a blueprint with one, or a cockpit_url");
    }
    if bare && spec.cockpit_url.as_deref().is_some_and(|url| url.contains("{port}")) {
        wrong("/cockpit_url", "the blueprint names no cockpit, so there is nothing for {port}");
    }
    match chosen(row, compose) {
        Ok(choice) => Some(choice),
        Err(refused) => {
            for FieldError { pointer, message } in refused {
                wrong(&format!("/compose{pointer}"), &message);
            }
            None
        }
    }
}

/// Why a template does not fit its blueprint, in words.
pub(super) fn misfit(template: &NodeCreate, newest: Option<&BlueprintRow>) -> Option<String> {
    let compose = template.compose.as_ref()?;
    let mut errors = Vec::new();
    fits(template, compose, newest, &mut errors);
    let told: Vec<_> = errors.into_iter().map(|it| format!("{}: {}", it.pointer, it.message)).collect();
    (!told.is_empty()).then(|| {
        format!(
            "The template does not fit the blueprint {} any more ({}). Change the template, or the blueprint.",
            compose.blueprint,
            told.join("; ")
        )
    })
}

/// Holds the blueprint of a template that is written down, in the caller's transaction: it fits, and is
/// not retired before the pool is found to name it.
pub(super) async fn template_hold_in(c: &mut Conn, template: Option<&NodeCreate>) -> Result<(), Fault> {
    let Some(compose) = template.and_then(|template| template.compose.as_ref()) else { return Ok(()) };
    let unknown = || Fault::field("/template/compose/blueprint", "use the name of a blueprint that is stored");
    let row = c.blueprint_newest(&compose.blueprint).await?.ok_or_else(unknown)?;
    let held = c.blueprint_lock(&row.name, row.version).await?;
    held.filter(|head| head.retired_at.is_none()).ok_or_else(unknown)?;
    chosen(&row, compose).map(drop).map_err(|errors| {
        let under = |it: FieldError| FieldError { pointer: format!("/template/compose{}", it.pointer), ..it };
        Fault::fields(errors.into_iter().map(under).collect())
    })
}

/// The pools whose templates name a blueprint, by name.
pub(super) async fn pools_naming_in(c: &mut Conn, name: &BlueprintName) -> Result<Vec<PoolRow>, Fault> {
    let names = |it: &NodeCreate| it.compose.as_ref().is_some_and(|compose| compose.blueprint == *name);
    let mut pools = c.pools_all().await?;
    pools.retain(|pool| pool.template.as_ref().is_some_and(names));
    Ok(pools)
}
