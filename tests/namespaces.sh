#!/usr/bin/env bash
# Two processes that see neither each other's numbers nor each other's /proc share one cache, as two machines do: one fetches and
# the other waits; then the first is killed and the other goes on. Part of tests/long.sh.
#
#   bash tests/namespaces.sh ZOO WORK [FIRST SECOND]
#
# FIRST and SECOND are two views of one folder, such as two mounts of it that keep their own attributes and their own `flock`.
set -euo pipefail
zoo=$1 work=$2
rm -rf "$work"
mkdir -p "$work/www"
head -c 6000000 /dev/urandom > "$work/www/file"
name=m-$(sha256sum "$work/www/file" | cut -c1-8).pth
mv "$work/www/file" "$work/www/$name"
# Sends slowly, with ranges, and counts the bytes it sends.
cat > "$work/serve.py" <<'PY'
import http.server, pathlib, re, sys, time
folder = pathlib.Path(sys.argv[1])
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        content = (folder / self.path.lstrip("/")).read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        print("asked from", first, flush=True)
        self.send_response(206 if asked else 200)
        if asked: self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", '"a"')
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        for at in range(first, len(content), 50_000):
            self.wfile.write(content[at:at + 50_000])
            time.sleep(0.05)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 -I "$work/serve.py" "$work/www" > "$work/served" 2> /dev/null & server=$!
trap 'kill $server' EXIT
while ! [ -s "$work/served" ]; do sleep 0.1; done
url=http://127.0.0.1:$(head -n 1 "$work/served")/$name
printf 'Models:\n- {Name: m, In Collection: O, Metadata: {}, Weights: "%s"}\nCollections:\n- Name: O\n' "$url" > "$work/page.yaml"
first_home=${3:-$work}/home second_home=${4:-$work}/home
rm -rf "$first_home"
# Not a function: its subshell would be killed, and zoo go on.
fetch=(unshare --pid --fork --kill-child --mount-proc "$zoo" fetch m --format pth --registry "$work/page.yaml" --progress plain)
requests() { grep -c asked "$work/served"; }

ZOO_HOME=$first_home "${fetch[@]}" > "$work/first" 2>&1 & first=$!
sleep 1
ZOO_HOME=$second_home "${fetch[@]}" --wait 60s > "$work/second" 2>&1
wait $first
grep -q "waiting for process 1 on" "$work/second" || { cat "$work/second"; echo "the second did not see the first" >&2; exit 1; }
[ "$(requests)" = 1 ] || { echo "both fetched" >&2; exit 1; }
echo "one fetched, the other saw it and waited"

rm -rf "$first_home"
ZOO_HOME=$first_home "${fetch[@]}" > "$work/first" 2>&1 & first=$!
sleep 2
kill -9 $first
wait $first 2> /dev/null || true
start=$(date +%s)
ZOO_HOME=$second_home "${fetch[@]}" --wait 60s > "$work/second" 2>&1
took=$(($(date +%s) - start))
last=$(grep asked "$work/served" | tail -n 1 | cut -d' ' -f3)
[ "$last" -gt 0 ] || { cat "$work/second"; echo "the second began anew" >&2; exit 1; }
grep -q "resumed" "$work/second"
[ "$(sha256sum < "$second_home"/files/*[0-9a-f] | cut -c1-64)" = "$(sha256sum < "$work/www/$name" | cut -c1-64)" ]
echo "the first was killed; the other noticed, and went on from byte $last, $took s in all"
