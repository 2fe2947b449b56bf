// Batch norm and PReLU as operations of their own, each way, for the layers that are no part of a separable
// block: checks shapes, gives each image to a thread and joins the images' sums in their order, so that the
// bits do not depend on the number of threads.
//
// Legend: N images, H x W map, C channels; everything float32.

#include <algorithm>
#include <cstring>

#include "call.h"
#include "norm.h"
#include "operations.h"
#include "parallel.h"
#include "shape.h"

namespace fleet {
namespace {

thread_local Scratch partScratch;

/** Sizes of a map [N, H, W, C]; `pixels` is H W of one image. */
struct Map {
  int images, pixels, channels;
};
/**
 * The sizes of a map with one weight a channel; false, and the call refused, where the weights do not fit or
 * the map is empty.
 */
bool mapOf(Call& call, const std::string& what, const std::vector<int>& shape, const Call::Input& weights, Map& map) {
  if (!call.ok()) return false;
  if (shape.size() != 4 || weights.size != shape[3] || std::count(shape.begin(), shape.end(), 0) > 0) {
    call.refuse("a map " + shapeText(shape) + " has no " + what + " of " + std::to_string(weights.size) + " channels");
    return false;
  }
  map = {shape[0], shape[1] * shape[2], shape[3]};
  return true;
}

}  // namespace

/** Inputs: x, scale, offset. Outputs: y, batch mean, unbiased batch variance, 1 / deviation. */
void batchNorm(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const auto x = call.input(0), scale = call.input(1), offset = call.input(2);
  Map map;
  if (!mapOf(call, "batch norm", x.shape, scale, map)) return;
  float* y = call.output(0, x.shape);
  float* mean = call.output(1, {map.channels});
  float* variance = call.output(2, {map.channels});
  float* inverse = call.output(3, {map.channels});
  if (!call.ok()) return;
  const Kernels& kernels = kernelsFor(map.channels, map.channels);
  BatchMoments moments(map.images, map.channels);
  const size_t size = static_cast<size_t>(map.pixels) * map.channels;
  forEach(map.images, Order::ascending, [&](int image) {
    kernels.moments(map.pixels, map.channels, x.values + image * size, moments.images[image]);
  });
  std::vector<float> norm(2 * static_cast<size_t>(map.channels));
  normOf(moments.joined(), map.channels, static_cast<Attributes*>(kernel)->epsilon, scale.values, offset.values, mean, variance,
         inverse, norm.data());
  const PendingNorm pending{x.values, norm.data(), nullptr, nullptr, y, false};
  forEach(map.images, Order::descending, [&](int image) {
    kernels.normalise(image * static_cast<size_t>(map.pixels), map.pixels, map.channels, pending);
  });
}

/** Inputs: dy, x, scale, mean, 1 / deviation. Outputs: gradients of x, scale and offset. */
void batchNormGradient(void*, TF_OpKernelContext* context) {
  Call call(context);
  const auto dy = call.input(0), x = call.input(1), scale = call.input(2), mean = call.input(3),
             inverse = call.input(4);
  Map map;
  if (!mapOf(call, "batch norm", x.shape, scale, map)) return;
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
  forEach(map.images, Order::ascending, [&](int image) {
    kernels.normGradient(map.pixels, map.channels, dy.values + image * size, x.values + image * size, norm.gradient,
                         dx + image * size);
  });
}

/** Inputs: slope, parts of x. Output: y. */
void prelu(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const auto slope = call.input(0);
  const PartedMap x = call.partedInput(1, static_cast<Attributes*>(kernel)->parts);
  Map map;
  if (!mapOf(call, "PReLU", x.shape, slope, map)) return;
  float* y = call.output(0, x.shape);
  if (!call.ok()) return;
  const Kernels& kernels = kernelsFor(x.parts.channels, map.channels);
  const size_t pixels = map.pixels;
  forEach(map.images, Order::descending, [&](int image) {
    kernels.prelu(map.pixels, x.parts.from(image * pixels), slope.values, y + image * pixels * map.channels);
  });
}

/** Inputs: dy, slope, parts of x, summands of dx. Outputs: gradient of slope, parts of dx. */
void preluGradient(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const auto& attributes = *static_cast<Attributes*>(kernel);
  const auto dy = call.input(0), slope = call.input(1);
  const PartedMap x = call.partedInput(2, attributes.parts);
  Map map;
  if (!mapOf(call, "PReLU", x.shape, slope, map)) return;
  const auto summands = call.summands(2 + attributes.parts, attributes.summands, x.shape);
  float* dSlope = call.output(0, slope.shape);
  const Parts<float> dx = call.gradientOf(x, 1, attributes.dparts);
  if (!call.ok()) return;
  const Kernels& kernels = kernelsFor(std::min(x.parts.channels, dx.channels), map.channels);
  const size_t pixels = map.pixels, size = pixels * map.channels, part = 2 * static_cast<size_t>(map.channels);
  float* parts = partScratch.atLeast(part * map.images);
  std::fill_n(parts, part * map.images, 0.0f);
  forEach(map.images, Order::ascending, [&](int image) {
    const size_t first = image * pixels, at = image * size;
    kernels.preluGradient(map.pixels, x.parts.from(first), dy.values + at, slope.values, summands.first(at),
                          dx.from(first), parts + part * image);
    summands.addOthers(kernels, first, pixels, dx);
  });
  for (int image = 1; image < map.images; image++) kernels.add(map.channels, parts + part * image, parts);
  std::memcpy(dSlope, parts, sizeof(float) * map.channels);
}

}  // namespace fleet
