// The two samples of a map that a factorised reduction reads: the pixels in even rows and columns, and those
// in odd ones; and the gradient of both at once. Each pixel belongs to at most one sample, so the gradient is
// a copy and half of the map stays as it was or zero.
//
// Legend: N images, map 2H x 2W, C channels; everything float32. Maps with an odd side are refused: the
// caller takes the general form then (sample in core/tensor/ops/sample.ts).

#include <cstring>

#include "call.h"
#include "operations.h"
#include "parallel.h"

namespace fleet {
namespace {

/**
 * Calls `each(pixel of the map, pixel of its sample, 0 even or 1 odd)` for all pixels of an image that are in
 * a sample.
 */
template <typename Each>
void forSampled(int height, int width, const Each& each) {
  for (int y = 0; y < 2 * height; y++)
    for (int x = 0; x < width; x++)
      each(static_cast<size_t>(y) * 2 * width + 2 * x + y % 2, static_cast<size_t>(y / 2) * width + x, y % 2);
}

}  // namespace

/** Inputs: parts of x [N, 2H, 2W, C]. Outputs: even and odd sample, [N, H, W, C] each. */
void sample(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const PartedMap x = call.partedInput(0, static_cast<Attributes*>(kernel)->parts);
  if (call.ok() && (x.shape[1] % 2 != 0 || x.shape[2] % 2 != 0 || x.shape[1] == 0 || x.shape[2] == 0))
    call.refuse("a map " + shapeText(x.shape) + " has no samples of even and of odd rows and columns that are equally large");
  if (!call.ok()) return;
  const int height = x.shape[1] / 2, width = x.shape[2] / 2, channels = x.shape[3];
  const std::vector<int> shape{x.shape[0], height, width, channels};
  float* samples[2] = {call.output(0, shape), call.output(1, shape)};
  if (!call.ok()) return;
  const size_t pixels = static_cast<size_t>(height) * width, part = x.parts.channels;
  forEach(x.shape[0], Order::ascending, [&](int image) {
    const Parts<const float> from = x.parts.from(4 * pixels * image);
    forSampled(height, width, [&](size_t pixel, size_t sampled, int which) {
      float* to = samples[which] + (image * pixels + sampled) * channels;
      for (int i = 0; i < from.count; i++) std::memcpy(to + i * part, from.maps[i] + pixel * part, sizeof(float) * part);
    });
  });
}

/**
 * Inputs: gradients of both samples [N, H, W, C], summands of dx. Outputs: parts of dx [N, 2H, 2W, C]. dx
 * begins as the first summand, or as zeros, and each sample's gradient is added where its pixels are.
 */
void sampleGradient(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const auto& attributes = *static_cast<Attributes*>(kernel);
  const Call::Input gradients[2] = {call.input(0), call.input(1)};
  if (call.ok() && (gradients[0].shape.size() != 4 || gradients[0].shape != gradients[1].shape))
    call.refuse("samples " + shapeText(gradients[0].shape) + " and " + shapeText(gradients[1].shape) + " are not of one map");
  if (!call.ok()) return;
  const std::vector<int>& sampled = gradients[0].shape;
  const int height = sampled[1], width = sampled[2], channels = sampled[3];
  const std::vector<int> shape{sampled[0], 2 * height, 2 * width, channels};
  const auto added = call.summands(2, attributes.summands, shape);
  const Parts<float> dx = call.partedOutput(0, shape, attributes.dparts);
  if (!call.ok()) return;
  const Kernels& kernels = kernelsFor(dx.channels, dx.channels);
  const size_t pixels = static_cast<size_t>(height) * width, part = dx.channels;
  forEach(sampled[0], Order::ascending, [&](int image) {
    const size_t first = 4 * pixels * image;
    const Parts<float> to = dx.from(first);
    if (added.maps.empty())
      for (int i = 0; i < to.count; i++) std::memset(to.maps[i], 0, sizeof(float) * 4 * pixels * part);
    else
      for (size_t pixel = 0; pixel < 4 * pixels; pixel++)
        for (int i = 0; i < to.count; i++)
          std::memcpy(to.maps[i] + pixel * part, added.first((first + pixel) * channels) + i * part, sizeof(float) * part);
    forSampled(height, width, [&](size_t pixel, size_t at, int which) {
      const float* from = gradients[which].values + (image * pixels + at) * channels;
      for (int i = 0; i < to.count; i++) kernels.add(part, from + i * part, to.maps[i] + pixel * part);
    });
    added.addOthers(kernels, first, 4 * pixels, dx);
  });
}

}  // namespace fleet
