"""schemathesis with all its checks and two tenants: one works on its own, the other tries everything on a third, the victim.

Nothing of the victim's may be in an answer to anybody else, and when all is over the victim must be as it was.
"""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import world

CASES = 3_000
ROLES = ["owner", "stranger"]
EXAMPLES = os.environ.get("TENANTS_EXAMPLES", "4")


def content(server: world.Server, tenant: world.Tenant) -> dict:
    """All that the tenant's owner can read of it."""
    base = f"/api/organizations/{tenant.organization}"
    owned = [f"/customers/{tenant.ids['customer']}/{kind}" for kind in ["subscriptions", "transactions", "devices", "sessions", "activity"]]
    lists = ["", "/members", "/invites", "/api-keys", "/webhooks", "/customers", *owned]
    return {path: server.call("GET", base + path, tenant.owner.token) for path in lists}


def start(role: str) -> subprocess.Popen:
    words = ["st", "run", "openapi.json", "--url", os.environ["FREEHOLD_URL"], "--seed", "1"]
    words += ["--max-examples", EXAMPLES, "--continue-on-failure", "--no-color", "--suppress-health-check", "all"]
    variables = os.environ | {"TENANTS_ROLE": role, "SCHEMATHESIS_HOOKS": "tenants_hooks"}
    return subprocess.Popen(words, env=variables, stdout=open(f"generated/{role}.log", "w"), stderr=subprocess.STDOUT)


server = world.server()
victim = world.new_tenant(server, "victim7q2")
Path("generated/victim.json").write_text(json.dumps(dataclasses.asdict(victim) | {"secrets": sorted(victim.secrets)}))
before = content(server, victim)
runs = [start(role) for role in ROLES]
failed = [role for role, run in zip(ROLES, runs) if run.wait() != 0]
for role in failed:
    print(f"── as the {role}:\n{Path(f'generated/{role}.log').read_text()}", file=sys.stderr)
assert not failed, f"schemathesis has found something as the {' and the '.join(failed)}"

after = content(server, victim)
assert after == before, f"the victim is not as it was: {json.dumps(before)}\nis now {json.dumps(after)}"
counts = {role: json.loads(Path(f"generated/{role}.json").read_text()) for role in ROLES}
cases = sum(count["cases"] for count in counts.values())
assert cases >= CASES, f"{cases} cases are fewer than {CASES}"
told = [f"{count['cases']} as the {role}, {count['succeeded']} of them successful" for role, count in counts.items()]
print(f"figure: {cases} cases: {'; '.join(told)}")
