// Set-up: makes a fresh clone runnable, and takes a moment when it already is. Plain Node, no dependency,
// since it installs them. Decides which steps are missing; each step is in scripts/setup/ and leaves either
// its whole result or nothing, so that set-up may be interrupted and run again.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BuildError, build } from './build/dist.mjs';
import { addonSources, buildAddon } from './setup/addon.mjs';
import { fetchBroker, presentBroker } from './setup/broker.mjs';
import { chooseVariant } from './setup/driver.mjs';
import { acquireLock } from './setup/lock.mjs';
import { memoryMapPlan, memoryMapSource, placeMemoryMap } from './setup/memory-map.mjs';
import { installPackages, packagesMatch } from './setup/packages.mjs';
import { fetchPlugins, pjrtPlan, pjrtPresent, placePjrt } from './setup/pjrt.mjs';
import { pjrtKinds } from './setup/pjrt-kinds.mjs';
import { cacheHome, requirePrograms, which } from './setup/programs.mjs';
import { SetupError, step } from './setup/report.mjs';
import * as tensorflow from './setup/tensorflow.mjs';
import { removeLeftovers } from './setup/wheels.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = join(cacheHome(), 'pocketfleet');
const pinsText = readFileSync(join(root, 'scripts/setup/pins.json'), 'utf8');
const pins = JSON.parse(pinsText);
const platform = `${process.platform}-${process.arch}`;
const DRIVER = '/proc/driver/nvidia/version';
const stampFile = join(root, 'node_modules/.pocketfleet-setup.json');

// Whoever runs the programs may be another user than the one who sets up: an image is built by root.
process.umask(process.umask() & 0o022);

