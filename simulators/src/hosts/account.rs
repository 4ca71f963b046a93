//! Who the SSH servers of simulated machines can run as. Rule: never as root.

use std::{fs, os::unix::fs::MetadataExt as _};

/// Shells that can run the forced command.
const SHELLS: [&str; 10] = [
    "/bin/sh",
    "/bin/bash",
    "/bin/dash",
    "/bin/zsh",
    "/bin/ksh",
    "/usr/bin/sh",
    "/usr/bin/bash",
    "/usr/bin/zsh",
    "/usr/bin/fish",
    "/usr/bin/ksh",
];

/// Who the servers run as, and where.
#[derive(Clone, Debug)]
pub(super) enum Account {
    /// In namespaces of its own, under a root directory of its own: a machine that runs what it is
    /// told. `drop`: the id is to be taken on first, since root starts it.
    Machine { uid: u32, drop: bool },
    /// An existing account that is not root, and fixed answers.
    Existing { name: String, uid: u32, gid: u32 },
    /// Whoever started the simulator, and fixed answers.
    Own { name: String },
}

/// A line of `/etc/passwd`.
struct Entry {
    name: String,
    uid: u32,
    gid: u32,
    shell: String,
}

fn entries() -> Vec<Entry> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            Some(Entry {
                name: (*fields.first()?).to_owned(),
                uid: fields.get(2)?.parse().ok()?,
                gid: fields.get(3)?.parse().ok()?,
                shell: (*fields.get(6)?).to_owned(),
            })
        })
        .collect()
}

/// Whom the servers could run as, best first.
pub(super) fn accounts() -> Result<Vec<Account>, String> {
    // Without unsafe code the own user id is read from who owns the process's entry in /proc.
    let own = fs::metadata("/proc/self").map_err(|error| format!("/proc: {error}"))?.uid();
    let entries = entries();
    let usable = |entry: &&Entry| SHELLS.contains(&entry.shell.as_str());
    if own != 0 {
        let mut accounts = vec![Account::Machine { uid: own, drop: false }];
        let name = entries.iter().find(|entry| entry.uid == own).filter(usable);
        accounts.extend(name.map(|it| Account::Own { name: it.name.clone() }));
        return Ok(accounts);
    }
    // An id that nothing else has.
    let free = (64_000..64_900).rev().find(|uid| entries.iter().all(|it| it.uid != *uid));
    let mut accounts = vec![Account::Machine { uid: free.unwrap_or(64_000), drop: true }];
    let existing = entries.iter().filter(usable).filter(|it| it.uid >= 1000 && it.uid < 60_000);
    accounts.extend(existing.map(|it| Account::Existing { name: it.name.clone(), uid: it.uid, gid: it.gid }));
    Ok(accounts)
}
