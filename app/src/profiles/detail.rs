//! The page of a profile: what it does, its editor, its versions.

use domain::{
    profile::{ProfileVersion, ProfileView},
    valid::ProfileName,
};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    ProfilePage,
    api::{self, SaveProfile},
    editor,
    list::{version_word, who},
};
use crate::{
    Fault,
    live::live,
    routes,
    routes::testid,
    ui::{Cell, Column, History, LinkButton, Loaded, Notice, PageHead, Row, Section, Status, Table, Time, Tone},
};

const VERSIONS: &[Column] = &[Column::text("Version"), Column::text("Stored"), Column::text("By")];

/// The page of a profile.
#[component]
pub fn ProfileDetailPage() -> impl IntoView {
    let params = use_params_map();
    let query = use_query_map();
    let name = Memo::new(move |_| params.get().get("name").unwrap_or_default());
    let version = Memo::new(move |_| query.with(|query| query.get("version")?.parse::<u32>().ok()));
    let save = ServerAction::<SaveProfile>::new();
    let more = RwSignal::new(0);
    let changed = live(&["profile", "node"]);
    let page = Resource::new(
        move || (name.get(), version.get(), changed.get(), save.version().get()),
        |(name, version, ..)| async move { api::show(name.parse().map_err(|_| Fault::not_found())?, version).await },
    );
    view! {
        <Loaded from=page let:page>
            {shown(page, version.get_untracked(), save, more)}
        </Loaded>
    }
}

fn shown(
    page: ProfilePage,
    asked: Option<u32>,
    save: ServerAction<SaveProfile>,
    more: RwSignal<usize>,
) -> impl IntoView {
    let ProfilePage { profile, history } = page;
    let ProfileView { name, version, definition, nodes, versions, .. } = profile;
    let newest = versions.first().map_or(version, |newest| newest.version);
    let word = if definition.is_some() { version_word(version) } else { "fixed".to_owned() };
    let note = match nodes {
        0 => "No live node has it.".to_owned(),
        1 => "1 live node has it.".to_owned(),
        more => format!("{more} live nodes have it."),
    };
    let older = asked.filter(|asked| *asked != newest).map(|_| older(&name, version, newest));
    let saved = move || {
        save.value().get().and_then(Result::ok).map(|saved| {
            view! {
                <Notice tone=Tone::Ok title=format!("Version {} is stored", saved.version) testid=testid::OUTCOME>
                    <p>"Nodes that are acquired or laid anew from now on get it."</p>
                </Notice>
            }
        })
    };
    let explained = explanation(name.as_str(), version);
    let text = name.to_string();
    let body = definition.map(|definition| {
        view! {
            <Section title="What it does" id="edit" note="Packages first, then the script, then every command is looked for.">
                {editor::form(Some(text), definition, save, more)}
            </Section>
        }
    });
    let table = versions_table(&name, version, versions);
    view! {
        <PageHead
            title=format!("Profile {name}")
            beside=move || view! { <Status word=word.clone() tone_is=Tone::Neutral /> }
            note=move || note.clone()
        >
            <LinkButton href=routes::PROFILES>"All profiles"</LinkButton>
        </PageHead>
        <div class="outcome" aria-live="polite">
            {saved}
        </div>
        {explained}
        {older}
        {body}
        {table}
        <Section title="History" id="history">
            <History entries=history />
        </Section>
    }
}

/// What there is to know about those that Hangar ships.
fn explanation(name: &str, version: u32) -> Option<impl IntoView + use<>> {
    let text = match (name, version) {
        ("none", _) => {
            "Hangar ships it and it does not change: Hangar does not log in. A node is ready as soon as the vendor reports it running, and nothing can be run or checked on it."
        }
        ("base", 0) => {
            "Hangar ships it: what the installers of practically every cockpit need. It is what nodes get that name no other profile. Saving makes version 1, which then takes its place."
        }
        ("base", _) => {
            "It is what nodes get that name no other profile. What Hangar ships stays there as the oldest version."
        }
        _ => return None,
    };
    Some(view! { <p class="form-note">{text}</p> })
}

fn older(name: &ProfileName, version: u32, newest: u32) -> impl IntoView + use<> {
    let href = routes::profile(name);
    view! {
        <Notice tone=Tone::Neutral title=format!("This is an older one: {}", version_word(version))>
            <p>
                "Saving it makes it the newest again. "
                <a class="link" href=href>
                    {format!("Show {}", version_word(newest))}
                </a>
            </p>
        </Notice>
    }
}

fn versions_table(name: &ProfileName, shown: u32, versions: Vec<ProfileVersion>) -> Option<impl IntoView + use<>> {
    let name = name.clone();
    (!versions.is_empty() && name.has_login()).then(|| {
        let rows = versions
            .into_iter()
            .map(|one| {
                let href = format!("{}?version={}", routes::profile(&name), one.version);
                let word = version_word(one.version);
                let here = (one.version == shown).then(|| view! { <span class="cell-sub">"shown above"</span> });
                let by = one.changed_by.map(|by| who(by).into_any());
                let by = by.unwrap_or_else(|| view! { <span class="none">"—"</span> }.into_any());
                view! {
                    <Row id=one.version.to_string()>
                        <Cell label="Version">
                            <a class="link" href=href>
                                {word}
                            </a>
                            {here}
                        </Cell>
                        <Cell label="Stored">
                            <Time at=one.changed_at />
                        </Cell>
                        <Cell label="By">{by}</Cell>
                    </Row>
                }
            })
            .collect_view();
        view! {
            <Section title="Versions" id="versions" note="What is stored never changes; it is only followed by another version.">
                <Table caption="Versions" columns=VERSIONS testid=testid::PROFILE_VERSIONS>
                    {rows}
                </Table>
            </Section>
        }
    })
}
