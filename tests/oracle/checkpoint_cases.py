"""The checkpoints of checkpoints.py: what is written, and how. Every case is a `Case`; `cases()` lists them.

A file is written by torch or numpy, or where no torch of today writes that form any more, by code here that
today's torch then reads back: what it reads is the reference, never what was meant to be written.
"""
import argparse
import collections
import dataclasses
import io
import pickle
import struct
import tarfile
import types
import typing
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn


@dataclasses.dataclass
class Case:
    name: str
    write: typing.Callable[[str], None]
    # Where in the loaded object the state dict is, and what is cut off its names.
    key: tuple = ()
    strip: str = ""
    # The word by which zoo refuses it.
    refused: str = ""
    # Given to zoo as --key.
    choose: str = ""


FLOATS = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
          "float8_e5m2fnuz", "float8_e8m0fnu"]
WHOLE = ["int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64"]
TYPES = FLOATS + WHOLE + ["bool", "complex64", "float4_e2m1fn_x2"]
WRAPPERS = ["state_dict_ema", "model_ema", "ema_state_dict", "params_ema", "state_dict", "model_state_dict",
            "model_state", "model", "module", "net", "network", "weights", "params"]


def noise(name, *shape):
    """Elements of random bits, so that nothing but a copy gives them back."""
    kind = getattr(torch, name)
    if kind is torch.bool:
        return torch.randint(0, 2, shape).bool()
    raw = torch.randint(0, 256, (max(1, int(np.prod(shape))) * kind.itemsize,), dtype=torch.uint8)
    flat = raw.view(kind)
    return flat[:int(np.prod(shape))].view(shape)


def both(name, value, **more):
    """A case for each of torch's two formats."""
    options = more.pop("options", {})
    for kind, zipped in [("legacy", False), ("zip", True)]:
        def write(path, zipped=zipped):
            made = value() if callable(value) else value
            torch.save(made, path, _use_new_zipfile_serialization=zipped, **options)
        yield Case(f"{name}-{kind}.pth", write, **more)


def types_():
    for name in TYPES:
        def value(name=name):
            whole = noise(name, 5, 6)
            tensors = {"whole": whole, "scalar": noise(name), "none": noise(name, 0, 3), "row": whole[2],
                       "columns": noise(name, 8, 4)[::2, 1:3], "turned": whole.t()}
            if name == "float4_e2m1fn_x2":
                # A scalar of two values has no form in safetensors; torch copies no strided ones.
                tensors = {"whole": whole, "none": noise(name, 0, 3), "row": whole[2]}
            return tensors
        # Types without a storage class of their own: torch does not read its own legacy files of them.
        newer = "float8" in name or "float4" in name or name in ("uint16", "uint32", "uint64")
        yield from list(both(f"type-{name}", value))[1 if newer else 0:]


def small(prefix=""):
    return {f"{prefix}a.weight": torch.randn(4, 3), f"{prefix}a.bias": torch.randn(4),
            f"{prefix}steps": torch.tensor(7)}


def protocols():
    for protocol in range(1, 6):
        options = {"pickle_protocol": protocol}
        yield from both(f"protocol{protocol}", small, options=options)
        yield from both(f"protocol{protocol}-ordered", lambda: nn.BatchNorm1d(3).state_dict(), options=options)
        yield from both(f"protocol{protocol}-training", lambda: {
            "model": small(), "epoch": 300, "seen": 10**6, "lr": 0.1, "note": "é\u4e2d", "flags": [True, None],
            "raw": b"\x00\xff", "big": [2**31, -2**31, 2**63, 2**70, -2**2100], "t": (1, 2, 3, 4), "s": {1, 2},
            "f": frozenset([3]), "long": "x" * 300}, options=options, key=("model",))


class Plain:
    """A pickle module whose pickler writes nothing to the memo."""
    class Pickler(pickle._Pickler):
        def __init__(self, *args, **named):
            super().__init__(*args, **named)
            self.fast = True

    @staticmethod
    def dump(value, file, protocol=None):
        pickle._dump(value, file, protocol)


