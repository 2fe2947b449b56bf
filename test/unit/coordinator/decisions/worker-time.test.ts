// Where the time of workers went, as the coordinator adds it up: over random lives of processes, whose reports
// come twice, late or never, every second is counted once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { goodput } from '../../../../coordinator/api/goodput.ts';
import { step } from '../../../../coordinator/decisions/decide.ts';
import type { Input } from '../../../../coordinator/decisions/inputs.ts';
import { lookup } from '../../../../coordinator/model/persistent-map.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import { initialState, runOf, type State } from '../../../../coordinator/model/state.ts';
import { rowAt } from '../../../../coordinator/model/table.ts';
import { shownSeconds } from '../../../../coordinator/model/time-accounts.ts';
import { createTimeBoard } from '../../../../coordinator/workers/time-board.ts';
import {
  PHASE_FIELDS,
  type PhaseSeconds,
  sliceAfter,
  type TimeSlice,
  totalSeconds,
} from '../../../../core/worker-time.ts';
import { createTimeline, type RunTime, type Timeline } from '../../../../worker/run/timeline.ts';
import { teacher } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { connections, plainOf } from '../../../support/state.ts';

const near = (a: number, b: number, what: string) =>
  assert.ok(Math.abs(a - b) <= 2e-4, `${what}: ${a} is not ${b}`);

/** A process with its timeline, and reports of it that are under way. */
interface Living {
  readonly incarnation: string;
  readonly timeline: Timeline;
  readonly run: RunTime;
  readonly bornMs: number;
  /** Cut and not acknowledged. */
  readonly sent: TimeSlice[];
}

function createWorld() {
  let state: State = initialState;
  let now = 1_000_000;
  let births = 0;
  let board = createTimeBoard();
  const living = new Map<string, Living>();
  const give = (input: Input) => {
    const observed = { now, connected: connections(living.keys()), openTimeOf: board.of };
    const decision = step(state, input, observed);
    state = decision.state;
    return decision.events;
  };
  const attach = (workerId: string) => {
    const { incarnation, bornMs } = living.get(workerId)!;
    give({
      kind: 'attached',
      hello: {
        ...{ workerId, incarnation, version: '', host: '', pid: 1, deviceKind: 'cpu', deviceName: 'cpu' },
        ...{ deviceClass: 'cpu', slots: 1, leases: [], metricsEndpoint: '', podUid: '' },
        ageSeconds: (now - bornMs) / 1000,
      },
    });
  };
  return {
    get state() {
      return state;
    },
    get board() {
      return board;
    },
    give,
    living,
    pass(ms: number) {
      now += ms;
    },
    get now() {
      return now;
    },
    attach,
    start(workerId: string) {
      const timeline = createTimeline({ monotonic: () => now });
      const run = timeline.open('run-1');
      living.set(workerId, { incarnation: `i${++births}`, timeline, run, bornMs: now, sent: [] });
      attach(workerId);
    },
    beat(workerId: string) {
      const { incarnation, timeline } = living.get(workerId)!;
      board.heard(workerId, incarnation, timeline.peek());
    },
    report(workerId: string, slice: TimeSlice) {
      const { incarnation } = living.get(workerId)!;
      const report = { kind: 'timeSpent', slice } as const;
      return give({ kind: 'reported', workerId, incarnation, sequence: 1, report });
    },
    lose(workerId: string, cause: 'silent' | 'not_back' = 'silent') {
      const { incarnation } = living.get(workerId)!;
      give({ kind: 'lost', workerId, incarnation, cause, reason: 'silent' });
      board.remove(workerId, incarnation);
    },
    /** The coordinator is killed and begins anew from what is on disk. */
    restart() {
      const stored = decodeState(encodeState(state));
      assert.deepEqual(plainOf(stored), plainOf(state));
      state = stored;
      board = createTimeBoard();
      give({ kind: 'started', version: 'test' });
    },
  };
}

const accountOf = (state: State, workerId: string) => lookup(state.time.workers, workerId)!;
const sumOf = (of: { seconds?: Readonly<Record<string, number>> | undefined }) =>
  PHASE_FIELDS.reduce((sum, [, field]) => sum + (of.seconds?.[field] ?? 0), 0);

const happening = fc.record({
  ms: fc.nat(30_000),
  who: fc.constantFrom('w1', 'w2'),
  what: fc.constantFrom('beat', 'cut', 'again', 'lost', 'back', 'reborn', 'restart', 'phase', 'stage'),
  stage: fc.nat(4),
});

