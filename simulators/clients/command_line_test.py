"""Debian's `hcloud` command agrees with the simulator."""

import json
import os
import subprocess

import pytest

pytestmark = pytest.mark.skipif("HANGAR_HCLOUD" not in os.environ, reason="no hcloud command")


@pytest.fixture
def hcloud(simulator, tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HCLOUD_ENDPOINT": simulator.endpoint,
        "HCLOUD_TOKEN": simulator.token,
    }

    def run(*words, fails=False, stdin=None):
        command = [os.environ["HANGAR_HCLOUD"], "--poll-interval", "10ms", *words]
        done = subprocess.run(
            command, env=environment, input=stdin, text=True, timeout=20, capture_output=True, cwd=tmp_path
        )
        assert (done.returncode != 0) == fails, f"{words}: {done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    return run


def shown(hcloud, kind, name):
    return json.loads(hcloud(kind, "describe", name, "-o", "json"))


@pytest.fixture
def server(hcloud):
    """The name of a running server."""
    hcloud("server", "create", "--name", "alpha", "--type", "cx23", "--image", "debian-13", "--location", "fsn1")
    return "alpha"


def test_ssh_keys_are_made_labelled_renamed_and_deleted(hcloud, public_key):
    hcloud("ssh-key", "create", "--name", "one", "--public-key", public_key, "--label", "a=b")
    refused = hcloud("ssh-key", "create", "--name", "two", "--public-key", public_key, fails=True)
    assert "uniqueness_error" in refused
    hcloud("ssh-key", "add-label", "one", "c=d")
    hcloud("ssh-key", "update", "one", "--name", "three")
    key = shown(hcloud, "ssh-key", "three")
    assert key["labels"] == {"a": "b", "c": "d"}
    assert key["public_key"] == public_key
    assert hcloud("ssh-key", "list", "-l", "c=d", "-o", "noheader", "-o", "columns=name").strip() == "three"
    hcloud("ssh-key", "delete", "three")
    assert hcloud("ssh-key", "list", "-o", "noheader") == ""


def test_a_server_is_created_with_key_firewall_labels_and_user_data(hcloud, public_key, tmp_path):
    hcloud("ssh-key", "create", "--name", "mine", "--public-key", public_key)
    hcloud("firewall", "create", "--name", "ssh-only")
    (tmp_path / "user-data").write_text("#cloud-config\n")
    answer = hcloud(
        *("server", "create", "--name", "alpha", "--type", "cx23", "--image", "debian-13", "--location", "nbg1"),
        *("--ssh-key", "mine", "--firewall", "ssh-only", "--label", "role=test", "--label", "empty="),
        *("--user-data-from-file", "user-data"),
    )
    assert "Root password" not in answer
    server = shown(hcloud, "server", "alpha")
    assert server["status"] == "running"
    assert server["labels"] == {"role": "test", "empty": ""}
    assert [it["status"] for it in server["public_net"]["firewalls"]] == ["applied"]
    listed = hcloud("server", "list", "-l", "role=test", "-o", "noheader", "-o", "columns=name,status")
    assert listed.split() == ["alpha", "running"]
    assert hcloud("server", "list", "-l", "role!=test", "-o", "noheader") == ""
    assert hcloud("server", "ip", "alpha").strip() == server["public_net"]["ipv4"]["ip"]
    assert len(hcloud("primary-ip", "list", "-o", "noheader").splitlines()) == 2
    assert "resource_in_use" in hcloud("firewall", "delete", "ssh-only", fails=True)
    hcloud("server", "delete", "alpha")
    # This version does not wait for the end of a deletion.
    while hcloud("server", "list", "-o", "noheader"):
        pass
    assert hcloud("primary-ip", "list", "-o", "noheader") == ""
    hcloud("firewall", "delete", "ssh-only")


def test_names_are_unique_and_missing_things_are_not_found(hcloud, server):
    refused = hcloud("server", "create", "--name", server, "--type", "cx23", "--image", "debian-13", fails=True)
    assert "uniqueness_error" in refused
    assert "not found" in hcloud("server", "describe", "nobody", fails=True)
    unknown = ("server", "create", "--name", "x", "--type", "cx99", "--image", "debian-13")
    assert "invalid_input" in hcloud(*unknown, fails=True)


def test_a_server_is_renamed_and_labelled(hcloud, server):
    hcloud("server", "update", server, "--name", "beta")
    hcloud("server", "add-label", "beta", "a=b")
    hcloud("server", "add-label", "beta", "a=c", "--overwrite")
    assert shown(hcloud, "server", "beta")["labels"] == {"a": "c"}
    hcloud("server", "remove-label", "beta", "a")
    assert shown(hcloud, "server", "beta")["labels"] == {}


