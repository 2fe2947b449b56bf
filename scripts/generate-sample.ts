// Makes the README's sample of the demo by running the demo: what a person sees, from start to end, with one
// picture of its progress. Takes as long as the demo does. A test fails when the sample is stale.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isProgress, README, withSample } from '../test/support/readme-sample.ts';

const PROGRAM = fileURLToPath(new URL('../bin/pocketfleet.mjs', import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-sample-'));
try {
  const lines = sampleOf(await demoLines(folder), folder);
  writeFileSync(`${README}.${process.pid}`, withSample(readFileSync(README, 'utf8'), lines));
  renameSync(`${README}.${process.pid}`, README);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Everything that the demo prints, in order. */
async function demoLines(cwd: string): Promise<string[]> {
  const demo = spawn(process.execPath, [PROGRAM, 'demo', '--workers', '2'], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [demo.stdout, demo.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      process.stderr.write(chunk);
    });
  const code = await new Promise((resolve) => demo.once('close', resolve));
  if (code !== 0) throw new Error(`the demo ended with ${code}`);
  return text.trimEnd().split('\n');
}

function sampleOf(lines: readonly string[], folder: string): string[] {
  const rest = lines.filter((line) => !isProgress(line));
  const from = rest.findIndex((line) => line.startsWith('submitted'));
  return [...rest.slice(0, from + 1), ...picture(lines.filter(isProgress)), ...rest.slice(from + 1)].map(
    (line) =>
      line
        .replaceAll(`${folder}/`, '')
        .replace(/\(logs in .*\/(pocketfleet-demo-)[^/]*\/logs\)/, '(logs in /tmp/$1…/logs)')
        .replace(/submitted \S*(examples\/demo\.yaml)/, 'submitted $1')
        .trimEnd(),
  );
}

/**
 * A line from the middle of the search, then the lines of the teacher and its students when all of them are
 * under way.
 */
function picture(progress: readonly string[]): string[] {
  const search = progress.filter((line) => /^search .*candidates, .*left, best/.test(line));
  const underWay = (line: string) => /step [1-9]\d*\/.*left|waits for stage/.test(line);
  const runs = progress.filter((line) => /^(teacher|student) /.test(line));
  const names = [...new Set(runs.map((line) => line.split(/\s+/).slice(0, 2).join(' ')))];
  const together = runs.flatMap((_, i) => {
    const group = runs.slice(i, i + names.length);
    return group.length === names.length &&
      group.every(underWay) &&
      new Set(group.map((g) => g.split(/\s+/)[1])).size === names.length
      ? [group]
      : [];
  });
  return [...middle(search), ...(middle(together)[0] ?? [])];
}

function middle<T>(items: readonly T[]): T[] {
  return items.slice(items.length >> 1, (items.length >> 1) + 1);
}
