// `npm run bench:darts -- --data FOLDER`: whether searches by gradient end in skip connections, whether an auxiliary skip
// keeps them from it, and what their winners are worth beside those of a search at random that takes as many seconds of
// processor time. One arm after the other in this process; each is printed as it ends and kept in the cache, so that the
// same command goes on where an earlier one was ended. `--fresh` begins anew.

import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cacheFolder } from '../../core/config.ts';
import { createLoader } from '../../core/data/loading/loader.ts';
import { verificationSchema } from '../../core/spec/training.ts';
import { createCompute } from '../../worker/compute/client.ts';
import { argumentsOf, refuse, say, tell } from '../goals.ts';
import { meanOf } from '../kd/statistics.ts';
import { ARMS, type ArmResult, type DartsSetting, runArm } from './arms.ts';
import { finishedName, readFinished, writeFinished } from './finished.ts';
import { tableOf, tableText } from './table.ts';

const known =
  '--data FOLDER (a folder a person), --json, --fresh, --seeds N, --epochs N, --people N (to verify winners on), --choice N (people to verify candidates on), --batch N, --shards N, --candidate-epochs N, --winner-epochs N';
const text = (value: string) => ({ type: 'string' as const, default: value });
const flag = { type: 'boolean' as const, default: false };
const { values } = argumentsOf(
  {
    options: {
      ...{ json: flag, fresh: flag, data: text('') },
      ...{ seeds: text('5'), epochs: text('20'), people: text('20'), choice: text('6') },
      ...{ batch: text('16'), shards: text('2') },
      ...{ 'candidate-epochs': text('4'), 'winner-epochs': text('20') },
    },
  },
  known,
);
const whole = (name: Exclude<keyof typeof values, 'json' | 'fresh' | 'data'>): number => {
  const given = values[name];
  if (!/^[1-9]\d{0,5}$/.test(given)) refuse(`--${name} is "${given}" and no whole number`, known);
  return Number(given);
};
if (values.data === '') refuse('--data is missing', known);
const path = resolve(values.data);
const setting: DartsSetting = {
  ...{ path, testPeople: whole('people'), choicePeople: whole('choice'), channels: 4, layers: 4 },
  ...{ epochs: whole('epochs'), batch: whole('batch'), shards: whole('shards') },
  ...{ candidateEpochs: whole('candidate-epochs'), winnerEpochs: whole('winner-epochs') },
  pairs: { test: 90 * whole('people'), choice: 80 * whole('choice') },
};
for (const pairs of Object.values(setting.pairs))
  if (!verificationSchema.safeParse({ pairs }).success)
    refuse(`${pairs} pairs cannot be verified with: ten folds with as many equal as other pairs`, known);

const open = async (holdout: number) => createLoader({ data: { kind: 'folder', path, holdout } });
const searched = await open(setting.testPeople);
const chosenBy = await open(setting.testPeople + setting.choicePeople);
const compute = createCompute({ cacheDir: '' });
const file = join(cacheFolder(), 'bench-darts', finishedName(setting, searched.facts.trainingImages));
if (values.fresh) rmSync(file, { force: true });
const results = readFinished(file);
const seeds = Array.from({ length: whole('seeds') }, (_, at) => at + 1);
const found = (seed: number, arm: ArmResult['arm']) =>
  results.find((one) => one.seed === seed && one.arm === arm);
try {
  for (const seed of seeds)
    for (const arm of ARMS) {
      const done = found(seed, arm);
      const before = ARMS.filter((other) => other !== 'random').flatMap((other) => found(seed, other) ?? []);
      const secondsMax = meanOf(before.map(({ searchSeconds }) => searchSeconds));
      const result =
        done ?? (await runArm({ compute, searched, chosenBy }, setting, { seed, arm, secondsMax }));
      if (done === undefined) {
        results.push(result);
        writeFinished(file, results);
      }
      say(lineOf(result, done !== undefined));
    }
} finally {
  await compute.close();
  await searched.close();
  await chosenBy.close();
}
const table = tableOf(results.filter(({ seed }) => seeds.includes(seed)));
for (const line of tableText(table)) say(line);
const shown = results.map(({ judged: _, ...result }) => result);
tell([], { setting: { ...setting, path: undefined }, results: shown, table }, values.json);

function lineOf(
  { seed, arm, searchSeconds, skips, accuracy, auc, ...of }: ArmResult,
  isKept: boolean,
): string {
  const way =
    arm === 'random'
      ? `${of.skipsOnTheWay.length} candidates`
      : `skips by epoch ${of.skipsOnTheWay.join(' ')}`;
  return `seed ${seed}, ${arm}: ${skips} skips, accuracy ${accuracy.toFixed(2)} %, AUC ${auc.toFixed(3)}; ${searchSeconds.toFixed(0)} CPU s, ${way}, ${of.genotype}${isKept ? ' (of an earlier run)' : ''}`;
}
