// A whole life of an organization through a client that hey-api generated from /openapi.json.
//
// What does not agree with the document does not compile; what the server does not do as documented fails when it runs.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createClient, type Client } from "./generated/hey/client/index.js";
import {
  acceptInvitation,
  accountDeleteOrganization,
  createApiKey,
  createCustomer,
  createOrganization,
  createSubscription,
  customersControllerRemove,
  inviteMember,
  listAudit,
  listMembers,
  organizationsControllerDelete,
  planOrganizationDeletion,
  readCustomer,
  readDeletion,
  readOrganization,
  removeMember,
  signIn,
  signUp,
  updateSubscription,
} from "./generated/hey/sdk.gen.js";
import type { AccountDeletionPlan, Deletion, DeletionPlan } from "./generated/hey/types.gen.js";

type Answer<T> = { data?: T; error?: unknown; response?: Response };

const baseUrl = process.env["FREEHOLD_URL"] ?? "";
const password = "an uncommon battery of horses";
let calls = 0;

async function answered<T>(status: number, asked: Promise<Answer<T>>): Promise<Answer<T> & { response: Response }> {
  const answer = await asked;
  calls += 1;
  assert.ok(answer.response);
  assert.equal(answer.response.status, status, `${answer.response.url}: ${JSON.stringify(answer.error ?? answer.data)}`);
  return { ...answer, response: answer.response };
}

/** The body of an answer that must have this status. */
async function expect<T>(status: number, asked: Promise<Answer<T>>): Promise<NonNullable<T>> {
  return (await answered(status, asked)).data as NonNullable<T>;
}

function bearer(token: string): Client {
  return createClient({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
}

async function newPerson(name: string): Promise<{ email: string; client: Client }> {
  const client = createClient({ baseUrl });
  const email = `${name.toLowerCase()}-${randomUUID()}@example.com`;
  await expect(202, signUp({ client, body: { email, password, name } }));
  const tokens = await expect(200, signIn({ client, body: { email, password } }));
  return { email, client: bearer(tokens.access_token) };
}

async function completed(client: Client, id: string): Promise<Deletion> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const record = await expect(200, readDeletion({ client, path: { id } }));
    if (record.sealedAt !== null) {
      return record;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return assert.fail("not sealed after 30 s");
}

// Sign-up, an organization, a second person in it, and their key.
const { client } = await newPerson("Ada");
const colleague = await newPerson("Grace");
const organization = await expect(201, createOrganization({ client, body: { name: "Life", slug: `life-${randomUUID()}` } }));
const here = { organizationId: organization.id };
const invitation = await expect(201, inviteMember({ client, path: here, body: { email: colleague.email, role: "admin" } }));
const { memberId } = await expect(200, acceptInvitation({ client: colleague.client, body: { token: invitation.token } }));
const members = await expect(200, listMembers({ client, path: here }));
assert.deepEqual(members.data.map(({ role }) => role).sort(), ["admin", "owner"]);
const key = await expect(201, createApiKey({ client: colleague.client, path: here, body: { name: "Back end", scopes: ["read:organization"] } }));
const keyed = createClient({ baseUrl, headers: { "X-API-Key": key.key } });
await expect(200, readOrganization({ client: keyed, path: { id: organization.id } }));

// A customer, whose deletion is refused while a subscription is active.
const customer = await expect(201, createCustomer({ client, path: here, body: { name: "Alan Turing", email: "alan@example.com" } }));
const owned = { ...here, customerId: customer.id };
const subscription = await expect(201, createSubscription({ client, path: owned, body: { plan: "basic" } }));
const blocked = await answered(409, customersControllerRemove({ client, path: owned }));
assert.deepEqual((blocked.error as { blockers: { code: string }[] }).blockers.map(({ code }) => code), ["active_subscription"]);
await expect(200, updateSubscription({ client, path: { ...owned, id: subscription.id }, body: { status: "cancelled" } }));

// Looked at first: what it would do is of the plan's type. Then that, and nothing else, is done.
const looked: DeletionPlan | void = await expect(200, customersControllerRemove({ client, path: owned, query: { validate_only: true } }));
assert.ok(looked);
assert.deepEqual([looked.root, looked.blockers, looked.tables.find(({ table }) => table === "subscriptions")?.rows], ["customer", [], 1]);
const removed = await answered(204, customersControllerRemove({ client, path: owned, query: { plan: looked.plan, reason: "The contract ended" } }));
const receipt = await completed(client, removed.response.headers.get("Deletion-Id") ?? "");
assert.equal(receipt.counts["subscriptions"], 1);
await answered(404, readCustomer({ client, path: owned }));

// The member goes, and the key with them.
await answered(204, removeMember({ client, path: { ...here, memberId } }));
await answered(401, readOrganization({ client: keyed, path: { id: organization.id } }));
const trail = await expect(200, listAudit({ client, path: here, query: { page_size: 100 } }));
assert.ok(trail.data.some(({ action, reason }) => action === "customer.delete" && reason === "The contract ended"));

// The organization: planned, looked at on the account API, whose DELETE answers 200 either way, and deleted by the plan.
const plan = await expect(200, planOrganizationDeletion({ client, path: here }));
const other = await expect(200, accountDeleteOrganization({ client, path: { id: organization.id }, query: { validate_only: true } }));
assert.ok("tables" in other);
const same: AccountDeletionPlan = other;
assert.equal(same.tables.length, plan.tables.length);
const gone = await answered(204, organizationsControllerDelete({ client, path: { id: organization.id }, query: { plan: plan.plan } }));
await completed(client, gone.response.headers.get("Deletion-Id") ?? "");
await answered(404, readOrganization({ client, path: { id: organization.id } }));

console.log(`figure: ${calls} calls`);
