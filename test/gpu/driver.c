// What TensorFlow itself asks of a driver before it uses a device, on top of the stub that the unit tests have. Every other function
// is in a file that main.ts makes of the names in libtensorflow; each does nothing.

#define _GNU_SOURCE
#include <dlfcn.h>

#include "../fixtures/cuda/stub.c"

static void* current;
static int nothing(void) { return 0; }

int cuDeviceTotalMem(size_t* bytes, int device) { return cuDeviceTotalMem_v2(bytes, device); }
int cuDeviceComputeCapability(int* major, int* minor, int device) { return *major = 9, *minor = 0, 0; }
int cuDeviceCanAccessPeer(int* can, int one, int other) { return *can = 1, 0; }
int cuDeviceGetPCIBusId(char* id, int length, int device) {
  return snprintf(id, length, "0000:%02x:00.0", device + 1), 0;
}
int cuDevicePrimaryCtxRetain(void** context, int device) { return *context = (void*)(size_t)(0x1000 + device), 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned* flags, int* active) { return *flags = 0, *active = 1, 0; }
int cuCtxGetCurrent(void** context) { return *context = current, 0; }
int cuCtxSetCurrent(void* context) { return current = context, 0; }
int cuCtxPushCurrent_v2(void* context) { return current = context, 0; }
int cuCtxPopCurrent_v2(void** context) { return context ? *context = current, 0 : 0; }
int cuCtxGetDevice(int* device) { return *device = current ? (int)((size_t)current - 0x1000) : 0, 0; }
int cuCtxGetStreamPriorityRange(int* least, int* greatest) { return *least = 0, *greatest = -5, 0; }
int cuMemGetInfo_v2(size_t* free_, size_t* all) { return *free_ = 149000000000, *all = 150754820096, 0; }
int cuStreamCreateWithPriority(void** stream, unsigned flags, int priority) { return *stream = malloc(8), 0; }
int cuStreamCreate(void** stream, unsigned flags) { return *stream = malloc(8), 0; }
int cuEventCreate(void** event, unsigned flags) { return *event = malloc(8), 0; }
int cuMemAlloc_v2(void** at, size_t bytes) { return *at = malloc(bytes > 1 << 28 ? 1 << 28 : bytes + 4096), 0; }
int cuMemHostAlloc(void** at, size_t bytes, unsigned flags) { return *at = malloc(bytes), 0; }

int cuGetProcAddress_v2(const char* name, void** at, int version, unsigned long long flags, int* status) {
  char newer[256];
  void* self = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  snprintf(newer, sizeof newer, "%s_v2", name);
  *at = dlsym(self, newer);
  if (*at == NULL) *at = dlsym(self, name);
  if (*at == NULL) *at = (void*)nothing;
  if (status != NULL) *status = 0;
  return 0;
}
int cuGetProcAddress(const char* name, void** at, int version, unsigned long long flags) {
  return cuGetProcAddress_v2(name, at, version, flags, NULL);
}
int cuGetExportTable(const void** table, const void* id) { return *table = NULL, 1; }
