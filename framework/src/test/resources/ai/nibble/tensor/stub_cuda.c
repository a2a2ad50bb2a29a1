// A CUDA driver without a GPU, with the prototypes of cuda.h (CUDA 12): one kernel, axpy_f32, which
// runs at its launch. A handle that it did not give out, or a wrong call, is CUDA_ERROR_INVALID_VALUE.
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef int CUdevice;
typedef int CUdevice_attribute;
typedef int CUfunction_attribute;
typedef struct CUctx_st* CUcontext;
typedef struct CUmod_st* CUmodule;
typedef struct CUfunc_st* CUfunction;
typedef struct CUstream_st* CUstream;
typedef struct CUevent_st* CUevent;
typedef unsigned long long CUdeviceptr;

enum { DEVICE = 7, INVALID_VALUE = 1, NOT_FOUND = 500 };
#define HIGH 0x7fff00000000ull  // no int holds it
static CUcontext const context = (CUcontext)(HIGH + 1);
static CUmodule const module = (CUmodule)(HIGH + 2);
static CUfunction const function = (CUfunction)(HIGH + 3);
static CUstream const stream = (CUstream)(HIGH + 4);
static CUstream const second = (CUstream)(HIGH + 5);
static CUevent const event = (CUevent)(HIGH + 6);
static __thread CUcontext current;
static int dynamic_shared = 48 << 10;

static CUresult valid(int condition) { return condition ? 0 : INVALID_VALUE; }

CUresult cuInit(unsigned int flags) { return valid(flags == 0); }

CUresult cuDriverGetVersion(int* version) {
  *version = 12080;
  return 0;
}

CUresult cuDeviceGetCount(int* count) {
  *count = 1;
  return 0;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = DEVICE;
  return valid(ordinal == 0);
}

CUresult cuDeviceGetName(char* name, int len, CUdevice device) {
  strncpy(name, "Stub GPU", len);
  return valid(device == DEVICE);
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  switch (attribute) {
    case 16: *value = 4; break;
    case 75: *value = 9; break;
    case 76: *value = 0; break;
    case 89: *value = 1; break;
    case 97: *value = 100 << 10; break;
    default: return INVALID_VALUE;
  }
  return valid(device == DEVICE);
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  *bytes = 80ull << 30;
  return valid(device == DEVICE);
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* result, CUdevice device) {
  *result = context;
  return valid(device == DEVICE);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) { return valid(device == DEVICE); }

CUresult cuCtxGetCurrent(CUcontext* result) {
  *result = current;
  return 0;
}

CUresult cuCtxSetCurrent(CUcontext given) {
  current = given;
  return valid(given == NULL || given == context);
}

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  *free = 70ull << 30;
  *total = 80ull << 30;
  return valid(current == context);
}

CUresult cuMemAllocManaged(CUdeviceptr* result, size_t bytes, unsigned int flags) {
  *result = (CUdeviceptr)malloc(bytes);
  return valid(flags == 1 && current == context && bytes < 1ull << 30);
}

CUresult cuMemFree_v2(CUdeviceptr given) {
  free((void*)given);
  return valid(given != 0 && current == context);
}

CUresult cuMemPrefetchAsync(CUdeviceptr given, size_t bytes, CUdevice device, CUstream on) {
  memset((void*)given, 0, bytes);  // to be seen
  return valid(device == DEVICE && on == stream);
}

CUresult cuMemHostAlloc(void** result, size_t bytes, unsigned int flags) {
  *result = malloc(bytes);
  return valid(flags == 0 && current == context);
}

CUresult cuMemFreeHost(void* given) {
  free(given);
  return valid(given != NULL);
}

CUresult cuMemcpyDtoHAsync_v2(void* host, CUdeviceptr device, size_t bytes, CUstream on) {
  memcpy(host, (void*)device, bytes);
  return valid(on == second);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr device, const void* host, size_t bytes, CUstream on) {
  memcpy((void*)device, host, bytes);
  return valid(on == second || on == stream);
}

CUresult cuStreamCreate(CUstream* result, unsigned int flags) {
  *result = second;
  return valid(flags == 1 && current == context);
}

CUresult cuStreamDestroy_v2(CUstream given) { return valid(given == second); }

CUresult cuStreamWaitEvent(CUstream given, CUevent awaited, unsigned int flags) {
  return valid((given == stream || given == second) && awaited == event && flags == 0);
}

CUresult cuEventCreate(CUevent* result, unsigned int flags) {
  *result = event;
  return valid(flags == 2 && current == context);
}

CUresult cuEventDestroy_v2(CUevent given) { return valid(given == event); }

CUresult cuEventRecord(CUevent given, CUstream on) {
  return valid(given == event && (on == stream || on == second));
}

CUresult cuEventQuery(CUevent given) { return given == event ? 0 : INVALID_VALUE; }

CUresult cuEventSynchronize(CUevent given) { return valid(given == event); }

CUresult cuModuleLoadData(CUmodule* result, const void* image) {
  *result = module;
  return valid(current == context && memcmp(image, "image of axpy.cu", 16) == 0);
}

CUresult cuModuleGetFunction(CUfunction* result, CUmodule given, const char* name) {
  *result = function;
  return given != module ? INVALID_VALUE : strcmp(name, "axpy_f32") != 0 ? NOT_FOUND : 0;
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction given) {
  *value = 0;
  return valid(given == function && attribute == 1);
}

CUresult cuFuncSetAttribute(CUfunction given, CUfunction_attribute attribute, int value) {
  if (given != function || attribute != 8 || value > 100 << 10) return INVALID_VALUE;
  dynamic_shared = value;
  return 0;
}

CUresult cuLaunchKernel(
    CUfunction given, unsigned int gridX, unsigned int gridY, unsigned int gridZ, unsigned int blockX,
    unsigned int blockY, unsigned int blockZ, unsigned int sharedBytes, CUstream on, void** parameters,
    void** extra) {
  if (given != function || gridX != 3 || gridY != 2 || gridZ != 1 || blockX != 64 || blockY != 1 ||
      blockZ != 1 || sharedBytes > dynamic_shared || on != stream || extra != NULL || current != context) {
    return INVALID_VALUE;
  }
  float* y = *(float**)parameters[0];
  const float* x = *(const float**)parameters[1];
  float a = *(float*)parameters[2];
  long long n = *(long long*)parameters[3];
  for (long long i = 0; i < n; i++) y[i] = a * x[i] + y[i];
  return 0;
}

CUresult cuGetErrorName(CUresult error, const char** text) {
  *text = error == INVALID_VALUE ? "CUDA_ERROR_INVALID_VALUE" : NULL;
  return *text == NULL ? INVALID_VALUE : 0;
}

CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = error == INVALID_VALUE ? "invalid argument" : NULL;
  return *text == NULL ? INVALID_VALUE : 0;
}
