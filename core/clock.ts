// The one door to time. What decides by time takes a `Clock`, so that a test can put one of its own in its
// place. The functions below it are timers of this process that bound a socket, a thread or a child: real
// things, for which there is no other time.

/** Time as decisions see it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Monotonic milliseconds. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The time of this machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      function onAbort() {
        clearTimeout(timer);
        reject(signal!.reason);
      }
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};

/**
 * A time, whole milliseconds since the epoch, that passes as monotonic time does and never goes back: a wall
 * clock that is set back is followed again once it has caught up. `fromMs`: the least value; `onJump`: the wall clock
 * is ahead of what has passed by so much at once, up to that time.
 */
export function forwardTime(
  clock: Pick<Clock, 'now' | 'monotonic'>,
  fromMs: number,
  onJump: (ms: number, toMs: number) => void = () => undefined,
): () => number {
  let time = Math.max(fromMs, clock.now());
  let atMs = clock.monotonic();
  return () => {
    const nowMs = clock.monotonic();
    const passed = time + nowMs - atMs;
    time = Math.max(passed, clock.now());
    atMs = nowMs;
    if (time > passed) onJump(time - passed, Math.floor(time));
    return Math.floor(time);
  };
}

/** Runs `action` once, `ms` from now, unless the returned function is called before. */
export function after(ms: number, action: () => void, options: TimerOptions = {}): () => void {
  const timer = setTimeout(action, ms);
  if (options.holdsProcess === false) timer.unref();
  return () => clearTimeout(timer);
}

/** Runs `action` once in `ms`, the first time `ms` from now, until the returned function is called. */
export function every(ms: number, action: () => void): () => void {
  const timer = setInterval(action, ms);
  return () => clearInterval(timer);
}

interface TimerOptions {
  /** false: a process that has nothing else to do ends without the timer. */
  readonly holdsProcess?: boolean;
}
