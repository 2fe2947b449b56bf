import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { dataSchema } from '../../../../core/spec/data.ts';
import { ANYWHERE } from '../../../../core/system/file-access.ts';
import { createDatasets, usualDataThreads } from '../../../../worker/run/datasets.ts';

test('a CPU worker decodes with one thread, a GPU worker with as many as cores and at most 8', () => {
  assert.deepEqual(
    [
      usualDataThreads('cpu', 64),
      usualDataThreads('cuda', 1),
      usualDataThreads('cuda', 4),
      usualDataThreads('cuda', 64),
    ],
    [1, 1, 4, 8],
  );
});

test('a drawn set stays open for the next run, until another is opened or its threads have ended', async () => {
  const datasets = createDatasets({ threads: 1, cacheDir: '', roots: ANYWHERE });
  const drawn = (seed: number) => ({
    data: dataSchema.parse({ kind: 'synthetic', identities: 4, images: 2, holdout: 2, seed }),
    digest: undefined,
  });
  const first = await datasets.acquire(drawn(1));
  const pixels = await first.loader.heldOutImages(0, 1);
  await first.release();
  const again = await datasets.acquire(drawn(1));
  assert.equal(again.loader, first.loader);
  assert.deepEqual(await again.loader.heldOutImages(0, 1), pixels);
  const beside = await datasets.acquire(drawn(2));
  assert.ok(!again.loader.hasEnded(), 'one in use stays open beside another');
  await Promise.all([again.release(), beside.release()]);
  const third = await datasets.acquire(drawn(2));
  assert.ok(again.loader.hasEnded(), 'one that nobody uses ends when a set is acquired');
  await third.loader.close();
  await third.release();
  const last = await datasets.acquire(drawn(2));
  assert.notEqual(last.loader, third.loader);
  await last.loader.heldOutImages(0, 1);
  await last.loader.close();
  await last.release();
});

test('a stored set is closed by the last run that uses it, because it may change before the next', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'pocketfleet-datasets-'));
  t.after(() => rmSync(path, { recursive: true }));
  for (const name of ['a', 'b', 'c', 'd']) {
    mkdirSync(join(path, name));
    for (const file of ['1.ppm', '2.ppm'])
      writeFileSync(join(path, name, file), `P6 1 1 255\n${name.repeat(3)}`);
  }
  const datasets = createDatasets({ threads: 1, cacheDir: '', roots: ANYWHERE });
  const data = dataSchema.parse({ kind: 'folder', path, holdout: 2 });
  const of = { data, digest: 'of its first content' };
  const [one, two] = await Promise.all([datasets.acquire(of), datasets.acquire(of)]);
  assert.equal(one.loader, two.loader);
  await one.release();
  await one.release();
  assert.ok(!two.loader.hasEnded(), 'the other run goes on');
  const changed = await datasets.acquire({ data, digest: 'of its second content' });
  assert.notEqual(changed.loader, two.loader, 'a run that was submitted with another content opens it anew');
  await changed.release();
  assert.ok(!two.loader.hasEnded() && changed.loader.hasEnded());
  await two.release();
  assert.ok(two.loader.hasEnded());
});
