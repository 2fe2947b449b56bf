// A method of the addon that runs a loaded graph from arrays into arrays. The addon's own way makes a tensor
// of each array and a new array of each result, which then is copied to where it belongs. Here the session reads
// fed arrays where they lie, and each result is copied once, to its place.

#include <cstring>
#include <string>
#include <vector>

#include "../../tfjs_backend.h"
#include "../../utils.h"

namespace tfnodejs {
namespace {

/** Tensors of one call, deleted however it ends. */
struct Tensors {
  explicit Tensors(size_t count) : all(count, nullptr) {}
  ~Tensors() {
    for (TF_Tensor* tensor : all)
      if (tensor != nullptr) TF_DeleteTensor(tensor);
  }
  Tensors(const Tensors&) = delete;
  std::vector<TF_Tensor*> all;
};

bool throwError(napi_env env, const std::string& why) {
  napi_throw_error(env, nullptr, why.c_str());
  return false;
}

/** Elements of an array of numbers. */
bool numbersOf(napi_env env, napi_value array, std::vector<int64_t>* numbers) {
  uint32_t length;
  if (napi_get_array_length(env, array, &length) != napi_ok) return throwError(env, "a list of numbers is expected");
  numbers->resize(length);
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    if (napi_get_element(env, array, i, &element) != napi_ok ||
        napi_get_value_int64(env, element, &(*numbers)[i]) != napi_ok)
      return throwError(env, "a list of numbers is expected");
  }
  return true;
}

/** The outputs that a text like `input_0:0,node_7:1` names. */
bool outputsOf(napi_env env, TF_Graph* graph, napi_value names, std::vector<TF_Output>* outputs) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, names, nullptr, 0, &length) != napi_ok)
    return throwError(env, "names with commas between are expected");
  std::string text(length + 1, '\0');
  napi_get_value_string_utf8(env, names, &text[0], text.size(), &length);
  text.resize(length);
  for (size_t from = 0; from < text.size();) {
    const size_t end = std::min(text.find(',', from), text.size());
    const std::string name = text.substr(from, end - from);
    const size_t colon = name.find(':');
    TF_Operation* operation = TF_GraphOperationByName(graph, name.substr(0, colon).c_str());
    if (operation == nullptr) return throwError(env, "the graph has no " + name);
    const int index = colon == std::string::npos ? 0 : std::stoi("0" + name.substr(colon + 1));
    if (index >= TF_OperationNumOutputs(operation)) return throwError(env, "the graph has no " + name);
    outputs->push_back({operation, index});
    from = end + 1;
  }
  return true;
}

size_t widthOf(napi_typedarray_type type) {
  return type == napi_float32_array || type == napi_int32_array ? 4 : type == napi_uint8_array ? 1 : 0;
}

/** The array as a tensor that reads the array's own memory; null and an error when its length is another. */
TF_Tensor* tensorOver(napi_env env, napi_value array, napi_value shape, TF_DataType dtype) {
  napi_typedarray_type type;
  size_t length;
  void* data;
  std::vector<int64_t> sizes;
  if (napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    throwError(env, "an array or the number of a tensor is fed");
    return nullptr;
  }
  if (!numbersOf(env, shape, &sizes)) return nullptr;
  size_t elements = 1;
  for (int64_t size : sizes) elements *= static_cast<size_t>(size);
  if (elements != length || widthOf(type) != TF_DataTypeSize(dtype)) {
    throwError(env, "an array of " + std::to_string(length) + " values is fed where the shape has " +
                        std::to_string(elements) + ", or of another type");
    return nullptr;
  }
  return TF_NewTensor(dtype, sizes.data(), static_cast<int>(sizes.size()), data, length * widthOf(type),
                      [](void*, size_t, void*) {}, nullptr);
}

