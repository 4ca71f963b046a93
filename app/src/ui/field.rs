//! Form fields: label above, help below, the error under its field. The rule: a field never takes
//! back what was typed; the server's answer only marks it.

use leptos::{html, prelude::*};

use super::FaultView;
use crate::Fault;

/// The failure that a server action ended with, for [`TextField`] and [`FormFault`].
pub fn fault_of<T: Clone + Send + Sync + 'static>(
    value: impl Into<Signal<Option<Result<T, Fault>>>>,
) -> Signal<Option<Fault>> {
    let value = value.into();
    Signal::derive(move || value.get().and_then(Result::err))
}

/// A text that may be left out: `"a"`, a `String`, or an `Option<String>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(Option<String>);

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        Self(Some(text.to_owned()))
    }
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Self(Some(text))
    }
}

impl From<Option<String>> for Words {
    fn from(text: Option<String>) -> Self {
        Self(text)
    }
}

/// One choice of a select.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What is read.
    pub label: String,
    /// Whether it cannot be chosen.
    pub disabled: bool,
}

impl Choice {
    /// A choice.
    pub fn new(value: impl Into<String>, label: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.into(), disabled: false }
    }

    /// The same, but it cannot be chosen.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.disabled = true;
        self
    }
}

/// Where a textarea notes what it began with.
const BEGAN: &str = "data-began";
/// Where a select without a follower notes what was chosen.
const CHOSEN: &str = "data-chosen";

/// What stands around every field.
struct Surrounds {
    id: String,
    help: Option<String>,
    error: Signal<Option<String>>,
}

impl Surrounds {
    fn new(scope: &str, name: &str, help: Words, pointer: Option<String>, fault: Signal<Option<Fault>>) -> Self {
        let whole = if scope.is_empty() { name.to_owned() } else { format!("{scope}-{name}") };
        let plain: String = whole.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let error = Signal::derive(move || {
            let pointer = pointer.as_deref()?;
            let all = fault.get()?.errors_at(pointer).collect::<Vec<_>>().join("\n");
            (!all.is_empty()).then_some(all)
        });
        Self { id: format!("field-{}", plain.trim_end_matches('-')), help: help.0, error }
    }

    fn described_by(&self) -> String {
        format!("{0}-help {0}-error", self.id)
    }

    fn invalid(&self) -> Signal<Option<&'static str>> {
        let error = self.error;
        Signal::derive(move || error.get().map(|_| "true"))
    }

    fn around(self, label: String, input: impl IntoView) -> impl IntoView {
        let Self { id, help, error } = self;
        view! {
            <div class="field" class:field-wrong=move || error.get().is_some()>
                <label class="field-label" for=id.clone()>
                    {label}
                </label>
                {input}
                <p class="field-help" id=format!("{id}-help")>
                    {help}
                </p>
                <p class="field-error" id=format!("{id}-error") aria-live="polite">
                    {move || error.get()}
                </p>
            </div>
        }
    }
}

/// A field of one line.
#[component]
pub fn TextField(
    /// Tells fields of the same name on one page apart.
    #[prop(optional, into)]
    scope: String,
    /// The name under which it is sent, such as `form[name]`.
    #[prop(into)]
    name: String,
    /// The label.
    #[prop(into)]
    label: String,
    /// The help below.
    #[prop(optional, into)]
    help: Words,
    /// The JSON pointer under which the server marks it, such as `/name`.
    #[prop(optional, into)]
    pointer: Option<String>,
    /// The failure of the form.
    #[prop(optional, into)]
    fault: Signal<Option<Fault>>,
    /// What it begins with.
    #[prop(optional, into)]
    value: Words,
    /// `text`, `password`, `number`, `url`.
    #[prop(default = "text")]
    kind: &'static str,
    /// Whether it must be filled.
    #[prop(optional)]
    required: bool,
    /// What the browser may fill in; nothing unless said.
    #[prop(default = "off")]
    autocomplete: &'static str,
    /// An example inside the empty field.
    #[prop(optional, into)]
    placeholder: Words,
    /// Whether it holds a host, key or the like.
    #[prop(optional)]
    mono: bool,
    /// Called with what is typed.
    #[prop(optional, into)]
    on_input: Option<Callback<String>>,
) -> impl IntoView {
    let around = Surrounds::new(&scope, &name, help, pointer, fault);
    let input = view! {
        <input
            class="input"
            class:mono=mono
            id=around.id.clone()
            name=name
            r#type=kind
            value=value.0
            required=required
            placeholder=placeholder.0
            autocomplete=autocomplete
            spellcheck="false"
            aria-describedby=around.described_by()
            aria-invalid=around.invalid()
            on:input=move |ev| {
                if let Some(on_input) = on_input {
                    on_input.run(event_target_value(&ev));
                }
            }
        />
    };
    around.around(label, input)
}

