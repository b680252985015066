"""Every delivery of an organization's whole life verifies with standardwebhooks of PyPI here and with that of npm in `webhooks.mjs`.

Two webhooks are told every event. The last of their life is `organization.deleted`, signed with a secret that dies after it.
"""

import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

import world

EVENTS = """organization.created organization.updated organization.archived organization.restored organization.deleted member.added
member.removed member.role_updated invite.created invite.accepted invite.cancelled customer.created customer.updated customer.deleted
oauth_app.created oauth_app.revoked api_key.created api_key.revoked webhook.created deletion.started deletion.completed
deletion.blocked""".split()
# The organization is there before its webhooks; and it is gone before the end of its own deletion could be told to anybody.
NEVER_TOLD = {"organization.created"}


class PythonReceiver:
    """Keeps what it gets, and verifies it in the end."""

    name = "PyPI"

    def __init__(self) -> None:
        self.deliveries = deliveries = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                deliveries.append((headers, self.rfile.read(int(headers["content-length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/hooks"

    def learn(self, secret: str) -> None:
        self.webhook = Webhook(secret)

    def end(self) -> list[dict]:
        self.http.shutdown()
        return [self.tell(*delivery) for delivery in self.deliveries]

    def tell(self, headers: dict[str, str], body: bytes) -> dict:
        broken = [
            (headers, body.replace(b"{", b"{ ", 1)),
            (headers | {"webhook-id": headers["webhook-id"] + "2"}, body),
            (headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}, body),
        ]
        accepted = sum(self.verifies(*one) for one in broken)
        return {"type": json.loads(body)["type"], "id": headers["webhook-id"], "verified": self.verifies(headers, body), "accepted": accepted}

    def verifies(self, headers: dict[str, str], body: bytes) -> bool:
        try:
            self.webhook.verify(body, headers)
            return True
        except WebhookVerificationError:
            return False


class NodeReceiver:
    """The same in another process."""

    name = "npm"

    def __init__(self) -> None:
        self.process = subprocess.Popen(["node", "webhooks.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.secret = ""

    def learn(self, secret: str) -> None:
        self.secret = secret

    def end(self) -> list[dict]:
        told, _ = self.process.communicate(self.secret, timeout=30)
        assert self.process.returncode == 0, told
        return json.loads(told)


def live(server: world.Server, owner: world.Person, organization: str) -> None:
    """Does in an organization what there are events for, and deletes it in the end."""
    base = f"/api/organizations/{organization}"

    def call(method: str, path: str, body: object = None, status: int = 200) -> dict:
        if method == "DELETE":
            # What speaks of something that is deleted is not sent any more, but for its deletion.
            wait_for_queues(server, owner, organization)
        return server.call(method, base + path, owner.token, body, status)

    call("PUT", "", {"name": "Renamed"})
    _, member = server.new_member(organization, owner)
    call("PUT", f"/members/{member}/role", {"role": "admin"})
    invitation = call("POST", "/members/invite", {"email": "cancelled@example.com", "role": "member"}, 201)
    call("DELETE", f"/invites/{invitation['id']}", status=204)
    customer = call("POST", "/customers", {"name": "Ada Lovelace", "email": "ada@example.com"}, 201)["id"]
    call("PUT", f"/customers/{customer}", {"phone": "+44 20 7946 0000"})
    subscription = call("POST", f"/customers/{customer}/subscriptions", {"plan": "basic"}, 201)["id"]
    call("DELETE", f"/customers/{customer}", status=409)
    call("PATCH", f"/customers/{customer}/subscriptions/{subscription}", {"status": "cancelled"})
    call("DELETE", f"/customers/{customer}", status=204)
    key = call("POST", "/api-keys", {"name": "Back end"}, 201)["id"]
    call("DELETE", f"/api-keys/{key}", status=204)
    app = server.call("POST", "/api/oauth/apps", owner.token, world.oauth_app(organization, "App"), 201)
    server.call("DELETE", f"/api/oauth/apps/{app['clientId']}", owner.token, status=204)
    call("POST", "/archive")
    call("POST", "/unarchive")
    call("DELETE", f"/members/{member}", status=204)
    deletion = call("DELETE", "", status=204)["headers"]["deletion-id"]
    server.wait_for_completion(deletion, owner.token)


def wait_for_queues(server: world.Server, owner: world.Person, organization: str) -> None:
    """Waits until every webhook was told what there is to tell."""
    base = f"/api/organizations/{organization}/webhooks"
    ids = [webhook["id"] for webhook in server.call("GET", base, owner.token)["data"]]
    for _ in range(600):
        lists = [server.call("GET", f"{base}/{id}/deliveries?page_size=100", owner.token)["data"] for id in ids]
        if not any(delivery["state"] == "pending" for deliveries in lists for delivery in deliveries):
            return
        time.sleep(0.1)
    raise AssertionError("deliveries are still pending after a minute")


def check(receiver: PythonReceiver | NodeReceiver, got: list[dict]) -> str:
    """Holds all that a receiver got against what it should have got."""
    for delivery in got:
        assert delivery["verified"], f"{receiver.name}: does not verify: {delivery}"
        assert delivery["accepted"] == 0, f"{receiver.name}: verifies although it was tampered with: {delivery}"
    missing = set(EVENTS) - NEVER_TOLD - {delivery["type"] for delivery in got}
    assert not missing, f"{receiver.name}: was not told of {', '.join(sorted(missing))}"
    ids = [delivery["id"] for delivery in got]
    assert len(ids) == len(set(ids)), f"{receiver.name}: an id came twice: {ids}"
    return f"{len(got)} with {receiver.name}"


server = world.server()
owner = server.new_person("Owner")
organization = server.new_organization(owner)["id"]
receivers = [PythonReceiver(), NodeReceiver()]
for receiver in receivers:
    body = {"url": receiver.url, "events": EVENTS}
    receiver.learn(server.call("POST", f"/api/organizations/{organization}/webhooks", owner.token, body, 201)["secret"])
# The organization's deletion is completed once its webhooks were told, so everything has come by then.
live(server, owner, organization)
told = [receiver.end() for receiver in receivers]
print(f"figure: deliveries verified: {', '.join(map(check, receivers, told))}")
