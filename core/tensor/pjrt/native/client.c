// A client of a plugin: its devices and their memory.

#include <stdlib.h>
#include <string.h>

#include "pjrt.h"

#define OPTIONS_MAX 16

/** Options by name as a list of PJRT; texts are the caller's to free, one an option or NULL. */
static bool read_options(napi_env env, napi_value object, PJRT_NamedValue* options, char** texts, size_t* count) {
  napi_value names;
  uint32_t length = 0;
  if (node_failed(env, napi_get_property_names(env, object, &names)) ||
      node_failed(env, napi_get_array_length(env, names, &length)))
    return false;
  if (length > OPTIONS_MAX) return !refuse(env, "INVALID_ARGUMENT", "a client has %u options and takes %d", length, OPTIONS_MAX);
  for (uint32_t i = 0; i < length; i++) {
    napi_value name, value;
    napi_valuetype type;
    PJRT_NamedValue* option = &options[*count];
    memset(option, 0, sizeof *option);
    option->struct_size = PJRT_NamedValue_STRUCT_SIZE;
    option->value_size = 1;
    if (node_failed(env, napi_get_element(env, names, i, &name)) ||
        node_failed(env, napi_get_property(env, object, name, &value)) ||
        node_failed(env, napi_typeof(env, value, &type)))
      return false;
    char** kept = &texts[2 * *count];
    *count += 1;
    if ((kept[0] = read_string(env, name, &option->name_size)) == NULL) return false;
    option->name = kept[0];
    double number = 0;
    switch (type) {
      case napi_string:
        option->type = PJRT_NamedValue_kString;
        if ((kept[1] = read_string(env, value, &option->value_size)) == NULL) return false;
        option->string_value = kept[1];
        break;
      case napi_boolean:
        option->type = PJRT_NamedValue_kBool;
        if (node_failed(env, napi_get_value_bool(env, value, &option->bool_value))) return false;
        break;
      case napi_number:
        if (node_failed(env, napi_get_value_double(env, value, &number))) return false;
        // A whole number is an integer; PJRT has no other way to write one.
        if (number == (double)(int64_t)number) {
          option->type = PJRT_NamedValue_kInt64;
          option->int64_value = (int64_t)number;
        } else {
          option->type = PJRT_NamedValue_kFloat;
          option->float_value = (float)number;
        }
        break;
      default:
        return !refuse(env, "INVALID_ARGUMENT", "option %s of a client is no text, number or boolean", kept[0]);
    }
  }
  return true;
}

static napi_value describe_device(napi_env env, const PJRT_Api* api, PJRT_Device* device) {
  ARGUMENTS(PJRT_Device_GetDescription_Args, described);
  described.device = device;
  if (plugin_failed(env, api, api->PJRT_Device_GetDescription(&described))) return NULL;
  ARGUMENTS(PJRT_DeviceDescription_Id_Args, id);
  id.device_description = described.device_description;
  ARGUMENTS(PJRT_DeviceDescription_Kind_Args, kind);
  kind.device_description = described.device_description;
  napi_value object;
  if (plugin_failed(env, api, api->PJRT_DeviceDescription_Id(&id)) ||
      plugin_failed(env, api, api->PJRT_DeviceDescription_Kind(&kind)) ||
      node_failed(env, napi_create_object(env, &object)) || !set_number(env, object, "id", id.id) ||
      !set_string(env, object, "kind", kind.device_kind, kind.device_kind_size))
    return NULL;
  return object;
}

static napi_value describe_client(napi_env env, napi_value handle, Client* client) {
  const PJRT_Api* api = client->api;
  ARGUMENTS(PJRT_Client_PlatformName_Args, name);
  name.client = client->client;
  ARGUMENTS(PJRT_Client_PlatformVersion_Args, version);
  version.client = client->client;
  napi_value object, devices;
  if (plugin_failed(env, api, api->PJRT_Client_PlatformName(&name)) ||
      plugin_failed(env, api, api->PJRT_Client_PlatformVersion(&version)) ||
      node_failed(env, napi_create_object(env, &object)) ||
      node_failed(env, napi_set_named_property(env, object, "handle", handle)) ||
      !set_string(env, object, "platform", name.platform_name, name.platform_name_size) ||
      !set_string(env, object, "platformVersion", version.platform_version, version.platform_version_size) ||
      node_failed(env, napi_create_array(env, &devices)) ||
      node_failed(env, napi_set_named_property(env, object, "devices", devices)))
    return NULL;
  for (size_t i = 0; i < client->device_count; i++) {
    napi_value device = describe_device(env, api, client->devices[i]);
    if (device == NULL || node_failed(env, napi_set_element(env, devices, (uint32_t)i, device))) return NULL;
  }
  return object;
}

napi_value create_client(napi_env env, napi_callback_info info) {
  napi_value values[2];
  if (!read_arguments(env, info, 2, values)) return NULL;
  Plugin* plugin = read_handle(env, values[0], PLUGIN);
  if (plugin == NULL) return NULL;
  PJRT_NamedValue options[OPTIONS_MAX];
  char* texts[2 * OPTIONS_MAX] = {NULL};
  ARGUMENTS(PJRT_Client_Create_Args, create);
  const bool read = read_options(env, values[1], options, texts, &create.num_options);
  create.create_options = options;
  const bool failed = !read || plugin_failed(env, plugin->api, plugin->api->PJRT_Client_Create(&create));
  for (size_t i = 0; i < 2 * OPTIONS_MAX; i++) free(texts[i]);
  if (failed) return NULL;
  napi_value handle = client_handle(env, plugin->api, create.client);
  if (handle == NULL) return NULL;
  return describe_client(env, handle, read_handle(env, handle, CLIENT));
}

napi_value memory_statistics(napi_env env, napi_callback_info info) {
  napi_value values[2], object;
  size_t device = 0;
  if (!read_arguments(env, info, 2, values)) return NULL;
  Client* client = read_handle(env, values[0], CLIENT);
  if (client == NULL || !read_index(env, values[1], client->device_count, "device", &device)) return NULL;
  ARGUMENTS(PJRT_Device_MemoryStats_Args, memory);
  memory.device = client->devices[device];
  if (plugin_failed(env, client->api, client->api->PJRT_Device_MemoryStats(&memory)) ||
      node_failed(env, napi_create_object(env, &object)) ||
      !set_number(env, object, "bytesInUse", (double)memory.bytes_in_use) ||
      (memory.peak_bytes_in_use_is_set && !set_number(env, object, "peakBytesInUse", (double)memory.peak_bytes_in_use)) ||
      (memory.bytes_limit_is_set && !set_number(env, object, "bytesLimit", (double)memory.bytes_limit)))
    return NULL;
  return object;
}
