//! The operator's list of machines: read at start and by `POST /admin/pool-refresh`. The rule: all
//! or nothing, and no refresh ever frees or forgets a machine that somebody holds.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    access::Principal,
    code::Code,
    job::Subject,
    list::FieldError,
    pool::{Cleaning, PoolEntry, PoolRefreshReport, PoolVmEvent, PoolVmSource, PoolVmStatus},
    time::Timestamp,
    valid::{PoolName, PoolVmId},
};
use serde_json::Value;
use store::{Conn, PoolVmRow};

use super::{
    Services,
    audit::{Happened, audit_in, event},
    need_admin,
    pools::{assign_waiting_in, pool_ensure_in},
};
use crate::fault::Fault;

/// Whether a refresh is only reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// Report what would change.
    Yes,
    /// Change it.
    No,
}

/// Machines that the demo provisioner begins with.
const DEMO_MACHINES: &str = r#"[{"id":"demo-1"},{"id":"demo-2"},{"id":"demo-3"}]"#;

impl Services {
    /// Loads the list of `VM_POOL_JSON` while none was ever stored.
    ///
    /// # Errors
    /// `bad_request` if the list is not one.
    pub(super) async fn pool_seed(&self, vm_pool_json: Option<&str>) -> Result<(), Fault> {
        let text = match (vm_pool_json, self.settings.provisioner_demo) {
            (Some(text), _) => text,
            (None, true) => DEMO_MACHINES,
            (None, false) => return Ok(()),
        };
        let entries = parse(text.as_bytes())?;
        let now = self.clock.now();
        let cleaning = self.first_cleaning();
        self.write::<(), Fault, _>(move |c| {
            let entries = entries.clone();
            Box::pin(async move {
                pool_ensure_in(c, &PoolName::default_pool(), cleaning, now).await?;
                c.pool_lock(&PoolName::default_pool()).await?;
                if c.listed_ever().await? {
                    return Ok(());
                }
                apply_in(c, &entries, cleaning, now).await.map(|_| ())
            })
        })
        .await
    }

    /// How a pool that comes into being by a list is cleaned.
    fn first_cleaning(&self) -> Cleaning {
        if self.settings.provisioner_demo { Cleaning::None } else { Cleaning::Replace }
    }

    /// Replaces the operator's list by the one in `body`: an array, or `{"pool": […]}`.
    ///
    /// # Errors
    /// `bad_request` changes nothing; `pool_not_registered` if there is no pool at all.
    pub async fn pool_refresh(
        &self,
        who: &Principal,
        body: &[u8],
        dry_run: DryRun,
    ) -> Result<PoolRefreshReport, Fault> {
        let outcome = self.refresh(who, body, dry_run).await;
        if let Err(fault) = &outcome {
            self.audit_refused(Some(who), "pool.refresh", Subject::new("pool", "default"), fault).await;
        }
        outcome
    }

    async fn refresh(&self, who: &Principal, body: &[u8], dry_run: DryRun) -> Result<PoolRefreshReport, Fault> {
        need_admin(who)?;
        if !self.store.read().await?.pools_exist().await? {
            return Err(Fault {
                recovery: Some(Box::new(Code::PoolNotRegistered.recovery())),
                ..Fault::new(Code::PoolNotRegistered, "There is no pool to refresh.")
            });
        }
        let entries = parse(body)?;
        let now = self.clock.now();
        let cleaning = self.first_cleaning();
        let who = who.clone();
        let outcome = self
            .write::<PoolRefreshReport, Refreshed, _>(move |c| {
                let (entries, who) = (entries.clone(), who.clone());
                Box::pin(async move {
                    let report = apply_in(c, &entries, cleaning, now).await?;
                    if dry_run == DryRun::Yes {
                        // The error rolls everything back; the report is what it would have been.
                        return Err(Refreshed::OnlyReported(report));
                    }
                    let line =
                        Happened::ok(&who, "pool.refresh", Subject::new("pool", "default"), now).detail(format!(
                            "{} machines before, {} now: {} added, {} removed, {} draining",
                            report.prev_pool_size, report.pool_size, report.added, report.removed, report.draining
                        ));
                    audit_in(c, line).await?;
                    Ok(report)
                })
            })
            .await;
        match outcome {
            Ok(report) | Err(Refreshed::OnlyReported(report)) => Ok(report),
            Err(Refreshed::Fault(fault)) => Err(fault),
        }
    }
}

