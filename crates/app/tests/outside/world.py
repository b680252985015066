"""People and organizations made through the server's front door, for the checks that need some before they can begin."""

import itertools
import json
import os
import time
import uuid
from dataclasses import dataclass, field

import httpx

# Not the one in the documentation's examples, with which passwords would be changed.
PASSWORD = "an uncommon battery of horses"
EVERY_SCOPE = ["admin:all"]
numbers = itertools.count(1)


class Server:
    """The server's addresses, called without any library that was made for it."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)

    def call(self, method: str, path: str, token: str | None = None, body: object = None, status: int = 200, **more) -> dict:
        """Sends a request, expects a status and returns the JSON body."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self.client.request(method, path, json=body, headers=headers, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} instead of {status}: {answer.text}"
        return {"headers": answer.headers} if status == 204 else answer.json()

    def new_person(self, name: str = "Person") -> "Person":
        email = f"{name.lower()}-{next(numbers)}-{uuid.uuid4().hex[:12]}@example.com"
        self.call("POST", "/api/auth/sign-up", body={"email": email, "password": PASSWORD, "name": name}, status=202)
        return Person(email, self.sign_in(email))

    def sign_in(self, email: str, organization: str | None = None) -> str:
        body = {"email": email, "password": PASSWORD}
        if organization:
            body["organization"] = organization
        return self.call("POST", "/api/auth/sign-in", body=body)["access_token"]

    def new_organization(self, owner: "Person", name: str = "Organization") -> dict:
        slug = f"org-{uuid.uuid4().hex}"
        return self.call("POST", "/api/organizations", owner.token, {"name": name, "slug": slug}, 201)

    def new_member(self, organization: str, owner: "Person", role: str = "member", name: str = "Member") -> tuple["Person", str]:
        """A new person who is a member by invitation and acceptance, and the membership's id."""
        person = self.new_person(name)
        path = f"/api/organizations/{organization}/members/invite"
        invitation = self.call("POST", path, owner.token, {"email": person.email, "role": role}, 201)
        return person, self.call("POST", "/api/invites/accept", person.token, {"token": invitation["token"]})["memberId"]

    def wait_for_completion(self, deletion: str, token: str) -> dict:
        """Reads a deletion's record until nothing is left of its subject."""
        for _ in range(600):
            record = self.call("GET", f"/api/deletions/{deletion}", token)
            if record["state"] == "completed":
                return record
            time.sleep(0.05)
        raise AssertionError(f"not completed after 30 s: {json.dumps(record)}")


@dataclass
class Person:
    email: str
    token: str


@dataclass
class Tenant:
    """An organization with one of everything. Every text in it that is free has the marker in it."""

    marker: str
    owner: Person
    organization: str
    slug: str
    # Ids by what they are the id of.
    ids: dict[str, str] = field(default_factory=dict)
    # What must not appear in an answer to anybody else.
    secrets: set[str] = field(default_factory=set)


def new_tenant(server: Server, marker: str) -> Tenant:
    owner = server.new_person(f"{marker}-owner")
    made = server.new_organization(owner, f"{marker} organization")
    tenant = Tenant(marker, owner, made["id"], made["slug"])
    base, token = f"/api/organizations/{made['id']}", owner.token

    def make(kind: str, path: str, body: dict) -> dict:
        record = server.call("POST", base + path, token, body, 201)
        tenant.ids[kind] = record["id"]
        return record

    _, tenant.ids["member"] = server.new_member(made["id"], owner, "admin", f"{marker}-admin")
    make("invitation", "/members/invite", {"email": f"{marker}-invited@example.com", "role": "member"})
    make("key", "/api-keys", {"name": f"{marker} key", "scopes": EVERY_SCOPE})
    make("webhook", "/webhooks", {"url": f"http://127.0.0.1:9/{marker}", "events": ["organization.deleted"]})
    customer = {"name": f"{marker} customer", "email": f"{marker}-customer@example.com", "metadata": {"marker": marker}}
    make("customer", "/customers", customer)
    owned = f"/customers/{tenant.ids['customer']}"
    make("subscriptions", f"{owned}/subscriptions", {"plan": f"{marker} plan", "status": "cancelled"})
    make("transactions", f"{owned}/transactions", {"amount": 1999, "currency": "EUR", "description": f"{marker} invoice"})
    make("devices", f"{owned}/devices", {"name": f"{marker} device"})
    make("sessions", f"{owned}/sessions", {"userAgent": f"{marker} agent"})
    make("activity", f"{owned}/activity", {"kind": "signed_in", "message": f"{marker} message"})
    app = server.call("POST", "/api/oauth/apps", token, oauth_app(made["id"], f"{marker} app"), 201)
    tenant.ids["app"] = app["clientId"]
    granted = server.call("POST", "/api/oauth/token", body=client_credentials(app))
    tenant.ids["token"] = granted["token_id"]
    gone = server.call("POST", f"{base}/customers", token, {"name": f"{marker} gone", "email": f"{marker}-gone@example.com"}, 201)
    tenant.ids["deletion"] = server.call("DELETE", f"{base}/customers/{gone['id']}", token, status=204)["headers"]["deletion-id"]
    tenant.ids["exports"] = server.call("POST", f"{base}{owned}/exports", token, status=202)["id"]
    hold = server.call("POST", f"{base}{owned}/holds", token, {"reason": f"{marker} case"}, 201)
    tenant.ids["holds"] = server.call("POST", f"{base}/holds/{hold['id']}/release", token, {"reason": f"{marker} is over"})["id"]
    approval = server.call("POST", f"{base}/deletion-approvals", token, {"reason": f"{marker} may go"}, 201)
    tenant.ids["deletion-approvals"] = approval["id"]
    tenant.secrets = {marker, made["id"], made["slug"], *tenant.ids.values()}
    return tenant


def oauth_app(organization: str, name: str) -> dict:
    return {"name": name, "organizationId": organization, "redirectUris": ["https://example.com/callback"], "scopes": ["read:organization", "read:customers"]}


def client_credentials(app: dict) -> dict:
    return {"grantType": "client_credentials", "clientId": app["clientId"], "clientSecret": app["clientSecret"]}


def server() -> Server:
    return Server(os.environ["FREEHOLD_URL"])
