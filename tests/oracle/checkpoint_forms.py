"""Checkpoints in the forms that people have: training files, whole modules, wrappers' names, other tools' pickles.

Writes tests/golden/checkpoints/forms.tar.gz (the files) and forms.json: for each what `zoo convert` is given, and the
SHA-256 of what `safetensors.torch.save_file` makes of the tensors that torch, numpy or the tool itself reads, under
the names it gives them; or the words of the refusal. Needs torch, numpy, safetensors 0.8. Seconds.

    python tests/oracle/checkpoint_forms.py
"""
import collections
import dataclasses
import gzip
import hashlib
import io
import json
import pathlib
import pickle
import struct
import tarfile
import tempfile
import typing
import warnings

import numpy as np
import safetensors
import torch
import torch.jit._pickle
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "checkpoints"


@dataclasses.dataclass
class Form:
    name: str
    # Writes the file (or the folder) at a path.
    write: typing.Callable[[str], None]
    # Name -> tensor or array, as the output has it.
    tensors: dict = None
    # Further arguments of `zoo convert`.
    args: tuple = ()
    # Words of the refusal.
    refused: tuple = ()
    # Words that stderr has beside the output.
    says: tuple = ()
    # What `zoo scan` answers, where it is asked.
    scan: str = "known"


FORMS = []


def form(name, write, tensors=None, args=(), refused=(), says=(), scan="known"):
    FORMS.append(Form(name, write, tensors, tuple(args), tuple(refused), tuple(says), scan))


def torch_file(value, **options):
    return lambda path: torch.save(value, path, **options)


def pickle_file(value, protocol, pickler=pickle.Pickler):
    def write(path):
        with open(path, "wb") as out:
            pickler(out, protocol).dump(value)
    return write


def small(seed=0, prefix="", layers=1):
    """A small state dict: a convolution and a norm's counter, of that many layers."""
    random = torch.Generator().manual_seed(seed)
    out = collections.OrderedDict()
    for i in range(layers):
        out[f"{prefix}conv{i}.weight"] = torch.randn(2, 3, generator=random)
        out[f"{prefix}conv{i}.bias"] = torch.randn(2, generator=random)
        out[f"{prefix}bn{i}.num_batches_tracked"] = torch.tensor(seed + i)
    return out


def optimizer():
    model = nn.Linear(3, 2)
    made = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    made.step()
    return made.state_dict()


