// What becomes of inputs while nothing can be decided, or nothing can be stored.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDesk } from '../../../../coordinator/decisions/desk.ts';
import { decideGroup } from '../../../../coordinator/decisions/group.ts';
import type { Input } from '../../../../coordinator/decisions/inputs.ts';
import {
  admissionOf,
  afterFailedAppend,
  consequenceOf,
  isCall,
  type Standing,
} from '../../../../coordinator/journal/admission.ts';
import { initialState, type State } from '../../../../coordinator/model/state.ts';
import { CODES, type Code, FleetError } from '../../../../core/errors.ts';
import { teacher } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { connections } from '../../../support/state.ts';

const hello = {
  ...{ workerId: 'w', incarnation: 'i', version: '', host: '', pid: 1, deviceKind: 'cpu', deviceName: '' },
  ...{ deviceClass: 'c', slots: 1, leases: [], metricsEndpoint: '', podUid: '' },
};
const lost = { kind: 'lost', workerId: 'w', incarnation: 'i', cause: 'silent', reason: 'r' } as const;
const submit: Input = { kind: 'submit', documents: [{ kind: 'run', spec: teacher(), facts: FACTS }] };
/** One input of each kind: a kind that is missing here does not compile. */
const INPUTS: { readonly [K in Input['kind']]: Extract<Input, { kind: K }> } = {
  started: { kind: 'started', version: '1' },
  submit,
  cancel: { kind: 'cancel', id: 'run-1', reason: '' },
  resume: { kind: 'resume', id: 'run-1', reason: '' },
  pause: { kind: 'pause', id: 'run-1', reason: '' },
  prioritise: { kind: 'prioritise', id: 'run-1', priority: 1, reason: '' },
  drain: { kind: 'drain', workerId: 'w', undo: false, reason: '' },
  keep: { kind: 'keep', runId: 'run-1', stage: 1, keep: true, reason: '' },
  drop: { kind: 'drop', runId: 'run-1', reason: '' },
  remove: { kind: 'remove', id: 'run-1', reason: '' },
  mended: { kind: 'mended', runId: 'run-1', stage: 1, ok: true, reason: '' },
  import: { kind: 'import', spec: teacher() },
  imported: {
    kind: 'imported',
    runId: 'run-1',
    stage: 1,
    bytes: 1,
    digest: '',
    weightsDigest: '',
    stateDigest: '',
  },
  scored: { kind: 'scored', sweepId: 'sweep-1', group: 1, workerId: 'w', scores: [] },
  collected: { kind: 'collected', manifests: 1, chunks: 1, bytes: 1 },
  exported: { kind: 'exported', runId: 'run-1', stage: 1, format: 'onnx' },
  tokens: { kind: 'tokens', tokens: [] },
  configured: { kind: 'configured', usageHalfLifeMs: 1, quotas: {} },
  refusals: { kind: 'refusals', refusals: [], others: 1 },
  attached: { kind: 'attached', hello },
  reported: { kind: 'reported', workerId: 'w', incarnation: 'i', sequence: 1, report: { kind: 'released' } },
  lost,
  leaving: { ...lost, kind: 'leaving' },
  staying: { ...lost, kind: 'staying' },
  tick: { kind: 'tick' },
};
const CALLS = [
  ...[
    'cancel',
    'drain',
    'drop',
    'exported',
    'import',
    'imported',
    'keep',
    'pause',
    'prioritise',
    'remove',
    'resume',
    'submit',
  ],
];
const FREE: Standing = {
  ...{ halted: undefined, refusal: undefined, isTroubled: false, queued: 0, tickWaits: false },
};
const error = (code: FleetError['code']) => new FleetError(code, code);
/** Kinds of inputs by what becomes of them. */
const outcome = (change: Partial<Standing>) => {
  const of = (kind: string) =>
    Object.entries(INPUTS)
      .filter(([, input]) => admissionOf(input, { ...FREE, ...change }).kind === kind)
      .map(([name]) => name)
      .sort();
  return { refused: of('refuse'), dropped: of('drop') };
};

test('everything is refused while nothing is decided here, a full store refuses calls, and one tick is enough', () => {
  const all = Object.keys(INPUTS).sort();
  assert.deepEqual(
    Object.values(INPUTS)
      .filter(isCall)
      .map(({ kind }) => kind)
      .sort(),
    CALLS,
  );
  assert.deepEqual(outcome({}), { refused: [], dropped: [] });
  assert.deepEqual(outcome({ isTroubled: true }), { refused: [], dropped: [] });
  assert.deepEqual(outcome({ tickWaits: true }), { refused: [], dropped: ['tick'] });
  const butTick = all.filter((kind) => kind !== 'tick');
  for (const code of ['unavailable', 'dataLoss'] as const)
    assert.deepEqual(outcome({ halted: error(code) }), { refused: butTick, dropped: ['tick'] });
  assert.deepEqual(outcome({ queued: 100_000 }).refused, all);
  const full = { refusal: error('resourceExhausted') };
  assert.deepEqual(
    outcome(full).refused,
    ['import', 'submit'],
    'what is there can be cancelled from the reserve',
  );
  assert.deepEqual(outcome({ ...full, isTroubled: true }).refused, CALLS, 'the reserve is used up too');
});

