"""Draws pictures of the kinds that are rare or damaged, and records what Pillow's wheel for x86-64 makes of them.

In: nothing. Out, in tests/golden/pixels: the pictures, and golden.json with the SHA-256 of the RGB bytes that Pillow decodes.
zoo must give these pixels or refuse the file; `must` says of which files it must give them.

JPEGs with coefficients and quantisers beyond what encoders write: the vector code of the wheel's libjpeg-turbo wraps and
saturates there in 16 bits. BMP of 16 and 32 bits, netpbm, GIF whose first frame is not the screen, TIFF.

Run with: python tests/oracle/pixels.py   (Pillow 13 on x86-64)
"""

import hashlib
import io
import json
import struct
import warnings
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, features

OUT = Path(__file__).resolve().parent.parent / "golden" / "pixels"


def digest(data):
    return hashlib.sha256(bytes(data)).hexdigest()


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def scene(width, height, seed, mode="RGB"):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = np.stack([x * 5 + y, y * 4, (x + y) * 3, x * y // 7], -1)
    values = (planes + rng.integers(0, 90, planes.shape)) % 256
    bands = {"L": 1, "RGB": 3, "CMYK": 4, "RGBA": 4}[mode]
    values = values[:, :, :bands].astype(np.uint8)
    return Image.fromarray(values[:, :, 0] if bands == 1 else values, mode)


def with_quantisers(data, of):
    """The same coefficients under other quantisers, of 16 bits each: DQT with Pq = 1 (and SOF1 where it is SOF0)."""
    out, at, number = bytearray(data[:2]), 2, 0
    while data[at + 1] != 0xDA:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if marker == 0xDB:
            new = b""
            while body:
                values = np.frombuffer(body[1:65], np.uint8).astype(np.int64)
                new += bytes([0x10 | body[0] & 15]) + np.asarray(of(values, number), ">u2").tobytes()
                body, number = body[65:], number + 1
            body = new
        marker = 0xC1 if marker == 0xC0 else marker
        out += bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body
        at += 2 + length
    return bytes(out + data[at:])


def jpegs():
    def times(factor):
        return lambda values, number: np.clip(values * factor, 1, 65535)

    def noise(seed):
        return lambda values, number: np.random.default_rng(seed + number).integers(0, 65536, 64)

    def first_row(values, number):
        return np.where(np.arange(64) < 3, 60000, 1)

    kinds = {
        "420": (scene(61, 45, 1), dict(quality=90, subsampling="4:2:0")),
        "444": (scene(40, 30, 2), dict(quality=95, subsampling="4:4:4")),
        "grey": (scene(50, 37, 3, "L"), dict(quality=80)),
        "progressive": (scene(61, 45, 4), dict(quality=85, progressive=True)),
        "cmyk": (scene(33, 25, 5, "CMYK"), dict(quality=85)),
        "flat": (Image.new("L", (24, 16), 7), dict(quality=95)),
        "stripes": (Image.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 37, (16, 1))), dict(quality=95)),
    }
    for name, (image, options) in kinds.items():
        data = saved(image, "JPEG", **options)
        for label, of in [("x3", times(3)), ("x40", times(40)), ("x900", times(900)), ("noise", noise(7)), ("row", first_row)]:
            yield f"jpeg-{name}-{label}.jpg", with_quantisers(data, of)


def bmp(width, height, bits, rows, compression=0, masks=(), header=40, top_down=False):
    offset = 14 + max(header, 40 + 4 * len(masks) if header == 40 else header)
    size = len(rows)
    out = b"BM" + struct.pack("<IHHI", offset + size, 0, 0, offset)
    out += struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression, size, 0, 0, 0, 0)
    out += b"".join(struct.pack("<I", m) for m in masks)
    return out.ljust(offset, b"\0") + rows


