//! The page of the backups: what there is, how old and how large it is, and the way to have it. The
//! rule: deleting one names what is lost.

use domain::blueprint::BackupView;
use leptos::{prelude::*, server_fn::ServerFn};

use super::api::{self, DeleteBackup};
use crate::{
    live::live,
    routes,
    routes::testid,
    ui::{
        Cell, Column, ConfirmForm, EmptyState, FilterBar, FormFault, LinkButton, ListView, PageHead, Row, Time,
        fault_of, url_filter,
    },
};

const COLUMNS: &[Column] = &[
    Column::text("Node"),
    Column::text("Blueprint"),
    Column::text("Files"),
    Column::number("Size"),
    Column::text("Made"),
    Column::text("Actions"),
];

/// The page.
#[component]
pub fn BackupsPage() -> impl IntoView {
    let filter = url_filter();
    let delete = ServerAction::<DeleteBackup>::new();
    let changed = live(&["backup"]);
    let done = delete.version();
    let backups = Resource::new(move || (filter.get(), changed.get(), done.get()), |(filter, ..)| api::list(filter));
    let fault = fault_of(delete.value());
    view! {
        <PageHead title="Backups" note=|| "What was kept of nodes before they were destroyed. They stay until they are deleted here.">
            <LinkButton href=routes::SETTINGS>"Settings"</LinkButton>
        </PageHead>
        <FormFault fault=fault />
        <FilterBar what="Node or id" />
        <ListView
            from=backups
            noun=["backup", "backups"]
            columns=COLUMNS
            testid=testid::BACKUPS
            key=|backup| backup.id.to_string()
            empty=|| {
                view! {
                    <EmptyState
                        title="No backups yet"
                        text="Whoever destroys a stack that holds data is asked whether a backup is made first. It is listed here then."
                    >
                        <LinkButton href=routes::NODES>"Nodes"</LinkButton>
                    </EmptyState>
                }
            }
            row=move |backup| row(backup, delete)
        />
    }
}

/// A size in words.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes / 100;
    for unit in UNITS {
        if tenths < 10_000 || unit == "TB" {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= 1000;
    }
    String::new()
}

fn row(backup: BackupView, delete: ServerAction<DeleteBackup>) -> impl IntoView {
    let BackupView { id, node_id, node_name, blueprint, blueprint_version, tag, files, bytes, created_at, missing } =
        backup;
    let blueprint = blueprint.map(|name| {
        let version = blueprint_version.unwrap_or_default();
        let href = format!("{}?version={version}", routes::blueprint(&name));
        let tag = tag.map(|tag| format!("version {version}, tag {tag}"));
        view! {
            <a class="link" href=href>
                {name.to_string()}
            </a>
            <span class="cell-sub muted small">{tag}</span>
        }
    });
    let busy = {
        let id = id.clone();
        Signal::derive(move || delete.input().get().is_some_and(|input| input.id == id))
    };
    let bytes_words = size(bytes);
    let (verb, title, consequence) = if missing {
        (
            "Forget",
            format!("Forget the backup of {node_name}?"),
            format!(
                "Its files ({bytes_words}) are not on this machine: they may be on another one, or their disk is not mounted. Wherever they are, they stay. What tells of them here is deleted, and the secrets that were generated for the stack with it. This cannot be undone."
            ),
        )
    } else {
        (
            "Delete",
            format!("Delete the backup of {node_name}?"),
            format!(
                "Deletes the backup of {node_name} with {bytes_words} of data. Once the node is gone, this is all there is of it. This cannot be undone."
            ),
        )
    };
    let download = routes::backup_download(&id);
    let on_confirm = {
        let id = id.clone();
        move |()| {
            delete.dispatch(DeleteBackup { id: id.clone(), missing });
        }
    };
    let text = id.to_string();
    let fields = vec![("id", text.clone()), ("missing", missing.to_string())];
    let (dialog, files) = (format!("delete-{text}"), files.join(", "));
    view! {
        <Row id=text>
            <Cell label="Node">
                <a class="link" href=routes::node(&node_id)>
                    {node_name}
                </a>
            </Cell>
            <Cell label="Blueprint">{blueprint}</Cell>
            <Cell label="Files">
                {files} {missing.then(|| view! { <span class="cell-sub small">"Not on this machine's disk"</span> })}
            </Cell>
            <Cell label="Size" number=true>
                {bytes_words}
            </Cell>
            <Cell label="Made">
                <Time at=created_at />
            </Cell>
            <Cell label="Actions">
                <div class="row-actions">
                    {(!missing)
                        .then(|| {
                            view! {
                                <a class="button button-small" href=download rel="external" download="">
                                    "Download"
                                </a>
                            }
                        })}
                    <ConfirmForm
                        id=dialog
                        label=verb
                        title=title
                        consequence=consequence
                        url=DeleteBackup::url()
                        fields=fields
                        on_confirm=on_confirm
                        busy=busy
                        danger=true
                    />
                </div>
            </Cell>
        </Row>
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_size_in_words() {
        for (bytes, words) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_550, "1.5 kB"),
            (999_999, "999.9 kB"),
            (1_000_000, "1.0 MB"),
            (12_345_678_901, "12.3 GB"),
            (u64::MAX, "18446744.0 TB"),
        ] {
            assert_eq!(size(bytes), words);
        }
    }
}
