"""nginx and Caddy before the server, as `packaging` has them, but for ports and certificates: what goes through them over TLS comes as it should."""

import hashlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

import world

HOST = "accounts.example.com"
ELSEWHERE = "127.0.0.9"
# Whose audit trail is the server's own.
SERVER = "00000000-0000-0000-0000-000000000000"
LIST_LIMIT = 12 * 1024 * 1024
PACKAGING = Path(os.environ["FREEHOLD_PACKAGING"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The text with each of these words replaced, which stands in it once at least."""
    for old, new in pairs:
        assert old in text, f"{old} is not in {text}"
        text = text.replace(old, new)
    return text


def certify(folder: Path) -> None:
    """An authority, and a certificate of the host's name."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Tests of Freehold")
    openssl("req", *key, "-keyout", "host.key", "-out", "host.csr", "-subj", f"/CN={HOST}")
    (folder / "names").write_text(f"subjectAltName=DNS:{HOST}\n")
    openssl("x509", "-req", "-in", "host.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "host.pem")


def nginx(folder: Path, port: int, upstream: int) -> list[str]:
    snippet = replaced(
        (PACKAGING / "nginx.conf").read_text(),
        ("127.0.0.1:3001", f"127.0.0.1:{upstream}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        (f"/etc/ssl/{HOST}.pem", f"{folder}/host.pem"),
        (f"/etc/ssl/{HOST}.key", f"{folder}/host.key"),
    )
    kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    places = "".join(f"{kind}_temp_path {folder}/nginx-{kind};\n" for kind in kinds)
    whole = f"daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{places}{snippet}}}\n"
    # As root it would give its folders to a user who cannot enter this one.
    user = "user root;\n" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(user + whole)
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def caddy(folder: Path, port: int, upstream: int) -> list[str]:
    snippet = replaced(
        (PACKAGING / "Caddyfile").read_text(),
        (f"\n{HOST} {{\n", f"\nhttps://{HOST}:{port} {{\n\tbind 127.0.0.1\n\ttls {folder}/host.pem {folder}/host.key\n"),
        ("127.0.0.1:3001", f"127.0.0.1:{upstream}"),
    )
    # A Caddyfile of its own has neither: both would reach for ports that others have.
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + snippet)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


class Proxied(world.Server):
    """The server as those see it who come through a proxy."""

    def __init__(self, port: int, folder: Path, address: str = "127.0.0.1", headers: dict[str, str] | None = None) -> None:
        trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        transport = httpx.HTTPTransport(verify=trust, local_address=address)
        self.client = httpx.Client(
            base_url=f"https://127.0.0.1:{port}", timeout=30, transport=transport, headers={"Host": HOST, **(headers or {})}
        )
        send = self.client.send

        def named(request: httpx.Request, **more) -> httpx.Response:
            request.extensions["sni_hostname"] = HOST
            return send(request, **more)

        self.client.send = named


def wait_until_up(server: world.Server, process: subprocess.Popen) -> None:
    for _ in range(200):
        assert process.poll() is None, f"it ended with {process.returncode}"
        try:
            if server.client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("it is not up after 10 s")


def first_event(server: world.Server, path: str, token: str) -> dict:
    """The first of a stream that goes on for as long as what it tells of."""
    with server.client.stream("GET", path, headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream"), answer.headers
        for line in answer.iter_lines():
            if line.startswith("data:"):
                return json.loads(line.removeprefix("data:"))
    raise AssertionError("the stream ended without an event")


def look(name: str, port: int, folder: Path, direct: world.Server, operator: str) -> None:
    near, far = Proxied(port, folder), Proxied(port, folder, ELSEWHERE)
    lying = Proxied(port, folder, headers={"X-Forwarded-For": ELSEWHERE, "Forwarded": f"for={ELSEWHERE}", "X-Real-IP": ELSEWHERE})
    # The trail has the address that they come from, not the one that they claim.
    person = far.new_person()
    liar = lying.new_person()
    trail = f"/api/organizations/{SERVER}/audit?page_size=100"
    found = direct.call("GET", trail, operator)["data"]
    addresses = {entry["subjectId"]: entry["clientAddress"] for entry in found if entry["action"] == "session.create"}
    for who, server, address in [(person, far, ELSEWHERE), (liar, lying, "127.0.0.1")]:
        me = server.call("GET", "/api/users/me", who.token)["id"]
        assert addresses[me] == address, f"{name}: {addresses[me]} instead of {address}"
    # A key that is good at one address.
    organization = far.new_organization(person)["id"]
    base = f"/api/organizations/{organization}"
    body = {"name": "Key", "scopes": ["read:customers"], "allowedIps": [ELSEWHERE]}
    key = {"X-API-Key": far.call("POST", f"{base}/api-keys", person.token, body, 201)["key"]}
    statuses = [server.client.get(f"{base}/customers", headers=key).status_code for server in (far, near, lying)]
    assert statuses[0] == 200 and statuses[1] == statuses[2] in (401, 403), f"{name}: {statuses}"
    # The address that tokens are of.
    metadata = near.call("GET", "/.well-known/oauth-authorization-server")
    assert metadata["issuer"] == f"https://{HOST}", metadata

    # An event comes while the stream goes on.
    hook = {"url": "http://127.0.0.1:1025/", "events": ["customer.deleted"]}
    near.call("POST", f"{base}/webhooks", person.token, hook, 201)
    customer = near.call("POST", f"{base}/customers", person.token, {"name": "Ada", "email": "ada@example.com"}, 201)["id"]
    gone = near.call("DELETE", f"{base}/customers/{customer}", person.token, status=204)["headers"]["deletion-id"]
    event = first_event(near, f"/api/deletions/{gone}/events", person.token)
    assert event["id"] == gone and event["state"] != "completed", event

    # An archive of some megabytes, which cannot be made smaller.
    for number in range(150):
        filler = {f"k{place}": secrets.token_hex(250) for place in range(50)}
        near.call("POST", f"{base}/customers", person.token, {"name": f"Ada {number}", "email": "ada@example.com", "metadata": filler}, 201)
    export = near.call("POST", f"{base}/exports", person.token, status=202)["id"]
    while near.call("GET", f"/api/exports/{export}", person.token)["state"] != "done":
        time.sleep(0.05)
    headers = {"Authorization": f"Bearer {person.token}"}
    archives = [server.client.get(f"/api/exports/{export}/download", headers=headers) for server in (near, direct)]
    assert archives[0].status_code == 200 and len(archives[0].content) > 1_500_000, (archives[0].status_code, len(archives[0].content))
    assert len({hashlib.sha256(archive.content).digest() for archive in archives}) == 1, name

    # What the server takes comes to it, and of more it is the server that says so.
    purge = f"{base}/customers:purge"
    headers |= {"Content-Type": "text/csv"}
    for size, wanted in [(LIST_LIMIT - 1, (200, 400, 422)), (LIST_LIMIT + 1, (413,))]:
        line = b"unknown-" + b"x" * 111 + b"\n"
        body = (line * (size // len(line) + 1))[:size]
        answer = near.client.post(purge, headers=headers, content=body)
        assert answer.status_code in wanted, f"{name}: {size} bytes: {answer.status_code} {answer.text[:300]}"
        assert answer.headers["content-type"].startswith("application/"), f"{name}: {answer.headers}"


def main() -> None:
    program = os.environ["FREEHOLD_PROGRAM"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        certify(folder)
        data = ["--data", str(folder / "data")]
        email = "operator@example.com"
        subprocess.run([program, "operators", "add", "--email", email, *data], input=f"{world.PASSWORD}\n".encode(), check=True, capture_output=True)
        upstream = free_port()
        serve = [program, "serve", f"--listen=127.0.0.1:{upstream}", f"--public-url=https://{HOST}", "--trusted-proxies=127.0.0.1", *data]
        limits = [f"--{limit}=0" for limit in ("rate-limit-per-minute", "rate-limit-per-day", "attempt-limit-per-minute")]
        environment = {**os.environ, "RUST_LOG": "error"}
        processes = [subprocess.Popen([*serve, *limits, "--webhook-allow=127.0.0.0/8"], stdout=subprocess.DEVNULL, env=environment)]
        try:
            direct = world.Server(f"http://127.0.0.1:{upstream}")
            wait_until_up(direct, processes[0])
            operator = direct.sign_in(email)
            for proxy in (nginx, caddy):
                port = free_port()
                home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
                words = proxy(folder, port, upstream)
                with open(folder / f"{proxy.__name__}.log", "w") as log:
                    processes.append(subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, **home}))
                try:
                    wait_until_up(Proxied(port, folder), processes[-1])
                    look(proxy.__name__, port, folder, direct, operator)
                except BaseException:
                    print((folder / f"{proxy.__name__}.log").read_text(), file=sys.stderr)
                    raise
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(20)
    print("figure: nginx, Caddy")


main()
