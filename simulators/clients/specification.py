"""The vendor's specification, cut down to what the simulator implements and brought up to date.

Rule: it is the one that was published in spring 2026. What the vendor announced since is done to it
here, each change with its date; nothing else is.
"""

import json

# The operations that are left out, by path; a set names methods, None is all of them.
LEFT_OUT = {
    "/primary_ips": {"post"},
    "/zones/{id_or_name}/zonefile": None,
    "/zones/{id_or_name}/actions/import_zonefile": None,
    "/zones/{id_or_name}/actions/change_primary_nameservers": None,
} | {
    f"/servers/{{id}}/actions/{command}": None
    for command in [
        *("add_to_placement_group", "remove_from_placement_group", "attach_iso", "detach_iso"),
        *("attach_to_network", "detach_from_network", "change_alias_ips"),
        *("enable_rescue", "disable_rescue", "reset_password"),
    ]
} | {
    f"/primary_ips/{{id}}/actions/{command}": None
    for command in ["assign", "unassign"]
}

COLLECTIONS = {
    *("actions", "servers", "ssh_keys", "server_types", "locations", "images", "pricing"),
    *("firewalls", "primary_ips", "zones"),
}

METHODS = {"get", "post", "put", "delete"}


def load(path):
    with open(path, encoding="utf-8") as file:
        specification = json.load(file)
    paths = {}
    for name, item in specification["paths"].items():
        left_out = LEFT_OUT.get(name, set())
        if name.split("/")[1] not in COLLECTIONS or left_out is None:
            continue
        paths[name] = {key: value for key, value in item.items() if key not in left_out}
        for key in METHODS & paths[name].keys():
            operation(paths[name][key])
    specification["paths"] = paths
    return specification


def operation(item):
    responses = item["responses"]
    # Ranges are written in capitals, and an error of the server's own is always a mismatch.
    responses["4XX"] = responses.pop("4xx")
    del responses["5xx"]
    for response in responses.values():
        for content in response.get("content", {}).values():
            up_to_date(content["schema"])


def up_to_date(schema):
    """What the vendor changed since."""
    if isinstance(schema, list):
        for item in schema:
            up_to_date(item)
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if {"datacenter", "location"} <= properties.keys():
        # 2026-07: servers and Primary IPs say `location` only.
        del properties["datacenter"]
        required.remove("datacenter")
    if "cpu_type" in properties:
        # 2025-09: deprecation per location. Enumerations may grow at any time.
        del properties["deprecated"]
        required.remove("deprecated")
        del properties["cpu_type"]["enum"]
        # 2026-04: whether it can be had there.
        location = properties["locations"]["items"]
        for name in ["available", "recommended"]:
            location["properties"][name] = {"type": "boolean"}
            location["required"].append(name)
    if "os_flavor" in properties:
        # 2026-09: `deprecation` instead of `deprecated`.
        del properties["deprecated"]
        required.remove("deprecated")
        moment = {"type": "string", "format": "date-time"}
        properties["deprecation"] = {
            "type": "object",
            "nullable": True,
            "properties": {"announced": moment, "unavailable_after": moment},
            "required": ["announced", "unavailable_after"],
        }
        required.append("deprecation")
        del properties["os_flavor"]["enum"]
    if "assignee_type" in properties:
        # 2026-08: one that was left behind.
        properties["assignee_type"]["enum"].append("unassigned")
    for value in list(schema.values()):
        up_to_date(value)
