// Opens a plugin and decides whether its interface is one that this addon can call: the same major version, no
// older a minor one than the header that the addon was compiled with, and every function that is used.

#include <dlfcn.h>
#include <stdlib.h>

#include "pjrt.h"

/** Every function of PJRT_Api that this addon calls. */
#define USED(each)                          \
  each(PJRT_Error_Destroy)                  \
  each(PJRT_Error_Message)                  \
  each(PJRT_Error_GetCode)                  \
  each(PJRT_Plugin_Initialize)              \
  each(PJRT_Plugin_Attributes)              \
  each(PJRT_Event_Destroy)                  \
  each(PJRT_Event_Await)                    \
  each(PJRT_Client_Create)                  \
  each(PJRT_Client_Destroy)                 \
  each(PJRT_Client_PlatformName)            \
  each(PJRT_Client_PlatformVersion)         \
  each(PJRT_Client_AddressableDevices)      \
  each(PJRT_Client_Compile)                 \
  each(PJRT_Client_BufferFromHostBuffer)    \
  each(PJRT_DeviceDescription_Id)           \
  each(PJRT_DeviceDescription_Kind)         \
  each(PJRT_Device_GetDescription)          \
  each(PJRT_Device_MemoryStats)             \
  each(PJRT_Executable_Destroy)             \
  each(PJRT_Executable_NumOutputs)          \
  each(PJRT_Executable_OutputElementTypes)  \
  each(PJRT_Executable_OutputDimensions)    \
  each(PJRT_Executable_Serialize)           \
  each(PJRT_Executable_DeserializeAndLoad)  \
  each(PJRT_Executable_GetCompiledMemoryStats) \
  each(PJRT_LoadedExecutable_Destroy)       \
  each(PJRT_LoadedExecutable_GetExecutable) \
  each(PJRT_LoadedExecutable_Execute)       \
  each(PJRT_Buffer_Destroy)                 \
  each(PJRT_Buffer_ToHostBuffer)

static const struct {
  const char* name;
  size_t offset;
} FUNCTIONS[] = {
#define FUNCTION(name) {#name, offsetof(PJRT_Api, name)},
    USED(FUNCTION)};

/** Throws where the interface is not one that this addon can call. */
static bool is_refused(napi_env env, const PJRT_Api* api) {
  if (api == NULL) return refuse(env, "FAILED_PRECONDITION", "GetPjrtApi returned nothing");
  const PJRT_Api_Version* version = &api->pjrt_api_version;
  if (api->struct_size < offsetof(PJRT_Api, PJRT_Error_Destroy) || version->struct_size < PJRT_Api_Version_STRUCT_SIZE)
    return refuse(env, "FAILED_PRECONDITION", "its interface (%zu bytes) has no version", api->struct_size);
  const int major = version->major_version, minor = version->minor_version;
  if (major != PJRT_API_MAJOR || minor < PJRT_API_MINOR)
    return refuse(env, "FAILED_PRECONDITION", "it speaks version %d.%d of PJRT's interface, and %d.%d or a later %d.x is needed",
                  major, minor, PJRT_API_MAJOR, PJRT_API_MINOR, PJRT_API_MAJOR);
  for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++) {
    const size_t offset = FUNCTIONS[i].offset;
    if (api->struct_size < offset + sizeof(void*) || *(void* const*)((const char*)api + offset) == NULL)
      return refuse(env, "FAILED_PRECONDITION", "its interface %d.%d lacks %s", major, minor, FUNCTIONS[i].name);
  }
  return false;
}

static bool set_attributes(napi_env env, napi_value object, const PJRT_Api* api) {
  ARGUMENTS(PJRT_Plugin_Attributes_Args, listed);
  if (plugin_failed(env, api, api->PJRT_Plugin_Attributes(&listed))) return false;
  napi_value attributes;
  if (node_failed(env, napi_create_object(env, &attributes))) return false;
  for (size_t i = 0; i < listed.num_attributes; i++) {
    const PJRT_NamedValue* named = &listed.attributes[i];
    napi_value name, value;
    if (node_failed(env, napi_create_string_utf8(env, named->name, named->name_size, &name))) return false;
    napi_status status = napi_ok;
    switch (named->type) {
      case PJRT_NamedValue_kString:
        status = napi_create_string_utf8(env, named->string_value, named->value_size, &value);
        break;
      case PJRT_NamedValue_kInt64:
        status = napi_create_int64(env, named->int64_value, &value);
        break;
      case PJRT_NamedValue_kInt64List:
        value = integers_value(env, named->int64_array_value, named->value_size);
        if (value == NULL) return false;
        break;
      case PJRT_NamedValue_kFloat:
        status = napi_create_double(env, named->float_value, &value);
        break;
      case PJRT_NamedValue_kBool:
        status = napi_get_boolean(env, named->bool_value, &value);
        break;
      default:
        continue;
    }
    if (node_failed(env, status) || node_failed(env, napi_set_property(env, attributes, name, value))) return false;
  }
  return !node_failed(env, napi_set_named_property(env, object, "attributes", attributes));
}

napi_value load_plugin(napi_env env, napi_callback_info info) {
  napi_value path_value;
  size_t length = 0;
  if (!read_arguments(env, info, 1, &path_value)) return NULL;
  char* path = read_string(env, path_value, &length);
  if (path == NULL) return NULL;
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  free(path);
  if (library == NULL) {
    refuse(env, "NOT_FOUND", "%s", dlerror());
    return NULL;
  }
  const PJRT_Api* (*get)(void) = (const PJRT_Api* (*)(void))dlsym(library, "GetPjrtApi");
  if (get == NULL) {
    refuse(env, "FAILED_PRECONDITION", "it has no function GetPjrtApi, so it is no plugin of PJRT");
    return NULL;
  }
  const PJRT_Api* api = get();
  if (is_refused(env, api)) return NULL;
  ARGUMENTS(PJRT_Plugin_Initialize_Args, initialized);
  if (plugin_failed(env, api, api->PJRT_Plugin_Initialize(&initialized))) return NULL;
  napi_value object, handle = plugin_handle(env, api);
  if (handle == NULL || node_failed(env, napi_create_object(env, &object)) ||
      node_failed(env, napi_set_named_property(env, object, "handle", handle)) ||
      !set_number(env, object, "major", api->pjrt_api_version.major_version) ||
      !set_number(env, object, "minor", api->pjrt_api_version.minor_version) || !set_attributes(env, object, api))
    return NULL;
  return object;
}
