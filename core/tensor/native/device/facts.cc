// Reads from the driver's libraries and CUDA's which devices this process sees, and returns it to JavaScript.
// The libraries are opened when they are needed and not linked, so that the addon loads on a machine without
// any of them.

#include "facts.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace fleet {
namespace {

// From cuda.h, cublas_api.h and nvml.h, which are not there when the addon is built; these numbers and
// signatures are fixed.
constexpr int kMultiprocessorCount = 16, kComputeCapabilityMajor = 75, kComputeCapabilityMinor = 76;
constexpr int kUuidBytes = 16;

/**
 * A shared library by its loader's name. It stays open: a driver that has started threads must not be
 * unloaded.
 */
class Library {
 public:
  explicit Library(const char* name) : handle_(dlopen(name, RTLD_LAZY | RTLD_LOCAL)) {
    if (handle_ == nullptr) {
      const char* reason = dlerror();
      reason_ = reason == nullptr ? std::string(name) + " cannot be opened" : reason;
    }
  }
  bool isOpen() const { return handle_ != nullptr; }
  /** The loader's sentence when it is not open. */
  const std::string& reason() const { return reason_; }
  template <typename Function>
  Function* find(const char* name) const {
    return isOpen() ? reinterpret_cast<Function*>(dlsym(handle_, name)) : nullptr;
  }

 private:
  void* handle_;
  std::string reason_;
};

struct Device {
  std::string name, computeCapability, uuid;
  int multiprocessors = 0;
  size_t memoryBytes = 0;
};

struct Facts {
  std::vector<Device> devices;
  /** Versions; empty where no library reports them. */
  std::string driver, cuda, cudnn, cublas;
  /** Why a device or the driver's version is missing; empty when nothing is. */
  std::string reason;
  void addReason(const std::string& reason_) { reason += (reason.empty() ? "" : "; ") + reason_; }
};

/** libcuda.so.1: each call returns 0 or an error that the library itself can name. */
class Driver {
 public:
  Driver(const Library& library, Facts& facts) : library_(library), facts_(facts) {}

  template <typename... Arguments>
  bool call(const char* name, Arguments... arguments) {
    auto* function = library_.find<int(Arguments...)>(name);
    if (function == nullptr) {
      facts_.addReason(std::string("libcuda.so.1 has no ") + name);
      return false;
    }
    const int error = function(arguments...);
    if (error != 0) facts_.addReason(std::string(name) + ": " + describe(error));
    return error == 0;
  }

  bool has(const char* name) const { return library_.find<int()>(name) != nullptr; }

 private:
  std::string describe(int error) const {
    const char *name = nullptr, *sentence = nullptr;
    if (auto* function = library_.find<int(int, const char**)>("cuGetErrorName")) function(error, &name);
    if (auto* function = library_.find<int(int, const char**)>("cuGetErrorString")) function(error, &sentence);
    if (name == nullptr) return "error " + std::to_string(error);
    return std::string(name) + (sentence == nullptr ? "" : std::string(" (") + sentence + ")");
  }

