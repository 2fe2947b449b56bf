// `npm run bench:determinism`: what decides the bits of a training run on the CPU. A few steps of a small
// candidate and of PocketNet S-128 under one setting after the other, in fresh processes; the digest of
// weights, momentum and running statistics is compared with that of the worker's default, and so is the
// processor time, in turns. Decides what must be equal; what may differ is reported, for docs/determinism.md
// and the device class (worker/compute/device.ts).
//
// --steps=N: steps before the digest. --rounds=N: turns for the time.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childEnvironment } from '../core/config.ts';
import { atLeast, type Goal, median, optionsOf, say, tell } from './goals.ts';
import { type Member, startMember } from './train/member.ts';
import { oursProgram } from './train/ways.ts';
import { prepare, trainingWorks, type Work, writeWork } from './train/work.ts';

const { json, steps, rounds } = optionsOf({ steps: 3, rounds: 3 });
/** A shard of the default eight in a batch of 64. */
const BATCH = 8;
const ROUND_MS = 800;

interface Setting {
  readonly name: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Must give the bits of the default, on any machine. */
  readonly same: boolean;
}

const setting = (name: string, environment: Record<string, string>, same = false): Setting => ({
  name,
  environment,
  same,
});
const SETTINGS: readonly Setting[] = [
  setting('the default: 1 thread, oneDNN', {}, true),
  setting('again, graph stored, another process', {}, true),
  setting('2 threads an operation', { TF_NUM_INTRAOP_THREADS: '2', OMP_NUM_THREADS: '2' }),
  setting('2 operations at once', { TF_NUM_INTEROP_THREADS: '2' }),
  setting('2 threads for OpenMP alone', { OMP_NUM_THREADS: '2' }),
  setting('TF_DETERMINISTIC_OPS=1', { TF_DETERMINISTIC_OPS: '1' }),
  setting('POCKETFLEET_KERNELS=library', { POCKETFLEET_KERNELS: 'library' }),
  setting('TF_ENABLE_ONEDNN_OPTS=0', { TF_ENABLE_ONEDNN_OPTS: '0' }),
  setting('ONEDNN_MAX_CPU_ISA=AVX512_CORE', { ONEDNN_MAX_CPU_ISA: 'AVX512_CORE' }),
  setting('ONEDNN_MAX_CPU_ISA=AVX2', { ONEDNN_MAX_CPU_ISA: 'AVX2' }),
  setting('ONEDNN_DEFAULT_FPMATH_MODE=BF16', { ONEDNN_DEFAULT_FPMATH_MODE: 'BF16' }),
];

interface Outcome {
  readonly work: string;
  readonly setting: string;
  readonly digest: string;
  readonly same: boolean;
  /** Processor time of a step, times that of the default. */
  readonly cost: number;
}

const outcomes: Outcome[] = [];
const goals: Goal[] = [];
for (const work of trainingWorks(BATCH).filter(({ name }) => name !== 'M-128')) await measure(work);
say('');
tell(goals, outcomes, json);

async function measure(work: Work): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-bench-'));
  const members: Member[] = [];
  try {
    writeWork(folder, prepare(work));
    const digests: string[] = [];
    for (const { environment } of SETTINGS) {
      const program = oursProgram(folder, 1, join(folder, 'graphs'));
      const member = await startMember({
        ...program,
        environment: childEnvironment(environment, program.environment),
      });
      members.push(member);
      digests.push(await digestOf(member));
    }
    report(work, digests, await costs(members));
    await compete(work, members.slice(0, 2), digests[0]!);
  } finally {
    await Promise.all(members.map((member) => member.close()));
    rmSync(folder, { recursive: true, force: true });
  }
}

async function digestOf(member: Member): Promise<string> {
  return String((await member.ask(`digest ${steps}`)).digest);
}

/**
 * Median processor time of an image in turns, times that of the first; wall time would depend on what else
 * runs.
 */
async function costs(members: readonly Member[]): Promise<number[]> {
  const found = members.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++)
    for (const [i, member] of members.entries()) {
      const { images, cpuSeconds } = await member.ask(`run ${ROUND_MS}`);
      found[i]!.push(Number(cpuSeconds) / Number(images));
    }
  const medians = found.map(median);
  return medians.map((time) => time / medians[0]!);
}

function report(work: Work, digests: readonly string[], cost: readonly number[]): void {
  say('');
  say(`${work.name}, ${BATCH} images a step, after ${steps} steps`);
  for (const [i, { name, same: mustBe }] of SETTINGS.entries()) {
    const same = digests[i] === digests[0];
    say(
      `  ${name.padEnd(40)} ${digests[i]!.slice(0, 12)} ${same ? 'same bits ' : 'other bits'} ${cost[i]!.toFixed(2)} times the CPU time`,
    );
    outcomes.push({ work: work.name, setting: name, digest: digests[i]!, same, cost: cost[i]! });
    if (mustBe && i > 0) goals.push(atLeast(`${work.name}: same bits: ${name}`, Number(same), 1, 'of 1'));
  }
}

/** Both at once, and each once more in a process that has trained already. */
async function compete(work: Work, pair: readonly Member[], expected: string): Promise<void> {
  const digests = await Promise.all(pair.map(digestOf));
  const same = digests.filter((digest) => digest === expected).length;
  const name = 'two processes at once, each of which has trained before';
  say(`  ${name}: ${same} of ${pair.length} give the same bits`);
  goals.push(atLeast(`${work.name}: same bits: ${name}`, same, pair.length, `of ${pair.length}`));
}
