"""What schemathesis is told about this server: who it is, which ids there are, and one more check: no one sees anything of the victim's.

`tenants.py` runs schemathesis with this module: as the owner of a tenant, an admin of it or a key of it, and as a stranger who knows all of
another tenant's ids.
"""

import atexit
import io
import json
import os
import random
import uuid
import zipfile
from pathlib import Path

import schemathesis
import shortuuid
from schemathesis.core.failures import Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import StatefulPhaseData

import world

ROLE = os.environ["TENANTS_ROLE"]
victim = world.Tenant(**json.loads(Path("generated/victim.json").read_text()))
server = world.server()
me = world.new_tenant(server, f"{ROLE}{os.getpid()}")
# Whose ids the addresses have.
target = victim if ROLE == "stranger" else me
chance = random.Random(int(os.environ.get("TENANTS_SEED", "1")))
admin = server.new_member(me.organization, me.owner, "admin")[0] if ROLE == "admin" else None
made = {"name": "Works for the owner", "scopes": world.EVERY_SCOPE}
key = server.call("POST", f"/api/organizations/{me.organization}/api-keys", me.owner.token, made, 201)["key"] if ROLE == "key" else None

def short(id: str) -> str:
    """The id as the account API spells it."""
    return shortuuid.encode(uuid.UUID(id)) if len(id) == 36 else id


# What everybody may read.
PUBLIC = {"error": "not_found", "page": "readMe.md"}
# All spellings of what the tenant has one of.
mine = {me.slug, me.organization, short(me.organization), *me.ids.values(), *map(short, me.ids.values())}
counts = {"cases": 0, "succeeded": 0, "refused": 0}


def kind_of(path: str, name: str) -> str:
    """What a parameter of an address is the id of, by the noun before it."""
    before = path.split("{" + name + "}")[0].rstrip("/").rsplit("/", 1)[-1]
    return {
        "organizations": "organization",
        "organization": "organization",
        "members": "member",
        "invites": "invitation",
        "api-keys": "key",
        "webhooks": "webhook",
        "customers": "customer",
        "customer": "customer",
        "extend": "customer",
        "addscreen": "customer",
        "apps": "app",
        "token": "token",
        "deletions": "deletion",
        "errors": "error",
        "operations": "page",
    }.get(before, before)


def throw_away(kind: str) -> str | None:
    """Something of this kind that may be destroyed. What the tenant has one of stays."""
    base, token = f"/api/organizations/{me.organization}", me.owner.token
    match kind:
        case "organization":
            return server.new_organization(me.owner, f"{me.marker} organization")["id"]
        case "member":
            return server.new_member(me.organization, me.owner)[1]
        case "invitation":
            body = {"email": f"{chance.getrandbits(64)}@example.com", "role": "member"}
            return server.call("POST", f"{base}/members/invite", token, body, 201)["id"]
        case "key":
            return server.call("POST", f"{base}/api-keys", token, {"name": "Thrown away"}, 201)["id"]
        case "customer":
            return server.call("POST", f"{base}/customers", token, {"name": "Thrown away", "email": "gone@example.com"}, 201)["id"]
        case "webhook":
            # There may be 20 of them, and cases make some, too.
            others = [record["id"] for record in server.call("GET", f"{base}/webhooks", token)["data"] if record["id"] not in mine]
            if others:
                return others[0]
            body = {"url": "http://127.0.0.1:9/gone", "events": ["customer.created"]}
            return server.call("POST", f"{base}/webhooks", token, body, 201)["id"]
        case "deletion-approvals":
            spare = server.call("POST", f"{base}/customers", token, {"name": "Thrown away", "email": "gone@example.com"}, 201)["id"]
            return server.call("POST", f"{base}/customers/{spare}/deletion-approvals", token, {}, 201)["id"]
        case "app":
            return server.call("POST", "/api/oauth/apps", token, world.oauth_app(me.organization, "Thrown away"), 201)["clientId"]
    return None


