"""Ansible's hetzner.hcloud modules agree with the simulator, and see when there is nothing to do."""

import json
import os
import subprocess

import pytest

pytestmark = pytest.mark.skipif("HANGAR_ANSIBLE" not in os.environ, reason="no Python 3.12 for Ansible")

SERVER = {"name": "alpha", "server_type": "cx23", "image": "debian-13", "location": "fsn1"}


@pytest.fixture
def play(simulator, tmp_path):
    """Runs tasks, each a module with its arguments, and gives what each answered."""
    access = {"api_endpoint": simulator.endpoint, "api_token": simulator.token}

    def run(*tasks):
        book = tmp_path / "play.yml"
        tasks = [
            {f"hetzner.hcloud.{module}": access | arguments, "register": f"task_{at}"}
            for at, (module, arguments) in enumerate(tasks)
        ]
        results = ", ".join(task["register"] for task in tasks)
        answers = tmp_path / "answers.json"
        content = f"{{{{ [{results}] | to_json }}}}"
        tasks.append({"ansible.builtin.copy": {"dest": str(answers), "content": content}})
        # JSON is YAML too.
        book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": os.environ["HANGAR_ANSIBLE_COLLECTIONS"],
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_PIPELINING": "true",
        }
        ansible = os.environ["HANGAR_ANSIBLE"]
        interpreter = os.path.join(os.path.dirname(ansible), "python")
        command = [ansible, "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={interpreter}", book]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(answers.read_text())

    return run


def check(play, steps):
    """Plays steps: module, arguments, and the status of the server after it, True for any other change
    and None for no change. Gives the answers."""
    answers = play(*[(module, arguments) for module, arguments, _ in steps])
    for (module, arguments, expected), answer in zip(steps, answers, strict=True):
        assert answer["changed"] == (expected is not None), (module, arguments, answer)
        if isinstance(expected, str):
            assert answer["hcloud_server"]["status"] == expected, (arguments, answer)
    return answers


def test_a_server_with_key_and_firewall_is_created_labelled_stopped_and_deleted(play, public_key):
    steps = [
        ("ssh_key", {"name": "mine", "public_key": public_key}, True),
        ("firewall", {"name": "ssh-only", "rules": [rule("22")]}, True),
        ("server", SERVER | {"ssh_keys": ["mine"], "firewalls": ["ssh-only"], "labels": {"a": "b"}}, "running"),
        ("server", SERVER | {"labels": {"a": "b"}, "state": "present"}, None),
        ("server", {"name": "alpha", "labels": {"a": "c"}}, "running"),
        ("server", {"name": "alpha", "state": "stopped"}, "off"),
        ("server", {"name": "alpha", "state": "absent"}, True),
        ("server", {"name": "alpha", "state": "absent"}, None),
        ("firewall", {"name": "ssh-only", "state": "absent"}, True),
    ]
    check(play, steps)


def test_a_server_gets_another_type_and_image(play):
    steps = [
        ("server", SERVER | {"state": "stopped"}, "off"),
        ("server", SERVER | {"server_type": "cx33", "state": "stopped"}, "off"),
        ("server", {"name": "alpha", "state": "started"}, "running"),
        ("server", {"name": "alpha", "state": "restarted"}, "running"),
        ("server", SERVER | {"server_type": "cx33", "image": "ubuntu-26.04", "state": "rebuild"}, "running"),
        ("server_info", {"name": "alpha"}, None),
    ]
    info = check(play, steps)[-1]["hcloud_server_info"][0]
    assert (info["server_type"], info["image"]) == ("cx33", "ubuntu-26.04")


def rule(port):
    return {"direction": "in", "protocol": "tcp", "port": port, "source_ips": ["0.0.0.0/0", "::/0"]}


def test_zones_and_record_sets(play):
    record = {"zone": "example.com", "name": "www", "type": "A", "ttl": 60}
    first, second = [{"value": "198.51.100.1", "comment": "why"}], [{"value": "198.51.100.2"}]
    answers = play(
        ("zone", {"name": "example.com", "mode": "primary"}),
        ("zone_rrset", record | {"records": first}),
        ("zone_rrset", record | {"records": first}),
        ("zone_rrset", record | {"records": second}),
        ("zone_rrset_info", {"zone": "example.com", "name": "www", "type": "A"}),
        ("zone_rrset", {"zone": "example.com", "name": "www", "type": "A", "state": "absent"}),
        ("zone", {"name": "example.com", "state": "absent"}),
    )
    assert [answer["changed"] for answer in answers] == [True, True, False, True, False, True, True]
    records = answers[4]["hcloud_zone_rrset_info"][0]["records"]
    assert [it["value"] for it in records] == ["198.51.100.2"]
