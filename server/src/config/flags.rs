//! The settings as flags of the command line. The rule: made from the table, never by hand.

use std::{collections::BTreeMap, sync::LazyLock};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::table::SETTINGS;

/// The flags' names, in the order of the table.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| SETTINGS.iter().map(|s| s.flag()).collect());

/// The settings that were given as flags, by variable.
#[derive(Debug, Clone, Default)]
pub struct Flags(pub BTreeMap<&'static str, String>);

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in SETTINGS {
            if let Some(value) = matches.get_one::<String>(setting.variable) {
                self.0.insert(setting.variable, value.clone());
            }
        }
        Ok(())
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        SETTINGS.iter().zip(NAMES.iter()).fold(command, |command, (setting, name)| {
            command.arg(
                Arg::new(setting.variable)
                    .long(name.as_str())
                    .value_name("VALUE")
                    .help(format!("{} [env: {}] [default: {}]", setting.help, setting.variable, setting.default))
                    .help_heading("Settings (flag over environment over file over default)")
                    .allow_hyphen_values(true)
                    .global(true),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
