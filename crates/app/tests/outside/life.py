"""A whole life of an organization through a client that openapi-python-client generated from /openapi.json. The same as in `life.ts`."""

import os
import sys
import time
import uuid
from http import HTTPStatus

sys.path.insert(0, "generated/python")

from freehold_client import AuthenticatedClient, Client, models
from freehold_client.api.account_api_organizations import account_delete_organization, account_list_organizations
from freehold_client.api.api_keys import create_api_key, validate_api_key
from freehold_client.api.auth import sign_in, sign_up
from freehold_client.api.customers import (
    create_activity_entry,
    create_customer,
    create_customer_session,
    create_device,
    create_subscription,
    create_transaction,
    customers_controller_remove,
    read_customer,
    update_customer,
    update_subscription,
)
from freehold_client.api.deletions import plan_organization_deletion, read_deletion
from freehold_client.api.invitations import accept_invitation
from freehold_client.api.members import change_role, invite_member, list_members, remove_member
from freehold_client.api.oauth import create_oauth_app, create_oauth_token, delete_oauth_app
from freehold_client.api.organizations import (
    archive_organization,
    create_organization,
    list_audit,
    list_organizations,
    organizations_controller_delete,
    read_organization,
    unarchive_organization,
)
from freehold_client.api.webhooks import create_webhook, list_webhooks

URL = os.environ["FREEHOLD_URL"]
PASSWORD = "correct horse battery staple"
calls = 0


def ask(operation, status: int, *path, **more):
    """Calls an operation, which must answer with this status, and returns what the client made of the answer."""
    return answer_to(operation, status, *path, **more).parsed


def answer_to(operation, status: int, *path, **more):
    global calls
    calls += 1
    answer = operation.sync_detailed(*path, **more)
    assert answer.status_code == status, f"{operation.__name__}: {answer.status_code}: {answer.content.decode()}"
    # An answer that the document does not have would be nothing to the client.
    assert answer.parsed is not None or status == HTTPStatus.NO_CONTENT, f"{operation.__name__}: {answer.content.decode()}"
    return answer


def new_person(name: str) -> tuple[str, AuthenticatedClient]:
    anonymous = Client(base_url=URL)
    email = f"{name.lower()}-{uuid.uuid4()}@example.com"
    ask(sign_up, 202, client=anonymous, body=models.SignUp(email=email, password=PASSWORD, name=name))
    tokens = ask(sign_in, 200, client=anonymous, body=models.SignIn(email=email, password=PASSWORD))
    return email, AuthenticatedClient(base_url=URL, token=tokens.access_token)


def seal(client: AuthenticatedClient, answer) -> models.Deletion:
    """The record of the deletion that an answer leads to, once nothing is left of its subject."""
    for _ in range(600):
        record = ask(read_deletion, 200, uuid.UUID(answer.headers["Deletion-Id"]), client=client)
        if record.state == models.DeletionState.COMPLETED:
            return record
        time.sleep(0.05)
    raise AssertionError("not completed after 30 s")


# Sign-up, sign-in, an organization and a second person in it.
_, me = new_person("Ada")
email, colleague = new_person("Grace")
organization = ask(create_organization, 201, client=me, body=models.NewOrganization(name="Life", slug=f"life-{uuid.uuid4()}"))
here = organization.id
invited = models.NewInvitation(email=email, role=models.Role.MEMBER)
invitation = ask(invite_member, 201, here, client=me, body=invited)
member = ask(accept_invitation, 200, client=colleague, body=models.AcceptInvitation(token=invitation.token)).member_id
assert sorted(record.role for record in ask(list_members, 200, here, client=me).data) == ["member", "owner"]

# Roles: a member may not make keys, an admin may.
scopes = [models.Scope.READORGANIZATION, models.Scope.READCUSTOMERS]
key = models.NewApiKey(name="Back end", scopes=scopes)
assert ask(create_api_key, 403, here, client=colleague, body=key).error_code == "forbidden"
ask(change_role, 200, here, member, client=me, body=models.NewRole(role=models.Role.ADMIN))
made = ask(create_api_key, 201, here, client=colleague, body=key)
keyed = AuthenticatedClient(base_url=URL, token=made.key, prefix="", auth_header_name="X-API-Key")
validated = ask(validate_api_key, 200, client=keyed)
assert validated.valid and validated.organization_id == organization.id

