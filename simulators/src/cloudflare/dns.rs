//! The name server of the zones, over UDP and TCP. Rule: it answers from the same state as the API,
//! at once, and for nothing else.

use std::{net::SocketAddr, sync::Arc};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, ResponseCode},
    rr::{
        Name, RData, Record as Answer, RecordType,
        rdata::{A, AAAA, CNAME, MX, NS, SOA, TXT},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::{
    shared::Shared,
    world::{Record, World, Zone},
};

/// What a datagram may hold when the question does not say.
const DATAGRAM: usize = 512;
/// What names behind the proxy are answered with: addresses of the vendor's edge.
const EDGE_V4: [u8; 4] = [104, 16, 132, 229];
const EDGE_V6: [u16; 8] = [0x2606, 0x4700, 0, 0, 0, 0, 0x6810, 0x84e5];
/// What automatic means.
const AUTOMATIC: u32 = 300;
const CHAIN_MOST: usize = 8;

/// Answers datagrams until the simulator ends.
pub(super) async fn datagrams(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buffer = vec![0; 4096];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = shared.ended.cancelled() => return,
        };
        // An error is about some client that is gone.
        let Ok((length, from)) = received else { continue };
        if let Some(answer) = respond(&shared, &buffer[..length], true) {
            let _: Result<usize, _> = socket.send_to(&answer, from).await;
        }
    }
}

/// Answers streams until the simulator ends.
pub(super) async fn streams(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.ended.cancelled() => return,
        };
        let Ok((stream, _)): Result<(TcpStream, SocketAddr), _> = accepted else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            tokio::select! {
                // The client's end of it is no fault.
                _ = stream_run(stream, &shared) => {}
                () = shared.ended.cancelled() => {}
            }
        });
    }
}

async fn stream_run(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await?;
        let Some(answer) = respond(shared, &question, false) else { return Ok(()) };
        let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
        stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat()).await?;
    }
}

/// `None` for what is no question.
fn respond(shared: &Shared, bytes: &[u8], datagram: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(bytes).ok()?;
    if question.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.queries.clone_from(&question.queries);
    let room = question.edns.as_ref().map_or(DATAGRAM, |edns| usize::from(edns.max_payload()));
    if question.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        answer.set_edns(edns);
    }
    match (question.metadata.op_code, question.queries.first()) {
        (OpCode::Query, Some(query)) => {
            shared.with(|state| fill(&state.world, &mut answer, query.name(), query.query_type()));
        }
        _ => answer.metadata.response_code = ResponseCode::NotImp,
    }
    let bytes = answer.to_vec().ok()?;
    if datagram && bytes.len() > room { answer.truncate().to_vec().ok() } else { Some(bytes) }
}

fn fill(world: &World, answer: &mut Message, name: &Name, kind: RecordType) {
    let asked = text_of(name);
    let Some(zone) = world.zone_of(&asked) else {
        answer.metadata.response_code = ResponseCode::Refused;
        return;
    };
    answer.metadata.authoritative = true;
    let mut name = asked;
    for _ in 0..CHAIN_MOST {
        let here = at(zone, &name);
        let owner = Name::from_ascii(format!("{name}."));
        let Ok(owner) = owner else { break };
        let before = answer.answers.len();
        for record in &here {
            for data in data_of(record, kind) {
                answer.add_answer(Answer::from_rdata(owner.clone(), ttl_of(record), data));
            }
        }
        if name == zone.name {
            apex(zone, answer, &owner, kind);
        }
        if answer.answers.len() > before {
            return;
        }
        let alias = here.iter().find(|record| record.kind == "CNAME" && !record.proxied);
        let Some(alias) = alias.filter(|_| kind != RecordType::CNAME) else {
            let exists = !here.is_empty() || name == zone.name || has_below(zone, &name);
            if !exists && answer.answers.is_empty() {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            break;
        };
        let Ok(target) = Name::from_ascii(format!("{}.", alias.content)) else { break };
        answer.add_answer(Answer::from_rdata(owner, ttl_of(alias), RData::CNAME(CNAME(target))));
        name.clone_from(&alias.content);
        if world.zone_of(&name).is_none_or(|it| it.id != zone.id) {
            return;
        }
    }
    if answer.answers.is_empty()
        && let (Some(soa), Ok(apex)) = (soa_of(zone), Name::from_ascii(format!("{}.", zone.name)))
    {
        answer.add_authority(Answer::from_rdata(apex, 1800, RData::SOA(soa)));
    }
}

fn text_of(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

/// The records of this name, or of the wildcard nearest above it.
fn at<'a>(zone: &'a Zone, name: &str) -> Vec<&'a Record> {
    let of = |name: &str| zone.records.iter().filter(|it| it.name == name).collect::<Vec<_>>();
    let mut found = of(name);
    let mut above = name;
    while found.is_empty()
        && !has_below(zone, name)
        && let Some((_, rest)) = above.split_once('.')
        && above != zone.name
    {
        found = of(&format!("*.{rest}"));
        above = rest;
    }
    found
}