def test_power(hcloud, server):
    for command, status in [
        ("poweroff", "off"),
        ("poweron", "running"),
        ("reboot", "running"),
        ("reset", "running"),
    ]:
        hcloud("server", command, server)
        assert shown(hcloud, "server", server)["status"] == status, command


def test_a_shutdown_succeeds_before_the_server_is_off(hcloud, simulator, server):
    hcloud("server", "shutdown", server)
    while shown(hcloud, "server", server)["status"] != "off":
        pass


def test_rebuild_and_another_type(hcloud, server):
    hcloud("server", "rebuild", server, "--image", "ubuntu-26.04")
    assert shown(hcloud, "server", server)["image"]["name"] == "ubuntu-26.04"
    assert "server_not_stopped" in hcloud("server", "change-type", server, "cx33", fails=True)
    hcloud("server", "poweroff", server)
    hcloud("server", "change-type", server, "cx33", "--keep-disk")
    after = shown(hcloud, "server", server)
    assert (after["server_type"]["name"], after["primary_disk_size"], after["status"]) == ("cx33", 40, "off")
    hcloud("server", "change-type", server, "cx43")
    assert shown(hcloud, "server", server)["primary_disk_size"] == 160
    assert "invalid_server_type" in hcloud("server", "change-type", server, "cx33", fails=True)


def test_protection(hcloud, server):
    hcloud("server", "enable-protection", server, "delete", "rebuild")
    assert "protected" in hcloud("server", "delete", server, fails=True)
    assert "protected" in hcloud("server", "rebuild", server, "--image", "debian-13", fails=True)
    hcloud("server", "disable-protection", server, "delete", "rebuild")


def test_images_backups_names_console_and_metrics(hcloud, server):
    hcloud("server", "create-image", server, "--type", "snapshot", "--description", "mine", "--label", "a=b")
    listed = hcloud("image", "list", "-t", "snapshot", "-o", "noheader", "-o", "columns=id,status,description")
    image, status, description = listed.split()
    assert (status, description) == ("available", "mine")
    hcloud("server", "rebuild", server, "--image", image)
    hcloud("image", "update", image, "--description", "other")
    assert shown(hcloud, "image", image)["description"] == "other"
    hcloud("image", "delete", image)
    hcloud("server", "enable-backup", server)
    assert shown(hcloud, "server", server)["backup_window"]
    hcloud("server", "disable-backup", server)
    ip = hcloud("server", "ip", server).strip()
    hcloud("server", "set-rdns", server, "-r", "alpha.example.com")
    net = shown(hcloud, "server", server)["public_net"]
    assert (net["ipv4"]["ip"], net["ipv4"]["dns_ptr"]) == (ip, "alpha.example.com")
    assert "wss://" in hcloud("server", "request-console", server)
    span = ("--start", "2026-11-20T00:00:00Z", "--end", "2026-11-20T00:10:00Z")
    metrics = json.loads(hcloud("server", "metrics", server, "--type", "cpu", *span, "-o", "json"))
    assert metrics["metrics"]["time_series"]["cpu"]["values"]


def test_firewalls(hcloud, server):
    hcloud("firewall", "create", "--name", "web", "--label", "a=b")
    rule = ("--direction", "in", "--protocol", "tcp", "--port", "443", "--source-ips", "0.0.0.0/0")
    hcloud("firewall", "add-rule", "web", *rule)
    assert shown(hcloud, "firewall", "web")["rules"][0]["port"] == "443"
    hcloud("firewall", "apply-to-resource", "web", "--type", "server", "--server", server)
    assert len(shown(hcloud, "firewall", "web")["applied_to"]) == 1
    hcloud("firewall", "remove-from-resource", "web", "--type", "server", "--server", server)
    hcloud("firewall", "apply-to-resource", "web", "--type", "label_selector", "--label-selector", "x=y")
    hcloud("server", "add-label", server, "x=y")
    assert len(shown(hcloud, "server", server)["public_net"]["firewalls"]) == 1
    hcloud("firewall", "remove-from-resource", "web", "--type", "label_selector", "--label-selector", "x=y")
    hcloud("firewall", "delete-rule", "web", *rule)
    assert shown(hcloud, "firewall", "web")["rules"] == []
    hcloud("firewall", "delete", "web")


def test_the_catalogue(hcloud):
    assert "cx23" in hcloud("server-type", "list")
    assert shown(hcloud, "server-type", "cx23")["architecture"] == "x86"
    assert "fsn1" in hcloud("location", "list")
    assert "debian-13" in hcloud("image", "list", "-t", "system")
    assert "deprecated_api_endpoint" in hcloud("datacenter", "list", fails=True)


def test_another_token_is_refused(simulator, tmp_path):
    environment = {"HOME": str(tmp_path), "HCLOUD_ENDPOINT": simulator.endpoint, "HCLOUD_TOKEN": "x" * 64}
    command = [os.environ["HANGAR_HCLOUD"], "server", "list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "unauthorized" in done.stderr
