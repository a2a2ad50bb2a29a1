// Runs the blocks of a launch: the threads of a block are fibres, resumed in turn until each waits
// or has ended; a barrier opens when all wait at it. Threads of odd blocks run from the last to the
// first, so that a result that hangs on their order shows. Compiled without sanitizers.
#include "host.h"

#include <link.h>
#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

HostIndex threadIdx, blockIdx, blockDim, gridDim;

namespace {
const int WARP = 32, MAX_THREADS = 1024, MAX_RANGES = 64;
const size_t STACK = 64 << 10;
const uint64_t CANARY = 0x5ca1ab1e0ddba11ull;

enum State { READY, AT_BARRIER, AT_EXCHANGE, ENDED };
struct Fibre {
  void *stackPointer;
  State state;
  int line;  // where it waits
  HostExchange how;
  unsigned mask;
  int lane, width;
  uint64_t bits;
};
struct Range {
  uintptr_t begin, end;
};

Fibre fibres[MAX_THREADS];
char *stacks;
void *scheduler;
int current, threads;
const HostKernel *kernel;
void **kernelArguments;
Range ranges[MAX_RANGES];  // what a kernel may touch; the last one hit comes first
int rangeCount;
char *dynamicShared;
size_t dynamicSize, dynamicRoom;
char failure[600];

[[noreturn]] void switchToScheduler();

void fail(const char *format, ...) {
  if (failure[0]) return;
  int n = snprintf(failure, sizeof failure, "kernel %s, block (%u, %u, %u), thread %d: ",
                   kernel->name, blockIdx.x, blockIdx.y, blockIdx.z, current);
  va_list list;
  va_start(list, format);
  vsnprintf(failure + n, sizeof failure - n, format, list);
  va_end(list);
}
}  // namespace

// void hostSwitch(void **from, void *to): leaves the callee-saved registers on the old stack.
extern "C" void hostSwitch(void **from, void *to);
extern "C" void hostStart();
#if defined(__x86_64__)
asm(R"(
.text
.globl hostSwitch
.hidden hostSwitch
.type hostSwitch, @function
hostSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size hostSwitch, .-hostSwitch
)");
// As after a call: 16-byte aligned plus the return address.
static void *freshStack(char *top) {
  void **s = (void **)top;
  *--s = nullptr;
  *--s = (void *)hostStart;
  return s - 6;
}
#elif defined(__aarch64__)
asm(R"(
.text
.globl hostSwitch
.hidden hostSwitch
.type hostSwitch, %function
hostSwitch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size hostSwitch, .-hostSwitch
)");
static void *freshStack(char *top) {
  void **s = (void **)(top - 160);
  s[11] = (void *)hostStart;
  return s;
}
#else
#error "fibres are written for x86-64 and AArch64"
#endif

