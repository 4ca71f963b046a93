//! The panel of available actions. The rule: what the evaluator says is shown whole: also a blocked
//! action stays visible, with every gate and the four fields of guidance; an enabled one is a real
//! form that works without JavaScript, and a dangerous one asks first.

use domain::{
    action::{Action, Gate, GateResult},
    id::JobId,
};
use leptos::{either::EitherOf3, prelude::*};
use serde::{Deserialize, Serialize};
use web_sys::SubmitEvent;

use super::{
    Choice, CloseDialog, Dialog, FaultView, LinkButton, Notice, OpenDialog, RecoveryFields, Status, Submit, Tone,
    behaviour::close_around,
};
use crate::{Fault, routes, routes::testid};

/// What carrying out an action answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActedView {
    /// The job that does it, unless it is done.
    pub job_id: Option<JobId>,
    /// What happened, in one sentence.
    pub message: String,
}

/// The question before a dangerous action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// The action's identity.
    pub identity: &'static str,
    /// What it does to what and what follows: "Destroys the server of alpha at acct and its record
    /// alpha.example.org. This cannot be undone."
    pub consequence: String,
    /// The name to type, only for what cannot be undone.
    pub type_name: Option<String>,
    /// What there is to choose before it is done.
    pub choice: Option<ConfirmChoice>,
}

/// What there is to choose in a question; the form sends it by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmChoice {
    /// The name under which it is sent.
    pub name: &'static str,
    /// The label.
    pub label: &'static str,
    /// What can be chosen; the first one is, to begin with.
    pub choices: Vec<Choice>,
    /// What is chosen, for pages that do not send the form.
    pub chosen: RwSignal<String>,
}

