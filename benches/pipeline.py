#!/usr/bin/env python3
"""A folder of JPEGs to answers: `zoo verify`, timm's own loader and model, and Pillow with ONNX Runtime, in turns.

    python benches/pipeline.py target/release/zoo FOLDER [--models tf_efficientnet_lite0,tf_efficientnet_b0]
        [--images 256] [--turns 8] [--threads 2]

FOLDER has one folder a class, named by its WordNet id. All three do the same images with the same weights (timm's
random ones: the time does not depend on them) and settings; the images are in the page cache. Figures are images
a second over the loop from files to logits: starting, loading and exporting the model are left out for everybody
(zoo's are the report's own `images_per_second`; its whole process is beside it). timm is taken at its best of no
and two loader processes; ONNX Runtime does one image a thread with a session of one thread, which is its best. A
ratio is that within a turn, and the median over the turns is quoted. Needs timm, torch, onnx, onnxruntime, safetensors.
"""
import argparse, collections, json, os, pathlib, shutil, statistics, subprocess, tempfile, time
from concurrent.futures import ThreadPoolExecutor

import onnxruntime, timm, torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_dataset, create_loader, create_transform, resolve_model_data_config


class Zoo:
    def __init__(self, binary, name, model, folder, threads, scratch):
        self.weights = str(scratch / f"{name}.safetensors")
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, self.weights)
        self.command = [os.path.abspath(binary), "verify", name, "--weights", self.weights, "--dataset", "imagenet-val",
                        "--data-dir", str(folder), "--threads", str(threads), "--offline", "-q", "--json"]

    def __call__(self):
        # A home of its own: what is on record would not be computed again.
        with tempfile.TemporaryDirectory() as home:
            started = time.perf_counter()
            done = subprocess.run(self.command, stdout=subprocess.PIPE, env=os.environ | {"ZOO_HOME": home})
            self.process = time.perf_counter() - started
        assert done.returncode in (0, 1), done.returncode
        report = json.loads(done.stdout)
        timing = report["timing"]["models"][0]
        self.images, self.isa = timing["computed"], report["results"][0]["isa"]
        return timing["images_per_second"]


class Timm:
    def __init__(self, model, config, folder, threads, workers):
        self.model = model.to(memory_format=torch.channels_last)
        self.threads = threads
        kept = {k: config[k] for k in ("interpolation", "mean", "std", "crop_pct")}
        self.loader = lambda: create_loader(
            create_dataset("", root=str(folder)), input_size=config["input_size"], batch_size=32, use_prefetcher=False,
            num_workers=workers, device=torch.device("cpu"), **kept)

    def __call__(self):
        torch.set_num_threads(self.threads)
        count, started = 0, time.perf_counter()
        with torch.inference_mode():
            for images, _ in self.loader():
                self.model(images.contiguous(memory_format=torch.channels_last))
                count += len(images)
        return count / (time.perf_counter() - started)


class Ort:
    def __init__(self, model, config, folder, threads, scratch):
        path = str(scratch / "model.onnx")
        torch.onnx.export(model, (torch.randn(1, *config["input_size"]),), path, input_names=["x"], output_names=["y"],
                          dynamo=False, opset_version=17)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.transform = create_transform(**config)
        self.files = sorted(str(p) for p in pathlib.Path(folder).rglob("*") if p.is_file())
        self.pool = ThreadPoolExecutor(threads)

    def one(self, path):
        image = self.transform(Image.open(path).convert("RGB")).numpy()[None]
        return self.session.run(None, {"x": image})[0].argmax()

    def __call__(self):
        torch.set_num_threads(1)
        started = time.perf_counter()
        list(self.pool.map(self.one, self.files))
        return len(self.files) / (time.perf_counter() - started)


def some(folder, count, scratch):
    """The first images of each class in turn, as many as asked for."""
    chosen = scratch / "images"
    classes = [sorted(p for p in c.iterdir() if p.is_file()) for c in sorted(pathlib.Path(folder).iterdir()) if c.is_dir()]
    files = [c[at] for at in range(max(map(len, classes))) for c in classes if at < len(c)][:count]
    for file in files:
        (chosen / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, chosen / file.parent.name / file.name)
    sizes = collections.Counter(Image.open(f).size for f in files)
    print(f"{len(files)} images of {sum(f.stat().st_size for f in files) / len(files) / 1000:.0f} kB, most of {sizes.most_common(1)[0][0]}")
    return chosen


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zoo")
    parser.add_argument("folder")
    parser.add_argument("--models", default="tf_efficientnet_lite0,tf_efficientnet_b0")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp())
    try:
        folder = some(args.folder, args.images, scratch)
        print(f"timm {timm.__version__}, torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, {args.threads} threads")
        for name in args.models.split(","):
            one(args, name, folder, scratch)
    finally:
        shutil.rmtree(scratch)


def one(args, name, folder, scratch):
    torch.manual_seed(0)
    model = timm.create_model(name).eval()
    config = resolve_model_data_config(model)
    zoo = Zoo(args.zoo, name, model, folder, args.threads, scratch)
    ort = Ort(model, config, folder, args.threads, scratch)
    peers = {"zoo": zoo, "pillow+ort": ort}
    for workers in (0, 2):
        peers[f"timm, {workers} workers"] = Timm(model, config, folder, args.threads, workers)
    rates, processes = {peer: [] for peer in peers}, []
    for turn in range(args.turns + 1):
        for peer, run in list(peers.items())[:: -1 if turn % 2 else 1]:
            rate = run()
            # The first turn warms up.
            if turn > 0:
                rates[peer].append(rate)
        processes.append(zoo.process)
    print(f"{name}, {zoo.images} images, isa {zoo.isa}, medians of {args.turns} turns, load {os.getloadavg()[0]:.1f}")
    for peer, all in rates.items():
        print(f"  {peer:16} {statistics.median(all):7.1f} images/s  ({min(all):.1f}-{max(all):.1f})")
    print(f"  zoo's whole process: {statistics.median(processes):.2f} s")
    for peer in rates.keys() - {"zoo"}:
        ratios = sorted(a / b for a, b in zip(rates["zoo"], rates[peer]))
        print(f"  zoo / {peer}: {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
