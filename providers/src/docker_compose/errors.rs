//! What goes wrong at the engine and in Compose, in Hangar's codes: the one table. Rule: their words
//! are matched here and shown nowhere; what a command printed goes to the log alone, masked.

use bollard::errors::Error as EngineError;
use domain::code::Code;

use crate::error::{Effect, ProviderError};

/// What is said when a port of the host is somebody else's.
pub(super) const PORT_TAKEN: &str = "A port of the host that the stack claims is taken.";

/// What Compose prints when something is wrong with what it was asked for; the first match counts.
const TABLE: &[(&[&str], Code, &str)] = &[
    (
        &["Cannot connect to the Docker daemon", "error during connect", "connection refused", "ssh: connect to host"],
        Code::ProviderUnreachable,
        "The engine cannot be reached.",
    ),
    (
        &["permission denied while trying to connect", "Got permission denied"],
        Code::ProviderCredentialRejected,
        "The engine does not let the account that Hangar runs as in.",
    ),
    (
        &["Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "Permission denied (publickey"],
        Code::ProviderCredentialRejected,
        "The engine's machine refused the login, or its host key is not known.",
    ),
    (
        &[
            "No such image",
            "no such image",
            "pull access denied",
            "manifest unknown",
            "not found: manifest",
            "manifest for ",
        ],
        Code::ProviderInvalidRequest,
        "An image of the stack is neither on the engine nor to be had.",
    ),
    (
        &["invalid reference format", "invalid tag format"],
        Code::ProviderInvalidRequest,
        "The name of one of the stack's images cannot be one.",
    ),
    (
        &["toomanyrequests", "Too Many Requests"],
        Code::ProviderRateLimited,
        "The registry of images asks for fewer calls.",
    ),
    (
        &["dial tcp", "no such host", "TLS handshake timeout", "i/o timeout", "Client.Timeout exceeded"],
        Code::ProviderUnreachable,
        "The registry of an image that is not on the engine cannot be reached.",
    ),
    (&["port is already allocated", "address already in use"], Code::ProviderInvalidRequest, PORT_TAKEN),
    (
        &["non-overlapping IPv4 address pool", "all predefined address pools have been fully subnetted"],
        Code::ProviderQuotaExceeded,
        "The engine has no addresses left for another network.",
    ),
    (&["no space left on device"], Code::ProviderQuotaExceeded, "The engine's disk is full."),
    (
        &["is unhealthy", "dependency failed to start"],
        Code::ProviderAcquisitionFailed,
        "A service on which others of the stack wait did not get healthy.",
    ),
    (
        &["already in use by container", "removal of container", "is already in progress"],
        Code::ProviderLocked,
        "The engine is at work on the same stack.",
    ),
    (
        &["id already in use", ": already exists"],
        Code::ProviderLocked,
        "The engine still holds what it began before it was stopped.",
    ),
    (
        &["failed to create shim", "OCI runtime create failed", "failed to create task"],
        Code::ProviderAcquisitionFailed,
        "A service of the stack does not start: its command, user or folder does not fit its image.",
    ),
    (
        &["dependency cycle", "validating ", "invalid compose project", "invalid interpolation format", "services."],
        Code::ProviderInvalidRequest,
        "Docker Compose refuses the blueprint's file.",
    ),
    (
        &["Range of CPUs", "Minimum memory limit"],
        Code::ProviderInvalidRequest,
        "The limits of a service do not fit the engine's machine.",
    ),
];

/// What a failed command means.
pub(super) fn command_error(printed: &str, exit: Option<i32>) -> ProviderError {
    let found = TABLE.iter().find(|(texts, ..)| texts.iter().any(|text| printed.contains(text)));
    let (code, message) = match found {
        Some((_, code, message)) => (*code, (*message).to_owned()),
        None => {
            let exit = exit.map_or_else(String::new, |exit| format!(" (exit code {exit})"));
            (Code::ProviderApiError, format!("Docker Compose ended in error{exit}."))
        }
    };
    ProviderError::new(code, message).with_effect(Effect::Unknown)
}

/// What a refusal or a silence of the engine means.
pub(super) fn engine_error(error: EngineError, effect: Effect) -> ProviderError {
    let (code, message) = match &error {
        EngineError::DockerResponseServerError { status_code, .. } => match status_code {
            400 => (Code::ProviderInvalidRequest, "The engine refused the request as such."),
            401 | 403 => (Code::ProviderCredentialRejected, "The engine refused the request."),
            404 => (Code::ProviderResourceGone, "The engine no longer has what was asked for."),
            409 => (Code::ProviderLocked, "The engine is at work on the same thing."),
            _ => (Code::ProviderApiError, "The engine answered with an error."),
        },
        EngineError::JsonDataError { .. }
        | EngineError::JsonSerdeError { .. }
        | EngineError::APIVersionParseError {} => (Code::ProviderApiError, "The engine's answer cannot be read."),
        EngineError::IOError { err } if err.kind() == std::io::ErrorKind::PermissionDenied => {
            (Code::ProviderCredentialRejected, "The engine does not let the account that Hangar runs as in.")
        }
        _ if is_denied(&error) => {
            (Code::ProviderCredentialRejected, "The engine does not let the account that Hangar runs as in.")
        }
        _ => (Code::ProviderUnreachable, "The engine cannot be reached."),
    };
    // A refusal changed nothing.
    let effect = if matches!(&error, EngineError::DockerResponseServerError { status_code: 400..=499, .. }) {
        Effect::None
    } else {
        effect
    };
    ProviderError::new(code, message).with_effect(effect).with_source(error)
}

/// Whether beneath it lies that the socket may not be opened.
fn is_denied(error: &EngineError) -> bool {
    let mut beneath: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = beneath {
        let io = one.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied) {
            return true;
        }
        beneath = one.source();
    }
    false
}

/// Whether the engine says that it does not have the thing.
pub(super) fn is_gone(error: &EngineError) -> bool {
    matches!(error, EngineError::DockerResponseServerError { status_code: 404, .. })
}