@schemathesis.auth()
class SignedIn:
    """The session of the owner or the admin, or the key; another person's session for what ends all one's sessions."""

    def get(self, case, context) -> str:
        # It is asked for every few minutes, and a token is good for fifteen.
        for person in filter(None, [me.owner, admin]):
            person.token = server.sign_in(person.email)
        return (admin or me.owner).token

    def set(self, case, data: str, context) -> None:
        if key:
            case.headers["X-API-Key"] = key
            return
        ends_sessions = case.path in ("/api/auth/sign-out", "/dashboard/sign-out", "/api/users/me/password") or (
            case.method == "DELETE" and case.path == "/api/users/me"
        )
        case.headers["Authorization"] = f"Bearer {server.new_person().token if ends_sessions else data}"


@schemathesis.hook
def before_load_schema(context, raw_schema) -> None:
    """For generators the schema of a stream of events is that of the whole, a text; here it has to be that of each event."""
    event = {
        "type": "object",
        "required": ["event", "data"],
        "properties": {"event": {"type": "string"}, "data": {"type": "string", "contentMediaType": "application/json"}},
    }
    for item in raw_schema["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                if "text/event-stream" in response.get("content", {}):
                    response["content"]["text/event-stream"]["schema"] = event


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    """Makes requests that a schema cannot make: with ids that exist, and with fields that agree with one another."""
    if case.meta is None:
        return
    # These two surfaces mean the credential's organization, and the owner has several once some were made.
    if case.path.startswith(("/customer", "/api/deletions", "/api/oauth/apps")):
        case.headers.setdefault("X-Organization", target.organization)
    # Each request is another one: with the same key twice it would have to be the same.
    if "Idempotency-Key" in case.headers and not case.meta.is_negative_at(ParameterLocation.HEADER):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    # A cursor is known from an answer; the first slice needs none.
    if "after" in case.query and not case.meta.is_negative_at(ParameterLocation.QUERY):
        case.query["after"] = ""
    if case.path_parameters and not case.meta.is_negative_at(ParameterLocation.PATH):
        name_ids(case)
        case.path_parameters |= {name: fitting(value) for name, value in case.path_parameters.items()}
    if isinstance(case.body, dict) and not case.meta.is_negative_at(ParameterLocation.BODY):
        agree(case, case.body)
    # A list is a text to a schema, and read strictly.
    if case.media_type == "text/csv" and not case.meta.is_negative_at(ParameterLocation.BODY):
        case.body = "user123\r\n"


def fitting(value: object) -> object:
    """The pattern of a shortuuid has room for more than the 128 bits of a UUID; what is larger is no id."""
    try:
        if isinstance(value, str) and len(value) == 22:
            shortuuid.decode(value)
    except ValueError:
        return "2" + value[1:]
    return value


def name_ids(case) -> None:
    """Puts ids that exist into the address, three times in four. What follows a link has the ids of the answer that it follows."""
    spell = short if case.path.startswith("/account/") else str
    *_, last = case.path_parameters
    follows = isinstance(case.meta.phase.data, StatefulPhaseData)
    for name, value in case.path_parameters.items():
        kind = kind_of(case.path, name)
        known = target.organization if kind == "organization" else (target.ids | PUBLIC).get(kind)
        if known is not None and not follows and chance.random() < 0.75:
            value = case.path_parameters[name] = spell(known)
        # What the tenant has one of is needed again: something else takes its place.
        uses_up = case.method == "DELETE" or case.path.endswith(("/archive", "/unarchive", "/transfer", "/customers:purge"))
        # What is held cannot be deleted, nor what it is in.
        holds = case.method == "POST" and case.path.endswith("/holds")
        if name == last and value in mine and (uses_up or holds):
            case.path_parameters[name] = spell(throw_away(kind) or value)


def agree(case, body: dict) -> None:
    """Makes fields agree with one another and with what there is: rules that need more than a schema."""
    for manager in {"managedBy", "managed_by"} & body.keys():
        body[manager] = None
    for end in {"expiresAt", "expires_at", "until"} & body.keys():
        body[end] = body[end] and "2099-01-31T12:00:00Z"
    # Where something may be sent to depends on the network, and on what is safe.
    for address in {"url", "redirectUri", "logo"} & body.keys():
        body[address] = body[address] and "http://127.0.0.1:9/there"
    if body.get("redirectUris") or ("redirectUris" in body and body.get("redirectUri")):
        body["redirectUris"] = ["http://127.0.0.1:9/there"]
    if body.get("kind") == "publishable":
        body["scopes"] = ["read:organization"]
        for limit in {"rateLimitPerMinute", "rate_limit_per_minute"} & body.keys():
            body[limit] = 100
    if body.get("allowedIps"):
        body["allowedIps"] = ["127.0.0.1", "192.0.2.0/24"]
    if body.get("allowed_ips"):
        body["allowed_ips"] = ["127.0.0.1", "192.0.2.0/24"]
    if case.path.endswith(("/customers", "/customer")):
        body["name"] = body.get("name") or "One of two names must be there"
    if case.path.endswith("/deletion-requirements"):
        # What is asked once stands in the way of all that is deleted after it.
        for asked in [asked for asked in body.values() if isinstance(asked, dict)]:
            asked |= {"reasonRequired": False, "confirmationRequired": False, "freshMinutes": None, "approvalRequired": False}
    # What many people have, and what others know, is refused as a new password.
    for password in {"password", "newPassword"} & body.keys() if case.path.endswith(("/sign-up", "/password")) else ():
        body[password] = f"rare {chance.getrandbits(96):x} words"
    if case.path.endswith("/password"):
        body["currentPassword"] = world.PASSWORD
    # The header and the body name one organization.
    if "organizationId" in body and case.path == "/api/oauth/apps":
        body["organizationId"] = target.organization
    # Only a key of the organization can be a service account.
    if body.get("role") and body.get("kind") in ("user", "publishable") and case.path.endswith("/api-keys"):
        body["kind"] = "organization"
    if case.path.endswith("/transfer"):
        body["memberId"] = heir(case.path_parameters["id"]) or body["memberId"]
    if case.media_type == "application/x-www-form-urlencoded":
        # A form has no null.
        for name in [name for name, value in body.items() if value is None]:
            del body[name]


def heir(organization: str) -> str | None:
    """The membership of a person who may come to own an organization; none where this is none of our business."""
    answer = server.client.get(f"/api/organizations/{organization}/members", headers={"Authorization": f"Bearer {me.owner.token}"})
    if answer.status_code != 200:
        return None
    others = [record["id"] for record in answer.json()["data"] if record["role"] != "owner"]
    if others or answer.json()["pagination"]["totalCount"] > 1:
        return (others or [None])[0]
    archived = server.call("GET", f"/api/organizations/{organization}", me.owner.token)["archivedAt"]
    return None if archived else server.new_member(organization, me.owner)[1]


def readable(response) -> str:
    """What an answer holds; of an archive, what its files hold."""
    if not response.content.startswith(b"PK"):
        return response.text
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        return "".join(f"{name}\n{archive.read(name).decode()}" for name in archive.namelist())


class Leak(Failure):
    """An answer to a stranger holds something of the victim's."""


@schemathesis.check
def nothing_of_the_victims(ctx, response, case) -> None:
    """A success must not hold anything of the victim's, no matter who asked with which ids."""
    # The audit trail of an organization has the ids that its own people have tried.
    hidden = {victim.marker, victim.slug} if case.path.endswith("/audit") else victim.secrets
    counts["cases"] += 1
    counts["succeeded" if response.status_code < 400 else "refused"] += 1
    if response.status_code < 400:
        told = readable(response) + json.dumps({name: list(values) for name, values in response.headers.items()})
        sent = json.dumps([case.path_parameters, case.query, case.body], default=str)
        for secret in hidden:
            # What the request itself said may be said back.
            if secret in told and secret not in sent:
                raise Leak(operation=case.operation.label, title="Something of another tenant's", message=f"`{secret}` is in the answer")


@atexit.register
def write_counts() -> None:
    Path(f"generated/{os.environ['TENANTS_RUN']}.json").write_text(json.dumps(counts))