/// The available actions of a thing, enabled ones first.
#[component]
pub fn ActionsPanel(
    /// The actions, as the evaluator says.
    actions: Vec<Action>,
    /// The thing's id; the form's field `id`.
    #[prop(into)]
    id: String,
    /// The server function that acts, such as `ActOnNode::url()`; it takes `id` and `identity`.
    url: &'static str,
    /// Called with the identity instead of sending the form, where JavaScript runs.
    #[prop(into)]
    on_act: Callback<String>,
    /// The identity that is under way.
    #[prop(optional, into)]
    pending: Signal<Option<String>>,
    /// The questions before dangerous actions.
    #[prop(optional)]
    confirms: Vec<Confirm>,
    /// Where actions lead that are a page or form of their own: (identity, address). Reading the
    /// history leads to `#history` by itself.
    #[prop(optional)]
    links: Vec<(&'static str, String)>,
) -> impl IntoView {
    let entry = |action: Action| {
        let label = action.label.clone();
        let link = links.iter().find(|(identity, _)| *identity == action.identity).map(|(_, href)| href.clone());
        let link = link.or_else(|| (action.method == "GET").then(|| "#history".to_owned()));
        let confirm = confirms.iter().find(|confirm| confirm.identity == action.identity).cloned();
        let does = match (action.enabled, link) {
            (false, _) => EitherOf3::A(()),
            (true, Some(href)) => {
                let label = label.clone();
                EitherOf3::B(view! { <LinkButton href=href small=true>{label}</LinkButton> })
            }
            (true, None) => EitherOf3::C(act_form(&action, id.clone(), url, on_act, pending, confirm)),
        };
        let state = if action.enabled { "enabled" } else { "blocked" };
        let word = if action.enabled { "Enabled" } else { "Blocked" };
        let tone = if action.enabled { Tone::Ok } else { Tone::Bad };
        let (identity, enabled, description) =
            (action.identity.clone(), action.enabled.to_string(), action.description.clone());
        let policy = policy(action);
        view! {
            <li
                class=format!("action action-{state}")
                data-testid=testid::ACTION
                data-identity=identity
                data-enabled=enabled
            >
                <div class="action-head">
                    <div class="action-text">
                        <p class="action-label">{label} " " <Status word=word tone_is=tone /></p>
                        <p class="muted">{description}</p>
                    </div>
                    {does}
                </div>
                {policy}
            </li>
        }
    };
    // Each action has its own place in both lists, so that a refetch never turns the question of one
    // into that of another: an action that becomes blocked leaves its place empty.
    let places = actions.into_iter().map(|action| match action.enabled {
        true => (Some(entry(action)), None),
        false => (None, Some(entry(action))),
    });
    let (enabled, blocked): (Vec<_>, Vec<_>) = places.unzip();
    view! {
        <section class="panel actions" id="actions" aria-labelledby="actions-title" data-testid=testid::ACTIONS>
            <h2 class="panel-title" id="actions-title">
                "Available actions"
            </h2>
            <ul class="action-list">{enabled} {blocked}</ul>
        </section>
    }
}

fn act_form(
    action: &Action,
    id: String,
    url: &'static str,
    on_act: Callback<String>,
    pending: Signal<Option<String>>,
    confirm: Option<Confirm>,
) -> impl IntoView + use<> {
    let identity = action.identity.clone();
    let label = action.label.clone();
    let busy = {
        let identity = identity.clone();
        Signal::derive(move || pending.get().as_ref() == Some(&identity))
    };
    let on_submit = {
        let identity = identity.clone();
        move |ev: SubmitEvent| {
            ev.prevent_default();
            close_around(&ev);
            on_act.run(identity.clone());
        }
    };
    let hidden = view! {
        <input type="hidden" name="id" value=id />
        <input type="hidden" name="identity" value=identity.clone() />
    };
    match confirm {
        None => view! {
            <form class="action-form" method="post" action=url on:submit=on_submit>
                {hidden}
                <Submit busy=busy quiet=true small=true>
                    {label}
                </Submit>
            </form>
        }
        .into_any(),
        Some(confirm) => {
            let dialog = format!("confirm-{identity}");
            // Whoever comes back to the question begins with the first answer.
            let on_close = {
                let asked = confirm.choice.as_ref();
                let first = asked.and_then(|it| Some((it.chosen, it.choices.first()?.value.clone())));
                Callback::new(move |()| {
                    if let Some((chosen, first)) = &first {
                        chosen.set(first.clone());
                    }
                })
            };
            let choice = confirm.choice.map(choice_field);
            let typed = confirm.type_name.map(|name| view! { <TypeName name=name /> });
            let (opens, title) = (label.clone(), label.clone());
            view! {
                <div class="action-form">
                    <OpenDialog dialog=dialog.clone() danger=true small=true disabled=busy>
                        {opens}
                    </OpenDialog>
                    <Dialog id=dialog.clone() title=title testid=testid::CONFIRM on_close=on_close>
                        <form method="post" action=url on:submit=on_submit>
                            {hidden}
                            <p>{confirm.consequence}</p>
                            {choice}
                            {typed}
                            <div class="dialog-buttons">
                                <CloseDialog dialog=dialog>"Keep it"</CloseDialog>
                                <Submit busy=busy danger=true>
                                    {label}
                                </Submit>
                            </div>
                        </form>
                    </Dialog>
                </div>
            }
            .into_any()
        }
    }
}

fn choice_field(choice: ConfirmChoice) -> impl IntoView {
    let ConfirmChoice { name, label, choices, chosen } = choice;
    let options = choices
        .into_iter()
        .map(|one| {
            let value = one.value.clone();
            view! {
                <option value=one.value selected=move || chosen.get() == value>
                    {one.label}
                </option>
            }
        })
        .collect_view();
    view! {
        <label class="field">
            <span class="field-label">{label}</span>
            <select class="input" name=name on:change=move |ev| chosen.set(event_target_value(&ev))>
                {options}
            </select>
        </label>
    }
}

/// The field in which a name is typed before what cannot be undone.
#[component]
pub fn TypeName(
    /// The name.
    name: String,
) -> impl IntoView {
    view! {
        <label class="field">
            <span class="field-label">"Type " <code class="code">{name.clone()}</code> " to confirm"</span>
            <input
                class="input"
                name="confirm"
                required
                pattern=exactly(&name)
                autocomplete="off"
                title=format!("Type {name}")
            />
        </label>
    }
}

/// A pattern for exactly this text.
fn exactly(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("[{c}]") }).collect()
}

fn policy(action: Action) -> impl IntoView {
    let why = if action.enabled { "Policy".to_owned() } else { action.blocked_reasons() };
    let recovery = action.recovery.map(|recovery| view! { <RecoveryFields recovery=recovery /> });
    view! {
        <details class="policy">
            <summary>{why}</summary>
            {recovery}
            <ul class="gates">{action.gates.into_iter().map(gate).collect_view()}</ul>
            <dl class="recovery">
                <dt>"Identity"</dt>
                <dd>
                    <code class="code">{action.identity}</code>
                </dd>
                <dt>"Permission"</dt>
                <dd>
                    <code class="code">{action.permission}</code>
                </dd>
                <dt>"Route"</dt>
                <dd>
                    <code class="code">{action.method}" "{action.path}</code>
                </dd>
            </dl>
        </details>
    }
}

