// Which libtensorflow this machine gets, decided before anything is downloaded: the one for CUDA where
// nvidia-smi lists GPUs that it can use with the driver that is there. A GPU that cannot be used for a reason
// that a person can mend ends set-up with that reason; a machine without a usable GPU gets the CPU's, and a
// note when it seems to have one.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { run, which } from './programs.mjs';
import { SetupError } from './report.mjs';

/** Milliseconds. nvidia-smi takes seconds on a machine of eight idle GPUs, because it wakes each. */
const DEADLINE_MS = 60_000;

/**
 * The pinned libtensorflow has machine code for compute capabilities 6.0, 7.0, 8.0, 8.9 and in part 9.0. Its
 * element-wise kernels are there for 9.0 as PTX 8.5 alone, which drivers before 555 do not accept; for 10.0
 * and later everything is compiled from PTX. Capabilities are written as in `sm_89`; the driver is its major
 * version.
 */
const OLDEST_CAPABILITY = 60;
const DRIVERS = [
  { from: 100, driver: 570 },
  { from: 90, driver: 555 },
  { from: OLDEST_CAPABILITY, driver: 525 },
];

/**
 * nvidia-smi's exit code for a GPU with a corrupted info ROM, such as a lost serial number; it still answers,
 * and the GPU computes.
 */
const CORRUPTED_INFOROM = 14;

const CPU = 'use the CPU with `export POCKETFLEET_TENSORFLOW=cpu`';
const WAY_ON = `or ${CPU}`;
const CONTAINER = 'in a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility';

/** What a person does about a failure of nvidia-smi that it words in this way. */
const REMEDIES = [
  [
    /insufficient permission|permission denied/i,
    'give this user access to /dev/nvidia* (the group that owns them, or root)',
  ],
  [/version mismatch/i, 'restart the machine, since its kernel runs another driver than is installed'],
  [/libnvidia-ml/i, `install the driver's libraries (${CONTAINER})`],
];

/**
 * The variant, `cpu` or `gpu`, a note for a person where the choice may surprise, and the GPUs where they were asked;
 * POCKETFLEET_TENSORFLOW=cpu|gpu decides first.
 */
export async function chooseVariant({
  chosen = process.env.POCKETFLEET_TENSORFLOW,
  kernelDriver = existsSync('/proc/driver/nvidia/version'),
  deadlineMs = DEADLINE_MS,
} = {}) {
  if (chosen && chosen !== 'cpu' && chosen !== 'gpu')
    throw new SetupError(`POCKETFLEET_TENSORFLOW is "${chosen}"; it may be cpu or gpu`);
  if (chosen === 'cpu') return { variant: 'cpu' };
  // An image is built where there is no GPU, so whoever asks for the variant gets it there.
  const without = (reason) => (chosen === 'gpu' ? { variant: 'gpu' } : cpuVariant(reason));
  if (which('nvidia-smi') === undefined)
    return without(
      kernelDriver
        ? 'an NVIDIA driver is loaded, and nvidia-smi, which lists its GPUs, is not on PATH'
        : undefined,
    );

  const listing = await ask(['-L'], deadlineMs);
  if (!listing.good) {
    if (kernelDriver || listing.hung || chosen === 'gpu') throw new SetupError(failureSentence(listing));
    return cpuVariant(`${listing.words}, and no NVIDIA driver is loaded`);
  }
  const names = [...listing.output.matchAll(/^GPU \d+: (.*?)(?: \(UUID: .*)?$/gm)].map(([, name]) => name);
  if (names.length === 0)
    return without(`nvidia-smi lists no GPU (${lastLine(listing.output) ?? 'it says nothing'})`);

  const gpus = await readGpus(names, deadlineMs);
  const { refusal, note, usable } = judge(gpus);
  if (refusal !== undefined) throw new SetupError(`${refusal}, ${WAY_ON}`);
  if (!usable && chosen === 'gpu') throw new SetupError(`${note}; ${CPU}`);
  if (!usable) return cpuVariant(note);
  await requireDriverLibraries();
  return { variant: 'gpu', note, gpus };
}

const cpuVariant = (reason) => ({
  variant: 'cpu',
  ...(reason === undefined ? {} : { note: `TensorFlow for the CPU is set up: ${reason}` }),
});

/**
 * What the driver and compute capability of each GPU mean: a `refusal` when a driver is too old, else whether
 * one of the GPUs is `usable`, and a `note` of those that are not or of what could not be checked. A GPU has
 * `name`, `driver` and `capability` as nvidia-smi writes them; undefined where it reports none.
 */
export function judge(gpus) {
  const read = gpus.map(({ name, driver, capability }) => ({
    name,
    driver,
    major: Number(/^(\d+)\.\d/.exec(driver ?? '')?.[1]),
    sm: smOf(capability),
  }));
  const untold = read.find(({ major }) => Number.isNaN(major));
  if (untold !== undefined)
    return {
      refusal: `nvidia-smi does not tell the driver's version for ${untold.name} (it says "${untold.driver ?? ''}"): mend the driver`,
    };
  const old = read.filter(({ sm }) => sm !== undefined && sm < OLDEST_CAPABILITY);
  const rest = read.filter((gpu) => !old.includes(gpu));
  const refused = rest.filter(({ major, sm }) => major < driverFor(sm));
  if (refused.length > 0) {
    const wanted = Math.max(...refused.map(({ sm }) => driverFor(sm)));
    return {
      refusal: `${list(refused.map(labelled))} ${refused.length === 1 ? 'needs' : 'need'} NVIDIA driver ${wanted} or newer, and ${refused[0].driver} is installed: install a newer driver`,
    };
  }
  const unknown = rest.filter(({ sm, major }) => sm === undefined && major < DRIVERS[0].driver);
  const notes = [
    ...(old.length === 0
      ? []
      : [
          `${list(old.map(labelled))} ${old.length === 1 ? 'is' : 'are'} older than sm_${OLDEST_CAPABILITY}, the least that TensorFlow computes on`,
        ]),
    ...(unknown.length === 0
      ? []
      : [
          `nvidia-smi does not tell the compute capability of ${list(unknown.map(({ name }) => name))}; ` +
            `driver ${unknown[0].driver} is enough up to ${enoughFor(unknown[0].major)}`,
        ]),
  ];
  return { usable: rest.length > 0, ...(notes.length === 0 ? {} : { note: notes.join('; ') }) };
}

/** The oldest driver that supports a capability; an unknown capability needs the least. */
const driverFor = (sm = OLDEST_CAPABILITY) => DRIVERS.find(({ from }) => sm >= from).driver;

function enoughFor(major) {
  const above = DRIVERS.filter(({ driver }) => driver > major).at(-1);
  return above.from === 90 ? 'sm_89' : `sm_${above.from - 10}`;
}

/** `9.0` becomes 90; anything else, such as `[N/A]`, is unknown. */
function smOf(capability) {
  const match = /^(\d+)\.(\d)$/.exec(capability ?? '');
  return match === null ? undefined : Number(match[1]) * 10 + Number(match[2]);
}

const labelled = ({ name, sm }) => (sm === undefined ? name : `${name} (sm_${sm})`);

/** Each text once, with its count when there are several. */
function list(labels) {
  const counts = new Map();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, count]) => (count === 1 ? label : `${count} x ${label}`)).join(' and ');
}

