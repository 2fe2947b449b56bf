// Programs: compiled from text, kept as bytes, run on devices. A program is compiled without a device, so that
// one serves all devices of a client.

#include <stdlib.h>

#include "pjrt.h"

napi_value compile_program(napi_env env, napi_callback_info info) {
  napi_value values[4];
  void *code = NULL, *options = NULL;
  if (!read_arguments(env, info, 4, values)) return NULL;
  Client* client = read_handle(env, values[0], CLIENT);
  ARGUMENTS(PJRT_Program, program);
  ARGUMENTS(PJRT_Client_Compile_Args, compile);
  if (client == NULL || !read_bytes(env, values[1], &code, &program.code_size) ||
      !read_bytes(env, values[3], &options, &compile.compile_options_size))
    return NULL;
  char* format = read_string(env, values[2], &program.format_size);
  if (format == NULL) return NULL;
  program.code = code;
  program.format = format;
  compile.client = client->client;
  compile.program = &program;
  compile.compile_options = options;
  const bool failed = plugin_failed(env, client->api, client->api->PJRT_Client_Compile(&compile));
  free(format);
  return failed ? NULL : program_handle(env, client, compile.executable);
}


napi_value serialize_program(napi_env env, napi_callback_info info) {
  napi_value value, result = NULL;
  if (!read_arguments(env, info, 1, &value)) return NULL;
  Program* program = read_handle(env, value, PROGRAM);
  if (program == NULL) return NULL;
  const PJRT_Api* api = program->client->api;
  ARGUMENTS(PJRT_Executable_Serialize_Args, serialized);
  serialized.executable = program->executable;
  if (plugin_failed(env, api, api->PJRT_Executable_Serialize(&serialized))) return NULL;
  // The copy is JavaScript's, since the plugin's bytes end with this call.
  node_failed(env, napi_create_buffer_copy(env, serialized.serialized_bytes_size, serialized.serialized_bytes, NULL, &result));
  serialized.serialized_executable_deleter(serialized.serialized_executable);
  return result;
}

napi_value load_program(napi_env env, napi_callback_info info) {
  napi_value values[2];
  void* bytes = NULL;
  if (!read_arguments(env, info, 2, values)) return NULL;
  Client* client = read_handle(env, values[0], CLIENT);
  ARGUMENTS(PJRT_Executable_DeserializeAndLoad_Args, load);
  if (client == NULL || !read_bytes(env, values[1], &bytes, &load.serialized_executable_size)) return NULL;
  load.client = client->client;
  load.serialized_executable = bytes;
  if (plugin_failed(env, client->api, client->api->PJRT_Executable_DeserializeAndLoad(&load))) return NULL;
  return program_handle(env, client, load.loaded_executable);
}

static bool set_memory(napi_env env, napi_value object, Program* program) {
  const PJRT_Api* api = program->client->api;
  ARGUMENTS(PJRT_Executable_GetCompiledMemoryStats_Args, memory);
  memory.executable = program->executable;
  PJRT_Error* error = api->PJRT_Executable_GetCompiledMemoryStats(&memory);
  if (error != NULL) {
    // Not every plugin knows it, and nothing depends on it.
    ARGUMENTS(PJRT_Error_Destroy_Args, destroyed);
    destroyed.error = error;
    api->PJRT_Error_Destroy(&destroyed);
    return true;
  }
  return set_number(env, object, "argumentBytes", (double)memory.argument_size_in_bytes) &&
         set_number(env, object, "outputBytes", (double)memory.output_size_in_bytes) &&
         set_number(env, object, "aliasedBytes", (double)memory.alias_size_in_bytes) &&
         set_number(env, object, "temporaryBytes", (double)memory.temp_size_in_bytes);
}

napi_value describe_program(napi_env env, napi_callback_info info) {
  napi_value value, object, outputs;
  if (!read_arguments(env, info, 1, &value)) return NULL;
  Program* program = read_handle(env, value, PROGRAM);
  if (program == NULL) return NULL;
  const PJRT_Api* api = program->client->api;
  ARGUMENTS(PJRT_Executable_OutputElementTypes_Args, types);
  types.executable = program->executable;
  ARGUMENTS(PJRT_Executable_OutputDimensions_Args, shapes);
  shapes.executable = program->executable;
  if (plugin_failed(env, api, api->PJRT_Executable_OutputElementTypes(&types)) ||
      plugin_failed(env, api, api->PJRT_Executable_OutputDimensions(&shapes)) ||
      node_failed(env, napi_create_object(env, &object)) || node_failed(env, napi_create_array(env, &outputs)) ||
      node_failed(env, napi_set_named_property(env, object, "outputs", outputs)) || !set_memory(env, object, program))
    return NULL;
  const int64_t* dims = shapes.dims;
  for (size_t i = 0; i < program->outputs; i++) {
    napi_value output, shape = integers_value(env, dims, shapes.dim_sizes[i]);
    if (shape == NULL || node_failed(env, napi_create_object(env, &output)) ||
        !set_number(env, output, "type", types.output_types[i]) ||
        node_failed(env, napi_set_named_property(env, output, "shape", shape)) ||
        node_failed(env, napi_set_element(env, outputs, (uint32_t)i, output)))
      return NULL;
    dims += shapes.dim_sizes[i];
  }
  return object;
}

