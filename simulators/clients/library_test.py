"""PyPI's `hcloud` library agrees with the simulator."""

import pytest
import requests
from hcloud import APIException, Client
from hcloud.actions import ActionFailedException
from hcloud.firewalls import FirewallResource, FirewallRule
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.server_types import ServerType
from hcloud.zones import ZoneRecord, ZoneRRSet


@pytest.fixture
def client(simulator):
    return Client(token=simulator.token, api_endpoint=simulator.endpoint, poll_interval=0.01)


def create(client, **more):
    answer = client.servers.create(
        name="alpha",
        server_type=ServerType(name="cx23"),
        image=Image(name="debian-13"),
        location=Location(name="fsn1"),
        **more,
    )
    answer.action.wait_until_finished()
    for action in answer.next_actions:
        action.wait_until_finished()
    return client.servers.get_by_id(answer.server.id), answer


@pytest.fixture
def server(client):
    return create(client)[0]


def refused(code):
    """Expects the vendor's error of this code."""
    return pytest.raises(APIException, check=lambda error: error.code == code)


def test_a_server_with_key_firewall_labels_and_user_data(client, public_key):
    key = client.ssh_keys.create(name="mine", public_key=public_key, labels={"a": "b"})
    rule = FirewallRule(direction="in", protocol="tcp", port="22", source_ips=["0.0.0.0/0", "::/0"])
    firewall = client.firewalls.create(name="ssh-only", rules=[rule]).firewall
    server, answer = create(
        client, ssh_keys=[key], firewalls=[firewall], labels={"role": "test"}, user_data="#cloud-config\n"
    )
    assert answer.root_password is None
    assert (server.status, server.labels) == ("running", {"role": "test"})
    assert server.location.name == "fsn1"
    assert [it.status for it in server.public_net.firewalls] == ["applied"]
    assert [it.id for it in client.servers.get_all(label_selector="role=test")] == [server.id]
    assert client.servers.get_all(label_selector="role notin (test)") == []
    assert client.servers.get_by_name("alpha").id == server.id
    assert client.ssh_keys.get_by_fingerprint(key.fingerprint).id == key.id
    with refused("resource_in_use"):
        firewall.delete()
    addresses = {it.ip: it for it in client.primary_ips.get_all()}
    assert addresses[server.public_net.ipv4.ip].assignee_id == server.id
    with refused("must_be_unassigned"):
        addresses[server.public_net.ipv4.ip].delete()
    server.delete().wait_until_finished()
    assert client.servers.get_all() == [] and client.primary_ips.get_all() == []
    firewall.delete()
    key.delete()


def test_pages(client):
    for number in range(27):
        client.firewalls.create(name=f"firewall-{number:02}")
    assert len(client.firewalls.get_all()) == 27
    assert len(client.firewalls.get_list(page=2, per_page=20).firewalls) == 7


def test_a_server_is_renamed_and_labelled(client, server):
    server = server.update(name="beta", labels={"a": "b"})
    assert (server.name, server.labels) == ("beta", {"a": "b"})
    with refused("uniqueness_error"):
        client.ssh_keys.create(name="one", public_key=KEY)
        client.ssh_keys.create(name="one", public_key=KEY)


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE9H0PjfRWWm2fWzGz2hJSQ3yYUQ0nFIBbHiYq3oWpHd test"


def test_power(client, server):
    for command, status in [
        (server.power_off, "off"),
        (server.power_on, "running"),
        (server.reboot, "running"),
        (server.reset, "running"),
    ]:
        command().wait_until_finished()
        assert client.servers.get_by_id(server.id).status == status
    server.shutdown().wait_until_finished()
    while client.servers.get_by_id(server.id).status != "off":
        pass


def test_rebuild_and_another_type(client, server):
    with refused("server_not_stopped"):
        server.change_type(ServerType(name="cx33"), upgrade_disk=True)
    server.power_off().wait_until_finished()
    server.change_type(ServerType(name="cx33"), upgrade_disk=False).wait_until_finished()
    server.reload()
    assert (server.server_type.name, server.primary_disk_size) == ("cx33", 40)
    with refused("invalid_server_type"):
        server.change_type(ServerType(name="cax21"), upgrade_disk=False)
    answer = server.rebuild(Image(name="ubuntu-26.04"), user_data="#cloud-config\n")
    assert client.servers.get_by_id(server.id).status == "rebuilding"
    answer.action.wait_until_finished()
    server.reload()
    assert (server.status, server.image.name) == ("running", "ubuntu-26.04")


def test_protection_locks_and_other_actions(client, server):
    server.change_protection(delete=True, rebuild=True).wait_until_finished()
    with refused("protected"):
        server.delete()
    with refused("protected"):
        server.rebuild(Image(name="debian-13"))
    action = server.change_protection(delete=False, rebuild=False)
    with refused("locked"):
        server.delete()
    action.wait_until_finished()
    server.enable_backup().wait_until_finished()
    made = server.create_image(description="mine", type="backup", labels={"a": "b"})
    assert made.image.status == "creating"
    made.action.wait_until_finished()
    image = client.images.get_by_id(made.image.id)
    assert (image.status, image.bound_to.id, image.architecture) == ("available", server.id, "x86")
    server.disable_backup().wait_until_finished()
    server.change_dns_ptr(server.public_net.ipv4.ip, "alpha.example.com").wait_until_finished()
    server.reload()
    assert server.public_net.ipv4.dns_ptr == "alpha.example.com"
    console = server.request_console()
    assert console.wss_url.startswith("wss://")
    metrics = server.get_metrics(["cpu", "disk"], "2026-11-20T00:00:00Z", "2026-11-20T01:00:00Z", step=60)
    assert {"cpu", "disk.0.iops.read"} <= set(metrics.metrics.time_series)
    commands = [action.command for action in server.get_actions(sort=["id:asc"])]
    assert commands[:3] == ["create_server", "start_server", "change_protection"]
    ids = [action.id for action in server.get_actions()]
    assert [it.id for it in client.servers.actions.get_all()] == sorted(ids)