def below(prefix, tensors):
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def choices():
    """Which of a file's dicts is the state dict."""
    outer, inner = small(1, layers=2), small(2)
    form("inner-state-dict-in-wrapper.ckpt", torch_file({"state_dict": {**outer, "state_dict": inner}, "epoch": 3}),
         outer, says=["`state_dict.state_dict` (3 tensors)"])
    form("inner-state-dict.pth", torch_file({**outer, "state_dict": inner}), outer, says=["`state_dict` (3 tensors)"])
    form("inner-model.pth", torch_file({**outer, "model": inner}), outer, says=["`model` (3 tensors)"])
    form("inner-as-large.pth", torch_file({**inner, "model": small(3)}), inner, says=["`model` (3 tensors)"])
    larger = {**inner, "model": outer}
    form("inner-larger.pth", torch_file(larger), refused=["`--key .` (3 tensors)", "`--key model` (6 tensors)"])
    form("inner-larger-top.pth", torch_file(larger), inner, ["--key", "."], says=["`model` (6 tensors)"])
    form("inner-larger-model.pth", torch_file(larger), outer, ["--key", "model"])
    form("key-is-final.ckpt", torch_file({"state_dict": {**inner, "state_dict": outer}}), inner, ["--key", "state_dict"])
    form("key-is-final-deeper.ckpt", torch_file({"state_dict": {**inner, "state_dict": outer}}), outer,
         ["--key", "state_dict.state_dict"])

    figures = {"best_acc1": torch.tensor(71.5), "rng_state": torch.arange(16, dtype=torch.uint8),
               "losses": np.arange(2.0)}
    form("figures-beside.pth", torch_file({"state_dict": outer, **figures, "epoch": 3}), outer,
         says=["`rng_state` (1 tensor)"])
    form("figures-as-many.pth", torch_file({"state_dict": inner, **figures}), refused=["--key .", "--key state_dict"])
    form("figures-without-wrapper.pth", torch_file({"encoder": outer, "best": torch.tensor(1.0)}), outer)

    ema = small(4, layers=2)
    form("ema-of-ultralytics.pt", torch_file({"model": outer, "ema": ema, "epoch": 1}), ema,
         says=["averaged weights come first", "--key model"])
    form("ema-of-timm.pth", torch_file({"state_dict": outer, "state_dict_ema": ema}), ema, says=["--key state_dict"])
    form("ema-in-module.pth", torch_file({"model": outer, "ema": {"module": ema, "updates": 7}}), ema)
    form("ema-smaller.pth", torch_file({"state_dict": outer, "state_dict_ema": small(5)}),
         refused=["--key state_dict`", "--key state_dict_ema"])
    # MMEngine exchanges the two when it saves.
    form("mmengine.pth", torch_file({"meta": {"epoch": 1}, "state_dict": outer, "message_hub": {}, "optimizer": optimizer(),
                                     "ema_state_dict": {"steps": torch.tensor(3), **small(4, "module.", 2)}}), outer)
    form("timm-order.pth", torch_file({"model": ema, "state_dict": outer}), outer, says=["`model` (6 tensors)"])
    form("smaller-first.pth", torch_file({"state_dict": inner, "model": outer}),
         refused=["--key state_dict", "--key model"])
    form("smaller-than-a-stranger.pth", torch_file({"model": inner, "backbone": outer}), refused=["--key model", "--key backbone"])
    form("two-of-no-order.pth", torch_file({"net": outer, "params": ema}), refused=["--key net", "--key params"])

    form("only-an-optimizer.pth", torch_file({"optimizer": optimizer(), "epoch": 1}), refused=["no state dict", "--key optimizer"])
    state = optimizer()
    form("optimizer-by-key.pth", torch_file({"model": inner, "optimizer": state}), state["state"][0],
         ["--key", "optimizer.state.0"])
    form("scaler-and-scheduler.pth", torch_file({"net": inner, "scaler": {"scale": torch.ones(9), "a.weight": torch.ones(1)},
                                                 "lr_schedulers": [{"b.weight": torch.ones(2)}]}), inner,
         says=["`scaler` (2 tensors)", "`lr_schedulers` (1 tensor)"])


def containers():
    """Lists, tuples, whole-number keys, dicts in dicts."""
    one, two = small(1), small(2, layers=2)
    for name, value in [("list", [one, two]), ("tuple", (one, two)), ("numbers", {0: one, 1: two})]:
        form(f"root-{name}.pth", torch_file(value), refused=["--key 0", "--key 1"])
        form(f"root-{name}-by-place.pth", torch_file(value), two, ["--key", "1"])
        form(f"root-{name}-all.pth", torch_file(value), {**below("0", one), **below("1", two)}, ["--key", "."])
    form("root-tuple-of-one.pth", torch_file((one, {"epoch": 3})), one, says=["3 tensors taken from `0`"])
    form("list-by-path.pth", torch_file({"folds": [one, {"net": two}]}), two, ["--key", "folds.1.net"])
    form("key-that-is-not-there.pth", torch_file({"folds": [one]}), args=["--key", "folds.2"],
         refused=["no `folds.2`", "`folds.0` (3 tensors)"])
    tensors = [torch.randn(3), torch.randn(4)]
    form("root-list-of-tensors.pth", torch_file(tensors), refused=["list of 2 tensors", "--key ."])
    form("root-list-of-tensors-all.pth", torch_file(tensors), {"0": tensors[0], "1": tensors[1]}, ["--key", "."])
    form("tensor-by-key.pth", torch_file({"model": one}), {"conv0.bias": one["conv0.bias"]}, ["--key", "model.conv0.bias"])
    form("lists-as-values.pth", torch_file({**one, "parts": tensors, "pair": tuple(tensors), "deeper": {"a": [tensors]}}), one,
         says=["`parts` (2 tensors)", "`pair` (2 tensors)", "`deeper` (2 tensors)"])
    form("dicts-in-dicts.pth", torch_file({"encoder": {"layer1": one, "layer2": two}}),
         refused=["--key encoder.layer1` (3 tensors)", "--key encoder.layer2` (6 tensors)"])
    form("dicts-in-dicts-all.pth", torch_file({"encoder": {"layer1": one, "layer2": two}}),
         {**below("layer1", one), **below("layer2", two)}, ["--key", "encoder"])
    form("flax-params.pkl", pickle_file({"params": {"Dense_0": {"kernel": np.ones((2, 3), "f4")},
                                                    "Dense_1": {"kernel": np.ones(4, "f4")}}}, 4),
         {"Dense_0.kernel": np.ones((2, 3), "f4"), "Dense_1.kernel": np.ones(4, "f4")}, ["--key", "params"])
    form("strange-keys.pth", torch_file({**one, None: torch.ones(2), ("a", 1): torch.ones(3)}), one,
         says=["`None` (1 tensor)"])
    form("nothing.pth", torch_file({"epoch": 3, "model": {}}), refused=["no tensors"])
    form("metadata-as-name.pth", torch_file({"__metadata__": torch.ones(2), **one}), refused=["__metadata__", "--rename"])
    quantised = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 3)), dtype=torch.qint8)
    form("quantised-dynamic.pth", torch_file(quantised.state_dict()), refused=["quantised", "_packed_params"])
    form("complex128-left-out.pth", torch_file({**one, "z": torch.ones(2, dtype=torch.complex128)}), one, ["--allow-opaque"],
         says=["`z` (complex128)"])


