"""Takes turns with ONNX Runtime, OpenVINO and torch at running networks, and prints the ratios.

    cargo build --release
    python benches/peers.py [--threads 2] [--turns 8] [--seconds 2] [--peers ort,ov] [--json OUT] [WORK...]
    python benches/peers.py --peers torch --families [--turns 5] [--seconds 1]

WORK is ARCH, ARCH@SIZE or ARCH@SIZE:SECONDS; without any, the five of benches/README.md, or with `--families` one of every
family of the index (two where they differ in kind). Each turn runs `zoo bench` and
every mode of the peers for the same time, the order changing from turn to turn, all in float32 on the same
number of threads:

- zoo: a thread an image (throughput), all threads on one image (latency);
- ort: one ONNX Runtime session on all threads; ort-sessions: a session of one thread on each core;
- ov: OpenVINO with the LATENCY hint; ov-throughput: with the THROUGHPUT hint and its own choice of streams;
- torch: timm's model, channels last, in inference mode, one image; torch-batch: eight images together.

A turn's ratio is zoo's figure by the best of the peers' in that turn; the median over the turns is quoted, with
the least and the most. Time does not depend on weights' values, so both sides have random ones. Zoo starts anew
each turn and the peers are kept warm: what unfairness there is, is theirs. Needs timm and torch; for ONNX Runtime and
OpenVINO onnx, onnxscript, onnxruntime, openvino.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import timm
import torch

warnings.filterwarnings("ignore", category=DeprecationWarning)  # torch, on the exporter that needs no more packages

ROOT = Path(__file__).resolve().parent.parent
WORK = [
    "tf_efficientnet_b0@224",
    "tf_efficientnet_b4@380",
    "tf_efficientnet_b7@600:8",
    "resnet50@224",
    "mobilenetv3_large_100@224",
]
FAMILIES = [
    "cspdarknet53@256", "cspresnext50@224", "densenet121@224", "densenetblur121d@224", "dla34@224", "dla60_res2net@224",
    "dpn68@224", "ecaresnetlight@224", "ese_vovnet19b_dw@224", "ese_vovnet39b@224", "hrnet_w18_small@224",
    "inception_resnet_v2@299", "inception_v3@299", "inception_v4@299", "legacy_senet154@224", "legacy_seresnet18@224",
    "legacy_xception@299", "mixnet_s@224", "mobilenetv3_large_100@224", "nasnetalarge@331", "pnasnet5large@331",
    "regnetx_002@224", "regnety_008@224", "res2net50_26w_4s@224", "resnest14d@224", "resnest50d_4s2x40d@224", "resnet18@224",
    "resnet50@224", "resnetblur50@224", "resnetv2_50x1_bit@224", "rexnet_100@224", "selecsls42b@224",
    "seresnext26t_32x4d@224", "skresnet18@224", "skresnext50_32x4d@224", "tf_efficientnet_b0@224",
    "tf_efficientnet_cc_b0_4e@224", "tf_efficientnet_cc_b0_8e@224", "tf_efficientnet_es@224", "tf_efficientnet_lite0@224",
    "tresnet_m@224", "xception41@299",
]  # fmt: skip


def for_seconds(run, seconds):
    """Calls `run` until the time is over; images a second."""
    start, images = time.perf_counter(), 0
    while True:
        run()
        images += 1
        took = time.perf_counter() - start
        if took >= seconds:
            return images / took


def latency(run, seconds):
    """Milliseconds of the median call."""
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() - start < seconds:
        at = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - at))
    return statistics.median(times)


def session(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def runtimes(path, image, threads, seconds):
    """Name of a mode to a function that gives (images a second or None, latency or None)."""
    import openvino

    ort = session(path, threads)
    each = [session(path, 1) for _ in range(threads)]
    pool = ThreadPoolExecutor(threads)
    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads})
    model = core.read_model(path)
    hints = {"INFERENCE_PRECISION_HINT": "f32"}
    low = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", **hints}).create_infer_request()
    queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", **hints}))

    def sessions():
        run = lambda s: for_seconds(lambda: s.run(None, {"x": image}), seconds)
        return sum(pool.map(run, each)), None

    def streams():
        start, images = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            queue.start_async({0: image})
            images += 1
        queue.wait_all()
        return images / (time.perf_counter() - start), None

    def one(run):
        ms = latency(run, seconds)
        return 1e3 / ms, ms

    return {
        "ort": lambda: one(lambda: ort.run(None, {"x": image})),
        "ort-sessions": sessions,
        "ov": lambda: one(lambda: low.infer({0: image})),
        "ov-throughput": streams,
    }


def torchs(model, image, seconds):
    """The same of torch itself."""
    last = torch.channels_last
    model = model.to(memory_format=last)
    one = image.to(memory_format=last)
    eight = image.repeat(8, 1, 1, 1).to(memory_format=last)

    def run(images):
        with torch.inference_mode():
            model(images)

    def single():
        ms = latency(lambda: run(one), seconds)
        return 1e3 / ms, ms

    return {"torch": single, "torch-batch": lambda: (8 * for_seconds(lambda: run(eight), seconds), None)}


def zoo(binary, arch, size, threads, seconds, runs):
    command = [binary, "bench", arch, "--json", "--size", str(size)]
    command += ["--threads", str(threads), "--seconds", str(seconds), "--runs", runs or RUNS.get(arch, "60")]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answer["throughput"]["images_per_second"], answer["latency"]["median_ms"], answer["isa"]


RUNS = {"tf_efficientnet_b4": "8", "tf_efficientnet_b7": "3", "resnet50": "20"}


def measure(arch, size, seconds, a):
    torch.manual_seed(0)
    model = timm.create_model(arch).eval()
    image = torch.randn(1, 3, size, size)
    with tempfile.TemporaryDirectory() as folder:
        modes = {}
        if "ort" in a.peers:
            path = folder + "/model.onnx"
            torch.onnx.export(model, (image,), path, input_names=["x"], output_names=["y"], dynamo=False, opset_version=17)
            modes |= runtimes(path, image.numpy(), a.threads, seconds)
        if "torch" in a.peers:
            modes |= torchs(model, image, seconds)
        for warm in modes.values():
            warm()
        turns = []
        for turn in range(a.turns):
            names = ["zoo", *modes]
            names = names[turn % len(names) :] + names[: turn % len(names)]
            if turn % 2:
                names.reverse()
            figures = {}
            for name in names:
                if name == "zoo":
                    rate, ms, isa = zoo(a.zoo, arch, size, a.threads, seconds, a.runs)
                    figures[name] = rate, ms
                else:
                    figures[name] = modes[name]()
            turns.append(figures)
    result = {"work": f"{arch}@{size}", "threads": a.threads, "turns": len(turns), "isa": isa}
    for what, index in [("throughput", 0), ("latency", 1)]:
        best = max if what == "throughput" else min
        ratios = []
        for figures in turns:
            theirs = best(v[index] for n, v in figures.items() if n != "zoo" and v[index] is not None)
            ours = figures["zoo"][index]
            ratios.append(ours / theirs if what == "throughput" else theirs / ours)
        medians = {
            n: round(statistics.median(t[n][index] for t in turns), 3)
            for n in turns[0]
            if turns[0][n][index] is not None
        }
        ratio = round(statistics.median(ratios), 3)
        result[what] = {"ratio": ratio, "least": round(min(ratios), 3), "most": round(max(ratios), 3), **medians}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", nargs="*")
    parser.add_argument("--families", action="store_true")
    parser.add_argument("--peers", type=lambda s: s.split(","), default=["ort", "ov"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runs", help="images that zoo's latency is the median of")
    parser.add_argument("--zoo", default=str(ROOT / "target/release/zoo"))
    parser.add_argument("--json")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    versions = [f"{name} {version(name)}" for name in ("timm", "torch", "onnxruntime", "openvino") if find_spec(name)]
    print(f"# {', '.join(versions)}, load {os.getloadavg()[0]:.1f}")
    rows = []
    for work in a.work or (FAMILIES if a.families else WORK):
        name, _, seconds = work.partition(":")
        arch, _, size = name.partition("@")
        size = int(size or timm.get_pretrained_cfg(arch).input_size[-1])
        result = measure(arch, size, float(seconds or a.seconds), a)
        print(json.dumps(result), flush=True)
        if a.json:
            with open(a.json, "a") as out:
                out.write(json.dumps(result) + "\n")
        rows += [row(result, "throughput", "images/s"), row(result, "latency", "ms")]
    print("| work | zoo | best peer | ratio: median (least to most) |\n| --- | ---: | ---: | --- |")
    print("\n".join(rows))


def row(result, what, unit):
    """A line of the table in benches/README.md: medians over the turns, and the ratio's."""
    r = result[what]
    others = {n: v for n, v in r.items() if n not in ("ratio", "least", "most", "zoo")}
    best = (max if what == "throughput" else min)(others, key=others.get)
    figures = f"{r['zoo']:.1f} {unit} | {others[best]:.1f} ({best})"
    return f"| {result['work']}, {what} | {figures} | {r['ratio']:.2f} ({r['least']:.2f} to {r['most']:.2f}) |"


main()