  const Library& library_;
  Facts& facts_;
};

/** As nvidia-smi writes it: GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx. */
std::string uuidText(const char* prefix, const unsigned char (&bytes)[kUuidBytes]) {
  std::string text = prefix;
  for (int i = 0; i < kUuidBytes; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", bytes[i]);
    text += digits;
  }
  return text;
}

/**
 * The second version of the call gives a MIG instance its own id where the first gives that of the whole GPU.
 */
bool readUuid(Driver& driver, int handle, std::string* uuid) {
  unsigned char whole[kUuidBytes] = {}, own[kUuidBytes] = {};
  if (!driver.call("cuDeviceGetUuid", whole, handle)) return false;
  if (!driver.has("cuDeviceGetUuid_v2")) {
    *uuid = uuidText("GPU-", whole);
    return true;
  }
  if (!driver.call("cuDeviceGetUuid_v2", own, handle)) return false;
  *uuid = uuidText(std::equal(whole, whole + kUuidBytes, own) ? "GPU-" : "MIG-", own);
  return true;
}

bool readDevice(Driver& driver, int ordinal, Device* device) {
  int handle = 0, major = 0, minor = 0;
  char name[256] = {};
  const bool good = driver.call("cuDeviceGet", &handle, ordinal) &&
                    driver.call("cuDeviceGetName", &name[0], static_cast<int>(sizeof name - 1), handle) &&
                    driver.call("cuDeviceGetAttribute", &major, kComputeCapabilityMajor, handle) &&
                    driver.call("cuDeviceGetAttribute", &minor, kComputeCapabilityMinor, handle) &&
                    driver.call("cuDeviceGetAttribute", &device->multiprocessors, kMultiprocessorCount, handle) &&
                    driver.call("cuDeviceTotalMem_v2", &device->memoryBytes, handle) &&
                    readUuid(driver, handle, &device->uuid);
  device->name = name;
  device->computeCapability = std::to_string(major) + "." + std::to_string(minor);
  return good;
}

void readDevices(Facts& facts) {
  static const Library library("libcuda.so.1");
  if (!library.isOpen()) return facts.addReason(library.reason());
  Driver driver(library, facts);
  int version = 0, count = 0;
  if (!driver.call("cuInit", 0u) || !driver.call("cuDriverGetVersion", &version) ||
      !driver.call("cuDeviceGetCount", &count))
    return;
  if (count == 0) facts.addReason("libcuda.so.1 shows no device");
  facts.cuda = std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
  for (int ordinal = 0; ordinal < count; ordinal++) {
    Device device;
    if (readDevice(driver, ordinal, &device)) facts.devices.push_back(device);
  }
}

/** Only NVML reports the driver's version; TensorFlow finds no GPU without this library either. */
void readDriverVersion(Facts& facts) {
  static const Library library("libnvidia-ml.so.1");
  if (!library.isOpen()) return facts.addReason(library.reason() + " (TensorFlow finds no GPU without it)");
  auto* start = library.find<int()>("nvmlInit_v2");
  auto* read = library.find<int(char*, unsigned)>("nvmlSystemGetDriverVersion");
  auto* stop = library.find<int()>("nvmlShutdown");
  if (start == nullptr || read == nullptr || stop == nullptr)
    return facts.addReason("libnvidia-ml.so.1 does not tell the driver's version");
  const int error = start();
  if (error != 0) return facts.addReason("nvmlInit_v2: error " + std::to_string(error));
  char text[96] = {};
  const int failed = read(text, sizeof text - 1);
  stop();
  if (failed != 0) return facts.addReason("nvmlSystemGetDriverVersion: error " + std::to_string(failed));
  facts.driver = text;
}

/**
 * TensorFlow has opened both by the time that it uses a device, and the loader returns the libraries that are
 * open.
 */
void readLibraryVersions(Facts& facts) {
  static const Library cudnn("libcudnn.so.9"), cublas("libcublas.so.12");
  if (auto* read = cudnn.find<size_t()>("cudnnGetVersion")) {
    const size_t version = read();
    facts.cudnn = std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
                  std::to_string(version % 100);
  }
  if (auto* read = cublas.find<int(int, int*)>("cublasGetProperty")) {
    int parts[3] = {};
    bool good = true;
    for (int part = 0; part < 3; part++) good = read(part, &parts[part]) == 0 && good;
    if (good)
      facts.cublas = std::to_string(parts[0]) + "." + std::to_string(parts[1]) + "." + std::to_string(parts[2]);
  }
}

Facts readFacts() {
  Facts facts;
  readDevices(facts);
  if (facts.devices.empty()) return facts;
  readDriverVersion(facts);
  readLibraryVersions(facts);
  return facts;
}

/**
 * An object of JavaScript. An empty text is left out. A call that fails leaves its exception pending in the
 * environment.
 */
class Object {
 public:
  explicit Object(napi_env env) : env_(env) { napi_create_object(env, &value); }
  void set(const char* name, const std::string& text) {
    napi_value made;
    if (!text.empty() && napi_create_string_utf8(env_, text.data(), text.size(), &made) == napi_ok) set(name, made);
  }
  void set(const char* name, double number) {
    napi_value made;
    if (napi_create_double(env_, number, &made) == napi_ok) set(name, made);
  }
  void set(const char* name, napi_value property) { napi_set_named_property(env_, value, name, property); }

  napi_value value = nullptr;

 private:
  napi_env env_;
};

napi_value deviceObject(napi_env env, const Facts& facts, const Device& device) {
  Object object(env);
  object.set("name", device.name);
  object.set("computeCapability", device.computeCapability);
  object.set("multiprocessors", static_cast<double>(device.multiprocessors));
  object.set("memoryBytes", static_cast<double>(device.memoryBytes));
  object.set("uuid", device.uuid);
  object.set("driver", facts.driver);
  object.set("cuda", facts.cuda);
  object.set("cudnn", facts.cudnn);
  object.set("cublas", facts.cublas);
  return object.value;
}

}  // namespace

napi_value deviceFacts(napi_env env, napi_callback_info) {
  const Facts facts = readFacts();
  napi_value devices;
  if (napi_create_array_with_length(env, facts.devices.size(), &devices) != napi_ok) return nullptr;
  for (uint32_t i = 0; i < facts.devices.size(); i++)
    napi_set_element(env, devices, i, deviceObject(env, facts, facts.devices[i]));
  Object answer(env);
  answer.set("devices", devices);
  answer.set("reason", facts.reason);
  return answer.value;
}

}  // namespace fleet