def test_an_action_may_fail_after_the_answer(client, simulator):
    fault = {
        "on": "server_create",
        "effect": {"kind": "action_error", "code": "action_failed", "message": "no"},
    }
    assert requests.post(f"{simulator.control}/faults", json=fault, timeout=10).status_code == 201
    with pytest.raises(ActionFailedException):
        create(client)


def test_firewalls(client, server):
    firewall = client.firewalls.create(name="web").firewall
    rule = FirewallRule(direction="in", protocol="tcp", port="443", source_ips=["0.0.0.0/0"])
    for action in firewall.set_rules([rule]):
        action.wait_until_finished()
    for action in firewall.apply_to_resources([FirewallResource(type="server", server=server)]):
        action.wait_until_finished()
    firewall.reload()
    assert firewall.rules[0].port == "443" and firewall.applied_to[0].server.id == server.id
    for action in firewall.remove_from_resources([FirewallResource(type="server", server=server)]):
        action.wait_until_finished()
    assert client.firewalls.get_by_name("web").applied_to == []
    with refused("invalid_input"):
        client.firewalls.create(name="bad", rules=[FirewallRule(direction="in", protocol="tcp", source_ips=["x"])])


def test_the_catalogue(client):
    server_type = client.server_types.get_by_name("cx23")
    assert (server_type.architecture, server_type.memory) == ("x86", 4)
    leaving = client.server_types.get_by_name("cax21")
    going = {it.location.name: it.deprecation for it in leaving.locations}
    assert going["hel1"].unavailable_after and not going["fsn1"]
    assert len(client.locations.get_all()) == 6
    assert client.images.get_by_name_and_architecture("debian-13", "arm").os_flavor == "debian"
    assert client.images.get_by_name_and_architecture("debian-11", "x86", include_deprecated=True) is not None


def test_zones_and_record_sets(client):
    made = client.zones.create(name="example.com", mode="primary", ttl=300, labels={"a": "b"})
    made.action.wait_until_finished()
    zone = client.zones.get("example.com")
    assert (zone.id, zone.ttl, zone.mode, zone.labels) == (made.zone.id, 300, "primary", {"a": "b"})
    assert {rrset.type for rrset in zone.get_rrset_all()} == {"SOA", "NS"}

    record = ZoneRecord(value="198.51.100.1", comment="first")
    made = zone.create_rrset(name="www", type="A", ttl=60, labels={"owner": "me"}, records=[record])
    made.action.wait_until_finished()
    rrset = zone.get_rrset("www", "A")
    assert (rrset.id, rrset.ttl, rrset.labels) == ("www/A", 60, {"owner": "me"})
    assert rrset.records == [record]
    with refused("uniqueness_error"):
        zone.create_rrset(name="www", type="A", records=[record])

    zone.add_rrset_records(rrset, [ZoneRecord(value="198.51.100.2")]).wait_until_finished()
    zone.update_rrset_records(rrset, [ZoneRecord(value="198.51.100.2", comment="second")]).wait_until_finished()
    zone.change_rrset_ttl(rrset, 120).wait_until_finished()
    rrset = zone.get_rrset("www", "A")
    assert rrset.ttl == 120
    assert {it.value: it.comment for it in rrset.records} == {"198.51.100.1": "first", "198.51.100.2": "second"}
    zone.set_rrset_records(rrset, [ZoneRecord(value="198.51.100.3")]).wait_until_finished()
    assert [it.value for it in zone.get_rrset("www", "A").records] == ["198.51.100.3"]
    assert zone.update_rrset(rrset, labels={}).labels == {}
    zone.change_rrset_protection(rrset, change=True).wait_until_finished()
    with refused("protected"):
        zone.delete_rrset(rrset)
    zone.change_rrset_protection(rrset, change=False).wait_until_finished()
    zone.remove_rrset_records(rrset, [ZoneRecord(value="198.51.100.3")]).wait_until_finished()
    with refused("not_found"):
        zone.get_rrset("www", "A")

    # Adding makes the set, also at the apex and for every name.
    for name in ["@", "*", "_acme-challenge.www"]:
        text = ZoneRRSet(zone=zone, name=name, type="TXT")
        zone.add_rrset_records(text, [ZoneRecord(value='"a b"')], ttl=60).wait_until_finished()
        assert zone.get_rrset(name, "TXT").records[0].value == '"a b"'
        zone.delete_rrset(zone.get_rrset(name, "TXT")).action.wait_until_finished()
    zone.delete().action.wait_until_finished()
    assert client.zones.get_all() == []
