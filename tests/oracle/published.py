"""Published files whose names, layout or values are not those of timm's model, and what timm makes of them: what `zoo convert
--arch` and loading are held to.

Writes tests/golden/checkpoints/published.tar.gz, files with the names and shapes that were published (their tensors
are one value repeated, a classifier's one a class: twice compressed they are small), and
published.json: for each the digest of the lines `NAME SHAPE SHA-256`, sorted, of the state dict that timm has after it
loaded the file as it loads a download: unwrapped, filtered, without the background class, strictly where timm is. Of
BiT's `.npz` published.json has names and shapes only: element i of every array is i % 5 - 2.

    python tests/oracle/published.py

Needs timm 1.0.31, torch, torchvision and numpy; two minutes, two gigabytes.
"""

import gzip
import hashlib
import io
import json
import math
import pathlib
import re
import tarfile
import tempfile

import numpy as np
import timm
import torch
import torchvision
from timm.models import _builder, densenet, resnetv2, tresnet
from timm.models._helpers import load_state_dict

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "checkpoints"


def small(name, shape, dtype=torch.float32):
    """A tensor of that shape that compresses well: one value, of any sign; of a classifier, one a class."""
    if shape and name.startswith(("fc", "last_linear", "classif")):
        return torch.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)).to(dtype).expand(shape).contiguous()
    value = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2**20 / 2**19 - 1
    return torch.full(shape, value).to(dtype)


def published_tresnet(name):
    """A name of the published file: a convolution and its in-place norm are a sequence."""
    name = re.sub(r"conv(\d)\.conv\.", r"conv\1.0.", name)
    name = re.sub(r"conv(\d)\.bn\.", r"conv\1.1.", name)
    name = re.sub(r"downsample\.(\d)\.conv\.", r"downsample.\1.0.", name)
    return re.sub(r"downsample\.(\d)\.bn\.", r"downsample.\1.1.", name)


def tresnet_file(arch, dtype=torch.float32):
    model = timm.create_model(arch)
    # Where a stride is made by a blur, the layer in front of it is in a sequence with that.
    blurred = {f"{n.rpartition('.')[0]}." for n, m in model.named_modules() if type(m).__name__ == "BlurPool2d"}
    state = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        layer = next((b for b in blurred if name.startswith(b)), None)
        new = published_tresnet(name)
        if layer:
            new = new.replace(layer, layer + "0.", 1)
        state[new] = small(name, tuple(tensor.shape), dtype)
    return state


def widened(arch, classifier):
    """timm's names, and a class in front of the thousand."""
    state = {}
    for name, tensor in timm.create_model(arch).state_dict().items():
        shape = tuple(tensor.shape)
        if name.startswith(classifier + "."):
            shape = (shape[0] + 1, *shape[1:])
        state[name] = tensor if not tensor.is_floating_point() else small(name, shape)
    return state


def torchvisions(model):
    return {n: t if not t.is_floating_point() else small(n, tuple(t.shape)) for n, t in model.state_dict().items()}


def inception_v3_file():
    return torchvisions(torchvision.models.inception_v3(weights=None, init_weights=False))


def densenet_file():
    """Names from before torch 0.4: dots inside of a layer's."""
    state = torchvisions(torchvision.models.densenet121(weights=None))
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", n): t for n, t in state.items()
            if not n.endswith("num_batches_tracked")}


def dla_file():
    """Projections of nested trees, which the published files have and nobody reads."""
    state = torchvisions(timm.create_model("dla60"))
    for level, (i, o) in {"level3": (128, 256), "level4": (256, 512)}.items():
        state[f"{level}.project.0.weight"] = torch.zeros(o, i, 1, 1)
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"{level}.project.1.{leaf}"] = torch.zeros(o)
    return state


