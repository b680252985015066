"""schemathesis with all its checks and two tenants: one works on its own, the other tries everything on a third, the victim.

Nothing of the victim's may be in an answer to anybody else, and when all is over the victim must be as it was. With `--long`: five seeds, each
as the owner, an admin and a key of a tenant; the figure is of all of them.
"""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import world

IS_LONG = "--long" in sys.argv
CASES = 20_000 if IS_LONG else 3_000
SEEDS = range(1, 6) if IS_LONG else range(1, 2)
ROLES = ["owner", "admin", "key"] if IS_LONG else ["owner", "stranger"]
EXAMPLES = os.environ.get("TENANTS_EXAMPLES", "12" if IS_LONG else "4")


def content(server: world.Server, tenant: world.Tenant) -> dict:
    """All that the tenant's owner can read of it."""
    base = f"/api/organizations/{tenant.organization}"
    owned = [f"/customers/{tenant.ids['customer']}/{kind}" for kind in ["subscriptions", "transactions", "devices", "sessions", "activity"]]
    lists = ["", "/members", "/invites", "/api-keys", "/webhooks", "/customers", *owned]
    return {path: server.call("GET", base + path, tenant.owner.token) for path in lists}


def configuration() -> list[str]:
    """With several seeds, the settings under which a seed makes a difference; otherwise those that are found by themselves."""
    if not IS_LONG:
        return []
    words = Path("schemathesis.toml").read_text()
    assert "deterministic = true" in words
    Path("generated/schemathesis.toml").write_text(words.replace("deterministic = true", "deterministic = false"))
    return ["--config-file", "generated/schemathesis.toml"]


def start(run: str, seed: int, role: str) -> subprocess.Popen:
    words = ["st", *configuration(), "run", "openapi.json", "--url", os.environ["FREEHOLD_URL"], "--seed", str(seed)]
    if role == "stranger" and not IS_LONG:
        # Bodies at the edges of their schemas come to nothing where the door is closed.
        words += ["--phases", "examples,fuzzing"]
    words += ["--max-examples", EXAMPLES, "--continue-on-failure", "--no-color", "--suppress-health-check", "all"]
    variables = os.environ | {"TENANTS_ROLE": role, "TENANTS_RUN": run, "TENANTS_SEED": str(seed), "SCHEMATHESIS_HOOKS": "tenants_hooks"}
    return subprocess.Popen(words, env=variables, stdout=open(f"generated/{run}.log", "w"), stderr=subprocess.STDOUT)


server = world.server()
victim = world.new_tenant(server, "victim7q2")
Path("generated/victim.json").write_text(json.dumps(dataclasses.asdict(victim) | {"secrets": sorted(victim.secrets)}))
before = content(server, victim)
failed, names = [], []
for seed in SEEDS:
    # One process for each role, as many at once as there are roles.
    runs = {f"{role}-{seed}": start(f"{role}-{seed}", seed, role) for role in ROLES}
    names += runs
    failed += [run for run, process in runs.items() if process.wait() != 0]
for run in failed:
    print(f"── {run}:\n{Path(f'generated/{run}.log').read_text()}", file=sys.stderr)
assert not failed, f"schemathesis has found something in {' and '.join(failed)}"

after = content(server, victim)
assert after == before, f"the victim is not as it was: {json.dumps(before)}\nis now {json.dumps(after)}"
counts = {run: json.loads(Path(f"generated/{run}.json").read_text()) for run in names}
cases = sum(count["cases"] for count in counts.values())
assert cases >= CASES, f"{cases} cases are fewer than {CASES}"
told = [f"{count['cases']} as {run}, {count['succeeded']} of them successful" for run, count in counts.items()]
print(f"figure: {cases} cases: {'; '.join(told)}")
