// What the files of this addon share. It opens a plugin by path and calls it through PJRT's C interface alone
// (pjrt_c_api.h of the OpenXLA project), so one addon serves every vendor's plugin. Every function runs on the
// calling thread and returns when the device is done.

#pragma once
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pjrt_c_api.h"

/** What a handle of JavaScript refers to; the first field of each of the four structs below. */
typedef enum { PLUGIN = 1, CLIENT, PROGRAM, BUFFER } Kind;

/** A loaded plugin. It stays loaded until the process ends: plugins cannot be unloaded. */
typedef struct {
  Kind kind;
  const PJRT_Api* api;
} Plugin;

/** A client with its devices. Programs and buffers refer to it; it ends with the last of them. */
typedef struct {
  Kind kind;
  const PJRT_Api* api;
  PJRT_Client* client;
  PJRT_Device* const* devices;
  size_t device_count;
  size_t references;
} Client;

/** A compiled program; `executable` is NULL once it was freed. */
typedef struct {
  Kind kind;
  Client* client;
  PJRT_LoadedExecutable* loaded;
  PJRT_Executable* executable;
  size_t outputs;
} Program;

/** An array on a device; `buffer` is NULL once it was freed. */
typedef struct {
  Kind kind;
  Client* client;
  PJRT_Buffer* buffer;
} Buffer;

/** An argument struct of PJRT with its size, all other fields zero. */
#define ARGUMENTS(type, name) \
  type name = {0};            \
  name.struct_size = type##_STRUCT_SIZE

// errors.c: each throws a JavaScript error and returns true where something is wrong.

/** Whether Node refused. */
bool node_failed(napi_env env, napi_status status);
/** Whether the plugin refused; frees its error. The JavaScript error's `code` is the plugin's. */
bool plugin_failed(napi_env env, const PJRT_Api* api, PJRT_Error* error);
/** Waits for an event and frees it; NULL is an event that has passed. */
bool event_failed(napi_env env, const PJRT_Api* api, PJRT_Event* event);
/** Throws with a code of PJRT, such as FAILED_PRECONDITION. Always true. */
bool refuse(napi_env env, const char* code, const char* format, ...);

// values.c: values of JavaScript.

#define ARGUMENTS_MAX 5
/** Reads exactly `count` arguments of a call; false where it has fewer. */
bool read_arguments(napi_env env, napi_callback_info info, size_t count, napi_value* values);
/** The bytes of a typed array, and how many; the memory may be shared between threads. */
bool read_bytes(napi_env env, napi_value value, void** data, size_t* length);
/** A new string that the caller frees, or NULL. */
char* read_string(napi_env env, napi_value value, size_t* length);
/** A new list of integers that the caller frees, or NULL. An empty list is no error. */
int64_t* read_integers(napi_env env, napi_value value, size_t* count);
bool read_index(napi_env env, napi_value value, size_t below, const char* what, size_t* index);
bool set_string(napi_env env, napi_value object, const char* name, const char* text, size_t length);
bool set_number(napi_env env, napi_value object, const char* name, double number);
/** A list of numbers. */
napi_value integers_value(napi_env env, const int64_t* values, size_t count);

// handles.c: lives of handles.

/** The struct behind a handle of this kind, or NULL with an error. One that was freed is refused. */
void* read_handle(napi_env env, napi_value value, Kind kind);
napi_value plugin_handle(napi_env env, const PJRT_Api* api);
/** Takes over the client, the program or the buffer, also where it fails. */
napi_value client_handle(napi_env env, const PJRT_Api* api, PJRT_Client* client);
napi_value program_handle(napi_env env, Client* client, PJRT_LoadedExecutable* loaded);
napi_value buffer_handle(napi_env env, Client* client, PJRT_Buffer* buffer);
/** Frees what a handle refers to, once; JavaScript's `free`. */
napi_value free_handle(napi_env env, napi_callback_info info);

// The functions of JavaScript; binding.ts has their types.

napi_value load_plugin(napi_env env, napi_callback_info info);
napi_value create_client(napi_env env, napi_callback_info info);
napi_value memory_statistics(napi_env env, napi_callback_info info);
napi_value compile_program(napi_env env, napi_callback_info info);
napi_value serialize_program(napi_env env, napi_callback_info info);
napi_value load_program(napi_env env, napi_callback_info info);
napi_value describe_program(napi_env env, napi_callback_info info);
napi_value run_program(napi_env env, napi_callback_info info);
napi_value upload_buffer(napi_env env, napi_callback_info info);
napi_value download_buffer(napi_env env, napi_callback_info info);
