// A file as a part of memory that Node already has. Node has no call for it. Decides nothing: each function
// is one call of the system, and its failure is an error with the system's own words.

#include <errno.h>
#include <fcntl.h>
#include <node_api.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

namespace {

napi_value failed(napi_env env, const char* call, int number) {
  char text[160];
  strcpy(text, call);
  strcat(text, ": ");
  strncat(text, strerror(number), 100);
  napi_throw_error(env, nullptr, text);
  return nullptr;
}

struct Arguments {
  napi_value values[3];
  bool ok;
};

Arguments argumentsOf(napi_env env, napi_callback_info info, size_t wanted) {
  Arguments found{};
  size_t count = 3;
  found.ok = napi_get_cb_info(env, info, &count, found.values, nullptr, nullptr) == napi_ok && count == wanted;
  if (!found.ok) napi_throw_type_error(env, nullptr, "wrong number of arguments");
  return found;
}

bool numberAt(napi_env env, const Arguments& given, int index, int64_t* number) {
  if (napi_get_value_int64(env, given.values[index], number) == napi_ok) return true;
  napi_throw_type_error(env, nullptr, "not a number");
  return false;
}

bool viewAt(napi_env env, const Arguments& given, void** data, size_t* bytes) {
  napi_typedarray_type type;
  if (napi_get_typedarray_info(env, given.values[0], &type, bytes, data, nullptr, nullptr) == napi_ok &&
      type == napi_uint8_array)
    return true;
  napi_throw_type_error(env, nullptr, "not a Uint8Array");
  return false;
}

/** map(view, fd, offset): the bytes of the view become those of the file from `offset` on, shared with all who map it. */
napi_value map(napi_env env, napi_callback_info info) {
  const Arguments given = argumentsOf(env, info, 3);
  void* data;
  size_t bytes;
  int64_t fd, offset;
  if (!given.ok || !viewAt(env, given, &data, &bytes) || !numberAt(env, given, 1, &fd) ||
      !numberAt(env, given, 2, &offset))
    return nullptr;
  if (mmap(data, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, static_cast<int>(fd), offset) == MAP_FAILED)
    return failed(env, "mmap", errno);
  return nullptr;
}

/** unmap(view): the bytes of the view become zeros that are this process's own. */
napi_value unmap(napi_env env, napi_callback_info info) {
  const Arguments given = argumentsOf(env, info, 1);
  void* data;
  size_t bytes;
  if (!given.ok || !viewAt(env, given, &data, &bytes)) return nullptr;
  if (mmap(data, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
    return failed(env, "mmap", errno);
  return nullptr;
}

/** allocate(fd, bytes): the file is so long, and every page of it exists. */
napi_value allocate(napi_env env, napi_callback_info info) {
  const Arguments given = argumentsOf(env, info, 2);
  int64_t fd, bytes;
  if (!given.ok || !numberAt(env, given, 0, &fd) || !numberAt(env, given, 1, &bytes)) return nullptr;
  const int number = posix_fallocate(static_cast<int>(fd), 0, bytes);
  return number == 0 ? nullptr : failed(env, "posix_fallocate", number);
}

/** lock(fd): whether this process holds the file's lock now. The system releases it when the process ends. */
napi_value lock(napi_env env, napi_callback_info info) {
  const Arguments given = argumentsOf(env, info, 1);
  int64_t fd;
  if (!given.ok || !numberAt(env, given, 0, &fd)) return nullptr;
  const bool held = flock(static_cast<int>(fd), LOCK_EX | LOCK_NB) == 0;
  if (!held && errno != EWOULDBLOCK) return failed(env, "flock", errno);
  napi_value answer;
  return napi_get_boolean(env, held, &answer) == napi_ok ? answer : nullptr;
}

napi_value init(napi_env env, napi_value exports) {
  const napi_property_descriptor properties[] = {
      {"map", nullptr, map, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"unmap", nullptr, unmap, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"allocate", nullptr, allocate, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"lock", nullptr, lock, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  return napi_define_properties(env, exports, 4, properties) == napi_ok ? exports : nullptr;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, init)
