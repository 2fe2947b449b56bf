// Reads the pending norms of a call and checks them against the map x. A kernel trusts what it gets, so a
// graph with a wrong part or shape is refused here.

#include "pending-norms.h"

namespace fleet {

PendingNorms::PendingNorms(Call& call, const Attributes& attributes, int input, int output, const PartedMap& x)
    : x_(x.parts), parts_(attributes.pendingParts) {
  if (!call.ok()) return;
  std::vector<int> shape = x.shape;
  shape[3] = x_.channels;
  const bool streaming = elementsOf(shape) >= STREAMING_FLOATS_MIN;
  const auto take = [&](const std::vector<int>& wanted) {
    const auto found = call.input(input++);
    if (call.ok() && found.shape != wanted)
      call.refuse("a part " + shapeText(shape) + " is not finished with " + shapeText(found.shape));
    return found.values;
  };
  const std::vector<int> norm{2, x_.channels};
  for (size_t i = 0; call.ok() && i < parts_.size(); i++) {
    const int part = parts_[i], term = attributes.terms[i];
    if (part < 0 || part >= x_.count || term < 0 || term > 2) {
      call.refuse("part " + std::to_string(part) + " of " + std::to_string(x_.count) + " is not finished with term " +
                  std::to_string(term));
      return;
    }
    const float* own = take(norm);
    const float* added = term > 0 ? take(shape) : nullptr;
    const float* addedNorm = term > 1 ? take(norm) : nullptr;
    float* y = call.output(output + static_cast<int>(i), shape);
    maps_.push_back({x_.maps[part], own, added, addedNorm, y, streaming});
    // From here on x is the normalised map: kernels find z through the pending norm.
    x_.maps[part] = y;
  }
}

Source PendingNorms::from(size_t pixel) const {
  Source source{x_.from(pixel)};
  source.first = pixel;
  for (size_t i = 0; i < maps_.size(); i++) source.pending[parts_[i]] = &maps_[i];
  return source;
}

}  // namespace fleet
