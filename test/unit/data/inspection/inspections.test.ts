import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createInspections, type InspectionLimits } from '../../../../core/data/inspection/inspections.ts';
import type { DataProgress } from '../../../../core/data/progress-pace.ts';
import { FleetError } from '../../../../core/errors.ts';
import type { DataSpec } from '../../../../core/spec/data.ts';
import { writeLargePack } from '../../../support/large-pack.ts';
import { isRunning, until } from '../../../support/processes.ts';

function folder(context: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'pf-inspections-'));
  context.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const grey = (value: number) => Buffer.concat([Buffer.from('P5 8 8 255\n'), Buffer.alloc(64, value)]);

function people(dir: string, images = 1): DataSpec {
  for (const identity of ['a', 'b', 'c', 'd']) {
    mkdirSync(join(dir, identity), { recursive: true });
    for (let i = 0; i < images; i++) writeFileSync(join(dir, identity, `${i}.pgm`), grey(i & 255));
  }
  return { kind: 'folder', path: dir, holdout: 2 };
}

/** Processes that this one has started and that still run. */
function children(): number[] {
  return readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map(Number);
}

function started(context: TestContext, limits: Partial<InspectionLimits> = {}) {
  const dir = folder(context);
  const inspections = createInspections({ cacheDir: join(dir, 'cache'), lanes: 2, limits });
  return {
    dir,
    inspections,
    cacheDir: join(dir, 'cache'),
    async close() {
      const pids = children();
      await inspections.close();
      await until('every process has ended', () => !pids.some(isRunning));
    },
  };
}

test('a set is looked at in a process of its own, once for all who ask, and kept', async (context) => {
  const { inspections, dir, cacheDir, close } = started(context);
  try {
    const spec = people(join(dir, 'people'), 30);
    let turns = 0;
    const turning = setInterval(() => (turns += 1), 1);
    const before = children();
    const [one, two] = await Promise.all([inspections.set(spec), inspections.set({ ...spec })]);
    clearInterval(turning);
    assert.ok(turns > 0, 'the event loop goes on');
    assert.equal(one, two);
    assert.deepEqual(one.facts, { trainingImages: 60, classes: 2, heldOutImages: 60, heldOutIdentities: 2 });
    assert.equal(children().length - before.length, 1, 'one process for both, and kept for the next');
    const entries = readdirSync(cacheDir);
    assert.equal(entries.length, 2, 'images and digest');
    assert.deepEqual(await inspections.set(spec), one);
    // A damaged entry counts for nothing, and is replaced.
    for (const name of entries) {
      const entry = readFileSync(join(cacheDir, name));
      writeFileSync(join(cacheDir, name), entry.subarray(0, entry.length - 3));
      assert.deepEqual(await inspections.set(spec), one);
      assert.deepEqual(readFileSync(join(cacheDir, name)), entry);
    }
    // Another image: another set.
    writeFileSync(join(dir, 'people', 'a', '7.pgm'), 'no image');
    await assert.rejects(inspections.set(spec), /a\/7\.pgm: the image is not PGM/);
  } finally {
    await close();
  }
});

test('a set that hangs takes no place from others and is given up when nothing moves', async (context) => {
  const { inspections, dir, close } = started(context, { atOnce: 1, idleAfterMs: 300, givenUpAfterMs: 6000 });
  try {
    // The process that the next look gets does not move any more, as on a file system that is away.
    const away = join(dir, 'away');
    await assert.rejects(inspections.path(away), /away/);
    const child = children().at(-1)!;
    process.kill(child, 'SIGSTOP');
    const spec = people(join(dir, 'people'));
    const standing = inspections.set({ kind: 'recordio', path: away, holdout: 2 });
    standing.catch(() => undefined);
    assert.equal(
      (await inspections.set(spec)).facts.classes,
      2,
      'the next one starts although one place is all',
    );
    assert.ok(isRunning(child));
    await assert.rejects(standing, (error: FleetError) => {
      assert.equal(error.code, 'unavailable');
      assert.match(error.message, /away: nothing was read for 6 s; does its file system answer\?/);
      return true;
    });
    await until('the process that stood still has ended', () => !isRunning(child));
  } finally {
    await close();
  }
});

test('a look is ended when nobody waits for it any more, and whoever asks again in time joins it', async (context) => {
  const { inspections, dir, cacheDir, close } = started(context, { lingerMs: 400 });
  try {
    const pack = join(dir, 'pack');
    mkdirSync(pack);
    await writeLargePack(pack, 40_000, 800);
    const spec: DataSpec = { kind: 'recordio', path: pack, holdout: 10, onCorrupt: 'skip' };
    const first = new AbortController();
    const progress: DataProgress[] = [];
    const left = inspections.set(spec, { signal: first.signal, onProgress: (p) => progress.push(p) });
    await until('it looks at images', () => progress.some(({ doing }) => doing === 'looking at images'));
    const [child] = children();
    first.abort();
    await assert.rejects(left, (error: FleetError) => error.code === 'cancelled');
    const second = new AbortController();
    const seen: DataProgress[] = [];
    const joined = inspections.set(spec, { signal: second.signal, onProgress: (p) => seen.push(p) });
    await until('the same look goes on', () => seen.length > 0);
    assert.ok(seen[0]!.done >= progress.at(-1)!.done);
    assert.deepEqual(children(), [child]);
    second.abort();
    await assert.rejects(joined, /nobody waits for it any more/);
    await until('its process has ended', () => !isRunning(child!));
    assert.equal(readdirSync(cacheDir).filter((name) => name.endsWith('.part')).length, 0);
  } finally {
    await close();
  }
});

test('more looks than may be open are refused, and close ends those in hand', async (context) => {
  const { inspections, dir, close } = started(context, { openMax: 1 });
  const spec = people(join(dir, 'people'));
  const open = inspections.set(spec);
  open.catch(() => undefined);
  await assert.rejects(inspections.path(dir), /1 data sets are being looked at, the limit; try again later/);
  await close();
  await assert.rejects(
    open,
    (error: FleetError) => error instanceof FleetError && error.code === 'cancelled',
  );
  await assert.rejects(inspections.set(spec), /cancelled|nobody waits/);
});
