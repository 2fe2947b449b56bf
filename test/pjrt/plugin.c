// A plugin of PJRT without a device, for what a real plugin does not show: another version of the interface, a function that is
// missing, a program that is refused. Compiled by addon.ts with -DMAJOR, -DMINOR, -DSIZE and -DWITHOUT=name.

#include <string.h>

#include "pjrt_c_api.h"

struct PJRT_Error {
  PJRT_Error_Code code;
  const char* message;
};

static void destroy(PJRT_Error_Destroy_Args* args) { (void)args; }

static void message(PJRT_Error_Message_Args* args) {
  args->message = args->error->message;
  args->message_size = strlen(args->message);
}

static PJRT_Error* code(PJRT_Error_GetCode_Args* args) {
  args->code = args->error->code;
  return NULL;
}

static PJRT_Error* initialize(PJRT_Plugin_Initialize_Args* args) {
  (void)args;
  return NULL;
}

static PJRT_Error* attributes(PJRT_Plugin_Attributes_Args* args) {
  args->attributes = NULL;
  args->num_attributes = 0;
  return NULL;
}

static PJRT_Error* create(PJRT_Client_Create_Args* args) {
  static PJRT_Error full = {PJRT_Error_Code_RESOURCE_EXHAUSTED, "all memory of the card is taken\n=== Source Location Trace: ===\nx.cc:1"};
  (void)args;
  return &full;
}

static void unused(void) {}

static PJRT_Api api;

const PJRT_Api* GetPjrtApi(void) {
  // Every function is there, though only those above do anything.
  void** function = (void**)&api.PJRT_Error_Destroy;
  for (; function < (void**)(&api + 1); function++) *function = (void*)unused;
  api.struct_size = SIZE;
  api.pjrt_api_version.struct_size = PJRT_Api_Version_STRUCT_SIZE;
  api.pjrt_api_version.major_version = MAJOR;
  api.pjrt_api_version.minor_version = MINOR;
  api.PJRT_Error_Destroy = destroy;
  api.PJRT_Error_Message = message;
  api.PJRT_Error_GetCode = code;
  api.PJRT_Plugin_Initialize = initialize;
  api.PJRT_Plugin_Attributes = attributes;
  api.PJRT_Client_Create = create;
#ifdef WITHOUT
  api.WITHOUT = NULL;
#endif
  return &api;
}