class Python2:
    """Text as Python 2 pickled its `str`: BINSTRING and SHORT_BINSTRING."""
    class Pickler(pickle._Pickler):
        dispatch = dict(pickle._Pickler.dispatch)

        def save_str(self, value):
            raw = value.encode("latin1")
            head = b"U" + bytes([len(raw)]) if len(raw) < 256 else b"T" + struct.pack("<i", len(raw))
            self.write(head + raw)
            self.memoize(value)
        dispatch[str] = save_str

    @staticmethod
    def dump(value, file, protocol=None):
        Python2.Pickler(file, protocol).dump(value)


def module_of(reduce):
    """A pickle module that writes tensors by `reduce`."""
    class Pickler(pickle.Pickler):
        def reducer_override(self, value):
            return reduce(value) if isinstance(value, torch.Tensor) else NotImplemented

    return types.SimpleNamespace(__name__="pickle", Pickler=Pickler, dump=pickle.dump)


def windowed():
    """Storages that are windows of others, as torch 0.x named them in a sixth field."""
    class Pickler(pickle._Pickler):
        def __setattr__(self, name, value):
            if name == "persistent_id":
                def named(thing, inner=value):
                    found = inner(thing)
                    if found is None:
                        return None
                    *head, count, _ = found
                    # The window's own key, its first element and its length.
                    return (*head, count, (found[2] + "0", 2, count - 2))
                value = named
            object.__setattr__(self, name, value)

    return types.SimpleNamespace(__name__="pickle", Pickler=Pickler, dump=pickle._dump)


def picklers():
    yield from both("pickler-without-memo", small, options={"pickle_module": Plain})
    yield from both("pickler-of-python2", lambda: {**small(), "n" * 300: torch.randn(2)},
                    options={"pickle_module": Python2})
    first = module_of(lambda t: (torch._utils._rebuild_tensor,
                                 (t.storage(), t.storage_offset(), t.size(), t.stride())))
    yield from both("rebuild-v1", small, options={"pickle_module": first})
    def old(t):
        state = (t.storage(), t.storage_offset(), tuple(t.size()), t.stride())
        return (torch.FloatTensor if t.dtype == torch.float32 else torch.LongTensor), (), state
    yield from both("rebuild-class", small, options={"pickle_module": module_of(old)})
    third = module_of(lambda t: (torch._utils._rebuild_tensor_v3, (
        t.untyped_storage(), t.storage_offset(), tuple(t.size()), t.stride(), False, collections.OrderedDict(),
        t.dtype)))
    yield from list(both("rebuild-v3", small, options={"pickle_module": third}))[1:]
    kind = module_of(lambda t: (torch._tensor._rebuild_from_type_v2, (
        torch._utils._rebuild_tensor_v2,
        torch.Tensor, (t.storage(), t.storage_offset(), tuple(t.size()), t.stride(), False,
                       collections.OrderedDict()), {"note": 1})))
    yield from both("rebuild-from-type", small, options={"pickle_module": kind})
    cpu = module_of(lambda t: (torch._utils._rebuild_device_tensor_from_numpy,
                               (t.numpy(), t.dtype, "cpu", False)))
    yield from both("rebuild-from-numpy", small, options={"pickle_module": cpu})
    yield list(both("storage-window", lambda: {"a": torch.arange(6.0)[:4], "b": torch.arange(9)[:5]},
                    options={"pickle_module": windowed()}))[0]


def attributed():
    tensor = torch.randn(3)
    tensor.note = "kept with the tensor"
    parameter = nn.Parameter(torch.randn(2, 2))
    parameter.group = 3
    return {"tensor": tensor, "parameter": parameter, "plain": nn.Parameter(torch.randn(4), requires_grad=False),
            "buffer": nn.Buffer(torch.randn(2))}


