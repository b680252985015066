"""Five attacks on a server of one's own, what they cost it, and what another tenant feels meanwhile: the figures of “Under attack” in
docs/performance.md. Needs nothing but Python. `FREEHOLD=target/release/freehold python3 attacks.py [answers bodies hashes searches tenants]`, with the
connection string of an empty database in FREEHOLD_DATABASE_URL for PostgreSQL.

Real attackers and neighbours bring computers of their own. Here they share one with the server, so the neighbour's client goes before everything
else, where root runs this, and the attackers' clients get what the server leaves. What the neighbour then waits for is the server."""

import http.client, json, os, resource, shutil, socket, subprocess, sys, tempfile, threading, time, uuid

BINARY = os.environ.get("FREEHOLD", "target/debug/freehold")
PORT = int(os.environ.get("PORT", "4811"))
PASSWORD = "correct horse battery staple"
TURNS = 3

NEIGHBOUR = """
import http.client, json, sys, time
port, tokens, seconds = int(sys.argv[1]), sys.argv[2].split(","), float(sys.argv[3])
connection, took, end = http.client.HTTPConnection("127.0.0.1", port, timeout=60), [], time.time() + seconds
while time.time() < end:
    begun = time.perf_counter()
    connection.request("GET", "/api/organizations", headers={"X-API-Key": tokens[len(took) % len(tokens)]})
    answer = connection.getresponse(); answer.read(); assert answer.status == 200, answer.status
    took.append((time.perf_counter() - begun) * 1000)
    time.sleep(max(0, 0.01 - (time.perf_counter() - begun)))
print(json.dumps(took))
"""

SEARCHER = """
import http.client, sys, threading, time
port, path, token, end, abreast, statuses = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5]), []
def search():
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while time.time() < end:
        connection.request("GET", path, headers={"Authorization": "Bearer " + token})
        answer = connection.getresponse(); answer.read(); statuses.append(answer.status)
threads = [threading.Thread(target=search) for _ in range(abreast)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
print({status: statuses.count(status) for status in set(statuses)})
"""


def ask(method, path, body=None, token=None, headers=None):
    headers = dict(headers or {})
    if token:
        headers["Authorization"] = "Bearer " + token
    if body is not None:
        headers["Content-Type"] = "application/json"
        body = body if isinstance(body, str) else json.dumps(body)
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def person():
    email = f"{uuid.uuid4().hex}@example.com"
    assert ask("POST", "/api/auth/sign-up", {"email": email, "password": PASSWORD})[0] == 202
    return json.loads(ask("POST", "/api/auth/sign-in", {"email": email, "password": PASSWORD})[1])["access_token"]


def organization(token):
    status, text = ask("POST", "/api/organizations", {"name": "Acme", "slug": "o-" + uuid.uuid4().hex[:12]}, token)
    assert status == 201, text
    return json.loads(text)["id"]


def user_key(token):
    status, text = ask("POST", "/api/users/me/api-keys", {"name": "a neighbour's"}, token)
    assert status == 201, text
    return json.loads(text)["key"]


def count(statuses):
    return {status: statuses.count(status) for status in sorted(set(statuses), key=str)}


def abreast(number, work):
    threads = [threading.Thread(target=work, args=(place,)) for place in range(number)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]


class Server:
    def __init__(self, limited):
        self.folder = tempfile.mkdtemp()
        command = [BINARY, "serve", "--listen", f"127.0.0.1:{PORT}", "--data", self.folder]
        if not limited:
            command += ["--rate-limit-per-minute=0", "--rate-limit-per-day=0", "--attempt-limit-per-minute=0"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                if ask("GET", "/health/ready")[0] == 200:
                    return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the server does not answer")

    def memory(self):
        lines = open(f"/proc/{self.process.pid}/status").read().split("\n")
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def disk(self):
        files = [os.path.join(self.folder, name) for name in os.listdir(self.folder) if name.startswith("freehold.db")]
        return sum(map(os.path.getsize, files)) / 2**20

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)


def answers(_, end):
    """Bodies of 100,000 unknown fields, each with an Idempotency-Key of its own."""
    body, statuses, sizes = "{" + ",".join(f'"{place:x}":1' for place in range(100_000)) + "}", [], []

    def send(_):
        while time.time() < end:
            status, text = ask("POST", "/api/auth/sign-in", body, headers={"Idempotency-Key": str(uuid.uuid4())})
            statuses.append(status), sizes.append(len(text))

    abreast(2, send)
    return f"{count(statuses)}, {max(sizes)} bytes at the most"


def bodies(_, end):
    """A thousand connections from one address, each with a body of 1 MiB that lacks its last byte."""
    open_ones, statuses = [], []
    head = b"POST /api/auth/sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n"
    for _ in range(1000):
        connection = socket.create_connection(("127.0.0.1", PORT))
        try:
            connection.sendall(head + b"a" * 1048575)
        except OSError:
            pass
        open_ones.append(connection)
    time.sleep(max(0, end - time.time()))
    for connection in open_ones:
        connection.setblocking(False)
        try:
            statuses.append(int((connection.recv(100).split(b" ") + [b"0"])[1]))
        except (OSError, IndexError, ValueError):
            statuses.append("none")
        connection.close()
    return count(statuses)


