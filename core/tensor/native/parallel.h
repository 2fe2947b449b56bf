// Work on the images of a batch by as many threads as TensorFlow may use for an operation. What an image adds to a sum has a
// place of its own, so results do not depend on the number of threads.

#pragma once
#include <functional>

namespace fleet {

/** Calls work(index) for 0 up to count, in any order and at the same time; returns when all are done. */
void forEach(int count, const std::function<void(int)>& work);

}  // namespace fleet
