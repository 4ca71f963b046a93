"""octoDNS, which keeps whole zones as files say, agrees with the simulator."""

import pytest
import requests
import yaml
from octodns.manager import Manager

ZONE = {
    "": [
        {"type": "MX", "ttl": 300, "value": {"exchange": "mail.example.com.", "preference": 10}},
        {"type": "TXT", "ttl": 300, "values": ["v=spf1 -all", "two words"]},
        {"type": "CAA", "ttl": 300, "value": {"flags": 0, "tag": "issue", "value": "letsencrypt.org"}},
    ],
    "_sip._tcp": {
        "type": "SRV",
        "ttl": 300,
        "value": {"port": 5060, "priority": 10, "target": "sip.example.com.", "weight": 20},
    },
    "sub": {"type": "NS", "ttl": 3600, "values": ["ns1.example.org.", "ns2.example.org."]},
    "www": [
        {"type": "A", "ttl": 300, "values": ["192.0.2.1", "192.0.2.2"]},
        {"type": "AAAA", "ttl": 300, "value": "2001:db8::1"},
    ],
    "alias": {"type": "CNAME", "ttl": 300, "value": "www.example.com."},
    "proxied": {
        "type": "A",
        "ttl": 300,
        "value": "192.0.2.3",
        "octodns": {"cloudflare": {"proxied": True, "comment": "kept by a file"}},
    },
}


@pytest.fixture
def sync(cloudflare, tmp_path):
    """Makes the zone as it is told; how many changes that took."""
    config = {
        "providers": {
            "files": {
                "class": "octodns.provider.yaml.YamlProvider",
                "directory": str(tmp_path / "zones"),
                "escaped_semicolons": False,
            },
            "cloudflare": {
                "class": "octodns_cloudflare.CloudflareProvider",
                "token": cloudflare.token,
                "api_url": cloudflare.endpoint,
                "account_id": cloudflare.account,
                # Small pages, so that there are several.
                "records_per_page": 5,
                "retry_count": 0,
            },
        },
        "zones": {"example.com.": {"sources": ["files"], "targets": ["cloudflare"]}},
    }
    (tmp_path / "zones").mkdir()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))

    def run(zone):
        (tmp_path / "zones" / "example.com.yaml").write_text(yaml.safe_dump(zone))
        return Manager(str(tmp_path / "config.yaml")).sync(dry_run=False, force=True)

    return run


@pytest.fixture
def records(cloudflare):
    """The zone's records at the vendor, by name and type."""

    def read():
        zones = requests.get(f"{cloudflare.control}/state", timeout=10).json()["zones"]
        found = {}
        for record in zones[0]["records"]:
            found.setdefault((record["name"], record["type"]), []).append(record)
        return found

    return read


def test_a_zone_is_made_and_then_nothing_is_left_to_do(sync, records):
    assert sync(ZONE) == 9
    made = records()
    assert sorted(it["content"] for it in made["www.example.com", "A"]) == ["192.0.2.1", "192.0.2.2"]
    [proxied] = made["proxied.example.com", "A"]
    assert (proxied["proxied"], proxied["ttl"], proxied["comment"]) == (True, 1, "kept by a file")
    assert made["_sip._tcp.example.com", "SRV"][0]["data"]["port"] == 5060
    assert sync(ZONE) == 0
    assert records() == made


def test_a_zone_is_changed(sync, records):
    sync(ZONE)
    changed = {name: record for name, record in ZONE.items() if name != "alias"}
    changed["www"] = [{"type": "A", "ttl": 600, "values": ["192.0.2.2", "192.0.2.9"]}]
    # www's A changes, its AAAA and the alias go.
    assert sync(changed) == 3
    made = records()
    assert sorted(it["content"] for it in made["www.example.com", "A"]) == ["192.0.2.2", "192.0.2.9"]
    assert {it["ttl"] for it in made["www.example.com", "A"]} == {600}
    assert ("www.example.com", "AAAA") not in made and ("alias.example.com", "CNAME") not in made
    assert sync(changed) == 0
