// A process with many workers that compute nothing: each is a real gRPC stream of its own connection, takes
// what it is assigned, and reports its end after a time that is drawn. For benchmarks and fault runs of the
// control plane, which start it with the endpoint and the number of workers, and ask it over IPC.

import { randomUUID } from 'node:crypto';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { createWorkerClient } from '../../core/net/grpc-client.ts';
import { PROTOCOL } from '../../core/net/protocol.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { scheduleOf, stepsAtStage } from '../../core/spec/schedule.ts';
import type { Assign, WorkerCommand, WorkerReport } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { DEVICE_CLASS } from './device-class.ts';

/** What the process is asked for. */
export type Order =
  /** Runs end after a time from `msMin` to `msMax`. */
  | { readonly kind: 'pace'; readonly msMin: number; readonly msMax: number }
  /** Answer with the counts, and begin to count again. */
  | { readonly kind: 'count' };

/** Counts since the last time. */
export interface Counts {
  readonly attached: number;
  readonly dials: number;
  readonly finished: number;
  /** From the report of an end to the next run of the same worker, milliseconds. */
  readonly turnaroundsMs: readonly number[];
}

type Kind = NonNullable<WorkerReport['kind']>;

/** Images of a data set with 12 identities of 8 images, of which 4 identities are held out. */
const IMAGES = 64;
const REDIAL_MS = 100;
const HEARTBEAT_MS = 500;
/** How long a coordinator may take to greet a worker: one that stands still never does. */
const WELCOME_MS = 3_000;

const [endpoints = '', token = '', count = '1', prefix = 'w'] = process.argv.slice(2);
let pace = { msMin: 0, msMax: 0 };
let finished = 0;
let dials = 0;
let turnaroundsMs: number[] = [];

const workers = Array.from({ length: Number(count) }, (_, i) => startWorker(`${prefix}${i}`, i));

function startWorker(workerId: string, index: number) {
  const clients = endpoints.split(',').map((endpoint) => createWorkerClient({ endpoint, token }));
  const incarnation = randomUUID();
  const leases = new Map<string, Assign>();
  const waiting = new Map<number, Kind>();
  let stream: ClientDuplexStream<WorkerReport, WorkerCommand> | undefined;
  let attempt = index;
  let welcomed = false;
  let sequence = 0;
  /** When the end of a run was reported, while the next one has not come. */
  let freedAt: number | undefined;

  function dial(): void {
    dials += 1;
    const mine = clients[attempt++ % clients.length]!.attach();
    stream = mine;
    welcomed = false;
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      mine.on('error', () => undefined);
      mine.cancel();
      if (stream === mine) stream = undefined;
      setTimeout(dial, REDIAL_MS * (0.5 + Math.random()));
    };
    mine.on('error', end);
    mine.on('end', end);
    mine.on('data', receive);
    mine.write({ sequence: 0, kind: { $case: 'hello', value: hello() } });
    setTimeout(() => {
      if (stream === mine && !welcomed) end();
    }, WELCOME_MS);
  }

  const leaseList = () =>
    [...leases.values()].map(({ runId, generation }) => ({
      ...{ runId, generation, step: 0, inExchange: true, suspects: [] },
    }));

  function hello() {
    const device = {
      ...{ kind: 'cpu', name: 'none', deviceClass: DEVICE_CLASS, tensorflowVersion: '' },
      ...{ threads: 1, memoryBytes: 0, gpu: undefined, devices: [] },
    };
    return {
      ...{ workerId, incarnation, version: 'bench', host: 'bench', pid: process.pid, device },
      ...{
        slots: 1,
        leases: leaseList(),
        metricsEndpoint: '',
        podUid: '',
        labels: {},
        fleet: '',
        protocol: PROTOCOL,
      },
    };
  }

  function receive({ kind }: WorkerCommand): void {
    switch (kind?.$case) {
      case 'welcome':
        welcomed = true;
        for (const [number, open] of waiting) stream?.write({ sequence: number, kind: open });
        return;
      case 'acknowledge':
        waiting.delete(kind.value.sequence);
        return;
      case 'release':
        leases.delete(kind.value.runId);
        return;
      case 'assign':
        take(kind.value);
    }
  }

  function take(assign: Assign): void {
    const before = leases.get(assign.runId);
    if (before !== undefined && before.generation >= assign.generation) return;
    leases.set(assign.runId, assign);
    if (before === undefined && freedAt !== undefined) turnaroundsMs.push(performance.now() - freedAt);
    freedAt = undefined;
    const ms = pace.msMin + (pace.msMax - pace.msMin) * Math.random();
    if (ms === 0) finish(assign);
    else setTimeout(finish, ms, assign);
  }

  function finish({ runId, generation, specJson }: Assign): void {
    if (leases.get(runId)?.generation !== generation) return;
    const { training } = JSON.parse(specJson) as RunSpec;
    const schedule = scheduleOf(training, IMAGES);
    for (let stage = 1; stage <= training.epochs; stage++) {
      const step = stepsAtStage(schedule, stage);
      const digest = `${runId}-${stage}`;
      say({ $case: 'checkpointStored', value: { runId, generation, stage, step, bytes: 8, digest } });
    }
    const end = { runId, generation, step: schedule.stepsTotal, weightsDigest: 'feedfeedfeedfeed' };
    say({ $case: 'finished', value: { ...end, evaluation } });
    finished += 1;
    freedAt = performance.now();
  }

  function say(kind: Kind): void {
    sequence += 1;
    waiting.set(sequence, kind);
    if (welcomed) stream?.write({ sequence, kind });
  }

  dial();
  setInterval(() => {
    if (welcomed)
      stream?.write({ sequence: 0, kind: { $case: 'heartbeat', value: { leases: leaseList() } } });
  }, HEARTBEAT_MS);
  return { isAttached: () => stream !== undefined && welcomed };
}

const evaluation = {
  ...{ accuracy: 0.75, accuracyStd: 0.01, auc: 0.8, eer: 0.25, tarAtFar: 0.3, pairs: 600 },
  accuracyUntrained: Number.NaN,
};

process.on('message', (order: Order) => {
  if (order.kind === 'pace') pace = order;
  else {
    const attached = workers.filter(({ isAttached }) => isAttached()).length;
    const counts: Counts = { attached, dials, finished, turnaroundsMs };
    process.send?.(counts);
    dials = 0;
    finished = 0;
    turnaroundsMs = [];
  }
});
// A parent that is gone can ask for nothing more.
process.on('disconnect', () => process.exit(0));
