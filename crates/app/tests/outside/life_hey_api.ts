// A whole life of an organization through a client that Hey API generated from /openapi.json. The same as in `life.ts`.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createClient, type Client } from "./generated/hey-api/client/index.js";
import * as api from "./generated/hey-api/index.js";

type Answer<T, E> = { data?: T; error?: E; response?: Response };

const baseUrl = process.env["FREEHOLD_URL"] ?? "";
const password = "correct horse battery staple";
let calls = 0;

/** An answer, which must have this status. */
async function answered<T, E>(status: number, asked: Promise<Answer<T, E>>): Promise<Answer<T, E> & { response: Response }> {
  const answer = await asked;
  calls += 1;
  const response = answer.response ?? assert.fail(`no answer: ${answer.error}`);
  assert.equal(response.status, status, `${response.url}: ${JSON.stringify(answer.error ?? answer.data)}`);
  return { ...answer, response };
}

/** The body of an answer that must have this status. That others have none is part of the type: there `void` stands for them. */
async function expect<T, E>(status: number, asked: Promise<Answer<T, E>>): Promise<Exclude<NonNullable<T>, void>> {
  return (await answered(status, asked)).data as Exclude<NonNullable<T>, void>;
}

/** The problem of an answer that must have this status. */
async function refused<T, E>(status: number, asked: Promise<Answer<T, E>>): Promise<NonNullable<E>> {
  return (await answered(status, asked)).error as NonNullable<E>;
}

/** The deletion that an answer without a body leads to. */
async function deleted<T, E>(asked: Promise<Answer<T, E>>): Promise<string> {
  return (await answered(204, asked)).response.headers.get("Deletion-Id") ?? assert.fail("no Deletion-Id");
}

/** A client that sends this as whatever credential an operation takes first. */
function bearer(token: string): Client {
  return createClient({ baseUrl, auth: ({ scheme }) => (scheme === "bearer" ? token : undefined) });
}

async function newPerson(name: string): Promise<{ email: string; client: Client }> {
  const client = createClient({ baseUrl });
  const email = `${name.toLowerCase()}-${randomUUID()}@example.com`;
  await expect(202, api.signUp({ client, body: { email, password, name } }));
  const tokens = await expect(200, api.signIn({ client, body: { email, password } }));
  return { email, client: bearer(tokens.access_token) };
}

async function completed(client: Client, id: string): Promise<api.Deletion> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const record = await expect(200, api.readDeletion({ client, path: { id } }));
    if (record.state === "completed") {
      return record;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return assert.fail("not completed after 30 s");
}

// Sign-up, sign-in, an organization and a second person in it.
const { client } = await newPerson("Ada");
const colleague = await newPerson("Grace");
const organization = await expect(201, api.createOrganization({ client, body: { name: "Life", slug: `life-${randomUUID()}` } }));
const path = { organizationId: organization.id };
const itself = { id: organization.id };
const invitation = await expect(201, api.inviteMember({ client, path, body: { email: colleague.email, role: "member" } }));
const { memberId } = await expect(200, api.acceptInvitation({ client: colleague.client, body: { token: invitation.token } }));
const members = await expect(200, api.listMembers({ client, path }));
assert.deepEqual(members.data.map(({ role }) => role).sort(), ["member", "owner"]);

// Roles: a member may not make keys, an admin may.
const key: api.NewApiKey = { name: "Back end", scopes: ["read:organization", "read:customers"] };
const forbidden = await refused(403, api.createApiKey({ client: colleague.client, path, body: key }));
assert.equal(forbidden.error_code, "forbidden");
await expect(200, api.changeRole({ client, path: { ...path, memberId }, body: { role: "admin" } }));
const made = await expect(201, api.createApiKey({ client: colleague.client, path, body: key }));
const keyed = createClient({ baseUrl, auth: ({ name }) => (name === "X-API-Key" ? made.key : undefined) });
assert.equal((await expect(200, api.readOrganization({ client: keyed, path: itself }))).slug, organization.slug);

