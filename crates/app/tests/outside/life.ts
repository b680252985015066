// A whole life of an organization through a client that openapi-typescript generated from /openapi.json.
//
// What does not agree with the document does not compile; what the server does not do as documented fails when it runs.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import createClient, { type Client } from "openapi-fetch";
import type { paths } from "./generated/schema.js";

type Api = Client<paths>;
type Answer<T> = { data?: T; error?: unknown; response: Response };

const baseUrl = process.env["FREEHOLD_URL"] ?? "";
const password = "correct horse battery staple";
let calls = 0;

/** The body of an answer that must have this status. */
async function expect<T>(status: number, asked: Promise<Answer<T>>): Promise<NonNullable<T>> {
  const { data, error, response } = await asked;
  calls += 1;
  assert.equal(response.status, status, `${response.url}: ${JSON.stringify(error ?? data)}`);
  return data as NonNullable<T>;
}

/** The problem of an answer that must have this status. */
async function refused<T>(status: number, asked: Promise<Answer<T>>): Promise<{ error_code: string; blockers?: { code: string }[] }> {
  const { error, response } = await asked;
  calls += 1;
  assert.equal(response.status, status, response.url);
  return error as { error_code: string; blockers?: { code: string }[] };
}

/** The deletion that an answer without a body leads to. */
async function deleted<T>(asked: Promise<Answer<T>>): Promise<string> {
  const { error, response } = await asked;
  calls += 1;
  assert.equal(response.status, 204, JSON.stringify(error));
  return response.headers.get("Deletion-Id") ?? assert.fail("no Deletion-Id");
}

function bearer(token: string): Api {
  return createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
}

async function newPerson(name: string): Promise<{ email: string; api: Api }> {
  const anonymous = createClient<paths>({ baseUrl });
  const email = `${name.toLowerCase()}-${randomUUID()}@example.com`;
  await expect(202, anonymous.POST("/api/auth/sign-up", { body: { email, password, name } }));
  const tokens = await expect(200, anonymous.POST("/api/auth/sign-in", { body: { email, password } }));
  return { email, api: bearer(tokens.access_token) };
}

async function completed(api: Api, id: string): Promise<{ counts: Record<string, number> }> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const record = await expect(200, api.GET("/api/deletions/{id}", { params: { path: { id } } }));
    if (record.state === "completed") {
      return record;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return assert.fail("not completed after 30 s");
}

// Sign-up, sign-in, an organization and a second person in it.
const { api } = await newPerson("Ada");
const colleague = await newPerson("Grace");
const slug = `life-${randomUUID()}`;
const organization = await expect(201, api.POST("/api/organizations", { body: { name: "Life", slug } }));
const path = { organizationId: organization.id };
const invitation = await expect(
  201,
  api.POST("/api/organizations/{organizationId}/members/invite", { params: { path }, body: { email: colleague.email, role: "member" } }),
);
const { memberId } = await expect(200, colleague.api.POST("/api/invites/accept", { body: { token: invitation.token } }));
const members = await expect(200, api.GET("/api/organizations/{organizationId}/members", { params: { path } }));
assert.deepEqual(members.data.map(({ role }) => role).sort(), ["member", "owner"]);

// Roles: a member may not make keys, an admin may.
const key = { name: "Back end", scopes: ["read:organization" as const, "read:customers" as const] };
await refused(403, colleague.api.POST("/api/organizations/{organizationId}/api-keys", { params: { path }, body: key }));
await expect(
  200,
  api.PUT("/api/organizations/{organizationId}/members/{memberId}/role", { params: { path: { ...path, memberId } }, body: { role: "admin" } }),
);
const made = await expect(201, colleague.api.POST("/api/organizations/{organizationId}/api-keys", { params: { path }, body: key }));
const keyed = createClient<paths>({ baseUrl, headers: { "X-API-Key": made.key } });
const validated = await expect(200, keyed.POST("/api/api-keys/validate"));
assert.deepEqual([validated.valid, validated.organizationId], [true, organization.id]);

// A customer and what it owns. Its deletion is refused while a subscription is active.
const customer = await expect(
  201,
  api.POST("/api/organizations/{organizationId}/customers", { params: { path }, body: { name: "Alan Turing", email: "alan@example.com" } }),
);
const owned = { path: { ...path, customerId: customer.id } };
const at = "/api/organizations/{organizationId}/customers/{customerId}" as const;
const subscription = await expect(201, api.POST(`${at}/subscriptions`, { params: owned, body: { plan: "basic" } }));
await expect(201, api.POST(`${at}/transactions`, { params: owned, body: { amount: 1999, currency: "EUR" } }));
await expect(201, api.POST(`${at}/devices`, { params: owned, body: { name: "Laptop" } }));
await expect(201, api.POST(`${at}/sessions`, { params: owned, body: { userAgent: "curl/8" } }));
await expect(201, api.POST(`${at}/activity`, { params: owned, body: { kind: "signed_in" } }));
const changed = await expect(200, api.PUT(at, { params: owned, body: { phone: "+44 20 7946 0000" } }));
assert.equal(changed.phone, "+44 20 7946 0000");
const read = await expect(200, keyed.GET(at, { params: owned }));
assert.equal(read.name, "Alan Turing");
const blocked = await refused(409, api.DELETE(at, { params: owned }));
assert.deepEqual(blocked.blockers?.map(({ code }) => code), ["active_subscription"]);
await expect(
  200,
  api.PATCH(`${at}/subscriptions/{id}`, { params: { path: { ...owned.path, id: subscription.id } }, body: { status: "cancelled" } }),
);

