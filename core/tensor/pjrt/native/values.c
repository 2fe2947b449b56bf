// Values of JavaScript as values of C and back.

#include <stdlib.h>

#include "pjrt.h"

bool read_arguments(napi_env env, napi_callback_info info, size_t count, napi_value* values) {
  size_t given = ARGUMENTS_MAX;
  napi_value all[ARGUMENTS_MAX];
  if (node_failed(env, napi_get_cb_info(env, info, &given, all, NULL, NULL))) return false;
  if (given < count) return !refuse(env, "INVALID_ARGUMENT", "the call has %zu arguments and needs %zu", given, count);
  for (size_t i = 0; i < count; i++) values[i] = all[i];
  return true;
}

static const size_t WIDTHS[] = {
    [napi_int8_array] = 1,  [napi_uint8_array] = 1,   [napi_uint8_clamped_array] = 1, [napi_int16_array] = 2,
    [napi_uint16_array] = 2, [napi_int32_array] = 4,   [napi_uint32_array] = 4,        [napi_float32_array] = 4,
    [napi_float64_array] = 8, [napi_bigint64_array] = 8, [napi_biguint64_array] = 8};

bool read_bytes(napi_env env, napi_value value, void** data, size_t* length) {
  bool typed = false;
  if (node_failed(env, napi_is_typedarray(env, value, &typed))) return false;
  if (!typed) return !refuse(env, "INVALID_ARGUMENT", "a typed array is needed");
  napi_typedarray_type type;
  size_t count = 0;
  if (node_failed(env, napi_get_typedarray_info(env, value, &type, &count, data, NULL, NULL))) return false;
  if ((size_t)type >= sizeof WIDTHS / sizeof *WIDTHS || WIDTHS[type] == 0)
    return !refuse(env, "INVALID_ARGUMENT", "typed arrays of this kind cannot be on a device");
  *length = count * WIDTHS[type];
  return true;
}

char* read_string(napi_env env, napi_value value, size_t* length) {
  if (node_failed(env, napi_get_value_string_utf8(env, value, NULL, 0, length))) return NULL;
  char* text = malloc(*length + 1);
  if (text == NULL) {
    refuse(env, "RESOURCE_EXHAUSTED", "no memory for a text of %zu bytes", *length);
    return NULL;
  }
  if (!node_failed(env, napi_get_value_string_utf8(env, value, text, *length + 1, length))) return text;
  free(text);
  return NULL;
}

int64_t* read_integers(napi_env env, napi_value value, size_t* count) {
  uint32_t length = 0;
  if (node_failed(env, napi_get_array_length(env, value, &length))) return NULL;
  int64_t* numbers = malloc((length + 1) * sizeof *numbers);
  if (numbers == NULL) {
    refuse(env, "RESOURCE_EXHAUSTED", "no memory for a list of %u numbers", length);
    return NULL;
  }
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    if (node_failed(env, napi_get_element(env, value, i, &element)) ||
        node_failed(env, napi_get_value_int64(env, element, &numbers[i]))) {
      free(numbers);
      return NULL;
    }
  }
  *count = length;
  return numbers;
}

bool read_index(napi_env env, napi_value value, size_t below, const char* what, size_t* index) {
  int64_t number = 0;
  if (node_failed(env, napi_get_value_int64(env, value, &number))) return false;
  if (number < 0 || (size_t)number >= below)
    return !refuse(env, "OUT_OF_RANGE", "there is no %s %lld among %zu", what, (long long)number, below);
  *index = (size_t)number;
  return true;
}

bool set_string(napi_env env, napi_value object, const char* name, const char* text, size_t length) {
  napi_value value;
  return !node_failed(env, napi_create_string_utf8(env, text, length, &value)) &&
         !node_failed(env, napi_set_named_property(env, object, name, value));
}

bool set_number(napi_env env, napi_value object, const char* name, double number) {
  napi_value value;
  return !node_failed(env, napi_create_double(env, number, &value)) &&
         !node_failed(env, napi_set_named_property(env, object, name, value));
}

napi_value integers_value(napi_env env, const int64_t* values, size_t count) {
  napi_value list;
  if (node_failed(env, napi_create_array_with_length(env, count, &list))) return NULL;
  for (size_t i = 0; i < count; i++) {
    napi_value number;
    if (node_failed(env, napi_create_int64(env, values[i], &number)) ||
        node_failed(env, napi_set_element(env, list, (uint32_t)i, number)))
      return NULL;
  }
  return list;
}
