"""A whole life of an organization through a client that OpenAPI Generator made for Python from /openapi.json. The same as in `life.py`.

Its models are strict: an answer that is not as documented does not become one, and the call fails.
"""

import os
import sys
import time
import uuid

sys.path.insert(0, "generated/openapi_generator")

import openapi_generator_client as made
from openapi_generator_client.exceptions import ApiException

URL = os.environ["FREEHOLD_URL"]
PASSWORD = "correct horse battery staple"
calls = 0


class Person:
    """One credential and all operations, which the generator spreads over one class for each tag."""

    def __init__(self, **credential) -> None:
        client = made.ApiClient(made.Configuration(host=URL, **credential))
        classes = [kind for name, kind in vars(made).items() if name.endswith("Api")]
        self.apis = [kind(client) for kind in classes]

    def answer(self, operation: str, status: int, *path, **more):
        """Calls an operation, which must answer with this status, and returns the answer with its headers."""
        global calls
        calls += 1
        [call] = [getattr(api, f"{operation}_with_http_info") for api in self.apis if hasattr(api, operation)]
        try:
            answer = call(*path, **more)
        except ApiException as refusal:
            assert refusal.status == status, f"{operation}: {refusal}"
            # The problem of the answer, if the document has it; otherwise nothing.
            assert refusal.data is not None, f"{operation}: {refusal.body}"
            return refusal
        assert answer.status_code == status, f"{operation}: {answer.status_code}"
        assert answer.data is not None or not answer.raw_data, f"{operation}: {answer.raw_data}"
        return answer

    def ask(self, operation: str, status: int, *path, **more):
        """The same, of which only what the client made of the body is wanted."""
        return self.answer(operation, status, *path, **more).data

    def seal(self, answer):
        """The record of the deletion that an answer leads to, once nothing is left of its subject."""
        for _ in range(600):
            record = self.ask("read_deletion", 200, uuid.UUID(answer.headers["deletion-id"]))
            if record.state == made.DeletionState.COMPLETED:
                return record
            time.sleep(0.05)
        raise AssertionError("not completed after 30 s")


def new_person(name: str) -> tuple[str, Person]:
    stranger = Person()
    email = f"{name.lower()}-{uuid.uuid4()}@example.com"
    stranger.ask("sign_up", 202, made.SignUp(email=email, password=PASSWORD, name=name))
    tokens = stranger.ask("sign_in", 200, made.SignIn(email=email, password=PASSWORD))
    return email, Person(access_token=tokens.access_token)


# Sign-up, sign-in, an organization and a second person in it.
_, me = new_person("Ada")
email, colleague = new_person("Grace")
organization = me.ask("create_organization", 201, made.NewOrganization(name="Life", slug=f"life-{uuid.uuid4()}"))
here = organization.id
invitation = me.ask("invite_member", 201, here, made.NewInvitation(email=email, role=made.Role.MEMBER))
member = colleague.ask("accept_invitation", 200, made.AcceptInvitation(token=invitation.token)).member_id
assert sorted(record.role for record in me.ask("list_members", 200, here).data) == ["member", "owner"]

# Roles: a member may not make keys, an admin may.
scopes = [made.Scope("read:organization"), made.Scope("read:customers")]
key = made.NewApiKey(name="Back end", scopes=scopes)
assert colleague.ask("create_api_key", 403, here, key).error_code == "forbidden"
me.ask("change_role", 200, here, member, made.NewRole(role=made.Role.ADMIN))
keyed = Person(api_key={"APIKeyHeaderAuth": colleague.ask("create_api_key", 201, here, key).key})
assert keyed.ask("read_organization", 200, here).slug == organization.slug

