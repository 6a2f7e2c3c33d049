"""Draws the pictures of tests/golden/images and records what timm makes of them.

In: nothing (seeded noise, gradients and text; no picture of a dataset). Out, in tests/golden/images: the
pictures, and golden.json with, for each, the SHA-256 of the RGB bytes that Pillow decodes, of the bytes after
timm's resize and crop, and of the float32 tensor (little-endian, channels first) for each preset; whole
arrays for the smallest preset; and what Pillow says of files cut short at every length.

Run with: python tests/oracle/images.py   (timm 1.0.31, torch, Pillow 13, opencv-python-headless 5)
"""

import hashlib
import io
import json
import struct
import sys
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import PIL
import timm
import torch
import torchvision
from PIL import Image, ImageDraw, features
from timm.data import create_transform

OUT = Path(__file__).resolve().parent.parent / "golden" / "images"
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
# 255 * 0.3 is 76.5: the fill of `border` is rounded to even.
ODD = {"mean": (0.3, 0.1, 0.7), "std": (0.2, 0.3, 0.1)}

PRESETS = {
    "224-bicubic": dict(input_size=(3, 224, 224), crop_pct=0.875, interpolation="bicubic", **IMAGENET),
    "224-bilinear": dict(input_size=(3, 224, 224), crop_pct=0.875, interpolation="bilinear", **IMAGENET),
    "299-lanczos": dict(input_size=(3, 299, 299), crop_pct=0.9, interpolation="lanczos", **HALF),
    "224-nearest": dict(input_size=(3, 224, 224), crop_pct=0.875, interpolation="nearest", **IMAGENET),
    "380-b4": dict(input_size=(3, 380, 380), crop_pct=0.922, interpolation="bicubic", **IMAGENET),
    "600-b7": dict(input_size=(3, 600, 600), crop_pct=0.949, interpolation="bicubic", **IMAGENET),
    "squash": dict(input_size=(3, 160, 160), crop_pct=0.9, interpolation="bicubic", crop_mode="squash", **HALF),
    "border": dict(input_size=(3, 192, 192), crop_pct=0.95, interpolation="bicubic", crop_mode="border", **ODD),
    "oblong": dict(input_size=(3, 96, 160), crop_pct=0.875, interpolation="bilinear", **IMAGENET),
    "oblong-border": dict(
        input_size=(3, 160, 96), crop_pct=1.0, interpolation="lanczos", crop_mode="border", **ODD
    ),
    "tiny": dict(input_size=(3, 7, 7), crop_pct=0.875, interpolation="bicubic", **IMAGENET),
}
WHOLE = "tiny"
# The presets of every picture; the rest only for those marked `full`.
FEW = ["224-bicubic", "tiny", "border"]


def digest(data):
    return hashlib.sha256(bytes(data)).hexdigest()


