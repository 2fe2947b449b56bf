// `npm run test:pjrt`, the trial of a plugin before a worker on a GPU takes it: one that ends its process, or never
// returns, is a reason, as is one that refuses, and the worker goes on.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { installedFor } from '../../core/tensor/pjrt/binding.ts';
import { decidedEngine, refusalOf } from '../../worker/compute/engine-trial.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-trial-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A library whose GetPjrtApi does this. */
function plugin(name: string, statement: string) {
  const path = join(folder, `${name}.so`);
  const source = `#include <signal.h>\n#include <unistd.h>\nconst void* GetPjrtApi(void) { ${statement}; return 0; }\n`;
  writeFileSync(join(folder, `${name}.c`), source);
  execFileSync(process.env.CC || 'gcc', ['-shared', '-fPIC', '-o', path, join(folder, `${name}.c`)]);
  return { platform: 'cuda' as const, name: `${name} 1.0`, path };
}

const request = { memoryShare: 0 };

test('a plugin that computes is taken, and so many devices as it has', async () => {
  const cpu = installedFor(false)!;
  assert.equal(await refusalOf({ plugin: cpu, request: { memoryShare: 0, devices: 4 } }), undefined);
  const refused = await refusalOf({ plugin: cpu, request: { memoryShare: 0, devices: 9 } });
  assert.match(refused!, /on 9 devices and the plugin has 4/);
});

test('a plugin that ends its process, never returns or refuses is a sentence that names it', async () => {
  const crashing = plugin('crashing', 'raise(SIGSEGV)');
  assert.equal(
    await refusalOf({ plugin: crashing, request }),
    `a process that tried the plugin crashing 1.0 (${crashing.path}) ended with SIGSEGV`,
  );
  const leaving = plugin('leaving', '_exit(3)');
  assert.match(
    (await refusalOf({ plugin: leaving, request }))!,
    /tried the plugin leaving 1\.0 .* ended with 3$/,
  );
  const quiet = plugin('quiet', '_exit(0)');
  assert.match(
    (await refusalOf({ plugin: quiet, request }))!,
    /tried the plugin quiet 1\.0 .* said nothing$/,
  );
  const hanging = plugin('hanging', 'for (;;) pause()');
  assert.match((await refusalOf({ plugin: hanging, request }, 3_000))!, /did not end in 3 s$/);
  const empty = plugin('empty', '');
  assert.match((await refusalOf({ plugin: empty, request }))!, /GetPjrtApi returned nothing$/);
});

test('a choice that is left to the machine is TensorFlow on a CPU, and on a GPU without a plugin', async () => {
  for (const wanted of ['auto', 'tensorflow', 'pjrt'] as const)
    for (const gpu of [true, false]) {
      const given = { ...request, wanted, gpu };
      if (wanted === 'auto' && gpu && installedFor(true) !== undefined) continue;
      const decided = await decidedEngine(given);
      assert.equal(decided.wanted, wanted === 'auto' ? 'tensorflow' : wanted);
      assert.equal(decided.instead, undefined);
    }
});
