//! The accounts, the kinds never connected, and the form that connects one.

use domain::provider::{Capability, ProviderKindView, ProviderStatus, ProviderView, ProvidersPage};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::{api, connect, connect::Connecting, schema};
use crate::{
    live::live,
    routes,
    routes::testid,
    ui::{Cell, Code, Column, LinkButton, Loaded, PageHead, Row, RowLink, Section, Status, Table, Time},
};

const COLUMNS: &[Column] = &[
    Column::text("Provider"),
    Column::text("Status"),
    Column::text("Secret"),
    Column::text("Capabilities"),
    Column::text("Guidance"),
];

/// The page of the accounts.
#[component]
pub fn ProvidersListPage() -> impl IntoView {
    let connecting = Connecting::new(use_query_map().get_untracked().get("kind").unwrap_or_default());
    let changed = live(&["provider"]);
    let connected = connecting.action.version();
    let page = Resource::new(move || (changed.get(), connected.get()), |_| api::list());
    view! { <Loaded from=page let:page>{shown(page, connecting)}</Loaded> }
}

fn shown(page: ProvidersPage, connecting: Connecting) -> impl IntoView {
    let form = connect::form(&page, connecting);
    let ProvidersPage { accounts, kinds, .. } = page;
    let note = head(&accounts);
    // Kinds that want no secret have none to show.
    let open: Vec<String> = kinds
        .iter()
        .filter(|kind| schema::fields(&kind.secret_schema).is_empty())
        .map(|kind| kind.kind.clone())
        .collect();
    let never: Vec<ProviderKindView> =
        kinds.into_iter().filter(|kind| !accounts.iter().any(|account| account.kind == kind.kind)).collect();
    let accounts = accounts
        .into_iter()
        .map(|account| {
            let has_secret = !open.contains(&account.kind);
            account_row(account, has_secret)
        })
        .collect_view();
    let never = never.into_iter().map(kind_row).collect_view();
    view! {
        <PageHead title="Providers" note=move || note.clone()>
            <LinkButton href="#connect" primary=true>
                "Connect account"
            </LinkButton>
        </PageHead>
        <Table caption="Provider accounts" columns=COLUMNS testid=testid::PROVIDERS>
            {accounts}
            {never}
        </Table>
        <Section
            title="Connect an account"
            id="connect"
            note="An account is what Hangar makes machines and DNS names through: a project at a vendor, a Docker Engine, or a name server, with the credential for it."
        >
            {form}
        </Section>
    }
}

/// How many are connected, and whether machines can be had through one of them.
fn head(accounts: &[ProviderView]) -> String {
    let is_connected = |account: &&ProviderView| account.status == ProviderStatus::Connected;
    let connected = accounts.iter().filter(is_connected).count();
    let has_machines = |account: &ProviderView| account.capabilities.contains(&Capability::Provision);
    if connected > 0 && !accounts.iter().filter(is_connected).any(has_machines) {
        return match connected {
            1 => {
                "1 account is connected, and it has no machines. Nodes cannot be made until one is that has.".to_owned()
            }
            some => {
                format!(
                    "{some} accounts are connected, and none has machines. Nodes cannot be made until one is that has."
                )
            }
        };
    }
    match (connected, accounts.len()) {
        (0, 0) => "No account is connected. Nodes cannot be made until one is.".to_owned(),
        (0, 1) => "The account is not connected. Nodes cannot be made until one is.".to_owned(),
        (0, all) => format!("None of {all} accounts is connected. Nodes cannot be made until one is."),
        (1, 1) => "1 account is connected.".to_owned(),
        (some, all) if some == all => format!("{all} accounts are connected."),
        (some, all) => format!("{some} of {all} accounts connected."),
    }
}

fn capabilities(all: Vec<Capability>) -> impl IntoView {
    let words: Vec<&str> = all.into_iter().map(Capability::as_str).collect();
    view! { <span class="capabilities">{words.join(", ")}</span> }
}

