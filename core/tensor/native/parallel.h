// Spreads the images of a batch over as many threads as TensorFlow may use inside an operation. An image is
// the unit of work, because its maps stay in one core's cache; what it adds to a sum has memory of its own,
// so results do not depend on the number of threads.

#pragma once
#include <functional>

namespace fleet {

/**
 * The order of a pass over the images. A pass begins where the one before it ended, because the last images
 * are still in the cache: an operation that reads its inputs once more goes down where it went up. This
 * changes which memory is in the cache, never a result.
 */
enum class Order { ascending, descending };

/**
 * Calls work(index) for each index below count, several at the same time where there are threads; returns
 * when all calls have.
 */
void forEach(int count, Order order, const std::function<void(int)>& work);

}  // namespace fleet
