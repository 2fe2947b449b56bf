// npm run bench:gpu -- [--json] [--plugin cpu] [--steps S-128-16,...] [--seconds 5] [--bound 300]: training steps by engine, precision and
// determinism on this machine's first GPU, beside PyTorch where it is: images a second, the optimiser, and the weights to the device and
// back. Without a GPU it says so and measures nothing; --plugin=cpu rehearses it by the CPU's plugin. The exchange between GPUs of one
// host is bench:allreduce. One line a measurement, at once; --bound seconds end each.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listGpus, usableDevices } from '../../core/system/gpus.ts';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { installedFor } from '../../core/tensor/pjrt/binding.ts';
import { argumentsOf, atLeast, atMost, type Goal, refuse, say, tell } from '../goals.ts';
import { writeWork } from '../train/work.ts';
import { type Measurement, type MeasureRequest, measured } from './request.ts';
import { stepNamed } from './steps.ts';

const KNOWN = '--json --plugin=cpu --steps=NAME-IMAGES,... --seconds=N --bound=N';
const STEPS = ['small', 'S-128', 'M-128', 'IResNet-100'].flatMap((name) =>
  [16, 64, 128].map((images) => `${name}-${images}`),
);

const { values } = argumentsOf(
  {
    options: {
      json: { type: 'boolean', default: false },
      plugin: { type: 'string' },
      steps: { type: 'string' },
      seconds: { type: 'string', default: '5' },
      bound: { type: 'string', default: '300' },
    },
  },
  KNOWN,
);
if (values.plugin !== undefined && values.plugin !== 'cpu') refuse(`--plugin=${values.plugin}`, KNOWN);
const isRehearsal = values.plugin === 'cpu';
const [gpu] = usableDevices(listGpus(), process.env.CUDA_VISIBLE_DEVICES);

interface Row {
  readonly step: string;
  readonly engine: string;
  readonly precision: string;
  readonly deterministic: boolean;
  readonly result: Measurement;
}

if (!isRehearsal && gpu === undefined) {
  const skipped = 'nvidia-smi lists no GPU here; --plugin=cpu rehearses the measurements';
  say(`nothing is measured: ${skipped}`);
  if (values.json) say(JSON.stringify({ skipped }));
} else {
  const steps = (values.steps ?? (isRehearsal ? 'tiny-2' : STEPS.join())).split(',');
  const rows = steps.flatMap((step) => waysOf().map((way) => measureWay(step, way)));
  const torch = isRehearsal ? {} : Object.fromEntries(steps.map((step) => [step, torchRates(step)]));
  tell(goalsOf(rows, torch), { rows, torch }, values.json);
}

type Way = Pick<MeasureRequest, 'engine' | 'precision' | 'deterministic'>;

function waysOf(): Way[] {
  const pjrt = (['float32', 'tf32', 'bf16'] as const).map((precision) => ({
    ...{ engine: 'pjrt' as const, precision, deterministic: true },
  }));
  const free = { engine: 'pjrt' as const, precision: 'float32' as const, deterministic: false };
  const tensorflow = { engine: 'tensorflow' as const, precision: 'float32' as const };
  const hasPlugin = isRehearsal || installedFor(true) !== undefined;
  return [
    ...(hasPlugin ? [...pjrt, free] : []),
    { ...tensorflow, deterministic: true },
    { ...tensorflow, deterministic: false },
  ];
}

function measureWay(step: string, way: Way): Row {
  const platform = isRehearsal ? 'cpu' : (installedFor(true)?.platform ?? 'cuda');
  const request = { ...way, platform, step, runs: 3, seconds: Number(values.seconds) };
  const result = measured(request, { gpu, seconds: Number(values.bound) });
  const name = `${step} ${way.engine} ${way.precision}${way.deterministic ? '' : ', not deterministic'}`;
  if (result.failed !== undefined) say(`${name}: ${result.failed.code}: ${result.failed.message}`);
  else {
    const { imagesPerSecond, compileSeconds, updateSeconds, weightBytes, upSeconds, downSeconds } = result;
    const speed = (seconds?: number) =>
      seconds === undefined ? '-' : `${(weightBytes / seconds / 1e9).toFixed(2)} GB/s`;
    say(
      `${name}: ${imagesPerSecond.toFixed(1)} images/s, compiled in ${compileSeconds.toFixed(1)} s, optimiser ${(updateSeconds * 1000).toFixed(2)} ms, weights up ${speed(upSeconds)}, down ${speed(downSeconds)}, ${new Set(result.digests).size} digest(s)`,
    );
  }
  return { step, ...way, result };
}

/** Images a second of PyTorch: eager, compiled, with automatic mixed precision; undefined where it does not run. */
function torchRates(step: string): Readonly<Record<string, number>> | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-torch-'));
  try {
    writeWork(folder, stepNamed(step).prepared);
    for (const name of ['bench/gpu/torch_gpu.py', 'bench/train/torch-member.py'])
      cpSync(join(PACKAGE_ROOT, name), join(folder, name.split('/').at(-1)!));
    const child = spawnSync('python3', [join(folder, 'torch_gpu.py'), folder], {
      encoding: 'utf8',
      timeout: Number(values.bound) * 1000,
      env: { ...process.env, ...(gpu === undefined ? {} : { CUDA_VISIBLE_DEVICES: gpu }) },
    });
    if (child.status === 0) {
      const { imagesPerSecond } = JSON.parse(child.stdout.trim().split('\n').at(-1)!);
      say(`${step} PyTorch: ${JSON.stringify(imagesPerSecond)} images/s`);
      return imagesPerSecond;
    }
    say(`${step} PyTorch: ${child.error?.message ?? child.stderr.trim().split('\n').at(-1)}`);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** None in a rehearsal, whose figures mean nothing. */
function goalsOf(
  rows: readonly Row[],
  torch: Readonly<Record<string, Readonly<Record<string, number>> | undefined>>,
): Goal[] {
  if (isRehearsal) return [];
  const rate = (step: string, precision: string, deterministic: boolean) => {
    const row = rows.find(
      (one) =>
        one.engine === 'pjrt' &&
        one.step === step &&
        one.precision === precision &&
        one.deterministic === deterministic,
    );
    return row === undefined || row.result.failed !== undefined ? undefined : row.result.imagesPerSecond;
  };
  const goals: Goal[] = [];
  const compare = (step: string, precision: string, against: string, target: number) => {
    const [ours, theirs] = [rate(step, precision, true), torch[step]?.[against]];
    if (ours !== undefined && theirs !== undefined)
      goals.push(atLeast(`${step}, ${precision}, of PyTorch ${against}`, ours / theirs, target, ''));
  };
  for (const images of [16, 64, 128]) {
    compare(`S-128-${images}`, 'float32', 'compiled', 1);
    compare(`IResNet-100-${images}`, 'bf16', 'amp', 0.8);
    const step = `S-128-${images}`;
    const [bound, free] = [rate(step, 'float32', true), rate(step, 'float32', false)];
    if (bound !== undefined && free !== undefined)
      goals.push(atMost(`${step}, deterministic, of not`, free / bound, 1.3, ''));
  }
  return goals;
}
