// Claims about the digest of a data set: the same for the same content, another for any other.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openDataset } from '../../../../core/data/dataset.ts';
import { factsOf, inspectData } from '../../../../core/data/inspection/inspect.ts';
import { inspectDrawn } from '../../../../core/data/inspection/inspection.ts';
import type { DataSpec } from '../../../../core/spec/data.ts';
import { imagePayload, writePack } from '../../../support/records.ts';

const folder = mkdtempSync(join(tmpdir(), 'pf-digest-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const grey = (value: number) => Buffer.concat([Buffer.from('P5 8 8 255\n'), Buffer.alloc(64, value)]);

function people(name: string): string {
  const dir = join(folder, name);
  for (const [i, identity] of ['a', 'b', 'c', 'd'].entries()) {
    mkdirSync(join(dir, identity), { recursive: true });
    for (let n = 0; n < 3; n++) writeFileSync(join(dir, identity, `${n}.pgm`), grey(10 * i + n));
  }
  return dir;
}
const digestOf = async (data: DataSpec) => (await inspectData(data)).digest;
const ofFolder = (path: string, more = {}) => digestOf({ kind: 'folder', path, holdout: 2, ...more });

test('a folder has one digest wherever it lies, whenever it was written and however it is split', async () => {
  const dir = people('one');
  const digest = await ofFolder(dir);
  assert.match(digest, /^[0-9a-f]{64}$/);
  cpSync(dir, join(folder, 'copy'), { recursive: true });
  utimesSync(join(folder, 'copy', 'a', '0.pgm'), 1, 1);
  writeFileSync(join(folder, 'copy', 'a', 'notes.txt'), 'no image');
  assert.equal(await ofFolder(join(folder, 'copy')), digest);
  assert.equal(await ofFolder(`${dir}/`), digest);
  assert.equal(await ofFolder(join(folder, 'copy', '..', 'copy'), { onCorrupt: 'skip' }), digest);
});

test('another byte, name, person or order of a folder is another digest', async () => {
  const digest = await ofFolder(people('two'));
  const changes: readonly ((dir: string) => void)[] = [
    (dir) => writeFileSync(join(dir, 'c', '1.pgm'), grey(99)),
    (dir) => renameSync(join(dir, 'c', '2.pgm'), join(dir, 'c', '3.pgm')),
    (dir) => renameSync(join(dir, 'd'), join(dir, 'e')),
    (dir) => rmSync(join(dir, 'a', '0.pgm')),
    (dir) => {
      renameSync(join(dir, 'a'), join(dir, 'x'));
      renameSync(join(dir, 'b'), join(dir, 'a'));
      renameSync(join(dir, 'x'), join(dir, 'b'));
    },
  ];
  const seen = new Set([digest]);
  for (const [i, change] of changes.entries()) {
    const dir = people(`two-${i}`);
    change(dir);
    seen.add(await ofFolder(dir));
  }
  assert.equal(seen.size, changes.length + 1);
});

test('a corrupt image that is left out belongs to the digest', async () => {
  const dir = people('three');
  writeFileSync(join(dir, 'a', '0.pgm'), 'no image');
  const one = await ofFolder(dir, { onCorrupt: 'skip' });
  writeFileSync(join(dir, 'a', '0.pgm'), 'no imagf');
  assert.notEqual(await ofFolder(dir, { onCorrupt: 'skip' }), one);
});

test('a pack has one digest wherever it lies, and another with another record, index or number of classes', async () => {
  const write = (name: string, value: number, property?: string) => {
    const dir = join(folder, name);
    mkdirSync(dir);
    const records = [0, 1, 2, 3].flatMap((label) =>
      [0, 1].map((n) => {
        const key = 1 + 2 * label + n;
        return { key, labels: [label], image: imagePayload([label], key, grey(value + key)) };
      }),
    );
    writePack(
      dir,
      records.map(({ key, labels }) => ({ key, labels, image: grey(value + key) })),
      property,
    );
    return digestOf({ kind: 'recordio', path: dir, holdout: 2 });
  };
  const digest = await write('pack-1', 0);
  assert.equal(await write('pack-2', 0), digest);
  const seen = new Set([digest, await write('pack-3', 1), await write('pack-4', 0, '4,8,8')]);
  assert.equal(seen.size, 3);
});

test('drawn faces are known without being drawn: the same facts, and a digest of what they follow from', async () => {
  const data = { kind: 'synthetic', identities: 9, images: 5, holdout: 3, seed: 2, difficulty: 0.5 } as const;
  const drawn = inspectDrawn(data);
  const dataset = await openDataset(data);
  assert.deepEqual(drawn.facts, factsOf(dataset));
  await dataset.close();
  assert.deepEqual(drawn.heldOutSizes, [5, 5, 5]);
  assert.deepEqual(await inspectData(data), drawn);
  assert.equal(inspectDrawn({ ...data, holdout: 4 }).digest, drawn.digest, 'the images are the same');
  for (const other of [{ identities: 10 }, { images: 6 }, { seed: 3 }, { difficulty: 1 }])
    assert.notEqual(inspectDrawn({ ...data, ...other }).digest, drawn.digest);
  const tooMany = { ...data, holdout: 8 };
  await assert.rejects(openDataset(tooMany), /^FleetError: data\.holdout: 9 identities, of which 8/);
  assert.throws(() => inspectDrawn(tooMany), /^FleetError: data\.holdout: 9 identities, of which 8/);
});
