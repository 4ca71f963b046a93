"""PyPI's `cloudflare` library agrees with the simulator."""

import dns.message
import dns.query
import pytest
import requests
from cloudflare import APIStatusError, Cloudflare, RateLimitError


@pytest.fixture
def client(cloudflare):
    return Cloudflare(api_token=cloudflare.token, base_url=cloudflare.endpoint, max_retries=0)


@pytest.fixture
def zone(client):
    return next(iter(client.zones.list(name="example.com"))).id


def refused(status, code):
    """Expects the vendor's error of this status and code."""

    def is_it(error):
        return error.status_code == status and [it.code for it in error.errors] == [code]

    return pytest.raises(APIStatusError, check=is_it)


def test_the_token_is_verified_where_it_belongs(client, cloudflare):
    told = client.user.tokens.verify()
    assert told.status == "active" and told.id
    with refused(401, 1000):
        client.accounts.tokens.verify(account_id=cloudflare.account)


def test_zones(client, zone, cloudflare):
    found = client.zones.get(zone_id=zone)
    assert (found.name, found.status, found.account.id) == ("example.com", "active", cloudflare.account)
    assert len(found.name_servers) == 2
    assert [it.name for it in client.zones.list()] == ["example.com"]
    assert list(client.zones.list(name="example.org")) == []
    made = client.zones.create(account={"id": cloudflare.account}, name="example.org", type="full")
    assert [it.name for it in client.zones.list()] == ["example.com", "example.org"]
    client.zones.delete(zone_id=made.id)
    with refused(404, 7003):
        client.zones.get(zone_id=made.id)


def test_the_life_of_a_record(client, zone):
    records = client.dns.records
    made = records.create(
        zone_id=zone, type="A", name="alpha.example.com", content="192.0.2.1", ttl=120, comment="mine"
    )
    assert (made.name, made.type, made.content, made.ttl) == ("alpha.example.com", "A", "192.0.2.1", 120)
    assert (made.proxied, made.proxiable, made.comment, made.tags) == (False, True, "mine", [])
    assert made.created_on.tzinfo is not None
    assert records.get(made.id, zone_id=zone) == made

    edited = records.edit(made.id, zone_id=zone, type="A", name="alpha.example.com", content="192.0.2.2", ttl=120)
    assert (edited.content, edited.comment) == ("192.0.2.2", "mine")
    replaced = records.update(made.id, zone_id=zone, type="A", name="alpha.example.com", content="192.0.2.3", ttl=1)
    assert (replaced.content, replaced.comment, replaced.ttl) == ("192.0.2.3", None, 1)

    assert records.delete(made.id, zone_id=zone).id == made.id
    with refused(404, 81044):
        records.get(made.id, zone_id=zone)
    assert list(records.list(zone_id=zone)) == []


def test_pages_and_filters(client, zone):
    records = client.dns.records
    for number in range(7):
        records.create(
            zone_id=zone,
            type="A",
            name=f"n{number}.example.com",
            content=f"192.0.2.{number}",
            ttl=1,
            comment=f"hangar inst-{number % 2} dns_{number}",
        )
    # The library pages until a page is empty.
    assert len(list(records.list(zone_id=zone, per_page=3))) == 7
    assert [it.name for it in records.list(zone_id=zone, name={"exact": "n3.example.com"})] == ["n3.example.com"]
    assert len(list(records.list(zone_id=zone, comment={"startswith": "hangar inst-1"}))) == 3
    assert [it.name for it in records.list(zone_id=zone, content={"exact": "192.0.2.5"})] == ["n5.example.com"]
    assert list(records.list(zone_id=zone, type="AAAA")) == []


def test_what_the_vendor_refuses(client, zone):
    records = client.dns.records
    records.create(zone_id=zone, type="A", name="alpha.example.com", content="192.0.2.1", ttl=1)
    with refused(400, 81058):
        records.create(zone_id=zone, type="A", name="alpha.example.com", content="192.0.2.1", ttl=1)
    with refused(400, 81053):
        records.create(zone_id=zone, type="CNAME", name="alpha.example.com", content="example.org", ttl=1)
    with refused(400, 1004):
        records.create(zone_id=zone, type="A", name="beta.example.com", content="nowhere", ttl=1)
    with refused(404, 7003):
        list(records.list(zone_id="0" * 32))


def test_a_batch(client, zone):
    records = client.dns.records
    one = records.create(zone_id=zone, type="A", name="one.example.com", content="192.0.2.1", ttl=1)
    two = records.create(zone_id=zone, type="A", name="two.example.com", content="192.0.2.1", ttl=1)
    done = records.batch(
        zone_id=zone,
        deletes=[{"id": one.id}],
        patches=[{"id": two.id, "type": "A", "name": "two.example.com", "ttl": 60}],
        posts=[{"type": "TXT", "name": "three.example.com", "content": '"x"', "ttl": 1}],
    )
    assert [it.id for it in done.deletes] == [one.id]
    assert [it.ttl for it in done.patches] == [60]
    assert [it.content for it in done.posts] == ['"x"']
    assert sorted(it.name for it in records.list(zone_id=zone)) == ["three.example.com", "two.example.com"]


def test_a_limit_that_is_met(client, cloudflare):
    fault = {"on": "any", "effect": {"kind": "rate_limited", "retry_after": 300}}
    assert requests.post(f"{cloudflare.control}/faults", json=fault, timeout=10).status_code == 201
    with pytest.raises(RateLimitError) as error:
        client.user.tokens.verify()
    assert error.value.response.headers["retry-after"] == "300"


@pytest.mark.parametrize("ask", [dns.query.udp, dns.query.tcp])
def test_the_name_server(client, zone, cloudflare, ask):
    client.dns.records.create(zone_id=zone, type="AAAA", name="alpha.example.com", content="2001:db8::1", ttl=60)
    host, port = cloudflare.name_server.rsplit(":", 1)
    answer = ask(dns.message.make_query("alpha.example.com", "AAAA"), host, port=int(port), timeout=10)
    assert [str(it) for it in answer.answer] == ["alpha.example.com. 60 IN AAAA 2001:db8::1"]
    assert answer.flags & dns.flags.AA
    nothing = ask(dns.message.make_query("beta.example.com", "AAAA"), host, port=int(port), timeout=10)
    assert nothing.rcode() == dns.rcode.NXDOMAIN
