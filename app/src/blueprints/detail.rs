//! The page of a blueprint: its editor, its versions, its end.

use domain::{
    blueprint::{BlueprintPool, BlueprintVersion, BlueprintView},
    valid::BlueprintName,
};
use leptos::{prelude::*, server_fn::ServerFn};
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    BlueprintPage,
    api::{self, RetireBlueprint},
    editor::{self, Editing},
    list::who,
};
use crate::{
    Fault,
    live::{held, live},
    routes,
    routes::testid,
    ui::{
        Cell, Column, ConfirmForm, FormFault, History, LinkButton, Loaded, Notice, PageHead, Row, Section, Status,
        Table, Time, Tone, fault_of,
    },
};

const VERSIONS: &[Column] = &[Column::text("Version"), Column::text("Stored"), Column::text("By")];

/// The page of a blueprint.
#[component]
pub fn BlueprintDetailPage() -> impl IntoView {
    let params = use_params_map();
    let query = use_query_map();
    let name = Memo::new(move |_| params.get().get("name").unwrap_or_default());
    let version = Memo::new(move |_| query.with(|query| query.get("version")?.parse::<u32>().ok()));
    let state = Editing::new();
    let retire = ServerAction::<RetireBlueprint>::new();
    let gone = move || matches!(retire.value().get(), Some(Ok(())));
    let changed = held(live(&["blueprint", "node"]), move || retire.pending().get() || gone());
    let page = Resource::new(
        move || (name.get(), version.get(), changed.get(), state.save.version().get()),
        |(name, version, ..)| async move { api::show(name.parse().map_err(|_| Fault::not_found())?, version).await },
    );
    let fault = fault_of(retire.value());
    view! {
        <FormFault fault=fault />
        <Loaded from=page let:page>
            {shown(page, version.get_untracked(), state, retire)}
        </Loaded>
    }
}

fn shown(
    page: BlueprintPage,
    asked: Option<u32>,
    state: Editing,
    retire: ServerAction<RetireBlueprint>,
) -> impl IntoView {
    let BlueprintPage { blueprint, account, history } = page;
    let BlueprintView { name, version, definition, nodes, versions, pools, .. } = blueprint;
    let misfits = misfits(pools);
    let newest = versions.first().map_or(version, |newest| newest.version);
    let word = format!("version {version}");
    let note = match nodes {
        0 => "No live node was made from it.".to_owned(),
        1 => "1 live node was made from it.".to_owned(),
        more => format!("{more} live nodes were made from it."),
    };
    let older = asked.filter(|asked| *asked != newest).map(|asked| {
        let href = routes::blueprint(&name);
        view! {
            <Notice tone=Tone::Neutral title=format!("This is an older one: version {asked}")>
                <p>
                    "Saving it makes it the newest again. "
                    <a class="link" href=href>
                        {format!("Show version {newest}")}
                    </a>
                </p>
            </Notice>
        }
    });
    let saved = move || {
        state.save.value().get().and_then(Result::ok).map(|saved| {
            view! {
                <Notice tone=Tone::Ok title=format!("Version {} is stored", saved.version) testid=testid::OUTCOME>
                    <p>"Nodes that are acquired from now on get it."</p>
                </Notice>
            }
        })
    };
    let text = name.to_string();
    let (question, fields) = (format!("Delete the blueprint {text}?"), vec![("name", text.clone())]);
    let form = editor::form(Some(text), definition, state);
    let on_confirm = {
        let name = name.clone();
        move |()| {
            retire.dispatch(RetireBlueprint { name: name.clone() });
        }
    };
    let consequence = format!(
        "Nobody can ask for nodes of {name} any more. Its versions stay readable, and storing one under this name brings it back."
    );
    let busy = retire.pending();
    let (next, href) = match account {
        Some(account) => ("Acquire node", routes::acquire_of(&account, name.as_str())),
        None => ("Connect an account for it", routes::PROVIDERS.to_owned()),
    };
    let table = versions_table(&name, version, versions);
    view! {
        <PageHead
            title=format!("Blueprint {name}")
            beside=move || view! { <Status word=word.clone() tone_is=Tone::Neutral /> }
            note=move || note.clone()
        >
            <LinkButton href=href primary=true>
                {next}
            </LinkButton>
            <LinkButton href=routes::BLUEPRINTS>"All blueprints"</LinkButton>
            <ConfirmForm
                id="retire-blueprint"
                label="Delete"
                title=question
                consequence=consequence
                url=RetireBlueprint::url()
                fields=fields
                on_confirm=on_confirm
                busy=busy
                danger=true
            />
        </PageHead>
        <div class="outcome" aria-live="polite">
            {saved}
        </div>
        {older}
        {misfits}
        <Section title="What it holds" id="edit" note="Checked when it is saved; nothing of it is run before a node is acquired.">
            {form}
        </Section>
        {table}
        <Section title="History" id="history">
            <History entries=history />
        </Section>
    }
}

/// The pools that stand still because their templates do not fit any more.
fn misfits(pools: Vec<BlueprintPool>) -> Option<impl IntoView> {
    let rows: Vec<_> = pools
        .into_iter()
        .filter_map(|one| {
            let (why, href) = (one.misfit?, routes::pool_template(&one.pool));
            Some(view! {
                <p>
                    <a class="link" href=href>
                        {format!("Pool {}", one.pool)}
                    </a>
                    ": "
                    {why}
                </p>
            })
        })
        .collect();
    (!rows.is_empty()).then(|| {
        view! {
            <Notice tone=Tone::Warn title="Nothing is acquired for some pools" testid=testid::MISFITS>
                {rows}
            </Notice>
        }
    })
}

fn versions_table(name: &BlueprintName, shown: u32, versions: Vec<BlueprintVersion>) -> impl IntoView + use<> {
    let name = name.clone();
    let rows = versions
        .into_iter()
        .map(|one| {
            let href = format!("{}?version={}", routes::blueprint(&name), one.version);
            let here = (one.version == shown).then(|| view! { <span class="cell-sub">"shown above"</span> });
            let by = one.changed_by.map(|by| who(by).into_any());
            let by = by.unwrap_or_else(|| view! { <span class="none">"—"</span> }.into_any());
            view! {
                <Row id=one.version.to_string()>
                    <Cell label="Version">
                        <a class="link" href=href>
                            {format!("version {}", one.version)}
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
            <Table caption="Versions" columns=VERSIONS testid=testid::BLUEPRINT_VERSIONS>
                {rows}
            </Table>
        </Section>
    }
}
