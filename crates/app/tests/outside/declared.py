"""Every refusal that the server answers is declared in /openapi.json by its status: each operation is asked for in ways that must be refused.

Each operation has a `default` answer, too, for what is not foreseen; schemathesis lets it stand for every status, so it cannot say this.
"""

import json
import re
import uuid
from pathlib import Path

import shortuuid

import world

# What ends the sessions of the person who asks is asked for last.
LAST = ("/sign-out", "/users/me", "/users/me/password", "/sign-in")
MOST_BYTES = 1 << 20


def address(path: str, ids: dict[str, str] | None) -> str:
    """The path with ids of the tenant's, or with made-up ones. What has no id of its own gets the id of something else."""

    def fill(match: re.Match) -> str:
        before = path[: match.start()].rstrip("/").rsplit("/", 1)[-1]
        kind = {"members": "member", "invites": "invitation", "api-keys": "key", "webhooks": "webhook", "apps": "app", "token": "token"}
        kind |= {"organizations": "organization", "organization": "organization", "customers": "customer", "customer": "customer"}
        kind |= {"extend": "customer", "addscreen": "customer", "deletions": "deletion"}
        id = (ids or {}).get(kind.get(before, before), str(uuid.uuid4()))
        return shortuuid.encode(uuid.UUID(id)) if path.startswith("/account/") and len(id) == 36 else id

    return re.sub(r"\{\w+\}", fill, path)


def attempts(method: str, path: str, tenant: world.Tenant, people: dict[str, world.Person]) -> list[dict]:
    """Requests that cannot succeed, or do no harm if they do."""
    ids = tenant.ids | {"organization": tenant.organization}
    there, nowhere = address(path, ids), address(path, None)
    bearer = {name: {"Authorization": f"Bearer {person.token}"} for name, person in people.items()}
    owner = bearer["owner"] | {"X-Organization": tenant.organization}
    json_type = {"Content-Type": "application/json"}
    has_body = method in ("post", "put", "patch")
    asked = [
        {"url": there},
        {"url": there, "headers": {"Authorization": "Bearer none"}},
        {"url": there, "headers": {"X-API-Key": "none"}},
        {"url": there, "headers": {"X-API-Key": "none", "Authorization": "Bearer none"}},
        {"url": there, "headers": bearer["stranger"]},
        {"url": there, "headers": bearer["stranger"] | {"X-Organization": tenant.organization}},
        {"url": nowhere, "headers": owner},
        {"url": there, "headers": owner, "params": {"unknown": "1"}},
        {"url": there, "headers": owner, "params": {"page": "0"}},
        {"url": there, "headers": owner | {"If-Match": '"other"'}, "params": {"unknown": "1"}},
        {"url": there, "headers": owner | {"Expect": "other"}, "params": {"unknown": "1"}},
        {"url": there, "headers": owner | {"Content-Encoding": "br"}, "content": b"{}"},
        {"url": there, "headers": owner | json_type, "content": b"{"},
        {"url": there, "headers": owner | json_type, "content": b'{"unknown":1}'},
        {"url": there, "headers": owner | {"Content-Type": "text/plain"}, "content": b"text"},
        {"url": there, "headers": owner | json_type, "content": b'"' + b"x" * MOST_BYTES + b'"'},
    ]
    if has_body:
        asked += [
            {"url": there, "headers": bearer["member"] | json_type, "content": b"{}"},
            {"url": there, "headers": owner | json_type | {"If-Match": '"other"', "Idempotency-Key": "x" * 300}, "content": b"{}"},
            {"url": there, "headers": owner | json_type | {"X-Organization": str(uuid.uuid4())}, "content": b"{}"},
        ]
    elif method == "get":
        asked.append({"url": there, "headers": bearer["member"]})
    else:
        asked.append({"url": there, "headers": bearer["member"], "params": {"unknown": "1"}})
    return asked


document = json.loads(Path("openapi.json").read_text())
server = world.server()
tenant = world.new_tenant(server, "declared")
member, _ = server.new_member(tenant.organization, tenant.owner, "viewer")
people = {"owner": tenant.owner, "stranger": server.new_person("Stranger"), "member": member}
operations = [(path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()]
operations.sort(key=lambda one: one[0].endswith(LAST))

refusals, undeclared = 0, {}
for path, method, operation in operations:
    for request in attempts(method, path, tenant, people):
        answer = server.client.request(method.upper(), **request)
        if 400 <= answer.status_code < 500:
            refusals += 1
            if str(answer.status_code) not in operation["responses"]:
                undeclared[f"{method.upper()} {path}: {answer.status_code}"] = answer.text[:200]
assert not undeclared, "not declared:\n" + "\n".join(f"{what}: {text}" for what, text in undeclared.items())
assert refusals > 10 * len(operations), f"{refusals} refusals of {len(operations)} operations are too few to tell"
print(f"figure: {refusals} refusals of {len(operations)} operations")
