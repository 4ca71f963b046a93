//! The people: who they are, what they may, how many services they may hold.

use domain::{
    access::{Role, UserStatus},
    id::UserId,
    user::UserView,
};
use leptos::{prelude::*, server_fn::ServerFn};

use super::api::{self, UpdateUser};
use crate::{
    live::live,
    routes,
    routes::testid,
    ui::{
        Cell, Column, ConfirmForm, EmptyState, FilterBar, FilterSelect, FormFault, ListView, PageHead, Row, Status,
        Submit, Time, fault_of, url_filter, word_choices,
    },
};

const COLUMNS: &[Column] = &[
    Column::text("Name"),
    Column::text("Login"),
    Column::text("Role"),
    Column::text("Status"),
    Column::text("Quota"),
    Column::text("Last seen"),
];

/// The page of the people.
#[component]
pub fn UsersPage() -> impl IntoView {
    let filter = url_filter();
    let update = ServerAction::<UpdateUser>::new();
    let changed = live(&["user"]);
    let updated = update.version();
    let users = Resource::new(move || (filter.get(), changed.get(), updated.get()), |(filter, ..)| api::list(filter));
    let fault = fault_of(update.value());
    let statuses = UserStatus::ALL.iter().map(|status| status.as_str());
    let roles = Role::ALL.iter().map(|role| role.as_str());
    view! {
        <PageHead title="Users" note=|| "People who signed in, and what they may." />
        <FilterBar what="Login or id">
            <FilterSelect name="status" label="Status" choices=word_choices(statuses) />
            <FilterSelect name="kind" label="Role" choices=word_choices(roles) />
        </FilterBar>
        <FormFault fault=fault />
        <ListView
            from=users
            noun=["person", "people"]
            columns=COLUMNS
            testid=testid::USERS
            key=|user| user.id.to_string()
            empty=|| {
                view! {
                    <EmptyState
                        title="Nobody signed in yet"
                        text="Whoever signs in with their Forge account appears here. Unless sign-up is open, an administrator approves them before they may ask for a service."
                    />
                }
            }
            row=move |user| row(user, update)
        />
    }
}

fn row(user: UserView, update: ServerAction<UpdateUser>) -> impl IntoView {
    let standing = standing(&user, update);
    let role = role(&user, update);
    let quota = quota(&user, update);
    let UserView { id, forge_login, display_name, last_seen_at, .. } = user;
    let held = format!("{}?user={id}", routes::ALLOCATIONS);
    view! {
        <Row id=id.to_string()>
            <Cell label="Name">
                <span class="strong">{display_name}</span>
                <span class="cell-sub">
                    <a class="link" href=held>
                        "services"
                    </a>
                </span>
            </Cell>
            <Cell label="Login">
                {match forge_login {
                    Some(login) => view! { <span class="mono">{login}</span> }.into_any(),
                    None => view! { <span class="none">"—"</span> }.into_any(),
                }}
            </Cell>
            <Cell label="Role">{role}</Cell>
            <Cell label="Status">{standing}</Cell>
            <Cell label="Quota">{quota}</Cell>
            <Cell label="Last seen">
                <Time at=last_seen_at />
            </Cell>
        </Row>
    }
}

fn busy(update: ServerAction<UpdateUser>, id: &UserId) -> Signal<bool> {
    let id = id.clone();
    Signal::derive(move || update.input().get().is_some_and(|input| input.id == id))
}

fn change(id: &UserId) -> UpdateUser {
    UpdateUser { id: id.clone(), role: None, status: None, max_active: None }
}

/// Who is the administrator by secret stays so: it is the way in that is always there.
fn is_fixed(id: &UserId) -> bool {
    *id == UserId::admin()
}

fn standing(user: &UserView, update: ServerAction<UpdateUser>) -> impl IntoView + use<> {
    let (id, status, name) = (user.id.clone(), user.status, user.display_name.clone());
    let busy = busy(update, &id);
    let let_in = match status {
        UserStatus::Pending => Some("Approve"),
        UserStatus::Suspended => Some("Let in again"),
        UserStatus::Active => None,
    };
    let sent = id.to_string();
    let let_in = let_in.map(|label| {
        view! {
            <ActionForm action=update attr:class="row-form">
                <input type="hidden" name="id" value=sent />
                <input type="hidden" name="status" value=UserStatus::Active.as_str() />
                <Submit busy=busy quiet=status == UserStatus::Suspended small=true>
                    {label}
                </Submit>
            </ActionForm>
        }
    });
    let shut_out = (status != UserStatus::Suspended && !is_fixed(&id)).then(|| {
        let fields = vec![("id", id.to_string()), ("status", UserStatus::Suspended.as_str().to_owned())];
        let dialog = format!("suspend-{id}");
        let id = id.clone();
        let on_confirm = move |()| {
            update.dispatch(UpdateUser { status: Some(UserStatus::Suspended), ..change(&id) });
        };
        view! {
            <ConfirmForm
                id=dialog
                label="Suspend"
                title=format!("Suspend {name}?")
                consequence=format!(
                    "Signs {name} out everywhere and lets them in no more. Their services stay until they expire or are released.",
                )
                url=UpdateUser::url()
                fields=fields
                on_confirm=on_confirm
                busy=busy
                danger=true
            />
        }
    });
    view! {
        <Status word=status.as_str() />
        <div class="row-actions">{let_in} {shut_out}</div>
    }
}

fn role(user: &UserView, update: ServerAction<UpdateUser>) -> impl IntoView + use<> {
    let (id, role, name) = (user.id.clone(), user.role, user.display_name.clone());
    let busy = busy(update, &id);
    let (to, label, consequence) = match role {
        Role::User => (
            Role::Admin,
            "Make administrator",
            format!(
                "{name} may then do everything here: connect accounts, spend money on nodes, see and release everybody's services."
            ),
        ),
        Role::Admin => (Role::User, "Make user", format!("{name} may then only ask for services and see their own.")),
    };
    let form = (!is_fixed(&id)).then(|| {
        let fields = vec![("id", id.to_string()), ("role", to.as_str().to_owned())];
        let dialog = format!("role-{id}");
        let on_confirm = move |()| {
            update.dispatch(UpdateUser { role: Some(to), ..change(&id) });
        };
        view! {
            <ConfirmForm
                id=dialog
                label=label
                title=format!("{label}: {name}?")
                consequence=consequence
                url=UpdateUser::url()
                fields=fields
                on_confirm=on_confirm
                busy=busy
            />
        }
    });
    view! {
        <span>{role.as_str()}</span>
        <div class="row-actions">{form}</div>
    }
}

fn quota(user: &UserView, update: ServerAction<UpdateUser>) -> impl IntoView + use<> {
    let (id, most, name) = (user.id.to_string(), user.max_active.to_string(), user.display_name.clone());
    let busy = busy(update, &user.id);
    if user.role == Role::Admin {
        return view! { <span class="muted">"not held by one"</span> }.into_any();
    }
    view! {
        <ActionForm action=update attr:class="row-form">
            <input type="hidden" name="id" value=id />
            <input
                class="input input-small"
                type="number"
                name="max_active"
                min="0"
                max="1000"
                value=most
                aria-label=format!("Services that {name} may hold at once")
            />
            <Submit busy=busy quiet=true small=true>
                "Set"
            </Submit>
        </ActionForm>
    }
    .into_any()
}
