// Runs the tests: types, lint and generated code first, then every test file, compiled, small parts before
// whole systems, two processes at a time because the machines they must pass on have two cores. A whole system
// has a process of its own; the files of small parts share one with those of the same room, because most of
// them would spend more time on loading than on testing. Arguments pick files by a part of their path
// (`npm test -- allreduce`) and leave the checks out. The files of test/long are run only where they are asked for
// (`npm run test:long`), because the others have to end within ten minutes.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { run } from 'node:test';
import { spec as SpecReporter } from 'node:test/reporters';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from './build/dist.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const picks = process.argv.slice(2);
const start = performance.now();

// No file and no room needs longer; one that hangs is ended and named instead of holding the rest up for ever.
const PROCESS_TIMEOUT_MS = 600_000;
/** Number of the slowest files that are named at the end. */
const SLOWEST = 12;
// Whole systems of several processes come last. Each spends much of its time waiting for a wire or a disk, so
// two share two cores.
const HEAVY = /^test\/(integration|long)\//;
const ON_REQUEST = /^test\/long\//;
/** Those that take longest, longest first: whatever is begun last decides for how long one core is idle. */
const LONG = [
  'integration/up',
  'integration/worker',
  'golden/golden',
  'long/faults',
  'long/suspicion',
  'integration/proofs',
  'integration/whole',
  'integration/plan',
];
/** The room of a file that shares a process; of another one nothing. */
const ROOM = /^test\/(?:unit(?:\/coordinator)?(?:\/[^/]+(?=\/))?|helm)(?=\/)/;
/** They measure their process, or take so long that the limit of time must be theirs. */
const ALONE =
  /^test\/unit\/(?:data\/records|nn\/cell-costs|nn\/two-part|tensor\/ops\/|tensor\/passes\/|coordinator\/api\/artefacts\.)/;

const failures = [];
if (picks.length === 0) for (const name of ['check:types', 'check:lint', 'check:proto']) check(name);
const isPicked = (file) =>
  picks.length === 0 ? !ON_REQUEST.test(file) : picks.some((pick) => file.includes(pick));
const files = testFiles().filter(isPicked);
if (files.length === 0) {
  process.stderr.write(`no test file has ${picks.map((p) => `"${p}"`).join(' or ')} in its path\n`);
  process.exit(1);
}
const { passed, failed, skipped, secondsOf } = await runTests(files);
if (failed > 0) failures.push(`${failed} tests`);
// A file that ends the process of its room takes the others with it.
for (const file of files) if (!secondsOf.has(file)) failures.push(`${file} ran no test`);
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
  const place = (file) => {
    const at = LONG.findIndex((name) => file === `test/${name}.test.ts`);
    return (HEAVY.test(file) ? LONG.length + 1 : 0) + (at < 0 ? LONG.length : at);
  };
  return readdirSync(join(root, 'test'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
    .sort()
    .sort((a, b) => place(a) - place(b));
}

/** Runs each file, or each room, in a process; one report and one summary over all. */
async function runTests(files) {
  await build(root, { thorough: true, say: (line) => process.stdout.write(`${line}\n`) });
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  // Expected bits and figures are a CPU's, and two test files at once would each take all memory of each GPU.
  process.env.CUDA_VISIBLE_DEVICES = '-1';
  const reporter = new SpecReporter();
  reporter.pipe(process.stdout);
  const totals = new Map();
  const secondsOf = new Map();
  let failedAtTop = 0;
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-rooms-'));
  try {
    const options = { files: processesOf(files, folder), concurrency: 2, timeout: PROCESS_TIMEOUT_MS };
    for await (const event of run(options)) {
      nameSources(event);
      addSeconds(secondsOf, event);
      if (event.type === 'test:fail' && event.data.nesting === 0) failedAtTop += 1;
      const counted = summaryLine(event);
      if (counted !== undefined) totals.set(counted.name, counted.value);
      reporter.write(event);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  await new Promise((resolve) => reporter.end(resolve));
  const total = (name) => totals.get(name) ?? 0;
  return {
    passed: total('pass'),
    // A file of a room that does not load fails its suite, which the summary does not count.
    failed: Math.max(total('fail') + total('cancelled'), failedAtTop),
    skipped: total('skipped'),
    secondsOf,
  };
}

/**
 * What each process runs: a compiled file, or, written into the folder, a module with a suite for each file
 * of a room. A file is loaded when the one before it has ended, and its hooks are its suite's alone.
 */
function processesOf(files, folder) {
  const rooms = new Map();
  for (const file of files) {
    const room = ALONE.test(file) ? file : (ROOM.exec(file)?.[0] ?? file);
    rooms.set(room, [...(rooms.get(room) ?? []), file]);
  }
  return [...rooms].map(([room, members]) => {
    if (members.length === 1) return compiled(members[0]);
    const suites = members.map(
      (file) =>
        `await suite(${JSON.stringify(file)}, async () => { await import(${JSON.stringify(pathToFileURL(compiled(file)).href)}); });\n`,
    );
    const module = join(folder, `${room.replaceAll('/', '-')}.mjs`);
    writeFileSync(module, `import { suite } from 'node:test';\n${suites.join('')}`);
    return module;
  });
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
  const file = files.includes(data.name) ? data.name : relative(root, data.file);
  secondsOf.set(file, (secondsOf.get(file) ?? 0) + data.details.duration_ms / 1000);
}

/** node:test ends a run with lines such as "pass 12". */
function summaryLine({ type, data }) {
  if (type !== 'test:diagnostic' || data.nesting !== 0 || data.file !== undefined) return undefined;
  const match = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/.exec(data.message);
  return match === null ? undefined : { name: match[1], value: Number(match[2]) };
}