class Net(nn.Module):
    """A class that only this script has."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.register_buffer("kept", torch.arange(3.0))
        self.register_buffer("passing", torch.arange(4.0), persistent=False)
        self.register_buffer("none", None)
        self.scale = nn.Parameter(torch.randn(2))
        self.plain = torch.randn(5)


class Stateful(nn.Module):
    """Pickles its tensors in a way of its own."""
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2))

    def __getstate__(self):
        return ("mine", self.weight.detach())

    def __setstate__(self, state):
        super().__init__()
        self.weight = nn.Parameter(state[1])


def modules():
    """`torch.save(model)`."""
    network = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.BatchNorm2d(2), nn.ReLU(), nn.Linear(2, 2))
    # With protocol 0 torch writes what it does not read.
    for protocol in range(1, 6):
        for kind, zipped in [("zip", True), ("legacy", False)]:
            options = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": zipped}
            # Nor does its zip reader take protocol 1.
            if zipped and protocol < 2:
                continue
            form(f"module-protocol{protocol}-{kind}.pth", torch_file(network, **options), network.state_dict())
    more = {
        "lstm": nn.LSTM(3, 2, num_layers=2, bidirectional=True),
        "attention": nn.MultiheadAttention(4, 2),
        "transformer": nn.TransformerEncoderLayer(4, 2, 8),
        "parameter-list": nn.ParameterList([nn.Parameter(torch.randn(i + 1)) for i in range(3)]),
        "parameter-dict": nn.ParameterDict({"a": nn.Parameter(torch.randn(2)), "b": nn.Parameter(torch.randn(1))}),
        "module-dict": nn.ModuleDict({"a": nn.Linear(2, 1), "b": nn.Embedding(3, 2)}),
        "none-inside": nn.Sequential(nn.BatchNorm1d(3, affine=False), nn.InstanceNorm1d(2)),
    }
    for name, module in more.items():
        form(f"module-{name}.pth", torch_file(module), module.state_dict())
    parallel = nn.DataParallel(nn.Linear(2, 3))
    form("module-data-parallel.pth", torch_file(parallel), parallel.module.state_dict(), says=["`module.` cut"])
    shared = nn.Linear(2, 2)
    twice = nn.Sequential(shared, nn.ReLU(), shared)
    form("module-shared.pth", torch_file(twice), twice.state_dict())
    tied = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4, bias=False))
    tied[1].weight = tied[0].weight
    form("module-tied.pth", torch_file(tied), tied.state_dict())
    transient = nn.Linear(2, 2)
    transient.register_buffer("passing", torch.ones(3), persistent=False)
    transient.extra = torch.ones(4)
    form("module-transient.pth", torch_file(transient), transient.state_dict(),
         says=["`passing` (1 tensor)", "`extra` (1 tensor)"])
    for name, norm in [("weight", nn.utils.weight_norm), ("spectral", nn.utils.spectral_norm)]:
        normed = norm(nn.Linear(3, 2))
        form(f"module-{name}-norm.pth", torch_file(normed), normed.state_dict())
    half = nn.Linear(2, 2).half()
    form("module-in-training-file.pt", torch_file({"epoch": 3, "model": nn.Linear(2, 2), "ema": half, "optimizer": None}),
         half.state_dict(), says=["averaged weights come first"])
    form("module-by-key.pth", torch_file(network), network[1].state_dict(), ["--key", "1"])
    own = Net()
    form("module-of-unknown-class.pth", torch_file(own), refused=["__main__.Net", "--allow-opaque"], scan="unknown")
    form("module-of-unknown-class-allowed.pth", torch_file(own), own.state_dict(), ["--allow-opaque"],
         says=["`passing` (1 tensor)", "`plain` (1 tensor)"], scan="unknown")
    custom = nn.Sequential(Stateful(), nn.Linear(2, 2))
    form("module-with-own-state.pth", torch_file(custom), {"1.weight": custom[1].weight, "1.bias": custom[1].bias},
         ["--allow-opaque"], says=["`0` (a __main__.Stateful that keeps 1 tensor in its own way)"], scan="unknown")


def wrappers():
    """What `torch.compile`, data parallelism and averaging put before names."""
    plain = small(1, layers=2)
    for name, prefix in [("compiled", "_orig_mod."), ("parallel", "module."), ("compiled-parallel", "_orig_mod.module."),
                         ("parallel-compiled", "module._orig_mod.")]:
        form(f"prefix-{name}.pth", torch_file(below(prefix[:-1], plain)), plain, says=[f"`{prefix}` cut"])
    partly = {"backbone._orig_mod.a.weight": torch.ones(2), "head.weight": torch.zeros(3)}
    form("prefix-compiled-part.pth", torch_file(partly),
         {"backbone.a.weight": torch.ones(2), "head.weight": torch.zeros(3)}, says=["`_orig_mod.` cut"])
    both = {"a._orig_mod.weight": torch.ones(2), "a.weight": torch.zeros(2)}
    form("prefix-compiled-twice.pth", torch_file(both), both)
    averaged = torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2)).state_dict()
    form("prefix-averaged.pth", torch_file(averaged), {k.removeprefix("module."): v for k, v in averaged.items()})
    mixed = {"module.a.weight": torch.ones(2), "head.weight": torch.ones(3)}
    form("prefix-not-of-all.pth", torch_file(mixed), mixed)


class Python2(pickle._Pickler):
    """Text and bytes as Python 2's pickler wrote its `str`."""
    dispatch = dict(pickle._Pickler.dispatch)

    def save_str(self, value):
        self.raw(value.encode("latin1"), value)
    dispatch[str] = save_str

    def save_bytes(self, value):
        self.raw(value, value)
    dispatch[bytes] = save_bytes

    def raw(self, data, value):
        if self.bin:
            head = b"U" + bytes([len(data)]) if len(data) < 256 else b"T" + struct.pack("<i", len(data))
            self.write(head + data)
        else:
            self.write(b"S" + repr(data)[1:].encode() + b"\n")
        self.memoize(value)


