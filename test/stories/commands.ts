// The commands that a story is made of. Each is one line: a verb, words, `key=value` options, and for some a free text
// after ` : `. README.md of this folder lists them.

import { strict as assert } from 'node:assert';
import type { CheckedDocument, FailureCause, Report } from '../../coordinator/decisions/inputs.ts';
import { valuesOf } from '../../coordinator/model/persistent-map.ts';
import { byNumbers, openRuns, runOf } from '../../coordinator/model/state.ts';
import type { Table } from '../../coordinator/model/table.ts';
import { scheduleOf, stageEndingAt, stepsAtStage } from '../../core/spec/schedule.ts';
import { plan, student, sweep, teacher, training } from '../sim/specs.ts';
import { inOrder } from '../support/state.ts';
import {
  type Coordinator,
  decide,
  dial,
  type Fleet,
  type Kill,
  killCoordinator,
  passTime,
  report,
  type StoryWorker,
  startCoordinator,
} from './fleet.ts';

/** 64 images in batches of 16: four steps an epoch. */
const FACTS = { trainingImages: 64, classes: 8, heldOutImages: 20, heldOutIdentities: 4 };

interface Line {
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  /** After ` : `; empty where there is none. */
  readonly text: string;
}

/** Performs one line of a story. */
export function perform(fleet: Fleet, source: string): void {
  const line = parse(source);
  const [verb = ''] = line.words;
  const command = COMMANDS[verb];
  assert.ok(command, `no command ${JSON.stringify(verb)}; there are ${Object.keys(COMMANDS).join(', ')}`);
  command(fleet, { ...line, words: line.words.slice(1) });
}

const COMMANDS: Readonly<Record<string, (fleet: Fleet, line: Line) => void>> = {
  start: (fleet, { words }) => startCoordinator(fleet, words[0] ?? 'coordinator'),
  kill: (fleet, { words }) => killCoordinator(fleet, words[0] ?? 'coordinator'),
  attach,
  'hang-up': hangUp,
  /** After `hang-up`: the broker has no connection of that process any more. */
  absent: (fleet, { words }) => {
    for (const worker of workersOf(fleet, words))
      leader(fleet).links.absent(worker.id, String(worker.incarnation - 1));
    passTime(fleet, 200);
  },
  silence: (fleet, { words }) => {
    for (const worker of workersOf(fleet, words)) worker.silent = true;
  },
  drain: (fleet, { words }) => {
    for (const worker of workersOf(fleet, words))
      report(fleet, listener(fleet), worker.id, { kind: 'draining' });
  },
  evict: (fleet, { words, text }) => {
    for (const { id, incarnation } of workersOf(fleet, words))
      decide(fleet, leader(fleet), {
        kind: 'leaving',
        workerId: id,
        incarnation: String(incarnation),
        reason: text,
      });
  },
  submit: (fleet, line) =>
    decide(
      fleet,
      coordinatorOf(fleet, line),
      { kind: 'submit', documents: [documentOf(line)] },
      killOf(line),
    ),
  cancel: (fleet, { words, text }) =>
    decide(fleet, leader(fleet), { kind: 'cancel', id: words[0]!, reason: text }),
  resume: (fleet, { words, text }) =>
    decide(fleet, leader(fleet), { kind: 'resume', id: words[0]!, reason: text }),
  pause: (fleet, { words, text }) =>
    decide(fleet, leader(fleet), { kind: 'pause', id: words[0]!, reason: text }),
  priority: (fleet, { words: [id, priority], text }) =>
    decide(fleet, leader(fleet), { kind: 'prioritise', id: id!, priority: Number(priority), reason: text }),
  'drain-worker': (fleet, { words, options, text }) => {
    const undo = options.get('undo') === 'true';
    decide(fleet, leader(fleet), { kind: 'drain', workerId: words[0]!, undo, reason: text });
  },
  paused,
  step: (fleet, { words: [runId, step] }) => void fleet.steps.set(runId!, Number(step)),
  speed: (fleet, { options }) => {
    for (const [id, speed] of options) fleet.speeds.set(id, Number(speed));
  },
  checkpoint,
  finish,
  fail,
  tick: (fleet, { words }) => passTime(fleet, milliseconds(words[0]!)),
  state: printState,
};

function attach(fleet: Fleet, line: Line): void {
  for (const id of line.words) {
    const worker = fleet.workers.get(id) ?? newWorker(id, line);
    fleet.workers.set(id, worker);
    dial(fleet, coordinatorOf(fleet, line), worker);
  }
}

