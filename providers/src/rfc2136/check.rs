//! Proves that the key may change the zone, and leaves nothing behind. Rule: what is added for the
//! proof is taken away within the same UPDATE, under a name that nobody uses.

use std::net::Ipv4Addr;

use domain::code::Code;
use hickory_proto::rr::{
    RData, RecordType as WireType,
    rdata::{A, TXT},
};

use super::{
    session::{Server, Session, Update, Updated},
    transfer,
    wire::{absent, added, removed},
};
use crate::error::ProviderError;

/// An address that is nobody's (RFC 5737).
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// One sentence for people, or two.
pub(super) async fn run(server: &Server) -> Result<String, ProviderError> {
    let mut session = server.open().await?;
    zone_check(&mut session).await?;
    prove_write(&mut session).await?;
    let mut message = format!("The key may read and change the zone {}.", server.zone());
    let mut session = server.open().await?;
    if !matches!(transfer::is_allowed(&mut session).await, Ok(true)) {
        message.push_str(
            " It may not transfer the zone, so what Hangar once made can only be found by the names it knows.",
        );
    }
    Ok(message)
}

/// Whether the server has a zone of exactly this name.
pub(super) async fn zone_check(session: &mut Session<'_>) -> Result<(), ProviderError> {
    let server = session.server;
    let answer = session.query(server.origin(), WireType::SOA).await?;
    let is_soa = |it: &hickory_proto::rr::Record| {
        it.record_type() == WireType::SOA && it.name.to_lowercase() == server.origin().to_lowercase()
    };
    if answer.metadata.authoritative && answer.answers.iter().any(is_soa) {
        return Ok(());
    }
    let message = format!("The name server does not have a zone {}.", server.zone());
    Err(ProviderError::new(Code::DnsZoneNotFound, message))
}

async fn prove_write(session: &mut Session<'_>) -> Result<(), ProviderError> {
    let server = session.server;
    let random = uuid();
    let label = format!("hangar-check-{random}");
    let name = server.origin().prepend_label(label.as_str());
    let place = name.as_ref().ok().and_then(super::marker::Marker::place);
    let (Ok(name), Some(place)) = (name, place) else {
        return Err(super::wire::invalid("The zone's name is too long."));
    };
    let address = || RData::A(A(ADDRESS));
    let text = || RData::TXT(TXT::new(vec!["hangar".to_owned()]));
    let update = Update {
        prerequisites: vec![absent(&name, WireType::ANY), absent(&place, WireType::ANY)],
        changes: vec![
            added(&name, 0, address()),
            added(&place, 0, text()),
            removed(&name, address()),
            removed(&place, text()),
        ],
    };
    match session.update(&update).await? {
        Updated::Done => Ok(()),
        Updated::Otherwise => {
            Err(ProviderError::new(Code::ProviderApiError, "The name server says that an unused name is in use."))
        }
    }
}

/// A name that nobody else thinks of.
fn uuid() -> String {
    let seed = std::collections::hash_map::RandomState::new();
    format!("{:016x}", std::hash::BuildHasher::hash_one(&seed, std::process::id()))
}
