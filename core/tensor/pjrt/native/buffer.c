// Arrays between the host's memory and a device's. Both directions read and write the memory of typed arrays
// without a copy of their own, shared memory included.

#include <stdlib.h>

#include "pjrt.h"

/** Bytes of one element, 0 for types that this addon does not carry. */
static size_t width_of(PJRT_Buffer_Type type) {
  switch (type) {
    case PJRT_Buffer_Type_PRED:
    case PJRT_Buffer_Type_S8:
    case PJRT_Buffer_Type_U8:
      return 1;
    case PJRT_Buffer_Type_S16:
    case PJRT_Buffer_Type_U16:
    case PJRT_Buffer_Type_F16:
    case PJRT_Buffer_Type_BF16:
      return 2;
    case PJRT_Buffer_Type_S32:
    case PJRT_Buffer_Type_U32:
    case PJRT_Buffer_Type_F32:
      return 4;
    case PJRT_Buffer_Type_S64:
    case PJRT_Buffer_Type_U64:
    case PJRT_Buffer_Type_F64:
      return 8;
    default:
      return 0;
  }
}

/** Throws where an array of so many bytes is not of this type and shape: the plugin would read beyond its end. */
static bool is_misfit(napi_env env, size_t bytes, PJRT_Buffer_Type type, const int64_t* dims, size_t count) {
  size_t needed = width_of(type);
  if (needed == 0) return refuse(env, "INVALID_ARGUMENT", "buffers of type %d are not carried", (int)type);
  for (size_t i = 0; i < count; i++) {
    if (dims[i] < 0 || __builtin_mul_overflow(needed, (size_t)dims[i], &needed))
      return refuse(env, "INVALID_ARGUMENT", "a buffer has no size %lld", (long long)dims[i]);
  }
  if (needed == bytes) return false;
  return refuse(env, "INVALID_ARGUMENT", "the buffer takes %zu bytes, and the array has %zu", needed, bytes);
}

napi_value upload_buffer(napi_env env, napi_callback_info info) {
  napi_value values[5];
  void* data = NULL;
  size_t bytes = 0, device = 0;
  int32_t type = 0;
  if (!read_arguments(env, info, 5, values)) return NULL;
  Client* client = read_handle(env, values[0], CLIENT);
  if (client == NULL || !read_index(env, values[1], client->device_count, "device", &device) ||
      !read_bytes(env, values[2], &data, &bytes) || node_failed(env, napi_get_value_int32(env, values[3], &type)))
    return NULL;
  const PJRT_Api* api = client->api;
  ARGUMENTS(PJRT_Client_BufferFromHostBuffer_Args, upload);
  int64_t* dims = read_integers(env, values[4], &upload.num_dims);
  if (dims == NULL) return NULL;
  upload.client = client->client;
  upload.data = data;
  upload.type = (PJRT_Buffer_Type)type;
  upload.dims = dims;
  // The array may change as soon as this returns, and the wait below makes a copy by the runtime unnecessary.
  upload.host_buffer_semantics = PJRT_HostBufferSemantics_kImmutableUntilTransferCompletes;
  upload.device = client->devices[device];
  const bool refused = is_misfit(env, bytes, upload.type, dims, upload.num_dims) ||
                       plugin_failed(env, api, api->PJRT_Client_BufferFromHostBuffer(&upload));
  free(dims);
  if (refused) return NULL;
  const bool failed = event_failed(env, api, upload.done_with_host_buffer);
  // The handle frees the buffer of a failed transfer when it is collected.
  napi_value handle = buffer_handle(env, client, upload.buffer);
  return failed ? NULL : handle;
}

napi_value download_buffer(napi_env env, napi_callback_info info) {
  napi_value values[2];
  void* data = NULL;
  size_t bytes = 0;
  if (!read_arguments(env, info, 2, values)) return NULL;
  Buffer* buffer = read_handle(env, values[0], BUFFER);
  if (buffer == NULL || !read_bytes(env, values[1], &data, &bytes)) return NULL;
  const PJRT_Api* api = buffer->client->api;
  ARGUMENTS(PJRT_Buffer_ToHostBuffer_Args, size);
  size.src = buffer->buffer;
  if (plugin_failed(env, api, api->PJRT_Buffer_ToHostBuffer(&size))) return NULL;
  if (size.dst_size != bytes) {
    refuse(env, "INVALID_ARGUMENT", "the buffer has %zu bytes, and the array for it %zu", size.dst_size, bytes);
    return NULL;
  }
  ARGUMENTS(PJRT_Buffer_ToHostBuffer_Args, download);
  download.src = buffer->buffer;
  download.dst = data;
  download.dst_size = bytes;
  if (!plugin_failed(env, api, api->PJRT_Buffer_ToHostBuffer(&download))) event_failed(env, api, download.event);
  return NULL;
}
