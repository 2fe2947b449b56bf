// The norms that ask an operation for the sums of their dy while it writes that as (a part of) its dx: reads
// the norms' maps and means from the call, and joins the images' sums into outputs.

#pragma once
#include <vector>

#include "call.h"

namespace fleet {

/**
 * The requests of one call. Each image adds to sums of its own in double, which are joined in the order of
 * the images.
 */
class SumRequests {
 public:
  /**
   * `parts` has for each norm the part of dx that is its dy. Inputs from `input` on are z of all norms and
   * then the means of all; outputs from `output` on are the sums, [2, C] each. `shape` is that of the whole
   * dx.
   */
  SumRequests(Call& call, const std::vector<int>& parts, int input, int output, const std::vector<int>& shape,
               const Parts<float>& dx);
  /**
   * The requests for one image, with the sums that it adds to; `pixel` is its first. They refer to this
   * object.
   */
  std::vector<SumRequest> of(int image, size_t pixel);
  /** Joins the images' sums and writes the outputs, in float: they are inputs of the norm's operation. */
  void join();

 private:
  /** Sums of one image: two a channel and norm. */
  size_t each() const { return 2 * static_cast<size_t>(channels_) * requests_.size(); }
  int images_, channels_;
  std::vector<SumRequest> requests_;
  std::vector<float*> results_;
  std::vector<double> sums_;
};

}  // namespace fleet
