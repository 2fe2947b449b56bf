// libtensorflow under @tensorflow/tfjs-node-gpu, without the vendor's download: the libraries come from
// TensorFlow's own wheel, the addon is compiled against them, both are kept in the cache and linked into the
// package. A binding that somebody else put there and that loads (the vendor's install script, a CUDA machine
// set up by hand) is left alone.

import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { addonDigests, shortDigest } from './addon.mjs';
import { checkCudaLibraries, linkCudaLibraries, lostLibraries } from './cuda.mjs';
import { run } from './programs.mjs';
import { SetupError } from './report.mjs';
import { unpackWheels } from './wheels.mjs';

const LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];

// All that the addon's two files include, directly or not; the other 3,500 headers of the wheel stay there.
const HEADERS = [
  'tensorflow/c/',
  'tensorflow/core/platform/ctstring.h',
  'tensorflow/core/platform/ctstring_internal.h',
  'tsl/platform/ctstring.h',
  'tsl/platform/ctstring_internal.h',
  'xla/tsl/c/tsl_status.h',
];

/** The facts of one variant: where its parts are kept, and into which package they go. */
export function tensorflowPlan({ root, cache, pins, variant }) {
  const platform = `${process.platform}-${process.arch}`;
  const folder = join(root, 'node_modules/@tensorflow/tfjs-node-gpu');
  const pin = pins.tensorflow[variant][platform];
  const { version, binary } = existsSync(folder)
    ? JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    : JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages[
        'node_modules/@tensorflow/tfjs-node-gpu'
      ];
  const napi = Math.max(...(binary?.napi_versions ?? [8]).filter((v) => v <= Number(process.versions.napi)));
  const cuda = variant === 'gpu' ? (pins.cuda[platform] ?? []) : [];
  // Other libraries of CUDA are another folder, so that a change of their pins is fetched.
  const libraries = cuda.length === 0 ? variant : `${variant}-cuda-${shortDigest(JSON.stringify(cuda))}`;
  const name = `${libraries}-${pin?.version}-${platform}`;
  const { additions, kernels } = addonDigests(root);
  const built = `tfjs-node-${version}-napi-v${napi}-${name}-additions-${additions}-kernels-${kernels}`;
  const addon = join(cache, built, 'tfjs_binding.node');
  return {
    folder,
    variant,
    pin,
    cache,
    root,
    cuda,
    binding: join(folder, `lib/napi-v${napi}/tfjs_binding.node`),
    origin: join(folder, 'deps/origin.json'),
    libraries: join(cache, `libtensorflow-${name}`),
    addon,
    /**
     * Beside the addon: the digest of its kernels' sources and of the compiler that made them, which rounds
     * in its own way.
     */
    facts: join(dirname(addon), 'kernels.json'),
    identity: built,
  };
}

export const needsLibraries = (plan) => !existsSync(plan.libraries);
export const needsBuild = (plan) => !existsSync(plan.addon);

/**
 * The TensorFlow version of the binding that is in the package now, when it loads with all that it opens,
 * else the reason why not.
 */
export async function loadBinding(plan) {
  if (!existsSync(plan.binding)) return { reason: `${plan.binding} is missing` };
  const deps = dirname(plan.origin);
  if (plan.variant === 'gpu' && bindingOrigin(plan) === 'same' && lostLibraries(deps).length > 0)
    return { reason: 'a CUDA library is not found' };
  const code = `process.stdout.write('version ' + require(${JSON.stringify(plan.binding)}).TF_Version)`;
  try {
    const said = await run(process.execPath, ['-e', code], {
      env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2' },
    });
    const version = /version (\S+)/.exec(said)?.[1];
    return version === undefined ? { reason: 'it does not tell its version' } : { version };
  } catch (caught) {
    if (!(caught instanceof SetupError)) throw caught;
    return { reason: caught.message };
  }
}

/** Whose binding is in the package: ours for this very plan, ours for another, or somebody else's. */
export function bindingOrigin(plan) {
  if (!existsSync(plan.origin)) return 'foreign';
  return JSON.parse(readFileSync(plan.origin, 'utf8')).identity === plan.identity ? 'same' : 'other';
}

