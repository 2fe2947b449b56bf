// Norms that wait for the sums of a gradient while it is written. What is done with the sums is norm.cc's.

#pragma once
#include <vector>

#include "call.h"

namespace fleet {

/** Norms whose dy is a part of one operation's dx: each image adds to sums of its own, joined in the order of images. */
class WaitingNorms {
 public:
  /**
   * `parts` has for each norm the part of dx that is its dy; inputs from `input` on are all their z and then all their means, outputs
   * from `output` on their sums, [2, C] each. `shape` is that of the whole dx.
   */
  WaitingNorms(Call& call, const std::vector<int>& parts, int input, int output, const std::vector<int>& shape,
               const Parts<float>& dx);
  /** For an image whose first pixel this is; good as long as this object. */
  std::vector<Waiting> of(int image, size_t pixel);
  /** Writes the outputs. */
  void finish();

 private:
  /** Numbers that one image adds to. */
  size_t each() const { return 2 * static_cast<size_t>(channels_) * norms_.size(); }
  int images_, channels_;
  std::vector<Waiting> norms_;
  std::vector<float*> results_;
  std::vector<double> sums_;
};

}  // namespace fleet
