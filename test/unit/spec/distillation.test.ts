import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  distillationProblems,
  distillationSchema,
  distillationWeightAt,
  firstTeacherStage,
  type TaughtEpochs,
  teacherStageFor,
  teacherStagesFrom,
} from '../../../core/spec/distillation.ts';
import { planSchema } from '../../../core/spec/plan.ts';
import { runSchema } from '../../../core/spec/run.ts';
import { sweepSchema } from '../../../core/spec/sweep.ts';
import { shaped } from '../../../core/text/shape.ts';

const stagesOf = (taught: TaughtEpochs) =>
  Array.from({ length: taught.epochs }, (_, epoch) => teacherStageFor({ ...taught, epoch }));

test('epoch e of a multi-step student learns from teacher stage e + 1, and from the last one when it trains longer', () => {
  assert.deepEqual(stagesOf({ schedule: 'multi-step', epochs: 4, teacherStages: 3 }), [1, 2, 3, 3]);
  assert.deepEqual(stagesOf({ schedule: 'single-step', epochs: 2, teacherStages: 3 }), [3, 3]);
});

test('a proportional student of any length begins early in its teacher and ends with the last stage', () => {
  assert.deepEqual(stagesOf({ schedule: 'proportional', epochs: 3, teacherStages: 6 }), [2, 4, 6]);
  assert.deepEqual(stagesOf({ schedule: 'proportional', epochs: 4, teacherStages: 2 }), [1, 1, 2, 2]);
  const equal = { epochs: 26, teacherStages: 26 };
  assert.deepEqual(
    stagesOf({ schedule: 'proportional', ...equal }),
    stagesOf({ schedule: 'multi-step', ...equal }),
  );
  for (let epochs = 1; epochs <= 40; epochs++)
    for (let teacherStages = 1; teacherStages <= 40; teacherStages++) {
      const stages = stagesOf({ schedule: 'proportional', epochs, teacherStages });
      assert.equal(stages.at(-1), teacherStages);
      for (const [epoch, stage] of stages.entries())
        assert.ok(stage >= 1 && stage >= (stages[epoch - 1] ?? 1), `${epochs}, ${teacherStages}: ${stages}`);
    }
});

test('a list gives each epoch its stage, and may go back', () => {
  const taught: TaughtEpochs = { schedule: [3, 1, 2, 2], epochs: 4, teacherStages: 3 };
  assert.deepEqual(stagesOf(taught), [3, 1, 2, 2]);
  assert.deepEqual(teacherStagesFrom(taught, 0), [1, 2, 3]);
  assert.deepEqual(teacherStagesFrom(taught, 2), [2]);
  assert.equal(firstTeacherStage(taught, 0), 1);
  assert.equal(firstTeacherStage(taught, 2), 2);
  assert.equal(firstTeacherStage({ ...taught, schedule: 'multi-step' }, 2), 3);
});

test('the weight is 100, a number, or changes evenly and then stays; a pull is the same force for any size', () => {
  const at = (value: Parameters<typeof distillationWeightAt>[0], epoch: number, embedding = 128) =>
    distillationWeightAt(value, { epoch, embedding });
  assert.equal(at({}, 5), 100);
  assert.equal(at({ weight: 7 }, 5), 7);
  const weight = { from: 10, to: 30, epochs: 4 };
  assert.deepEqual(
    [0, 1, 2, 4, 9].map((epoch) => at({ weight }, epoch)),
    [10, 15, 20, 30, 30],
  );
  // reference/pocketnet.md, 4.3: w = 100 at E = 128 is 1.5625 on 1 - cosine; at 32 it is four times that.
  assert.equal(at({ pull: 1.5625 }, 0), 100);
  assert.equal(at({ pull: 6.25 }, 0, 32), 100);
  assert.equal(at({ pull: { from: 0, to: 2, epochs: 2 } }, 1, 32), 16);
});

const problems = (distillation: object, epochs: number, teacherStages?: number, exact = true) =>
  [
    ...distillationProblems(distillationSchema.parse({ teacher: 't', ...distillation }), {
      epochs,
      exact,
      teacherStages,
    }),
  ].map(({ path, message }) => `${path.join('.')}: ${message}`);

test('what does not go together is refused by field', () => {
  assert.deepEqual(problems({ weight: 1, pull: 1 }, 2), [
    'pull: weight and pull both say how strong the term is; give one of them',
  ]);
  assert.deepEqual(problems({ schedule: [1, 2] }, 3), [
    'schedule: 2 stages for 3 epochs; a list has one stage an epoch',
  ]);
  assert.deepEqual(problems({ schedule: [1, 5] }, 2, 3), [
    'schedule.1: stage 5 of a teacher that has 3 stages, one an epoch',
  ]);
  assert.deepEqual(problems({ schedule: [1, 3], pull: { from: 1, to: 2, epochs: 1 } }, 2, 3), []);
});