// A customer and what it owns. Its deletion is refused while a subscription is active.
const customer = await expect(201, api.createCustomer({ client, path, body: { name: "Alan Turing", email: "alan@example.com" } }));
const owned = { ...path, customerId: customer.id };
const subscription = await expect(201, api.createSubscription({ client, path: owned, body: { plan: "basic" } }));
await expect(201, api.createTransaction({ client, path: owned, body: { amount: 1999, currency: "EUR" } }));
await expect(201, api.createDevice({ client, path: owned, body: { name: "Laptop" } }));
await expect(201, api.createCustomerSession({ client, path: owned, body: { userAgent: "curl/8" } }));
await expect(201, api.createActivityEntry({ client, path: owned, body: { kind: "signed_in" } }));
const changed = await expect(200, api.updateCustomer({ client, path: owned, body: { phone: "+44 20 7946 0000" } }));
assert.equal(changed.phone, "+44 20 7946 0000");
assert.equal((await expect(200, api.readCustomer({ client: keyed, path: owned }))).name, "Alan Turing");
const blocked = await refused(409, api.customersControllerRemove({ client, path: owned }));
assert.deepEqual(blocked.blockers?.map(({ code }) => code), ["active_subscription"]);
await expect(200, api.updateSubscription({ client, path: { ...owned, id: subscription.id }, body: { status: "cancelled" } }));

// A webhook, an OAuth app and its token. The webhook has no receiver: it is not told of deletions, which would wait for it.
const url = "http://127.0.0.1:9/hooks";
const hook = await expect(201, api.createWebhook({ client, path, body: { url, events: ["customer.created"] } }));
assert.match(hook.secret, /^whsec_/);
const hooks = await expect(200, api.listWebhooks({ client, path }));
assert.deepEqual(hooks.data.map(({ id }) => id), [hook.id]);
const newApp: api.NewOauthApp = {
  name: "App",
  organizationId: organization.id,
  redirectUris: ["https://example.com/callback"],
  scopes: ["read:organization"],
};
const app = await expect(201, api.createOauthApp({ client, body: newApp }));
const credentials = { grantType: "client_credentials" as const, clientId: app.clientId, clientSecret: app.clientSecret };
const granted = await expect(200, api.createOauthToken({ client: createClient({ baseUrl }), body: credentials }));
const tokened = bearer(granted.access_token);
await expect(200, api.readOrganization({ client: tokened, path: itself }));

// Archived, nothing can be made; unarchived, it can.
const another = { name: "Kurt Gödel", email: "kurt@example.com" };
await expect(200, api.archiveOrganization({ client, path: itself }));
assert.equal((await refused(409, api.createCustomer({ client, path, body: another }))).error_code, "conflict");
await expect(200, api.unarchiveOrganization({ client, path: itself }));
await expect(201, api.createCustomer({ client, path, body: another }));

// Deletions: the app with its token, the customer, the member with their key.
await deleted(api.deleteOauthApp({ client, path: { clientId: app.clientId } }));
await refused(401, api.readOrganization({ client: tokened, path: itself }));
const looked: api.DeletionPlan = await expect(200, api.customersControllerRemove({ client, path: owned, query: { validate_only: true } }));
assert.deepEqual([looked.root, looked.blockers, looked.tables.find(({ table }) => table === "subscriptions")?.rows], ["customer", [], 1]);
const query = { plan: looked.plan, reason: "The contract ended" };
const receipt = await completed(client, await deleted(api.customersControllerRemove({ client, path: owned, query })));
assert.equal(receipt.counts["subscriptions"], 1);
await refused(404, api.readCustomer({ client, path: owned }));
await deleted(api.removeMember({ client, path: { ...path, memberId } }));
await refused(401, api.readOrganization({ client: keyed, path: itself }));
await refused(403, api.readOrganization({ client: colleague.client, path: itself }));
const trail = await expect(200, api.listAudit({ client, path, query: { page_size: 100 } }));
assert.ok(trail.data.some(({ action, reason }) => action === "customer.delete" && reason === "The contract ended"));

// The organization itself: gone at once, and its receipt stays with the one who ordered it.
const plan: api.DeletionPlan = await expect(200, api.organizationsControllerDelete({ client, path: itself, query: { validate_only: true } }));
assert.equal(plan.root, "organization");
const same = await expect(200, api.accountDeleteOrganization({ client, path: itself, query: { validate_only: true } }));
assert.ok("tables" in same && same.tables.length === plan.tables.length);
const gone = api.organizationsControllerDelete({ client, path: itself, query: { plan: plan.plan } });
const ended = await completed(client, await deleted(gone));
assert.equal(ended.counts["customers"], 1);
await refused(404, api.readOrganization({ client, path: itself }));
assert.deepEqual((await expect(200, api.listOrganizations({ client }))).data, []);

console.log(`figure: ${calls} calls`);
