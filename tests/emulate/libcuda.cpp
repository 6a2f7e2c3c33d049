// A `libcuda.so.1` that runs zoo's kernels on the CPU: what the CUDA engine is tested with where there is no card.
//
//     c++ -O3 -march=x86-64-v3 -std=c++17 -shared -fPIC -ffp-contract=off -I src/nn/cuda/kernels -o libcuda.so.1 tests/emulate/libcuda.cpp
//
// then `LD_LIBRARY_PATH`. Fresh memory is NaN. A launch's first block runs in fibers; where it meets no barrier, the others' threads
// run one after another without them. Settings of the environment:
//   ZOO_EMULATE_FAIL      call:n:code,…: the n-th call of that function fails, such as cuMemAlloc_v2:3:2. For
//                         cuLaunchKernel `async:n:code` begins the kernel, and every later call fails.
//   ZOO_EMULATE_MEMORY    bytes of the card (8 GiB)
//   ZOO_EMULATE_DRIVER    the driver's version (12000)
//   ZOO_EMULATE_DEVICES   how many cards (1)
//   ZOO_EMULATE_MAJOR     major compute capability (8)
//   ZOO_EMULATE_COMPILE   milliseconds that a kernel takes to be compiled (0)
//   ZOO_EMULATE_ORDER     `reverse`: a block's threads take turns from the last to the first
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "emulate.h"
#include "common.cu"
#include "conv.cu"
#include "depthwise.cu"
#include "map.cu"
#include "channels.cu"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

Index emulated_block, emulated_thread;
float emulated_exchange[1024];

