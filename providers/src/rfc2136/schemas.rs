//! What the adapter shows of itself as JSON Schema: settings, secret and operations. Rule: what
//! stands here is what is enforced, and every field explains itself in the form made from it.

use serde_json::{Value, json};

/// The algorithms that are offered (RFC 8945, section 6), the default first.
pub(super) const ALGORITHMS: [&str; 2] = ["hmac-sha256", "hmac-sha512"];

pub(super) fn settings() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "DNS update (RFC 2136) settings",
        "description": "For a name server that takes dynamic updates, such as BIND, Knot or PowerDNS. It is \
            asked over TCP. Zone transfers for the same key let Hangar find everything of its own again.",
        "type": "object",
        "additionalProperties": false,
        "required": ["server", "zone", "key_name", "algorithm"],
        "properties": {
            "server": {
                "type": "string",
                "title": "Server",
                "description": "The zone's primary name server, as host or host:port; port 53 when none is named.",
                "examples": ["ns1.example.org", "192.0.2.53:5353", "[2001:db8::53]:53"],
                "minLength": 1,
                "maxLength": 260,
            },
            "zone": {
                "type": "string",
                "title": "Zone",
                "description": "The zone, such as example.org. Beside each name, Hangar keeps a TXT record at \
                    _hangar.<name>, which says whose it is.",
                "minLength": 1,
                "maxLength": 240,
            },
            "key_name": {
                "type": "string",
                "title": "Key name",
                "description": "The TSIG key's name at the server. Make a key by: tsig-keygen -a hmac-sha256 hangar \
                    (Knot: keymgr -t hangar hmac-sha256). Then allow it. BIND, in the zone: update-policy { grant \
                    hangar zonesub A AAAA CNAME TXT; }; (or allow-update { key hangar; };) and allow-transfer { key \
                    hangar; };. Knot: an acl with key: hangar and action: [update, transfer].",
                "minLength": 1,
                "maxLength": 253,
            },
            "algorithm": {
                "type": "string",
                "title": "Algorithm",
                "description": "The key's algorithm, as the server has it.",
                "enum": ALGORITHMS,
                "default": ALGORITHMS[0],
            },
        },
    })
}

pub(super) fn secret() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "DNS update (RFC 2136) secret",
        "type": "object",
        "additionalProperties": false,
        "required": ["key"],
        "properties": {
            "key": {
                "type": "string",
                "title": "Key",
                "description": "The key's secret in base64: what tsig-keygen prints after secret, without the quotes.",
                "writeOnly": true,
                "minLength": 1,
                "maxLength": 512,
            },
        },
    })
}