def bmps():
    rng = np.random.default_rng(11)
    width, height = 13, 7
    four = rng.integers(0, 256, (height, width, 4), np.uint8).tobytes()
    two = b"".join(rng.integers(0, 65536, width).astype("<u2").tobytes().ljust(28, b"\0") for _ in range(height))
    yield "rgba.bmp", saved(scene(width, height, 12, "RGBA"), "BMP")
    yield "bgrx.bmp", bmp(width, height, 32, four)
    yield "bgrx-top-down.bmp", bmp(width, height, 32, four, top_down=True)
    for i, masks in enumerate(
        [
            (0xFF0000, 0xFF00, 0xFF),
            (0xFF000000, 0xFF0000, 0xFF00),
            (0xFF000000, 0xFF00, 0xFF),
        ]
    ):
        yield f"masks-{i}.bmp", bmp(width, height, 32, four, 3, masks)
    for i, masks in enumerate(
        [
            (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
            (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
            (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
            (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
            (0, 0, 0, 0),
        ]
    ):
        yield f"v4-masks-{i}.bmp", bmp(width, height, 32, four, 3, masks, header=108)
    yield "555.bmp", bmp(width, height, 16, two)
    yield "555-masks.bmp", bmp(width, height, 16, two, 3, (0x7C00, 0x3E0, 0x1F))
    yield "565-masks.bmp", bmp(width, height, 16, two, 3, (0xF800, 0x7E0, 0x1F))
    yield "odd-masks.bmp", bmp(width, height, 16, two, 3, (0xF000, 0xF00, 0xF0))
    yield "short-rows.bmp", bmp(width, height, 32, four)[:-9]


def pnms():
    rng = np.random.default_rng(13)
    width, height = 11, 6
    rgb = rng.integers(0, 256, width * height * 3, np.uint8)
    grey = rng.integers(0, 256, width * height, np.uint8)
    wide = rng.integers(0, 65536, width * height).astype(">u2").tobytes()
    yield "p6.ppm", b"P6\n# a comment\n11 6\n255\n" + rgb.tobytes()
    yield "p5.pgm", b"P5 11 6 255\n" + grey.tobytes()
    yield "p6-100.ppm", b"P6 11 6 100\n" + (rgb % 101).tobytes()
    yield "p6-over.ppm", b"P6 11 6 100\n" + rgb.tobytes()
    yield "p5-17.pgm", b"P5 11 6 17\n" + (grey % 18).tobytes()
    yield "p5-65535.pgm", b"P5 11 6 65535\n" + wide
    yield "p5-1000.pgm", b"P5 11 6 1000\n" + (np.frombuffer(wide, ">u2") % 1001 // 90).astype(">u2").tobytes()
    yield "p6-65535.ppm", b"P6 11 2 65535\n" + wide
    yield "p4.pbm", b"P4\n11 6\n" + rng.integers(0, 256, 12, np.uint8).tobytes()
    yield "p1.pbm", b"P1\n11 2\n0110 1001 100\n# half\n1 1 1 1 1 0 0 0 0 0 1\n"
    yield "p2.pgm", b"P2\n3 2 15\n0 1 2 # more\n15 7\t8\n"
    yield "p2-1000.pgm", b"P2 3 1 1000\n3 500 1000\n"
    yield "p3.ppm", b"P3 2 2 200 " + b" ".join(b"%d" % v for v in (rgb[:12] % 201)) + b"\n"
    yield "p3-comment-joins.ppm", b"P3 1 1 255 1#x\n2 34 56\n"
    yield "cut.ppm", b"P6 11 6 255\n" + rgb.tobytes()[:-1]
    yield "cut.pgm", b"P5 11 6 255\n" + grey.tobytes()[:-1]
    yield "cut-plain.ppm", b"P3 2 2 200 1 2 3 4\n"
    yield "above.ppm", b"P3 1 1 200 1 2 201\n"


def gifs():
    small = scene(20, 14, 21).quantize(40)
    whole = saved(small, "GIF")
    descriptor = whole.index(b",\0\0\0\0\x14\0\x0e\0")

    def changed(screen=None, place=None, transparent=None):
        data = bytearray(whole)
        if screen:
            data[6:10] = struct.pack("<HH", *screen)
        if place:
            data[descriptor + 1 : descriptor + 5] = struct.pack("<HH", *place)
        if transparent is not None:
            data[descriptor:descriptor] = b"!\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
        return bytes(data)

    yield "screen-larger.gif", changed(screen=(27, 19))
    yield "placed.gif", changed(screen=(27, 19), place=(3, 4))
    yield "placed-transparent.gif", changed(screen=(27, 19), place=(3, 4), transparent=5)
    yield "beyond-the-screen.gif", changed(place=(3, 4))
    yield "screen-smaller.gif", changed(screen=(9, 9))
    yield "interlaced.gif", saved(small, "GIF", interlace=1)
    yield "grey.gif", saved(scene(15, 9, 22, "L"), "GIF")
    frames = [scene(20, 14, 23 + i).quantize(16 + 40 * i) for i in range(3)]
    yield "animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2, transparency=1)


def tiffs():
    small, grey = scene(19, 12, 31), scene(19, 12, 32, "L")
    for kind in ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg", "group4", "zstd", "webp", "lzma"):
        image = {"group4": grey.convert("1")}.get(kind, small)
        try:
            yield f"{kind}.tif", saved(image, "TIFF", compression=kind)
        except Exception as error:
            print("not written:", kind, error)
    yield "predictor.tif", saved(small, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "white-is-zero.tif", saved(grey, "TIFF", tiffinfo={262: 0})
    yield "bits.tif", saved(grey.convert("1"), "TIFF")
    yield "palette.tif", saved(small.quantize(30), "TIFF")
    yield "rgba.tif", saved(scene(19, 12, 33, "RGBA"), "TIFF")
    yield "cmyk.tif", saved(scene(19, 12, 34, "CMYK"), "TIFF")
    yield "grey16.tif", saved(Image.fromarray((np.asarray(grey).astype(np.uint16) * 257)), "TIFF")
    yield "float.tif", saved(grey.convert("F"), "TIFF")
    yield "turned.tif", saved(small, "TIFF", tiffinfo={274: 8})
    yield "strips.tif", saved(scene(40, 300, 35), "TIFF", compression="tiff_lzw", strip_size=4096)
    yield "lab.tif", saved(small.convert("LAB"), "TIFF")
    yield "ycbcr.tif", saved(small.convert("YCbCr"), "TIFF")
    yield "pages.tif", saved(small, "TIFF", save_all=True, append_images=[grey])
    yield "grey-alpha.tif", saved(Image.merge("LA", [grey, grey]), "TIFF")

    # Big-endian, and planes one after another: libtiff reads both, Pillow writes neither.
    def ifd(order, tags, data):
        head = b"II*\0" if order == "<" else b"MM\0*"
        entries, extra, at = [], b"", 8 + 2 + 12 * len(tags) + 4
        for tag, kind, values in sorted(tags):
            code = {3: "H", 4: "I"}[kind]
            packed = struct.pack(f"{order}{len(values)}{code}", *values)
            if len(packed) > 4:
                packed, extra = struct.pack(f"{order}I", at + len(extra)), extra + packed
            entries.append(struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0"))
        return head + struct.pack(f"{order}IH", 8, len(tags)) + b"".join(entries) + b"\0" * 4 + extra + data

    pixels = np.asarray(small)
    for order, name in (("<", "little"), (">", "big")):
        for planar in (1, 2):
            count = 3 if planar == 2 else 1
            data = (pixels if planar == 1 else pixels.transpose(2, 0, 1)).tobytes()
            part = len(data) // count
            size = 8 + 2 + 12 * 10 + 4 + 6 + (4 * count * 2 if count > 1 else 0)
            tags = [
                (256, 3, [19]), (257, 3, [12]), (258, 3, [8, 8, 8]), (259, 3, [1]), (262, 3, [2]),
                (273, 4, [size + i * part for i in range(count)]), (277, 3, [3]), (278, 3, [12]),
                (279, 4, [part] * count), (284, 3, [planar]),
            ]
            yield f"{name}-planar{planar}.tif", ifd(order, tags, data)


def others():
    frames = [scene(18, 13, 41 + i) for i in range(2)]
    yield "animated.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    png = saved(frames[0], "PNG")
    yield "no-iend.png", png[:-12]
    at = png.index(b"IDAT") + 4 + int.from_bytes(png[png.index(b"IDAT") - 4 : png.index(b"IDAT")], "big")
    yield "bad-idat-crc.png", png[:at] + bytes([png[at] ^ 1]) + png[at + 1 :]
    yield "animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield "animated-default.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    yield "one.png", saved(frames[0].convert("1"), "PNG")
    yield "la.png", saved(Image.merge("LA", [frames[0].convert("L")] * 2), "PNG")
    yield "palette-transparent.png", saved(frames[0].quantize(9), "PNG", transparency=2)
    yield "avif.avif", saved(frames[0], "AVIF") if features.check("avif") else b"\0\0\0\x1cftypavif"
    yield "jpeg2000.jp2", saved(frames[0], "JPEG2000") if features.check("jpg_2000") else b"\0\0\0\x0cjP  "
    yield "targa.tga", saved(frames[0], "TGA")


# What must be read; of the others zoo may refuse any.
MUST = ("jpeg-", "p1", "p2", "p3", "p4", "p5", "p6")
MUST_BMP = ("rgba.bmp", "bgrx", "masks-", "v4-masks-", "555", "565")
MUST_NAMES = {
    "screen-larger.gif", "placed.gif", "placed-transparent.gif", "beyond-the-screen.gif", "screen-smaller.gif",
    "interlaced.gif", "grey.gif", "animated.gif", "raw.tif", "tiff_lzw.tif", "tiff_adobe_deflate.tif", "packbits.tif",
    "predictor.tif", "strips.tif", "little-planar1.tif", "big-planar1.tif", "animated.png", "animated-default.png",
    "one.png", "la.png", "palette-transparent.png",
}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    pictures = []
    for name, data in [*jpegs(), *bmps(), *pnms(), *gifs(), *tiffs(), *others()]:
        (OUT / name).write_bytes(data)
        row = {"file": name, "sha256": digest(data)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = Image.open(io.BytesIO(data)).convert("RGB")
            row |= {"width": image.width, "height": image.height, "rgb": digest(image.tobytes())}
        except Exception as error:
            row |= {"error": str(error)}
        must = name.startswith(MUST) or name in MUST_NAMES or (name.startswith(MUST_BMP) and name.endswith(".bmp"))
        row["must"] = must and "rgb" in row
        pictures.append(row)
    golden = {
        "script": "tests/oracle/pixels.py",
        "script_sha256": digest(Path(__file__).read_bytes()),
        "versions": {"pillow": PIL.__version__, "libjpeg_turbo": features.version("libjpeg_turbo")},
        "pictures": pictures,
    }
    (OUT / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(sum(f.stat().st_size for f in OUT.iterdir()), "bytes in", len(pictures), "pictures")
    print("refused by Pillow:", [p["file"] for p in pictures if "error" in p])


main()
