//! The form that runs a command on a node, and what the last one wrote. The rule: the text is read
//! by a shell on the machine and by nothing before it.

use domain::{
    action::{Action, GateResult},
    job::{JobKind, JobView},
    node::NodeExec,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::api::ExecOnNode;
use crate::{
    Fault, routes,
    routes::testid,
    ui::{
        Choice, Failure, FormFault, FormReader, Output, SelectField, Status, Submit, TextArea, TextField, Time, Tone,
        fault_of,
    },
};

/// Seconds that a command gets unless the form says otherwise.
const SECONDS: u32 = 60;

/// The fields, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecForm {
    /// What the shell reads.
    pub command: String,
    /// In which service of a stack; the cockpit's, or the only one, when empty.
    pub service: String,
    /// After so many seconds it is killed; 60 when empty.
    pub timeout_seconds: String,
}

impl ExecForm {
    /// The wish that was typed.
    ///
    /// # Errors
    /// The fields that cannot be used.
    pub fn read(&self) -> Result<NodeExec, Fault> {
        let mut reader = FormReader::default();
        // Browsers send line breaks as CR LF; a shell wants LF.
        let command: Option<String> =
            reader.required("/argv", &self.command.replace("\r\n", "\n"), "type what the shell shall run");
        let service = FormReader::text(&self.service);
        let timeout_seconds = reader.number("/timeout_seconds", &self.timeout_seconds);
        reader.finish(|| {
            Some(NodeExec { argv: vec!["sh".to_owned(), "-c".to_owned(), command?], service, timeout_seconds })
        })
    }
}

/// Whether the form is there, and whether it can be sent. What somebody types stays while a job works
/// on the node.
fn standing(action: &Action) -> (bool, bool) {
    let mut blocked = action.gates.iter().filter(|gate| gate.result == GateResult::Blocked);
    (blocked.all(|gate| gate.name == "no-running-job"), action.enabled)
}

/// The form, where the node lets commands be run, and what the newest command came to.
pub(super) fn form(
    id: String,
    action: &Action,
    jobs: &[JobView],
    exec: ServerAction<ExecOnNode>,
    (services, preset): (Vec<String>, Option<String>),
) -> Option<impl IntoView + use<>> {
    let last = jobs.iter().find(|job| job.kind == JobKind::NodeExec).cloned().map(last);
    let (there, enabled) = standing(action);
    if !there && last.is_none() {
        return None;
    }
    let fault = fault_of(exec.value());
    let pending = exec.pending();
    let (placeholder, help) = match services.is_empty() {
        true => (
            "systemctl --failed",
            "Run by sh -c, as the user that Hangar logs in as; sudo makes it root. It is recorded who ran it.",
        ),
        false => ("ps", "Run by sh -c in the service's container. It is recorded who ran it."),
    };
    let service = (!services.is_empty()).then(|| {
        let choices: Vec<Choice> = services.into_iter().map(|name| Choice::new(name.clone(), name)).collect();
        view! {
            <SelectField
                scope="exec"
                name="form[service]"
                label="Service"
                choices=choices
                value=preset.unwrap_or_default()
                pointer="/service"
                fault=fault
            />
        }
    });
    let form = there.then(|| {
        view! {
            <ActionForm action=exec attr:class="form exec">
                <input type="hidden" name="id" value=id />
                {service}
                <TextArea
                    name="form[command]"
                    label="Command"
                    rows=2
                    placeholder=placeholder
                    pointer="/argv"
                    fault=fault
                    help=help
                />
                <TextField
                    name="form[timeout_seconds]"
                    label="Time limit in seconds"
                    kind="number"
                    value=SECONDS.to_string()
                    pointer="/timeout_seconds"
                    fault=fault
                    help="1 to 3600; then it is killed."
                />
                <Submit busy=pending blocked=!enabled quiet=true>
                    "Run command"
                </Submit>
            </ActionForm>
            <FormFault fault=fault />
        }
    });
    Some(view! {
        <section class="section" id="exec">
            <div class="section-head">
                <h2>"Run a command"</h2>
            </div>
            <div class="panel stack" data-testid=testid::EXEC>
                {form}
                {last}
            </div>
        </section>
    })
}

fn last(job: JobView) -> impl IntoView {
    let JobView { id, status, output, error, created_at, .. } = job;
    let running = !status.is_over();
    let failure = error.filter(|_| !running && output.is_none()).map(|error| {
        view! {
            <Failure
                code=error.code
                tone=Tone::Warn
                message=Some(error.message)
                correlation_id=error.correlation_id
            />
        }
    });
    let output = output.map(|output| view! { <Output scope="exec" output=output running=running /> });
    let href = routes::job(&id);
    view! {
        <div class="stack exec-last" data-job=id.to_string()>
            <p class="exec-last-head">
                <span class="strong">"The last command"</span>
                <Status word=status.as_str() />
                <span class="muted small">
                    <Time at=created_at />
                </span>
                <a class="link small" href=href>
                    "Open the job"
                </a>
            </p>
            {failure}
            {output}
        </div>
    }
}

#[cfg(test)]
mod tests {
    use domain::action::Gate;

    use super::*;

    #[test]
    fn the_text_goes_to_a_shell_as_it_is() {
        let form =
            ExecForm { command: "a |\r\nb \"c\"".to_owned(), timeout_seconds: "5".to_owned(), ..ExecForm::default() };
        let wish = form.read().unwrap();
        assert_eq!(wish.argv, ["sh", "-c", "a |\nb \"c\""]);
        assert_eq!(wish.timeout_seconds, Some(5));
    }

    #[test]
    fn the_form_stays_while_a_job_works_and_goes_where_commands_are_never_run() {
        let action = |blocked: &[&str]| Action {
            identity: "exec-command".to_owned(),
            label: String::new(),
            description: String::new(),
            permission: String::new(),
            enabled: blocked.is_empty(),
            gates: blocked
                .iter()
                .map(|name| Gate { name: (*name).to_owned(), result: GateResult::Blocked, reason: String::new() })
                .collect(),
            recovery: None,
            method: "POST".to_owned(),
            path: String::new(),
        };
        assert_eq!(standing(&action(&[])), (true, true));
        assert_eq!(standing(&action(&["no-running-job"])), (true, false));
        assert_eq!(standing(&action(&["no-running-job", "login"])), (false, false));
    }

    #[test]
    fn nothing_is_not_run() {
        let fault = ExecForm { command: " ".to_owned(), timeout_seconds: "soon".to_owned(), ..ExecForm::default() }
            .read()
            .unwrap_err();
        assert!(fault.field("/argv").is_some() && fault.field("/timeout_seconds").is_some());
    }
}
