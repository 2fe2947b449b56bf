// The fleet's own TensorFlow operations for the CPU, registered when the addon is loaded: PReLU, depthwise, pointwise and batch
// norm as one operation each way, and batch norm alone. Decides what is added up where; the arithmetic is in the .inc files,
// when to use these operations native-separable.ts' and native-norm.ts' decision.
//
// Legend: N images, H x W map, C channels; everything float32. A sum over images is taken image by image in their order.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernel-api.h"
#include "parallel.h"
#include "shape.h"

namespace fleet {

float* Scratch::atLeast(size_t count) {
  if (count > size) {
    std::free(floats);
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, sizeof(float) * count) != 0) std::abort();
    floats = static_cast<float*>(memory);
    size = count;
  }
  return floats;
}
Scratch::~Scratch() { std::free(floats); }

namespace {

/** Kept between calls: memory of this size given back to the system costs a page fault for each page when it comes again. */
thread_local Scratch imageScratch, weightScratch, partScratch;

/** Attributes of an operation, read once when TensorFlow makes its kernel. */
struct Attributes {
  int stride = 1;
  int padding = 0;
  float epsilon = 0;
};

/** One call: its tensors, which are given back when it ends, and the first error. */
class Call {
 public:
  explicit Call(TF_OpKernelContext* context) : context_(context), status_(TF_NewStatus()) {}
  ~Call() {
    if (TF_GetCode(status_) != TF_OK) TF_OpKernelContext_Failure(context_, status_);
    for (TF_Tensor* tensor : tensors_) TF_DeleteTensor(tensor);
    TF_DeleteStatus(status_);
  }
  bool ok() const { return TF_GetCode(status_) == TF_OK; }
  void refuse(const std::string& why) { TF_SetStatus(status_, TF_INVALID_ARGUMENT, why.c_str()); }

  int inputs() const { return TF_NumInputs(context_); }

