// How soon a worker trains: from the first job for a network to the end of its first step, with an empty
// folder for compiled graphs and with the one that another worker filled. The process has TensorFlow loaded,
// as a worker has before its first run. For four times the batch too, where recording must not take more
// memory than the step itself does.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atMost, type Goal, say } from '../goals.ts';
import { startMember } from './member.ts';
import { oursProgram } from './ways.ts';
import { prepare, type Work, writeWork } from './work.ts';

/** Seconds until the first step is done, by the name of the work. */
const READY_MAX: Readonly<Record<string, number>> = { 'S-128': 5, small: 1 };
const MEMORY_MAX = 1.05;
const LARGER = 4;
/** What a worker computes with by default. */
const THREADS = 1;

export interface Ready {
  readonly work: string;
  readonly batch: number;
  readonly stored: boolean;
  /** Compiling or reading the graph, loading it, the first step. */
  readonly seconds: number;
  /** Of another step, which is part of `seconds` too. */
  readonly stepSeconds: number;
  /** Largest resident size of the process by then. */
  readonly residentMiBMax: number;
}

export async function measureReady(works: readonly Work[]): Promise<{ rows: Ready[]; goals: Goal[] }> {
  const rows: Ready[] = [];
  const goals: Goal[] = [];
  for (const work of works) {
    const target = READY_MAX[work.name];
    if (target === undefined) continue;
    const [cold, cached] = await coldAndCached(work);
    rows.push(cold, cached);
    goals.push(atMost(`${work.name}: recorded and first step done`, cold.seconds, target, 's'));
    goals.push(atMost(`${work.name}: the same with the graph stored`, cached.seconds, target, 's'));
    if (work.name !== 'S-128') continue;
    const [coldLarge, cachedLarge] = await coldAndCached({ ...work, batch: LARGER * work.batch });
    rows.push(coldLarge, cachedLarge);
    const ratio = coldLarge.residentMiBMax / cachedLarge.residentMiBMax;
    const name = `${work.name}: memory with recording against without, ${coldLarge.batch} images`;
    goals.push(atMost(name, ratio, MEMORY_MAX, 'times'));
  }
  return { rows, goals };
}

/** In two processes one after the other, with one new folder for compiled graphs. */
async function coldAndCached(work: Work): Promise<[Ready, Ready]> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-bench-'));
  try {
    writeWork(folder, prepare(work));
    const cold = await measureOne(work, folder, false);
    return [cold, await measureOne(work, folder, true)];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureOne(work: Work, folder: string, stored: boolean): Promise<Ready> {
  const member = await startMember(oursProgram(folder, THREADS, join(folder, 'graphs')));
  try {
    const first = await member.ask('run 0');
    const second = await member.ask('run 0');
    const row = {
      work: work.name,
      batch: work.batch,
      stored,
      seconds: Number(first.seconds),
      stepSeconds: Number(second.seconds),
      residentMiBMax: Number(first.residentMiBMax),
    };
    say(
      `  ${row.work}, ${row.batch} images, graph ${stored ? 'stored' : 'recorded'}: first step after ${row.seconds.toFixed(2)} s (the next takes ${row.stepSeconds.toFixed(2)} s), ${row.residentMiBMax.toFixed(0)} MiB`,
    );
    return row;
  } finally {
    await member.close();
  }
}