fn gate(gate: Gate) -> impl IntoView {
    let word = match gate.result {
        GateResult::Pass => "pass",
        GateResult::Blocked => "blocked",
    };
    view! {
        <li class="gate" data-gate=gate.name data-result=word>
            <Status word=word />
            <code class="code">{gate.name.clone()}</code>
            <span>{gate.reason}</span>
        </li>
    }
}

/// What an action answered, once it did: the failure, or what happened and the job that does it.
#[component]
pub fn Outcome(
    /// The action's value.
    #[prop(into)]
    of: Signal<Option<Result<ActedView, Fault>>>,
) -> impl IntoView {
    view! {
        <div aria-live="polite" class="outcome">
            {move || match of.get() {
                None => EitherOf3::A(()),
                Some(Err(fault)) => EitherOf3::B(view! { <FaultView fault=fault /> }),
                Some(Ok(acted)) => {
                    EitherOf3::C(
                        view! {
                            <Notice tone=Tone::Ok title=acted.message testid=testid::OUTCOME>
                                {acted
                                    .job_id
                                    .map(|id| {
                                        view! {
                                            <p>
                                                <a class="link" href=routes::job(&id)>
                                                    "Watch the job"
                                                </a>
                                            </p>
                                        }
                                    })}
                            </Notice>
                        },
                    )
                }
            }}
        </div>
    }
}

#[cfg(all(test, feature = "ssr"))]
mod tests {

    use domain::{
        access::Principal,
        job::{JobAbout, JobFacts, JobKind, JobStatus, job_actions},
    };

    use super::*;

    #[expect(clippy::unwrap_used, reason = "a test may panic")]
    fn drawn(confirms: Vec<Confirm>) -> String {
        let facts = JobFacts {
            id: "job_1".parse().unwrap(),
            kind: JobKind::NodeProvision,
            status: JobStatus::Failed,
            cancel_requested: false,
            owes_backup: false,
            subject_busy: false,
            about: JobAbout::Other,
        };
        let actions = job_actions(&facts, &Principal::admin_secret());
        Owner::new().with(|| {
            let on_act = Callback::new(|_: String| ());
            view! { <ActionsPanel actions=actions id="job_1" url="/rpc/jobs/act" on_act=on_act confirms=confirms /> }
                .to_html()
        })
    }

    #[test]
    fn enabled_ones_come_first_and_are_plain_forms() {
        let html = drawn(Vec::new());
        let retry = html.find("data-identity=\"retry-job\"").unwrap();
        let cancel = html.find("data-identity=\"cancel-job\"").unwrap();
        assert!(retry < cancel, "{html}");
        assert_eq!(html.matches("<form").count(), 1, "{html}");
        assert!(html.contains("method=\"post\"") && html.contains("action=\"/rpc/jobs/act\""), "{html}");
        assert!(html.contains("name=\"identity\" value=\"retry-job\""), "{html}");
    }

    #[test]
    fn a_blocked_one_shows_its_gates_and_the_four_fields() {
        let html = drawn(Vec::new());
        let blocked = html.split("data-identity=\"cancel-job\"").nth(1).unwrap();
        for text in ["Cause", "Policy context", "Next step", "Safe retry", "The job has failed.", "hangar.job.cancel"] {
            assert!(blocked.contains(text), "{text} is missing in {blocked}");
        }
        assert!(blocked.contains("/api/v1/jobs/job_1/actions/cancel-job"), "{blocked}");
    }

    #[test]
    fn a_dangerous_one_asks_first_and_wants_the_name() {
        let html = drawn(vec![Confirm {
            identity: "retry-job",
            consequence: "Does it <again>.".to_owned(),
            type_name: Some("a.b".to_owned()),
            choice: None,
        }]);
        assert!(html.contains("<dialog") && html.contains("commandfor=\"confirm-retry-job\""), "{html}");
        assert!(html.contains("Does it &lt;again&gt;."), "{html}");
        assert!(html.contains("pattern=\"a[.]b\""), "{html}");
    }
}
