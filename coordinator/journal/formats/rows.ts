// Rows of format 3: the events of which a long journal consists stand in it as lists of their values without the
// names of their fields, because a start inflates and parses a million of them. Pure. Decides which events are
// rows and which event a row is; any other event, and one that has more than its row has places for, stands in
// the journal as it is. The places of a row are a part of the format and never change.
//
// A row begins with the number of its kind. A run and a trial stand in it by the number of their id. What is absent is
// null, and left out at the end.

import type { Costs } from '../../../core/nn/space.ts';
import type { Event, EventOf } from '../../model/events.ts';
import { type EvaluationState, type Member, numberIn, type Objectives } from '../../model/state.ts';

/** An event as a list of its values. */
export type Row = readonly unknown[];

/** An event as it stands in a group: of format 3 it may be a row. */
export type Written = Row | { readonly kind: string };

/** Whether an event stands as a row. */
export const isRow = (written: Written): written is Row => Array.isArray(written);

/** The fields of each kind that has rows, by place from 1; the number of a kind is its place here. */
const PLACES: readonly (readonly [kind: Event['kind'], ...fields: string[]])[] = [
  [
    'run.checkpointed',
    ...['runId', 'stage', 'step', 'bytes', 'digest', 'workerId', 'atMs'],
    ...['isOnlyStage', 'weightsDigest', 'stateDigest', 'ledgerDigest'],
  ],
  ['run.finished', 'runId', 'generation', 'workerId', 'step', 'weightsDigest', 'atMs', 'evaluation'],
  ['trial.ended', 'trialId', 'state', 'reason', 'atMs', 'objectives'],
  ['trial.proposed', 'trialId', 'sweepId', 'number', 'genotype', 'costs', 'cursor', 'atMs'],
  ['trial.attempted', 'trialId', 'runId', 'reason', 'atMs', 'attempt'],
  ['run.assigned', 'runId', 'generation', 'members', 'deviceClass', 'reason', 'atMs'],
  ['stage.dropped', 'runId', 'parts', 'reason', 'atMs'],
];

const NUMBERS: ReadonlyMap<unknown, number> = new Map(PLACES.map(([kind], number) => [kind, number]));

/** The kind of event that a row names; undefined: this format has no rows of that number. */
export const kindOfRow = ([number]: Row): Event['kind'] | undefined => PLACES[number as number]?.[0];

/** Events as a group of format 3 has them. */
export const rowsOf = (events: readonly unknown[]): unknown[] => events.map(written);

function written(event: unknown): unknown {
  const fields = event as Readonly<Record<string, unknown>> | null;
  const number = NUMBERS.get(fields?.kind);
  if (fields === null || number === undefined) return event;
  const [, ...names] = PLACES[number]!;
  const row: unknown[] = [number, ...names.map((name) => listed(name, fields[name] ?? null))];
  while (row.at(-1) === null) row.pop();
  // What would not come back as it is has a value that no row has a place for.
  return isSame(eventOfRow(row, rowIds()), event) ? row : event;
}

/** What an event has inside: its values by place. */
const INSIDE: Readonly<Record<string, readonly string[]>> = {
  costs: ['parameters', 'mflops', 'multiplyAdds'],
  cursor: ['draws'],
  members: ['workerId', 'shardFirst', 'shardCount'],
  evaluation: ['accuracy', 'accuracyStd', 'auc', 'eer', 'tarAtFar', 'pairs', 'accuracyUntrained'],
};

/** A value as it stands in a row; a list of things is a list of their lists. */
function listed(name: string, value: unknown): unknown {
  if (value === true) return 1;
  if (name === 'runId' || name === 'trialId')
    return typeof value === 'string' ? numberIn(name === 'runId' ? 'run' : 'trial', value) : value;
  const places = INSIDE[name];
  if (typeof value !== 'object' || value === null || places === undefined) return value;
  if (Array.isArray(value)) return value.map((one) => listed(name, one));
  const list = places.map((place) => (value as Readonly<Record<string, unknown>>)[place]);
  while (list.at(-1) === undefined && list.length > 0) list.pop();
  return list;
}