namespace {
void switchToScheduler() {
  void *unused;
  fibres[current].state = ENDED;
  hostSwitch(&unused, scheduler);
  abort();
}

void place(int thread) {
  current = thread;
  unsigned t = thread;
  threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
}

void wait(State state, int line) {
  Fibre &self = fibres[current];
  self.state = state;
  self.line = line;
  hostSwitch(&self.stackPointer, scheduler);
}

void start(int thread) {
  char *stack = stacks + thread * STACK;
  *(uint64_t *)stack = CANARY;
  fibres[thread].stackPointer = freshStack(stack + STACK);
  fibres[thread].state = READY;
}

int warpLanes(int warp) { return threads - warp * WARP < WARP ? threads - warp * WARP : WARP; }

// Resumes what can run in a warp; true if anything could.
bool runWarp(int warp, bool backwards) {
  bool ran = false;
  int lanes = warpLanes(warp);
  for (int i = 0; i < lanes; i++) {
    int thread = warp * WARP + (backwards ? lanes - 1 - i : i);
    if (fibres[thread].state != READY) continue;
    place(thread);
    hostSwitch(&scheduler, fibres[thread].stackPointer);
    if (*(uint64_t *)(stacks + thread * STACK) != CANARY) {
      fail("its local variables need more than %zu bytes", STACK);
    }
    if (failure[0]) return false;
    ran = true;
  }
  return ran;
}

// Whether the lanes that a waiting lane names are all there, asking for the same.
bool complete(int warp, const Fibre &asking) {
  for (int l = 0; l < WARP; l++) {
    if (!(asking.mask >> l & 1)) continue;
    const Fibre *other = l < warpLanes(warp) ? &fibres[warp * WARP + l] : nullptr;
    if (!other || other->state != AT_EXCHANGE) return false;
    if (other->how != asking.how || other->mask != asking.mask || other->line != asking.line) {
      place(warp * WARP + l);
      fail("waits in line %d for lanes %08x, another lane in line %d for lanes %08x", other->line,
           other->mask, asking.line, asking.mask);
      return false;
    }
  }
  return true;
}

uint64_t received(const uint64_t *values, const Fibre &self, int lane) {
  int first = lane & ~(self.width - 1), last = first + self.width - 1;
  int from = lane;
  switch (self.how) {
    case HOST_INDEX: from = first + (self.lane & (self.width - 1)); break;
    case HOST_UP: from = lane - self.lane < first ? lane : lane - self.lane; break;
    case HOST_DOWN: from = lane + self.lane > last ? lane : lane + self.lane; break;
    case HOST_XOR: from = (lane ^ self.lane) > last ? lane : lane ^ self.lane; break;
    default: break;
  }
  if (!(self.mask >> from & 1)) {
    fail("lane %d reads lane %d in line %d, which is not among lanes %08x", lane, from, self.line,
         self.mask);
  }
  return values[from];
}

// Carries out the exchanges of a warp that are complete; true if any was.
bool exchange(int warp) {
  bool any = false;
  for (int l = 0; l < warpLanes(warp); l++) {
    Fibre asking = fibres[warp * WARP + l];
    if (asking.state != AT_EXCHANGE || !complete(warp, asking)) continue;
    uint64_t values[WARP] = {}, ballot = 0;
    for (int k = 0; k < WARP; k++) {
      if (!(asking.mask >> k & 1)) continue;
      values[k] = fibres[warp * WARP + k].bits;
      ballot |= (values[k] & 1) << k;
    }
    for (int k = 0; k < WARP; k++) {
      if (!(asking.mask >> k & 1)) continue;
      Fibre &lane = fibres[warp * WARP + k];
      lane.bits = asking.how == HOST_BALLOT ? ballot : received(values, lane, k);
      lane.state = READY;
    }
    any = true;
  }
  return any;
}

// Opens the barrier when every thread of the block is at the same one; reports who is missing.
bool openBarrier() {
  int at = -1, absent = -1;
  for (int t = 0; t < threads; t++) {
    Fibre &f = fibres[t];
    if (f.state == AT_BARRIER && at >= 0 && fibres[at].line != f.line) {
      place(t);
      fail("is at the barrier in line %d, thread %d at that in line %d", f.line, at,
           fibres[at].line);
      return false;
    }
    if (f.state == AT_BARRIER) {
      at = t;
    } else {
      absent = t;
    }
  }
  if (absent < 0) {
    for (int t = 0; t < threads; t++) fibres[t].state = READY;
    return true;
  }
  for (int t = 0; t < threads; t++) {
    if (fibres[t].state == AT_EXCHANGE) {
      place(t);
      fail("waits in line %d for lanes %08x, some of which never come", fibres[t].line,
           fibres[t].mask);
      return false;
    }
  }
  if (at >= 0) {
    place(absent);
    fail("has ended and misses the barrier in line %d", fibres[at].line);
  }
  return false;
}

void runBlock(bool backwards) {
  for (int t = 0; t < threads; t++) start(t);
  memset(dynamicShared, 0xff, dynamicRoom);  // as floats NaN: nothing may rest on what was there
  int warps = (threads + WARP - 1) / WARP;
  do {
    for (int i = 0; i < warps; i++) {
      int warp = backwards ? warps - 1 - i : i;
      while (runWarp(warp, backwards) && !failure[0] && exchange(warp)) {
      }
      if (failure[0]) return;
    }
  } while (openBarrier());
}

// The loaded image of this library: tables, static shared memory, literals.
int addImage(dl_phdr_info *info, size_t, void *) {
  uintptr_t here = (uintptr_t)&hostKernels, begin = UINTPTR_MAX, end = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) &h = info->dlpi_phdr[i];
    if (h.p_type != PT_LOAD) continue;
    uintptr_t from = info->dlpi_addr + h.p_vaddr;
    if (from < begin) begin = from;
    if (from + h.p_memsz > end) end = from + h.p_memsz;
  }
  if (here < begin || here >= end) return 0;
  ranges[rangeCount++] = {begin, end};
  return 1;
}

void check(uintptr_t address, size_t size, const char *what) {
  for (int i = 0; i < rangeCount; i++) {
    if (address >= ranges[i].begin && address + size <= ranges[i].end) {
      if (i > 0) std::swap(ranges[0], ranges[i]);
      return;
    }
  }
  const Range *nearest = nullptr;
  long long distance = LLONG_MAX;
  for (int i = 0; i < rangeCount; i++) {
    long long d = address < ranges[i].begin ? ranges[i].begin - address
                                            : address + size - ranges[i].end;
    if (d < distance) {
      distance = d;
      nearest = &ranges[i];
    }
  }
  bool before = address < nearest->begin;
  fail("%s %zu bytes, %lld %s %s of %llu bytes", what, size, distance,
       before ? "bytes before" : "bytes beyond the end of",
       nearest->begin == (uintptr_t)dynamicShared ? "shared memory" : "a tensor",
       (unsigned long long)(nearest->end - nearest->begin));
  switchToScheduler();
}
}  // namespace

extern "C" void hostStart() {
  kernel->call(kernelArguments);
  switchToScheduler();
}

void hostBarrier(int line) { wait(AT_BARRIER, line); }

