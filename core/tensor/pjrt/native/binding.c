// The functions that JavaScript sees.

#include "pjrt.h"

static const struct {
  const char* name;
  napi_callback function;
} EXPORTS[] = {
    {"loadPlugin", load_plugin},         {"createClient", create_client},       {"memoryStatistics", memory_statistics},
    {"compile", compile_program},        {"serialize", serialize_program},      {"load", load_program},
    {"describe", describe_program},      {"run", run_program},                  {"upload", upload_buffer},
    {"download", download_buffer},       {"free", free_handle},
};

NAPI_MODULE_INIT() {
  for (size_t i = 0; i < sizeof EXPORTS / sizeof *EXPORTS; i++) {
    napi_value function;
    if (node_failed(env, napi_create_function(env, EXPORTS[i].name, NAPI_AUTO_LENGTH, EXPORTS[i].function, NULL, &function)) ||
        node_failed(env, napi_set_named_property(env, exports, EXPORTS[i].name, function)))
      return NULL;
  }
  return exports;
}