class Tagged:
    """A value as libtorch's `pickle_save` tags it with its type."""
    def __init__(self, value, kind):
        self.value, self.kind = value, kind

    def __reduce__(self):
        return torch.jit._pickle.restore_type_tag, (self.value, self.kind)


class Pair:
    """A tensor as Paddle pickles it: a tuple of its own name and its values, made by a call."""
    def __init__(self, name, values):
        self.name, self.values = name, values

    def __reduce__(self):
        return tuple, ((self.name, self.values),)


def tools():
    """Pickles of other tools."""
    plain = small(1, layers=2)
    for protocol in range(6):
        # Its storages go through torch.storage._load_from_bytes.
        form(f"pickle-dump-protocol{protocol}.pkl", pickle_file(plain, protocol), plain)
    arrays = {"conv1_w": np.random.rand(2, 3).astype("f4"), "conv1_b": np.arange(2, dtype="f4"), "order": np.array(3)}
    for protocol in range(3):
        form(f"python2-caffe2-protocol{protocol}.pkl", pickle_file({"blobs": arrays}, protocol, Python2), arrays)
        form(f"python2-detectron2-protocol{protocol}.pkl",
             pickle_file({"model": arrays, "__author__": "Caffe2", "matching_heuristics": True}, protocol, Python2), arrays)
    form("detectron2.pkl", pickle_file({"model": arrays, "__author__": "third_party"}, 4), arrays)
    form("paddle-old.pdparams", pickle_file({**arrays, "StructuredToParameterName@@": {"conv1_w": "w_0"}}, 2), arrays)
    pairs = {name: Pair(f"p_{name}", value) for name, value in arrays.items()}
    form("paddle-new.pdparams", pickle_file({**pairs, "StructuredToParameterName@@": {"conv1_w": "w_0"}}, 4), arrays)
    split = {"UnpackBigParamInfor@@": {"a": {"OriginShape": [4], "slices": ["a@@.0", "a@@.1"]}},
             "a@@.0": np.zeros(2, "f4"), "a@@.1": np.ones(2, "f4")}
    form("paddle-split.pdparams", pickle_file(split, 2), refused=["a@@.0", "Paddle"])
    form("libtorch-pickle-save.pt", torch_file(Tagged({k: v for k, v in plain.items()}, "Dict[str, Tensor]")), plain)
    form("libtorch-list.pt", torch_file({"state_dict": Tagged(dict(plain), "Dict[str, Tensor]"),
                                         "lr": Tagged([0.1], "List[float]")}), plain)
    class Library(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)
            self.register_buffer("steps", torch.tensor(3))

        def forward(self, x):
            return self.fc(x)
    scripted = torch.jit.script(Library())
    form("libtorch-module.pt", lambda path: torch.jit.save(scripted, path), scripted.state_dict())
    form("libtorch-submodule.pt", lambda path: torch.jit.save(scripted, path), scripted.fc.state_dict(), ["--key", "fc"])
    frozen = torch.jit.freeze(torch.jit.script(nn.Sequential(nn.Linear(3, 2), nn.ReLU()).eval()))
    form("frozen.pt", lambda path: torch.jit.save(frozen, path), refused=["frozen", "--key constants"])
    constants = {f"c{i}": c for i, c in enumerate(constants_of(frozen))}
    form("frozen-constants.pt", lambda path: torch.jit.save(frozen, path), constants, ["--key", "constants"])
    lightning = {"state_dict": below("model", plain), "pytorch-lightning_version": "2.4.0", "callbacks": {"EarlyStopping": {
        "best_score": torch.tensor(1.0)}}, "optimizer_states": [optimizer()], "loops": {}, "hparams_name": "kwargs"}
    form("lightning.ckpt", torch_file(lightning), below("model", plain), says=["`optimizer_states` ("])
    deepspeed = {"module": plain, "buffer_names": ["bn0.num_batches_tracked"], "optimizer": None, "ds_version": "0.14",
                 "param_shapes": [{k: v.shape for k, v in plain.items()}]}
    form("deepspeed.pt", torch_file(deepspeed), plain)
    # ZeRO-3: `module` has placeholders of no elements, as `partition_parameters.py` leaves them, and buffers.
    placeholders = {k: v if v.dtype == torch.int64 else torch.empty(0) for k, v in plain.items()}
    form("deepspeed-zero3-model-states.pt", torch_file({**deepspeed, "module": placeholders}),
         refused=["DeepSpeed ZeRO-3", "placeholders", "zero_to_fp32.py"])
    form("deepspeed-zero3-by-key.pt", torch_file({**deepspeed, "module": placeholders}), placeholders, ["--key", "module"])
    states = {"optimizer_state_dict": {"zero_stage": 3, "partition_count": 2, "loss_scaler": None, "overflow": False,
        "fp32_flat_groups": [torch.ones(8)], "optimizer_state_dict": {"state": {}, "param_groups": []}},
        "ds_config": {}, "ds_version": "0.14"}
    form("deepspeed-zero3-optim-states.pt", torch_file(states), refused=["optimizer's part of a DeepSpeed ZeRO", "zero_to_fp32.py"])
    stage2 = {"optimizer_state_dict": {"zero_stage": 2, "single_partition_of_fp32_groups": [torch.ones(8)],
        "base_optimizer_state": [], "partition_count": [1]}, "param_shapes": [], "ds_version": "0.14"}
    form("deepspeed-zero2-optim-states.pt", torch_file(stage2), refused=["optimizer's part of a DeepSpeed ZeRO", "zero_to_fp32.py"])


