// When a member that others wait for counts as not answering, or as answering and not working. Pure: what was observed goes
// in, a judgement with its numbers comes out. No limit is a constant of time: how long is too long follows from how long
// steps and answers took lately in this run. What follows from a judgement is the coordinator's (suspicion.ts there).
//
// silent: it was asked ASKS_MIN times in a row, said nothing at all, and that for much longer than the slowest answer lately. Its data
// thread answers also while it computes, so silence is a process that stands still or a link that carries nothing.
// idle: it answers, and its part of the open step has not come, although it was asked for that as often, for much longer than the
// slowest step lately. The first step of
// a stage may wait for a teacher or a checkpoint, and the first of a gang compiles, so there nobody is idle.

/** What was observed lately in one run; newest last, milliseconds. */
export interface Habits {
  /** From sum to sum; those that begin a stage left out. */
  readonly stepMs: readonly number[];
  /** From a question to the next word of who was asked. */
  readonly answerMs: readonly number[];
}

export const NO_HABITS: Habits = { stepMs: [], answerMs: [] };

/** What one member sees of another for which it waits. */
export interface Wait {
  /** For its part of the open step, and how often it was asked for that; undefined when it is here, or may take any time. */
  readonly part: { readonly ms: number; readonly asked: number } | undefined;
  /** Since the first question to which it said nothing. */
  readonly silentMs: number;
  /** Questions since it said anything. */
  readonly asked: number;
}

export interface Suspicion {
  readonly kind: 'silent' | 'idle';
  readonly ms: number;
  /** Beyond which it is suspected. */
  readonly limitMs: number;
}

/** Long enough to remember the slow ones, short enough to forget a bad minute. */
const REMEMBERED = 32;
/** Of questions and answers any may be lost, but hardly so many in a row. */
const ASKS_MIN = 5;
/** How much slower than the slowest lately is no slowness any more. */
const ANSWER_FACTOR = 8;
const STEP_FACTOR = 10;
/** Fewer steps say little about the next. */
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

/** Undefined while there is nothing to wonder about. */
export function suspicionOf(wait: Wait, habits: Habits): Suspicion | undefined {
  const { part, silentMs, asked } = wait;
  const answerLimitMs = ANSWER_FACTOR * Math.max(0, ...habits.answerMs);
  if (asked >= ASKS_MIN && silentMs > answerLimitMs)
    return { kind: 'silent', ms: silentMs, limitMs: answerLimitMs };
  if (part === undefined || part.asked < ASKS_MIN || habits.stepMs.length < STEPS_MIN) return undefined;
  const stepLimitMs = STEP_FACTOR * Math.max(...habits.stepMs);
  return part.ms > stepLimitMs ? { kind: 'idle', ms: part.ms, limitMs: stepLimitMs } : undefined;
}