/** One execution of a program: where, with what, and what comes out. */
typedef struct {
  PJRT_Device* device;
  size_t count;
  PJRT_Buffer** inputs;
  PJRT_Buffer** outputs;
  PJRT_Event* done;
} Launch;

static bool read_launch(napi_env env, napi_value value, Program* program, Launch* launch) {
  napi_value device, inputs;
  size_t index = 0;
  uint32_t count = 0;
  if (node_failed(env, napi_get_named_property(env, value, "device", &device)) ||
      !read_index(env, device, program->client->device_count, "device", &index) ||
      node_failed(env, napi_get_named_property(env, value, "inputs", &inputs)) ||
      node_failed(env, napi_get_array_length(env, inputs, &count)))
    return false;
  launch->device = program->client->devices[index];
  launch->count = count;
  launch->inputs = calloc(count + 1, sizeof *launch->inputs);
  launch->outputs = calloc(program->outputs + 1, sizeof *launch->outputs);
  if (launch->inputs == NULL || launch->outputs == NULL)
    return !refuse(env, "RESOURCE_EXHAUSTED", "no memory for the lists of a run");
  for (uint32_t i = 0; i < count; i++) {
    napi_value element;
    if (node_failed(env, napi_get_element(env, inputs, i, &element))) return false;
    Buffer* buffer = read_handle(env, element, BUFFER);
    if (buffer == NULL) return false;
    if (buffer->client != program->client)
      return !refuse(env, "INVALID_ARGUMENT", "input %u belongs to another client than the program", i);
    launch->inputs[i] = buffer->buffer;
  }
  return true;
}

static bool start(napi_env env, Program* program, Launch* launch) {
  const PJRT_Api* api = program->client->api;
  ARGUMENTS(PJRT_ExecuteOptions, options);
  ARGUMENTS(PJRT_LoadedExecutable_Execute_Args, execute);
  PJRT_Buffer* const* inputs = launch->inputs;
  PJRT_Buffer** outputs = launch->outputs;
  execute.executable = program->loaded;
  execute.options = &options;
  execute.argument_lists = &inputs;
  execute.num_devices = 1;
  execute.num_args = launch->count;
  execute.output_lists = &outputs;
  execute.device_complete_events = &launch->done;
  execute.execute_device = launch->device;
  return !plugin_failed(env, api, api->PJRT_LoadedExecutable_Execute(&execute));
}

/** The handles of a launch's outputs; what can have none is freed. */
static napi_value outputs_value(napi_env env, Program* program, Launch* launch) {
  napi_value list;
  if (node_failed(env, napi_create_array_with_length(env, program->outputs, &list))) return NULL;
  for (size_t i = 0; i < program->outputs; i++) {
    napi_value handle = buffer_handle(env, program->client, launch->outputs[i]);
    launch->outputs[i] = NULL;
    if (handle == NULL || node_failed(env, napi_set_element(env, list, (uint32_t)i, handle))) return NULL;
  }
  return list;
}

static void free_launch(Program* program, Launch* launch) {
  const PJRT_Api* api = program->client->api;
  for (size_t i = 0; launch->outputs != NULL && i < program->outputs; i++) {
    if (launch->outputs[i] == NULL) continue;
    ARGUMENTS(PJRT_Buffer_Destroy_Args, destroyed);
    destroyed.buffer = launch->outputs[i];
    api->PJRT_Buffer_Destroy(&destroyed);
  }
  free(launch->inputs);
  free(launch->outputs);
}

napi_value run_program(napi_env env, napi_callback_info info) {
  napi_value values[2], result = NULL;
  uint32_t count = 0;
  if (!read_arguments(env, info, 2, values)) return NULL;
  Program* program = read_handle(env, values[0], PROGRAM);
  if (program == NULL || node_failed(env, napi_get_array_length(env, values[1], &count))) return NULL;
  Launch* launches = calloc(count + 1, sizeof *launches);
  bool good = launches != NULL || !refuse(env, "RESOURCE_EXHAUSTED", "no memory for %u runs", count);
  for (uint32_t i = 0; good && i < count; i++) {
    napi_value element;
    good = !node_failed(env, napi_get_element(env, values[1], i, &element)) &&
           read_launch(env, element, program, &launches[i]);
  }
  // All are started before the first is waited for, so that the devices compute at the same time.
  for (uint32_t i = 0; good && i < count; i++) good = start(env, program, &launches[i]);
  for (uint32_t i = 0; launches != NULL && i < count; i++)
    good = !event_failed(env, program->client->api, launches[i].done) && good;
  if (good && !node_failed(env, napi_create_array_with_length(env, count, &result))) {
    for (uint32_t i = 0; result != NULL && i < count; i++) {
      napi_value outputs = outputs_value(env, program, &launches[i]);
      if (outputs == NULL || node_failed(env, napi_set_element(env, result, i, outputs))) result = NULL;
    }
  }
  for (uint32_t i = 0; launches != NULL && i < count; i++) free_launch(program, &launches[i]);
  free(launches);
  return result;
}