uint64_t hostExchange(HostExchange how, unsigned mask, uint64_t bits, int lane, int width,
                      int line) {
  Fibre &self = fibres[current];
  if (!(mask >> current % WARP & 1)) {
    fail("is not among the lanes %08x that it waits for in line %d", mask, line);
    switchToScheduler();
  }
  self.how = how;
  self.mask = mask;
  self.bits = bits;
  self.lane = lane;
  self.width = width;
  wait(AT_EXCHANGE, line);
  return self.bits;
}

void *hostDynamicShared() { return dynamicShared; }

// What the sanitizers call.
extern "C" {
#define HOST_ACCESS(n)                                                                     \
  void __asan_load##n##_noabort(uintptr_t a) { check(a, n, "reads"); }                   \
  void __asan_store##n##_noabort(uintptr_t a) { check(a, n, "writes"); }
HOST_ACCESS(1)
HOST_ACCESS(2)
HOST_ACCESS(4)
HOST_ACCESS(8)
HOST_ACCESS(16)
void __asan_loadN_noabort(uintptr_t a, size_t n) { check(a, n, "reads"); }
void __asan_storeN_noabort(uintptr_t a, size_t n) { check(a, n, "writes"); }
void __asan_handle_no_return() {}

struct SourceLocation {
  const char *file;
  uint32_t line, column;
};
void __ubsan_handle_out_of_bounds(SourceLocation *at, uintptr_t index) {
  fail("index %lld outside the array in line %u", (long long)index, at->line);
  switchToScheduler();
}
void __ubsan_handle_shift_out_of_bounds(SourceLocation *at, uintptr_t, uintptr_t by) {
  fail("shifts by %lld in line %u", (long long)by, at->line);
  switchToScheduler();
}
void __ubsan_handle_type_mismatch_v1(SourceLocation *at, uintptr_t address) {
  fail("address %#llx in line %u is null or not aligned", (unsigned long long)address, at->line);
  switchToScheduler();
}

// Runs a kernel over the whole grid. Returns null, or what went wrong.
//   grid       blocks in x, y, z, then threads in x
//   arguments  the address of each argument
//   sizes      bytes of each
//   tensors    begin and end address of each tensor among them
__attribute__((visibility("default"))) const char *hostLaunch(
    const char *name, const int64_t *grid, int64_t sharedBytes, void **arguments,
    const int32_t *sizes, int32_t count, const int64_t *tensors, int32_t tensorCount) {
  failure[0] = 0;
  kernel = hostKernels;
  while (kernel->name && strcmp(kernel->name, name)) kernel++;
  if (!kernel->name) {
    snprintf(failure, sizeof failure, "no kernel %s in this program", name);
    return failure;
  }
  if (count != kernel->arguments) {
    snprintf(failure, sizeof failure, "kernel %s takes %d arguments, got %d", name,
             kernel->arguments, count);
    return failure;
  }
  for (int i = 0; i < count; i++) {
    if (sizes[i] != kernel->sizes[i]) {
      snprintf(failure, sizeof failure, "kernel %s: argument %d has %d bytes, got %d", name, i,
               kernel->sizes[i], sizes[i]);
      return failure;
    }
  }
  if (grid[3] < 1 || grid[3] > MAX_THREADS || grid[0] < 1 || grid[0] > INT_MAX || grid[1] < 1 ||
      grid[1] > 65535 || grid[2] < 1 || grid[2] > 65535 || tensorCount + 3 > MAX_RANGES) {
    snprintf(failure, sizeof failure, "kernel %s: no grid of %lld x %lld x %lld blocks of %lld",
             name, (long long)grid[0], (long long)grid[1], (long long)grid[2], (long long)grid[3]);
    return failure;
  }
  if (!stacks) {
    stacks = (char *)mmap(nullptr, MAX_THREADS * STACK, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  threads = (int)grid[3];
  blockDim = {(unsigned)threads, 1, 1};
  gridDim = {(unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2]};
  kernelArguments = arguments;
  dynamicSize = sharedBytes;
  dynamicRoom = (sharedBytes + 127) / 128 * 128;
  dynamicShared = (char *)aligned_alloc(128, dynamicRoom + 128);
  rangeCount = 0;
  ranges[rangeCount++] = {(uintptr_t)stacks, (uintptr_t)stacks + MAX_THREADS * STACK};
  ranges[rangeCount++] = {(uintptr_t)dynamicShared, (uintptr_t)dynamicShared + dynamicSize};
  dl_iterate_phdr(addImage, nullptr);
  for (int i = 0; i < tensorCount; i++) {
    ranges[rangeCount++] = {(uintptr_t)tensors[2 * i], (uintptr_t)tensors[2 * i + 1]};
  }
  uint64_t number = 0;
  for (unsigned z = 0; z < gridDim.z && !failure[0]; z++) {
    for (unsigned y = 0; y < gridDim.y && !failure[0]; y++) {
      for (unsigned x = 0; x < gridDim.x && !failure[0]; x++) {
        blockIdx = {x, y, z};
        runBlock(number++ % 2 == 1);
      }
    }
  }
  free(dynamicShared);
  return failure[0] ? failure : nullptr;
}
}
