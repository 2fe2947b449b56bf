import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { createPicture } from '../../../../coordinator/api/picture.ts';
import type { Selected } from '../../../../coordinator/api/selection.ts';
import type { ViewContext } from '../../../../coordinator/api/views.ts';
import { pictureWith } from '../../../../coordinator/cli/picture.ts';
import { runWith, wholeRunWith, workerWith } from '../../../../coordinator/model/state.ts';
import { createProgressBoard, type ProgressBoard } from '../../../../coordinator/workers/progress-board.ts';
import { Snapshot, StepPoint } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import { connections, STORE_OK as OK, waitsIn } from '../../../support/state.ts';
import { createSweepFleet, type SweepFleet } from '../../../support/sweep-fleet.ts';

const FULL = { ...OK, kind: 'full', reason: 'the disk is full' } as const;

interface World {
  readonly fleet: SweepFleet;
  readonly progress: ProgressBoard;
  readonly open: number[];
  connected: string[];
  isFull: boolean;
}

/** One thing that happens; `n` chooses to whom. */
const STEPS: Readonly<Record<string, (world: World, n: number) => void>> = {
  propose: ({ fleet, open }) => void open.push(fleet.propose()),
  assign({ fleet, open }, n) {
    const number = open[n % open.length];
    if (number !== undefined && runWith(fleet.state, `run-${number}`)?.state === 'queued')
      fleet.assign(number, `w${1 + (n % 3)}`);
  },
  finish({ fleet, open }, n) {
    const [number] = open.splice(n % (open.length || 1), 1);
    if (number !== undefined) fleet.finish(number, (n % 100) / 100);
  },
  fail({ fleet, open }, n) {
    const [number] = open.splice(n % (open.length || 1), 1);
    if (number !== undefined) fleet.fail(number);
  },
  progress({ fleet, open, progress }, n) {
    const run = wholeRunWith(fleet.state, `run-${open[n % open.length]}`);
    const [member] = run?.gang ?? [];
    if (run === undefined || member === undefined) return;
    const point = StepPoint.create({ step: n, imagesPerSecond: n });
    progress.report(run, member.workerId, { generation: 1, point, waitingForStage: 0, openRoundSteps: 0 });
  },
  connect(world, n) {
    world.connected = ['w1', 'w2', 'w3'].slice(0, n % 4);
  },
  fill(world, n) {
    world.isFull = n % 2 === 0;
  },
  lose({ fleet }, n) {
    const workerId = `w${1 + (n % 3)}`;
    // Nobody is lost twice.
    if (workerWith(fleet.state, workerId)?.state === 'attached')
      fleet.add({ kind: 'worker.lost', workerId, incarnation: 'i', reason: 'silent' });
  },
};

function contextOf({ fleet, progress, connected, isFull }: World): ViewContext {
  const { state } = fleet;
  return {
    state,
    progress,
    waiting: waitsIn(state, { now: 1_000, connected: connections(connected) }),
    lastSeenMs: () => undefined,
    deviceOf: () => undefined,
    connected: connections(connected),
    store: { state: isFull ? FULL : OK, halted: '', blocksDecisions: isFull },
    looked: () => undefined,
  };
}

const AT = { journalSequence: 1, atMs: 1 };
const SELECTIONS: readonly Selected[] = [
  { planId: '', sweepId: '', runId: '' },
  { planId: '', sweepId: 'sweep-1', runId: '' },
  { planId: '', sweepId: '', runId: 'run-203' },
];

const asSent = (message: Snapshot): Snapshot => Snapshot.decode(Snapshot.encode(message).finish());

test('a picture and its changes are at each moment what a new picture is', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom(...Object.keys(STEPS)), fc.nat(1_000)), { maxLength: 40 });
  fc.assert(
    fc.property(steps, fc.integer({ min: 6, max: 20 }), (taken, every) => {
      const fleet = createSweepFleet(3);
      // More have ended than a picture shows, so that each new trial pushes an old one out.
      for (let n = 0; n < 205; n++) fleet.finish(fleet.propose(), 0.5);
      const world: World = { fleet, progress: createProgressBoard(), open: [], connected: [], isFull: false };
      const watched = SELECTIONS.map((selected) => {
        const picture = createPicture(selected);
        picture.look(contextOf(world), AT);
        return { selected, picture, known: asSent(picture.whole(AT)) };
      });
      taken.forEach(([step, n], at) => {
        STEPS[step]!(world, n);
        for (const one of watched) {
          const message = n % 3 === 0 ? undefined : one.picture.look(contextOf(world), AT);
          if (message !== undefined) one.known = pictureWith(one.known, asSent(message));
          if (at % every !== 0) continue;
          const last = one.picture.look(contextOf(world), AT);
          if (last !== undefined) one.known = pictureWith(one.known, asSent(last));
          const fresh = createPicture(one.selected);
          fresh.look(contextOf(world), AT);
          assert.deepEqual(asSent(one.known), asSent(fresh.whole(AT)));
          assert.deepEqual(asSent(one.picture.whole(AT)), asSent(fresh.whole(AT)));
        }
      });
    }),
    { numRuns: 6 },
  );
});

test('a look at a fleet that stands still finds nothing, and one trial that ended is all of the next message', () => {
  const fleet = createSweepFleet(1);
  const world: World = { fleet, progress: createProgressBoard(), open: [], connected: [], isFull: false };
  const numbers = Array.from({ length: 150 }, () => fleet.propose());
  const picture = createPicture(SELECTIONS[1]!);
  assert.equal(picture.look(contextOf(world), AT)?.trials.length, 150);
  assert.equal(picture.look(contextOf(world), AT), undefined);
  fleet.finish(numbers[7]!, 0.9);
  const message = picture.look(contextOf(world), AT)!;
  assert.deepEqual(
    [
      message.trials.map(({ id }) => id),
      message.runs.map(({ id }) => id),
      message.sweeps.map(({ id }) => id),
    ],
    [['trial-8'], ['run-8'], ['sweep-1']],
  );
  assert.deepEqual(message.workers, []);
});

test('a picture is finished when all of its selection has ended, and that is a message of its own', () => {
  const fleet = createSweepFleet(1);
  const world: World = { fleet, progress: createProgressBoard(), open: [], connected: [], isFull: false };
  const number = fleet.propose();
  const pictures = [SELECTIONS[0]!, SELECTIONS[1]!, { ...SELECTIONS[0]!, runId: 'run-1' }].map(createPicture);
  const finished = () =>
    pictures.map((picture) => {
      picture.look(contextOf(world), AT);
      return picture.finished;
    });
  assert.deepEqual(finished(), [false, false, false]);
  fleet.finish(number, 0.5);
  assert.deepEqual(finished(), [false, false, true]);
  fleet.add({ kind: 'sweep.ended', sweepId: 'sweep-1', state: 'done', reason: 'all trials' });
  assert.deepEqual(finished(), [true, true, true]);
});
