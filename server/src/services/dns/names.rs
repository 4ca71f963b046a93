//! The records that are made with a node: A and AAAA of one name. The rule: they are written down with
//! the node, made before it is handed over, and taken away before its server.

use std::collections::BTreeMap;

use domain::{
    access::Principal,
    code::Code,
    dns::{DnsEvent, DnsState, DnsType},
    id::NodeId,
    job::JobError,
    node::{Cleanup, DnsWish},
    time::Timestamp,
    valid::{RecordName, ZoneName},
};
use serde_json::Value;
use store::{Conn, DnsRecordRow, NodeRow};

use super::{
    wanted::name_filled,
    write::{NewRecord, dns_begun_in, dns_gone_in, dns_pending_in, record_insert_in},
};
use crate::{
    fault::Fault,
    services::{DnsWork, audit::event},
};

/// The longest label of a name.
const LABEL: usize = 63;

/// Whether a node gets exactly the name that is wished, or one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameAs {
    /// As it is wished: a person asks for this one node.
    Wished,
    /// One that no other node has: it is one of many, or takes another one's place.
    OwnOne,
}

/// The name of a node within its zone.
fn name_of(wish: &DnsWish, node: &NodeRow, named: NameAs) -> String {
    let tail = node.id.short();
    let filled = name_filled(&wish.name, node.name.as_str(), tail);
    if named == NameAs::Wished || wish.name.contains("{id}") {
        return filled;
    }
    if filled == "@" {
        return tail.to_owned();
    }
    let (first, rest) = filled.split_once('.').map_or((filled.as_str(), ""), |(first, rest)| (first, rest));
    let room = LABEL.saturating_sub(tail.len() + 2);
    let first: String = first.chars().take(room).collect();
    let label = format!("{}-{tail}", first.trim_end_matches('-'));
    if rest.is_empty() { label } else { format!("{label}.{rest}") }
}

/// Writes down the names of a node that is being written down.
pub(in crate::services) async fn names_insert_in(
    c: &mut Conn,
    who: &Principal,
    node: &NodeRow,
    named: NameAs,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(wish) = &node.spec.dns else { return Ok(()) };
    let zone: ZoneName = wish.zone.parse().map_err(|e| Fault::field("/dns/zone", format!("{e}")))?;
    let name: RecordName = name_of(wish, node, named).parse().map_err(|e| Fault::field("/dns/name", format!("{e}")))?;
    // Nobody is there to read a refusal where a machine takes its place by itself: its naming says it.
    if named == NameAs::OwnOne && c.provider_lock(&wish.provider_id).await?.is_none() {
        return Ok(());
    }
    for kind in [DnsType::A, DnsType::Aaaa] {
        insert_in(c, who, (wish, node), (&zone, &name, kind), now).await?;
    }
    Ok(())
}

async fn insert_in(
    c: &mut Conn,
    who: &Principal,
    (wish, node): (&DnsWish, &NodeRow),
    (zone, name, kind): (&ZoneName, &RecordName, DnsType),
    now: Timestamp,
) -> Result<(), Fault> {
    let row = NewRecord {
        provider_id: wish.provider_id.clone(),
        zone: zone.clone(),
        name: name.clone(),
        kind,
        content: String::new(),
        ttl: wish.ttl,
        proxied: wish.proxied == Some(true),
        node_id: Some(node.id.clone()),
    }
    .row(who, now);
    record_insert_in(c, &row, "/dns/name").await?;
    Ok(c.event_insert(&[event("dns_record", &row.id, 1, None)]).await?)
}

/// Writes down the names of a node again that is acquired afresh: under the same name as before.
pub(in crate::services) async fn names_again_in(
    c: &mut Conn,
    who: &Principal,
    node: &NodeRow,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(wish) = &node.spec.dns else { return Ok(()) };
    if c.provider_lock(&wish.provider_id).await?.is_none() {
        let message = "The account of its name is no longer here: destroy the node, and acquire another one.";
        return Err(Fault::new(Code::ActionBlocked, message));
    }
    let before = c.dns_records_of_node(&node.id).await?;
    let own: Vec<&DnsRecordRow> =
        before.iter().filter(|row| row.provider_id == wish.provider_id && row.zone.as_str() == wish.zone).collect();
    if let Some(pending) = own.iter().find(|row| row.cleanup == Cleanup::Pending) {
        return Err(Fault::new(
            Code::ActionBlocked,
            format!(
                "The record {} of an earlier attempt is still being taken away; wait until it is gone.",
                pending.id
            ),
        ));
    }
    let Some(last) = own.last() else { return names_insert_in(c, who, node, NameAs::Wished, now).await };
    for kind in [DnsType::A, DnsType::Aaaa] {
        let failed = own.iter().rev().find(|row| row.kind == kind && row.state == DnsState::Failed);
        // What could not be made is made in its place; nothing of it is left.
        if let Some(row) = failed {
            dns_gone_in(c, &row.id, "The node is acquired afresh.", now).await?;
        }
        insert_in(c, who, (wish, node), (&last.zone, &last.name, kind), now).await?;
    }
    Ok(())
}

/// The names of a node that are there or on their way.
pub(crate) async fn names_of_node_in(c: &mut Conn, node: &NodeId) -> Result<Vec<DnsRecordRow>, Fault> {
    let rows = c.dns_records_of_node(node).await?;
    Ok(rows.into_iter().filter(|row| !matches!(row.state, DnsState::Deleted | DnsState::Failed)).collect())
}

/// The names of a node are about to be made: each gets its address, in the same transaction as the
/// note that the vendor may hear of it. A kind of address that the node does not have is left out.
pub(crate) async fn names_begun_in(c: &mut Conn, node: &NodeRow, now: Timestamp) -> Result<(), Fault> {
    for row in names_of_node_in(c, &node.id).await? {
        if !matches!(row.state, DnsState::Requested | DnsState::Creating) {
            continue;
        }
        let address = match row.kind {
            DnsType::A => node.ipv4.as_deref(),
            DnsType::Aaaa => node.ipv6.as_deref(),
            DnsType::Cname | DnsType::Txt => Some(row.content.as_str()),
        };
        match address {
            Some(address) => {
                let Some(mut row) = c.dns_record_lock(&row.id).await? else { continue };
                address.clone_into(&mut row.content);
                row.updated_at = now;
                c.dns_record_save(&row).await?;
                dns_begun_in(c, &row.id, DnsEvent::CreateBegun, now).await?;
            }
            None => dns_gone_in(c, &row.id, "The server has no address of this kind.", now).await?,
        }
    }
    Ok(())
}

/// The names of a node that no vendor has heard of yet are not wanted any more.
pub(crate) async fn names_dropped_in(c: &mut Conn, node: &NodeId, now: Timestamp) -> Result<(), Fault> {
    for row in names_of_node_in(c, node).await? {
        if row.create_attempted_at.is_none() {
            dns_gone_in(c, &row.id, "The node was given up before its name was made.", now).await?;
        }
    }
    Ok(())
}

/// Nobody is left to take the names of a node away: each gets a job of its own that does.
pub(crate) async fn names_given_up_in(
    c: &mut Conn,
    node: &NodeId,
    error: &JobError,
    journal: &BTreeMap<String, Value>,
    next_look: Timestamp,
    now: Timestamp,
) -> Result<(), Fault> {
    names_dropped_in(c, node, now).await?;
    for row in names_of_node_in(c, node).await? {
        dns_begun_in(c, &row.id, DnsEvent::DeleteBegun, now).await?;
        dns_pending_in(c, &row.id, (error, DnsWork::FinishDelete), journal, next_look, now).await?;
    }
    Ok(())
}