export async function fetchLibraries(plan) {
  requirePin(plan);
  const members = {
    'tensorflow/THIRD_PARTY_NOTICES.txt': 'THIRD_PARTY_NOTICES.txt',
    'tensorflow/include/LICENSE': 'LICENSE',
    ...Object.fromEntries(LIBRARIES.map((name) => [`tensorflow/${name}`, `lib/${name}`])),
    ...Object.fromEntries(HEADERS.map((name) => [`tensorflow/include/${name}`, `include/${name}`])),
  };
  await unpackWheels({
    // The CUDA wheels unpack to nvidia/, which the libraries look for beside their own folder
    // ($ORIGIN/../nvidia).
    wheels: [
      { pin: plan.pin, members },
      ...plan.cuda.map((pin) => ({ pin, members: { 'nvidia/': 'nvidia/' } })),
    ],
    target: plan.libraries,
    cache: plan.cache,
    needBytes: plan.variant === 'gpu' ? 9e9 : 1.3e9,
    finish(content) {
      // The C API lives in libtensorflow_cc; the addon links by the names of the vendor's archive.
      symlinkSync('libtensorflow_cc.so.2', join(content, 'lib/libtensorflow.so'));
      symlinkSync('libtensorflow_framework.so.2', join(content, 'lib/libtensorflow_framework.so'));
    },
  });
}

/** Puts libraries and addon into the package: each appears complete under its final name, or not at all. */
export function placeBinding(plan) {
  const fresh = join(plan.folder, `deps.${process.pid}`);
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(join(fresh, 'lib'), { recursive: true });
  for (const name of LIBRARIES) share(join(plan.libraries, 'lib', name), join(fresh, 'lib', name));
  for (const name of ['LICENSE', 'THIRD_PARTY_NOTICES.txt'])
    copyFileSync(join(plan.libraries, name), join(fresh, name));
  if (plan.variant === 'gpu') {
    shareFolder(join(plan.libraries, 'nvidia'), join(fresh, 'nvidia'));
    linkCudaLibraries(fresh);
    checkCudaLibraries(fresh);
  }
  const { identity, variant } = plan;
  const { kernels } = JSON.parse(readFileSync(plan.facts, 'utf8'));
  writeFileSync(join(fresh, basename(plan.origin)), JSON.stringify({ identity, variant, kernels }));
  const deps = join(plan.folder, 'deps');
  rmSync(deps, { recursive: true, force: true });
  renameSync(fresh, deps);

  mkdirSync(dirname(plan.binding), { recursive: true });
  const copy = `${plan.binding}.${process.pid}`;
  copyFileSync(plan.addon, copy);
  renameSync(copy, plan.binding);
}

/** The files without which the binding cannot load, for the stamp. */
export function bindingFiles(plan) {
  const ours = LIBRARIES.map((name) => join(plan.folder, 'deps/lib', name));
  return [plan.binding, ...ours.filter((path) => existsSync(path))];
}

/**
 * A hard link costs no space and survives a cleared cache; where the cache is another file system, a symbolic
 * link does.
 */
function share(from, to) {
  try {
    linkSync(from, to);
  } catch (caught) {
    if (!['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP'].includes(caught.code)) throw caught;
    symlinkSync(from, to);
  }
}

function requirePin(plan) {
  if (plan.pin !== undefined) return;
  const script = join(plan.folder, 'scripts/install.js');
  throw new SetupError(
    `no libtensorflow is pinned for ${process.platform}-${process.arch}; where the vendor's host can be reached, run ` +
      `\`cd ${dirname(dirname(script))} && node scripts/install.js gpu download\`, then set-up again (README, "Set-up")`,
  );
}

/** Hard links to all files of a folder, in folders of the same names. */
export function shareFolder(from, to) {
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const source = join(entry.parentPath ?? entry.path, entry.name);
    const target = join(to, source.slice(from.length));
    mkdirSync(dirname(target), { recursive: true });
    share(source, target);
  }
}
