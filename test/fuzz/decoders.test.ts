// Every file that exports a decoder belongs to a target, or has a reason why it does not.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { targets } from './targets.ts';

const DECODER = /^export (?:async )?(?:function\*?|const) (?:decode|read|parse)(?:[A-Z]\w*)?\b/m;

/** Files without a target. */
const REASONS: Readonly<Record<string, string>> = {
  'coordinator/cli/commands/model-commands.ts': 'flags of a command, each checked by what it names',
  'coordinator/cli/local/host.ts': 'what the system says of its processors and memory',
  'core/allreduce/reduce.ts': 'gradients of any bits are numbers; lengths are checked with the header',
  'core/model/file-bytes.ts': 'bytes at a place of a file, which the readers of formats ask for',
  'core/nn/decode.ts': 'architecture weights that this program has computed',
  'core/search/perturbation.ts': 'accuracies that this program has computed',
  'core/system/addon-origin.ts': 'a file that the set-up of this package writes',
  'core/system/file-access.ts': 'opens a file; its content is not looked at',
  'core/tensor/graph/graph-cache.ts': 'a folder of this program; an entry that does not fit is made anew',
  'core/tensor/graph/pjrt-modules.ts': 'a file in that folder, of modules that this program has written',
  'core/tensor/graph/session.ts': 'tensors of a graph that this program has compiled',
  'core/text/bounded-text.ts': 'reads a text up to a bound; its content is not looked at',
};

const sources = ['core', 'coordinator', 'worker'].flatMap((room) =>
  readdirSync(join(PACKAGE_ROOT, room), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(PACKAGE_ROOT, join(entry.parentPath ?? entry.path, entry.name))),
);

test('each file that exports a decoder is in a target or in the table of reasons', () => {
  const decoders = sources.filter((file) => DECODER.test(readFileSync(join(PACKAGE_ROOT, file), 'utf8')));
  assert.ok(decoders.length > 30, `${decoders.length} files`);
  const inTargets = new Set(targets.flatMap((target) => target.decoders));
  assert.deepEqual(
    decoders.filter((file) => !inTargets.has(file) && REASONS[file] === undefined),
    [],
  );
  assert.deepEqual(
    Object.keys(REASONS).filter((file) => !decoders.includes(file) || inTargets.has(file)),
    [],
    'reasons that nothing needs',
  );
});

test('each file that a target names is there', () => {
  const missing = targets.flatMap(({ name, decoders }) =>
    decoders.filter((file) => !existsSync(join(PACKAGE_ROOT, file))).map((file) => `${name}: ${file}`),
  );
  assert.deepEqual(missing, []);
});
