//! Lists what a Hetzner Cloud project offers and what Hangar owns there; with `--create NAME`
//! makes a server and takes it away again.
//!
//! ```text
//! HCLOUD_TOKEN=… cargo run -p providers --example hetzner [--create NAME]
//! ```
//! `HCLOUD_ENDPOINT` names another implementation of the API.

use std::{collections::BTreeMap, error::Error, process::ExitCode};

use domain::valid::amount_display;
use providers::{
    Account, AccountAccess, AccountSecret, InfraProvider, MachineTarget, ManagedKey, MemoryJournal, ProvisionWish,
    Registry, Selection, Timeouts, choose,
};
use serde_json::json;

const INSTANCE: &str = "example";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let token = std::env::var("HCLOUD_TOKEN").map_err(|_| "HCLOUD_TOKEN is not set")?;
    let settings = match std::env::var("HCLOUD_ENDPOINT") {
        Ok(endpoint) => json!({"endpoint": endpoint}),
        Err(_) => json!({}),
    };
    let secret = json!({"api_token": token});
    let registry = Registry::standard();
    let adapter = registry.get("hetzner").ok_or("no such kind of account")?;
    if let Err(errors) = adapter.validate(&settings, Some(&secret)) {
        return Err(errors
            .iter()
            .map(|it| format!("{}: {}", it.pointer, it.message))
            .collect::<Vec<_>>()
            .join("\n")
            .into());
    }
    let account = adapter.open(AccountAccess {
        work_dir: std::env::temp_dir(),
        settings,
        secret: AccountSecret::new(secret),
        instance: INSTANCE.to_owned(),
        timeouts: Timeouts::default(),
    })?;
    println!("{}", account.check(None).await?.message);
    list(account.as_ref()).await?;
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--create"), Some(name)) => make_and_take_away(account.as_ref(), &name).await,
        (None, _) => Ok(()),
        _ => Err("usage: hetzner [--create NAME]".into()),
    }
}

fn infra(account: &dyn Account) -> Result<&dyn InfraProvider, Box<dyn Error>> {
    account.infra().ok_or_else(|| "this kind of account has no machines".into())
}

async fn list(account: &dyn Account) -> Result<(), Box<dyn Error>> {
    let catalog = account.catalog().await?;
    for server_type in &catalog.server_types {
        for at in server_type.locations.iter().filter(|at| !at.deprecated) {
            let capacity = if at.available { "" } else { "  (no capacity indicated)" };
            println!(
                "{:<8} {:<5} {:>2} cores {:>4} GB  {} {} a month{capacity}",
                server_type.name,
                at.location,
                server_type.cores,
                server_type.memory_gb,
                amount_display(&at.price_monthly),
                catalog.currency,
            );
        }
    }
    for machine in infra(account)?.owned().await? {
        println!("owned: {} {} {:?}", machine.infra_id, machine.name, machine.status);
    }
    if let Some(budget) = account.budget() {
        println!("{} of {} calls left, full in {} s", budget.remaining, budget.limit, budget.full_in_seconds);
    }
    Ok(())
}

async fn make_and_take_away(account: &dyn Account, name: &str) -> Result<(), Box<dyn Error>> {
    let chosen = choose(&account.catalog().await?, &Selection::default()).map_err(|errors| format!("{errors:?}"))?;
    println!(
        "{} at {} {} a month",
        chosen.pairs[0].server_type,
        amount_display(&chosen.price_monthly),
        chosen.currency
    );
    let (managed_key, _private) = ManagedKey::generate("hangar-example")?;
    let wish = ProvisionWish {
        node_id: format!("node-{name}"),
        job_id: "job-example".to_owned(),
        server_name: name.to_owned(),
        pairs: chosen.pairs,
        image: chosen.image,
        managed_key,
        user_data: None,
        labels: BTreeMap::new(),
        ipv4: true,
        firewalls: Vec::new(),
        instance: INSTANCE.to_owned(),
        stack: None,
    };
    // In memory: were this program killed, only `owned` would still know of the server.
    let mut journal = MemoryJournal::default();
    let made = infra(account)?.provision(&wish, &mut journal).await;
    match &made {
        Ok(machine) => println!("made {} at {}", machine.infra_id, machine.host),
        Err(error) => println!("not made: {error}"),
    }
    let target = MachineTarget {
        infra_id: journal.facts().infra_id.clone(),
        server_name: wish.server_name,
        node_id: wish.node_id,
    };
    let gone = infra(account)?.destroy(&target, &mut journal).await?;
    println!("taken away: {}", if gone.found { "yes" } else { "there was nothing" });
    made.map(drop).map_err(Into::into)
}
