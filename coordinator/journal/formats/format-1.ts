// Format 1 of the journal, as the releases before format 2 wrote it: the shapes of its events, frozen, and how
// they become events of the present. Nothing here follows a later change of the state or of the specs; only
// `lift` gives what the present needs.

import { z } from 'zod';
import { genotypeKey } from '../../../core/nn/genotype-code.ts';
import type { Genotype } from '../../../core/spec/network.ts';
import type { Event } from '../../model/events.ts';
import { specDigest } from '../../model/spec-digest.ts';
import { type EventShapes, eventChecker } from './event-checker.ts';

const text = z.string();
const number = z.number();
const named = z.looseObject({ name: text });
const reason = { reason: text };
const ending = { state: z.enum(['done', 'failed', 'cancelled']), reason: text };
const facts = z.looseObject({ trainingImages: number, classes: number });
const costs = z.looseObject({ parameters: number, mflops: number, multiplyAdds: number });
const members = z.array(z.looseObject({ workerId: text, shardFirst: number, shardCount: number }));
const ids = z.strictObject({ plan: number, sweep: number, trial: number, run: number });

const SHAPES: EventShapes = {
  'coordinator.started': { epoch: number, version: text },
  'journal.truncated': { after: number, ids, ...reason },
  'plan.submitted': { planId: text, spec: named, yaml: text, facts },
  'plan.ended': { planId: text, ...ending },
  'sweep.submitted': {
    sweepId: text,
    spec: z.looseObject({ name: text, strategy: z.looseObject({ kind: text, trials: number }) }),
    facts,
  },
  'sweep.exhausted': { sweepId: text, trialsTotal: number, ...reason },
  'sweep.ended': { sweepId: text, ...ending },
  'trial.proposed': {
    trialId: text,
    sweepId: text,
    number,
    genotype: z.looseObject({}),
    genotypeJson: text,
    costs,
    nextDraw: number,
    skipped: z.array(z.looseObject({ draw: number, reason: text })),
  },
  'trial.ended': { trialId: text, ...ending },
  'run.created': {
    runId: text,
    spec: z.looseObject({
      name: text,
      kind: text,
      network: z.looseObject({ kind: text }),
      training: z.looseObject({ epochs: number, batch: number }),
    }),
    facts,
    costs,
    ...reason,
  },
  'run.assigned': { runId: text, generation: number, members, deviceClass: text, ...reason },
  'run.requeued': { runId: text, generation: number, ...reason },
  'run.troubled': { runId: text, workerId: text, avoidUntilMs: number, ...reason },
  'run.blamed': { runId: text, workerId: text, blame: z.looseObject({}), ...reason },
  'run.checkpointed': { runId: text, stage: number, step: number, bytes: number, digest: text },
  'run.finished': { runId: text, generation: number, workerId: text, step: number, weightsDigest: text },
  'run.failed': { runId: text, cause: text, ...reason },
  'run.cancelled': { runId: text, ...reason },
  'work.resumed': reason,
  'worker.attached': {
    workerId: text,
    incarnation: text,
    deviceKind: text,
    deviceName: text,
    deviceClass: text,
    slots: number,
    host: text,
    pid: number,
    version: text,
    ...reason,
  },
  'worker.draining': { workerId: text, ...reason },
  'worker.lost': { workerId: text, incarnation: text, ...reason },
};

/** Why these events are none of format 1, as a phrase that goes on after "the message"; undefined: they are. */
export const refusalOfEvents1 = eventChecker(SHAPES);

/**
 * An event of format 1, whose shape was checked, as events of the present: its spec whole and recorded by
 * itself, its genotype as a key, the run of a trial as an attempt.
 */
export function lift1(event: Json): readonly Event[] {
  return lifted(event) as unknown as readonly Event[];
}

function lifted(event: Json): readonly Json[] {
  switch (event.kind) {
    case 'worker.attached':
      return [{ metricsEndpoint: '', podUid: '', ...event }];
    case 'plan.submitted':
    case 'sweep.submitted':
      return withRecordedSpec(event);
    case 'run.created': {
      if (event.trialId === undefined) return withRecordedSpec(event);
      const { trialId, runId, reason, atMs } = event;
      return [{ kind: 'trial.attempted', trialId, runId, reason, atMs }];
    }
    case 'trial.proposed': {
      const { genotype, genotypeJson: _json, nextDraw, skipped, ...rest } = event;
      const passed = skipped as readonly { readonly reason: string }[];
      return [
        {
          ...rest,
          genotype: genotypeKey(genotype as Genotype),
          cursor: { draws: nextDraw },
          ...(passed.length === 0
            ? {}
            : { skipped: { count: passed.length, firstReason: passed[0]!.reason } }),
        },
      ];
    }
    case 'trial.ended': {
      const { objective: accuracy, ...rest } = event;
      return [{ ...rest, ...(accuracy === undefined ? {} : { objectives: { accuracy } }) }];
    }
    default:
      return [event];
  }
}

function withRecordedSpec(event: Json): readonly Json[] {
  const spec = wholeSpec(event) as Parameters<typeof specDigest>[0];
  const digest = specDigest(spec);
  const { atMs } = event;
  return [
    { kind: 'spec.recorded', digest, spec, atMs },
    { ...event, spec: digest },
  ];
}

type Json = Readonly<Record<string, unknown>>;

/**
 * What fields meant that a spec may lack, because a release before had no such field. These are the defaults
 * at the end of format 1; they stay what they are when those of the present change.
 */
const TRAINING: Json = {
  shards: 8,
  seed: 1,
  flip: true,
  loss: { kind: 'arcface', scale: 64, margin: 0.5 },
  head: 'graph',
  optimizer: {
    learningRate: 0.1,
    momentum: 0.9,
    weightDecay: 5e-4,
    clipNorm: 5,
    milestones: [],
    gamma: 0.1,
  },
  sync: { kind: 'every-step' },
  compression: 'none',
  exact: true,
};
const VERIFICATION: Json = { pairs: 600, folds: 10, seed: 1 };
const RUN: Json = {
  training: TRAINING,
  verification: VERIFICATION,
  workers: { min: 1, max: 1 },
  priority: 50,
};
const SEARCH: Json = {
  objective: 'accuracy',
  constraints: {},
  evaluation: { training: TRAINING, verification: VERIFICATION },
  parallelism: 0,
  priority: 50,
  attemptsMax: 2,
  failuresInRowMax: 5,
};

function wholeSpec({ kind, spec }: Json): unknown {
  switch (kind) {
    case 'run.created':
      return withDefaults(spec, RUN);
    case 'sweep.submitted':
      return withDefaults(spec, SEARCH);
    case 'plan.submitted': {
      const { search, teacher, students = [] } = spec as { search?: Json; teacher?: Json; students?: Json[] };
      return {
        ...(spec as Json),
        ...(search === undefined ? {} : { search: withDefaults(search, SEARCH) }),
        ...(teacher === undefined
          ? {}
          : { teacher: withDefaults(teacher, { ...RUN, start: 'with-students' }) }),
        students: students.map((student) => withDefaults(student, RUN)),
      };
    }
    default:
      return spec;
  }
}

/** The value with what it lacks, to any depth; what it has stays, whatever it is. */
function withDefaults(value: unknown, defaults: unknown): unknown {
  if (value === undefined) return defaults;
  if (!isJson(value) || !isJson(defaults)) return value;
  const whole: Record<string, unknown> = { ...value };
  for (const [key, wanted] of Object.entries(defaults)) whole[key] = withDefaults(value[key], wanted);
  return whole;
}

const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
