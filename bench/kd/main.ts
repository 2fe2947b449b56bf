// `npm run bench:kd`: what a student gains by a teacher, and by a teacher's earlier stages. Three arms that differ in
// nothing else, a gate first (the teacher has to be better than the student alone), and differences with their 95 %
// intervals, over seeds and over people. Decides what is trained: students in a quarter of their teacher's epochs and in
// half of them, on drawn faces, or with `--data FOLDER` on real photographs (one folder a person) in four folds of
// people. With `--keep FOLDER` each network is stored as soon as it is trained, and is not trained again. The weight was
// chosen on other people (docs/distillation.md).

import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../core/clock.ts';
import { environmentValues } from '../../core/config.ts';
import { GATE_POINTS } from '../../core/report/comparisons.ts';
import { verificationSchema } from '../../core/spec/training.ts';
import { PEOPLE_MIN } from '../../core/verify/paired-difference.ts';
import { createCompute } from '../../worker/compute/client.ts';
import { describeDevice, KERNEL_VARIABLES, kernelSettings } from '../../worker/compute/device.ts';
import { argumentsOf, atLeast, refuse, say, tell } from '../goals.ts';
import { secondsOf, trainArms } from './arms.ts';
import { codeDigest, keepIn, nothingKept } from './kept.ts';
import type { KdResult, KdSetting } from './setting.ts';
import { type KdTable, tableOf, tableText } from './table.ts';

const known =
  '--json, --seeds N, --epochs N,N (schedules), --teacher-epochs N (of the teacher), --teachers N (seeds of the teacher), --people N (to train on), --holdout N, --images N, --pairs N, --batch N, --weight N, --embedding N (of the students; the teacher has 32), --data FOLDER, --keep FOLDER';
const text = (value: string) => ({ type: 'string' as const, default: value });
const { values } = argumentsOf(
  {
    options: {
      json: { type: 'boolean', default: false },
      data: text(''),
      keep: text(''),
      seeds: text('10'),
      epochs: text('4,8'),
      'teacher-epochs': text('16'),
      teachers: text('1'),
      people: text('80'),
      holdout: text('60'),
      images: text('10'),
      pairs: text('4000'),
      batch: text('32'),
      weight: text('1600'),
      embedding: text('32'),
    },
  },
  known,
);
const whole = (name: string, given: string): number => {
  if (!/^[1-9]\d{0,6}$/.test(given)) refuse(`--${name} is "${given}" and no whole number`, known);
  return Number(given);
};
const schedules = values.epochs.split(',').map((epochs) => whole('epochs', epochs));
const common = {
  ...{ seeds: whole('seeds', values.seeds), batch: whole('batch', values.batch) },
  ...{ weight: whole('weight', values.weight), teachers: whole('teachers', values.teachers) },
  ...{ pairs: whole('pairs', values.pairs), embedding: whole('embedding', values.embedding) },
};
const teacherEpochs = whole('teacher-epochs', values['teacher-epochs']);
const [people, holdout, images] = [
  whole('people', values.people),
  whole('holdout', values.holdout),
  whole('images', values.images),
];
// Known before the first network is trained, and refused only after the last one.
if (!verificationSchema.safeParse({ pairs: common.pairs }).success)
  refuse(
    `--pairs ${common.pairs} cannot be verified with: ten folds with as many equal as other pairs`,
    known,
  );
if (holdout < PEOPLE_MIN) refuse(`--holdout ${holdout}: an interval over people needs ${PEOPLE_MIN}`, known);
/** The people; those of seed 1 are the ones that the weight was chosen on. */
const DRAWN_SEED = 2;
/** Folds of people, of real photographs. */
const FOLDS = 4;
/** Ten people with ten photographs each have 450 genuine pairs. */
const PHOTO_PAIRS = 800;

const compute = createCompute({ cacheDir: '' });
const kernels = kernelSettings(environmentValues(KERNEL_VARIABLES), false);
const means = {
  ...{ compute, keeper: values.keep === '' ? nothingKept : keepIn(values.keep), code: codeDigest() },
  device: describeDevice(await compute.proveDevice(), 1, kernels).deviceClass,
};
const tables: KdTable[] = [];
try {
  for (const epochs of schedules)
    if (values.data === '') await measureDrawn(epochs);
    else await measurePhotographs(values.data, epochs);
} finally {
  await compute.close();
}
tell(
  tables.map(({ name, gate }) =>
    atLeast(`teacher above the student alone (${name})`, gate, GATE_POINTS, 'points'),
  ),
  tables,
  values.json,
);

async function measure(name: string, settings: readonly KdSetting[]): Promise<void> {
  const begun = systemClock.monotonic();
  const results: KdResult[] = [];
  for (const setting of settings)
    results.push(await trainArms({ ...means, said: (text) => say(`${secondsOf(begun)}: ${text}`) }, setting));
  const table = tableOf(name, results);
  tables.push(table);
  for (const line of tableText(table)) say(line);
}

async function measureDrawn(epochs: number): Promise<void> {
  const drawn = { kind: 'synthetic', seed: DRAWN_SEED, difficulty: 1 } as const;
  const data = { ...drawn, identities: people + holdout, images, holdout };
  const name = `drawn faces, ${people} people to train on, ${holdout} held out, ${epochsText(epochs)}`;
  await measure(name, [{ ...common, data, epochs, teacherEpochs }]);
}

function epochsText(epochs: number): string {
  return `${epochs} epochs, the teacher ${teacherEpochs}`;
}

/** Each person is held out in one fold. Held-out people are the last by name, so a fold is a copy with other names. */
async function measurePhotographs(folder: string, epochs: number): Promise<void> {
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
  const each = Math.floor(names.length / FOLDS);
  if (each < 2) refuse(`${folder} has ${names.length} people, ${2 * FOLDS} are needed`, known);
  const schedule = { epochs, teacherEpochs };
  const copies = mkdtempSync(join(tmpdir(), 'pocketfleet-kd-'));
  try {
    const settings = Array.from({ length: FOLDS }, (_, fold): KdSetting => {
      const path = join(copies, String(fold));
      for (const [i, name] of names.entries()) {
        const isHeldOut = i % FOLDS === fold && Math.floor(i / FOLDS) < each;
        cpSync(join(folder, name), join(path, `${isHeldOut ? 'held-out' : 'a'}-${name}`), {
          recursive: true,
        });
      }
      const data = { kind: 'folder', path, holdout: each } as const;
      return { ...common, data, ...schedule, pairs: Math.min(common.pairs, PHOTO_PAIRS) };
    });
    await measure(`photographs, ${FOLDS} folds of ${each} people, ${epochsText(epochs)}`, settings);
  } finally {
    rmSync(copies, { recursive: true, force: true });
  }
}