/** Whether both are the same JSON, in whatever order their fields stand. */
function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b);
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [fields, others] = [a as Record<string, unknown>, b as Record<string, unknown>];
  for (const name in others)
    if (others[name] !== undefined && !isSame(fields[name], others[name])) return false;
  for (const name in fields) if (fields[name] !== undefined && others[name] === undefined) return false;
  return true;
}

/** Ids by number for the rows of one group. */
export interface RowIds {
  run(number: number): string;
  trial(number: number): string;
}

/** Ids of which that of the last row is kept: most rows are about the same run as the one before. */
export function rowIds(): RowIds {
  let [run, trial] = [0, 0];
  let [runId, trialId] = ['', ''];
  return {
    run(number) {
      if (number !== run) [run, runId] = [number, `run-${number}`];
      return runId;
    },
    trial(number) {
      if (number !== trial) [trial, trialId] = [number, `trial-${number}`];
      return trialId;
    },
  };
}

/** The event of a row, each value of which is looked at; undefined: it is no row of format 3. */
export function eventOfRow(row: Row, ids: RowIds): Event | undefined {
  switch (row[0]) {
    case 0:
      return checkpointed(row, ids);
    case 1:
      return finished(row, ids);
    case 2:
      return trialEnded(row, ids);
    case 3:
      return trialProposed(row, ids);
    case 4:
      return trialAttempted(row, ids);
    case 5:
      return assigned(row, ids);
    case 6:
      return stageDropped(row, ids);
    default:
      return undefined;
  }
}

type Made<K extends Event['kind']> = { -readonly [F in keyof EventOf<K>]: EventOf<K>[F] };

const isText = (value: unknown): value is string => typeof value === 'string';
const isNumber = (value: unknown): value is number => Number.isFinite(value);
/** The number of an id of the state, of which `numberIn` is the reverse. */
const isIdNumber = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) < 1e9;
const isAbsent = (value: unknown): value is null | undefined => value === undefined || value === null;

/** Whether a list has so many numbers and nothing else. */
function areNumbers(value: unknown, count: number): value is readonly number[] {
  if (!Array.isArray(value) || value.length !== count) return false;
  for (let i = 0; i < count; i++) if (!Number.isFinite(value[i])) return false;
  return true;
}

function checkpointed(row: Row, ids: RowIds): Event | undefined {
  const [, number, stage, step, bytes, digest, workerId, atMs, isOnly, weights, state, ledger] = row;
  if (!isIdNumber(number) || !isText(digest) || !isText(workerId) || row.length > 12) return undefined;
  if (!isNumber(stage) || !isNumber(step) || !isNumber(bytes) || !isNumber(atMs)) return undefined;
  if (!isAbsent(isOnly) && isOnly !== 1) return undefined;
  const kind = 'run.checkpointed';
  const runId = ids.run(number);
  // Nearly every one has all of them, and is made in one piece.
  if (isText(weights) && isText(state) && isText(ledger)) {
    const whole: Made<typeof kind> = {
      kind,
      runId,
      stage,
      step,
      bytes,
      digest,
      workerId,
      atMs,
      weightsDigest: weights,
      stateDigest: state,
      ledgerDigest: ledger,
    };
    if (isOnly === 1) whole.isOnlyStage = true;
    return whole;
  }
  const event: Made<typeof kind> = { kind, runId, stage, step, bytes, digest, workerId, atMs };
  if (isOnly === 1) event.isOnlyStage = true;
  if (isText(weights)) event.weightsDigest = weights;
  else if (!isAbsent(weights)) return undefined;
  if (isText(state)) event.stateDigest = state;
  else if (!isAbsent(state)) return undefined;
  if (isText(ledger)) event.ledgerDigest = ledger;
  else if (!isAbsent(ledger)) return undefined;
  return event;
}

function finished(row: Row, ids: RowIds): Event | undefined {
  const [, number, generation, workerId, step, weightsDigest, atMs, evaluation] = row;
  if (!isIdNumber(number) || !isText(workerId) || !isText(weightsDigest) || row.length > 8) return undefined;
  if (!isNumber(generation) || !isNumber(step) || !isNumber(atMs)) return undefined;
  const kind = 'run.finished';
  const runId = ids.run(number);
  const event: Made<typeof kind> = { kind, runId, generation, workerId, step, weightsDigest, atMs };
  if (isAbsent(evaluation)) return event;
  if (!areNumbers(evaluation, 6) && !areNumbers(evaluation, 7)) return undefined;
  event.evaluation = evaluationOf(evaluation);
  return event;
}

