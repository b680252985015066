// better-auth as its documentation sets it up: a Node server with `toNodeHandler`, people with passwords, organizations and API keys, on
// SQLite. Its rate limits are off. It prints one line, `listening on URL`, once its tables are made.
//
// Beside better-auth's own addresses below /api/auth there are
//   GET  /verify    the key in X-API-Key, verified as the documentation has a product do it: with `auth.api.verifyApiKey`
//   POST /owner     makes the one person who asks for everything; answers with a session's cookie and an API key
//   POST /members   ?count=N: an organization of the owner with so many other members; answers with its id and theirs
//   POST /organizations  ?count=N: so many organizations of the owner; answers with their ids
import { createServer } from "node:http";
import { apiKey } from "@better-auth/api-key";
import Database from "better-sqlite3";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { organization } from "better-auth/plugins";

const database = new Database(process.argv[2]);
// As durable as what it is compared with, and faster than its default.
database.pragma("journal_mode = WAL");
database.pragma("synchronous = FULL");

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}`;

const options = {
  baseURL: url,
  secret: "a secret of thirty-two characters or more, for measuring only",
  database,
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  plugins: [organization({ organizationLimit: 10_000_000, membershipLimit: 10_000_000 }), apiKey({ rateLimit: { enabled: false } })],
};
await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);
const handle = toNodeHandler(auth);
const { adapter } = await auth.$context;

let owner;
let made = 0;

async function makeOwner() {
  const body = { name: "Owner", email: "owner@example.com", password: "correct horse battery staple" };
  const { headers, response } = await auth.api.signUpEmail({ body, returnHeaders: true });
  owner = response.user.id;
  const cookie = headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
  const { key } = await auth.api.createApiKey({ body: { name: "bench", userId: owner } });
  return { cookie, key };
}

async function makeOrganization() {
  made += 1;
  const data = { name: "Bench", slug: `bench-${made}`, createdAt: new Date() };
  const { id } = await adapter.create({ model: "organization", data });
  await adapter.create({ model: "member", data: { organizationId: id, userId: owner, role: "owner", createdAt: new Date() } });
  return id;
}

async function makeMembers(count) {
  const organizationId = await makeOrganization();
  const members = [];
  for (let number = 0; number < count; number += 1) {
    made += 1;
    const now = new Date();
    const person = { name: "Member", email: `member${made}@example.com`, emailVerified: true, createdAt: now, updatedAt: now };
    const user = await adapter.create({ model: "user", data: person });
    const data = { organizationId, userId: user.id, role: "member", createdAt: now };
    members.push((await adapter.create({ model: "member", data })).id);
  }
  return { organization: organizationId, members };
}

async function makeOrganizations(count) {
  const organizations = [];
  for (let number = 0; number < count; number += 1) {
    organizations.push(await makeOrganization());
  }
  return { organizations };
}

// What is made beforehand is made in one transaction: it is not what is measured.
async function prepare(make) {
  database.exec("BEGIN");
  const found = await make();
  database.exec("COMMIT");
  return found;
}

async function answer(request) {
  const { pathname, searchParams } = new URL(request.url, url);
  const count = Number(searchParams.get("count"));
  switch (`${request.method} ${pathname}`) {
    case "GET /verify":
      return auth.api.verifyApiKey({ body: { key: request.headers["x-api-key"] ?? "" } });
    case "POST /owner":
      return makeOwner();
    case "POST /members":
      return prepare(() => makeMembers(count));
    case "POST /organizations":
      return prepare(() => makeOrganizations(count));
    default:
      return undefined;
  }
}

server.on("request", async (request, response) => {
  if (request.url.startsWith("/api/auth/")) {
    return handle(request, response);
  }
  try {
    const found = await answer(request);
    const status = found === undefined ? 404 : found.valid === false ? 401 : 200;
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(found ?? {}));
  } catch (error) {
    response.writeHead(500, { "content-type": "text/plain" }).end(String(error?.stack ?? error));
  }
});
console.log(`listening on ${url}`);