def tied():
    embedding = nn.Embedding(7, 5)
    head = nn.Linear(5, 7, bias=False)
    head.weight = embedding.weight
    return {**{f"embed.{k}": v for k, v in embedding.state_dict().items()},
            **{f"head.{k}": v for k, v in head.state_dict().items()}}


def views():
    base = torch.arange(120.0).reshape(4, 5, 6)
    big = torch.randn(2000)
    return {"base": base, "all": base, "permuted": base.permute(2, 0, 1), "narrow": base.narrow(1, 2, 2),
            "steps": base[::2, ::2, ::3], "expanded": torch.randn(1, 3).expand(4, 3), "last": base[3, 4, 5],
            "window": big[100:110], "strided": big.as_strided((3, 4), (7, 2), 11), "empty": base[2:2],
            "diagonal": torch.diagonal(base), "unfold": big[:20].unfold(0, 4, 2), "chunk": big.chunk(3)[1]}


def memory_formats():
    return {"last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
            "last3d": torch.randn(2, 3, 2, 4, 5).to(memory_format=torch.channels_last_3d),
            "ones": torch.randn(1, 3, 1, 1).to(memory_format=torch.channels_last),
            "odd": torch.randn(9).as_strided((1, 3, 1), (77, 1, 99))}


def complexes():
    z = torch.randn(3, 4, dtype=torch.complex64)
    return {"z": z, "conj": z.conj(), "turned": z.t().conj(), "real": torch.randn(2)}


def negated():
    # torch saves a storage as one type only: the parts of a complex tensor without the tensor.
    z = torch.randn(3, 4, dtype=torch.complex64)
    return {"real": z.real, "imag": z.imag, "negated": z.conj().imag, "both": torch.view_as_real(z)}


def names():
    texts = ["", " ", "é", "日本語.重み", "😀", "a\nb", "a\tb", "\"quoted\"", "back\\slash", "\x00", "\x1b[31m",
             "\u202e", "a" * 2000, "ﬀ", "Z", "z", "\U0010ffff", "\uffff", "a.b", "a-b", "a/b", "__metadata_"]
    return {text: torch.full((2,), float(i)) for i, text in enumerate(texts)}


def training(key):
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return {"epoch": 12, "arch": "resnet50", "best_acc1": torch.tensor(76.1), key: network.state_dict(),
            "optimizer": optimizer.state_dict(), "args": argparse.Namespace(lr=0.1, data="/imagenet"),
            "best": np.float64(0.5), "losses": np.arange(3.0), "size": torch.Size([1, 2]), "type": torch.float16,
            "device": torch.device("cpu"), "counter": collections.Counter("aab"),
            "default": collections.defaultdict(list, a=[1])}


def structures():
    yield from both("module", lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LSTM(4, 3)).state_dict())
    yield from both("fifty-kilobytes", lambda: {"weight": torch.randn(100, 120), "bias": torch.randn(100)})
    yield from both("empty", dict)
    yield from both("empty-ordered", collections.OrderedDict)
    yield from both("attributes", attributed)
    yield from both("tied", tied)
    yield from both("views", views)
    yield from both("memory-formats", memory_formats)
    yield from both("complex", complexes)
    yield from both("negated", negated)
    yield from both("names", names)
    yield from both("many", lambda: {f"layer.{i}.weight": torch.full((1,), float(i)) for i in range(1500)})
    yield from both("dimensions", lambda: {"deep": torch.randn([1] * 30 + [2, 3]), "none": torch.zeros(3, 0, 2**40, 5)})
    yield from both("grad", lambda: {"a": torch.randn(3, requires_grad=True), "b": torch.randn(2).requires_grad_()})
    yield from both("numpy-inside", lambda: {"a": np.arange(6.0).reshape(2, 3), "f": np.asfortranarray(np.eye(3)),
                                             "big": np.arange(4, dtype=">i4"), "t": torch.randn(2), "s": np.float32(1)})
    yield from both("other-values", lambda: {**small(), "version": 3, "none": None, "huge": 2**4000, "list": [1, [2, [3]]]})
    for key in WRAPPERS:
        yield from both(f"wrapper-{key}", lambda key=key: training(key), key=(key,))
    yield from both("wrapper-module-prefix", lambda: {"state_dict": small("module."), "epoch": 1},
                    key=("state_dict",), strip="module.")
    yield from both("module-prefix", lambda: small("module."), strip="module.")
    yield from both("wrapper-twice", lambda: {"model": {"state_dict": small(), "epoch": 2}}, key=("model", "state_dict"))
    yield from both("wrapper-ema-first", lambda: {"state_dict": small(), "state_dict_ema": small()}, key=("state_dict_ema",))
    yield from both("chosen", lambda: {"generator": small(), "critic": small()}, key=("critic",), choose="critic")
    yield from both("chosen-deep", lambda: {"a.b": {"c": small()}, "x": small()}, key=("a.b", "c"), choose="a.b.c")


