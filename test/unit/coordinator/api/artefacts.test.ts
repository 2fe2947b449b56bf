import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createArtefacts } from '../../../../coordinator/api/artefacts.ts';
import { listAll } from '../../../../coordinator/cli/pages.ts';
import type { Manifest } from '../../../../core/checkpoint/manifest.ts';
import { ListArtefactsResponse } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import { NAMES } from '../../../support/names.ts';
import { longestTurnMs } from '../../../support/turns.ts';
import { grow } from '../model/grown.ts';

const CANDIDATES = 6_000;
/** Of a run that is in no list any more. */
const STAGES = 4_000;
const FORGOTTEN = `run-${CANDIDATES + 1_000}`;

const { state } = grow({ trials: CANDIDATES, cancelled: 0, reasonBytes: 0, yamlBytes: 10 });
const stored = [
  ...Array.from({ length: STAGES }, (_, at) => manifest(FORGOTTEN, at + 1)),
  ...Array.from({ length: CANDIDATES }, (_, at) => manifest(`run-${CANDIDATES - at}`, 4)),
];
stored.push({ ...manifest(FORGOTTEN, 1), key: NAMES.pausedKey(FORGOTTEN, 37) });
/** Manifests that were read, of all calls. */
let read = 0;
const artefacts = createArtefacts({
  store: {
    async listManifests(filter) {
      const wanted = new RegExp(
        `^${filter.replaceAll('.', '\\.').replaceAll('*', '[^.]+').replace('>', '.+')}$`,
      );
      const found = stored.filter(({ key }) => wanted.test(key));
      read += found.length;
      return found;
    },
  },
  names: NAMES,
});

function manifest(run: string, stage: number): Manifest {
  const part = { name: 'backbone', bytes: 10, chunkBytes: 512, digest: '', chunks: [''] };
  return {
    ...{ key: NAMES.checkpointKey(run, stage), form: 'parts', digest: '', bytes: 10, parts: [part] },
    ...{ metadata: {}, storedAtMs: 0, revision: 1 },
  };
}

test('pages together are what the store holds, each stage once, a run with very many in several items', async () => {
  const { items, total } = await listAll(
    (page) => artefacts.list(state, { id: '', ...page, pageSize: 700 }),
    (answer) => answer.runs,
  );
  assert.equal(total, items.length);
  assert.deepEqual(
    items.map(({ runId }) => runId),
    [
      ...Array.from({ length: CANDIDATES }, (_, at) => `run-${at + 1}`),
      ...new Array(STAGES / 500 + 1).fill(FORGOTTEN),
    ],
  );
  assert.deepEqual([items[6]!.name, items[6]!.kind], ['many-7', 'candidate']);
  const forgotten = items.filter(({ runId }) => runId === FORGOTTEN);
  assert.deepEqual(
    forgotten.flatMap(({ stages }) => stages.map(({ stage }) => stage)),
    Array.from({ length: STAGES }, (_, at) => at + 1),
  );
  assert.ok(forgotten.every(({ bytes, stages }) => bytes === 10 * (STAGES + 1) && stages.length <= 500));
  const one = await artefacts.list(state, { id: 'run-7' });
  assert.deepEqual([one.runs.length, one.totalBytes, one.nextPageToken], [1, 10, '']);
  // What a pause has stored has a line of its own, once a run.
  const steps = items.flatMap(({ runId, steps: of }) => of.map((step) => ({ runId, ...step })));
  assert.deepEqual(
    steps.map(({ runId, step, bytes, parts, heldBy }) => [runId, step, bytes, parts.length, heldBy]),
    [[FORGOTTEN, 37, 10, 1, 'nothing: it is being removed']],
  );
});

test('a token of another list is refused, and the total of the store is on each page', async () => {
  const first = await artefacts.list(state, { id: '', pageSize: 1 });
  assert.deepEqual([first.runs.length, first.totalBytes], [1, 10 * stored.length]);
  await assert.rejects(artefacts.list(state, { id: 'run-7', pageToken: first.nextPageToken }), {
    code: 'invalidArgument',
    message: /^page_token: /,
  });
});

test('a page of 10,000 stages stops the event loop for no more than 20 ms', async () => {
  const page = () => artefacts.list(state, { id: '', pageSize: 5_000 });
  const { nextPageToken, ...rest } = await page();
  assert.ok(ListArtefactsResponse.encode({ ...rest, nextPageToken }).finish().length < 2.5 * 1024 * 1024);
  const longest = await longestTurnMs(page);

  assert.ok(longest <= 20, `${longest} ms of processor in one turn`);
});

test('the bytes of a few runs cost a look at their manifests, however much is stored', async () => {
  read = 0;
  assert.equal(await artefacts.bytesOf(['run-7', 'run-8']), 20);
  assert.equal(await artefacts.checkpointBytesOf('run-9', 4), 10);
  assert.equal(await artefacts.checkpointBytesOf('run-9', 3), 0);
  assert.ok(read <= 4, `${read} manifests were read`);
  const many = Array.from({ length: 100 }, (_, at) => `run-${at + 1}`);
  assert.equal(await artefacts.bytesOf(many), 1_000);
});
