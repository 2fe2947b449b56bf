// The ways that are compared, and how they take turns: each way is one or more processes that work at the
// same time; a round gives every way its share of time once, so that what else happens on the machine hits
// all alike. Decides nothing about goals.

import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, childEnvironment } from '../../core/config.ts';
import { nativeEnvironment } from '../../worker/compute/device.ts';
import { median, say } from '../goals.ts';
import { type Member, type Program, startMember } from './member.ts';
import { type Torch, torchProgram } from './torch.ts';
import { type Prepared, writeWork } from './work.ts';

export const CORES = availableParallelism();
export type Maker = 'ours' | 'PyTorch eager' | 'PyTorch compile' | 'tfjs eager';

export interface Speed {
  readonly work: string;
  readonly maker: Maker;
  readonly processes: number;
  /** Of each process. */
  readonly threads: number;
  /** Images a second, all processes together. */
  readonly best: number;
  readonly median: number;
  readonly rounds: readonly number[];
}

interface Way {
  readonly maker: Maker;
  readonly threads: number;
  readonly members: readonly Member[];
  /** Last argument of a command to a process that has several forms. */
  readonly form: string;
}

export interface Field {
  readonly ways: readonly Way[];
  /** Folder of the work, and a place for files. */
  readonly folder: string;
  close(): Promise<void>;
}

/** Threads of a process: all cores for one, or one for each of as many processes as there are cores. */
export const FORMS: readonly number[] = CORES > 1 ? [CORES, 1] : [1];

/** Starts ours and the processes that it is compared with, in these forms. */
export async function openField(
  prepared: Prepared,
  against: {
    readonly forms: readonly number[];
    readonly torch: Torch | undefined;
    /** TensorFlow.js as its users write it. */
    readonly plain: boolean;
  },
): Promise<Field> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-bench-'));
  const members: Member[] = [];
  const close = async () => {
    await Promise.all(members.map((member) => member.close()));
    rmSync(folder, { recursive: true, force: true });
  };
  const team = (program: Program, size: number) =>
    Promise.all(
      Array.from({ length: size }, async () => {
        const member = await startMember(program);
        members.push(member);
        return member;
      }),
    );
  try {
    writeWork(folder, prepared);
    // Starting is the work of one core for each process, so all at once; a failure waits for the others to be
    // closable.
    const started = await Promise.allSettled(
      against.forms.map(async (threads): Promise<Way[]> => {
        const size = CORES / threads;
        const way = async (maker: Maker, program: Program) => [
          { maker, threads, members: await team(program, size), form: '' },
        ];
        const ours = await way('ours', oursProgram(folder, threads));
        const theirs =
          against.torch?.kind === 'found' ? await torchWays(against.torch.folder, folder, threads, team) : [];
        return [
          ...ours,
          ...theirs,
          ...(against.plain ? await way('tfjs eager', plainProgram(folder, threads)) : []),
        ];
      }),
    );
    const ways = started.flatMap((form) => {
      if (form.status === 'rejected') throw form.reason;
      return form.value;
    });
    return { folder, ways, close };
  } catch (caught) {
    await close();
    throw caught;
  }
}

/** Both forms share their processes, and so their weights. */
async function torchWays(
  environment: string,
  folder: string,
  threads: number,
  team: (program: Program, size: number) => Promise<Member[]>,
): Promise<Way[]> {
  const members = await team(torchProgram(environment, folder, threads), CORES / threads);
  return [
    { maker: 'PyTorch eager', threads, members, form: 'eager' },
    { maker: 'PyTorch compile', threads, members, form: 'compile' },
  ];
}

/**
 * Compiles and settles everything that will be measured. The first process of a way comes first, so that what
 * it compiles is in the cache for the others.
 */
export async function warm(field: Field): Promise<void> {
  for (const { members, form, maker, threads } of field.ways) {
    const from = performance.now();
    const [first, ...others] = members;
    await first?.ask(`warm ${form}`);
    await Promise.all(others.map((member) => member.ask(`warm ${form}`)));
    const seconds = ((performance.now() - from) / 1000).toFixed(1);
    say(`  ${maker}, ${members.length} x ${threads} threads: ready after ${seconds} s`);
  }
}

export async function measure(
  field: Field,
  work: string,
  { rounds, milliseconds }: { rounds: number; milliseconds: number },
): Promise<Speed[]> {
  const found = field.ways.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++)
    for (const [i, { members, form }] of field.ways.entries()) {
      const answers = await Promise.all(members.map((member) => member.ask(`run ${milliseconds} ${form}`)));
      found[i]!.push(answers.reduce((sum, { images, seconds }) => sum + Number(images) / Number(seconds), 0));
    }
  return field.ways.map(({ maker, threads, members }, i) => ({
    work,
    maker,
    processes: members.length,
    threads,
    best: Math.max(...found[i]!),
    median: median(found[i]!),
    rounds: found[i]!,
  }));
}

/** Images a second of the fastest form of these makers; the median of its rounds. */
export function bestOf(speeds: readonly Speed[], ...makers: Maker[]): number {
  return Math.max(...speeds.filter(({ maker }) => makers.includes(maker)).map((speed) => speed.median));
}

export function oursProgram(
  work: string,
  threads: number,
  cacheDir = join(cacheFolder(), 'graphs'),
): Program {
  return nodeProgram('ours.ts', [work, cacheDir], nativeEnvironment(threads));
}

function plainProgram(work: string, threads: number): Program {
  return nodeProgram('plain.ts', [work], nativeEnvironment(threads));
}

function nodeProgram(file: string, words: string[], environment: Record<string, string>): Program {
  return {
    file: process.execPath,
    arguments: ['--import', 'tsx', fileURLToPath(new URL(file, import.meta.url)), ...words],
    environment: childEnvironment(environment),
  };
}
