//! What a command or script on a machine wrote. The rule: it is shown as data, never as markup; the
//! end is what is seen first, and it stays there while more comes.

use domain::job::CommandOutput;
use leptos::prelude::*;

use super::{Status, Tone};
use crate::routes::testid;

/// The output of a command.
#[component]
pub fn Output(
    /// Tells several on one page apart.
    #[prop(into)]
    scope: String,
    /// What it wrote.
    output: CommandOutput,
    /// Whether it still runs.
    running: bool,
) -> impl IntoView {
    let CommandOutput { exit_code, timed_out, may_run, stdout, stdout_cut, stderr, stderr_cut } = output;
    let (word, tone, moving) = match (running, timed_out, exit_code) {
        (true, ..) => ("running".to_owned(), Tone::Busy, true),
        (_, true, _) if may_run => ("not done in time; it may still run".to_owned(), Tone::Bad, false),
        (_, true, _) => ("killed: its time was up".to_owned(), Tone::Bad, false),
        (_, _, Some(0)) => ("exit code 0".to_owned(), Tone::Ok, false),
        (_, _, Some(code)) => (format!("exit code {code}"), Tone::Bad, false),
        (_, _, None) if may_run => ("no exit code; it may still run".to_owned(), Tone::Warn, false),
        (_, _, None) => ("no exit code".to_owned(), Tone::Warn, false),
    };
    let silent = stdout.is_empty() && stderr.is_empty();
    let quiet = silent.then(|| {
        view! {
            <p class="muted">
                {if moving { "It has not written anything yet." } else { "It wrote nothing." }}
            </p>
        }
    });
    let masked = (!silent).then(|| {
        view! { <p class="muted small">"Secrets that Hangar knows are masked with asterisks."</p> }
    });
    let out = (!stdout.is_empty()).then(|| stream(&scope, "stdout", "Standard output", stdout, stdout_cut));
    let err = (!stderr.is_empty()).then(|| stream(&scope, "stderr", "Standard error", stderr, stderr_cut));
    let exit = exit_code.map(|code| code.to_string());
    view! {
        <div class="stack" data-testid=testid::OUTPUT data-exit=exit>
            <p><Status word=word tone_is=tone /></p>
            {quiet}
            {out}
            {err}
            {masked}
        </div>
    }
}

fn stream(scope: &str, name: &'static str, title: &'static str, text: String, cut: bool) -> impl IntoView + use<> {
    let id = format!("{scope}-{name}");
    let (copies, labelled) = (id.clone(), format!("{id}-title"));
    let cut = cut.then(|| view! { <span class="muted small">"the last 10 KB; there was more before"</span> });
    view! {
        <div class="stream" data-stream=name>
            <p class="stream-head">
                <span class="strong" id=labelled.clone()>
                    {title}
                </span>
                {cut}
                <button
                    class="button button-small"
                    r#type="button"
                    data-copy-of=copies
                    aria-label=format!("Copy the {}", title.to_lowercase())
                >
                    "Copy"
                </button>
            </p>
            <div class="stream-text" tabindex="0" role="region" aria-labelledby=labelled>
                <pre id=id>{text}</pre>
            </div>
        </div>
    }
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::*;

    fn drawn(output: CommandOutput, running: bool) -> String {
        Owner::new().with(|| view! { <Output scope="job" output=output running=running /> }.to_html())
    }

    #[test]
    fn what_was_written_stays_text() {
        let html = drawn(
            CommandOutput {
                exit_code: Some(3),
                stderr: "<b>no</b>".to_owned(),
                stderr_cut: true,
                ..Default::default()
            },
            false,
        );
        assert!(html.contains("exit code 3") && html.contains("data-exit=\"3\""), "{html}");
        assert!(html.contains("&lt;b>no") || html.contains("&lt;b&gt;no"), "{html}");
        assert!(html.contains("there was more before"), "{html}");
        assert!(!html.contains("data-stream=\"stdout\""), "{html}");
    }

    #[test]
    fn silence_and_a_killed_one_say_so() {
        assert!(drawn(CommandOutput::default(), true).contains("has not written anything yet"));
        let killed = drawn(CommandOutput { timed_out: true, ..Default::default() }, false);
        assert!(killed.contains("its time was up") && killed.contains("It wrote nothing."), "{killed}");
        let goes_on = drawn(CommandOutput { timed_out: true, may_run: true, ..Default::default() }, false);
        assert!(goes_on.contains("it may still run") && !goes_on.contains("killed"), "{goes_on}");
    }
}
