import assert from 'node:assert/strict';
import test from 'node:test';
import { CHANGE_INTERVAL_MS } from '../../../../coordinator/scheduling/board.ts';
import { requirementFaults, requirementNotes } from '../../../../coordinator/scheduling/requirement.ts';
import {
  coordinatorConfigSchema,
  loadConfig,
  workerConfigSchema,
  workerLabels,
} from '../../../../core/config.ts';
import { runSchema } from '../../../../core/spec/run.ts';
import { plan, sweep, teacher } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const one = { min: 1, max: 1 };
const a100 = { labels: { gpu: 'a100' }, device: { name: 'a100', memoryBytes: 42.5e9 } };
const h200 = { labels: { gpu: 'h200', zone: 'b' }, device: { name: 'h200', memoryBytes: 150e9 } };
const plain = {};

test('a run gets only workers with its labels, its memory and its kind of device, also when it grows', () => {
  const { submit, gang, pass } = handFleet(plain, a100, a100, h200);
  const of = (require: object, workers: object = one) => submit(teacher({ workers, require }));
  const labelled = of({ labels: { gpu: 'a100' } }, { min: 1, max: 4 });
  pass(CHANGE_INTERVAL_MS);
  assert.deepEqual([...gang(labelled)].sort(), ['w2', 'w3']);
  assert.deepEqual(gang(of({ memoryMin: 80 })), ['w4']);
  assert.deepEqual(gang(of({ deviceKind: 'cpu' })), ['w1']);
});

test('an exact gang takes workers of one class across what tells them apart otherwise', () => {
  const { submit, gang } = handFleet(plain, a100, h200);
  assert.equal(gang(submit(teacher({ workers: { min: 3, max: 3 } }))).length, 3);
});

test('surplus is taken back for a run only where it is what the run requires', () => {
  const { submit, gang, pass } = handFleet(plain, a100, h200);
  const elastic = submit(teacher({ workers: { min: 1, max: 3 } }));
  pass(CHANGE_INTERVAL_MS);
  const big = submit(teacher({ workers: one, require: { memoryMin: 80 } }));
  assert.deepEqual([gang(elastic).includes('w3'), gang(big)], [false, ['w3']]);
});

test('what no worker has is a note at the submit and the reason of the wait, and ends when one comes', () => {
  const { submit, gang, reason, kind, state, attach } = handFleet(plain, a100);
  const require = { labels: { gpu: 'h200' }, memoryMin: 100, deviceKind: 'cpu' as const };
  const big = teacher({ name: 'big', workers: one, require });
  assert.deepEqual(requirementNotes(state(), big), [
    'big: no worker of this fleet has what it requires (label gpu=h200, 100 GB of memory, device kind cpu); it waits until one comes; the largest device that it has had is of 42 GB',
  ]);
  const id = submit(big);
  assert.equal(
    reason(id),
    'queued: 0 of 1 workers: 2 without what it requires (label gpu=h200, 100 GB of memory, device kind cpu)',
  );
  assert.equal(kind(id), 'model_mismatch');
  attach(h200);
  assert.deepEqual(gang(id), ['w3']);
  assert.deepEqual(requirementNotes(state(), big), []);
});

