"""`packaging/Containerfile`, built by buildah and run as it says: a user who is not root, a volume for the data, its own health check, its signal.

The images that it begins with come from a registry that is not asked here: a Debian of mmdebstrap stands for both, and in the place of a compiler it
has what was compiled already. buildah changes the root folder and makes no other walls, which some machines do not allow.
"""

import ctypes
import fcntl
import json
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

CONTAINERFILE = Path(os.environ["FREEHOLD_PACKAGING"]) / "Containerfile"
COMPILED = "#!/bin/sh\nset -e\ninstall -D /compiled/freehold target/release/freehold\n"


def run(*words: object, **more) -> str:
    told = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    assert told.returncode == 0, f"{' '.join(map(str, words))}: {told.stdout}{told.stderr}"
    return told.stdout.strip()


NEWNS, NEWNET = 0x00020000, 0x40000000


def unshare(what: int) -> int:
    """Leaves what this process shares with others; the number of the error, or 0."""
    return 0 if ctypes.CDLL(None, use_errno=True).unshare(what) == 0 else ctypes.get_errno()


def leave_the_network() -> None:
    """From here on there is a loopback alone, on which nothing else listens: the port of the image may be in use on this machine."""
    error = unshare(NEWNET)
    assert error == 0, os.strerror(error)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # SIOCSIFFLAGS with IFF_UP.
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))


def processes_of(user: int) -> list[int]:
    """The servers of this user."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
            if f"Uid:\t{user}\t{user}\t{user}\t{user}" in text and text.startswith("Name:\tfreehold\n"):
                found.append(int(status.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def leave_out(reason: str) -> NoReturn:
    print(f"figure: {reason}: it was not looked at")
    sys.exit()


def mirror_of(suite: str) -> str:
    """From where this machine has its packages."""
    wanted = ["Identifier: Packages", "Origin: Debian", f"Codename: {suite}", "Component: main"]
    mirrors = run("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).splitlines()
    return mirrors[0] if mirrors else leave_out(f"apt-get knows no packages of Debian {suite}, which `apt-get update` mends")


def main(folder: Path) -> None:
    # Overlays where the machine allows them; otherwise each layer is a copy of all of it.
    for name in ("overlay", "vfs"):
        buildah = ["buildah", "--root", folder / name, "--runroot", folder / "run", "--storage-driver", name]
        told = subprocess.run([*buildah, "from", "scratch"], capture_output=True, text=True)
        if told.returncode == 0:
            break
    else:
        leave_out(f"buildah can keep no image here ({' '.join(told.stderr.split())})")
    apart = ["--isolation", "chroot"]
    # What was compiled here runs with the C library that is here.
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    # What waits for the disk after each file is left out: it is thrown away.
    mmdebstrap = ["mmdebstrap", "--quiet", "--dpkgopt=force-unsafe-io", "--variant=essential", "--include=apt,passwd"]
    run(*mmdebstrap, suite, folder / "debian", mirror_of(suite))
    for rest in ("var/cache/apt/archives", "usr/share/doc", "usr/share/locale", "usr/share/man"):
        shutil.rmtree(folder / "debian" / rest, ignore_errors=True)
    (folder / "cargo").write_text(COMPILED)
    (folder / "cargo").chmod(0o755)
    run("strip", "-o", folder / "freehold", os.environ["FREEHOLD_PROGRAM"])
    base = run(*buildah, "from", "scratch")
    run(*buildah, "add", base, folder / "debian", "/")
    names = [line.split()[1] for line in CONTAINERFILE.read_text().splitlines() if line.startswith("FROM ")]
    assert len(names) == 2, names
    run(*buildah, "commit", base, names[1])
    run(*buildah, "add", base, folder / "cargo", "/usr/local/bin/cargo")
    run(*buildah, "add", base, folder / "freehold", "/compiled/freehold")
    run(*buildah, "commit", base, names[0])
    # Nothing of the source is needed to copy what is compiled.
    (folder / "source").mkdir()
    run(*buildah, "build", *apart, "--pull=never", "--format", "docker", "-f", CONTAINERFILE, "-t", "freehold", folder / "source")

    about = json.loads(run(*buildah, "inspect", "--type", "image", "freehold"))["Docker"]["config"]
    assert about["User"] == "freehold" and "/data" in about["Volumes"] and about["StopSignal"] == "SIGTERM", about
    kind, *health = about["Healthcheck"]["Test"]
    assert kind == "CMD" and "3001/tcp" in about["ExposedPorts"], about
    container = run(*buildah, "from", "--pull-never", "freehold")
    inside = [*buildah, "run", *apart, container, "--"]
    assert run(*inside, "id", "-u") == "10001"
    leave_the_network()
    with open(folder / "log", "w") as log:
        server = subprocess.Popen([*map(str, inside), *about["Entrypoint"], *about["Cmd"]], stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(200):
            assert server.poll() is None, (folder / "log").read_text()
            if subprocess.run([*map(str, inside), *health], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise AssertionError((folder / "log").read_text())
        ours = processes_of(10001)
        assert len(ours) == 1, ours
        files = run(*inside, "sh", "-c", "cd /data && stat --format '%n %a %u' . * | sort")
        assert {". 700 10001", "freehold.db 600 10001", "secret.key 600 10001"} <= set(files.splitlines()), files
        os.kill(ours[0], 15)
        assert server.wait(20) == 0, (folder / "log").read_text()
    finally:
        for process in processes_of(10001):
            os.kill(process, 9)
        server.wait(20)
    print("figure: built, healthy, user 10001, stopped by its signal")


if platform.freedesktop_os_release().get("ID") != "debian":
    leave_out("it is built of the packages of a Debian, which this machine is not")
if os.getuid() != 0 or not all(shutil.which(program) for program in ("buildah", "mmdebstrap")):
    leave_out("only root can build it here, with buildah and mmdebstrap")
# Root of a container may not do all that root may. A child tries, since there is no way back.
child = os.fork()
if child == 0:
    os._exit(unshare(NEWNS | NEWNET))
refused = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if refused != 0:
    leave_out(f"this machine allows no namespaces of mounts and networks ({os.strerror(refused)})")
with tempfile.TemporaryDirectory() as place:
    main(Path(place))