/// A field of several lines. What it begins with is drawn into the html, so that it is there without
/// JavaScript too. It is taken up again only when it is another text: what was typed outlives a
/// refetch.
#[component]
pub fn TextArea(
    /// Tells fields of the same name on one page apart.
    #[prop(optional, into)]
    scope: String,
    /// The name under which it is sent.
    #[prop(into)]
    name: String,
    /// The label.
    #[prop(into)]
    label: String,
    /// The help below.
    #[prop(optional, into)]
    help: Words,
    /// The JSON pointer under which the server marks it.
    #[prop(optional, into)]
    pointer: Option<String>,
    /// The failure of the form.
    #[prop(optional, into)]
    fault: Signal<Option<Fault>>,
    /// What it begins with.
    #[prop(optional, into)]
    value: String,
    /// An example inside the empty field.
    #[prop(optional, into)]
    placeholder: Words,
    /// How many lines it shows.
    #[prop(default = 6)]
    rows: u32,
    /// Whether its lines mean something: they are not broken, but moved aside.
    #[prop(optional)]
    code: bool,
) -> impl IntoView {
    let around = Surrounds::new(&scope, &name, help, pointer, fault);
    let drawn = drawn_text(&value);
    let node = NodeRef::<html::Textarea>::new();
    Effect::new(move |_| {
        if let Some(area) = node.get()
            && area.get_attribute(BEGAN).as_ref() != Some(&value)
        {
            if area.has_attribute(BEGAN) {
                area.set_value(&value);
            }
            // An element of the page takes any attribute with a proper name.
            let _ = area.set_attribute(BEGAN, &value);
        }
    });
    let input = view! {
        <textarea
            class="input mono"
            id=around.id.clone()
            name=name
            rows=rows
            wrap=code.then_some("off")
            node_ref=node
            spellcheck="false"
            aria-describedby=around.described_by()
            aria-invalid=around.invalid()
            placeholder=placeholder.0
            inner_html=drawn
        ></textarea>
    };
    around.around(label, input)
}

/// The text of a textarea as html. A line break right after the tag is not part of the text, so one
/// is put there.
#[cfg(feature = "ssr")]
fn drawn_text(text: &str) -> String {
    format!("\n{}", text.replace('&', "&amp;").replace('<', "&lt;"))
}

