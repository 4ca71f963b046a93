//! What goes wrong at the engine and in Compose, in Hangar's codes: the one table. Rule: their words
//! are matched here and shown nowhere; what a command printed goes to the log alone, masked.

use bollard::errors::Error as EngineError;
use domain::code::Code;

use crate::error::{Effect, ProviderError};

/// Texts of which one is found, what they mean, and how it is said.
type Row = (&'static [&'static str], Code, &'static str);

/// A port of the host, claimed by the stack or chosen by the engine, is somebody else's.
const PORT_TAKEN: &str = "A port of the host that the stack claims is taken.";

/// What Compose prints when something is wrong with what it was asked for, and what a login to the
/// engine's machine says; the first match counts. `docker` tells every failure of a login as one of
/// the connection too, so that what is said in particular comes before that.
const TABLE: &[Row] = &[
    (
        &["permission denied while trying to connect", "Got permission denied"],
        Code::ProviderCredentialRejected,
        "The engine does not let the account that Hangar runs as in.",
    ),
    (
        &["REMOTE HOST IDENTIFICATION HAS CHANGED"],
        Code::ProviderCredentialRejected,
        "The engine's machine has another host key than the one that is known: it is another machine, or somebody is \
         in between.",
    ),
    (
        &["Host key verification failed", "host key is known for"],
        Code::ProviderCredentialRejected,
        "The host key of the engine's machine is not among the known hosts of the account that Hangar runs as.",
    ),
    (
        &["Permission denied (", "Too many authentication failures"],
        Code::ProviderCredentialRejected,
        "The engine's machine refused the login.",
    ),
    (
        &["docker: command not found", "docker: not found", "docker: No such file or directory"],
        Code::ProviderAcquisitionUnavailable,
        "The account that logs in at the engine's machine has no docker command there.",
    ),
    (
        &["Cannot connect to the Docker daemon", "error during connect", "connection refused", "ssh: connect to host"],
        Code::ProviderUnreachable,
        "The engine cannot be reached.",
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

fn found(printed: &str) -> Option<&'static Row> {
    TABLE.iter().find(|(texts, ..)| texts.iter().any(|text| printed.contains(text)))
}

/// Why the engine could not be reached, by what the login to its machine said last.
pub(super) fn login_error(mut error: ProviderError, words: Option<&str>) -> ProviderError {
    let reasons = [Code::ProviderCredentialRejected, Code::ProviderAcquisitionUnavailable];
    if let Some((_, code, message)) = words.and_then(found).filter(|(_, code, _)| reasons.contains(code)) {
        (error.code, error.message) = (*code, (*message).to_owned());
    }
    error
}

/// What a failed command means.
pub(super) fn command_error(printed: &str, exit: Option<i32>) -> ProviderError {
    let (code, message) = match found(printed) {
        Some((_, code, message)) => (*code, (*message).to_owned()),
        None => {
            let exit = exit.map_or_else(String::new, |exit| format!(" (exit code {exit})"));
            (Code::ProviderApiError, format!("Docker Compose ended in error{exit}."))
        }
    };
    ProviderError::new(code, message).with_effect(Effect::Unknown)
}

/// Whether a port of the host is somebody else's.
pub(super) fn is_port_taken(error: &ProviderError) -> bool {
    error.message == PORT_TAKEN
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

#[cfg(test)]
mod tests {
    use domain::code::Code;

    use super::command_error;

    /// As `docker` tells them: each of them as a failure to connect too.
    #[test]
    fn a_login_that_failed_is_told_by_its_reason() {
        let told = |reason: &str| {
            let printed = format!(
                "error during connect: Get \"http://docker.example.com/v1.24/info\": command [ssh -o \
                 ConnectTimeout=30 -l hangar -- engine docker system dial-stdio] has exited with exit status 255, \
                 make sure the URL is valid, and Docker 18.09 or later is installed on the remote host: stderr={reason}"
            );
            let error = command_error(&printed, Some(1));
            (error.code, error.message)
        };
        for (reason, code, words) in [
            ("Host key verification failed.", Code::ProviderCredentialRejected, "not among the known hosts"),
            (
                "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.",
                Code::ProviderCredentialRejected,
                "another host key",
            ),
            (
                "hangar@engine: Permission denied (publickey,password).",
                Code::ProviderCredentialRejected,
                "refused the login",
            ),
            (
                "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
                Code::ProviderCredentialRejected,
                "does not let the account",
            ),
            ("bash: line 1: docker: command not found", Code::ProviderAcquisitionUnavailable, "no docker command"),
            ("ssh: connect to host engine port 22: Connection refused", Code::ProviderUnreachable, "cannot be reached"),
            ("ssh: Could not resolve hostname engine", Code::ProviderUnreachable, "cannot be reached"),
        ] {
            let (told, message) = told(reason);
            assert!(told == code && message.contains(words), "{reason}: {told:?} {message}");
        }
    }
}