/** Driver and capability of the GPUs of these names, in nvidia-smi's order. */
async function readGpus(names, deadlineMs) {
  const query = (fields) => ask([`--query-gpu=${fields}`, '--format=csv,noheader'], deadlineMs);
  let answer = await query('driver_version,compute_cap');
  // Drivers before 510 lack the second field and refuse both.
  if (!answer.good && !answer.hung) answer = await query('driver_version');
  if (!answer.good) throw new SetupError(failureSentence(answer));
  const rows = answer.output
    .split('\n')
    .map((line) => line.split(',').map((value) => value.trim()))
    .filter(([driver]) => driver !== '' && driver !== 'driver_version' && !/^warning:/i.test(driver));
  if (rows.length !== names.length || rows.some((row) => row.length > 2))
    throw new SetupError(
      `nvidia-smi lists ${names.length} GPUs and answers for ${rows.length} of them ("${lastLine(answer.output) ?? ''}"): mend the driver, ${WAY_ON}`,
    );
  return names.map((name, i) => ({ name, driver: rows[i][0], capability: rows[i][1] }));
}

/** The loader itself is asked, in a process that may keep what it opens. */
async function requireDriverLibraries() {
  for (const name of ['libcuda.so.1', 'libnvidia-ml.so.1']) {
    const code = `try { process.dlopen({ exports: {} }, ${JSON.stringify(name)}) } catch (caught) { process.stdout.write(caught.message) }`;
    const said = await run(process.execPath, ['-e', code]);
    // A library that is opened and is no addon of Node is what is looked for.
    if (said === '' || /did not self-register/.test(said)) continue;
    throw new SetupError(
      `nvidia-smi lists GPUs, and TensorFlow finds none without ${name} (${lastLine(said)}): install the driver's libraries ` +
        `(${CONTAINER}), ${WAY_ON}`,
    );
  }
}

function failureSentence({ words }) {
  const [, remedy = 'mend the driver'] = REMEDIES.find(([pattern]) => pattern.test(words)) ?? [];
  return `${words}: ${remedy}, ${WAY_ON}`;
}

const lastLine = (text) => text.trim().split('\n').at(-1)?.trim() || undefined;

/**
 * Runs nvidia-smi; `words` is a sentence of what went wrong. One that hangs in the driver cannot even be
 * killed, and is left.
 */
function ask(argv, deadlineMs) {
  return new Promise((resolve) => {
    const child = spawn('nvidia-smi', argv, { stdio: ['ignore', 'pipe', 'pipe'] });
    const output = { stdout: '', stderr: '' };
    const finish = (result) => {
      clearTimeout(timer);
      resolve({ output: output.stdout, ...result });
    };
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      finish({ good: false, hung: true, words: `nvidia-smi does not answer within ${deadlineMs / 1000} s` });
    }, deadlineMs);
    for (const name of ['stdout', 'stderr'])
      child[name].on('data', (chunk) => {
        output[name] = (output[name] + chunk).slice(-20_000);
      });
    child.once('error', (cause) =>
      finish({ good: false, words: `nvidia-smi could not be started (${cause.message})` }),
    );
    child.once('close', (code, signal) => {
      if (code === 0 || code === CORRUPTED_INFOROM) return finish({ good: true });
      const said = lastLine(output.stdout) ?? lastLine(output.stderr);
      finish({
        good: false,
        words: `nvidia-smi fails with ${signal ?? code}${said === undefined ? '' : ` (${said})`}`,
      });
    });
  });
}
