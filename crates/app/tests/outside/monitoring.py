"""promtool reads the alert rules of `packaging` and what the server says under /metrics."""

import os
import subprocess
from pathlib import Path

import httpx

RULES = Path(os.environ["FREEHOLD_PACKAGING"]) / "alerts.yml"

told = subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True, text=True)
metrics = httpx.get(f"{os.environ['FREEHOLD_URL']}/metrics", headers={"Authorization": "Bearer figures"}).raise_for_status()
checked = subprocess.run(["promtool", "check", "metrics"], input=metrics.text, capture_output=True, text=True)
assert checked.returncode == 0, checked.stdout + checked.stderr
print(f"figure: {told.stdout.split('SUCCESS: ')[1].strip()}, {metrics.text.count('# TYPE')} figures")
