// A worker without TensorFlow: real gRPC, scripted training. It takes what it is assigned, makes progress,
// stores checkpoints in word only, finishes, and dials again with its leases when the stream breaks. It
// computes nothing.

import { randomUUID } from 'node:crypto';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { FleetError } from '../../core/errors.ts';
import { createWorkerClient } from '../../core/net/grpc-client.ts';
import { fromServiceError } from '../../core/net/grpc-status.ts';
import { PROTOCOL } from '../../core/net/protocol.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { scheduleOf, stepsAtStage } from '../../core/spec/schedule.ts';
import type { Assign, WorkerCommand, WorkerReport } from '../../proto/gen/pocketfleet/v1/worker.ts';

export interface ScriptedWorker {
  readonly id: string;
  /** Every command so far, oldest first. */
  readonly commands: readonly WorkerCommand[];
  /** What it holds now. */
  readonly leases: ReadonlyMap<string, Assign>;
  /** Times that a stream was opened. */
  readonly dials: number;
  /** Reports that no command has acknowledged yet. */
  readonly unacknowledged: number;
  /** Sends a report that wants an acknowledgement. */
  say(kind: NonNullable<WorkerReport['kind']>): void;
  /** Steps of every held run go on; without it runs stand still. */
  setRunning(running: boolean): void;
  /** The process dies: no farewell, nothing is kept. */
  close(): void;
}

export function startScriptedWorker(options: {
  endpoint: string;
  token: string;
  id: string;
  trainingImages: number;
  stepMs?: number;
  slots?: number;
  deviceClass?: string;
  podUid?: string;
  /** The fleet that it belongs to. */
  fleet?: string;
  /** The reason, reported for every run that it holds, why it waits for the store. */
  storeWait?: string;
  onVerify?: (requestId: string) => NonNullable<WorkerReport['kind']> | undefined;
}): ScriptedWorker {
  const client = createWorkerClient(options);
  const incarnation = randomUUID();
  const commands: WorkerCommand[] = [];
  const leases = new Map<string, Assign>();
  const steps = new Map<string, number>();
  const waiting = new Map<number, NonNullable<WorkerReport['kind']>>();
  let stream: ClientDuplexStream<WorkerReport, WorkerCommand> | undefined;
  let dials = 0;
  let sequence = 0;
  let running = true;
  let closed = false;
  const timers = new Set<NodeJS.Timeout>();

  const later = (ms: number, action: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      action();
    }, ms);
    timers.add(timer);
  };
  const write = (report: WorkerReport) => void stream?.write(report);

  function dial(): void {
    if (closed) return;
    dials += 1;
    const mine = client.attach();
    stream = mine;
    mine.on('data', (command: WorkerCommand) => receive(command));
    const again = () => {
      if (stream !== mine) return;
      stream = undefined;
      later(100, dial);
    };
    mine.on('error', again);
    mine.on('end', again);
    write({ sequence: 0, kind: { $case: 'hello', value: hello() } });
    for (const [number, kind] of waiting) write({ sequence: number, kind });
  }

  function hello() {
    return {
      workerId: options.id,
      incarnation,
      version: 'scripted',
      host: 'test',
      pid: process.pid,
      device: {
        kind: 'cpu',
        name: 'none',
        deviceClass: options.deviceClass ?? 'scripted',
        tensorflowVersion: '',
        threads: 1,
        memoryBytes: 0,
        gpu: undefined,
        devices: [],
      },
      slots: options.slots ?? 4,
      leases: leaseList(),
      metricsEndpoint: '',
      podUid: options.podUid ?? '',
      labels: {},
      protocol: PROTOCOL,
      fleet: options.fleet ?? '',
    };
  }

  function leaseList() {
    return [...leases.values()].map(({ runId, generation }) => ({
      runId,
      generation,
      step: steps.get(runId) ?? 0,
      inExchange: true,
      suspects: [],
      ...(options.storeWait === undefined ? {} : { waitsForStore: options.storeWait }),
    }));
  }

  function receive(command: WorkerCommand): void {
    commands.push(command);
    const { kind } = command;
    if (kind?.$case === 'acknowledge') waiting.delete(kind.value.sequence);
    if (kind?.$case === 'release') leases.delete(kind.value.runId);
    if (kind?.$case === 'assign') leases.set(kind.value.runId, kind.value);
    if (kind?.$case === 'verify') {
      const answer = options.onVerify?.(kind.value.requestId);
      if (answer) say(answer);
    }
  }

  function say(kind: NonNullable<WorkerReport['kind']>): void {
    sequence += 1;
    waiting.set(sequence, kind);
    write({ sequence, kind });
  }

  function beat(): void {
    write({ sequence: 0, kind: { $case: 'heartbeat', value: { leases: leaseList() } } });
    if (running)
      for (const lease of leases.values()) if (lease.members[0]?.workerId === options.id) train(lease);
    later(options.stepMs ?? 20, beat);
  }

  function train(lease: Assign): void {
    const { runId, generation } = lease;
    const spec = JSON.parse(lease.specJson) as RunSpec;
    const schedule = scheduleOf(spec.training, options.trainingImages);
    const done = steps.get(runId) ?? 0;
    if (done >= schedule.stepsTotal) return;
    const step = done + 1;
    steps.set(runId, step);
    write({ sequence: 0, kind: { $case: 'progress', value: progressAt(lease, spec, step) } });
    for (let stage = 1; stage <= spec.training.epochs; stage++)
      if (stepsAtStage(schedule, stage) === step)
        say({
          $case: 'checkpointStored',
          value: { runId, generation, stage, step, bytes: 8, digest: `${runId}-${stage}` },
        });
    if (step === schedule.stepsTotal)
      say({
        $case: 'finished',
        value: { runId, generation, step, weightsDigest: 'feedfeedfeedfeed', evaluation },
      });
  }

  dial();
  later(options.stepMs ?? 20, beat);
  return {
    id: options.id,
    commands,
    leases,
    get dials() {
      return dials;
    },
    get unacknowledged() {
      return waiting.size;
    },
    say,
    setRunning(value) {
      running = value;
    },
    close() {
      closed = true;
      for (const timer of timers) clearTimeout(timer);
      stream?.on('error', () => undefined);
      stream?.cancel();
      client.close();
    },
  };
}

