"""The simulator answers as the vendor's specification says, whatever it is asked.

Rule: every operation is answered well at least once, with a call that the vendor would take, and
survives what schemathesis makes up.
"""

import itertools
import json
import os
import time

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import conftest
import specification

SPECIFICATION = specification.load(os.environ["HANGAR_HETZNER_SPECIFICATION"])
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

# Made-up calls for each operation.
EXAMPLES = int(os.environ.get("HANGAR_EXAMPLES", "12"))


def configuration():
    generation = GenerationConfig(
        modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE], deterministic=True, with_security_parameters=False
    )
    project = ProjectConfig(generation=generation)
    project.phases.coverage.enabled = False
    project.phases.examples.enabled = False
    return SchemathesisConfig(projects=ProjectsConfig(default=project))


SCHEMA = schemathesis.openapi.from_dict(SPECIFICATION, config=configuration())


class World:
    """The things that calls are about: made when they are needed, and again when they are gone."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {simulator.token}"
        self.numbers = itertools.count(1)
        self.ids = {}

    def request(self, method, path, body=None):
        answer = self.session.request(method, self.simulator.endpoint + path, json=body, timeout=10)
        if answer.status_code >= 400:
            raise AssertionError(f"{method} {path}: {answer.text}")
        return answer.json() if answer.content else {}

    def settled(self, answer):
        """Waits for the end of what an answer started."""
        actions = [answer.get("action"), *answer.get("actions", []), *answer.get("next_actions", [])]
        for action in filter(None, actions):
            while self.request("GET", f"/actions/{action['id']}")["action"]["status"] == "running":
                time.sleep(0.001)
        return answer

    def create(self, kind):
        number = next(self.numbers)
        if kind == "servers":
            order = {"name": f"server-{number}", "server_type": "cx23", "image": "debian-13", "location": "fsn1"}
            made = self.settled(self.request("POST", "/servers", order))
            return made["server"]["id"]
        if kind == "firewalls":
            return self.settled(self.request("POST", "/firewalls", {"name": f"firewall-{number}"}))["firewall"]["id"]
        if kind == "ssh_keys":
            order = {"name": f"key-{number}", "public_key": key(number)}
            return self.request("POST", "/ssh_keys", order)["ssh_key"]["id"]
        if kind == "images":
            server = self.id("servers")
            made = self.settled(self.request("POST", f"/servers/{server}/actions/create_image", {}))
            return made["image"]["id"]
        if kind == "primary_ips":
            server = self.request("GET", f"/servers/{self.id('servers')}")["server"]
            return server["public_net"]["ipv4"]["id"]
        if kind == "zones":
            order = {"name": f"zone-{number}.example.com", "mode": "primary"}
            return self.settled(self.request("POST", "/zones", order))["zone"]["id"]
        return self.request("GET", f"/{kind}")[kind][0]["id"]

    def id(self, kind):
        """The id of something of this kind that is there."""
        known = self.ids.get(kind)
        if known is None or self.session.get(f"{self.simulator.endpoint}/{kind}/{known}", timeout=10).status_code == 404:
            self.ids[kind] = self.create(kind)
        return self.ids[kind]

    def rrset(self):
        """The zone, name and type of a record set that is there."""
        zone = self.id("zones")
        if not self.request("GET", f"/zones/{zone}/rrsets?name=www&type=A")["rrsets"]:
            order = {"name": "www", "type": "A", "records": [{"value": "198.51.100.1"}]}
            self.settled(self.request("POST", f"/zones/{zone}/rrsets", order))
        return zone, "www", "A"

    def action(self, kind):
        """The id of an action about a thing of this kind."""
        thing = self.id(kind)
        actions = self.request("GET", f"/{kind}/{thing}/actions")["actions"]
        if not actions:
            change = {"firewalls": "set_rules"}.get(kind, "change_protection")
            order = {"rules": [], "delete": False}
            made = self.settled(self.request("POST", f"/{kind}/{thing}/actions/{change}", order))
            actions = [made.get("action") or made["actions"][0]]
        return actions[0]["id"]

    def parameters(self, path):
        """Path parameters that lead somewhere."""
        kind = path.split("/")[1]
        values = {}
        if "{rr_name}" in path:
            values["id_or_name"], values["rr_name"], values["rr_type"] = self.rrset()
        elif "{id_or_name}" in path:
            values["id_or_name"] = self.id("zones")
        if path in ["/actions/{id}"] or path.endswith("/actions/{id}"):
            values["id"] = self.action("servers" if kind == "actions" else kind)
        elif "{id}" in path:
            values["id"] = self.id(kind)
        if "{action_id}" in path:
            values["action_id"] = self.action(kind)
        return values


def key(number):
    """A public key after this number; nothing has its private half."""
    import base64
    import struct

    material = b"".join(struct.pack(">I", len(part)) + part for part in [b"ssh-ed25519", number.to_bytes(32, "big")])
    return f"ssh-ed25519 {base64.b64encode(material).decode()}"


@pytest.fixture(scope="session")
def world():
    process, simulator = conftest.start(action_ms=1)
    yield World(simulator)
    conftest.end(process)


# What the vendor would take, where it takes a body; words of other calls are made up by `order`.
ORDERS = {
    "POST /servers": lambda world: {
        "name": f"fresh-{next(world.numbers)}",
        "server_type": "cx23",
        "image": "debian-13",
        "location": "fsn1",
        "labels": {"a": "b"},
        "firewalls": [{"firewall": world.id("firewalls")}],
        "ssh_keys": [str(world.id("ssh_keys"))],
    },
    "PUT /servers/{id}": lambda world: {"labels": {"a": "c"}},
    "POST /servers/{id}/actions/change_dns_ptr": lambda world: {
        "ip": world.request("GET", f"/servers/{world.id('servers')}")["server"]["public_net"]["ipv4"]["ip"],
        "dns_ptr": "alpha.example.com",
    },
    "POST /servers/{id}/actions/change_protection": lambda world: {"delete": False, "rebuild": False},
    "POST /servers/{id}/actions/change_type": lambda world: {"server_type": "cx33", "upgrade_disk": False},
    "POST /servers/{id}/actions/create_image": lambda world: {"type": "snapshot", "labels": {}},
    "POST /servers/{id}/actions/rebuild": lambda world: {"image": "debian-13", "user_data": "#cloud-config\n"},
    "POST /ssh_keys": lambda world: {"name": f"key-{next(world.numbers)}", "public_key": key(next(world.numbers))},
    "PUT /ssh_keys/{id}": lambda world: {"labels": {"a": "b"}},
    "PUT /images/{id}": lambda world: {"description": "other", "type": "snapshot", "labels": {"a": "b"}},
    "POST /images/{id}/actions/change_protection": lambda world: {"delete": False},
    "POST /firewalls": lambda world: {
        "name": f"fresh-{next(world.numbers)}",
        "labels": {"a": "b"},
        "rules": [{"direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0", "::/0"]}],
        "apply_to": [{"type": "label_selector", "label_selector": {"selector": "a=b"}}],
    },
    "PUT /firewalls/{id}": lambda world: {"labels": {"a": "b"}},
    "POST /firewalls/{id}/actions/apply_to_resources": lambda world: {
        "apply_to": [{"type": "server", "server": {"id": world.create("servers")}}]
    },
    "POST /firewalls/{id}/actions/remove_from_resources": lambda world: {"remove_from": [applied(world)]},
    "POST /firewalls/{id}/actions/set_rules": lambda world: {"rules": []},
    "PUT /primary_ips/{id}": lambda world: {"labels": {"a": "b"}, "auto_delete": False},
    "POST /primary_ips/{id}/actions/change_protection": lambda world: {"delete": False},
    "POST /primary_ips/{id}/actions/change_dns_ptr": lambda world: {
        "ip": world.request("GET", f"/primary_ips/{world.id('primary_ips')}")["primary_ip"]["ip"],
        "dns_ptr": "alpha.example.com",
    },
    "POST /zones": lambda world: {
        "name": f"fresh-{next(world.numbers)}.example.com",
        "mode": "primary",
        "rrsets": [{"name": "@", "type": "TXT", "records": [{"value": '"text"', "comment": "why"}]}],
    },
    "PUT /zones/{id_or_name}": lambda world: {"labels": {"a": "b"}},
    "POST /zones/{id_or_name}/actions/change_protection": lambda world: {"delete": False},
    "POST /zones/{id_or_name}/actions/change_ttl": lambda world: {"ttl": 300},
    "POST /zones/{id_or_name}/rrsets": lambda world: {
        "name": f"fresh-{next(world.numbers)}",
        "type": "AAAA",
        "ttl": 60,
        "records": [{"value": "2001:db8::1", "comment": "why"}],
        "labels": {"a": "b"},
    },
} | {
    f"{method} /zones/{{id_or_name}}/rrsets/{{rr_name}}/{{rr_type}}{command}": order
    for method, command, order in [
        ("PUT", "", lambda world: {"labels": {"a": "b"}}),
        ("POST", "/actions/change_protection", lambda world: {"change": False}),
        ("POST", "/actions/change_ttl", lambda world: {"ttl": None}),
        ("POST", "/actions/set_records", lambda world: {"records": [{"value": "198.51.100.1", "comment": "why"}]}),
        ("POST", "/actions/add_records", lambda world: {"records": [{"value": f"192.0.2.{next(world.numbers) % 256}"}]}),
        ("POST", "/actions/remove_records", lambda world: {"records": [{"value": "198.51.100.1"}]}),
        ("POST", "/actions/update_records", lambda world: {"records": [{"value": "198.51.100.1", "comment": "why"}]}),
    ]
}

QUERIES = {
    "/actions": lambda world: {"id": world.action("servers")},
    "/servers/{id}/metrics": lambda world: {
        "type": "cpu,disk,network",
        "start": "2026-11-20T00:00:00Z",
        "end": "2026-11-20T01:00:00Z",
    },
}


def applied(world):
    """Something that the firewall is applied to."""
    firewall, target = world.id("firewalls"), {"type": "server", "server": {"id": world.create("servers")}}
    world.settled(world.request("POST", f"/firewalls/{firewall}/actions/apply_to_resources", {"apply_to": [target]}))
    return target


def prepare(world, operation):
    """What must be so before the call can succeed."""
    if operation == "POST /servers/{id}/actions/change_type":
        del world.ids["servers"]
        world.settled(world.request("POST", f"/servers/{world.id('servers')}/actions/poweroff"))
    if operation == "DELETE /firewalls/{id}":
        world.ids["firewalls"] = world.create("firewalls")
    if operation == "DELETE /primary_ips/{id}":
        address = world.ids["primary_ips"] = world.create("primary_ips")
        world.request("PUT", f"/primary_ips/{address}", {"auto_delete": False})
        world.settled(world.request("DELETE", f"/servers/{world.ids['servers']}"))
    if operation.endswith(("remove_records", "update_records")):
        zone, name, kind = world.rrset()
        world.settled(world.request("DELETE", f"/zones/{zone}/rrsets/{name}/{kind}"))
        world.rrset()


OPERATIONS = [
    (method.upper(), path)
    for path, item in SPECIFICATION["paths"].items()
    for method in item
    if method in specification.METHODS
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_good_call_is_answered_as_specified(world, method, path):
    world.ids.setdefault("servers", world.create("servers"))
    name = f"{method} {path}"
    prepare(world, name)
    order = ORDERS.get(name, lambda world: None)(world)
    query = QUERIES.get(path, lambda world: None)(world)
    url = world.simulator.endpoint + path.format(**world.parameters(path))
    answer = world.session.request(method, url, json=order, params=query, timeout=10)
    assert 200 <= answer.status_code < 300, answer.text
    SCHEMA[path][method].validate_response(schemathesis.Response.from_requests(answer, verify=True))
    if answer.content:
        world.settled(json.loads(answer.text))


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_call_is_answered_otherwise(case, world):
    path = case.operation.path
    if case.path_parameters and next(world.numbers) % 4:
        case.path_parameters = case.path_parameters | world.parameters(path)
    case.call_and_validate(
        base_url=world.simulator.endpoint,
        headers={"Authorization": f"Bearer {world.simulator.token}"},
        session=world.session,
        checks=CHECKS,
    )
