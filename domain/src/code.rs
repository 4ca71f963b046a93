//! The registry of stable codes: every failure that a person or a program can meet. The rule:
//! append only; a code's meaning, HTTP status, retryability and guidance stand together here and
//! nowhere else.

use serde::{Deserialize, Serialize};

use crate::action::Recovery;

/// Whether Hangar tries again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same attempt would fail the same way.
    No,
    /// A later attempt may succeed.
    Yes,
    /// Not the same pair again, but the next one of the fallback list.
    NextFallback,
}

macro_rules! codes {
    ($($variant:ident $text:literal $status:literal $retry:ident $title:literal
        cause $cause:literal policy $policy:literal next $next:literal safe $safe:literal;)*) => {
        /// A stable failure code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum Code {$(
            #[doc = $title]
            #[serde(rename = $text)]
            $variant,
        )*}

        impl Code {
            /// Every code, in the order of the registry.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// The code as it is written in answers, logs and the database.
            pub fn as_str(self) -> &'static str {
                match self {$(Code::$variant => $text,)*}
            }

            /// The HTTP status with which a caller gets it.
            pub fn http_status(self) -> u16 {
                match self {$(Code::$variant => $status,)*}
            }

            /// Whether Hangar tries again by itself.
            pub fn retry(self) -> Retry {
                match self {$(Code::$variant => Retry::$retry,)*}
            }

            /// A short heading.
            pub fn title(self) -> &'static str {
                match self {$(Code::$variant => $title,)*}
            }

            /// What to tell the person who meets it.
            pub fn recovery(self) -> Recovery {
                match self {$(Code::$variant => Recovery {
                    cause: $cause.to_owned(),
                    policy_context: $policy.to_owned(),
                    next_step: $next.to_owned(),
                    safe_retry: $safe.to_owned(),
                },)*}
            }

            /// The code written as `text`, if there is one.
            pub fn parse(text: &str) -> Option<Code> {
                match text {
                    $($text => Some(Code::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    ProviderCredentialRejected "PROVIDER_CREDENTIAL_REJECTED" 422 No "The vendor refused the credential"
        cause "The vendor answered that the token is unknown, expired or revoked."
        policy "Hangar never guesses from the look of a token; it asks the vendor."
        next "Make a new token in the vendor's console and replace the secret of this account."
        safe "Yes: checking again changes nothing at the vendor.";
    ProviderTokenReadonly "PROVIDER_TOKEN_READONLY" 422 No "The token may only read"
        cause "The token was accepted but may not change anything."
        policy "Nodes are made only through an account that is known to be able to make and destroy them."
        next "Make a token with read and write permission and replace the secret of this account."
        safe "Yes: checking again changes nothing at the vendor.";
    ProviderRateLimited "PROVIDER_RATE_LIMITED" 503 Yes "The vendor asks for fewer calls"
        cause "The account's budget of calls is used up for the moment."
        policy "Hangar waits as the vendor's headers say and keeps the work."
        next "Nothing to do; the work goes on by itself."
        safe "Yes: nothing was changed by the refused call.";
    ProviderUnreachable "PROVIDER_UNREACHABLE" 502 Yes "The vendor cannot be reached"
        cause "No connection could be made, or no answer came in time."
        policy "The work is kept and tried again; what may have been created is looked up first."
        next "Check the endpoint, the network and the vendor's status page."
        safe "Yes: a repeated create is preceded by a look-up.";
    ProviderApiError "PROVIDER_API_ERROR" 502 Yes "The vendor's answer is an error or cannot be read"
        cause "The vendor answered with a server error or with something that is not its documented form."
        policy "The work is kept and tried again; what may have been created is looked up first."
        next "If it stays, look at the vendor's status page and report the correlation id."
        safe "Yes: a repeated create is preceded by a look-up.";
    ProviderInvalidRequest "PROVIDER_INVALID_REQUEST" 422 No "The vendor refuses the request as such"
        cause "A field of the request is not acceptable to the vendor."
        policy "A request that is refused for its content is not repeated."
        next "Choose another type, location, image or name and acquire again."
        safe "No: the same request will be refused again.";
    ProviderCapacity "PROVIDER_CAPACITY" 503 NextFallback "No capacity at this type and location"
        cause "The vendor has no free capacity for the chosen type at the chosen location."
        policy "Hangar goes on with the next pair of the fallback list within the price ceiling."
        next "Add fallbacks, choose another location or type, or try later."
        safe "Yes: nothing was created.";
    ProviderQuotaExceeded "PROVIDER_QUOTA_EXCEEDED" 422 No "The project's limit is reached"
        cause "The vendor's limit for this project does not allow another resource."
        policy "Hangar does not repeat a create that the limit refuses."
        next "Destroy what is not needed or ask the vendor to raise the limit."
        safe "Yes, after room was made.";
    ProviderNameConflict "PROVIDER_NAME_CONFLICT" 409 No "The name is taken by something that is not ours"
        cause "A resource with this name exists at the vendor and does not carry this installation's labels."
        policy "Hangar never adopts or deletes what is not marked as its own."
        next "Rename or remove the foreign resource, or acquire under another name."
        safe "Yes, after the name is free.";
    ProviderBackupFailed "PROVIDER_BACKUP_FAILED" 502 No "The backup could not be made"
        cause "What must not be lost could not be read from the machine or written to the disk of backups, or the disk is full."
        policy "Nothing is taken away whose backup was asked for and failed."
        next "Make room or mend the machine and retry; or choose Resume to keep it in use; or destroy it without a backup."
        safe "Yes: what was begun of the backup is removed.";
    ProviderLocked "PROVIDER_LOCKED" 503 Yes "Another action runs on the resource"
        cause "The vendor runs another action on the same resource."
        policy "Hangar waits and tries again."
        next "Nothing to do; the work goes on by itself."
        safe "Yes: nothing was changed by the refused call.";
    ProviderAcquisitionTimeout "PROVIDER_ACQUISITION_TIMEOUT" 504 Yes "The vendor's action was not done by its deadline"
        cause "The vendor accepted the request but did not finish it in time."
        policy "Polling resumes in the next attempt until the attempts are spent."
        next "Look at the vendor's console; retry when its trouble is over."
        safe "Yes: the same resource is taken up again.";
    ProviderAcquisitionFailed "PROVIDER_ACQUISITION_FAILED" 502 No "The vendor's action ended in error"
        cause "The vendor or the engine accepted the request and later reported that it failed."
        policy "What was created is undone, and what was changed is put back."
        next "Mend what the message names and ask again; a server can be asked for at another location."
        safe "Yes: what was begun has been undone.";
    ProviderAcquisitionUnavailable "PROVIDER_ACQUISITION_UNAVAILABLE" 409 No "Hangar itself cannot start"
        cause "The account has no usable secret, or the managed SSH key is missing."
        policy "No server is made that Hangar could not log in to or pay attention to."
        next "Replace the account's secret and check the connection."
        safe "Yes: nothing was created.";
    ProviderResourceGone "PROVIDER_RESOURCE_GONE" 410 No "The server vanished"
        cause "The vendor no longer knows the server."
        policy "Hangar records the loss and does not make another one in its place by itself."
        next "Destroy the node here to clear it, and acquire a new one."
        safe "Yes.";
    DnsNameConflict "DNS_NAME_CONFLICT" 409 No "A record that is not ours stands there"
        cause "The zone already holds a record under this name that Hangar did not make."
        policy "Records that are not ours are never overwritten or deleted."
        next "Choose another name, or remove the record in the zone yourself. An administrator may take it over instead, by \"Adopt what stands there\" on the page of the record."
        safe "Yes, after the name is free.";
    DnsZoneNotFound "DNS_ZONE_NOT_FOUND" 422 No "The zone is not known to the account"
        cause "The DNS account does not hold this zone or may not see it."
        policy "Hangar writes only into zones that the account can read."
        next "Check the zone's name and the token's rights."
        safe "Yes: nothing was changed.";
    DnsQuotaExceeded "DNS_QUOTA_EXCEEDED" 422 No "The zone's limit is reached"
        cause "The vendor's limit of records for this zone is reached."
        policy "Hangar does not repeat what the limit refuses."
        next "Remove records that are not needed or raise the plan."
        safe "Yes, after room was made.";
    DnsValidation "DNS_VALIDATION" 422 No "The DNS vendor refuses the record as such"
        cause "A field of the record is not acceptable to the DNS vendor."
        policy "A request that is refused for its content is not repeated."
        next "Correct the name, type or content."
        safe "No: the same request will be refused again.";
    ProvisionSshUnreachable "PROVISION_SSH_UNREACHABLE" 502 Yes "SSH does not answer"
        cause "The server runs at the vendor, but its SSH service could not be reached."
        policy "The server is kept, billed and shown until it is retried, destroyed, or its time is up."
        next "Check firewalls and the image; then retry the node."
        safe "Yes: the same server is taken up again.";
    ProvisionHostKeyMismatch "PROVISION_HOST_KEY_MISMATCH" 502 No "The server shows another host key"
        cause "The server that answered does not hold the host key that Hangar gave it."
        policy "Hangar never talks to a host whose key it did not set itself."
        next "Treat the address as not yours: destroy the node and acquire a new one."
        safe "No: the same key will be shown again.";
    ProvisionScriptFailed "PROVISION_SCRIPT_FAILED" 502 No "The profile's script failed"
        cause "The script ended with an error."
        policy "The server is kept, billed and shown until it is retried, destroyed, or its time is up."
        next "Read the script's last output on the job page, correct the profile and retry the node."
        safe "Yes: profiles are idempotent.";
    ProvisionTimeout "PROVISION_TIMEOUT" 504 Yes "Provisioning was not done by its deadline"
        cause "The server was reachable, but preparing it took too long."
        policy "The server is kept, billed and shown until it is retried, destroyed, or its time is up."
        next "Read the last output on the job page; then retry the node."
        safe "Yes: profiles are idempotent.";
    ProvisionNotReady "PROVISION_NOT_READY" 502 No "The readiness checks did not pass"
        cause "The server is up, but one of its readiness checks fails."
        policy "Only a verified node is ready and may be given to anyone."
        next "See the readiness codes on the node's page, mend the cause, retry the node."
        safe "Yes: checks change nothing.";
    JobCancelled "JOB_CANCELLED" 409 No "The job was cancelled"
        cause "Somebody cancelled the job."
        policy "A cancelled job is never retried by itself; what it created before the hand-over was undone."
        next "Start the action again if it is still wanted."
        safe "Yes.";
    JobTimeout "JOB_TIMEOUT" 504 No "The job ran out of attempts or time"
        cause "The work did not finish within its deadline and attempts."
        policy "Work is bounded, so that nothing runs for ever unseen."
        next "Read the job's timeline, mend the cause, retry."
        safe "Yes: every step may be repeated.";
    ProviderNotConnected "provider_not_connected" 409 No "The account is not connected"
        cause "The last live check of this account did not succeed."
        policy "Nodes are acquired only through an account whose credential works."
        next "Open Providers, read the account's guidance, replace the secret or check the connection."
        safe "Yes: nothing was changed.";
    NodeNotReady "node_not_ready" 409 No "The node is not ready"
        cause "The node has not passed its last verification."
        policy "Only a ready, healthy node may enter a pool or be allocated."
        next "Wait for its job to finish, or mend what its readiness codes say."
        safe "Yes: nothing was changed.";
    ActionBlocked "action_blocked" 409 No "The action is blocked"
        cause "At least one of the action's policy gates does not pass."
        policy "The page, the API and the enforcement share one evaluator."
        next "See which gate is blocked and what it asks for."
        safe "Yes: nothing was changed.";
    AcquisitionPaused "acquisition_paused" 409 No "Acquisition is paused"
        cause "An administrator paused all acquisition."
        policy "One switch stops everything that would cost more money; what runs goes on."
        next "Open Settings and let acquisition go on."
        safe "Yes: nothing was asked of the vendor.";
    SpendingCapReached "spending_cap_reached" 409 No "The spending cap is reached"
        cause "With this node, all nodes together would cost more than the cap allows, or its price cannot be held against the cap."
        policy "Hangar never acquires beyond the spending cap; it is decided in the transaction that writes the node down."
        next "Destroy what is not needed, choose something cheaper, or raise the cap under Settings."
        safe "Yes: nothing was asked of the vendor.";
    AccountPaused "account_paused" 409 No "The account failed too often in a row"
        cause "Several acquisitions in a row failed for a reason that does not pass by itself."
        policy "What fails the same way every time is not asked for again and again: vendors block accounts for that."
        next "Read the last failure on the account's page, mend its cause, then choose Try again now."
        safe "Yes: nothing was asked of the vendor.";
    QuotaExceeded "quota_exceeded" 403 No "The quota is used up"
        cause "This person already holds as many services as the quota allows."
        policy "The quota and the claim are decided in one transaction."
        next "Release a service, or ask an administrator to raise the quota."
        safe "Yes, after a service was released.";
    Forbidden "forbidden" 403 No "Not allowed"
        cause "Who you are signed in as may not do this."
        policy "Everything that is not expressly allowed is refused."
        next "Sign in as somebody who may, or ask an administrator."
        safe "Yes: nothing was changed.";
    ApprovalPending "approval_pending" 403 No "Waiting for approval"
        cause "An administrator has not yet approved this account."
        policy "Nobody unknown spends the administrator's money."
        next "Ask an administrator to approve the account."
        safe "Yes, after the approval.";
    NotFound "not_found" 404 No "Not found"
        cause "There is nothing of this id, or it is not yours to see."
        policy "What you may not see is answered as if it did not exist."
        next "Check the address."
        safe "Yes.";
    BadRequest "bad_request" 400 No "The request cannot be read"
        cause "The request is not of the documented form."
        policy "A request that is refused changes nothing."
        next "Correct what the detail names."
        safe "Yes, corrected.";
    Validation "validation" 422 No "A field is not acceptable"
        cause "At least one field holds a value that cannot be used."
        policy "A request that is refused changes nothing."
        next "Correct the fields that are named."
        safe "Yes, corrected.";
    IdempotencyConflict "idempotency_conflict" 422 No "The idempotency key was used for another request"
        cause "The same key came earlier with a different body."
        policy "One key stands for one request."
        next "Use a new key for a new request."
        safe "Yes, with a new key.";
    CredentialRefused "credential_refused" 422 No "The new secret was refused"
        cause "The vendor did not accept the new secret."
        policy "A secret that the vendor refuses never replaces a working one."
        next "Check the new secret at the vendor; the old one is still in use."
        safe "Yes: nothing was changed.";
    Unauthorized "unauthorized" 401 No "Sign in first"
        cause "The request carries no valid session, token or secret."
        policy "Everything that is not expressly public needs a sign-in."
        next "Sign in, or send the secret or token."
        safe "Yes.";
    RateLimited "rate_limited" 429 No "Too many attempts"
        cause "Too many requests of this kind came in a short time."
        policy "Failed sign-ins are limited."
        next "Wait as long as Retry-After says."
        safe "Yes, later.";
    PoolNotRegistered "pool_not_registered" 503 No "There is no pool yet"
        cause "Neither PROVISIONER_DEMO nor VM_POOL_JSON is set and no pool was made here."
        policy "Machines are given out only from a pool."
        next "Acquire a node into a pool, make a pool, or set VM_POOL_JSON."
        safe "Yes.";
    ForgeNotConfigured "forge_not_configured" 503 No "Sign-in by Forge is not set up"
        cause "HANGAR_FORGE_URL, HANGAR_FORGE_CLIENT_ID and HANGAR_FORGE_CLIENT_SECRET are not all set."
        policy "A way in that is not set up is closed."
        next "Register an OAuth application in the Forge and set the three variables."
        safe "Yes.";
    PayloadTooLarge "payload_too_large" 413 No "The request is too large"
        cause "The request body is larger than this route takes."
        policy "Requests are bounded, so that one cannot starve the others."
        next "Send less."
        safe "Yes, smaller.";
    Internal "internal" 500 No "Something went wrong here"
        cause "Hangar met an error that it did not expect."
        policy "Details are in the log only, under the request id."
        next "Look for the request id in the log and report it."
        safe "Yes: reads change nothing, and creates honour Idempotency-Key.";
    Unavailable "unavailable" 503 Yes "The database does not answer"
        cause "The database is busy or cannot be reached."
        policy "Nothing is answered as done that is not stored."
        next "Try again; if it stays, look at the log."
        safe "Yes.";
    ConflictState "conflict" 409 No "It changed meanwhile"
        cause "Somebody or something else changed it since it was read."
        policy "Changes are compare-and-set, so that none is lost."
        next "Reload and decide again."
        safe "Yes.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_has_guidance() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            let r = code.recovery();
            for text in [&r.cause, &r.policy_context, &r.next_step, &r.safe_retry] {
                assert!(text.ends_with('.'), "{code}: {text:?} is not a sentence");
            }
            assert!((400..=599).contains(&code.http_status()));
        }
    }

    /// The registry and its documentation stand together.
    #[test]
    fn the_documentation_lists_every_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/error-codes.md");
        let wanted = documentation();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(found, wanted, "run the test with UPDATE_DOCS=1 and read the difference");
    }

    fn documentation() -> String {
        let mut text = String::from(
            "# Error codes\n\nEvery failure carries one of these codes. They are append-only: a code never changes its meaning.\n\
             This page is made from the registry in `domain/src/code.rs`; a test holds the two together.\n\n\
             | code | HTTP | retried by itself | meaning | cause | next step |\n|---|---|---|---|---|---|\n",
        );
        for code in Code::ALL {
            let retry = match code.retry() {
                Retry::No => "no",
                Retry::Yes => "yes",
                Retry::NextFallback => "next fallback",
            };
            let r = code.recovery();
            text.push_str(&format!(
                "| `{code}` | {} | {retry} | {} | {} | {} |\n",
                code.http_status(),
                code.title(),
                r.cause,
                r.next_step
            ));
        }
        text
    }
}