try {
  checkNode();
  if (!stampHolds()) await setUp();
  await compile();
} catch (caught) {
  if (!(caught instanceof SetupError || caught instanceof BuildError)) throw caught;
  process.stderr.write(`set-up: ${caught.message}\n`);
  process.exitCode = 1;
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if ((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major === 24) return;
  throw new SetupError(
    `Node ${process.versions.node} is running and 24, 22 (from 22.12 on) or 20 (from 20.19 on) is needed: ` +
      'install it with `nvm install 24`, or from the package source of your system.',
  );
}

async function setUp() {
  const start = performance.now();
  process.stdout.write(`Setting up (downloads are kept in ${cache})\n`);
  const release = await acquireLock(join(cache, 'setup.lock'), (line) => process.stdout.write(`${line}\n`));
  try {
    // The former owner of the lock may have done everything.
    if (stampHolds()) return;
    removeLeftovers(cache);
    const planOf = (variant) => tensorflow.tensorflowPlan({ root, cache, pins, variant });
    // A binding that set-up did not install is kept, so the driver need not meet the conditions of ours.
    const { variant, note, gpus } = (await foreignLoads(planOf('cpu')))
      ? { variant: 'cpu' }
      : await chooseVariant();
    if (note !== undefined) process.stdout.write(`${note}\n`);
    const planNow = () => planOf(variant);
    const broker = { cache, pin: pins.natsServer[platform] };
    await checkPrograms(planNow(), broker);

    if (!packagesMatch(root)) await step('npm packages of the lock file', () => installPackages(root));
    if (presentBroker(broker) === undefined)
      await step(`nats-server ${broker.pin?.version ?? ''}`, () => fetchBroker(broker));
    await setUpTensorFlow(planNow());
    await setUpPjrt(pjrtKinds({ gpus }));
    const mapping = memoryMapPlan({ root, cache });
    await step('memory of one host shared', () => placeMemoryMap(mapping));

    const placed = [mapping.place].filter((path) => existsSync(path));
    stamp([presentBroker(broker), ...tensorflow.bindingFiles(planNow()), ...placed]);
  } finally {
    release();
  }
  process.stdout.write(`Set-up took ${((performance.now() - start) / 1000).toFixed(1)} s\n`);
}

/** Prints nothing where the compiled programs are those of the sources. */
async function compile() {
  const start = performance.now();
  const files = await build(root, { thorough: true, say: (line) => process.stdout.write(`${line}\n`) });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (files > 0) process.stdout.write(`${`${seconds} s`.padStart(7)}  ${files} files compiled\n`);
}

/**
 * Reports everything that is missing on the machine at once, before minutes are spent, and only if it is
 * needed.
 */
async function checkPrograms(plan, broker) {
  const needed = [];
  const packages = !packagesMatch(root);
  if (packages) needed.push('npm');
  const binding = !packages && (await usableVersion(plan)) !== undefined;
  const libraries = !binding && tensorflow.needsLibraries(plan);
  if (libraries || presentBroker(broker) === undefined) needed.push('python3', 'pip');
  if (!binding && tensorflow.needsBuild(plan)) needed.push('npm', 'g++', 'make', 'python3');
  requirePrograms([...new Set(needed)]);
}

async function setUpTensorFlow(plan) {
  if ((await usableVersion(plan)) !== undefined) return;
  if (tensorflow.needsLibraries(plan))
    await step(`libtensorflow ${plan.pin?.version ?? ''} (${plan.variant})`, () =>
      tensorflow.fetchLibraries(plan),
    );
  if (tensorflow.needsBuild(plan)) await step('addon compiled', () => buildAddon(plan));
  await step('TensorFlow binding in place', async () => {
    tensorflow.placeBinding(plan);
    const { version, reason } = await tensorflow.loadBinding(plan);
    if (version !== undefined) return `TensorFlow ${version} loads`;
    throw new SetupError(
      `the binding was built and does not load (${reason}); delete ${dirname(plan.addon)} and ${plan.libraries} and run set-up again`,
    );
  });
}

/** For a GPU; the CPU's plugin alone is for tests, which set it up themselves. Without one TensorFlow computes. */
async function setUpPjrt(kinds) {
  if (kinds.length === 0) return;
  const plan = pjrtPlan({ root, cache, pins, kinds });
  if (pjrtPresent(plan)) return;
  requirePrograms(['python3', 'pip', 'gcc']);
  await step(`plugins of PJRT (${kinds.join(', ')})`, () => fetchPlugins(plan));
  await step('addon for PJRT compiled', () => placePjrt(plan));
}

async function foreignLoads(plan) {
  if (!packagesMatch(root) || tensorflow.bindingOrigin(plan) !== 'foreign') return false;
  return (await tensorflow.loadBinding(plan)).version !== undefined;
}

/**
 * The version of a binding that need not be replaced: ours for this plan, or one that somebody else put
 * there.
 */
async function usableVersion(plan) {
  if (tensorflow.bindingOrigin(plan) === 'other') return undefined;
  return (await tensorflow.loadBinding(plan)).version;
}

/** What set-up depends on; a change of any of it makes set-up look again. */
function stampKey() {
  const parts = [
    readFileSync(join(root, 'package-lock.json')),
    pinsText,
    // How the libraries are placed and the addon is built.
    ...readdirSync(join(root, 'scripts/setup'))
      .sort()
      .map((name) => readFileSync(join(root, 'scripts/setup', name))),
    ...addonSources(root).map(({ text }) => text),
    memoryMapSource(root),
    cache,
    platform,
    process.versions.modules,
    process.env.POCKETFLEET_TENSORFLOW ?? '',
    process.env.POCKETFLEET_PJRT ?? '',
    process.env.POCKETFLEET_NATS_SERVER ?? '',
    // A driver that appears, goes or becomes another changes which TensorFlow is wanted.
    existsSync(DRIVER) ? readFileSync(DRIVER) : '',
    String(which('nvidia-smi') !== undefined),
    String(existsSync('/dev/kfd')),
    process.env.ONEAPI_ROOT ?? '',
  ];
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}

function stampHolds() {
  if (!existsSync(stampFile)) return false;
  try {
    const { key, files } = JSON.parse(readFileSync(stampFile, 'utf8'));
    return key === stampKey() && files.every(([path, size]) => statSync(path).size === size);
  } catch {
    return false; // A file that is gone, or a stamp of an older set-up: look again.
  }
}

function stamp(paths) {
  const files = paths.map((path) => [path, statSync(path).size]);
  writeFileSync(`${stampFile}.${process.pid}`, JSON.stringify({ key: stampKey(), files }));
  renameSync(`${stampFile}.${process.pid}`, stampFile);
}