def rezipped(name, change, **more):
    """torch's archive, written again member by member."""
    def write(path):
        made = io.BytesIO()
        torch.save({**small(), "w": torch.randn(40, 50)}, made)
        with zipfile.ZipFile(made) as old, open(path, "wb") as out:
            change([(i.filename, old.read(i)) for i in old.infolist()], out)
    return Case(name, write, **more)


def plain_zip(members, out, method=zipfile.ZIP_STORED, zip64=False, streamed=False):
    class Unseekable:
        def __init__(self, inner):
            self.write, self.flush = inner.write, inner.flush

    with zipfile.ZipFile(Unseekable(out) if streamed else out, "w", method) as new:
        for name, data in members:
            with new.open(zipfile.ZipInfo(name), "w", force_zip64=zip64) as member:
                member.write(data)


def big_endian(members, out):
    """Storages turned round, and said so in `byteorder`."""
    turned = []
    for name, data in members:
        if name.endswith("/byteorder"):
            data = b"big"
        if "/data/" in name:
            # `steps` is the one storage of a single int64.
            word = 8 if len(data) == 8 else 4
            data = np.frombuffer(data, f"<u{word}").astype(f">u{word}").tobytes()
        turned.append((name, data))
    plain_zip(turned, out)


def archives():
    yield rezipped("zip-rewritten.pth", plain_zip)
    def deflated(members, out):
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            for name, data in members:
                new.writestr(name, data)
    yield rezipped("zip-deflated.pth", deflated)
    yield rezipped("zip64.pth", lambda m, out: plain_zip(m, out, zip64=True))
    yield rezipped("zip-descriptors.pth", lambda m, out: plain_zip(m, out, streamed=True))
    yield rezipped("zip64-descriptors.pth", lambda m, out: plain_zip(m, out, zip64=True, streamed=True))
    renamed = lambda m: [("weights_of_june" + n[n.index("/"):], d) for n, d in m]
    yield rezipped("zip-other-prefix.pth", lambda m, out: plain_zip(renamed(m), out))
    bare = lambda m: [(n, d) for n, d in m if "/data" in n or n.endswith("/version")]
    yield rezipped("zip-without-byteorder.pth", lambda m, out: plain_zip(bare(m), out))
    yield rezipped("zip-reversed.pth", lambda m, out: plain_zip(m[:1] + m[:0:-1], out))
    yield rezipped("zip-big-endian.pth", big_endian)
    def without_crcs(path):
        torch.serialization.set_crc32_options(False)
        try:
            torch.save(small(), path)
        finally:
            torch.serialization.set_crc32_options(True)
    yield Case("zip-without-crcs.pth", without_crcs)
    def aligned(path):
        from torch.utils.serialization import config
        before, config.save.storage_alignment = config.save.storage_alignment, 4096
        try:
            torch.save(small(), path)
        finally:
            config.save.storage_alignment = before
    yield Case("zip-aligned-4096.pth", aligned)


