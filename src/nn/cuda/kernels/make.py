"""make.py LIBNVRTC: the kernels of this folder to PTX, compressed into ../kernels.ptx.z.

LIBNVRTC is the folder of `libnvrtc.so`, of the package nvidia-cuda-nvrtc-cu11 (11.8.89, the version whose text drivers
from 520 on take); neither a card nor a CUDA toolkit is needed:

    pip download --no-deps nvidia-cuda-nvrtc-cu11==11.8.89 && unzip -q nvidia_cuda_nvrtc_cu11*.whl
    python3 src/nn/cuda/kernels/make.py nvidia/cuda_nvrtc/lib

The compiler does not give the same text twice (it numbers registers anew), so what tells whether the text is of these
sources is their SHA-256 in its first line, which a test compares.
"""
import ctypes, glob, hashlib, os, sys, zlib

SOURCES = ['common.cu', 'conv.cu', 'depthwise.cu', 'map.cu', 'channels.cu']
OPTIONS = ['--gpu-architecture=compute_60', '--fmad=false', '--std=c++17', '--prec-div=true', '--prec-sqrt=true', '--ftz=false']

here = os.path.dirname(os.path.abspath(__file__))
source = b''.join(open(os.path.join(here, name), 'rb').read() for name in SOURCES)
lib = ctypes.CDLL(sorted(glob.glob(os.path.join(sys.argv[1], 'libnvrtc.so*')))[0])


def check(code):
    if code:
        lib.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise SystemExit(lib.nvrtcGetErrorString(code).decode())


def text(size, get):
    n = ctypes.c_size_t()
    check(size(program, ctypes.byref(n)))
    buffer = ctypes.create_string_buffer(n.value)
    check(get(program, buffer))
    return buffer.value.decode()


program = ctypes.c_void_p()
check(lib.nvrtcCreateProgram(ctypes.byref(program), source, b'kernels.cu', 0, None, None))
options = (ctypes.c_char_p * len(OPTIONS))(*(o.encode() for o in OPTIONS))
failed = lib.nvrtcCompileProgram(program, len(OPTIONS), options)
log = text(lib.nvrtcGetProgramLogSize, lib.nvrtcGetProgramLog)
if log.strip():
    print(log, file=sys.stderr)
check(failed)
version = [ctypes.c_int(), ctypes.c_int()]
check(lib.nvrtcVersion(*map(ctypes.byref, version)))
ptx = text(lib.nvrtcGetPTXSize, lib.nvrtcGetPTX)
first = f'// sources {hashlib.sha256(source).hexdigest()}, NVRTC {version[0].value}.{version[1].value} {" ".join(OPTIONS)}\n'
packed = zlib.compress((first + ptx).encode(), 9)
open(os.path.join(here, '..', 'kernels.ptx.z'), 'wb').write(packed)
print(first, len(ptx), 'bytes of text,', len(packed), 'compressed')
