//! The user data of a machine: Hangar's cloud-config, and the operator's beside it. Rule: the host
//! key is planted before the first boot ends, so that the first contact is already pinned.

use domain::list::FieldError;
use md5::{Digest as _, Md5};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::keys::HostKey;
use crate::error::field_error;

/// The most bytes of user data that vendors take (Hetzner: 32 KiB).
pub const USER_DATA_MOST: usize = 32 * 1024;

/// What goes into the user data.
#[derive(Debug, Clone, Copy)]
pub struct UserData<'a> {
    /// The machine's host key.
    pub host_key: &'a HostKey,
    /// Who Hangar logs in as; made, with sudo, unless it is root.
    pub ssh_user: &'a str,
    /// The public key that may log in.
    pub authorized_key: &'a str,
    /// The operator's own: cloud-config or a script.
    pub extra: Option<&'a str>,
}

/// Writes the user data. With the operator's own it is a MIME archive of both parts, which
/// cloud-init merges: lists are appended, and other values of the operator's stand.
///
/// # Errors
/// On `/user_data`: when the operator's part is neither cloud-config nor a script, sets host keys,
/// or makes the whole larger than [`USER_DATA_MOST`].
pub fn user_data(data: &UserData<'_>) -> Result<String, FieldError> {
    let refuse = |message: String| field_error("/user_data", message);
    let ours = cloud_config(data);
    let text = match data.extra.filter(|extra| !extra.trim().is_empty()) {
        None => ours,
        Some(extra) => {
            let extra = extra.trim_start();
            let kind = match extra {
                _ if extra.starts_with("#cloud-config\n") || extra.starts_with("#cloud-config\r") => "cloud-config",
                _ if extra.starts_with("#!") => "x-shellscript",
                _ => return Err(refuse("must begin with the line #cloud-config, or with #! for a script".to_owned())),
            };
            let plants_host_keys = |line: &str| line.starts_with("ssh_keys:") || line.starts_with("ssh_deletekeys:");
            if kind == "cloud-config" && extra.lines().any(plants_host_keys) {
                return Err(refuse("must not set ssh_keys or ssh_deletekeys: Hangar pins the host key".to_owned()));
            }
            archive(&[(kind, extra), ("cloud-config", &ours)])
        }
    };
    if text.len() > USER_DATA_MOST {
        let room = USER_DATA_MOST.saturating_sub(text.len() - data.extra.map_or(0, str::len));
        return Err(refuse(format!("must have at most {room} bytes")));
    }
    Ok(text)
}

/// Hangar's part. JSON is YAML, and has one way to quote.
fn cloud_config(data: &UserData<'_>) -> String {
    let mut config = json!({
        "merge_how": [
            {"name": "list", "settings": ["append"]},
            {"name": "dict", "settings": ["no_replace", "recurse_list"]},
        ],
        "ssh_deletekeys": true,
        "ssh_genkeytypes": ["ed25519"],
        "ssh_keys": {
            "ed25519_private": data.host_key.private_openssh().expose_secret(),
            "ed25519_public": data.host_key.public_openssh(),
        },
        "ssh_pwauth": false,
    });
    if data.ssh_user == "root" {
        config["disable_root"] = json!(false);
        config["ssh_authorized_keys"] = json!([data.authorized_key]);
    } else {
        config["users"] = json!(["default", {
            "name": data.ssh_user,
            "shell": "/bin/bash",
            "lock_passwd": true,
            "sudo": ["ALL=(ALL) NOPASSWD:ALL"],
            "ssh_authorized_keys": [data.authorized_key],
        }]);
    }
    format!("#cloud-config\n{config:#}\n")
}

fn archive(parts: &[(&str, &str)]) -> String {
    // A boundary that the parts cannot hold by chance, the same for the same parts.
    let mut digest = Md5::new();
    parts.iter().for_each(|(_, text)| digest.update(text.as_bytes()));
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let boundary = format!("hangar-{digest}");
    let mut text = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
    for (kind, part) in parts {
        text.push_str(&format!(
            "--{boundary}\nContent-Type: text/{kind}; charset=\"utf-8\"\nMIME-Version: 1.0\n\
             Content-Transfer-Encoding: 8bit\n\n{}\n",
            part.trim_end()
        ));
    }
    text.push_str(&format!("--{boundary}--\n"));
    text
}
