// Failures as JavaScript errors: the plugin's message and its code by name, so that nobody has to look at the
// text.

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pjrt.h"

static const char* const CODES[] = {
    "OK",           "CANCELLED",         "UNKNOWN",            "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",  "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",        "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL",          "UNAVAILABLE",        "DATA_LOSS",        "UNAUTHENTICATED"};

static void throw_error(napi_env env, const char* code, const char* message) {
  bool pending = false;
  // The first failure is the cause of those that follow from it.
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) return;
  napi_throw_error(env, code, message);
}

bool node_failed(napi_env env, napi_status status) {
  if (status == napi_ok) return false;
  const napi_extended_error_info* info = NULL;
  napi_get_last_error_info(env, &info);
  const char* message = info != NULL && info->error_message != NULL ? info->error_message : "a call of Node-API failed";
  throw_error(env, "INVALID_ARGUMENT", message);
  return true;
}

bool refuse(napi_env env, const char* code, const char* format, ...) {
  char message[1024];
  va_list values;
  va_start(values, format);
  vsnprintf(message, sizeof message, format, values);
  va_end(values);
  throw_error(env, code, message);
  return true;
}

bool plugin_failed(napi_env env, const PJRT_Api* api, PJRT_Error* error) {
  if (error == NULL) return false;
  ARGUMENTS(PJRT_Error_Message_Args, text);
  text.error = error;
  api->PJRT_Error_Message(&text);
  ARGUMENTS(PJRT_Error_GetCode_Args, code);
  code.error = error;
  PJRT_Error* second = api->PJRT_Error_GetCode(&code);
  ARGUMENTS(PJRT_Error_Destroy_Args, destroyed);
  if (second != NULL) {
    code.code = PJRT_Error_Code_UNKNOWN;
    destroyed.error = second;
    api->PJRT_Error_Destroy(&destroyed);
  }
  const size_t known = sizeof CODES / sizeof *CODES;
  const char* name = (size_t)code.code < known ? CODES[code.code] : "UNKNOWN";
  // A plugin may append its own call stack, of which nobody who reads the sentence has a use.
  int length = text.message_size > 900 ? 900 : (int)text.message_size;
  refuse(env, name, "%.*s", length, text.message);
  destroyed.error = error;
  api->PJRT_Error_Destroy(&destroyed);
  return true;
}

bool event_failed(napi_env env, const PJRT_Api* api, PJRT_Event* event) {
  if (event == NULL) return false;
  ARGUMENTS(PJRT_Event_Await_Args, await);
  await.event = event;
  PJRT_Error* error = api->PJRT_Event_Await(&await);
  ARGUMENTS(PJRT_Event_Destroy_Args, destroyed);
  destroyed.event = event;
  PJRT_Error* second = api->PJRT_Event_Destroy(&destroyed);
  const bool failed = plugin_failed(env, api, error);
  return plugin_failed(env, api, second) || failed;
}
