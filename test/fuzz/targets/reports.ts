// What a worker sends on its stream, given to a real coordinator of the simulation. A report may be refused,
// which ends the stream; whatever is taken must leave a journal that the next coordinator can read.

import { EventEmitter } from 'node:events';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { refusalOfEvents } from '../../../coordinator/journal/event-schema.ts';
import type { Event } from '../../../coordinator/model/events.ts';
import { type FleetError, toFleetError } from '../../../core/errors.ts';
import { fromServiceError } from '../../../core/net/grpc-status.ts';
import { PROTOCOL } from '../../../core/net/protocol.ts';
import { decodeOrLost } from '../../../core/protobuf.ts';
import { type WorkerCommand, WorkerReport } from '../../../proto/gen/pocketfleet/v1/worker.ts';
import { teacher } from '../../sim/specs.ts';
import { createWorld, FACTS, type World } from '../../sim/world.ts';
import { EVALUATION as evaluation } from '../../support/state.ts';
import { draw } from '../mutators.ts';
import { otherMessage } from '../protobuf.ts';
import type { Sections, Target } from '../target.ts';

/** `kind` in the form of JSON: fields that it lacks get their defaults. */
const report = (sequence: number, kind: Readonly<Record<string, unknown>>): Uint8Array =>
  WorkerReport.encode(WorkerReport.fromJSON({ sequence, ...kind })).finish();

const hello = report(0, {
  hello: {
    ...{ workerId: 'w1', incarnation: 'one', version: 'test', host: 'here', pid: 7, slots: 1 },
    device: {
      ...{ kind: 'cpu', name: 'a processor', deviceClass: 'cpu', memoryBytes: 2 ** 33, threads: 1 },
      devices: ['cpu:0', 'cpu:1'].map((id) => ({ id, memoryBytes: 2 ** 33 })),
    },
    ...{ protocol: PROTOCOL, fleet: 'sim' },
  },
});
const lease = {
  ...{ runId: 'run-1', generation: 1, step: 4, imagesPerSecond: 9, inExchange: true, waitsForStore: 'full' },
  suspects: [{ workerId: 'w2', kind: 'silent', ms: 10, limitMs: 5 }],
};
const run = { runId: 'run-1', generation: 1 };
const ends = [
  { finished: { ...run, step: 8, weightsDigest: 'ab', evaluation } },
  { failed: { ...run, cause: 'numeric', message: 'loss is NaN', step: 3 } },
  { draining: {} },
];

function reportsUpTo(end: Readonly<Record<string, unknown>>): Sections {
  return [
    hello,
    report(0, { heartbeat: { leases: [lease] } }),
    report(0, { progress: { ...run, point: { step: 3, loss: 2, learningRate: 0.1 }, waitingForStage: 1 } }),
    report(1, {
      checkpointStored: { ...run, stage: 1, step: 4, bytes: 100, digest: 'ab', weightsDigest: 'cd' },
    }),
    report(2, end),
  ];
}

/** The end of a stream at the coordinator, and how the coordinator has ended it. */
function openStream(world: World): {
  send(bytes: Uint8Array): void;
  readonly refusal: FleetError | undefined;
} {
  const { host, attach } = world.leader!;
  let refusal: FleetError | undefined;
  const call = Object.assign(new EventEmitter(), {
    cancelled: false,
    writableLength: 0,
    write: (_command: WorkerCommand) => true,
    end: () => undefined,
  });
  call.on('error', (status) => {
    refusal ??= fromServiceError(Object.assign(new Error(), status));
  });
  host.run(() => attach(call as unknown as ServerDuplexStream<WorkerReport, WorkerCommand>));
  return {
    send(bytes) {
      const message = decodeOrLost(WorkerReport, bytes, 'a report');
      host.run(() => void call.emit('data', message));
    },
    get refusal() {
      return refusal;
    },
  };
}

/** Throws for events that a journal does not give back as they are. */
export function assertReadable(events: readonly Event[]): void {
  for (const event of events) {
    const read = JSON.parse(JSON.stringify(event)) as Event;
    const refusal = refusalOfEvents([read]);
    if (refusal !== undefined) throw new Error(`the journal ${refusal.phrase}`);
    const lost = nullAt(read, event, event.kind);
    if (lost !== undefined) throw new Error(`the journal loses ${lost}`);
  }
}

/** A number that JSON makes null. */
function nullAt(read: unknown, was: unknown, path: string): string | undefined {
  if (read === null && was !== null) return path;
  if (typeof read !== 'object' || read === null) return undefined;
  for (const [key, inner] of Object.entries(read)) {
    const found = nullAt(inner, (was as Record<string, unknown>)[key], `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function reported(sections: Sections): Promise<void> {
  const world = createWorld({ seed: 1 });
  await world.runUntil(() => world.leader !== undefined, 60_000);
  await world.call({ kind: 'submit', documents: [{ kind: 'run', spec: teacher(), facts: FACTS }] });
  const stream = openStream(world);
  for (const bytes of sections) {
    if (stream.refusal !== undefined) break;
    stream.send(bytes);
    let over = false;
    world.later(400, () => {
      over = true;
    });
    await world.runUntil(() => over, 10_000);
  }
  assertReadable(world.events);
  world.checkFold();
  if (world.leader === undefined) throw new Error('the coordinator has ended');
  if (stream.refusal !== undefined) throw toFleetError(stream.refusal);
}

const reports: Target = {
  name: 'worker-reports',
  decoders: [
    'coordinator/workers/worker-service.ts',
    'coordinator/workers/hello.ts',
    'core/text/wire-text.ts',
  ],
  corpus: () => ends.map(reportsUpTo),
  compose(random, corpus) {
    const sections = draw.pick(random, corpus).map((section): Buffer => Buffer.from(section));
    for (let left = 1 + random.integer(2); left > 0; left--) {
      const at = random.integer(sections.length);
      sections[at] = otherMessage(random, sections[at]!);
    }
    return sections;
  },
  composed: 0.95,
  decode: (sections) => reported(sections),
  cases: 10,
  charsMax: 4_000,
  lines: true,
};

export const reportTargets: readonly Target[] = [reports];