/** The place for a result: the array that was given, or a new one. */
bool placeOf(napi_env env, TF_Tensor* value, napi_value given, napi_value* array, void** data) {
  const size_t bytes = TF_TensorByteSize(value);
  napi_valuetype kind;
  if (TF_TensorType(value) != TF_FLOAT) return throwError(env, "a result is not float32");
  if (napi_typeof(env, given, &kind) != napi_ok) return false;
  if (kind == napi_null || kind == napi_undefined) {
    napi_value buffer;
    if (napi_create_arraybuffer(env, bytes, data, &buffer) != napi_ok ||
        napi_create_typedarray(env, napi_float32_array, bytes / sizeof(float), buffer, 0, array) != napi_ok)
      return throwError(env, "there is no memory for a result of " + std::to_string(bytes) + " bytes");
    return true;
  }
  napi_typedarray_type type;
  size_t length;
  if (napi_get_typedarray_info(env, given, &type, &length, data, nullptr, nullptr) != napi_ok ||
      type != napi_float32_array || length * sizeof(float) != bytes)
    return throwError(env, "the graph gave " + std::to_string(bytes / sizeof(float)) +
                               " numbers where the array for them has another length");
  *array = given;
  return true;
}

}  // namespace

napi_value TFJSBackend::RunGraph(napi_env env, napi_value* args) {
  int32_t model;
  ENSURE_NAPI_OK_RETVAL(env, napi_get_value_int32(env, args[0], &model), nullptr);
  const auto found = tf_savedmodel_map_.find(model);
  if (found == tf_savedmodel_map_.end()) {
    NAPI_THROW_ERROR(env, "Graph %d is not there", model);
    return nullptr;
  }
  TF_Session* const session = found->second.first;
  std::vector<TF_Output> inputs, outputs;
  if (!outputsOf(env, found->second.second, args[1], &inputs) || !outputsOf(env, found->second.second, args[4], &outputs))
    return nullptr;

  Tensors fed(inputs.size()), results(outputs.size());
  TF_AutoStatus status;
  for (uint32_t i = 0; i < inputs.size(); i++) {
    napi_value array, shape;
    napi_valuetype kind;
    if (napi_get_element(env, args[2], i, &array) != napi_ok || napi_get_element(env, args[3], i, &shape) != napi_ok ||
        napi_typeof(env, array, &kind) != napi_ok)
      return nullptr;
    if (kind == napi_number) {
      int32_t id;
      napi_get_value_int32(env, array, &id);
      const auto entry = tfe_handle_map_.find(id);
      if (entry == tfe_handle_map_.end()) {
        NAPI_THROW_ERROR(env, "Tensor %d is not there", id);
        return nullptr;
      }
      fed.all[i] = TFE_TensorHandleResolve(entry->second, status.status);
      ENSURE_TF_OK_RETVAL(env, status, nullptr);
    } else {
      fed.all[i] = tensorOver(env, array, shape, TF_OperationOutputType(inputs[i]));
      if (fed.all[i] == nullptr) return nullptr;
    }
  }

  TF_SessionRun(session, nullptr, inputs.data(), fed.all.data(), static_cast<int>(inputs.size()), outputs.data(),
                results.all.data(), static_cast<int>(outputs.size()), nullptr, 0, nullptr, status.status);
  ENSURE_TF_OK_RETVAL(env, status, nullptr);

  napi_value arrays;
  ENSURE_NAPI_OK_RETVAL(env, napi_create_array_with_length(env, outputs.size(), &arrays), nullptr);
  for (uint32_t i = 0; i < outputs.size(); i++) {
    napi_value given, array;
    void* data;
    if (napi_get_element(env, args[5], i, &given) != napi_ok || !placeOf(env, results.all[i], given, &array, &data))
      return nullptr;
    std::memcpy(data, TF_TensorData(results.all[i]), TF_TensorByteSize(results.all[i]));
    napi_set_element(env, arrays, i, array);
    // The next result needs the memory.
    TF_DeleteTensor(results.all[i]);
    results.all[i] = nullptr;
  }
  return arrays;
}

}  // namespace tfnodejs
