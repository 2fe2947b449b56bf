// When a member that others wait for counts as not answering, or as answering and not working. Pure: what was
// observed goes in, a judgement with its numbers comes out.
//
// No limit is a constant of time. How long is too long follows from how long steps and answers took lately in
// this run, because a step takes 20 ms with a small network on a GPU and a minute with a large one on a
// processor, and any constant would be wrong for one of them.
//
//   silent  The member was asked ASKS_MIN times in a row, nothing at all came from it, and that for more than
//           ANSWER_FACTOR times the slowest answer lately. A member's data thread answers also while it
//           computes, so silence is a process that stands still or a link that carries nothing.
//   idle    The member answers, its part of the open step has not come, it was asked for that part ASKS_MIN
//           times, and all that for more than STEP_FACTOR times the slowest step lately. No member counts as
//           idle in the first step of a stage, which may wait for a teacher or a checkpoint, nor in the first of
//           a gang, which compiles.

/** What was observed lately in one run; newest last, milliseconds. */
export interface Habits {
  /** From one sum to the next, without the steps that begin a stage. */
  readonly stepMs: readonly number[];
  /** From a question to the next message of the member that was asked. */
  readonly answerMs: readonly number[];
}

export const NO_HABITS: Habits = { stepMs: [], answerMs: [] };

/** What one member sees of another for which it waits. */
export interface Wait {
  /**
   * How long its part of the open step has been missing, milliseconds, and how often it was asked for it.
   * Undefined when the part is here or may take any time.
   */
  readonly part: { readonly ms: number; readonly asked: number } | undefined;
  /** Time since the first question that was followed by no message, milliseconds; 0 when there is none. */
  readonly silentMs: number;
  /** Questions since its last message. */
  readonly asked: number;
}

export interface Suspicion {
  readonly kind: 'silent' | 'idle';
  /** How long it has lasted, milliseconds. */
  readonly ms: number;
  /** The member is suspected beyond this, milliseconds. */
  readonly limitMs: number;
}

/** Long enough to keep the slow ones in sight, short enough for a bad minute to leave it. */
const REMEMBERED = 32;
/** Any question or answer may be lost, but hardly so many in a row. */
const ASKS_MIN = 5;
/** A member is suspected when it is so many times slower than the slowest answer or step lately. */
const ANSWER_FACTOR = 8;
const STEP_FACTOR = 10;
/** From fewer steps nothing follows about the next. */
const STEPS_MIN = 3;

const remember = (values: readonly number[], value: number): readonly number[] =>
  [...values, value].slice(-REMEMBERED);

export const withStep = (habits: Habits, ms: number): Habits => ({
  ...habits,
  stepMs: remember(habits.stepMs, ms),
});
export const withAnswer = (habits: Habits, ms: number): Habits => ({
  ...habits,
  answerMs: remember(habits.answerMs, ms),
});

/** Undefined while the member does what can be expected of it. */
export function suspicionOf(wait: Wait, habits: Habits): Suspicion | undefined {
  const { part, silentMs, asked } = wait;
  const answerLimitMs = ANSWER_FACTOR * Math.max(0, ...habits.answerMs);
  if (asked >= ASKS_MIN && silentMs > answerLimitMs)
    return { kind: 'silent', ms: silentMs, limitMs: answerLimitMs };
  if (part === undefined || part.asked < ASKS_MIN || habits.stepMs.length < STEPS_MIN) return undefined;
  const stepLimitMs = STEP_FACTOR * Math.max(...habits.stepMs);
  return part.ms > stepLimitMs ? { kind: 'idle', ms: part.ms, limitMs: stepLimitMs } : undefined;
}
