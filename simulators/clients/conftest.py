"""A simulated vendor for each test, as a process of its own.

Rule: these tests know the vendor's clients and documentation, and nothing of how the simulator works.
"""

import dataclasses
import os
import subprocess

import pytest

# How long an action takes: enough to be seen running.
ACTION_MS = 40


@dataclasses.dataclass
class Simulator:
    endpoint: str
    token: str

    @property
    def control(self):
        """The base of what no vendor has: changes behind the client's back."""
        return self.endpoint.removesuffix("/v1") + "/control"


def program(*command):
    """A process that tells of itself on its standard output and ends when its input is closed."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def start(action_ms):
    """The process and the simulator that it runs."""
    process = program(os.environ["HANGAR_SIMULATOR"], str(action_ms))
    endpoint, token = process.stdout.readline().strip(), process.stdout.readline().strip()
    assert token, "the simulator did not start"
    return process, Simulator(endpoint, token)


def end(process):
    process.stdin.close()
    process.wait(timeout=10)
    process.stdout.close()


@pytest.fixture
def simulator():
    process, simulator = start(ACTION_MS)
    yield simulator
    end(process)


@dataclasses.dataclass
class Cloudflare:
    endpoint: str
    token: str
    name_server: str
    account: str

    @property
    def control(self):
        """The base of what no vendor has: changes behind the client's back."""
        return self.endpoint.removesuffix("/client/v4") + "/control"


@pytest.fixture
def cloudflare():
    """A simulated Cloudflare with the empty zone example.com."""
    process = program(os.environ["HANGAR_CLOUDFLARE_SIMULATOR"])
    told = [process.stdout.readline().strip() for _ in dataclasses.fields(Cloudflare)]
    assert all(told), "the simulator did not start"
    yield Cloudflare(*told)
    end(process)


@pytest.fixture(scope="session")
def public_key(tmp_path_factory):
    """The text of a public key that was made for this run."""
    path = tmp_path_factory.mktemp("keys") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path], check=True)
    return path.with_suffix(".pub").read_text().strip()


def pytest_collection_modifyitems(items):
    """Ansible takes longest: its tests come first, each beside a short one, so that no worker has two."""
    long = [item for item in items if item.path.name == "ansible_test.py"]
    short = [item for item in items if item not in long]
    beside = [item for pair in zip(long, short) for item in pair]
    items[:] = beside + short[len(long) :]
