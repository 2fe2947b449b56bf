// What a user's client asks of FleetService, every method of it, given to the real service upon a coordinator of the
// simulation. A request may be refused; what is taken must leave a journal that the next coordinator can read.
// What lies behind a real broker (records, exports, repairs) answers with nothing, once it was asked rightly.

import { EventEmitter } from 'node:events';
import { Metadata } from '@grpc/grpc-js';
import { createFleetService, type ServiceParts } from '../../../coordinator/api/service.ts';
import { assertBounded, readSubmission } from '../../../coordinator/api/submission.ts';
import { createTeacherImports } from '../../../coordinator/api/teacher-files.ts';
import { createDesk } from '../../../coordinator/decisions/desk.ts';
import type { Driver } from '../../../coordinator/journal/driver.ts';
import { createProgressBoard } from '../../../coordinator/workers/progress-board.ts';
import type { ArtefactStore } from '../../../core/checkpoint/store.ts';
import { FleetError } from '../../../core/errors.ts';
import { fromServiceError } from '../../../core/net/grpc-status.ts';
import { decodeOrLost } from '../../../core/protobuf.ts';
import type { RandomStream } from '../../../core/rng.ts';
import { FleetServiceService } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { plan, sweep, teacher } from '../../sim/specs.ts';
import { createWorld, FACTS, type World } from '../../sim/world.ts';
import { NAMES } from '../../support/names.ts';
import { connections } from '../../support/state.ts';
import { storiesOf } from '../../support/told.ts';
import { draw } from '../mutators.ts';
import { otherMessage } from '../protobuf.ts';
import type { Sections, Target } from '../target.ts';
import { assertReadable } from './reports.ts';

type Method = keyof typeof FleetServiceService;

const page = { pageSize: 2, pageToken: '' };
const token = (list: string, after: string) =>
  Buffer.from(JSON.stringify([list, after])).toString('base64url');
const yaml = `kind: teacher
name: one
network: {kind: pocketnet}
data: {kind: synthetic, identities: 12, images: 8, holdout: 4}
training: {epochs: 1, batch: 16, shards: 8}
`;
const run = { runId: 'run-1' };

/** A request of each method that is taken. */
const REQUESTS: { readonly [M in Method]: Readonly<Record<string, unknown>> } = {
  submit: { yaml, baseDir: '/data', overrides: { 'training.epochs': '2' }, requestId: 'once' },
  importTeacher: {
    from: '*backbone.pth',
    networkJson: '{"kind":"mobilefacenet"}',
    stages: [{ file: '1backbone.pth', digest: '0'.repeat(64) }],
  },
  importStage: { ...run, stage: 1, offset: 0, data: Buffer.alloc(8) },
  inspect: { yaml, baseDir: '/data', overrides: {} },
  find: { idOrName: 'demo', kinds: ['plan', 'run'] },
  getPlan: { id: 'plan-1' },
  getSweep: { id: 'sweep-1' },
  getTrial: { id: 'trial-1' },
  getRun: { id: 'run-1' },
  getWorker: { id: 'w1' },
  getGoodput: { id: 'run-1' },
  listPlans: { ...page, newestFirst: true },
  listSweeps: page,
  listTrials: { ...page, sweepId: 'sweep-1', pageToken: token('trials of sweep-1', '1') },
  leaderboard: { sweepId: 'sweep-1', limit: 3, pageToken: token('leaderboard of sweep-1', 'trial-1') },
  listRuns: { ...page, planId: 'plan-1' },
  listWorkers: page,
  listCheckpoints: { ...page, ...run },
  watch: { runId: 'run-1', rateHz: 3, changes: true },
  logs: { ...run, workerId: 'w1', afterSequence: 7 },
  history: run,
  cancel: { id: 'run-1', reason: 'enough' },
  resume: { id: 'run-2', reason: 'more' },
  pause: { id: 'run-1', reason: 'others first' },
  prioritise: { id: 'run-1', priority: 60, reason: 'soon' },
  drain: { workerId: 'w1', undo: true, reason: 'repaired' },
  verify: { ...run, stage: 0, setPath: '/faces/lfw.bin' },
  getEvaluation: run,
  export: { ...run, stage: 0, format: 'onnx' },
  getLedger: { ...run, ...page, pageToken: token('ledger of run-1', '1') },
  replay: { ...run, fromStage: 1, toStage: 2 },
  listArtefacts: { id: 'plan-1' },
  keepCheckpoint: { ...run, stage: 1, reason: 'good' },
  deleteArtefacts: { runId: 'run-2', reason: 'old' },
  remove: { id: 'run-2', reason: 'old' },
  why: { id: 'run-1', ...page, pageToken: token('why run-1', '1') },
  getStore: {},
  checkJournal: {},
  exportJournal: { after: 3, events: true },
  importJournal: { after: 3, messages: [], finish: true },
  truncateJournal: { after: 3, lastSequence: 9, reason: 'damaged' },
};
const METHODS = Object.keys(REQUESTS) as Method[];

