"""Subscriptions end through PyPI's localstripe, which others wrote: its answers are read, and its signed events are believed.

Of Stripe it knows plans, customers, cards, subscriptions, `cancel_at_period_end` and DELETE, and it tells of subscriptions that begin and end.
"""

import contextlib
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

import world

KEY = "sk_test_12345"
SECRET = "whsec_localstripe"
OPERATOR = "operator@example.com"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Stripe:
    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, auth=(KEY, ""), timeout=30)

    def call(self, method: str, path: str, **form: str) -> dict:
        answer = self.client.request(method, path, data=form or None)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def subscribe(self, **metadata: str) -> str:
        """A subscription of a new customer with a card that works."""
        customer = self.call("POST", "/v1/customers", email="ada@example.com")["id"]
        number = {"card[number]": "4242424242424242", "card[exp_month]": "12", "card[exp_year]": "2040", "card[cvc]": "123"}
        card = self.call("POST", "/v1/payment_methods", type="card", **number)["id"]
        self.call("POST", f"/v1/payment_methods/{card}/attach", customer=customer)
        self.call("POST", f"/v1/customers/{customer}", **{"invoice_settings[default_payment_method]": card})
        named = {f"metadata[{name}]": value for name, value in metadata.items()}
        return self.call("POST", "/v1/subscriptions", customer=customer, **{"items[0][plan]": "basic"}, **named)["id"]

    def state(self, subscription: str) -> tuple[str, bool]:
        found = self.call("GET", f"/v1/subscriptions/{subscription}")
        return found["status"], found["cancel_at_period_end"]


@contextlib.contextmanager
def localstripe(folder: Path) -> Iterator[Stripe]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    # It keeps a file in the folder for temporary files.
    variables = os.environ | {"TMPDIR": str(folder)}
    program = [str(Path("localstripe/bin/localstripe").resolve()), "--port", str(port), "--from-scratch"]
    process = subprocess.Popen(program, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        stripe = Stripe(url)
        for _ in range(200):
            try:
                plan = {"id": "basic", "amount": "2900", "currency": "eur", "interval": "month", "name": "Basic", "product[name]": "Basic"}
                stripe.call("POST", "/v1/plans", **plan)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield stripe
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def freehold(folder: Path, stripe: Stripe) -> Iterator[world.Server]:
    program = os.environ["FREEHOLD_PROGRAM"]
    data = ["--data", str(folder / "data")]
    subprocess.run([program, "operators", "add", "--email", OPERATOR, *data], input=world.PASSWORD.encode(), check=True, capture_output=True)
    settings = {
        "FREEHOLD_STRIPE_SECRET_KEY": KEY,
        "FREEHOLD_STRIPE_WEBHOOK_SECRET": SECRET,
        "FREEHOLD_STRIPE_API_URL": str(stripe.client.base_url),
        "RUST_LOG": "error",
    }
    arguments = [program, "serve", "--listen=127.0.0.1:0", "--attempt-limit-per-minute=0", *data]
    process = subprocess.Popen(arguments, env=os.environ | settings, stdout=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://\S+", process.stdout.readline()).group()
        yield world.Server(url)
    finally:
        process.terminate()
        assert process.wait(timeout=15) == 0


def until(what: str, holds) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited in vain until {what}")


def main() -> None:
    with tempfile.TemporaryDirectory() as place, localstripe(folder := Path(place)) as stripe, freehold(folder, stripe) as server:
        hook = {"url": str(server.client.base_url.join("/stripe/events")), "secret": SECRET}
        stripe.client.post("/_config/webhooks/freehold", data=hook).raise_for_status()
        operator = server.sign_in(OPERATOR)
        owner = server.new_person()
        organization = server.new_organization(owner)["id"]
        own = f"/api/organizations/{organization}"
        customer = server.call("POST", f"{own}/customers", owner.token, {"name": "Ada", "email": "ada@example.com"}, 201)["id"]
        # One is linked by an operator, the others by what their metadata says: localstripe tells of them.
        linked, told, ending = stripe.subscribe(), stripe.subscribe(freehold_organization=organization), stripe.subscribe()
        for subscription, of in [(linked, None), (ending, customer)]:
            path = f"/api/operator/organizations/{organization}/billing/subscriptions/{subscription}"
            read = server.call("PUT", path, operator, {"customerId": of, "reason": "They pay"})
            assert (read["status"], read["amount"], read["currency"], read["interval"]) == ("active", 2900, "eur", "month"), read
        listing = f"{own}/billing/subscriptions"
        until("localstripe's event has linked one", lambda: len(server.call("GET", listing, owner.token)["data"]) == 3)
        # A customer's ends with its period, and the organization's own at once.
        server.call("PATCH", f"{own}/billing", owner.token, {"onDeletion": "cancel_at_period_end"})
        deletion = server.call("DELETE", f"{own}/customers/{customer}", owner.token, status=204)["headers"]["deletion-id"]
        receipt = server.wait_for_completion(deletion, owner.token)["effects"]["billing"]
        assert receipt["confirmed"] == 1 and stripe.state(ending) == ("active", True), receipt
        server.call("PATCH", f"{own}/billing", owner.token, {"onDeletion": "cancel_now"})
        deletion = server.call("DELETE", own, owner.token, status=204)["headers"]["deletion-id"]
        receipt = server.wait_for_completion(deletion, owner.token)["effects"]["billing"]
        assert receipt["confirmed"] == 2 and receipt["givenUp"] == 0, receipt
        assert [stripe.state(one)[0] for one in (linked, told)] == ["canceled", "canceled"], receipt
        # Its events about what is gone come a second late, and are no error.
        figure = 'freehold_stripe_events_total{outcome="unknown"} '

        def late() -> bool:
            answer = server.client.get("/metrics", headers={"Authorization": f"Bearer {operator}"})
            return any(line.startswith(figure) and int(line.removeprefix(figure)) >= 2 for line in answer.text.splitlines())

        until("the events of what has ended were heard", late)
    print("figure: 3 subscriptions, of which 2 were cancelled and 1 ends with its period")


main()