/// The text of a textarea as html, where no tag stands before it.
#[cfg(not(feature = "ssr"))]
fn drawn_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// A field with fixed choices.
#[component]
pub fn SelectField(
    /// Tells fields of the same name on one page apart.
    #[prop(optional, into)]
    scope: String,
    /// The name under which it is sent.
    #[prop(into)]
    name: String,
    /// The label.
    #[prop(into)]
    label: String,
    /// The choices.
    #[prop(into)]
    choices: Signal<Vec<Choice>>,
    /// The help below.
    #[prop(optional, into)]
    help: Words,
    /// The JSON pointer under which the server marks it.
    #[prop(optional, into)]
    pointer: Option<String>,
    /// The failure of the form.
    #[prop(optional, into)]
    fault: Signal<Option<Fault>>,
    /// The value that is chosen; read again whenever the choices change.
    #[prop(optional, into)]
    value: Signal<String>,
    /// Called with what is chosen; `value` must then follow it.
    #[prop(optional, into)]
    on_change: Option<Callback<String>>,
) -> impl IntoView {
    let around = Surrounds::new(&scope, &name, help, pointer, fault);
    let select = NodeRef::<html::Select>::new();
    // The options are made anew with every answer of the server, and the browser forgets with them
    // what was chosen: whoever follows the choice knows it, otherwise the field notes it itself.
    Effect::new(move |_| {
        choices.track();
        let wanted = value.get();
        request_animation_frame(move || {
            // The page may have moved on before the next frame; then there is nothing to choose in.
            let Some(select) = select.try_get_untracked().flatten() else { return };
            let chosen = if on_change.is_some() { Some(wanted) } else { select.get_attribute(CHOSEN) };
            if let Some(chosen) = chosen {
                select.set_value(&chosen);
            }
        });
    });
    let input = view! {
        <select
            class="input"
            node_ref=select
            id=around.id.clone()
            name=name
            aria-describedby=around.described_by()
            aria-invalid=around.invalid()
            on:change=move |ev| {
                let chosen = event_target_value(&ev);
                if let Some(on_change) = on_change {
                    on_change.run(chosen);
                } else if let Some(select) = select.try_get_untracked().flatten() {
                    // An element of the page takes any attribute with a proper name.
                    let _ = select.set_attribute(CHOSEN, &chosen);
                }
            }
        >
            {move || {
                let chosen = value.get();
                choices
                    .get()
                    .into_iter()
                    .map(|choice| {
                        let selected = choice.value == chosen;
                        view! {
                            <option value=choice.value selected=selected disabled=choice.disabled>
                                {choice.label}
                            </option>
                        }
                    })
                    .collect_view()
            }}
        </select>
    };
    around.around(label, input)
}

/// The failure of a form as a whole: what stands under no field, and at the button a line for each
/// field that is marked, since in a long form the field itself may be out of sight.
#[component]
pub fn FormFault(
    /// The failure.
    #[prop(into)]
    fault: Signal<Option<Fault>>,
) -> impl IntoView {
    view! {
        <div class="outcome" aria-live="polite">
            {move || {
                fault
                    .get()
                    .map(|fault| {
                        if fault.errors.is_empty() {
                            view! { <FaultView fault=fault /> }.into_any()
                        } else {
                            let lines = fault.errors.iter().map(|error| {
                                let line = format!("{}: {}", field_words(&error.pointer), error.message);
                                view! { <p class="field-error form-error">{line}</p> }
                            });
                            lines.collect_view().into_any()
                        }
                    })
            }}
        </div>
    }
}

/// How people know the field at this JSON pointer: `/secret/api_token` is "Api token", and
/// `/services/1/name` "Services 2, name".
fn field_words(pointer: &str) -> String {
    let parts: Vec<&str> = pointer.split('/').filter(|part| !part.is_empty()).collect();
    let words = match parts[..] {
        [.., list, at, field] if at.parse::<usize>().is_ok() => {
            format!("{list} {}, {field}", at.parse().unwrap_or(0_usize) + 1)
        }
        _ => parts.iter().rfind(|part| part.parse::<usize>().is_err()).map_or("form", |last| last).to_owned(),
    };
    let words = words.replace('_', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => words,
    }
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_as_people_know_it() {
        assert_eq!(field_words("/content"), "Content");
        assert_eq!(field_words("/secret/api_token"), "Api token");
        assert_eq!(field_words("/fallbacks/0"), "Fallbacks");
        assert_eq!(field_words("/services/1/memory_mib"), "Services 2, memory mib");
        assert_eq!(field_words(""), "Form");
    }

    #[test]
    fn the_text_of_an_area_is_in_the_html_and_stays_text() {
        let html = Owner::new().with(|| {
            view! { <TextArea name="script" label="Script" value="a && b\n</textarea><script>".to_owned() /> }.to_html()
        });
        assert!(html.contains(">\na &amp;&amp; b\n&lt;/textarea>&lt;script>"), "{html}");
    }
}