fn account_row(account: ProviderView, has_secret: bool) -> impl IntoView {
    let ProviderView { id, name, display_name, status, secret_configured, guidance, last_message, .. } = account;
    let code = account.last_code.map(|code| code.as_str().to_owned());
    let (checked, offers) = (account.last_checked_at, account.capabilities);
    let guidance = match guidance.is_empty() {
        true => view! { <span class="muted">{last_message.unwrap_or_else(|| "Nothing to do.".to_owned())}</span> }
            .into_any(),
        false => {
            let lines = guidance.into_iter().map(|line| view! { <li>{line}</li> }).collect_view();
            view! {
                {code.map(|code| view! { <Code value=code /> })}
                <ul class="guidance">{lines}</ul>
            }
            .into_any()
        }
    };
    view! {
        <Row id=id.to_string()>
            <Cell label="Provider">
                <RowLink href=routes::provider(&id)>{name}</RowLink>
                <span class="cell-sub">{display_name}</span>
            </Cell>
            <Cell label="Status">
                <Status word=status.as_str() />
                <span class="cell-sub">"checked " <Time at=checked /></span>
            </Cell>
            <Cell label="Secret">{schema::secret_words(has_secret, secret_configured)}</Cell>
            <Cell label="Capabilities">{capabilities(offers)}</Cell>
            <Cell label="Guidance">{guidance}</Cell>
        </Row>
    }
}

fn kind_row(kind: ProviderKindView) -> impl IntoView {
    let ProviderKindView { kind, display_name, capabilities: offers, .. } = kind;
    let href = format!("{}?kind={kind}#connect", routes::PROVIDERS);
    view! {
        <Row id=kind.clone()>
            <Cell label="Provider">
                <RowLink href=href>{display_name}</RowLink>
                <span class="cell-sub mono">{kind}</span>
            </Cell>
            <Cell label="Status">
                <Status word=ProviderStatus::Disconnected.as_str() />
            </Cell>
            <Cell label="Secret">"none"</Cell>
            <Cell label="Capabilities">{capabilities(offers)}</Cell>
            <Cell label="Guidance">
                <span class="muted">"Connect an account of this kind with the form below."</span>
            </Cell>
        </Row>
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use domain::time::Timestamp;

    fn account(status: ProviderStatus) -> ProviderView {
        ProviderView {
            id: "prv_1".parse().unwrap(),
            kind: "k".to_owned(),
            display_name: "K".to_owned(),
            name: "acct".to_owned(),
            status,
            capabilities: vec![Capability::Provision],
            settings: Default::default(),
            secret_configured: true,
            last_code: None,
            last_message: None,
            guidance: Vec::new(),
            connected_at: None,
            last_checked_at: Some(Timestamp::from_millis(0)),
            expires_at: None,
            nodes: 0,
            budget: None,
            owned: None,
            observed_at: None,
            breaker: None,
            version: 1,
            actions: Vec::new(),
        }
    }

    #[test]
    fn the_head_counts_and_says_what_none_means() {
        let (good, bad) = (account(ProviderStatus::Connected), account(ProviderStatus::Degraded));
        assert_eq!(head(&[good.clone(), bad.clone()]), "1 of 2 accounts connected.");
        assert_eq!(head(&[good]), "1 account is connected.");
        for none in [vec![], vec![bad.clone()], vec![bad.clone(), bad]] {
            assert!(head(&none).ends_with("Nodes cannot be made until one is."));
        }
        let names = ProviderView { capabilities: vec![Capability::Dns], ..account(ProviderStatus::Connected) };
        assert!(head(std::slice::from_ref(&names)).starts_with("1 account is connected, and it has no machines."));
        assert!(head(&[names.clone(), names.clone()]).starts_with("2 accounts are connected, and none has machines."));
        assert_eq!(head(&[names, account(ProviderStatus::Connected)]), "2 accounts are connected.");
    }
}
