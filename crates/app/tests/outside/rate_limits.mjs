// npm ratelimit-header-parser reads the headers of every answer, and what it reads agrees with the requests that were made.

import assert from "node:assert/strict";
import { parseRateLimit } from "ratelimit-header-parser";

const url = process.env.FREEHOLD_LIMITED_URL;
const limit = Number(process.env.FREEHOLD_LIMIT);
const person = { email: "rate@example.com", password: "correct horse battery staple" };
let read = 0;

function post(path, body) {
  return fetch(url + path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

/** Reads the headers under both of their names, which must tell the same, and returns what they tell. */
function parse(answer, before) {
  const relative = parseRateLimit(answer, { reset: "seconds" });
  const aliases = new Headers([...answer.headers].filter(([name]) => name.startsWith("x-")));
  const absolute = parseRateLimit(aliases, { reset: "unix" });
  // Without being told, the parser guesses what the reset means: both forms must be ones that it guesses right.
  for (const [guessed, told] of [[parseRateLimit(answer), relative], [parseRateLimit(aliases), absolute]]) {
    assert.ok(Math.abs(guessed.reset - told.reset) < 1000, `guessed ${guessed.reset}, told ${told.reset}`);
  }
  for (const name of ["limit", "used", "remaining"]) {
    assert.equal(relative[name], absolute[name], name);
  }
  assert.equal(relative.limit, limit);
  assert.equal(relative.used + relative.remaining, limit);
  // The window ends at a whole minute after the request was sent. The relative form is told in whole seconds.
  assert.equal(absolute.reset % 60_000, 0);
  assert.ok(absolute.reset > before && absolute.reset - Date.now() <= 60_000, `${absolute.reset}`);
  assert.ok(Math.abs(relative.reset - absolute.reset) <= 2000, `${relative.reset} and ${absolute.reset}`);
  read += 1;
  return { remaining: absolute.remaining, used: absolute.used, reset: Number(absolute.reset) };
}

assert.equal((await post("/api/auth/sign-up", person)).status, 202);
const { access_token: token } = await (await post("/api/auth/sign-in", person)).json();

// As a known user, and as an unknown caller, who is counted by address.
for (const headers of [{ Authorization: `Bearer ${token}` }, {}]) {
  let previous = null;
  let refused = null;
  // The minute may end in between and the count begin anew, but not twice.
  for (let request = 0; request <= 2 * limit && refused === null; request += 1) {
    const before = Date.now();
    const answer = await fetch(`${url}/api/users/me`, { headers });
    const told = parse(answer, before);
    if (answer.status === 429) {
      refused = { answer, told };
    } else {
      assert.equal(answer.status, headers.Authorization ? 200 : 401);
      if (previous !== null && told.reset === previous.reset) {
        assert.equal(told.used, previous.used + 1);
      } else if (headers.Authorization) {
        assert.equal(told.used, 1);
      }
      previous = told;
    }
  }
  assert.ok(refused, "no request was refused");
  assert.equal(refused.told.remaining, 0);
  assert.equal(refused.told.used, limit);
  const { retry_after_seconds: wait } = await refused.answer.json();
  assert.equal(String(wait), refused.answer.headers.get("retry-after"));
  assert.ok(Math.abs(refused.told.reset - Date.now() - 1000 * wait) <= 2000, `${wait} s to wait`);
}

console.log(`figure: ${read} answers read`);
