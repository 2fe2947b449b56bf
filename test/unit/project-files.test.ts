// What several files say of the project is the same in all of them: which Node, which form, which commands.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { parse } from 'yaml';
import { PACKAGE_ROOT } from '../../core/system/places.ts';

const textOf = (path: string) => readFileSync(join(PACKAGE_ROOT, path), 'utf8');
const { engines, scripts } = JSON.parse(textOf('package.json')) as {
  engines: { node: string };
  scripts: Record<string, string>;
};
const ci = parse(textOf('.github/workflows/ci.yaml')) as {
  permissions: unknown;
  jobs: {
    test: {
      strategy: { matrix: { node: number[] } };
      steps: readonly { uses?: string; run?: string }[];
    };
  };
};

test('the public CI tests each Node that the package takes', () => {
  const taken = [...engines.node.matchAll(/\^(\d+)/g)].map(([, major]) => Number(major));
  assert.ok(taken.length > 1, engines.node);
  assert.deepEqual(ci.jobs.test.strategy.matrix.node, taken);
});

test('.nvmrc names the Node of the images', () => {
  const major = textOf('.nvmrc').trim();
  for (const program of ['coordinator', 'worker']) {
    const bases = [...textOf(`deploy/docker/${program}.Dockerfile`).matchAll(/^FROM node:(\d+)/gm)];
    assert.deepEqual(new Set(bases.map(([, found]) => found)), new Set([major]), program);
  }
});

test('the public CI runs scripts of the package, and actions that nobody can exchange', () => {
  const { steps } = ci.jobs.test;
  assert.deepEqual(ci.permissions, { contents: 'read' });
  for (const { uses, run } of steps) {
    if (uses !== undefined) assert.match(uses, /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
    if (run !== undefined) assert.ok(scripts[run.replace(/^npm (run )?/, '')] !== undefined, run);
  }
  assert.ok(steps.some(({ run }) => run === 'npm test'));
});

test('.editorconfig has the form that the formatter has', () => {
  const { formatter } = JSON.parse(textOf('biome.json')) as {
    formatter: { indentStyle: string; indentWidth: number; lineWidth: number };
  };
  const [all = ''] = textOf('.editorconfig').split('[*.');
  assert.match(all, new RegExp(`^indent_style = ${formatter.indentStyle}$`, 'm'));
  assert.match(all, new RegExp(`^indent_size = ${formatter.indentWidth}$`, 'm'));
  assert.match(all, new RegExp(`^max_line_length = ${formatter.lineWidth}$`, 'm'));
});