# A customer and what it owns. Its deletion is refused while a subscription is active.
customer = ask(create_customer, 201, here, client=me, body=models.NewCustomer(name="Alan Turing", email="alan@example.com"))
owner = (here, customer.id)
subscription = ask(create_subscription, 201, *owner, client=me, body=models.NewSubscription(plan="basic"))
ask(create_transaction, 201, *owner, client=me, body=models.NewTransaction(amount=1999, currency="EUR"))
ask(create_device, 201, *owner, client=me, body=models.NewDevice(name="Laptop"))
ask(create_customer_session, 201, *owner, client=me, body=models.NewCustomerSession(user_agent="curl/8"))
ask(create_activity_entry, 201, *owner, client=me, body=models.NewActivityEntry(kind="signed_in"))
changed = ask(update_customer, 200, *owner, client=me, body=models.CustomerChange(phone="+44 20 7946 0000"))
assert changed.phone == "+44 20 7946 0000"
assert ask(read_customer, 200, *owner, client=keyed).name == "Alan Turing"
blocked = ask(customers_controller_remove, 409, *owner, client=me)
assert [blocker.code for blocker in blocked.blockers] == ["active_subscription"]
cancelled = models.SubscriptionChange(status=models.SubscriptionStatus.CANCELLED)
ask(update_subscription, 200, *owner, subscription.id, client=me, body=cancelled)

# A webhook, an OAuth app and its token. The webhook has no receiver: it is not told of deletions, which would wait for it.
new_webhook = models.NewWebhook(url="http://127.0.0.1:9/hooks", events=[models.Event.CUSTOMER_CREATED])
webhook = ask(create_webhook, 201, here, client=me, body=new_webhook)
assert webhook.secret.startswith("whsec_")
assert [record.id for record in ask(list_webhooks, 200, here, client=me).data] == [webhook.id]
new_app = models.NewOauthApp(
    name="App",
    organization_id=here,
    redirect_uris=["https://example.com/callback"],
    scopes=[models.Scope.READORGANIZATION],
)
app = ask(create_oauth_app, 201, client=me, body=new_app)
credentials = models.ClientCredentials(client_id=app.client_id, client_secret=app.client_secret)
granted = ask(create_oauth_token, 200, client=Client(base_url=URL), body=credentials)
tokened = AuthenticatedClient(base_url=URL, token=granted.access_token)
ask(read_organization, 200, here, client=tokened)

# Archived, nothing can be made; unarchived, it can.
another = models.NewCustomer(name="Kurt Gödel", email="kurt@example.com")
ask(archive_organization, 200, here, client=me)
assert ask(create_customer, 409, here, client=me, body=another).error_code == "conflict"
ask(unarchive_organization, 200, here, client=me)
ask(create_customer, 201, here, client=me, body=another)

# Deletions: the app with its token, the customer, the member with their key.
answer_to(delete_oauth_app, 204, app.client_id, client=me)
ask(read_organization, 401, here, client=tokened)
looked = ask(customers_controller_remove, 200, *owner, client=me, validate_only=True)
assert isinstance(looked, models.DeletionPlan) and looked.root == "customer" and looked.blockers == []
receipt = seal(me, answer_to(customers_controller_remove, 204, *owner, client=me, plan=looked.plan, reason="The contract ended"))
assert receipt.counts["subscriptions"] == 1
ask(read_customer, 404, *owner, client=me)
answer_to(remove_member, 204, here, member, client=me)
ask(read_organization, 401, here, client=keyed)
ask(read_organization, 403, here, client=colleague)
trail = ask(list_audit, 200, here, client=me, page_size=100).data
assert any(entry.action == "customer.delete" and entry.reason == "The contract ended" for entry in trail)

# The organization itself: gone at once, and its receipt stays with the one who ordered it.
plan = ask(plan_organization_deletion, 200, here, client=me)
short = ask(account_list_organizations, 200, client=me).data[0].id
same = ask(account_delete_organization, 200, short, client=me, validate_only=True)
assert isinstance(same, models.AccountDeletionPlan) and len(same.tables) == len(plan.tables)
ended = seal(me, answer_to(organizations_controller_delete, 204, here, client=me, plan=plan.plan))
assert ended.counts["customers"] == 1
ask(read_organization, 404, here, client=me)
assert ask(list_organizations, 200, client=me).data == []

print(f"figure: {calls} calls")