/// How a refresh's transaction ends when it does not commit.
enum Refreshed {
    OnlyReported(PoolRefreshReport),
    Fault(Fault),
}

impl From<store::StoreError> for Refreshed {
    fn from(error: store::StoreError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<Fault> for Refreshed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Reads a list; every fault names its entry.
fn parse(body: &[u8]) -> Result<Vec<PoolEntry>, Fault> {
    let refuse = |errors: Vec<FieldError>| {
        let detail = errors.iter().map(|e| format!("{}: {}", e.pointer, e.message)).collect::<Vec<_>>().join("; ");
        Fault { errors, ..Fault::new(Code::BadRequest, detail) }
    };
    let value: Value = serde_json::from_slice(body)
        .map_err(|e| Fault::new(Code::BadRequest, format!("The list is not JSON: {e}.")))?;
    let (prefix, items) = match value {
        Value::Array(items) => ("", items),
        Value::Object(mut map) => match map.remove("pool") {
            Some(Value::Array(items)) => ("/pool", items),
            _ => return Err(Fault::new(Code::BadRequest, "Send an array of machines, or {\"pool\": [...]}.")),
        },
        _ => return Err(Fault::new(Code::BadRequest, "Send an array of machines, or {\"pool\": [...]}.")),
    };
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    let mut entries = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let pointer = format!("{prefix}/{index}");
        match serde_json::from_value::<PoolEntry>(item) {
            Err(error) => errors.push(FieldError { pointer, message: Fault::unreadable("The machine", &error).detail }),
            Ok(entry) => {
                if !seen.insert(entry.id.clone()) {
                    errors.push(FieldError {
                        pointer: format!("{pointer}/id"),
                        message: format!("the id {} stands in the list twice", entry.id),
                    });
                }
                if !matches!(entry.status, None | Some(PoolVmStatus::Available | PoolVmStatus::Maintenance)) {
                    errors.push(FieldError {
                        pointer: format!("{pointer}/status"),
                        message: "use available or maintenance".to_owned(),
                    });
                }
                entries.push(entry);
            }
        }
    }
    if errors.is_empty() { Ok(entries) } else { Err(refuse(errors)) }
}

/// Makes the listed machines what `entries` say, in the caller's transaction.
async fn apply_in(
    c: &mut Conn,
    entries: &[PoolEntry],
    cleaning: Cleaning,
    now: Timestamp,
) -> Result<PoolRefreshReport, Fault> {
    let counted =
        |rows: &BTreeMap<PoolVmId, PoolVmRow>| rows.values().filter(|r| r.status != PoolVmStatus::Retired).count();
    let mut pools: BTreeSet<PoolName> = entries.iter().map(pool_of).collect();
    for name in &pools {
        pool_ensure_in(c, name, cleaning, now).await?;
    }
    pools.extend(c.pool_vms_listed().await?.into_iter().map(|r| r.pool));
    // Locked in the order of their names, so that two refreshes never wait for one another. Only
    // what is read under the locks counts.
    for name in &pools {
        c.pool_lock(name).await?;
    }
    let mut known: BTreeMap<PoolVmId, PoolVmRow> =
        c.pool_vms_listed().await?.into_iter().map(|r| (r.id.clone(), r)).collect();
    let mut report = PoolRefreshReport {
        prev_pool_size: count(counted(&known)),
        pool_size: 0,
        added: 0,
        removed: 0,
        draining: 0,
        warnings: Vec::new(),
    };
    let listed: BTreeSet<&PoolVmId> = entries.iter().map(|e| &e.id).collect();
    for row in known.values_mut().filter(|r| !listed.contains(&r.id)) {
        if let Ok(next) = row.status.apply(PoolVmEvent::Leave) {
            if row.status == PoolVmStatus::Cleaning {
                row.note = Some("Left the list before it was cleaned; not cleaned since.".to_owned());
            }
            row.status = next;
            row.updated_at = now;
            save(c, row).await?;
            if next == PoolVmStatus::Draining {
                report.draining += 1;
                report.warnings.push(format!("{} is held; it is retired when it is released", row.id));
            } else {
                report.removed += 1;
            }
        } else if row.status == PoolVmStatus::Draining {
            report.draining += 1;
        }
    }
    for (position, entry) in (0_i64..).zip(entries) {
        let parked = entry.status == Some(PoolVmStatus::Maintenance);
        match known.get_mut(&entry.id) {
            Some(row) => {
                if row.status == PoolVmStatus::Retired {
                    report.added += 1;
                }
                row.status = status_after(row, entry.status);
                if row.status == PoolVmStatus::Available {
                    row.note = None;
                } else if row.note.is_some() {
                    report.warnings.push(format!(
                        "{} was given back and not cleaned since; it stays in maintenance until the list or an administrator says available",
                        row.id
                    ));
                }
                let held = matches!(row.status, PoolVmStatus::Allocated | PoolVmStatus::Draining);
                if held && row.pool != pool_of(entry) {
                    report
                        .warnings
                        .push(format!("{} is held; it stays in pool {} until it is released", row.id, row.pool));
                } else {
                    row.pool = pool_of(entry);
                }
                row.host.clone_from(&entry.host);
                row.cockpit_url.clone_from(&entry.cockpit_url);
                row.ssh_user.clone_from(&entry.ssh_user);
                row.ssh_port = entry.ssh_port.map(i64::from);
                row.labels.clone_from(&entry.labels);
                row.position = position;
                row.updated_at = now;
                save(c, row).await?;
            }
            None => {
                if c.pool_vm_get(&entry.id).await?.is_some() {
                    return Err(Fault::new(
                        Code::BadRequest,
                        format!(
                            "The id {} is already that of a machine backed by a node; ids are unique in the installation.",
                            entry.id
                        ),
                    ));
                }
                let row = PoolVmRow {
                    id: entry.id.clone(),
                    pool: pool_of(entry),
                    source: PoolVmSource::Listed,
                    node_id: None,
                    host: entry.host.clone(),
                    cockpit_url: entry.cockpit_url.clone(),
                    status: if parked { PoolVmStatus::Maintenance } else { PoolVmStatus::Available },
                    note: None,
                    ssh_user: entry.ssh_user.clone(),
                    ssh_port: entry.ssh_port.map(i64::from),
                    labels: entry.labels.clone(),
                    position,
                    updated_at: now,
                    version: 1,
                };
                c.pool_vm_insert(&row).await?;
                known.insert(row.id.clone(), row);
                report.added += 1;
            }
        }
    }
    report.pool_size = count(counted(&known));
    for name in &pools {
        assign_waiting_in(c, name, now).await?;
        c.event_insert(&[event("pool", name, now.millis(), None)]).await?;
    }
    Ok(report)
}

/// The status of a known machine that the list names (again). What somebody holds, and what is
/// being cleaned, the list does not change; a machine that was given back and not cleaned since
/// (its note says so) becomes available only if the list says so in words.
fn status_after(row: &PoolVmRow, wanted: Option<PoolVmStatus>) -> PoolVmStatus {
    let dirty = row.note.is_some();
    let parked = wanted == Some(PoolVmStatus::Maintenance);
    let let_go = wanted == Some(PoolVmStatus::Available) || !dirty;
    let moved = match row.status {
        PoolVmStatus::Available if parked => row.status.apply(PoolVmEvent::Park),
        PoolVmStatus::Maintenance if !parked && let_go => row.status.apply(PoolVmEvent::MarkClean),
        PoolVmStatus::Draining => row.status.apply(PoolVmEvent::Return),
        PoolVmStatus::Retired if parked || !let_go => Ok(PoolVmStatus::Maintenance),
        PoolVmStatus::Retired => row.status.apply(PoolVmEvent::Return),
        status => Ok(status),
    };
    moved.unwrap_or(row.status)
}

/// Stores a machine as it was read and changed; if somebody was faster, nothing of the refresh
/// happens.
async fn save(c: &mut Conn, row: &PoolVmRow) -> Result<(), Fault> {
    if c.pool_vm_save(row).await? {
        Ok(())
    } else {
        Err(Fault::new(Code::ConflictState, format!("{} changed meanwhile; send the list again.", row.id)))
    }
}

fn pool_of(entry: &PoolEntry) -> PoolName {
    entry.pool.clone().unwrap_or_else(PoolName::default_pool)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