def constants_of(module):
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/x.pt"
        torch.jit.save(module, path)
        reader = torch._C.PyTorchFileReader(path)
        class Unpickler(pickle.Unpickler):
            def find_class(self, module, name):
                if name.endswith("Storage"):
                    return name
                return super().find_class(module, name)

            def persistent_load(self, pid):
                _, kind, key, _, count = pid
                dtype = getattr(torch, kind).dtype if isinstance(kind, str) else kind.dtype
                raw = reader.get_record(f"constants/{key}")
                return torch.storage.TypedStorage(
                    wrap_storage=torch.frombuffer(bytearray(raw), dtype=torch.uint8).untyped_storage(), dtype=dtype,
                    _internal=True)
        return list(Unpickler(io.BytesIO(reader.get_record("constants.pkl"))).load())


def folders():
    """Arrays of numpy, and files that belong together."""
    arrays = {"W": np.ones(2, "f4"), "w": np.zeros(3, "f4"), "B": np.ones(1), "b": np.arange(2)}
    form("case-names.npz", lambda path: np.savez(path, **arrays), arrays)
    strings = {"weight": np.ones(3, "f4"), "names": np.array(["a", "bc"]), "raw": np.array([b"x", b"yz"])}
    form("strings.npz", lambda path: np.savez(path, **strings), {"weight": strings["weight"]},
         says=["`names`", "`raw`"])
    dates = {"weight": np.ones(3, "f4"), "when": np.array(["2020-01-01"], "M8[D]")}
    form("dates.npz", lambda path: np.savez(path, **dates), refused=["M8"])


    first, second = small(1), small(2, "head.")
    files = {"pytorch_model-00001-of-00002.bin": first, "pytorch_model-00002-of-00002.bin": second}
    def shards(path, change=lambda index, folder: None):
        folder = pathlib.Path(path)
        folder.mkdir()
        for name, tensors in files.items():
            torch.save(tensors, folder / name)
        index = {"metadata": {"total_size": 1}, "weight_map": {k: n for n, sd in files.items() for k in sd}}
        change(index, folder)
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2))
    form("shards", shards, {**first, **second})
    def missing(index, folder):
        (folder / "pytorch_model-00002-of-00002.bin").unlink()
    form("shards-missing", lambda path: shards(path, missing), refused=["pytorch_model-00002-of-00002.bin", "not beside it"])
    def extra(index, folder):
        index["weight_map"]["gone.weight"] = "pytorch_model-00001-of-00002.bin"
    form("shards-incomplete", lambda path: shards(path, extra), refused=["gone.weight"])
    def unlisted(index, folder):
        del index["weight_map"]["conv0.bias"]
    form("shards-unlisted", lambda path: shards(path, unlisted), refused=["conv0.bias"])
    def distributed(path):
        folder = pathlib.Path(path)
        folder.mkdir()
        (folder / ".metadata").write_bytes(pickle.dumps({"state_dict_metadata": {}}))
        torch.save(torch.ones(2), folder / "__0_0.distcp")
    form("distributed", distributed, refused=["torch.distributed.checkpoint", "dcp_to_torch"])


