"""`zoo fetch` of eight files at once, killed with SIGKILL at random moments: what is kept is right each time, and what had
come is gone on with. Part of tests/long.sh.

    python tests/kill_fetch.py ZOO WORK [--kills 200] [--seed 0] [--wrap 'strace …']

Each kill hits a run against a server on the loopback that sends slowly. After it every file in the cache must have the
digest it lies under, and every partial file must be a prefix of its source. Now and then a run is let through: it must fetch
what is missing and no more than that. With `--wrap` the command runs under another, such as strace with a lying `flock`.
"""

import argparse
import hashlib
import http.server
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("zoo", type=os.path.abspath)
parser.add_argument("work", type=pathlib.Path)
parser.add_argument("--kills", type=int, default=200)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--wrap", type=shlex.split, default=[])
args = parser.parse_args()
rng = random.Random(args.seed)
FILES, LEN, PAUSE, PIECE = 8, 3_000_000, 0.004, 16_384

contents = [rng.randbytes(LEN + 1000 * i) for i in range(FILES)]
names = [f"m{i}-{hashlib.sha256(c).hexdigest()[:8]}.pth" for i, c in enumerate(contents)]
by_name = dict(zip(names, contents))
sent = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        global sent
        content = by_name[self.path.lstrip("/")]
        etag = '"%d"' % len(content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, end = 0, len(content)
        if asked and self.headers.get("If-Range", etag) == etag:
            first = int(asked[1])
            end = int(asked[2]) + 1 if asked[2] else end
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(end - first))
        self.end_headers()
        for at in range(first, end, PIECE):
            try:
                self.wfile.write(content[at:min(at + PIECE, end)])
            except OSError:
                return
            sent += min(PIECE, end - at)
            time.sleep(PAUSE)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
# Of killed clients.
server.handle_error = lambda *_: None
threading.Thread(target=server.serve_forever, daemon=True).start()
shutil.rmtree(args.work, ignore_errors=True)
args.work.mkdir(parents=True)
# A part is called after its address.
key_of = {hashlib.sha256(c).hexdigest(): hashlib.sha256(
    f"http://127.0.0.1:{server.server_port}/{name}".encode()).hexdigest()[:32] for name, c in by_name.items()}
page, home = args.work / "page.yaml", args.work / "home"
models = "".join(
    f"- {{Name: m{i}, In Collection: O, Metadata: {{}}, Weights: 'http://127.0.0.1:{server.server_port}/{name}'}}\n"
    for i, name in enumerate(names))
page.write_text(f"Models:\n{models}Collections:\n- Name: O\n")
command = args.wrap + [args.zoo, "fetch", *(f"m{i}" for i in range(FILES)), "--jobs", "8", "--format", "pth",
                       "--registry", str(page), "--quiet"]
environment = dict(os.environ, ZOO_HOME=str(home))


def check():
    """Bytes that are here, in whole files and in the longest part of each."""
    here, whole = 0, set()
    for path in (home / "files").glob("*"):
        if len(path.name) == 64:
            if hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
                sys.exit(f"{path} is not what its name says")
            here += path.stat().st_size
            whole.add(key_of[path.name])
    parts = {}
    for path in (home / "partial").glob("*.part"):
        if path.name.startswith(".zoo-"):
            continue
        part = path.read_bytes()
        if not any(content.startswith(part) for content in contents):
            sys.exit(f"{path} is no prefix of its source")
        key = path.name.split(".")[0]
        # Without its record a part cannot be gone on with.
        if path.with_suffix(".json").exists() and key not in whole:
            parts[key] = max(parts.get(key, 0), len(part))
    return here + sum(parts.values())


killed = whole = resumed = 0
total, length = sum(map(len, contents)), 0
started = time.perf_counter()
subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
length = time.perf_counter() - started
print(f"{FILES} files of {total / FILES / 1e6:.1f} MB at once, {length:.1f} s when nothing happens", flush=True)
shutil.rmtree(home)
while killed < args.kills:
    before, had = sent, check()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        # Not under strace: what is killed is the group.
        process.wait(timeout=rng.uniform(0, length * 0.6))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        killed += 1
        now = check()
        if now < had:
            sys.exit(f"{had - now} bytes that were here are gone after kill {killed}")
        resumed += had > 0
        continue
    # It came to its end: everything is here, and the server sent what was missing (and what its sockets swallowed of killed ones).
    if process.returncode != 0:
        sys.exit(f"a run that was not killed ended with {process.returncode}")
    if len([p for p in (home / "files").glob("*") if len(p.name) == 64]) != FILES:
        sys.exit("a run that was not killed did not fetch everything")
    if check() != total:
        sys.exit("what is here is not everything")
    whole += 1
    shutil.rmtree(home)
run = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
subprocess.run([args.zoo, "cache", "gc", "--quiet"], env=environment, check=True, stdout=subprocess.DEVNULL)
if run.returncode != 0 or check() != total or list((home / "partial").iterdir()):
    sys.exit("the last run and `zoo cache gc` did not leave everything and nothing else")
print(f"{killed} kills, {resumed} of them with bytes from before: each time right, nothing lost; {whole} times everything came")
