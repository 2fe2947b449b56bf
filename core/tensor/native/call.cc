// A call's tensors through TensorFlow's C interface. Every handle from the library is deleted when the call
// ends; the values behind it belong to the runtime.

#include "call.h"

namespace fleet {

Call::Call(TF_OpKernelContext* context) : context_(context), status_(TF_NewStatus()) {}

Call::~Call() {
  if (!ok()) TF_OpKernelContext_Failure(context_, status_);
  for (TF_Tensor* tensor : tensors_) TF_DeleteTensor(tensor);
  TF_DeleteStatus(status_);
}

void Call::refuse(const std::string& why) { TF_SetStatus(status_, TF_INVALID_ARGUMENT, why.c_str()); }

Call::Input Call::input(int index) {
  Input found;
  if (!ok()) return found;
  TF_Tensor* tensor = nullptr;
  TF_GetInput(context_, index, &tensor, status_);
  if (!ok()) return found;
  tensors_.push_back(tensor);
  found.values = static_cast<const float*>(TF_TensorData(tensor));
  found.size = 1;
  for (int axis = 0; axis < TF_NumDims(tensor); axis++) {
    found.shape.push_back(static_cast<int>(TF_Dim(tensor, axis)));
    found.size *= found.shape.back();
  }
  return found;
}

float* Call::output(int index, const std::vector<int>& shape) {
  if (!ok()) return nullptr;
  std::vector<int64_t> sizes(shape.begin(), shape.end());
  size_t bytes = sizeof(float);
  for (int64_t size : sizes) bytes *= size;
  TF_Tensor* tensor =
      TF_AllocateOutput(context_, index, TF_FLOAT, sizes.data(), static_cast<int>(sizes.size()), bytes, status_);
  if (!ok()) return nullptr;
  tensors_.push_back(tensor);
  return static_cast<float*>(TF_TensorData(tensor));
}

PartedMap Call::partedInput(int index, int count) {
  PartedMap found{{}, {count, 0, {}}};
  if (count > Parts<float>::MAX)
    refuse("a map in " + std::to_string(count) + " parts; there can be " + std::to_string(Parts<float>::MAX));
  for (int part = 0; ok() && part < count; part++) {
    const Input map = input(index + part);
    if (!ok()) break;
    if (part == 0) found.shape = map.shape;
    if (map.shape != found.shape || map.shape.size() != 4)
      refuse("maps " + shapeText(found.shape) + " and " + shapeText(map.shape) + " do not lie side by side");
    found.parts.maps[part] = map.values;
  }
  if (!ok()) return found;
  found.parts.channels = found.shape[3];
  found.shape[3] *= count;
  return found;
}

Parts<float> Call::partedOutput(int index, const std::vector<int>& shape, int count) {
  Parts<float> made{count, 0, {}};
  if (!ok()) return made;
  if (count > Parts<float>::MAX || shape[3] % count != 0)
    refuse("a map " + shapeText(shape) + " cannot lie in " + std::to_string(count) + " parts");
  std::vector<int> part = shape;
  part[3] /= count;
  made.channels = part[3];
  for (int i = 0; ok() && i < count; i++) made.maps[i] = output(index + i, part);
  return made;
}

Parts<float> Call::gradientOf(const PartedMap& x, int index, int count) {
  if (ok() && count != x.parts.count && count != 1 && x.parts.count != 1)
    refuse("a map in " + std::to_string(x.parts.count) + " parts has no gradient in " + std::to_string(count));
  return partedOutput(index, x.shape, count);
}

void Summands::addOthers(const Kernels& kernels, size_t first, size_t pixels, const Parts<float>& result) const {
  const size_t total = result.total(), channels = result.channels;
  for (size_t map = 1; map < maps.size(); map++)
    for (int part = 0; part < result.count; part++)
      // A whole map is one contiguous run of floats; parts are strided rows.
      if (result.count == 1) kernels.add(pixels * total, maps[map] + first * total, result.maps[part] + first * total);
      else
        for (size_t pixel = first; pixel < first + pixels; pixel++)
          kernels.add(channels, maps[map] + pixel * total + part * channels, result.maps[part] + pixel * channels);
}

Summands Call::summands(int from, int count, const std::vector<int>& shape) {
  Summands found;
  for (int index = from; ok() && index < from + count; index++) {
    const Input map = input(index);
    if (ok() && map.shape != shape)
      refuse("a map " + shapeText(map.shape) + " cannot be added to one of " + shapeText(shape));
    found.maps.push_back(map.values);
  }
  return found;
}

size_t elementsOf(const std::vector<int>& shape) {
  size_t product = 1;
  for (int size : shape) product *= size;
  return product;
}

std::string shapeText(const std::vector<int>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); i++) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace fleet
