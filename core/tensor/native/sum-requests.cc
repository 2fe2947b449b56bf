// Reads the requests of a call and checks them against dx, gives each image sums of its own, and joins these
// in the order of images.

#include "sum-requests.h"

#include <algorithm>

namespace fleet {

SumRequests::SumRequests(Call& call, const std::vector<int>& parts, int input, int output, const std::vector<int>& shape,
                           const Parts<float>& dx)
    : images_(0), channels_(dx.channels) {
  if (!call.ok()) return;
  images_ = shape[0];
  std::vector<int> part = shape;
  part[3] = channels_;
  const int count = static_cast<int>(parts.size());
  for (int i = 0; i < count; i++) {
    const auto z = call.input(input + i), mean = call.input(input + count + i);
    if (call.ok() && (z.shape != part || mean.size != channels_ || parts[i] < 0 || parts[i] >= dx.count))
      call.refuse("a norm of " + shapeText(z.shape) + " with " + std::to_string(mean.size) + " means waits for part " +
                  std::to_string(parts[i]) + " of " + std::to_string(dx.count) + " with " + shapeText(part));
    requests_.push_back({parts[i], z.values, mean.values, nullptr});
    results_.push_back(call.output(output + i, {2, channels_}));
  }
  sums_.assign(each() * images_, 0.0);
}

std::vector<SumRequest> SumRequests::of(int image, size_t pixel) {
  std::vector<SumRequest> requests = requests_;
  double* sums = sums_.data() + each() * image;
  for (SumRequest& request : requests) {
    request.z += pixel * channels_;
    request.sums = sums;
    sums += 2 * static_cast<size_t>(channels_);
  }
  return requests;
}

void SumRequests::join() {
  for (int image = 1; image < images_; image++)
    for (size_t at = 0; at < each(); at++) sums_[at] += sums_[each() * image + at];
  const size_t size = 2 * static_cast<size_t>(channels_);
  for (size_t request = 0; request < results_.size(); request++) std::copy_n(sums_.data() + size * request, size, results_[request]);
}

}  // namespace fleet