# A customer and what it owns. Its deletion is refused while a subscription is active.
customer = me.ask("create_customer", 201, here, made.NewCustomer(name="Alan Turing", email="alan@example.com"))
owner = (here, customer.id)
subscription = me.ask("create_subscription", 201, *owner, made.NewSubscription(plan="basic"))
me.ask("create_transaction", 201, *owner, made.NewTransaction(amount=1999, currency="EUR"))
me.ask("create_device", 201, *owner, made.NewDevice(name="Laptop"))
me.ask("create_customer_session", 201, *owner, made.NewCustomerSession(user_agent="curl/8"))
me.ask("create_activity_entry", 201, *owner, made.NewActivityEntry(kind="signed_in"))
changed = me.ask("update_customer", 200, *owner, made.CustomerChange(phone="+44 20 7946 0000"))
assert changed.phone == "+44 20 7946 0000"
assert keyed.ask("read_customer", 200, *owner).name == "Alan Turing"
blocked = me.ask("customers_controller_remove", 409, *owner)
assert [blocker.code for blocker in blocked.blockers] == ["active_subscription"]
cancelled = made.SubscriptionChange(status=made.SubscriptionStatus.CANCELLED)
me.ask("update_subscription", 200, *owner, subscription.id, cancelled)

# A webhook, an OAuth app and its token. The webhook has no receiver: it is not told of deletions, which would wait for it.
new_webhook = made.NewWebhook(url="http://127.0.0.1:9/hooks", events=[made.Event("customer.created")])
webhook = me.ask("create_webhook", 201, here, new_webhook)
assert webhook.secret.startswith("whsec_")
assert [record.id for record in me.ask("list_webhooks", 200, here).data] == [webhook.id]
new_app = made.NewOauthApp(
    name="App",
    organization_id=here,
    redirect_uris=["https://example.com/callback"],
    scopes=[made.Scope("read:organization")],
)
app = me.ask("create_oauth_app", 201, new_app)
credentials = made.ClientCredentials(client_id=app.client_id, client_secret=app.client_secret)
tokened = Person(access_token=Person().ask("create_oauth_token", 200, credentials).access_token)
tokened.ask("read_organization", 200, here)

# Archived, nothing can be made; unarchived, it can.
another = made.NewCustomer(name="Kurt Gödel", email="kurt@example.com")
me.ask("archive_organization", 200, here)
assert me.ask("create_customer", 409, here, another).error_code == "conflict"
me.ask("unarchive_organization", 200, here)
me.ask("create_customer", 201, here, another)

# Deletions: the app with its token, the customer, the member with their key.
me.answer("delete_oauth_app", 204, app.client_id)
tokened.ask("read_organization", 401, here)
looked = me.ask("customers_controller_remove", 200, *owner, validate_only=True)
assert isinstance(looked, made.DeletionPlan) and looked.root == "customer" and looked.blockers == []
gone = me.answer("customers_controller_remove", 204, *owner, plan=looked.plan, reason="The contract ended")
assert me.seal(gone).counts["subscriptions"] == 1
me.ask("read_customer", 404, *owner)
me.answer("remove_member", 204, here, member)
keyed.ask("read_organization", 401, here)
colleague.ask("read_organization", 403, here)
trail = me.ask("list_audit", 200, here, page_size=100).data
assert any(entry.action == "customer.delete" and entry.reason == "The contract ended" for entry in trail)

# The organization itself: gone at once, and its receipt stays with the one who ordered it.
plan = me.ask("organizations_controller_delete", 200, here, validate_only=True)
assert isinstance(plan, made.DeletionPlan) and plan.root == "organization"
short = me.ask("account_list_organizations", 200).data[0].id
same = me.ask("account_delete_organization", 200, short, validate_only=True).actual_instance
assert isinstance(same, made.AccountDeletionPlan) and len(same.tables) == len(plan.tables)
ended = me.seal(me.answer("organizations_controller_delete", 204, here, plan=plan.plan))
assert ended.counts["customers"] == 1
me.ask("read_organization", 404, here)
assert me.ask("list_organizations", 200).data == []

print(f"figure: {calls} calls")
