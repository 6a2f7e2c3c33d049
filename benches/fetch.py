#!/usr/bin/env python3
"""Fetching, hashing and converting a checkpoint from the loopback, next to `curl -o O URL && sync O` and `hf download`.

    python3 benches/fetch.py target/release/zoo [--bytes 270000000] [--turns 7] [--dir DIR]

Every figure is the median of interleaved turns in this run, a ratio that of the ratios within each turn; read the ratios,
not the seconds. The server is a process of its own that sends the file from the page cache, and answers as the hub does
for `hf download` (of `huggingface_hub`, where it is installed beside this Python). All begin with nothing of the file on
their side and nothing to write. RssAnon is the highest seen, sampled every 2 ms.
"""
import argparse, hashlib, http.server, json, os, pathlib, re, shutil, statistics, struct, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from convert import ratio, run, safetensors, turns

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(http.server.BaseHTTPRequestHandler):
    """One file under any path, whole or in parts, with the heads that the hub sends."""
    protocol_version = "HTTP/1.1"
    path_on_disk = digest = None

    def log_message(self, *_):
        pass

    def answer(self, body):
        size = os.path.getsize(self.path_on_disk)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, end = 0, size
        if "/api/" in self.path:
            files = [{"rfilename": "model.pth"}]
            text = json.dumps({"sha": COMMIT, "id": "org/repo", "siblings": files}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return
        if asked:
            first, end = int(asked[1]), int(asked[2]) + 1 if asked[2] else size
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("ETag", f'"{self.digest}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Size", str(size))
        self.send_header("X-Linked-Etag", f'"{self.digest}"')
        self.send_header("Content-Length", str(end - first))
        self.end_headers()
        if body:
            with open(self.path_on_disk, "rb") as file:
                try:
                    while first < end:
                        first += os.sendfile(self.connection.fileno(), file.fileno(), first, end - first)
                except OSError:
                    pass

    def do_GET(self):
        self.answer(True)

    def do_HEAD(self):
        self.answer(False)


def serve(path):
    Handler.path_on_disk = path
    with open(path, "rb") as file:
        Handler.digest = hashlib.file_digest(file, "sha256").hexdigest()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, Handler.digest, flush=True)
    server.serve_forever()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo", type=os.path.abspath)
    parser.add_argument("--bytes", type=int, default=270_000_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--dir")
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(dir=args.dir))
    server = None
    try:
        base, path = str(folder / "base.safetensors"), str(folder / "model.pth")
        safetensors(base, args.bytes)
        if run([args.zoo, "convert", base, path])[1] != 0:
            sys.exit("zoo could not write the file")
        os.unlink(base)
        server = subprocess.Popen([sys.executable, __file__, "--serve", path], stdout=subprocess.PIPE, text=True)
        port, digest = server.stdout.readline().split()
        url = f"http://127.0.0.1:{port}/model-{digest[:8]}.pth"
        page, home, out, hub = (folder / name for name in ("page.yaml", "home", "out", "hub"))
        page.write_text(f"Models:\n- {{Name: m, In Collection: O, Metadata: {{}}, Weights: '{url}'}}\nCollections:\n- Name: O\n")
        os.environ.update(ZOO_HOME=str(home), HF_HOME=str(hub), HF_ENDPOINT=f"http://127.0.0.1:{port}",
                          HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1")

        def fresh():
            for path in (home, hub):
                shutil.rmtree(path, ignore_errors=True)
            out.unlink(missing_ok=True)

        zoo = [args.zoo, "fetch", "m", "--registry", str(page), "-q"]
        jobs = {
            "curl+sync": (fresh, ["sh", "-c", 'curl -s -o "$0" "$1" && sync "$0"', str(out), url], (0,)),
            "zoo": (fresh, zoo, (0,)),
            "zoo pth": (fresh, zoo + ["--format", "pth"], (0,)),
        }
        hf = shutil.which("hf") or os.path.join(os.path.dirname(sys.executable), "hf")
        if os.path.exists(hf):
            jobs["hf"] = (fresh, [hf, "download", "org/repo", "model.pth"], (0,))
        else:
            print("not run here: hf download (of huggingface_hub)")
        times, peaks = turns(args.turns, jobs)
        print(f".pth of {os.path.getsize(path) / 1e6:.0f} MB from the loopback, medians of {args.turns}, load {os.getloadavg()[0]:.1f}")
        for name, all in times.items():
            print(f"  {name:<10} {statistics.median(all):8.3f} s   RssAnon {peaks[name]:8.1f} MB")
        pairs = [("zoo", "curl+sync"), ("zoo pth", "curl+sync"), ("hf", "zoo")]
        print("  " + ", ".join(ratio(times, *pair) for pair in pairs if set(pair) <= times.keys()))
    finally:
        if server:
            server.terminate()
        shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    else:
        main()