const evaluation = {
  accuracy: 0.75,
  accuracyStd: 0.01,
  auc: 0.8,
  eer: 0.25,
  tarAtFar: 0.3,
  pairs: 600,
  accuracyUntrained: Number.NaN,
};

function progressAt(lease: Assign, spec: RunSpec, step: number) {
  return {
    runId: lease.runId,
    generation: lease.generation,
    waitingForStage: 0,
    openRoundSteps: 0,
    point: {
      step,
      epoch: 0,
      loss: 1 / step,
      lossArcface: 1 / step,
      lossKd: Number.NaN,
      learningRate: spec.training.optimizer.learningRate,
      gradientNorm: 1,
      imagesPerSecond: 100,
      atMs: Date.now(),
    },
  };
}

/** The answer to a hello that must be refused. */
export function refusalOfHello(options: {
  endpoint: string;
  token: string;
  workerId: string;
  fleet?: string;
}): Promise<FleetError> {
  const client = createWorkerClient(options);
  const stream = client.attach();
  const device = {
    kind: 'cpu',
    name: 'none',
    deviceClass: 'scripted',
    tensorflowVersion: '',
    threads: 1,
    memoryBytes: 0,
    gpu: undefined,
    devices: [],
  };
  const value = {
    ...{ workerId: options.workerId, incarnation: randomUUID(), version: 'scripted', host: 'test', pid: 1 },
    ...{
      device,
      slots: 1,
      leases: [],
      metricsEndpoint: '',
      podUid: '',
      labels: {},
      fleet: options.fleet ?? '',
      protocol: PROTOCOL,
    },
  };
  return new Promise<FleetError>((resolve, reject) => {
    stream.on('data', () => reject(new Error('it was taken')));
    stream.on('error', (error) => resolve(fromServiceError(error)));
    stream.write({ sequence: 0, kind: { $case: 'hello', value } });
  }).finally(() => {
    stream.cancel();
    client.close();
  });
}