/** A method's request as bytes. Those that a fresh fleet refuses are corpora all the same: see `decode`. */
function requestOf(method: Method): Sections {
  const { requestDeserialize, requestSerialize } = FleetServiceService[method];
  const whole = { ...requestDeserialize(Buffer.alloc(0)), ...REQUESTS[method] };
  return [Buffer.from(method), (requestSerialize as (request: unknown) => Buffer)(whole)];
}

function otherRequest(random: RandomStream, corpus: readonly Sections[]): Sections {
  const [method, bytes] = draw.pick(random, corpus);
  return [method!, otherMessage(random, Buffer.from(bytes!))];
}

const EMPTY_STORE = { kind: 'ok', reason: '', usedBytes: 0, limitBytes: 0, place: '', sinceMs: 0 } as const;

async function* nothing(): AsyncGenerator<never> {}

/** What is behind a number that goes to the broker as a sequence or a stage. */
function assertWhole(number: number): void {
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${number} reaches the broker`);
}

function partsOf(world: World): ServiceParts {
  const { driver, host } = world.leader!;
  const { submit } = world.leader!;
  const parts = {
    driver: Object.create(driver, { submit: { value: submit } }) as Driver,
    journal: { sequence: world.events.length, story: storiesOf(world.events).tell },
    links: { lastSeenMs: () => undefined, deviceOf: () => undefined, connected: connections() },
    progress: createProgressBoard(),
    records: {
      history: async () => nothing(),
      logs: ({ afterSequence }: { readonly afterSequence: number }) => {
        assertWhole(afterSequence);
        return nothing();
      },
      exported: nothing,
      evaluation: async () => undefined,
    },
    verifier: { verify: async () => undefined },
    replayer: { replay: nothing },
    artefacts: { list: async () => ({ runs: [], totalBytes: 0 }), bytesOf: async () => 0 },
    teacherImports: createTeacherImports({
      driver: Object.create(driver, { submit: { value: submit } }) as Driver,
      ...{ store: {} as ArtefactStore, names: NAMES, clock: host.clock },
    }),
    reading: () => () => undefined,
    submissions: {
      async read(submission: Parameters<typeof readSubmission>[0]) {
        assertBounded(submission);
        return readSubmission(submission);
      },
    },
    inspector: {
      inspect: async () => ({
        facts: FACTS,
        skipped: undefined,
        heldOutSizes: [40, 40, 40],
        notes: [],
        digest: 'ab',
      }),
      progress: () => () => undefined,
    },
    repair: {
      check: async () => ({ lastSequence: 3, events: 3, damage: '', goodSequence: 3, cuts: [] }),
      messagesAfter(after: number) {
        assertWhole(after);
        return nothing();
      },
      async truncate({ after, lastSequence }: { readonly after: number; readonly lastSequence: number }) {
        assertWhole(after);
        assertWhole(lastSequence);
        return 1;
      },
    },
    journalImport: {
      take: async (after: number) => assertWhole(after),
      finish: async () => ({ lastSequence: 3, journal: 'x' }),
    },
    onImported: () => undefined,
    store: () => ({ state: EMPTY_STORE, halted: '', blocksDecisions: false }),
    desk: createDesk(),
    clock: host.clock,
    principalOf: () => undefined,
    log: { warn: () => undefined },
    onSubmission: () => undefined,
  };
  return parts as unknown as ServiceParts;
}

/** Calls a method, lets a second pass, hangs up, and resolves with the refusal. */
async function asked(world: World, method: Method, request: unknown): Promise<FleetError | undefined> {
  let isOver = false;
  let refusal: unknown;
  const call = Object.assign(new EventEmitter(), {
    ...{ request, metadata: new Metadata(), cancelled: false, getDeadline: () => Number.POSITIVE_INFINITY },
    write: () => true,
    end: () => {
      isOver = true;
    },
  });
  const ended = (caught: unknown) => {
    isOver = true;
    refusal ??= caught ?? undefined;
  };
  call.on('error', ended);
  const handle = createFleetService(partsOf(world))[method] as unknown as (
    of: typeof call,
    callback: (error: unknown) => void,
  ) => void;
  world.leader!.host.run(() => handle(call, ended));
  await passed(world, 1_000, () => isOver);
  call.cancelled = true;
  call.emit('cancelled');
  await passed(world, 400, () => false);
  return refusal === undefined ? undefined : fromServiceError(Object.assign(new Error(), refusal));
}

async function passed(world: World, ms: number, isOver: () => boolean): Promise<void> {
  let isLate = false;
  world.later(ms, () => {
    isLate = true;
  });
  await world.runUntil(() => isLate || isOver(), 10_000);
}

async function answered([name, bytes]: Sections): Promise<void> {
  const method = METHODS.find((one) => one === Buffer.from(name!).toString());
  if (method === undefined) throw new FleetError('unimplemented', 'there is no such method');
  const type = {
    decode: (of: Uint8Array) => FleetServiceService[method].requestDeserialize(Buffer.from(of)),
  };
  const request: unknown = decodeOrLost<unknown>(type, bytes!, 'a request');
  const world = createWorld({ seed: 1 });
  await world.runUntil(() => world.leader !== undefined, 60_000);
  const documents = [
    { kind: 'plan', spec: plan(), facts: FACTS, yaml },
    { kind: 'sweep', spec: sweep(), facts: FACTS },
    { kind: 'run', spec: teacher({ name: 'alone' }), facts: FACTS },
  ] as const;
  await world.call({ kind: 'submit', documents });
  await passed(world, 1_000, () => false);
  const refusal = await asked(world, method, request);
  assertReadable(world.events);
  world.checkFold();
  if (world.leader === undefined) throw new Error('the coordinator has ended');
  if (refusal !== undefined) throw refusal;
}

/** Of the corpus those that a fleet with nothing computed takes. */
const TAKEN: readonly Method[] = METHODS.filter(
  (method) =>
    ![
      'getWorker',
      'drain',
      'resume',
      'verify',
      'export',
      'keepCheckpoint',
      'deleteArtefacts',
      'remove',
      'importStage',
    ].includes(method),
);

const requests: Target = {
  name: 'requests',
  decoders: ['coordinator/api/service.ts', 'coordinator/api/page.ts', 'core/text/wire-text.ts'],
  corpus: () => TAKEN.map(requestOf),
  compose: (random) => otherRequest(random, METHODS.map(requestOf)),
  composed: 0.9,
  decode: answered,
  lines: true,
  charsMax: 12_000,
  cases: 32,
};

export const requestTargets: readonly Target[] = [requests];
