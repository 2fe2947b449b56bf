// Lives of what JavaScript holds. A handle is freed by a call or, if nobody does that, when it is collected.
// A client ends after the last program and the last buffer that belong to it, in whatever order these are
// collected.

#include <stdlib.h>

#include "pjrt.h"

static const char* const NAMES[] = {[PLUGIN] = "plugin", [CLIENT] = "client", [PROGRAM] = "program", [BUFFER] = "buffer"};

/** A failure to free has nobody to whom it could be reported, and nothing can be done about it. */
static void ignore(const PJRT_Api* api, PJRT_Error* error) {
  if (error == NULL) return;
  ARGUMENTS(PJRT_Error_Destroy_Args, destroyed);
  destroyed.error = error;
  api->PJRT_Error_Destroy(&destroyed);
}

static void release_client(Client* client) {
  if (--client->references > 0) return;
  ARGUMENTS(PJRT_Client_Destroy_Args, destroyed);
  destroyed.client = client->client;
  ignore(client->api, client->api->PJRT_Client_Destroy(&destroyed));
  free(client);
}

static void free_program(Program* program) {
  if (program->loaded == NULL) return;
  const PJRT_Api* api = program->client->api;
  if (program->executable != NULL) {
    ARGUMENTS(PJRT_Executable_Destroy_Args, described);
    described.executable = program->executable;
    ignore(api, api->PJRT_Executable_Destroy(&described));
  }
  ARGUMENTS(PJRT_LoadedExecutable_Destroy_Args, destroyed);
  destroyed.executable = program->loaded;
  ignore(api, api->PJRT_LoadedExecutable_Destroy(&destroyed));
  program->loaded = NULL;
  release_client(program->client);
}

static void free_buffer(Buffer* buffer) {
  if (buffer->buffer == NULL) return;
  const PJRT_Api* api = buffer->client->api;
  ARGUMENTS(PJRT_Buffer_Destroy_Args, destroyed);
  destroyed.buffer = buffer->buffer;
  ignore(api, api->PJRT_Buffer_Destroy(&destroyed));
  buffer->buffer = NULL;
  release_client(buffer->client);
}

static void finalize(napi_env env, void* data, void* hint) {
  (void)env;
  (void)hint;
  switch (*(Kind*)data) {
    case CLIENT:
      release_client(data);
      return;
    case PROGRAM:
      free_program(data);
      break;
    case BUFFER:
      free_buffer(data);
      break;
    case PLUGIN:
      break;
  }
  free(data);
}

void* read_handle(napi_env env, napi_value value, Kind kind) {
  napi_valuetype type = napi_undefined;
  void* data = NULL;
  if (node_failed(env, napi_typeof(env, value, &type))) return NULL;
  if (type == napi_external && node_failed(env, napi_get_value_external(env, value, &data))) return NULL;
  if (data == NULL || *(Kind*)data != kind) {
    refuse(env, "INVALID_ARGUMENT", "a %s is needed", NAMES[kind]);
    return NULL;
  }
  const bool freed = (kind == PROGRAM && ((Program*)data)->loaded == NULL) ||
                     (kind == BUFFER && ((Buffer*)data)->buffer == NULL);
  if (!freed) return data;
  refuse(env, "FAILED_PRECONDITION", "this %s was freed", NAMES[kind]);
  return NULL;
}

/** The handle of a struct, which is finalized here where there can be none. */
static napi_value handle_of(napi_env env, void* data) {
  napi_value handle = NULL;
  if (data == NULL) {
    refuse(env, "RESOURCE_EXHAUSTED", "no memory for a handle");
    return NULL;
  }
  if (!node_failed(env, napi_create_external(env, data, finalize, NULL, &handle))) return handle;
  finalize(env, data, NULL);
  return NULL;
}

napi_value plugin_handle(napi_env env, const PJRT_Api* api) {
  Plugin* plugin = calloc(1, sizeof *plugin);
  if (plugin != NULL) *plugin = (Plugin){PLUGIN, api};
  return handle_of(env, plugin);
}

napi_value client_handle(napi_env env, const PJRT_Api* api, PJRT_Client* made) {
  Client* client = calloc(1, sizeof *client);
  ARGUMENTS(PJRT_Client_AddressableDevices_Args, devices);
  devices.client = made;
  if (client == NULL || plugin_failed(env, api, api->PJRT_Client_AddressableDevices(&devices))) {
    ARGUMENTS(PJRT_Client_Destroy_Args, destroyed);
    destroyed.client = made;
    ignore(api, api->PJRT_Client_Destroy(&destroyed));
    free(client);
    return NULL;
  }
  *client = (Client){CLIENT, api, made, devices.addressable_devices, devices.num_addressable_devices, 1};
  return handle_of(env, client);
}

napi_value program_handle(napi_env env, Client* client, PJRT_LoadedExecutable* loaded) {
  const PJRT_Api* api = client->api;
  Program* program = calloc(1, sizeof *program);
  if (program == NULL) {
    ARGUMENTS(PJRT_LoadedExecutable_Destroy_Args, destroyed);
    destroyed.executable = loaded;
    ignore(api, api->PJRT_LoadedExecutable_Destroy(&destroyed));
    return handle_of(env, NULL);
  }
  client->references++;
  *program = (Program){PROGRAM, client, loaded, NULL, 0};
  ARGUMENTS(PJRT_LoadedExecutable_GetExecutable_Args, described);
  described.loaded_executable = loaded;
  PJRT_Error* error = api->PJRT_LoadedExecutable_GetExecutable(&described);
  if (error == NULL) {
    program->executable = described.executable;
    ARGUMENTS(PJRT_Executable_NumOutputs_Args, outputs);
    outputs.executable = described.executable;
    error = api->PJRT_Executable_NumOutputs(&outputs);
    program->outputs = outputs.num_outputs;
  }
  if (!plugin_failed(env, api, error)) return handle_of(env, program);
  finalize(env, program, NULL);
  return NULL;
}

napi_value buffer_handle(napi_env env, Client* client, PJRT_Buffer* made) {
  Buffer* buffer = calloc(1, sizeof *buffer);
  if (buffer == NULL) {
    ARGUMENTS(PJRT_Buffer_Destroy_Args, destroyed);
    destroyed.buffer = made;
    ignore(client->api, client->api->PJRT_Buffer_Destroy(&destroyed));
    return handle_of(env, NULL);
  }
  client->references++;
  *buffer = (Buffer){BUFFER, client, made};
  return handle_of(env, buffer);
}

napi_value free_handle(napi_env env, napi_callback_info info) {
  napi_value value;
  void* data = NULL;
  if (!read_arguments(env, info, 1, &value)) return NULL;
  if (node_failed(env, napi_get_value_external(env, value, &data))) return NULL;
  if (*(Kind*)data == PROGRAM) free_program(data);
  if (*(Kind*)data == BUFFER) free_buffer(data);
  return NULL;
}