def tar_form(path, protocol, tensors, twist):
    """torch 0.1's form of 2016, from the code that reads it: torch.serialization._legacy_load.legacy_load."""
    storages, rows = [], []
    for index, tensor in enumerate(tensors.values()):
        storages.append((1000 + index, tensor.storage()))
        rows.append((index, 1000 + index, type(torch.empty(0, dtype=tensor.dtype)).__name__, tensor))
    names = {torch.float32: "Float", torch.int64: "Long", torch.uint8: "Byte", torch.float64: "Double",
             torch.int32: "Int", torch.int16: "Short", torch.int8: "Char", torch.float16: "Half"}
    with tarfile.open(path, "w") as tar:
        def member(name, data):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        out = io.BytesIO()
        pickle.dump(len(storages), out, protocol)
        for key, storage in storages:
            pickle.dump((key, "cpu", getattr(torch, names[storage.dtype] + "Storage")), out, protocol)
            out.write(struct.pack("<q", storage.size()) + bytes(storage.untyped()))
        pickle.dump([(2000, 1000, 1, 2)] if twist else [], out, protocol)
        member("storages", out.getvalue())
        out = io.BytesIO()
        pickle.dump(len(rows), out, protocol)
        for key, storage, _, tensor in rows:
            kind = getattr(torch, names[tensor.dtype] + "Tensor")
            pickle.dump((key, 2000 if twist and key == 0 else storage, kind), out, protocol)
            shape, strides, offset = tuple(tensor.shape), tensor.stride(), tensor.storage_offset()
            if twist and key == 0:
                shape, strides, offset = (2,), (1,), 0
            out.write(struct.pack("<i", len(shape)) + bytes(4))
            out.write(struct.pack(f"<{2 * len(shape)}q", *shape, *strides) + struct.pack("<q", offset))
        member("tensors", out.getvalue())

        class Pickler(pickle.Pickler):
            def persistent_id(self, value):
                return str(value) if isinstance(value, Number) else None

        class Number(int):
            pass
        out = io.BytesIO()
        Pickler(out, protocol).dump({name: Number(i) for i, name in enumerate(tensors)})
        member("pickle", out.getvalue())


def tars():
    def value():
        return {"weight": torch.randn(5, 4), "turned": torch.randn(3, 4).t(), "count": torch.tensor([3, 4]),
                "part": torch.randn(6, 6)[1:3, 2:5], "bytes": torch.arange(9, dtype=torch.uint8),
                "half": torch.randn(3).half(), "double": torch.randn(2).double()}
    for protocol in range(3):
        for twist in [False, True]:
            yield Case(f"tar-protocol{protocol}{'-window' if twist else ''}.pth",
                       lambda path, p=protocol, t=twist: tar_form(path, p, value(), t))


