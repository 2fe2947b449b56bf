// A pool of threads that wait for work, created at the first call. It has none where TF_NUM_INTRAOP_THREADS
// is 1, which is what a worker on a CPU sets: one thread a process and one process a core is 1.4 times the
// throughput of one process with all threads.
//
// The pool is our own, because the C interface for kernels (kernel-api.h) offers none.

#include "parallel.h"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace fleet {
namespace {

/** `round` numbers the calls: a thread that wakes works on each once. */
struct Pool {
  std::mutex turn;  // held by the one caller that uses the threads; a second caller works alone instead of waiting
  std::mutex lock;
  std::condition_variable wake, done;
  const std::function<void(int)>* work = nullptr;
  std::atomic<int> next{0};
  int count = 0, busy = 0, helpers = 0;
  long round = 0;

  void help() {
    long seen = 0;
    std::unique_lock<std::mutex> held(lock);
    for (;;) {
      wake.wait(held, [&] { return round != seen; });
      seen = round;
      const auto& mine = *work;
      held.unlock();
      take(mine);
      held.lock();
      if (--busy == 0) done.notify_one();
    }
  }

  /** Works on tasks until none is left; they are taken one by one, so that a slow image holds nobody up. */
  void take(const std::function<void(int)>& mine) {
    for (int index = next++; index < count; index = next++) mine(index);
  }
};

int threadsWanted() {
  const char* named = std::getenv("TF_NUM_INTRAOP_THREADS");
  const int wanted = named == nullptr ? 0 : std::atoi(named);
  return wanted > 0 ? wanted : static_cast<int>(std::thread::hardware_concurrency());
}

/** Never freed: its threads still wait on it when the process ends. */
Pool& pool() {
  static Pool* shared = [] {
    auto* made = new Pool;
    made->helpers = threadsWanted() - 1;
    for (int i = 0; i < made->helpers; i++) std::thread([made] { made->help(); }).detach();
    return made;
  }();
  return *shared;
}

}  // namespace

void forEach(int count, Order order, const std::function<void(int)>& task) {
  const std::function<void(int)> work = [&](int index) { task(order == Order::ascending ? index : count - 1 - index); };
  Pool& shared = pool();
  std::unique_lock<std::mutex> turn(shared.turn, std::defer_lock);
  if (shared.helpers < 1 || count < 2 || !turn.try_lock()) {
    for (int index = 0; index < count; index++) work(index);
    return;
  }
  {
    std::lock_guard<std::mutex> held(shared.lock);
    shared.work = &work;
    shared.next = 0;
    shared.count = count;
    shared.busy = shared.helpers;
    shared.round++;
  }
  shared.wake.notify_all();
  shared.take(work);
  std::unique_lock<std::mutex> held(shared.lock);
  shared.done.wait(held, [&] { return shared.busy == 0; });
}

}  // namespace fleet