def bit_file(path):
    """TensorFlow's names and layout, as resnetv2.py reads them."""
    arrays = {}

    def pattern(shape):
        return (np.arange(math.prod(shape), dtype=np.float32) % 5 - 2).reshape(shape)

    def conv(name, weight):
        o, i, h, w = weight.shape
        arrays[f"resnet/{name}"] = pattern((h, w, i, o))

    def norm(name, module):
        for leaf in ("gamma", "beta"):
            arrays[f"resnet/{name}/group_norm/{leaf}"] = pattern(tuple(module.weight.shape))

    model = timm.create_model("resnetv2_50x1_bit")
    conv("root_block/standardized_conv2d/kernel", model.stem.conv.weight)
    arrays["resnet/group_norm/gamma"] = pattern(tuple(model.norm.weight.shape))
    arrays["resnet/group_norm/beta"] = pattern(tuple(model.norm.bias.shape))
    conv("head/conv2d/kernel", model.head.fc.weight)
    arrays["resnet/head/conv2d/bias"] = pattern(tuple(model.head.fc.bias.shape))
    for s, stage in enumerate(model.stages):
        for b, block in enumerate(stage.blocks):
            at = f"block{s + 1}/unit{b + 1:02d}"
            for n, letter in enumerate("abc", 1):
                conv(f"{at}/{letter}/standardized_conv2d/kernel", getattr(block, f"conv{n}").weight)
                norm(f"{at}/{letter}", getattr(block, f"norm{n}"))
            if block.downsample is not None:
                conv(f"{at}/a/proj/standardized_conv2d/kernel", block.downsample.conv.weight)
    np.savez(path, **arrays)
    return [[name, list(array.shape)] for name, array in arrays.items()]


def lines(state):
    rows = []
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue  # never read; some files have none
        sha = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        rows.append(f"{name} [{','.join(map(str, tensor.shape))}] {sha}\n")
    return hashlib.sha256("".join(sorted(rows)).encode()).hexdigest()


def loaded(arch, path, filter_fn=None, strict=True, offset=0, classifier=None, dtype=torch.float32):
    """timm's model after it has read the file, as `_builder.load_pretrained` does it."""
    model = timm.create_model(arch).to(dtype)
    state = load_state_dict(str(path), weights_only=True)
    if filter_fn is not None:
        state = filter_fn(state, model) if filter_fn is tresnet.checkpoint_filter_fn else filter_fn(state)
    if offset:
        for leaf in ("weight", "bias"):
            state[f"{classifier}.{leaf}"] = state[f"{classifier}.{leaf}"][offset:]
    if not strict:
        known = model.state_dict()
        state = {n: t for n, t in state.items() if n in known}
    model.load_state_dict(state, strict=True)
    return model.state_dict()


def main():
    rows, blobs = [], {}

    def case(name, arch, wrapped, note, options=None, **how):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / name
            torch.save(wrapped, path, **(options or {}))
            digest = lines(loaded(arch, path, **how))
            blobs[name] = gzip.compress(gzip.compress(path.read_bytes(), mtime=0), mtime=0)
        rows.append({"file": name, "arch": arch, "note": note, "digest": digest})
        print(name, len(blobs[name]), flush=True)

    legacy = {"_use_new_zipfile_serialization": False}
    abn = {"filter_fn": tresnet.checkpoint_filter_fn}
    case("tresnet_m.pth", "tresnet_m", {"model": tresnet_file("tresnet_m")}, "magnitudes", legacy, **abn)
    state = widened("inception_v3", "fc")
    case("tf_inception_v3.pth", "inception_v3", state, "background class", legacy, offset=1, classifier="fc")
    case("inception_v3.pth", "inception_v3", inception_v3_file(), "AuxLogits", legacy, strict=False)
    old = {"filter_fn": densenet._filter_torchvision_pretrained}
    case("densenet121.pth", "densenet121", densenet_file(), "names", legacy, **old)
    case("dla60.pth", "dla60", dla_file(), "project", legacy, strict=False)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "BiT-M-R50x1.npz"
        arrays = bit_file(path)
        model = timm.create_model("resnetv2_50x1_bit")
        model.load_pretrained(str(path))
        digest = lines(model.state_dict())
        rows.append({"file": path.name, "arch": "resnetv2_50x1_bit", "note": "names", "digest": digest, "arrays": arrays})

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=9) as tar:
        for name, blob in sorted(blobs.items()):
            info = tarfile.TarInfo(name)
            info.size = len(blob)
            tar.addfile(info, io.BytesIO(blob))
    (OUT / "published.tar.gz").write_bytes(buffer.getvalue())
    golden = {
        "script": "tests/oracle/published.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {"timm": timm.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__,
                     "numpy": np.__version__},
        "files": rows,
    }
    (OUT / "published.json").write_text(json.dumps(golden) + "\n")
    print(len(buffer.getvalue()), "bytes")


main()
