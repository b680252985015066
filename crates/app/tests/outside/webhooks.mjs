// A receiver of webhooks that verifies what it got with npm standardwebhooks. `webhooks.py` runs it: it prints its address, and when its
// input has ended with the secret, it prints what it found out about every delivery.

import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { Webhook } from "standardwebhooks";

const deliveries = [];

const receiver = createServer(async (request, answer) => {
  deliveries.push({ headers: request.headers, body: await text(request) });
  answer.writeHead(204).end();
});
receiver.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${receiver.address().port}/hooks`));

const webhook = new Webhook((await text(process.stdin)).trim());

function verifies({ headers, body }) {
  try {
    webhook.verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

function tell({ headers, body }) {
  const broken = [
    { headers, body: body.replace("{", "{ ") },
    { headers: { ...headers, "webhook-id": `${headers["webhook-id"]}2` }, body },
    { headers: { ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) + 1) }, body },
  ];
  const accepted = broken.filter(verifies).length;
  return { type: JSON.parse(body).type, id: headers["webhook-id"], verified: verifies({ headers, body }), accepted };
}

console.log(JSON.stringify(deliveries.map(tell)));
process.exit(0);
