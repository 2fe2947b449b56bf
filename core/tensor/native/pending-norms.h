// The parts of x that come to a block before their norm: reads their norms and summands from the call, and
// allocates the y that the block writes while it reads them.

#pragma once
#include <vector>

#include "call.h"
#include "operations.h"

namespace fleet {

/** The pending norms of one call. */
class PendingNorms {
 public:
  /**
   * Reads from input `input` on for each pending part: its norm [2, C], its summand if it has one, the
   * summand's norm if that is pending too. Allocates the parts' y as outputs from `output` on. In `x` the
   * pending parts are z.
   */
  PendingNorms(Call& call, const Attributes& attributes, int input, int output, const PartedMap& x);
  /** x from the image on that begins with this pixel; refers to this object. */
  Source from(size_t pixel) const;

 private:
  Parts<const float> x_;
  std::vector<int> parts_;
  std::vector<PendingNorm> maps_;
};

}  // namespace fleet