test('through kills, returns, restarts and repeated reports each second of each process is counted once', () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 40 }), (all) => {
      const world = createWorld();
      const { give, living } = world;
      world.start('w1');
      world.start('w2');
      const spec = teacher({ name: 'one', workers: { min: 1, max: 2 } });
      give({ kind: 'submit', documents: [{ kind: 'run', spec, facts: FACTS }] });
      for (const { ms, who, what, stage } of all) {
        world.pass(ms);
        const { timeline, run, sent } = living.get(who)!;
        const isLost = () => world.state.workers && goneOf(world.state, who);
        if (what === 'phase') run.rest(stage % 2 === 0 ? 'compute' : 'reduce_wait');
        if (what === 'stage') run.stage(stage);
        if (what === 'beat' && !isLost()) world.beat(who);
        if (what === 'cut' && !isLost()) {
          sent.push(timeline.cut());
          world.report(who, sent.at(-1)!);
        }
        if (what === 'again') for (const slice of sent) world.report(who, slice);
        if (what === 'lost' && !isLost()) world.lose(who);
        if (what === 'back' && isLost()) world.attach(who);
        if (what === 'reborn') world.start(who);
        if (what === 'restart') world.restart();
        check(world.state);
      }
      for (const who of living.keys()) if (!goneOf(world.state, who)) world.lose(who);
      check(world.state);
      for (const who of living.keys()) {
        const { seconds, wallSeconds } = accountOf(world.state, who);
        near(totalSeconds(seconds), wallSeconds, `${who} and the clock`);
      }
      const { fleet } = world.state.time;
      near(totalSeconds(fleet.seconds), fleet.wallSeconds, 'the fleet and the clock');
    }),
    { numRuns: 60 },
  );
});

const goneOf = (state: State, workerId: string) => lookup(state.workers, workerId)?.state === 'lost';

function check(state: State): void {
  const { fleet } = state.time;
  const workers = ['w1', 'w2'].map((id) => totalSeconds(accountOf(state, id).seconds));
  near(totalSeconds(fleet.seconds), workers[0]! + workers[1]!, 'the fleet and its workers');
  for (const shown of [shownSeconds(fleet), fleet.seconds])
    assert.ok(Object.values(shown).every((seconds) => seconds >= -1e-6));
  near(totalSeconds(shownSeconds(fleet)), totalSeconds(fleet.seconds), 'shown and counted');
}

const slice = (from: number, until: number, seconds: PhaseSeconds, stage?: number): TimeSlice => ({
  from,
  until,
  entries: [{ runId: 'run-1', seconds, ...(stage === undefined ? {} : { stage }) }],
});

test('a slice that overlaps what is counted counts in proportion, and one behind a gap leaves it lost', () => {
  assert.equal(sliceAfter(slice(0, 5, { compute: 5 }), 5), undefined);
  assert.deepEqual(sliceAfter(slice(0, 10, { compute: 4, idle: 6 }), 5)?.entries, [
    { runId: 'run-1', seconds: { compute: 2, idle: 3 } },
  ]);
  assert.deepEqual(sliceAfter(slice(7, 9, { compute: 2 }), 5), {
    ...{ from: 5, until: 9 },
    entries: [{ seconds: { lost: 2 } }, { runId: 'run-1', seconds: { compute: 2 } }],
  });
});

test('computed steps without a checkpoint are lost with the gang, those before it are not; the fleet says so', () => {
  const world = createWorld();
  const { give } = world;
  world.start('w1');
  const spec = teacher({ name: 'one', workers: { min: 1, max: 1 } });
  give({ kind: 'submit', documents: [{ kind: 'run', spec, facts: FACTS }] });
  const { gang, generation } = runOf(world.state, 'run-1');
  assert.equal(gang[0]?.workerId, 'w1');
  world.pass(20_000);
  world.report('w1', slice(0, 10, { compute: 8, data_wait: 2 }, 1));
  const stored = { runId: 'run-1', generation, stage: 1, step: 8, bytes: 1, digest: 'd' } as const;
  give({
    ...{ kind: 'reported', workerId: 'w1', incarnation: 'i1', sequence: 2 },
    report: { kind: 'checkpointStored', ...stored },
  });
  world.report('w1', slice(10, 15, { compute: 5 }, 2));
  // 4 s that are known from a heartbeat alone, and one that nobody knows of.
  world.board.heard('w1', 'i1', slice(15, 19, { compute: 3, reduce_wait: 1 }, 2));
  const view = (id: string) => goodput({ state: world.state, times: world.board, nowMs: world.now }, id);
  assert.equal(view('run-1').seconds?.compute, 16);
  world.lose('w1');
  const account = rowAt(world.state.time.runs, 1)!;
  assert.deepEqual(account, { seconds: { compute: 16, data_wait: 2, reduce_wait: 1, lost: 1 }, repeated: 8 });
  for (const id of ['run-1', '']) {
    const { seconds, wallSeconds } = view(id);
    assert.equal(seconds?.compute, 8);
    assert.equal(seconds?.lost, 9);
    assert.equal(seconds && sumOf({ seconds: { ...seconds } }), 20);
    assert.equal(wallSeconds, id === '' ? 20 : 0);
  }
  assert.equal(view('w1').seconds?.compute, 16, 'a worker did compute what was in vain');
});

test('a fleet that was stopped with its coordinator did not live through the time until it was started again', () => {
  const world = createWorld();
  world.start('w1');
  world.pass(10_000);
  world.report('w1', slice(0, 10, { idle: 10 }));
  world.pass(8 * 3_600_000);
  world.restart();
  world.pass(30_000);
  world.lose('w1', 'not_back');
  assert.deepEqual(world.state.time.fleet.seconds, { idle: 10 });
  assert.equal(world.state.time.fleet.wallSeconds, 10);
});