test('after an append that found no room calls are refused, and facts wait in their order without the ticks', () => {
  const inputs = Object.values(INPUTS).map((input) => ({ input }));
  const kinds = (list: readonly { readonly input: Input }[]) => list.map(({ input }) => input.kind);
  const full = afterFailedAppend(error('resourceExhausted'), inputs);
  assert.deepEqual(kinds(full.refused).sort(), CALLS);
  assert.deepEqual(kinds(full.again), [
    'started',
    'mended',
    'scored',
    'collected',
    'tokens',
    'configured',
    'refusals',
    'attached',
    'reported',
    'lost',
    'leaving',
    'staying',
  ]);
  const fenced = afterFailedAppend(error('aborted'), inputs);
  assert.deepEqual([kinds(fenced.refused), fenced.again], [kinds(inputs), []]);
});

test('a refused input leaves no trace, and the next one is decided upon the state before it', () => {
  const inputs = [INPUTS.attached, INPUTS.cancel, submit].map((input) => ({ input }));
  const observe = () => ({ now: 1, connected: connections(['w']) });
  const { state, decided, refused, events } = decideGroup(initialState, inputs, observe, createDesk());
  assert.deepEqual(
    refused.map(({ waiting, error: { code } }) => [waiting.input.kind, code]),
    [['cancel', 'notFound']],
  );
  assert.equal(decided.length, 2);
  assert.equal(state.events, events.length);
  assert.equal(state.runs.size, 1);
});

test('a submission that goes into no message is refused alone, and takes nothing along', () => {
  const inputs = [INPUTS.attached, submit, { ...submit, documents: Array(4).fill(submit.documents[0]) }];
  const observe = () => ({ now: 1, connected: connections(['w']) });
  const tooLarge = (events: readonly unknown[]) =>
    events.length > 3 ? new FleetError('invalidArgument', 'too large') : undefined;
  const waiting = inputs.map((input) => ({ input }));
  const group = decideGroup(initialState, waiting, observe, createDesk(), tooLarge);
  assert.deepEqual(
    group.refused.map(({ waiting: { input }, error }) => [input, error.message]),
    [[inputs[2], 'too large']],
  );
  assert.equal(group.state.runs.size, 1);
  assert.equal(group.state.events, group.events.length);
  assert.equal(group.ends.at(-1), group.events.length);
});

test('an input whose decision fails by a mistake of the program is refused and journalled, and the worker that sent it does not repeat it', () => {
  const desk = createDesk();
  const observe = () => ({ now: 1, connected: connections(['w']) });
  const decide = (state: State, ...inputs: readonly Input[]) =>
    decideGroup(
      state,
      inputs.map((input) => ({ input })),
      observe,
      desk,
    );
  const { state } = decide(initialState, INPUTS.attached, submit);
  const report = {
    ...({ kind: 'checkpointStored', runId: 'run-1', step: 1, bytes: 1, digest: 'd' } as const),
    get stage(): number {
      throw new TypeError('stage of undefined');
    },
  };
  const broken = { kind: 'reported', workerId: 'w', incarnation: 'i', sequence: 7, report } as const;
  const unreadable = { kind: 'submit', documents: undefined as never } as const;
  const group = decide(state, broken, unreadable, submit);
  assert.deepEqual(
    group.refused.map(({ waiting, error: { code } }) => [waiting.input, code]),
    [
      [broken, 'internal'],
      [unreadable, 'internal'],
    ],
  );
  assert.deepEqual(
    group.events
      .filter(({ kind }) => kind === 'input.refused')
      .map((event) => ({ ...event, atMs: 0, reason: '' })),
    [
      { kind: 'input.refused', input: 'reported', workerId: 'w', runId: 'run-1', atMs: 0, reason: '' },
      { kind: 'input.refused', input: 'submit', atMs: 0, reason: '' },
    ],
  );
  assert.ok(
    group.effects.some(
      (effect) =>
        effect.kind === 'send' &&
        effect.workerId === 'w' &&
        effect.command.kind === 'acknowledge' &&
        effect.command.sequence === 7,
    ),
  );
  assert.deepEqual([group.decided.length, group.state.runs.size], [1, 2], 'the others are decided');
});

test('what fails without an input does not happen, is reported, and takes nothing along', () => {
  const desk = createDesk();
  let looks = 0;
  const observe = () => {
    looks += 1;
    // The last look is that of placing.
    return { now: 1, connected: looks === 3 ? (undefined as never) : connections(['w']) };
  };
  const inputs = [INPUTS.attached, submit].map((input) => ({ input }));
  const group = decideGroup(initialState, inputs, observe, desk);
  assert.equal(group.failures.length, 1);
  assert.match(group.failures[0]!.message, /^placing runs: /);
  assert.equal(group.decided.length, 2);
  assert.deepEqual([group.state.runs.size, group.state.events], [1, group.events.length]);
  assert.equal(group.isUnfinished, false, 'it is not tried again at once');
  // The next decision finds everything that is open.
  const next = decideGroup(group.state, [], observe, desk);
  assert.deepEqual(next.failures, []);
  assert.ok(next.events.some(({ kind }) => kind === 'run.assigned'));
});

test('a damaged journal is read again, one that is cut off too, and every other error of writing ends the coordinator', () => {
  const again = (during: 'reading' | 'writing') =>
    (Object.keys(CODES) as Code[]).filter((code) => consequenceOf(error(code), during) === 'again').sort();
  assert.deepEqual(again('writing'), ['cancelled', 'dataLoss']);
  assert.ok(again('reading').includes('unavailable') && again('reading').includes('dataLoss'));
  assert.ok(!again('reading').includes('unauthenticated'));
});