def arrays():
    kinds = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8"]
    numbers = np.arange(24).reshape(2, 3, 4)
    for kind in kinds:
        yield Case(f"numpy-{kind.replace('?', 'b1')}.npy", lambda path, k=kind: np.save(path, (numbers % 2 if k == "?" else numbers).astype(k)))
    yield Case("numpy-fortran.npy", lambda path: np.save(path, np.asfortranarray(numbers.astype("f4"))))
    yield Case("numpy-big-endian.npy", lambda path: np.save(path, numbers.astype(">f8")))
    yield Case("numpy-scalar.npy", lambda path: np.save(path, np.float32(7)))
    yield Case("numpy-empty.npy", lambda path: np.save(path, np.zeros((0, 3), "f4")))
    for version in [(1, 0), (2, 0), (3, 0)]:
        def write(path, version=version):
            with open(path, "wb") as out:
                np.lib.format.write_array(out, numbers.astype("i4"), version)
        yield Case(f"numpy-version{version[0]}.npy", write)
    def several():
        return {"resnet/root_block/standardized_conv2d/kernel": np.random.rand(3, 3, 2, 4).astype("f4"),
                "resnet/head/conv2d/bias": np.zeros(5, "f4"), "f": np.asfortranarray(np.random.rand(4, 5)),
                "big": np.arange(6, dtype=">i2"), "none": np.zeros((0, 2), "f8"), "one": np.array(3)}
    yield Case("numpy.npz", lambda path: np.savez(path, **several()))
    yield Case("numpy-deflated.npz", lambda path: np.savez_compressed(path, **several()))
    for protocol in range(6):
        def write(path, protocol=protocol):
            with open(path, "wb") as out:
                pickle.dump({**several(), "epoch": 3, "score": np.float64(0.5)}, out, protocol)
        yield Case(f"numpy-protocol{protocol}.pkl", write)
    for protocol in [0, 2, 5]:
        def write(path, protocol=protocol):
            with open(path, "wb") as out:
                pickle.dump({"params": several(), "lr": 0.1}, out, protocol)
        yield Case(f"numpy-wrapped-protocol{protocol}.pkl", write, key=("params",))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.scale = nn.Parameter(torch.randn(4, 1, 1))
        self.register_buffer("table", torch.arange(4.0))
        self.plain = 3
        self.names: typing.List[str] = ["a", "b"]
        self.notes: typing.Dict[str, int] = {"a": 1}

    def forward(self, x):
        return self.norm(self.conv(x)) * self.scale * self.plain


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.blocks[0](x).mean([2, 3]))


def scripts():
    yield Case("jit-scripted.pt", lambda path: torch.jit.save(torch.jit.script(Net()), path))
    yield Case("jit-frozen-block.pt", lambda path: torch.jit.save(torch.jit.script(Block()), path))
    traced = lambda path: torch.jit.save(torch.jit.trace(Net().eval(), torch.randn(1, 3, 4, 4)), path)
    yield Case("jit-traced.pt", traced)
    yield Case("jit-sequential.pt", lambda path: torch.jit.save(torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2))), path))


def safe():
    yield Case("plain.safetensors", lambda path: save_file(small(), path))
    yield Case("metadata.safetensors", lambda path: save_file(small(), path, metadata={"a": "b", "format": "np"}))
    yield Case("types.safetensors", lambda path: save_file({n: noise(n, 2, 4) for n in TYPES}, path))
    yield Case("empty.safetensors", lambda path: save_file({}, path))
    yield Case("names.safetensors", lambda path: save_file(names(), path))


def refused():
    yield from both("refused-complex128", {"ok": torch.ones(1), "z": torch.ones(2, dtype=torch.complex128)}, refused="complex128")
    yield from both("refused-complex32", {"z": torch.ones(2, dtype=torch.complex32)}, refused="complex32")
    yield from both("refused-quantised", lambda: {"q": torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8)}, refused="quantised")
    yield from both("refused-sparse", lambda: {"s": torch.eye(3).to_sparse()}, refused="sparse")
    yield from both("refused-csr", lambda: {"s": torch.eye(3).to_sparse_csr()}, refused="sparse")
    yield from both("refused-meta", lambda: {"m": torch.empty(3, device="meta")}, refused="meta")
    yield from both("refused-nested", lambda: {"n": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}, refused="nested")
    yield from both("refused-single-tensor", torch.ones(3), refused="single tensor")
    yield from both("refused-list", [torch.ones(3)], refused="list")
    yield from both("refused-several", lambda: {"generator": small(), "critic": small()}, refused="--key")
    yield from both("refused-whole-module", lambda: nn.Linear(2, 2), refused="torch.nn.modules.linear.Linear")
    yield Case("refused-objects.npy", lambda path: np.save(path, np.array([{}, []], dtype=object)), refused="numpy type")


def cases():
    for group in [types_, protocols, picklers, structures, archives, tars, arrays, scripts, safe, refused]:
        yield from group()