def hashes(_, end):
    """Sixty sign-ins of unknown addresses at once, every second."""
    statuses = []

    def send(_):
        statuses.append(ask("POST", "/api/auth/sign-in", {"email": f"{uuid.uuid4().hex}@example.com", "password": "x" * 20})[0])

    while time.time() < end:
        begun = time.time()
        abreast(60, send)
        time.sleep(max(0, 1 - (time.time() - begun)))
    return count(statuses)


def searcher(token, home, end, abreast):
    path = f"/api/organizations/{home}/customers?q=zzz"
    return subprocess.Popen([sys.executable, "-c", SEARCHER, str(PORT), path, token, str(end), str(abreast)], stdout=subprocess.PIPE, text=True)


def searches(prepared, end):
    """Thirty searches at once of one tenant's 10,000 customers."""
    return searcher(*prepared, end, 30).communicate()[0].strip()


def tenants(prepared, end):
    """Four searches at once of each of eight tenants with 2,400 customers."""
    return " ".join(one.communicate()[0].strip() for one in [searcher(*tenant, end, 4) for tenant in prepared])


def customers(each=2_500):
    token = person()
    home = organization(token)

    def fill(part):
        for number in range(each):
            ask("POST", f"/api/organizations/{home}/customers", {"id": f"c{part}-{number}", "name": "x" * 150, "email": "a@example.com"}, token)

    abreast(4, fill)
    return token, home


def quantiles(took):
    took = sorted(took)
    return took[len(took) // 2], took[int(len(took) * 0.99)]


def go_first():
    """Puts the neighbour's client before everything else."""
    if os.geteuid() == 0:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def step_back():
    """Gives the attackers' clients what the server and the neighbour leave of the processors, and nothing that one of them asks for."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def run(attack, seconds, limited=True, prepare=None):
    server = Server(limited)
    try:
        prepared = prepare() if prepare else None
        people = [person() for _ in range(4)]
        [organization(token) for token in people]
        # Each key has a limit of its own.
        tokens = [key for token in people for key in [user_key(token) for _ in range(8)]]
        feel = lambda seconds: subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(PORT), ",".join(tokens), str(seconds)], stdout=subprocess.PIPE, preexec_fn=go_first)
        felt = lambda neighbour: json.loads(neighbour.communicate()[0])
        memory, disk, peaks, is_over, calm, meanwhile, attacked = server.memory(), server.disk(), [server.memory()], [], [], [], 0.0

        def watch():
            while not is_over:
                peaks.append(server.memory()), time.sleep(0.05)

        watcher = threading.Thread(target=watch)
        watcher.start()
        is_behind = False
        # Calm and attack take turns, so that what else the machine does meets both.
        for turn in range(TURNS):
            calm += felt(feel(seconds))
            if not is_behind:
                step_back()
                is_behind = True
            neighbour, begun = feel(seconds), time.time()
            told = attack(prepared, begun + seconds)
            attacked += time.time() - begun
            meanwhile += felt(neighbour)
            if turn + 1 == TURNS:
                is_over.append(True), watcher.join()
            time.sleep(5)
        after, grown = server.memory(), server.disk()
        print(f"{attack.__name__}: {told} in the last of {TURNS} turns of {attacked / TURNS:.1f} s")
        print(f"  memory {memory:.0f} MB, {max(peaks):.0f} at the most, {after:.0f} five seconds later; {(max(peaks) - memory) / attacked:.1f} MB a second")
        print(f"  disk {disk:.1f} MB, {grown:.1f} afterwards; {(grown - disk) / attacked:.2f} MB a second")
        (calm_median, calm_p99), (median, p99) = quantiles(calm), quantiles(meanwhile)
        print(f"  a neighbour's read, median and p99: {calm_median:.1f} and {calm_p99:.1f} ms, meanwhile {median:.1f} and {p99:.1f} ms: {p99 / calm_p99:.2f} of {len(calm)} and {len(meanwhile)}", flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8_192, most), most))
    wanted = sys.argv[1:] or ["answers", "bodies", "hashes", "searches", "tenants"]
    attacks = {
        "answers": lambda: run(answers, 8),
        "bodies": lambda: run(bodies, 8),
        "hashes": lambda: run(hashes, 8),
        "searches": lambda: run(searches, 8, limited=False, prepare=customers),
        "tenants": lambda: run(tenants, 8, limited=False, prepare=lambda: [customers(600) for _ in range(8)]),
    }
    for name in wanted:
        # What has stepped back does not come forward again: each in a process of its own.
        child = os.fork()
        if child == 0:
            os.setsid()
            attacks[name]()
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, name