  struct Input {
    const float* values = nullptr;
    std::vector<int> shape;
    long size = 0;
  };
  Input input(int index) {
    Input found;
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
  float* output(int index, const std::vector<int>& shape) {
    std::vector<int64_t> sizes(shape.begin(), shape.end());
    size_t bytes = sizeof(float);
    for (int64_t size : sizes) bytes *= size;
    TF_Tensor* tensor =
        TF_AllocateOutput(context_, index, TF_FLOAT, sizes.data(), static_cast<int>(sizes.size()), bytes, status_);
    if (!ok()) return nullptr;
    tensors_.push_back(tensor);
    return static_cast<float*>(TF_TensorData(tensor));
  }

 private:
  TF_OpKernelContext* context_;
  TF_Status* status_;
  std::vector<TF_Tensor*> tensors_;
};

/** Weights in whole vectors, good until the next call of this thread. */
Weights pack(const Block& block, int lanes, const float* slope, const float* depthwise, const float* pointwise) {
  const int in = padTo(block.in, lanes), out = padTo(block.out, lanes), taps = block.kernel * block.kernel;
  const size_t matrix = static_cast<size_t>(in) * out;
  const size_t floats = in + 2 * static_cast<size_t>(taps) * in + 2 * matrix;
  float* slopes = weightScratch.atLeast(floats);
  std::fill_n(slopes, floats, 0.0f);
  float* forward = slopes + in;
  float* flipped = forward + static_cast<size_t>(taps) * in;
  float* straight = flipped + static_cast<size_t>(taps) * in;
  float* transposed = straight + matrix;
  std::memcpy(slopes, slope, sizeof(float) * block.in);
  for (int tap = 0; tap < taps; tap++) {
    const float* from = depthwise + static_cast<size_t>(tap) * block.in;
    std::memcpy(forward + static_cast<size_t>(tap) * in, from, sizeof(float) * block.in);
    std::memcpy(flipped + static_cast<size_t>(taps - 1 - tap) * in, from, sizeof(float) * block.in);
  }
  for (int i = 0; i < block.in; i++)
    for (int o = 0; o < block.out; o++) {
      const float weight = pointwise[static_cast<size_t>(i) * block.out + o];
      const float used = block.scaled() ? weight * depthwise[i] : weight;
      straight[static_cast<size_t>(i) * out + o] = used;
      transposed[static_cast<size_t>(o) * in + i] = used;
    }
  return {in, out, slopes, forward, flipped, straight, transposed};
}

/** Moments of each image, joined in the order of the images. */
struct BatchMoments {
  int channels;
  std::vector<double> memory;
  std::vector<Moments> images;
  BatchMoments(int count, int padded) : channels(padded), memory(2 * static_cast<size_t>(padded) * count, 0.0) {
    for (int i = 0; i < count; i++) {
      double* from = memory.data() + 2 * static_cast<size_t>(padded) * i;
      images.push_back({0, from, from + padded});
    }
  }
  const Moments& joined() {
    Moments& all = images[0];
    for (size_t i = 1; i < images.size(); i++) {
      const Moments& part = images[i];
      if (part.count == 0) continue;
      const double whole = all.count + part.count;
      for (int c = 0; c < channels; c++) {
        const double off = part.mean[c] - all.mean[c];
        all.mean[c] += off * part.count / whole;
        all.deviation[c] += part.deviation[c] + off * off * all.count * part.count / whole;
      }
      all.count = whole;
    }
    return all;
  }
};

/** What normalises a map: [channels], padded to whole vectors. */
struct Norm {
  std::vector<float> factor, offset;
};

/** Writes mean, unbiased variance and 1 / deviation as well. */
Norm normOf(const Moments& moments, int channels, int padded, float epsilon, const float* scale, const float* offset,
            float* mean, float* unbiased, float* inverse) {
  Norm norm{std::vector<float>(padded, 0.0f), std::vector<float>(padded, 0.0f)};
  for (int c = 0; c < channels; c++) {
    const double variance = moments.deviation[c] / moments.count;
    mean[c] = static_cast<float>(moments.mean[c]);
    unbiased[c] = static_cast<float>(moments.deviation[c] / (moments.count > 1 ? moments.count - 1 : 1));
    inverse[c] = static_cast<float>(1.0 / std::sqrt(variance + epsilon));
    norm.factor[c] = inverse[c] * scale[c];
    norm.offset[c] = offset[c] - mean[c] * norm.factor[c];
  }
  return norm;
}

/** Gradients of scale and offset, and what dz is made from; `sums` holds those of dy and of dy (z - mean). */
struct NormBackward {
  std::vector<float> memory;
  NormGradient gradient;
};
NormBackward normBackward(int channels, int padded, double count, const double* sums, const float* mean,
                          const float* inverse, const float* scale, float* dScale, float* dOffset) {
  NormBackward made;
  made.memory.assign(4 * static_cast<size_t>(padded), 0.0f);
  float* centre = made.memory.data();
  float* slope = centre + padded;
  float* curve = slope + padded;
  float* shift = curve + padded;
  for (int c = 0; c < channels; c++) {
    const double factor = static_cast<double>(inverse[c]) * scale[c];
    dOffset[c] = static_cast<float>(sums[c]);
    dScale[c] = static_cast<float>(sums[channels + c] * inverse[c]);
    centre[c] = mean[c];
    slope[c] = static_cast<float>(factor);
    curve[c] = static_cast<float>(-factor * inverse[c] * inverse[c] * sums[channels + c] / count);
    shift[c] = static_cast<float>(-factor * sums[c] / count);
  }
  made.gradient = {centre, slope, curve, shift};
  return made;
}

/** Sums of dy and dy (z - mean) over all images, each image by itself first. */
std::vector<double> normSums(const Kernels& kernels, int images, int pixels, int channels, const float* dy,
                             const float* z, const float* mean) {
  std::vector<double> parts(2 * static_cast<size_t>(channels) * images, 0.0);
  const size_t map = static_cast<size_t>(pixels) * channels;
  forEach(images, Order::lastFirst, [&](int image) {
    kernels.normSums(pixels, channels, dy + image * map, z + image * map, mean,
                     parts.data() + 2 * static_cast<size_t>(channels) * image);
  });
  std::vector<double> sums(parts.begin(), parts.begin() + 2 * channels);
  for (int image = 1; image < images; image++)
    for (int c = 0; c < 2 * channels; c++) sums[c] += parts[2 * static_cast<size_t>(channels) * image + c];
  return sums;
}

std::string shapeText(const std::vector<int>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); i++) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

/** Maps from input `from` on that are to be added to one of this shape. */
std::vector<const float*> summands(Call& call, int from, const std::vector<int>& shape) {
  std::vector<const float*> found;
  for (int index = from; index < call.inputs(); index++) {
    const auto map = call.input(index);
    if (call.ok() && map.shape != shape)
      call.refuse("a map " + shapeText(map.shape) + " cannot be added to one of " + shapeText(shape));
    if (!call.ok()) return {};
    found.push_back(map.values);
  }
  return found;
}

/** The block that these tensors make, or an error: x [N, H, W, C], depthwise [k, k, C, 1], pointwise [1, 1, C, O]. */
bool blockOf(Call& call, const Attributes& attributes, const Call::Input& x, const Call::Input& slope,
             const Call::Input& depthwise, const Call::Input& pointwise, const Call::Input& scale, Block& block) {
  if (!call.ok()) return false;
  const bool fits = x.shape.size() == 4 && depthwise.shape.size() == 4 && pointwise.shape.size() == 4 &&
                    depthwise.shape[0] == depthwise.shape[1] && depthwise.shape[2] == x.shape[3] &&
                    depthwise.shape[3] == 1 && pointwise.shape[0] == 1 && pointwise.shape[1] == 1 &&
                    pointwise.shape[2] == x.shape[3] && slope.size == x.shape[3] && scale.size == pointwise.shape[3];
  if (fits) {
    block = {x.shape[0], x.shape[1], x.shape[2], x.shape[3], 0, 0, pointwise.shape[3], depthwise.shape[0],
             attributes.stride, attributes.padding, attributes.epsilon};
    block.outHeight = (block.height + 2 * block.padding - block.kernel) / block.stride + 1;
    block.outWidth = (block.width + 2 * block.padding - block.kernel) / block.stride + 1;
  }
  if (!fits || block.images < 1 || block.padding >= block.kernel || block.outHeight < 1 || block.outWidth < 1) {
    call.refuse("a map " + shapeText(x.shape) + ", " + std::to_string(slope.size) + " slopes, a depthwise kernel " +
                shapeText(depthwise.shape) + " and a pointwise kernel " + shapeText(pointwise.shape) +
                " make no separable block");
    return false;
  }
  return true;
}

/** x, slope, depthwise, pointwise, scale, offset, maps to add to y -> y, mean, unbiased variance, z, 1 / deviation. */
void separable(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const auto x = call.input(0), slope = call.input(1), depthwise = call.input(2), pointwise = call.input(3),
             scale = call.input(4), offset = call.input(5);
  Block block;
  if (!blockOf(call, *static_cast<Attributes*>(kernel), x, slope, depthwise, pointwise, scale, block)) return;
  const std::vector<int> map{block.images, block.outHeight, block.outWidth, block.out}, row{block.out};
  const auto added = summands(call, 6, map);
  float* y = call.output(0, map);
  float* mean = call.output(1, row);
  float* variance = call.output(2, row);
  float* z = call.output(3, map);
  float* inverse = call.output(4, row);
  if (!call.ok()) return;

  const Kernels& kernels = kernelsFor(block.in, block.out);
  const Weights weights = pack(block, kernels.lanes, slope.values, depthwise.values, pointwise.values);
  BatchMoments moments(block.images, weights.out);
  const size_t from = static_cast<size_t>(block.pixels()) * block.in;
  const size_t to = static_cast<size_t>(block.outPixels()) * block.out;
  forEach(block.images, Order::firstFirst, [&](int image) {
    float* scratch = imageScratch.atLeast(kernels.scratchSize(block, weights));
    kernels.forward(block, weights, x.values + image * from, z + image * to, moments.images[image], scratch);
  });
  const Norm norm = normOf(moments.joined(), block.out, weights.out, block.epsilon, scale.values, offset.values,
                           mean, variance, inverse);
  forEach(block.images, Order::lastFirst, [&](int image) {
    kernels.normalise(block.outPixels(), block.out, z + image * to, norm.factor.data(), norm.offset.data(),
                      added.empty() ? nullptr : added[0] + image * to, y + image * to);
    for (size_t more = 1; more < added.size(); more++) kernels.add(to, added[more] + image * to, y + image * to);
  });
}

/** Takes the padding out. */
void unpack(float* to, const float* from, int rows, int columns, int padded) {
  for (int r = 0; r < rows; r++)
    std::memcpy(to + static_cast<size_t>(r) * columns, from + static_cast<size_t>(r) * padded, sizeof(float) * columns);
}

/**
 * dy, x, slope, depthwise, pointwise, scale, z, mean, 1 / deviation, maps to add to dx -> gradients of x, slope, depthwise,
 * pointwise, scale, offset.
 */
void separableGradient(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const auto dy = call.input(0), x = call.input(1), slope = call.input(2), depthwise = call.input(3),
             pointwise = call.input(4), scale = call.input(5), z = call.input(6), mean = call.input(7),
             inverse = call.input(8);
  Block block;
  if (!blockOf(call, *static_cast<Attributes*>(kernel), x, slope, depthwise, pointwise, scale, block)) return;
  const auto before = summands(call, 9, x.shape);
  float* dx = call.output(0, x.shape);
  float* dSlope = call.output(1, slope.shape);
  float* dDepthwise = call.output(2, depthwise.shape);
  float* dPointwise = call.output(3, pointwise.shape);
  float* dScale = call.output(4, scale.shape);
  float* dOffset = call.output(5, scale.shape);
  if (!call.ok()) return;

  const Kernels& kernels = kernelsFor(block.in, block.out);
  const Weights weights = pack(block, kernels.lanes, slope.values, depthwise.values, pointwise.values);
  const int in = weights.in, out = weights.out, taps = block.kernel * block.kernel;
  const auto sums = normSums(kernels, block.images, block.outPixels(), block.out, dy.values, z.values, mean.values);
  const double count = static_cast<double>(block.images) * block.outPixels();
  const NormBackward norm =
      normBackward(block.out, out, count, sums.data(), mean.values, inverse.values, scale.values, dScale, dOffset);

  const size_t tapFloats = static_cast<size_t>(taps) * in, matrix = static_cast<size_t>(in) * out;
  const size_t part = in + tapFloats + matrix;
  float* parts = partScratch.atLeast(part * block.images);
  std::fill_n(parts, part * block.images, 0.0f);
  const size_t from = static_cast<size_t>(block.pixels()) * block.in;
  const size_t to = static_cast<size_t>(block.outPixels()) * block.out;
  forEach(block.images, Order::firstFirst, [&](int image) {
    float* scratch = imageScratch.atLeast(kernels.scratchSize(block, weights));
    float* own = parts + part * image;
    WeightGradients gradients{own, own + in, own + in + tapFloats};
    kernels.backward(block, weights, norm.gradient, x.values + image * from, z.values + image * to,
                     dy.values + image * to, before.empty() ? nullptr : before[0] + image * from, dx + image * from,
                     gradients, scratch);
    for (size_t more = 1; more < before.size(); more++) kernels.add(from, before[more] + image * from, dx + image * from);
  });
  for (int image = 1; image < block.images; image++) kernels.add(part, parts + part * image, parts);
  unpack(dSlope, parts, 1, block.in, in);
  unpack(dDepthwise, parts + in, taps, block.in, in);
  unpack(dPointwise, parts + in + tapFloats, block.in, block.out, out);
  if (!block.scaled()) return;
  // z = p (s * W): what came out is the gradient of s * W.
  for (int i = 0; i < block.in; i++) {
    float factor = 0;
    for (int o = 0; o < block.out; o++) {
      const size_t at = static_cast<size_t>(i) * block.out + o;
      factor += dPointwise[at] * pointwise.values[at];
      dPointwise[at] *= depthwise.values[i];
    }
    dDepthwise[i] = factor;
  }
}

/** A map as images of pixels, [N, H, W, C], with one weight a channel. */
struct Map {
  int images, pixels, channels;
};
bool mapOf(Call& call, const std::string& what, const Call::Input& x, const Call::Input& weights, Map& map) {
  if (!call.ok()) return false;
  if (x.shape.size() != 4 || weights.size != x.shape[3] || x.size == 0) {
    call.refuse("a map " + shapeText(x.shape) + " has no " + what + " of " + std::to_string(weights.size) + " channels");
    return false;
  }
  map = {x.shape[0], x.shape[1] * x.shape[2], x.shape[3]};
  return true;
}

/** x, scale, offset -> y, mean, unbiased variance, 1 / deviation. */
void batchNorm(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const auto x = call.input(0), scale = call.input(1), offset = call.input(2);
  Map map;
  if (!mapOf(call, "batch norm", x, scale, map)) return;
  float* y = call.output(0, x.shape);
  float* mean = call.output(1, {map.channels});
  float* variance = call.output(2, {map.channels});
  float* inverse = call.output(3, {map.channels});
  if (!call.ok()) return;
  const Kernels& kernels = kernelsFor(map.channels, map.channels);
  BatchMoments moments(map.images, map.channels);
  const size_t size = static_cast<size_t>(map.pixels) * map.channels;
  forEach(map.images, Order::firstFirst, [&](int image) {
    kernels.moments(map.pixels, map.channels, x.values + image * size, moments.images[image]);
  });
  const Norm norm = normOf(moments.joined(), map.channels, map.channels, static_cast<Attributes*>(kernel)->epsilon,
                           scale.values, offset.values, mean, variance, inverse);
  forEach(map.images, Order::lastFirst, [&](int image) {
    kernels.normalise(map.pixels, map.channels, x.values + image * size, norm.factor.data(), norm.offset.data(),
                      nullptr, y + image * size);
  });
}

/** dy, x, scale, mean, 1 / deviation -> gradients of x, scale, offset. */
void batchNormGradient(void*, TF_OpKernelContext* context) {
  Call call(context);
  const auto dy = call.input(0), x = call.input(1), scale = call.input(2), mean = call.input(3),
             inverse = call.input(4);
  Map map;
  if (!mapOf(call, "batch norm", x, scale, map)) return;
  float* dx = call.output(0, x.shape);
  float* dScale = call.output(1, scale.shape);
  float* dOffset = call.output(2, scale.shape);
  if (!call.ok()) return;
  const Kernels& kernels = kernelsFor(map.channels, map.channels);
  const auto sums = normSums(kernels, map.images, map.pixels, map.channels, dy.values, x.values, mean.values);
  const NormBackward norm =
      normBackward(map.channels, map.channels, static_cast<double>(map.images) * map.pixels, sums.data(), mean.values,
                   inverse.values, scale.values, dScale, dOffset);
  const size_t size = static_cast<size_t>(map.pixels) * map.channels;
  forEach(map.images, Order::firstFirst, [&](int image) {
    kernels.normGradient(map.pixels, map.channels, dy.values + image * size, x.values + image * size, norm.gradient,
                         dx + image * size);
  });
}

/** x, slope -> y. */
void prelu(void*, TF_OpKernelContext* context) {
  Call call(context);
  const auto x = call.input(0), slope = call.input(1);
  Map map;
  if (!mapOf(call, "PReLU", x, slope, map)) return;
  float* y = call.output(0, x.shape);
  if (!call.ok()) return;
  const Kernels& kernels = kernelsFor(map.channels, map.channels);
  const size_t size = static_cast<size_t>(map.pixels) * map.channels;
  forEach(map.images, Order::lastFirst, [&](int image) {
    kernels.prelu(map.pixels, map.channels, slope.values, x.values + image * size, y + image * size);
  });
}

/** dy, x, slope, maps to add to dx -> gradients of x and slope. */
void preluGradient(void*, TF_OpKernelContext* context) {
  Call call(context);
  const auto dy = call.input(0), x = call.input(1), slope = call.input(2);
  Map map;
  if (!mapOf(call, "PReLU", x, slope, map)) return;
  const auto before = summands(call, 3, x.shape);
  float* dx = call.output(0, x.shape);
  float* dSlope = call.output(1, slope.shape);
  if (!call.ok()) return;
  const Kernels& kernels = kernelsFor(map.channels, map.channels);
  const size_t size = static_cast<size_t>(map.pixels) * map.channels, part = 2 * static_cast<size_t>(map.channels);
  float* parts = partScratch.atLeast(part * map.images);
  std::fill_n(parts, part * map.images, 0.0f);
  forEach(map.images, Order::firstFirst, [&](int image) {
    const size_t at = image * size;
    kernels.preluGradient(map.pixels, map.channels, x.values + at, dy.values + at, slope.values,
                          before.empty() ? nullptr : before[0] + at, dx + at, parts + part * image);
    for (size_t more = 1; more < before.size(); more++) kernels.add(size, before[more] + at, dx + at);
  });
  for (int image = 1; image < map.images; image++) kernels.add(map.channels, parts + part * image, parts);
  std::memcpy(dSlope, parts, sizeof(float) * map.channels);
}

void* readAttributes(TF_OpKernelConstruction* construction) {
  auto* attributes = new Attributes;
  TF_Status* status = TF_NewStatus();
  // An operation without one of them leaves it as it is.
  TF_OpKernelConstruction_GetAttrInt32(construction, "stride", &attributes->stride, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "padding", &attributes->padding, status);
  TF_OpKernelConstruction_GetAttrFloat(construction, "epsilon", &attributes->epsilon, status);
  TF_DeleteStatus(status);
  return attributes;
}

void deleteAttributes(void* attributes) { delete static_cast<Attributes*>(attributes); }

void shapesUnknown(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

struct Operation {
  const char* name;
  std::vector<const char*> inputs, outputs, attributes;
  void (*compute)(void*, TF_OpKernelContext*);
};

bool registerAll() {
  const std::vector<const char*> window{"stride: int", "padding: int", "epsilon: float", "N: int >= 0 = 0"};
  const std::vector<Operation> operations{
      {"FleetSeparable",
       {"x: float", "slope: float", "depthwise: float", "pointwise: float", "scale: float", "offset: float",
        "added: N * float"},
       {"y: float", "mean: float", "variance: float", "z: float", "inverse: float"},
       window,
       separable},
      {"FleetSeparableGrad",
       {"dy: float", "x: float", "slope: float", "depthwise: float", "pointwise: float", "scale: float", "z: float",
        "mean: float", "inverse: float", "added: N * float"},
       {"dx: float", "dslope: float", "ddepthwise: float", "dpointwise: float", "dscale: float", "doffset: float"},
       window,
       separableGradient},
      {"FleetBatchNorm",
       {"x: float", "scale: float", "offset: float"},
       {"y: float", "mean: float", "variance: float", "inverse: float"},
       {"epsilon: float"},
       batchNorm},
      {"FleetBatchNormGrad",
       {"dy: float", "x: float", "scale: float", "mean: float", "inverse: float"},
       {"dx: float", "dscale: float", "doffset: float"},
       {},
       batchNormGradient},
      {"FleetPrelu", {"x: float", "slope: float"}, {"y: float"}, {}, prelu},
      {"FleetPreluGrad",
       {"dy: float", "x: float", "slope: float", "added: N * float"},
       {"dx: float", "dslope: float"},
       {"N: int >= 0 = 0"},
       preluGradient},
  };
  TF_Status* status = TF_NewStatus();
  bool good = true;
  for (const Operation& operation : operations) {
    TF_OpDefinitionBuilder* definition = TF_NewOpDefinitionBuilder(operation.name);
    for (const char* input : operation.inputs) TF_OpDefinitionBuilderAddInput(definition, input);
    for (const char* output : operation.outputs) TF_OpDefinitionBuilderAddOutput(definition, output);
    for (const char* attribute : operation.attributes) TF_OpDefinitionBuilderAddAttr(definition, attribute);
    TF_OpDefinitionBuilderSetShapeInferenceFunction(definition, shapesUnknown);
    TF_RegisterOpDefinition(definition, status);
    good = good && TF_GetCode(status) == TF_OK;
    TF_KernelBuilder* kernel =
        TF_NewKernelBuilder(operation.name, "CPU", readAttributes, operation.compute, deleteAttributes);
    TF_RegisterKernelBuilder(operation.name, kernel, status);
    good = good && TF_GetCode(status) == TF_OK;
  }
  TF_DeleteStatus(status);
  return good;
}

/** Runs when the addon is loaded, before TensorFlow looks for the first operation. */
const bool registered = registerAll();

}  // namespace
}  // namespace fleet
