//! The profiles, and the form that makes one.

use domain::{
    id::UserId,
    profile::{ProfileDefinition, ProfileView},
};
use leptos::prelude::*;

use super::{
    api::{self, SaveProfile},
    editor,
};
use crate::{
    live::live,
    routes,
    routes::testid,
    ui::{Cell, Column, LinkButton, Loaded, PageHead, Row, RowLink, Section, ShortId, Table, Time},
};

const COLUMNS: &[Column] = &[
    Column::text("Name"),
    Column::text("Version"),
    Column::number("Nodes"),
    Column::text("What it does"),
    Column::text("Changed"),
];

/// The page of the profiles.
#[component]
pub fn ProfilesListPage() -> impl IntoView {
    let save = ServerAction::<SaveProfile>::new();
    let more = RwSignal::new(0);
    let changed = live(&["profile", "node"]);
    let profiles = Resource::new(move || (changed.get(), save.version().get()), |_| api::list());
    view! {
        <PageHead title="Profiles" note=|| "How Hangar prepares and checks the machines that it acquires.">
            <LinkButton href="#new" primary=true>
                "New profile"
            </LinkButton>
            <LinkButton href=routes::SETTINGS>"Settings"</LinkButton>
        </PageHead>
        <Loaded from=profiles let:profiles>
            <Table caption="Profiles" columns=COLUMNS testid=testid::PROFILES>
                {profiles.into_iter().map(row).collect_view()}
            </Table>
        </Loaded>
        <Section title="New profile" id="new">
            {editor::form(None, ProfileDefinition::base(), save, more)}
        </Section>
    }
}

/// A version in words; 0 is what Hangar ships.
pub(super) fn version_word(version: u32) -> String {
    match version {
        0 => "as shipped".to_owned(),
        version => format!("version {version}"),
    }
}

/// Who changed something, short.
pub(super) fn who(by: UserId) -> impl IntoView {
    if by == UserId::admin() {
        view! { <span>"the administrator"</span> }.into_any()
    } else {
        let id = by.to_string();
        view! { <ShortId value=id /> }.into_any()
    }
}

/// What a profile does, in one line.
fn does(definition: Option<&ProfileDefinition>) -> String {
    let Some(definition) = definition else {
        return "Hangar does not log in: ready as soon as the vendor reports it running.".to_owned();
    };
    let commands: Vec<&str> = definition.requires.iter().map(|one| one.command.as_str()).collect();
    let wants =
        if commands.is_empty() { "Wants no commands".to_owned() } else { format!("Wants {}", commands.join(", ")) };
    match definition.script.lines().count() {
        0 => format!("{wants}; no script."),
        1 => format!("{wants}; a script of 1 line."),
        lines => format!("{wants}; a script of {lines} lines."),
    }
}

fn row(profile: ProfileView) -> impl IntoView {
    let what = does(profile.definition.as_ref());
    let version = match profile.definition {
        Some(_) => version_word(profile.version),
        None => "fixed".to_owned(),
    };
    let ProfileView { name, nodes, changed_at, changed_by, .. } = profile;
    let by = changed_by.map(|by| view! { <span class="cell-sub muted small"><span>"by " {who(by)}</span></span> });
    view! {
        <Row id=name.to_string()>
            <Cell label="Name">
                <RowLink href=routes::profile(&name)>{name.to_string()}</RowLink>
            </Cell>
            <Cell label="Version">{version}</Cell>
            <Cell label="Nodes" number=true>
                {nodes}
            </Cell>
            <Cell label="What it does">{what}</Cell>
            <Cell label="Changed">
                <Time at=changed_at />
                {by}
            </Cell>
        </Row>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_in_one_line() {
        assert_eq!(does(Some(&ProfileDefinition::base())), "Wants curl, tar; no script.");
        let own = ProfileDefinition { requires: Vec::new(), script: "a\nb\n".to_owned(), timeout_seconds: None };
        assert_eq!(does(Some(&own)), "Wants no commands; a script of 2 lines.");
        assert!(does(None).contains("does not log in"));
    }
}
