"""make.py LIBNVRTC [PTXAS]: the kernels of this folder to PTX, compressed into ../kernels.ptx.z.

LIBNVRTC is the folder of `libnvrtc.so`, of the package nvidia-cuda-nvrtc-cu11 (11.8.89, the version whose text drivers
from 520 on take); neither a card nor a CUDA toolkit is needed:

    pip download --no-deps nvidia-cuda-nvrtc-cu11==11.8.89 && unzip -q nvidia_cuda_nvrtc_cu11*.whl
    python3 src/nn/cuda/kernels/make.py nvidia/cuda_nvrtc/lib

With PTXAS, the assembler of the package nvidia-cuda-nvcc-cu11, each kernel is assembled as the driver would, in the
module that src/nn/cuda/ptx.rs makes of it; registers that did not suffice (spills) are told.

The compiler does not give the same text twice (it numbers registers anew), so what tells whether the text is of these
sources is their SHA-256 in its first line, which a test compares.
"""
import ctypes, glob, hashlib, os, subprocess, sys, tempfile, zlib

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

if len(sys.argv) > 2:
    ENTRY = '.visible .entry '
    head, *kernels = ptx.split(ENTRY)
    for kernel in kernels:
        name, kernel = kernel.split('(')[0], ENTRY + kernel[:kernel.index('\n}') + 3]
        lines = [line for line in head.splitlines() if line.startswith(('.version', '.target', '.address_size'))
                 or line.startswith('.shared ') and line.split()[-1].split('[')[0] in kernel]
        with tempfile.NamedTemporaryFile('w', suffix='.ptx') as module:
            module.write('\n'.join(lines) + '\n' + kernel)
            module.flush()
            for capability in ['sm_60', 'sm_80', 'sm_90']:
                ran = subprocess.run([sys.argv[2], '-v', f'-arch={capability}', module.name, '-o', os.devnull], capture_output=True, text=True)
                if ran.returncode:
                    raise SystemExit(f'{name}: {ran.stderr}')
                spills = [line.strip() for line in ran.stderr.splitlines() if 'spill' in line and ' 0 bytes spill stores' not in line]
                if spills:
                    print(name, capability, *spills)
    print(len(kernels), 'kernels are assembled')
