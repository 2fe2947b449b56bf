// Parts of x that a block finishes while it reads them. How a pixel is finished is statistics.inc's.

#pragma once
#include <vector>

#include "call.h"
#include "operations.h"

namespace fleet {

class UnfinishedParts {
 public:
  /**
   * What attributes `unfinished` and `terms` tell: inputs from `input` on are of each part its norm, [2, C], then what is added to it, then
   * the norm of that; outputs from `output` on are the finished maps. In x these parts are what lies before the norm.
   */
  UnfinishedParts(Call& call, const Attributes& attributes, int input, int output, const PartedMap& x);
  /** x of an image that begins with this pixel; good as long as this object. */
  Source from(size_t pixel) const;

 private:
  Parts<const float> x_;
  std::vector<int> parts_;
  std::vector<Unfinished> maps_;
};

}  // namespace fleet