function evaluationOf(list: readonly number[]): EvaluationState {
  const [accuracy, accuracyStd, auc, eer, tarAtFar, pairs, accuracyUntrained] = list;
  const evaluation = {
    accuracy: accuracy!,
    accuracyStd: accuracyStd!,
    auc: auc!,
    eer: eer!,
    tarAtFar: tarAtFar!,
    pairs: pairs!,
  };
  return accuracyUntrained === undefined ? evaluation : { ...evaluation, accuracyUntrained };
}

function trialEnded(row: Row, ids: RowIds): Event | undefined {
  const [, number, state, reason, atMs, objectives] = row;
  if (!isIdNumber(number) || !isText(reason) || !isNumber(atMs) || row.length > 6) return undefined;
  if (state !== 'done' && state !== 'failed' && state !== 'cancelled') return undefined;
  const trialId = ids.trial(number);
  const event: Made<'trial.ended'> = { kind: 'trial.ended', trialId, state, reason, atMs };
  if (isAbsent(objectives)) return event;
  if (typeof objectives !== 'object' || Array.isArray(objectives)) return undefined;
  event.objectives = objectives as Objectives;
  return event;
}

function trialProposed(row: Row, ids: RowIds): Event | undefined {
  const [, idNumber, sweepId, number, genotype, costList, cursorList, atMs] = row;
  if (!isIdNumber(idNumber) || !isText(sweepId) || !isText(genotype) || row.length !== 8) return undefined;
  if (!isNumber(number) || !isNumber(atMs)) return undefined;
  if (!areNumbers(costList, 3) || !areNumbers(cursorList, 1)) return undefined;
  const costs: Costs = { parameters: costList[0]!, mflops: costList[1]!, multiplyAdds: costList[2]! };
  const cursor = { draws: cursorList[0]! };
  const trialId = ids.trial(idNumber);
  return { kind: 'trial.proposed', trialId, sweepId, number, genotype, costs, cursor, atMs };
}

function trialAttempted(row: Row, ids: RowIds): Event | undefined {
  const [, trialNumber, runNumber, reason, atMs, attempt] = row;
  if (!isIdNumber(trialNumber) || !isIdNumber(runNumber) || !isText(reason) || row.length > 6)
    return undefined;
  if (!isNumber(atMs)) return undefined;
  const [trialId, runId] = [ids.trial(trialNumber), ids.run(runNumber)];
  const event: Made<'trial.attempted'> = { kind: 'trial.attempted', trialId, runId, reason, atMs };
  if (isNumber(attempt)) event.attempt = attempt;
  else if (!isAbsent(attempt)) return undefined;
  return event;
}

function assigned(row: Row, ids: RowIds): Event | undefined {
  const [, number, generation, listed, deviceClass, reason, atMs] = row;
  if (!isIdNumber(number) || !isText(deviceClass) || !isText(reason) || row.length !== 7) return undefined;
  if (!isNumber(generation) || !isNumber(atMs) || !Array.isArray(listed)) return undefined;
  const members: Member[] = [];
  for (let i = 0; i < listed.length; i++) {
    const one: unknown = listed[i];
    if (!Array.isArray(one) || one.length !== 3) return undefined;
    const [workerId, shardFirst, shardCount] = one as readonly unknown[];
    if (!isText(workerId) || !isNumber(shardFirst) || !isNumber(shardCount)) return undefined;
    members.push({ workerId, shardFirst, shardCount });
  }
  const runId = ids.run(number);
  return { kind: 'run.assigned', runId, generation, members, deviceClass, reason, atMs };
}

function stageDropped(row: Row, ids: RowIds): Event | undefined {
  const [, number, parts, reason, atMs] = row;
  if (!isIdNumber(number) || !isText(reason) || !isNumber(atMs) || row.length !== 5) return undefined;
  if (parts !== 'state' && parts !== 'all') return undefined;
  return { kind: 'stage.dropped', runId: ids.run(number), parts, reason, atMs };
}
