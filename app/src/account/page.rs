//! The account page: who one is here, and one's ways in.

use domain::{access::Role, user::AccountPage as Account};
use leptos::prelude::*;

use super::api;
use crate::{
    live::live,
    routes,
    ui::{Cell, Code, Column, Fact, Facts, Id, Loaded, Notice, PageHead, Row, Section, Status, Table, Time, Tone},
};

const COLUMNS: &[Column] = &[Column::text("Forge"), Column::text("Login"), Column::text("Linked")];

/// The account page.
#[component]
pub fn AccountPage() -> impl IntoView {
    let changed = live(&["user"]);
    let account = Resource::new(move || changed.get(), |_| api::show());
    view! {
        <PageHead title="Account">
            <form method="post" action=routes::LOGOUT>
                <button class="button" type="submit">
                    "Sign out"
                </button>
            </form>
        </PageHead>
        <Loaded from=account let:account>
            {shown(account)}
        </Loaded>
    }
}

fn shown(account: Account) -> impl IntoView {
    let user = account.user;
    let quota = match user.role {
        Role::Admin => "as many as there are".to_owned(),
        Role::User => format!("up to {} at once", user.max_active),
    };
    let identities = account.identities;
    let ways = if identities.is_empty() {
        view! {
            <Notice tone=Tone::Neutral title="No Forge account is linked">
                <p>"You signed in with the admin secret."</p>
            </Notice>
        }
        .into_any()
    } else {
        let rows = identities
            .into_iter()
            .map(|identity| {
                view! {
                    <Row id=identity.login.clone()>
                        <Cell label="Forge">{identity.forge}</Cell>
                        <Cell label="Login">
                            <Code value=identity.login />
                        </Cell>
                        <Cell label="Linked">
                            <Time at=identity.linked_at />
                        </Cell>
                    </Row>
                }
            })
            .collect_view();
        view! {
            <Table caption="Linked identities" columns=COLUMNS testid="identities">
                {rows}
            </Table>
        }
        .into_any()
    };
    view! {
        <Facts>
            <Fact label="Name">{user.display_name}</Fact>
            <Fact label="Role">{user.role.as_str()}</Fact>
            <Fact label="Standing">
                <Status word=user.status.as_str() />
            </Fact>
            <Fact label="Services">{quota}</Fact>
            <Fact label="Here since">
                <Time at=user.created_at />
            </Fact>
            <Fact label="Id">
                <Id value=user.id.to_string() />
            </Fact>
        </Facts>
        <Section title="Ways in">{ways}</Section>
    }
}
