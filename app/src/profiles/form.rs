//! The form that stores a profile. The rule: texts come in, a definition or marked fields come out;
//! what is wrong is marked at the row where it was typed.

use domain::{
    profile::{ProfileDefinition, ProfileRequirement},
    valid::ProfileName,
};
use serde::{Deserialize, Serialize};

use crate::{Fault, ui::FormReader};

/// A row of the requirements, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequirementRow {
    /// What must answer to `command -v`; the row says nothing when empty.
    pub command: String,
    /// The package that brings it; only looked for when empty.
    pub package: String,
}

/// The fields, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfileForm {
    /// The profile's name.
    pub name: String,
    /// What it installs and checks for.
    pub requires: Vec<RequirementRow>,
    /// The script.
    pub script: String,
    /// Seconds after which it is killed; 900 when empty.
    pub timeout_seconds: String,
}

impl ProfileForm {
    /// The definition that was typed. Field errors carry the pointers of the form's rows.
    ///
    /// # Errors
    /// The fields that cannot be used.
    pub fn read(&self) -> Result<(ProfileName, ProfileDefinition), Fault> {
        let mut reader = FormReader::default();
        let name: Option<ProfileName> = reader.required("/name", &self.name, "give it a name");
        let timeout_seconds = reader.number("/timeout_seconds", &self.timeout_seconds);
        let filled: Vec<(usize, ProfileRequirement)> = self
            .requires
            .iter()
            .enumerate()
            .filter_map(|(at, row)| {
                let (command, package) = (FormReader::text(&row.command), FormReader::text(&row.package));
                let command = command.or_else(|| package.clone())?;
                Some((at, ProfileRequirement { command, package }))
            })
            .collect();
        let (places, requires): (Vec<usize>, Vec<ProfileRequirement>) = filled.into_iter().unzip();
        // Browsers send line breaks as CR LF; a shell wants LF.
        let script = self.script.replace("\r\n", "\n");
        let definition = ProfileDefinition { requires, script, timeout_seconds };
        for error in definition.check().err().unwrap_or_default() {
            reader.check::<(), _>(&at_its_row(&error.pointer, &places), Some(Err(error.message)));
        }
        reader.finish(|| Some((name?, definition)))
    }
}

/// The pointer at the row as it was typed: rows that say nothing are not part of the definition.
fn at_its_row(pointer: &str, places: &[usize]) -> String {
    let typed = || {
        let (at, field) = pointer.strip_prefix("/requires/")?.split_once('/')?;
        let place = places.get(at.parse::<usize>().ok()?)?;
        Some(format!("/requires/{place}/{field}"))
    };
    typed().unwrap_or_else(|| pointer.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(command: &str, package: &str) -> RequirementRow {
        RequirementRow { command: command.to_owned(), package: package.to_owned() }
    }

    fn form(requires: Vec<RequirementRow>) -> ProfileForm {
        ProfileForm { name: "web".to_owned(), requires, ..ProfileForm::default() }
    }

    #[test]
    fn empty_rows_say_nothing_and_a_package_alone_is_its_command() {
        let form = form(vec![row("", ""), row("nginx", "nginx-light"), row("", "jq"), row("curl", " ")]);
        let (name, definition) = form.read().unwrap();
        assert_eq!(name.as_str(), "web");
        let pairs: Vec<_> =
            definition.requires.iter().map(|one| (one.command.as_str(), one.package.as_deref())).collect();
        assert_eq!(pairs, [("nginx", Some("nginx-light")), ("jq", Some("jq")), ("curl", None)]);
    }

    #[test]
    fn a_wrong_row_is_marked_where_it_was_typed() {
        let mut form = form(vec![row("", ""), row("rm -rf", ""), row("ok", "a b")]);
        form.timeout_seconds = "5".to_owned();
        let fault = form.read().unwrap_err();
        assert!(fault.field("/requires/1/command").is_some() && fault.field("/requires/2/package").is_some());
        assert!(fault.field("/timeout_seconds").is_some() && fault.field("/requires/0/command").is_none());
    }

    #[test]
    fn a_script_has_the_line_breaks_of_a_shell() {
        let form = ProfileForm { script: "a\r\nb\r\n".to_owned(), ..form(Vec::new()) };
        assert_eq!(form.read().unwrap().1.script, "a\nb\n");
    }
}
