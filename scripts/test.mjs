// Runs the tests: types, lint and generated code first, then every test file, compiled, in a process of its
// own, small parts before whole systems, two at a time because the machines they must pass on have two cores.
// Arguments pick files by a part of their path (`npm test -- allreduce`) and leave the checks out.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { run } from 'node:test';
import { spec as SpecReporter } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { build } from './build/dist.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const picks = process.argv.slice(2);
const start = performance.now();

// No test needs longer; one that hangs is ended and named instead of holding the rest up for ever.
const FILE_TIMEOUT_MS = 300_000;
/** Number of the slowest files that are named at the end. */
const SLOWEST = 12;
// Whole systems of several processes come last. Each spends much of its time waiting for a wire or a disk, so
// two share two cores.
const HEAVY = /^test\/(integration|fault)\//;
// Minutes in one file: begun first in their group, or one core would wait for them at its end.
const LONG = /^test\/(golden|fault|integration\/sharded-head)/;

const failures = [];
if (picks.length === 0) for (const name of ['check:types', 'check:lint', 'check:proto']) check(name);
const files = testFiles().filter((file) => picks.length === 0 || picks.some((pick) => file.includes(pick)));
if (files.length === 0) {
  process.stderr.write(`no test file has ${picks.map((p) => `"${p}"`).join(' or ')} in its path\n`);
  process.exit(1);
}
const { passed, failed, skipped, secondsOf } = await runTests(files);
if (failed > 0) failures.push(`${failed} tests`);
if (files.length > SLOWEST) {
  const slowest = [...secondsOf].sort((a, b) => b[1] - a[1]).slice(0, SLOWEST);
  const rows = slowest.map(([file, seconds]) => `  ${seconds.toFixed(1).padStart(6)} s  ${file}\n`);
  process.stdout.write(`Most time went into\n${rows.join('')}`);
}

const seconds = ((performance.now() - start) / 1000).toFixed(0);
if (failures.length === 0) {
  process.stdout.write(`All ${passed} tests passed (${skipped} skipped) in ${seconds} s\n`);
} else {
  process.stdout.write(`FAILED: ${failures.join(', ')} (${passed} tests passed) in ${seconds} s\n`);
  process.exitCode = 1;
}

function check(name) {
  const begin = performance.now();
  const { status } = spawnSync('npm', ['run', '--silent', name], { cwd: root, stdio: 'inherit' });
  const took = ((performance.now() - begin) / 1000).toFixed(1);
  process.stdout.write(`${status === 0 ? '✔' : '✖'} ${name} (${took} s)\n`);
  if (status !== 0) failures.push(name);
}

/** Small parts before whole systems: what they find explains what the larger ones find. */
function testFiles() {
  const all = readdirSync(join(root, 'test'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
  const order = (file) => (HEAVY.test(file) ? 2 : 0) + (LONG.test(file) ? 0 : 1);
  return all.sort((a, b) => order(a) - order(b));
}

/** One report and one summary over both groups. */
async function runTests(files) {
  await build(root, { thorough: true, say: (line) => process.stdout.write(`${line}\n`) });
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  // Expected bits and figures are a CPU's, and two test files at once would each take all memory of each GPU.
  process.env.CUDA_VISIBLE_DEVICES = '-1';
  const reporter = new SpecReporter();
  reporter.pipe(process.stdout);
  const totals = new Map();
  const secondsOf = new Map();
  for (const heavy of [false, true]) {
    const group = files.filter((file) => HEAVY.test(file) === heavy).map(compiled);
    if (group.length === 0) continue;
    const options = { files: group, concurrency: 2, timeout: FILE_TIMEOUT_MS };
    for await (const event of run(options)) {
      nameSources(event);
      addSeconds(secondsOf, event);
      const counted = summaryLine(event);
      if (counted === undefined) reporter.write(event);
      else totals.set(counted.name, (totals.get(counted.name) ?? 0) + counted.value);
    }
  }
  for (const [name, value] of totals)
    reporter.write({
      type: 'test:diagnostic',
      data: { nesting: 0, message: `${name} ${value}`, level: 'info' },
    });
  await new Promise((resolve) => reporter.end(resolve));
  const total = (name) => totals.get(name) ?? 0;
  return {
    passed: total('pass'),
    failed: total('fail') + total('cancelled'),
    skipped: total('skipped'),
    secondsOf,
  };
}

function compiled(file) {
  return join(root, 'dist', file.replace(/\.ts$/, '.js'));
}

/**
 * Lines and columns of a compiled file are those of its source, so the names are all that differs in what is
 * reported.
 */
function nameSources({ data }) {
  for (const key of ['file', 'message'])
    if (typeof data[key] === 'string') data[key] = sourceNames(data[key]);
  for (let error = data.details?.error; error instanceof Error; error = error.cause)
    if (typeof error.stack === 'string')
      Reflect.defineProperty(error, 'stack', { value: sourceNames(error.stack) });
}

function sourceNames(text) {
  return text.replaceAll(/\bdist\/((?:core|coordinator|worker|proto|test)\/[\w./-]+)\.js\b/g, '$1.ts');
}

/** Seconds of the tests of a file, without the time that the file takes to load. */
function addSeconds(secondsOf, { type, data }) {
  if ((type !== 'test:pass' && type !== 'test:fail') || data.nesting !== 0 || data.file === undefined) return;
  const file = relative(root, data.file);
  secondsOf.set(file, (secondsOf.get(file) ?? 0) + data.details.duration_ms / 1000);
}

/** node:test ends each run with lines such as "pass 12"; these are added up instead of printed twice. */
function summaryLine({ type, data }) {
  if (type !== 'test:diagnostic' || data.nesting !== 0 || data.file !== undefined) return undefined;
  const match = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/.exec(data.message);
  return match === null ? undefined : { name: match[1], value: Number(match[2]) };
}