def dense(value):
    if isinstance(value, (np.ndarray, np.generic)):
        value = torch.from_numpy(np.array(value, order="C"))
    return value.detach().clone(memory_format=torch.contiguous_format)


def saved(tensors):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "out.safetensors"
        save_file({k: dense(v) for k, v in tensors.items()}, str(path), metadata={"format": "pt"})
        return hashlib.sha256(path.read_bytes()).hexdigest()


def main():
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    np.random.seed(0)
    torch.set_num_threads(1)
    for group in [choices, containers, modules, wrappers, tools, folders]:
        group()
    assert len({f.name for f in FORMS}) == len(FORMS)
    rows, packed = [], io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=packed, mode="w") as tar:
        for f in FORMS:
            path = pathlib.Path(folder) / f.name
            try:
                f.write(str(path))
            except Exception as e:
                raise SystemExit(f"{f.name}: {e!r}")
            row = {"file": f.name, "args": list(f.args), "says": list(f.says), "scan": f.scan}
            if f.refused:
                row["refused"] = list(f.refused)
            else:
                row |= {"tensors": len(f.tensors), "sha256": saved(f.tensors)}
            rows.append(row)
            for member in sorted(path.rglob("*")) if path.is_dir() else [path]:
                info = tarfile.TarInfo(str(member.relative_to(folder)))
                data = member.read_bytes()
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    (OUT / "forms.tar.gz").write_bytes(gzip.compress(packed.getvalue(), 9, mtime=0))
    golden = {
        "script": "tests/oracle/checkpoint_forms.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "safetensors": safetensors.__version__},
        "files": rows,
    }
    (OUT / "forms.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(len(rows), "files,", sum("refused" in r for r in rows), "refused,",
          (OUT / "forms.tar.gz").stat().st_size, "bytes packed")


main()
