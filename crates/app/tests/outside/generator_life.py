"""A whole life of an organization through a client that openapi-generator generated from /openapi.json. The same as in `hey_life.ts`."""

import os
import sys
import time
import uuid

sys.path.insert(0, "generated/generator")

import generated_client as api
from generated_client.exceptions import ApiException

URL = os.environ["FREEHOLD_URL"]
PASSWORD = "an uncommon battery of horses"
calls = 0


def ask(operation, status: int, *path, **more):
    """Calls an operation, which must answer with this status, and returns the answer with what the client made of it."""
    global calls
    calls += 1
    answer = operation(*path, **more)
    assert answer.status_code == status, f"{operation.__name__}: {answer.status_code}: {answer.raw_data}"
    return answer


def refused(operation, status: int, *path, **more):
    """The problem of an answer that must have this status."""
    global calls
    calls += 1
    try:
        operation(*path, **more)
    except ApiException as error:
        assert error.status == status, error
        return error.data
    raise AssertionError(f"{operation.__name__} was not refused")


def client(token: str | None = None, key: str | None = None) -> api.ApiClient:
    made = api.ApiClient(api.Configuration(host=URL))
    if token:
        made.set_default_header("Authorization", f"Bearer {token}")
    if key:
        made.set_default_header("X-API-Key", key)
    return made


class Door:
    """The operations that this life needs, for one caller."""

    def __init__(self, **credential) -> None:
        own = client(**credential)
        self.auth, self.organizations, self.members = api.AuthApi(own), api.OrganizationsApi(own), api.MembersApi(own)
        self.invitations, self.customers, self.keys = api.InvitationsApi(own), api.CustomersApi(own), api.ApiKeysApi(own)
        self.deletions, self.account = api.DeletionsApi(own), api.AccountAPIOrganizationsApi(own)


def new_person(name: str) -> tuple[str, Door]:
    nobody = Door()
    email = f"{name.lower()}-{uuid.uuid4()}@example.com"
    ask(nobody.auth.sign_up_with_http_info, 202, api.SignUp(email=email, password=PASSWORD, name=name))
    tokens = ask(nobody.auth.sign_in_with_http_info, 200, api.SignIn(email=email, password=PASSWORD)).data
    return email, Door(token=tokens.access_token)


def completed(door: Door, answer) -> api.Deletion:
    """The record of the deletion that an answer leads to, once nothing is left of its subject."""
    for _ in range(600):
        record = ask(door.deletions.read_deletion_with_http_info, 200, answer.headers["Deletion-Id"]).data
        if record.sealed_at:
            return record
        time.sleep(0.05)
    raise AssertionError("not sealed after 30 s")


# Sign-up, an organization, a second person in it, and their key.
_, me = new_person("Ada")
email, colleague = new_person("Grace")
new = api.NewOrganization(name="Life", slug=f"life-{uuid.uuid4()}")
organization = ask(me.organizations.create_organization_with_http_info, 201, new).data
here = organization.id
invited = api.NewInvitation(email=email, role=api.Role.ADMIN)
invitation = ask(me.members.invite_member_with_http_info, 201, here, invited).data
member = ask(colleague.invitations.accept_invitation_with_http_info, 200, api.AcceptInvitation(token=invitation.token)).data.member_id
assert sorted(record.role for record in ask(me.members.list_members_with_http_info, 200, here).data.data) == ["admin", "owner"]
made = ask(colleague.keys.create_api_key_with_http_info, 201, here, api.NewApiKey(name="Back end", scopes=[api.Scope.READ_COLON_ORGANIZATION])).data
keyed = Door(key=made.key)
ask(keyed.organizations.read_organization_with_http_info, 200, here)

# A customer, whose deletion is refused while a subscription is active.
customer = ask(me.customers.create_customer_with_http_info, 201, here, api.NewCustomer(name="Alan Turing", email="alan@example.com")).data
owned = (here, customer.id)
subscription = ask(me.customers.create_subscription_with_http_info, 201, *owned, api.NewSubscription(plan="basic")).data
blocked = refused(me.customers.customers_controller_remove_with_http_info, 409, *owned)
assert [blocker.code for blocker in blocked.blockers] == ["active_subscription"]
cancelled = api.SubscriptionChange(status=api.SubscriptionStatus.CANCELLED)
ask(me.customers.update_subscription_with_http_info, 200, *owned, subscription.id, cancelled)

# Looked at first: what it would do is of the plan's type. Then that, and nothing else, is done.
looked = ask(me.customers.customers_controller_remove_with_http_info, 200, *owned, validate_only=True).data
assert isinstance(looked, api.DeletionPlan) and looked.root == "customer" and not looked.blockers
assert [table.rows for table in looked.tables if table.table == "subscriptions"] == [1]
gone = ask(me.customers.customers_controller_remove_with_http_info, 204, *owned, plan=looked.plan, reason="The contract ended")
assert completed(me, gone).counts["subscriptions"] == 1
refused(me.customers.read_customer_with_http_info, 404, *owned)

# The member goes, and the key with them.
ask(me.members.remove_member_with_http_info, 204, here, member)
refused(keyed.organizations.read_organization_with_http_info, 401, here)
trail = ask(me.organizations.list_audit_with_http_info, 200, here, page_size=100).data.data
assert any(entry.action == "customer.delete" and entry.reason == "The contract ended" for entry in trail)

# The organization: planned, looked at on the account API, whose DELETE answers 200 either way, and deleted by the plan.
plan = ask(me.deletions.plan_organization_deletion_with_http_info, 200, here).data
assert isinstance(plan, api.DeletionPlan)
short = ask(me.account.account_list_organizations_with_http_info, 200).data.data[0].id
other = ask(me.account.account_delete_organization_with_http_info, 200, short, validate_only=True).data.actual_instance
assert isinstance(other, api.AccountDeletionPlan) and len(other.tables) == len(plan.tables)
ended = ask(me.organizations.organizations_controller_delete_with_http_info, 204, here, plan=plan.plan)
completed(me, ended)
refused(me.organizations.read_organization_with_http_info, 404, here)

print(f"figure: {calls} calls")