// ---- fibers (x86-64, System V)
extern "C" void emulated_switch(void** from, void* to);
asm(R"(
.globl emulated_switch
.hidden emulated_switch
emulated_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");
// Stacks lie apart by no power of two, or the tops of all would fall into the same few sets of the caches.
static const size_t STACK = (32 << 10) + 320, STACKS = 1024 * STACK;
static char* stacks;
static void* fibers[1024];
static bool done[1024];
static void* scheduler;
static unsigned threads, turn; // whose turn it is, in the order of turns
static bool reverse;
static bool alone;       // a block's threads run one after another, each to its end
static bool has_barrier; // whether the block that ran in fibers had one
static void (*kernel)(const void*);
static const void* argument;

static unsigned thread_of(unsigned t) { return reverse ? threads - 1 - t : t; }
static void next_turn() {
    unsigned from = thread_of(turn);
    if (turn + 1 == threads) { emulated_switch(&fibers[from], scheduler); return; }
    turn++;
    unsigned to = thread_of(turn);
    emulated_thread = {to, 0, 0};
    emulated_switch(&fibers[from], fibers[to]);
}
void emulated_barrier() {
    if (alone) { fprintf(stderr, "a barrier that the launch's first block did not have\n"); abort(); }
    has_barrier = true;
    next_turn();
}
static void entry() {
    kernel(argument);
    done[thread_of(turn)] = true;
    for (;;) next_turn();
}
static void run_in_fibers() {
    if (!stacks) {
        stacks = (char*)mmap(nullptr, STACKS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stacks == MAP_FAILED) abort();
        madvise(stacks, STACKS, MADV_HUGEPAGE);
    }
    for (unsigned t = 0; t < threads; t++) {
        void** top = (void**)(stacks + (t + 1) * STACK - 64);
        *--top = nullptr;
        *--top = (void*)entry;
        for (int i = 0; i < 6; i++) *--top = nullptr;
        fibers[t] = top;
        done[t] = false;
    }
    for (;;) {
        turn = 0;
        unsigned first = thread_of(0), left = 0;
        emulated_thread = {first, 0, 0};
        emulated_switch(&scheduler, fibers[first]);
        for (unsigned t = 0; t < threads; t++) left += !done[t];
        if (left == 0) return;
    }
}
static void run_alone() {
    for (unsigned t = 0; t < threads; t++) {
        emulated_thread = {thread_of(t), 0, 0};
        kernel(argument);
    }
}

// ---- faults
static std::mutex guard;
static int lost; // what every call says once the card is lost
static long setting(const char* name, long usual) { const char* s = getenv(name); return s ? atol(s) : usual; }
static int fault(const std::string& call) {
    if (lost) return lost;
    static std::map<std::string, long> calls;
    long n = ++calls[call];
    const char* all = getenv("ZOO_EMULATE_FAIL");
    for (std::string rest = all ? all : ""; !rest.empty();) {
        size_t comma = rest.find(',');
        std::string one = rest.substr(0, comma);
        rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
        size_t a = one.find(':'), b = one.find(':', a + 1);
        if (a == std::string::npos || b == std::string::npos || one.substr(0, a) != call || atol(one.c_str() + a + 1) != n) continue;
        int code = atoi(one.c_str() + b + 1);
        // These leave a context in which nothing works any more.
        if (code >= 700 || code == 46) lost = code;
        return code;
    }
    return 0;
}
#define API extern "C" __attribute__((visibility("default"))) int
#define MAY_FAIL() do { std::lock_guard<std::mutex> lock(guard); if (int code = fault(__func__)) return code; } while (0)

// ---- the driver's functions
static double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
static size_t used;
static std::map<uint64_t, size_t> sizes;
static size_t memory() { return (size_t)setting("ZOO_EMULATE_MEMORY", 8L << 30); }

API cuInit(unsigned) { MAY_FAIL(); return 0; }
API cuDriverGetVersion(int* v) { *v = (int)setting("ZOO_EMULATE_DRIVER", 12000); return 0; }
API cuDeviceGetCount(int* n) { *n = (int)setting("ZOO_EMULATE_DEVICES", 1); return 0; }
API cuDeviceGet(int* d, int i) { MAY_FAIL(); if (i < 0 || i >= setting("ZOO_EMULATE_DEVICES", 1)) return 101; *d = i; return 0; }
API cuDeviceGetName(char* name, int len, int i) { snprintf(name, len, "emulated card %d", i); return 0; }
API cuDeviceTotalMem_v2(size_t* bytes, int) { *bytes = memory(); return 0; }
API cuDeviceGetAttribute(int* v, int what, int) { *v = what == 75 ? (int)setting("ZOO_EMULATE_MAJOR", 8) : what == 16 ? 108 : 0; return 0; }
API cuDevicePrimaryCtxRetain(void** c, int) { MAY_FAIL(); *c = (void*)1; return 0; }
API cuDevicePrimaryCtxRelease_v2(int) { return 0; }
API cuCtxSetCurrent(void*) { MAY_FAIL(); return 0; }
API cuModuleLoadData(void** m, const void*) { MAY_FAIL(); usleep(1000 * setting("ZOO_EMULATE_COMPILE", 0)); *m = (void*)1; return 0; }
API cuModuleGetFunction(void** f, void*, const char* name) {
    MAY_FAIL();
    static void* self = nullptr;
    if (!self) { Dl_info info; dladdr((void*)cuInit, &info); self = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD); }
    *f = dlsym(self, name);
    return *f ? 0 : 500;
}
API cuMemGetInfo_v2(size_t* unused, size_t* all) { MAY_FAIL(); *all = memory(); *unused = *all > used ? *all - used : 0; return 0; }
// A large allocation is the same file of NaN over and over, of which what is written becomes memory.
static const size_t POISON = 16 << 20;
static void* poisoned(size_t n) {
    static int file = -1;
    if (file < 0) {
        file = memfd_create("poison", 0);
        std::string all(POISON, '\xff');
        if (file < 0 || write(file, all.data(), POISON) != (ssize_t)POISON) return nullptr;
    }
    char* m = (char*)mmap(nullptr, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) return nullptr;
    for (size_t at = 0; at < n; at += POISON)
        if (mmap(m + at, std::min(POISON, n - at), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file, 0) == MAP_FAILED) {
            munmap(m, n);
            return nullptr;
        }
    return m;
}
API cuMemAlloc_v2(uint64_t* p, size_t n) {
    MAY_FAIL();
    n = (n + 255) / 256 * 256;
    std::lock_guard<std::mutex> lock(guard);
    if (used + n > memory()) return 2;
    void* m = n < POISON ? aligned_alloc(256, n) : poisoned(n);
    if (!m) return 2;
    if (n < POISON) memset(m, 0xff, n);
    used += n;
    *p = (uint64_t)m;
    sizes[*p] = n;
    return 0;
}
API cuMemFree_v2(uint64_t p) {
    std::lock_guard<std::mutex> lock(guard);
    size_t n = sizes[p];
    used -= n;
    sizes.erase(p);
    if (n < POISON) free((void*)p); else munmap((void*)p, n);
    return 0;
}
API cuMemHostAlloc(void** p, size_t n, unsigned) { MAY_FAIL(); *p = aligned_alloc(256, (n + 255) / 256 * 256); return *p ? 0 : 2; }
API cuMemFreeHost(void* p) { free(p); return 0; }
API cuMemcpyHtoD_v2(uint64_t d, const void* s, size_t n) { MAY_FAIL(); memcpy((void*)d, s, n); return 0; }
API cuMemcpyHtoDAsync_v2(uint64_t d, const void* s, size_t n, void*) { MAY_FAIL(); memcpy((void*)d, s, n); return 0; }
API cuMemcpyDtoHAsync_v2(void* d, uint64_t s, size_t n, void*) { MAY_FAIL(); memcpy(d, (void*)s, n); return 0; }
API cuStreamCreate(void** s, unsigned) { MAY_FAIL(); *s = (void*)1; return 0; }
API cuStreamDestroy_v2(void*) { return 0; }
API cuStreamSynchronize(void*) { MAY_FAIL(); return 0; }
API cuStreamWaitEvent(void*, void*, unsigned) { MAY_FAIL(); return 0; }
API cuEventCreate(void** e, unsigned) { MAY_FAIL(); *e = new double(0); return 0; }
API cuEventDestroy_v2(void* e) { delete (double*)e; return 0; }
API cuEventRecord(void* e, void*) { MAY_FAIL(); *(double*)e = now(); return 0; }
API cuEventSynchronize(void*) { MAY_FAIL(); return 0; }
API cuEventElapsedTime(float* ms, void* a, void* b) { MAY_FAIL(); *ms = (float)((*(double*)b - *(double*)a) * 1e3); return 0; }
API cuGetErrorString(int code, const char** s) {
    *s = code == 2 ? "out of memory" : code == 46 ? "CUDA-capable device(s) is/are busy or unavailable" : code == 100 ? "no CUDA-capable device is detected"
        : code == 700 ? "an illegal memory access was encountered" : code == 719 ? "unspecified launch failure" : "emulated error";
    return 0;
}
API cuLaunchKernel(void* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned, void*, void** args, void**) {
    std::lock_guard<std::mutex> lock(guard);
    if (int code = fault(__func__)) return code;
    if (by != 1 || bz != 1 || bx > 1024 || gx == 0 || gy == 0 || gz == 0 || gy > 65535 || gz > 65535) return 1;
    static const bool reversed = getenv("ZOO_EMULATE_ORDER") && !strcmp(getenv("ZOO_EMULATE_ORDER"), "reverse");
    reverse = reversed;
    kernel = (void (*)(const void*))f;
    argument = args[0];
    threads = bx;
    alone = has_barrier = false;
    int late = fault("async");
    for (unsigned z = 0; z < gz; z++)
        for (unsigned y = 0; y < gy; y++)
            for (unsigned x = 0; x < gx; x++) {
                emulated_block = {x, y, z};
                if (alone) run_alone(); else run_in_fibers();
                alone = !has_barrier;
                if (late) { lost = late; return 0; }
            }
    return 0;
}