function newWorker(id: string, { options }: Line): StoryWorker {
  return {
    id,
    incarnation: 1,
    slots: Number(options.get('slots') ?? 1),
    deviceClass: options.get('class') ?? 'cpu',
    stream: undefined,
    dialled: '',
    silent: false,
    held: new Map(),
    unacknowledged: new Map(),
    sequence: 0,
  };
}

/** The stream of a process that died; what it held in memory is gone, and the next `attach` is a new process. */
function hangUp(fleet: Fleet, { words }: Line): void {
  for (const worker of workersOf(fleet, words)) {
    const { stream } = worker;
    worker.stream = undefined;
    if (stream !== undefined) leader(fleet).links.detach(worker.id, stream);
    worker.held.clear();
    worker.unacknowledged.clear();
    worker.silent = false;
    worker.sequence = 0;
    worker.incarnation += 1;
  }
}

function documentOf({ words: [kind, ...rest], options }: Line): CheckedDocument {
  const change: Record<string, unknown> = {};
  const given = (key: string, set: (value: string) => void) => {
    const value = options.get(key);
    if (value !== undefined) set(value);
  };
  given('name', (value) => Object.assign(change, { name: value }));
  given('priority', (value) => Object.assign(change, { priority: Number(value) }));
  given('workers', (value) => {
    const [min, max] = value.split('..').map(Number);
    Object.assign(change, { workers: { min, max: max ?? min } });
  });
  given('epochs', (value) => Object.assign(change, { training: { ...training, epochs: Number(value) } }));
  if (kind === 'teacher') return { kind: 'run', spec: teacher(change), facts: FACTS };
  if (kind === 'student') {
    const of = rest[rest.indexOf('of') + 1]!;
    return { kind: 'run', spec: student(of, change), facts: FACTS };
  }
  given('trials', (value) => Object.assign(change, { strategy: { trials: Number(value) } }));
  given('parallelism', (value) => Object.assign(change, { parallelism: Number(value) }));
  given('attempts', (value) => Object.assign(change, { attemptsMax: Number(value) }));
  given('in-row', (value) => Object.assign(change, { failuresInRowMax: Number(value) }));
  if (kind === 'sweep') return { kind: 'sweep', spec: sweep(change), facts: FACTS };
  assert.equal(kind, 'plan');
  const { search } = plan();
  const trials = Number(options.get('trials') ?? 2);
  const spec = plan({ search: { ...search, strategy: { trials }, parallelism: 1 } });
  return { kind: 'plan', spec, yaml: '', facts: FACTS };
}

function killOf({ options }: Line): Kill | undefined {
  const kill = options.get('kill');
  if (kill === undefined) return undefined;
  return kill === 'before-effects' ? { beforeEffects: true } : { afterEvents: Number(kill) };
}

/** `paused run-1 step 5`: rank 0 has stored the state after that step. */
function paused(fleet: Fleet, { words: [runId, , text] }: Line): void {
  const { gang, generation, job } = runOf(memory(fleet), runId!);
  const step = Number(text);
  const isStage = step === 0 || stageEndingAt(scheduleOf(job.training, FACTS.trainingImages), step) > 0;
  const digest = `${runId}-s${step}`;
  const digests = { digest, weightsDigest: digest, stateDigest: digest, ledgerDigest: digest };
  report(fleet, listener(fleet), gang[0]!.workerId, {
    ...{ kind: 'paused', runId: runId!, generation, step },
    ...(isStage ? {} : { stored: { bytes: 1000, ...digests } }),
  });
}

/** `checkpoint run-1 stage 2 [from w2]`: by rank 0 unless a worker is named. */
function checkpoint(fleet: Fleet, { words: [runId, , stage, ...rest] }: Line): void {
  const run = runOf(memory(fleet), runId!);
  const step = stepsAtStage(scheduleOf(run.job.training, FACTS.trainingImages), Number(stage));
  fleet.steps.set(run.id, Math.max(step, fleet.steps.get(run.id) ?? 0));
  report(fleet, listener(fleet), sender(fleet, run.id, rest), {
    kind: 'checkpointStored',
    runId: run.id,
    stage: Number(stage),
    step,
    bytes: 1_000,
    digest: `digest-of-${run.id}-${stage}`,
  });
}