test('blocks are float16 only where equal bits are not promised and blocks may travel', () => {
  const half = { blocks: 'float16' };
  assert.deepEqual(problems(half, 2, undefined, false), []);
  assert.deepEqual(problems({ ...half, share: 'stream' }, 2, undefined, false), []);
  assert.deepEqual(problems({ blocks: 'float32', share: 'own' }, 2), []);
  assert.deepEqual(problems(half, 2), [
    'blocks: float16 rounds what the student learns from; it needs training.exact: false',
  ]);
  for (const share of ['own', 'worker'])
    assert.deepEqual(problems({ ...half, share }, 2, undefined, false), [
      `blocks: float16 is for blocks in the stream, and with share: ${share} none travels; leave one of them out`,
    ]);
  const student = (exact: boolean) => ({
    ...{ kind: 'student', name: 's', network: { kind: 'mobilefacenet' } },
    data: { kind: 'synthetic', identities: 12, images: 4, holdout: 4 },
    training: { epochs: 2, batch: 32, exact },
    distillation: { teacher: 't', ...half },
  });
  assert.equal(runSchema.parse(student(false)).distillation?.blocks, 'float16');
  const { kind: _kind, data, ...part } = student(true);
  const texts = [
    [runSchema, student(true), 'distillation.blocks'],
    [planSchema, { kind: 'plan', name: 'p', data, students: [part] }, 'students.0.distillation.blocks'],
    [
      sweepSchema,
      {
        ...{ kind: 'sweep', name: 'w', data, strategy: { trials: 2 } },
        ...{ space: { channels: 2, layers: 4, embedding: 16 } },
        evaluation: { training: part.training, distillation: part.distillation },
      },
      'evaluation.distillation.blocks',
    ],
  ] as const;
  for (const [schema, text, field] of texts)
    assert.deepEqual(
      schema.safeParse(text).error?.issues.map(({ path }) => path.join('.')),
      [field],
    );
});

test('a text says what is wrong with schedule and weight', () => {
  const run = (distillation: object) => ({
    kind: 'student',
    name: 's',
    network: { kind: 'mobilefacenet' },
    data: { kind: 'synthetic', identities: 12, images: 4, holdout: 4 },
    training: { epochs: 2, batch: 32 },
    distillation: { teacher: 't', ...distillation },
  });
  const refused = (distillation: object) => {
    try {
      shaped(runSchema, run(distillation), 'the text');
    } catch (caught) {
      return (caught as Error).message;
    }
    return assert.fail('it was taken');
  };
  assert.match(
    refused({ schedule: 'multistep' }),
    /distillation\.schedule.*one of multi-step, single-step, proportional/s,
  );
  assert.match(refused({ schedule: [1] }), /distillation\.schedule: 1 stages for 2 epochs/);
  assert.match(
    refused({ weight: 'strong' }),
    /distillation\.weight.*from 0 to 1000000, or \{ from, to, epochs \}/s,
  );
  // A fault within one of the forms is told of its own place.
  assert.match(
    refused({ schedule: [1.5, 1] }),
    /distillation\.schedule\.0: expected a whole number, found 1\.5/,
  );
  assert.match(
    refused({ schedule: [1, '2'] }),
    /distillation\.schedule\.1: expected a whole number, found "2"/,
  );
  assert.match(refused({ weight: { from: 1, to: 2 } }), /distillation\.weight\.epochs: is missing/);
  assert.match(
    refused({ pull: { from: 1, to: Number.NaN, epochs: 1 } }),
    /distillation\.pull\.to: expected a number/,
  );
  assert.match(refused({ weight: 1, pull: 2 }), /distillation\.pull: weight and pull/);
  const student = { name: 's', network: { kind: 'mobilefacenet' }, training: { epochs: 2, batch: 32 } };
  const plan = {
    kind: 'plan',
    name: 'p',
    data: { kind: 'synthetic', identities: 12, images: 4, holdout: 4 },
    teacher: { name: 't', network: { kind: 'mobilefacenet' }, training: { epochs: 3, batch: 32 } },
    students: [{ ...student, distillation: { schedule: [2, 4] } }],
  };
  const parsed = planSchema.safeParse(plan);
  assert.deepEqual(
    parsed.error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`),
    ['students.0.distillation.schedule.1: stage 4 of a teacher that has 3 stages, one an epoch'],
  );
});
