//! The one table of response codes: those of the protocol (RFC 2136, section 2.2) and of its
//! signatures (RFC 8945, section 4.2) to Hangar's. Rule: what is wrong with the key is told apart,
//! since each has another remedy; a clock that is off is called that.

use std::io;

use domain::code::Code;
use hickory_proto::{
    op::ResponseCode,
    rr::rdata::tsig::{TSIG, TsigError},
};

use super::session::Server;
use crate::error::{Effect, ProviderError};

/// Whether an exchange can change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Write,
}

impl Intent {
    fn effect(self) -> Effect {
        if self == Self::Write { Effect::Unknown } else { Effect::None }
    }
}

/// No connection, or one that broke off.
pub(super) fn unreachable(source: io::Error, effect: Effect) -> ProviderError {
    let message = match source.kind() {
        io::ErrorKind::TimedOut => "The name server did not answer in time.",
        _ if effect == Effect::None => "No connection to the name server can be made over TCP.",
        _ => "The connection to the name server broke off.",
    };
    ProviderError::new(Code::ProviderUnreachable, message).with_effect(effect).with_source(source)
}

/// An answer that is none.
pub(super) fn unreadable(intent: Intent) -> ProviderError {
    ProviderError::new(Code::ProviderApiError, "The name server's answer cannot be read.").with_effect(intent.effect())
}

/// An answer whose signature is missing or does not fit: nothing in it is believed.
pub(super) fn unproven(intent: Intent) -> ProviderError {
    let message = "The name server's answer is not signed as it should be, so it is not believed.";
    ProviderError::new(Code::ProviderApiError, message).with_effect(intent.effect())
}

/// What the server says of our signature.
pub(super) fn bad_signature(server: &Server, signature: &TSIG, error: TsigError) -> ProviderError {
    let (name, algorithm) = (server.key_name(), server.algorithm());
    let message = match error {
        TsigError::BadKey => {
            format!("The name server does not know a key {name} with {algorithm} (BADKEY).")
        }
        TsigError::BadSig => {
            format!("The name server has another secret or algorithm for the key {name} (BADSIG).")
        }
        TsigError::BadTime => clock_sentence(signature),
        TsigError::BadTrunc => format!("The name server wants longer signatures than {algorithm} has (BADTRUNC)."),
        TsigError::Unknown(code) => format!("The name server refused the signature (TSIG error {code})."),
    };
    ProviderError::new(Code::ProviderCredentialRejected, message)
}

/// With `BADTIME` the signature holds the client's time, and the server's beside it (RFC 8945,
/// section 5.2.3).
fn clock_sentence(signature: &TSIG) -> String {
    let server = (signature.other.len() == 6)
        .then(|| signature.other.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte)));
    let advice = "set both by NTP";
    match server {
        Some(time) => {
            let seconds = time.abs_diff(signature.time);
            let which = if time > signature.time { "behind" } else { "ahead of" };
            format!(
                "This machine's clock is {seconds} s {which} the name server's, so its signatures are refused \
                 (BADTIME); {advice}."
            )
        }
        None => format!("The clocks of this machine and of the name server differ too much (BADTIME); {advice}."),
    }
}

/// An answer that is no success and whose signature is fine.
pub(super) fn refusal(server: &Server, code: ResponseCode, intent: Intent) -> ProviderError {
    let zone = server.zone();
    let (code, message) = match code {
        ResponseCode::Refused if intent == Intent::Write => (
            Code::ProviderCredentialRejected,
            format!(
                "The name server knows the key {} but does not let it change this in {zone} (REFUSED): see its \
                 update-policy or allow-update.",
                server.key_name()
            ),
        ),
        ResponseCode::Refused => (
            Code::ProviderCredentialRejected,
            format!("The name server knows the key {} but does not answer it for {zone} (REFUSED).", server.key_name()),
        ),
        ResponseCode::NotAuth => {
            (Code::DnsZoneNotFound, format!("The name server is not the primary of a zone {zone} (NOTAUTH)."))
        }
        ResponseCode::NotZone => {
            (Code::DnsZoneNotFound, format!("The name does not lie within the zone {zone} (NOTZONE)."))
        }
        ResponseCode::NotImp => {
            (Code::ProviderInvalidRequest, "The name server does not take dynamic updates (NOTIMP).".to_owned())
        }
        ResponseCode::FormErr => {
            (Code::ProviderInvalidRequest, "The name server cannot read the request (FORMERR).".to_owned())
        }
        ResponseCode::ServFail => (
            Code::ProviderApiError,
            format!("The name server failed (SERVFAIL); perhaps the zone {zone} is not loaded."),
        ),
        other => (Code::ProviderApiError, format!("The name server answered with code {}.", u16::from(other))),
    };
    let effect = if code == Code::ProviderApiError { intent.effect() } else { Effect::None };
    ProviderError::new(code, message).with_effect(effect)
}

/// A refusal without a signature: the server did not look at the key.
pub(super) fn unsigned(server: &Server, code: ResponseCode, intent: Intent) -> ProviderError {
    match code {
        ResponseCode::Refused | ResponseCode::NotAuth => ProviderError::new(
            Code::ProviderCredentialRejected,
            "The name server refuses this machine or the key, without saying which.",
        ),
        ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::ServFail => refusal(server, code, intent),
        _ => unproven(intent),
    }
}

/// What the transfer of the zone needs and does not have.
pub(super) fn no_transfer(server: &Server) -> ProviderError {
    let message = format!(
        "The name server does not let the key {} transfer the zone, so Hangar finds its records only by the names it \
         knows: see allow-transfer.",
        server.key_name()
    );
    ProviderError::new(Code::ProviderInvalidRequest, message)
}