/** `finish run-1 [from w2] [accuracy=0.7] [generation=1] [kill=N]`. */
function finish(fleet: Fleet, line: Line): void {
  const { options } = line;
  const [runId, ...rest] = line.words;
  const run = runOf(memory(fleet), runId!);
  const accuracy = Number(options.get('accuracy') ?? 0.7);
  const content: Report = {
    kind: 'finished',
    runId: run.id,
    generation: Number(options.get('generation') ?? run.generation),
    step: scheduleOf(run.job.training, FACTS.trainingImages).stepsTotal,
    weightsDigest: `weights-of-${run.id}`,
    evaluation: { accuracy, accuracyStd: 0.01, auc: 0.8, eer: 0.3, tarAtFar: 0.1, pairs: 600 },
  };
  report(fleet, listener(fleet), sender(fleet, run.id, rest), content, killOf(line));
}

/** `fail run-1 numeric [from w2] : message`; `place` after the cause makes it a fault of the worker's disk or mount. */
function fail(fleet: Fleet, { words: [runId, cause, ...rest], text }: Line): void {
  const run = runOf(memory(fleet), runId!);
  const content: Report = {
    kind: 'failed',
    runId: run.id,
    generation: run.generation,
    cause: cause as FailureCause,
    ofPlace: rest.includes('place'),
    message: text,
    step: fleet.steps.get(run.id) ?? 0,
  };
  report(fleet, listener(fleet), sender(fleet, run.id, rest), content);
}

function printState(fleet: Fleet): void {
  const state = memory(fleet);
  for (const run of openRuns(state)) {
    const gang = run.gang.map(
      ({ workerId, shardFirst, shardCount }) => `${workerId} [${shardFirst}..${shardFirst + shardCount - 1}]`,
    );
    const stages = run.checkpoints.map(({ stage }) => stage).join(', ');
    fleet.output.push(
      `${run.id} ${run.name} ${run.state}, generation ${run.generation}` +
        `${gang.length > 0 ? `, ${gang.join(', ')}` : ''}${stages === '' ? '' : `, checkpoints ${stages}`}`,
    );
  }
  for (const noun of ['runs', 'trials', 'sweeps', 'plans'] as const) {
    const ended = inOrder<{ id: string; state: string }>(
      state[noun] as Table<{ id: string; state: string }>,
    ).filter(({ state: now }) => ['done', 'failed', 'cancelled'].includes(now));
    if (ended.length > 0) fleet.output.push(ended.map(({ id, state: now }) => `${id} ${now}`).join(', '));
  }
  const workers = [...valuesOf(state.workers)].sort((a, b) => byNumbers(a.id, b.id));
  for (const worker of workers) fleet.output.push(`${worker.id} ${worker.state}`);
}

function parse(source: string): Line {
  const [head = '', ...tail] = source.split(' : ');
  const words: string[] = [];
  const options = new Map<string, string>();
  for (const word of head.split(/\s+/).filter((part) => part !== '')) {
    const at = word.indexOf('=');
    if (at < 0) words.push(word);
    else options.set(word.slice(0, at), word.slice(at + 1));
  }
  return { words, options, text: tail.join(' : ') };
}

function milliseconds(text: string): number {
  const match = /^([\d.]+)(ms|s|min)$/.exec(text);
  assert.ok(match, `${text} is no time; write 200ms, 5s or 1min`);
  return Number(match[1]) * { ms: 1, s: 1_000, min: 60_000 }[match[2] as 'ms' | 's' | 'min'];
}

/** The coordinator that started last. */
function listener(fleet: Fleet): Coordinator | undefined {
  return [...fleet.coordinators.values()].at(-1);
}

function leader(fleet: Fleet): Coordinator {
  const found = listener(fleet);
  assert.ok(found, 'no coordinator is there; write start');
  return found;
}

/** The one of `at=NAME`, or the one that started last. */
function coordinatorOf(fleet: Fleet, { options }: Line): Coordinator {
  const name = options.get('at');
  if (name === undefined) return leader(fleet);
  const found = fleet.coordinators.get(name);
  assert.ok(found, `no coordinator ${name} is there`);
  return found;
}

/** What is stored, also while no coordinator is there. */
function memory(fleet: Fleet): Coordinator['state'] {
  return listener(fleet)?.state ?? fleet.lastState;
}

function workersOf(fleet: Fleet, ids: readonly string[]): StoryWorker[] {
  return ids.map((id) => {
    const worker = fleet.workers.get(id);
    assert.ok(worker, `no worker ${id} is there`);
    return worker;
  });
}

function sender(fleet: Fleet, runId: string, words: readonly string[]): string {
  const from = words.indexOf('from');
  const id = from < 0 ? runOf(memory(fleet), runId).gang[0]?.workerId : words[from + 1];
  assert.ok(id, `${runId} has no gang; write from WORKER`);
  return id;
}