fn has_below(zone: &Zone, name: &str) -> bool {
    zone.records.iter().any(|it| it.name.strip_suffix(name).is_some_and(|it| it.ends_with('.')))
}

fn ttl_of(record: &Record) -> u32 {
    if record.ttl == 1 { AUTOMATIC } else { record.ttl }
}

fn data_of(record: &Record, asked: RecordType) -> Vec<RData> {
    let name = |text: &str| Name::from_ascii(format!("{}.", text.trim_end_matches('.'))).ok();
    if record.proxied {
        return match asked {
            RecordType::A => vec![RData::A(A(EDGE_V4.into()))],
            RecordType::AAAA => vec![RData::AAAA(AAAA(EDGE_V6.into()))],
            _ => Vec::new(),
        };
    }
    let data = match (asked, record.kind.as_str()) {
        (RecordType::A, "A") => record.content.parse().ok().map(|it| RData::A(A(it))),
        (RecordType::AAAA, "AAAA") => record.content.parse().ok().map(|it| RData::AAAA(AAAA(it))),
        (RecordType::CNAME, "CNAME") => name(&record.content).map(|it| RData::CNAME(CNAME(it))),
        (RecordType::NS, "NS") => name(&record.content).map(|it| RData::NS(NS(it))),
        (RecordType::MX, "MX") => {
            name(&record.content).map(|it| RData::MX(MX::new(record.priority.unwrap_or_default(), it)))
        }
        (RecordType::TXT, "TXT") => Some(RData::TXT(TXT::new(strings(&record.content)))),
        _ => None,
    };
    data.into_iter().collect()
}

/// The strings of a text in quotes.
fn strings(content: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    let mut escaped = false;
    for letter in content.chars() {
        match (&mut open, letter) {
            (Some(text), letter) if escaped => {
                text.push(letter);
                escaped = false;
            }
            (Some(_), '\\') => escaped = true,
            (Some(text), '"') => {
                found.push(std::mem::take(text));
                open = None;
            }
            (Some(text), letter) => text.push(letter),
            (None, '"') => open = Some(String::new()),
            (None, _) => {}
        }
    }
    if found.is_empty() { vec![content.to_owned()] } else { found }
}

fn apex(zone: &Zone, answer: &mut Message, owner: &Name, kind: RecordType) {
    if kind == RecordType::SOA
        && let Some(soa) = soa_of(zone)
    {
        answer.add_answer(Answer::from_rdata(owner.clone(), 1800, RData::SOA(soa)));
    }
    if kind == RecordType::NS {
        for server in Zone::name_servers() {
            if let Ok(server) = Name::from_ascii(format!("{server}.")) {
                answer.add_answer(Answer::from_rdata(owner.clone(), 86_400, RData::NS(NS(server))));
            }
        }
    }
}

fn soa_of(zone: &Zone) -> Option<SOA> {
    let [first, _] = Zone::name_servers();
    let server = Name::from_ascii(format!("{first}.")).ok()?;
    let person = Name::from_ascii("dns.cloudflare.example.").ok()?;
    Some(SOA::new(server, person, zone.serial, 10_000, 2_400, 604_800, 1_800))
}
