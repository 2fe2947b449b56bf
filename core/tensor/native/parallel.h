// Work on the images of a batch by as many threads as TensorFlow may use for an operation. What an image adds to a sum has a
// place of its own, so results do not depend on the number of threads.

#pragma once
#include <functional>

namespace fleet {

/**
 * Which end a pass over the images begins at. Passes take turns: what the one before touched last is still in the cache. An
 * operation reads its inputs last first if it only sums them, and writes its result last first after it made it.
 */
enum class Order { firstFirst, lastFirst };

/** Calls work(index) for 0 up to count, several at the same time where there are threads; returns when all are done. */
void forEach(int count, Order order, const std::function<void(int)>& work);

}  // namespace fleet
