// What a message of the journal must look like: one shape for each kind of event. Decides which bytes are
// taken for events. Fields that are not named here pass through, since later releases add some; a kind that
// is not named here is refused, since to fold a journal without it would give another state.

import { z } from 'zod';
import type { Event } from '../model/events.ts';

const text = z.string();
const number = z.number();
const named = z.looseObject({ name: text });
const reason = { reason: text };
const ending = { state: z.enum(['done', 'failed', 'cancelled']), reason: text };
const facts = z.looseObject({ trainingImages: number, classes: number });
const costs = z.looseObject({ parameters: number, mflops: number, multiplyAdds: number });
const members = z.array(z.looseObject({ workerId: text, shardFirst: number, shardCount: number }));
const ids = z.strictObject({ plan: number, sweep: number, trial: number, run: number });

const SHAPES: Readonly<Record<Event['kind'], Readonly<Record<string, z.ZodType>>>> = {
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

const schemas = new Map(
  Object.entries(SHAPES).map(([kind, shape]) => [kind, z.looseObject({ atMs: number, ...shape })]),
);

/** One message of the stream: everything decided since the last acknowledgement. */
export interface Group {
  /**
   * The coordinator that wrote it, a new id at each start. With `group` an own append whose answer was lost
   * is recognised.
   */
  readonly writer: string;
  /** Counts the groups of one writer from 1. */
  readonly group: number;
  readonly events: readonly Event[];
}

const groupSchema = z.looseObject({
  writer: text,
  group: number,
  events: z.array(z.looseObject({ kind: text })),
});

/** The group that these bytes are, or why they are none, as a phrase that goes on after "the message". */
export function parseGroup(bytes: Uint8Array): Group | string {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return `is ${bytes.length} bytes that are no JSON`;
  }
  const parsed = groupSchema.safeParse(value);
  if (!parsed.success) return 'is JSON, but no group of events';
  for (const event of parsed.data.events) {
    const schema = schemas.get(event.kind);
    if (schema === undefined)
      return `has an event of the unknown kind ${JSON.stringify(event.kind.slice(0, 60))}, which a newer release may have written`;
    const checked = schema.safeParse(event);
    if (!checked.success)
      return `has a ${event.kind} event with a wrong ${checked.error.issues.map((issue) => issue.path.join('.')).join(', ')}`;
  }
  return value as Group;
}