// A webhook, an OAuth app and its token. The webhook has no receiver: it is not told of deletions, which would wait for it.
const hook = await expect(
  201,
  api.POST("/api/organizations/{organizationId}/webhooks", {
    params: { path },
    body: { url: "http://127.0.0.1:9/hooks", events: ["customer.created"] },
  }),
);
assert.match(hook.secret, /^whsec_/);
const hooks = await expect(200, api.GET("/api/organizations/{organizationId}/webhooks", { params: { path } }));
assert.deepEqual(hooks.data.map(({ id }) => id), [hook.id]);
const app = await expect(
  201,
  api.POST("/api/oauth/apps", {
    body: { name: "App", organizationId: organization.id, redirectUris: ["https://example.com/callback"], scopes: ["read:organization"] },
  }),
);
const granted = await expect(
  200,
  api.POST("/api/oauth/token", {
    body: { grantType: "client_credentials", clientId: app.clientId, clientSecret: app.clientSecret },
  }),
);
const tokened = bearer(granted.access_token);
await expect(200, tokened.GET("/api/organizations/{id}", { params: { path: { id: organization.id } } }));

// Archived, nothing can be made; unarchived, it can.
const another = { name: "Kurt Gödel", email: "kurt@example.com" };
await expect(200, api.POST("/api/organizations/{id}/archive", { params: { path: { id: organization.id } } }));
await refused(409, api.POST("/api/organizations/{organizationId}/customers", { params: { path }, body: another }));
await expect(200, api.POST("/api/organizations/{id}/unarchive", { params: { path: { id: organization.id } } }));
await expect(201, api.POST("/api/organizations/{organizationId}/customers", { params: { path }, body: another }));

// Deletions: the app with its token, the customer, the member with their key.
await deleted(api.DELETE("/api/oauth/apps/{clientId}", { params: { path: { clientId: app.clientId } } }));
await refused(401, tokened.GET("/api/organizations/{id}", { params: { path: { id: organization.id } } }));
const looked = await expect(200, api.DELETE(at, { params: { ...owned, query: { validate_only: true } } }));
assert.deepEqual([looked.root, looked.blockers, looked.tables.find(({ table }) => table === "subscriptions")?.rows], ["customer", [], 1]);
const query = { plan: looked.plan, reason: "The contract ended" };
const receipt = await completed(api, await deleted(api.DELETE(at, { params: { ...owned, query } })));
assert.equal(receipt.counts["subscriptions"], 1);
await refused(404, api.GET(at, { params: owned }));
await deleted(api.DELETE("/api/organizations/{organizationId}/members/{memberId}", { params: { path: { ...path, memberId } } }));
await refused(401, keyed.GET("/api/organizations/{id}", { params: { path: { id: organization.id } } }));
await refused(403, colleague.api.GET("/api/organizations/{id}", { params: { path: { id: organization.id } } }));
const trail = await expect(200, api.GET("/api/organizations/{organizationId}/audit", { params: { path, query: { page_size: 100 } } }));
assert.ok(trail.data.some(({ action, reason }) => action === "customer.delete" && reason === "The contract ended"));

// The organization itself: gone at once, and its receipt stays with the one who ordered it.
const whole = { path: { id: organization.id } };
const plan = await expect(200, api.GET("/api/organizations/{organizationId}/deletion-plan", { params: { path } }));
const onAccount = "/account/api/v1/organizations/{id}" as const;
const same = await expect(200, api.DELETE(onAccount, { params: { ...whole, query: { validate_only: true } } }));
assert.ok("tables" in same && same.tables.length === plan.tables.length);
const ended = await completed(api, await deleted(api.DELETE("/api/organizations/{id}", { params: { ...whole, query: { plan: plan.plan } } })));
assert.equal(ended.counts["customers"], 1);
await refused(404, api.GET("/api/organizations/{id}", { params: { path: { id: organization.id } } }));
const mine = await expect(200, api.GET("/api/organizations"));
assert.deepEqual(mine.data, []);

console.log(`figure: ${calls} calls`);