def scene(width, height, seed, noise=24):
    """A gradient with shapes, text and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = [x / max(width - 1, 1), y / max(height - 1, 1), ((x + y) % 64) / 63]
    image = Image.fromarray((np.stack(planes, -1) * 255).astype(np.uint8), "RGB")
    draw = ImageDraw.Draw(image)
    for i in range(6):
        a, b = rng.integers(0, [width, height]), rng.integers(0, [width, height])
        box = [min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])]
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        draw.ellipse(box, outline=color, width=3) if i % 2 else draw.rectangle(box, outline=color)
    draw.text((width // 8, height // 3), "zoo: a number is a claim", fill=(255, 255, 255))
    values = np.asarray(image).astype(np.int16)
    values = values + rng.integers(-noise, noise + 1, values.shape)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8), "RGB")


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def cv2_jpeg(image, sampling, **options):
    bgr = np.asarray(image)[:, :, ::-1]
    flags = [cv2.IMWRITE_JPEG_QUALITY, 85, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    for name, value in options.items():
        flags += [getattr(cv2, name), value]
    return cv2.imencode(".jpg", bgr, flags)[1].tobytes()


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, depth, color, interlaced=False, palette=None, extra=()):
    """Any kind of PNG, also those that Pillow cannot write. samples: [height, width, channels]."""
    height, width, _ = samples.shape

    def packed(part):
        out = b""
        for row in part:
            if depth == 16:
                data = row.astype(">u2").tobytes()
            elif depth == 8:
                data = row.astype(np.uint8).tobytes()
            else:
                bits = "".join(format(int(v), f"0{depth}b") for v in row.reshape(-1))
                bits += "0" * (-len(bits) % 8)
                data = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
            out += b"\0" + data
        return out

    if interlaced:
        parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        raw = b"".join(packed(p) for p in parts if p.size)
    else:
        raw = packed(samples)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    for kind, data in extra:
        out += chunk(kind, data)
    return out + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def pngs():
    rng = np.random.default_rng(5)

    def samples(width, height, channels, depth):
        ramp = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[:, :, None] + 37 * np.arange(channels)
        values = ramp * (257 if depth == 16 else 1) + rng.integers(0, 9, (height, width, channels))
        return values % (1 << depth)

    for depth in (1, 2, 4, 8, 16):
        yield f"grey{depth}.png", png(samples(37, 23, 1, depth), depth, 0)
    # Pillow's I;16 saturates at 255: a dark one has something to see.
    yield "grey16-dark.png", png(samples(37, 23, 1, 8), 16, 0)
    yield "rgb.png", png(samples(61, 45, 3, 8), 8, 2)
    yield "rgb16.png", png(samples(31, 22, 3, 16), 16, 2)
    yield "grey8-alpha.png", png(samples(33, 21, 2, 8), 8, 4)
    yield "grey16-alpha.png", png(samples(33, 21, 2, 16), 16, 4)
    yield "rgba.png", png(samples(41, 30, 4, 8), 8, 6)
    yield "rgba16.png", png(samples(27, 19, 4, 16), 16, 6)
    yield "rgb-trns.png", png(samples(20, 20, 3, 8), 8, 2, extra=[(b"tRNS", struct.pack(">HHH", 6, 40, 80))])
    yield "grey-trns.png", png(samples(20, 20, 1, 8), 8, 0, extra=[(b"tRNS", struct.pack(">H", 6))])
    for depth in (1, 2, 4, 8):
        palette = rng.integers(0, 256, (1 << depth, 3))
        yield f"palette{depth}.png", png(samples(29, 17, 1, depth), depth, 3, palette=palette)
    short = rng.integers(0, 256, (100, 3))
    yield "palette-short.png", png(samples(29, 17, 1, 8), 8, 3, palette=short)
    alphas = bytes(rng.integers(0, 256, 100).tolist())
    yield "palette-trns.png", png(samples(29, 17, 1, 8) % 100, 8, 3, palette=short, extra=[(b"tRNS", alphas)])
    yield "interlaced-rgb.png", png(samples(35, 27, 3, 8), 8, 2, interlaced=True)
    yield "interlaced-grey1.png", png(samples(35, 27, 1, 1), 1, 0, interlaced=True)
    yield "gamma.png", png(samples(16, 16, 3, 8), 8, 2, extra=[(b"gAMA", struct.pack(">I", 100000))])
    yield "png-named-jpeg.jpg", png(samples(16, 16, 3, 8), 8, 2)


def jpegs():
    photo = scene(500, 375, 1, noise=10)
    small = scene(157, 121, 2)
    yield "photo.jpg", jpeg(photo, quality=75)
    yield "444.jpg", jpeg(small, quality=90, subsampling="4:4:4")
    yield "422.jpg", jpeg(small, quality=75, subsampling="4:2:2")
    yield "420.jpg", jpeg(small, quality=75, subsampling="4:2:0")
    yield "420-q10.jpg", jpeg(small, quality=10, subsampling="4:2:0")
    yield "420-q100.jpg", jpeg(scene(64, 48, 3), quality=100, subsampling="4:2:0")
    yield "440.jpg", cv2_jpeg(small, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440)
    yield "411.jpg", cv2_jpeg(small, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411)
    yield "progressive-420.jpg", jpeg(small, quality=80, progressive=True)
    yield "progressive-444.jpg", jpeg(small, quality=60, progressive=True, subsampling="4:4:4")
    yield "restarts.jpg", jpeg(small, quality=75, restart_marker_blocks=3)
    yield "optimised.jpg", jpeg(small, quality=75, optimize=True)
    yield "grey.jpg", jpeg(small.convert("L"), quality=75)
    yield "grey-progressive.jpg", jpeg(small.convert("L"), quality=75, progressive=True)
    # Stored as RGB, not YCbCr: only the Adobe marker says so.
    yield "stored-rgb.jpg", jpeg(small, quality=75, keep_rgb=True)
    cmyk = Image.merge("CMYK", [*small.split(), scene(157, 121, 4).convert("L")])
    yield "cmyk.jpg", jpeg(cmyk, quality=75)
    yield "cmyk-progressive.jpg", jpeg(cmyk, quality=75, progressive=True)
    # The Adobe marker's transform byte: 0 is CMYK, 2 YCCK. The same bytes are a valid picture either way.
    data = bytearray(jpeg(cmyk, quality=75))
    data[data.index(b"Adobe") + 11] = 2
    yield "ycck.jpg", bytes(data)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "exif-rotated.jpg", jpeg(small, quality=75, exif=exif)
    yield "trailing-bytes.jpg", jpeg(scene(40, 30, 6), quality=75) + b"and then some"
    for width, height in [(1, 1), (1, 90), (90, 1), (2, 3), (8, 8), (17, 16), (33, 15), (3, 200), (200, 3)]:
        yield f"{width}x{height}.jpg", jpeg(scene(width, height, width * 1000 + height), quality=75)
    yield "tall.jpg", jpeg(scene(60, 700, 7), quality=60)
    yield "wide.jpg", jpeg(scene(700, 60, 8), quality=60)
    yield "square.jpg", jpeg(scene(256, 256, 9, noise=10), quality=60)


def others():
    """The kinds that zoo reads, and (None) those it refuses by name."""
    small = scene(53, 41, 11, noise=6)
    frames = [small, scene(53, 41, 12)]
    part = small.crop((0, 0, 20, 20))
    alpha = small.copy()
    alpha.putalpha(small.convert("L"))

    def saved(image, kind, **options):
        out = io.BytesIO()
        image.save(out, kind, **options)
        return out.getvalue()

    yield "rgb.bmp", saved(small, "BMP")
    yield "grey.bmp", saved(small.convert("L"), "BMP")
    yield "palette.bmp", saved(small.quantize(200), "BMP")
    yield "bits.bmp", saved(small.convert("1"), "BMP")
    yield "still.gif", saved(small, "GIF")
    yield "animated.gif", saved(small, "GIF", save_all=True, append_images=frames[1:])
    yield "transparent.gif", saved(small.quantize(64), "GIF", transparency=3)
    yield "lossless.webp", saved(small, "WEBP", lossless=True)
    yield "lossless-alpha.webp", saved(alpha, "WEBP", lossless=True)
    yield "lossy.webp", saved(small, "WEBP", quality=60)
    yield "lossy-alpha.webp", saved(alpha, "WEBP", quality=80)
    yield "rgb.tiff", saved(small, "TIFF")
    yield "lzw.tiff", saved(small, "TIFF", compression="tiff_lzw")
    yield "deflate.tiff", saved(small.convert("L"), "TIFF", compression="tiff_adobe_deflate")
    yield "x-rgba.bmp", saved(alpha, "BMP")
    yield "x-turned.tiff", saved(small, "TIFF", tiffinfo={274: 6})
    yield "x-cmyk.tiff", saved(part.convert("CMYK"), "TIFF")
    yield "x-rgba.tiff", saved(alpha.crop((0, 0, 20, 20)), "TIFF")
    yield "x-animated.webp", saved(part, "WEBP", save_all=True, append_images=[part.rotate(90)])
    gif = bytearray(saved(part, "GIF"))
    gif[6] += 3
    yield "x-part.gif", bytes(gif)


def record(image, names):
    rows = {}
    for name in names:
        transform = create_transform(is_training=False, **PRESETS[name])
        try:
            pixels = image
            for step in transform.transforms[:-2]:
                pixels = step(pixels)
            tensor = transform(image)
        except ValueError as error:
            rows[name] = {"error": str(error)}
            continue
        values = tensor.numpy().astype("<f4")
        rows[name] = {"pixels": digest(pixels.tobytes()), "tensor": digest(values.tobytes())}
        if name == WHOLE:
            rows[name]["bits"] = values.tobytes().hex()
    return rows


def decoded(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data)).convert("RGB")


def outcome(data):
    try:
        return digest(decoded(data).tobytes())
    except Exception:
        return None


def cuts(data, step):
    """What Pillow makes of the file cut at every `step`-th byte: null where it refuses, else the pixels."""
    lengths = list(range(0, len(data), step)) + list(range(len(data) - 8, len(data)))
    return [[n, outcome(data[:n])] for n in sorted(set(lengths))]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    full = {"photo.jpg", "444.jpg", "grey.jpg", "cmyk.jpg", "tall.jpg", "wide.jpg", "rgb.png", "square.jpg", "1x90.jpg"}
    pictures, files = [], {}
    for name, data in [*jpegs(), *pngs(), *others()]:
        (OUT / name).write_bytes(data)
        files[name] = data
        if name.startswith("x-"):
            continue
        image = decoded(data)
        names = PRESETS if name in full else FEW
        pictures.append({
            "file": name,
            "sha256": digest(data),
            "width": image.width,
            "height": image.height,
            "rgb": digest(image.tobytes()),
            "presets": record(image, names),
        })
    golden = {
        "script": "tests/oracle/images.py",
        "script_sha256": digest(Path(__file__).read_bytes()),
        "versions": {
            "python": sys.version.split()[0],
            "pillow": PIL.__version__,
            "libjpeg_turbo": features.version("libjpeg_turbo"),
            "timm": timm.__version__,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "opencv": cv2.__version__,
        },
        "presets": {
            name: {"crop_mode": "center", **{k: v for k, v in p.items()}} for name, p in PRESETS.items()
        },
        "pictures": pictures,
        "cuts": {name: cuts(files[name], step) for name, step in [
            ("8x8.jpg", 1), ("420-q10.jpg", 29), ("progressive-420.jpg", 97), ("cmyk.jpg", 301),
            ("rgb.png", 41), ("interlaced-rgb.png", 97),
        ]},
    }
    text = json.dumps(golden, indent=1)
    (OUT / "golden.json").write_text(text + "\n")
    print(sum(f.stat().st_size for f in OUT.iterdir()), "bytes in", len(pictures), "pictures and golden.json")


main()
