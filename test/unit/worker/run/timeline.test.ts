// The timeline of a process: whose an instant is, and that every instant is somebody's, over random orders of
// what begins and ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TIME_PHASES, type TimePhase, type TimeSlice, totalSeconds } from '../../../../core/worker-time.ts';
import { createTimeline } from '../../../../worker/run/timeline.ts';

function underClock() {
  let ms = 5_000;
  const timeline = createTimeline({ monotonic: () => ms });
  const pass = (seconds: number) => {
    ms += 1000 * seconds;
  };
  return { timeline, pass };
}

const sumOf = ({ entries }: TimeSlice) =>
  entries.reduce((sum, { seconds }) => sum + totalSeconds(seconds), 0);
const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-6, `${a} is not ${b}`);
/** As `run-1/2 compute 3`. */
const told = ({ entries }: TimeSlice) =>
  entries.flatMap(({ runId = 'none', stage, seconds }) =>
    TIME_PHASES.filter((phase) => (seconds[phase] ?? 0) > 0).map(
      (phase) => `${runId}${stage === undefined ? '' : `/${stage}`} ${phase} ${seconds[phase]}`,
    ),
  );

test('the job in the compute thread has the instant, then the first phase in the list; without runs it is idle', () => {
  const { timeline, pass } = underClock();
  pass(1);
  const a = timeline.open('run-1');
  const b = timeline.open('run-2');
  pass(2); // Both prepare: in equal parts.
  a.rest('compute');
  a.stage(1);
  const endOfA = a.begin('reduce_wait');
  b.rest('reduce_wait');
  const endOfB = b.begin('data_wait');
  pass(4); // Data comes before sums.
  a.owner.computes('train');
  pass(8);
  timeline.computesNothing();
  endOfB();
  endOfB(); // The second end is none.
  pass(16); // Both wait for sums.
  endOfA();
  a.stage(2);
  pass(32);
  a.end();
  b.end();
  pass(64);
  assert.deepEqual(told(timeline.peek()), [
    'none idle 65',
    'run-1 prepare 1',
    'run-2 data_wait 4',
    'run-2 reduce_wait 8',
    'run-2 prepare 1',
    'run-1/1 compute 8',
    'run-1/1 reduce_wait 8',
    'run-1/2 compute 32',
  ]);
});

test('an embedding is of a verification, or of the teacher', () => {
  const { timeline, pass } = underClock();
  const run = timeline.open('run-1');
  run.rest('compute');
  run.owner.computes('embed');
  pass(1);
  run.rest('evaluate');
  run.owner.computes('embed');
  pass(2);
  assert.deepEqual(told(timeline.cut()), ['run-1 teacher_pass 1', 'run-1 evaluate 2']);
  pass(4);
  assert.deepEqual(told(timeline.cut()), ['run-1 evaluate 4'], 'a slice begins where the one before ends');
});

const happening = fc.record({
  seconds: fc.double({ min: 0, max: 50, noNaN: true }),
  what: fc.constantFrom('open', 'end', 'begin', 'over', 'rest', 'stage', 'computes', 'nothing', 'cut'),
  which: fc.nat(5),
  phase: fc.constantFrom<TimePhase[]>(...TIME_PHASES),
});

test('whatever begins and ends, the slices follow each other and their seconds are their length', () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 60 }), (all) => {
      const { timeline, pass } = underClock();
      const runs: ReturnType<typeof timeline.open>[] = [];
      const ends: (() => void)[] = [];
      let [passed, covered] = [0, 0];
      const check = (slice: TimeSlice) => {
        near(slice.from, covered);
        near(slice.until, passed);
        near(sumOf(slice), slice.until - slice.from);
        assert.ok(slice.entries.every(({ seconds }) => Object.values(seconds).every((s) => s >= 0)));
      };
      for (const { seconds, what, which, phase } of all) {
        pass(seconds);
        passed += seconds;
        const run = runs[which % Math.max(1, runs.length)];
        if (what === 'open') runs.push(timeline.open(which === 0 ? undefined : `run-${which}`));
        if (what === 'begin' && run) ends.push(run.begin(phase));
        if (what === 'over') ends.splice(which, 1)[0]?.();
        if (what === 'rest') run?.rest(phase);
        if (what === 'stage') run?.stage(which);
        if (what === 'computes') run?.owner.computes('train');
        if (what === 'end') run?.end();
        if (what === 'nothing') timeline.computesNothing();
        if (what === 'cut') {
          const slice = timeline.cut();
          check(slice);
          covered = slice.until;
        } else check(timeline.peek());
      }
    }),
    { numRuns: 150 },
  );
});