test('what no worker can have is refused with its field where the fleet says which it can have', () => {
  const { submit, state, give } = handFleet(plain, a100);
  const refused = (require: object) => {
    const spec = teacher({ workers: one, require });
    const [fault] = requirementFaults(state(), spec);
    const said = fault && `${fault.field}: ${fault.reason}`;
    if (said === undefined) submit(spec);
    else assert.throws(() => submit(spec), { code: 'failedPrecondition', message: said });
    return said;
  };
  assert.equal(refused({ labels: { gpu: 'b200' }, memoryMin: 500 }), undefined);
  const workerKinds = [
    { deviceKind: 'cuda', memoryGb: 80, labels: { gpu: 'h100', zone: '*' } },
    { deviceKind: 'cpu', labels: {} },
  ] as const;
  const configured = { kind: 'configured', usageHalfLifeMs: 1, quotas: {}, workerKinds } as const;
  assert.deepEqual([give(configured).events.length, give(configured).events.length], [1, 0]);
  const before = state();
  assert.deepEqual(
    [
      { labels: { gpuu: 'h100' } },
      { labels: { rack: '7' } },
      { labels: { gpu: 'b200' } },
      { memoryMin: 81, deviceKind: 'cuda' },
      { labels: { gpu: 'a100' }, memoryMin: 43 },
    ].map(refused),
    [
      'require.labels.gpuu: no worker of this fleet can have a label gpuu; did you mean gpu?',
      'require.labels.rack: no worker of this fleet can have a label rack; its labels are gpu, zone',
      'require.labels.gpu: no worker of this fleet can have gpu=b200; its values are a100, h100',
      'require: no worker of this fleet can have all of it (81 GB of memory, device kind cuda), though each by itself',
      'require: no worker of this fleet can have all of it (label gpu=a100, 43 GB of memory), though each by itself',
    ],
  );
  assert.deepEqual(before, state(), 'nothing has changed');
  for (const one of [{ memoryMin: 80, deviceKind: 'cuda' }, { labels: { gpu: 'a100' } }, { memoryMin: 500 }])
    assert.equal(refused(one), undefined);
  assert.equal(refused({ labels: { zone: 'anywhere', gpu: 'h100' } }), undefined);
  const [student] = plan().students;
  assert.deepEqual(
    requirementFaults(state(), plan({ students: [{ ...student!, require: { labels: { gpu: 'x' } } }] })).map(
      ({ field }) => field,
    ),
    ['students.0.require.labels.gpu'],
  );
  give({ kind: 'configured', usageHalfLifeMs: 1, quotas: {}, workerKinds: [workerKinds[0]] });
  assert.match(
    refused({ memoryMin: 81 }) ?? '',
    /^require\.memoryMin: .* 81 GB; its largest device has 80 GB$/,
  );
  give({
    kind: 'configured',
    usageHalfLifeMs: 1,
    quotas: {},
    workerKinds: [{ deviceKind: 'cpu', labels: {} }],
  });
  assert.match(refused({ deviceKind: 'cuda' }) ?? '', /^require\.deviceKind: .* of kind cuda$/);
});

test('the workers that a fleet can have come from the file, a flag or the environment; what is wrong is named', () => {
  const of = (text: string) =>
    loadConfig(coordinatorConfigSchema, [], { POCKETFLEET_WORKER_KINDS: text }).workerKinds;
  assert.deepEqual(of(''), []);
  assert.deepEqual(of("[{ deviceKind: cuda, memoryGb: 80, labels: { zone: '*' } }]"), [
    { deviceKind: 'cuda', memoryGb: 80, labels: { zone: '*' } },
  ]);
  assert.throws(() => of('[{ deviceKind: tpu }]'), /workerKinds\.0\.deviceKind/);
  assert.throws(() => of("[{ deviceKind: cpu, labels: { zone: 'a b' } }]"), /workerKinds\.0\.labels\.zone/);
});

test('candidates of a sweep and runs of a plan have what their part requires', () => {
  const { submit, held } = handFleet(plain, a100);
  submit(sweep({ require: { labels: { gpu: 'a100' } }, parallelism: 1 }));
  assert.deepEqual([held('w1').length, held('w2').length], [0, 1]);
  const search = { ...plan().search, require: { memoryMin: 40 } };
  const { submit: again, held: holds } = handFleet(plain, a100);
  again(plan({ search }));
  assert.deepEqual([holds('w1').length, holds('w2').length > 0], [0, true]);
});

test('an unknown field, an unknown kind of device and a label that is none are refused with the place', () => {
  for (const [require, place] of [
    [{ gpu: 'a100' }, 'require'],
    [{ deviceKind: 'tpu' }, 'require.deviceKind'],
    [{ memoryMin: 0 }, 'require.memoryMin'],
    [{ labels: { gpu: '' } }, 'require.labels.gpu'],
  ] as const) {
    const { error } = runSchema.safeParse({ ...teacher(), require });
    assert.deepEqual(
      error?.issues.map(({ path }) => path.join('.')),
      [place],
    );
  }
});

test('a worker is labelled by its configuration', () => {
  const of = (labels: string) =>
    workerLabels(loadConfig(workerConfigSchema, ['--id', 'w', '--labels', labels], {}));
  assert.deepEqual(of('gpu=a100,zone=b'), { gpu: 'a100', zone: 'b' });
  for (const wrong of ['gpu', 'gpu=', 'gpu=a,', '=a'])
    assert.throws(() => of(wrong), /labels: .*name=value pairs/);
});
