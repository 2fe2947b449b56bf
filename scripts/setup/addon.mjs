// The addon that binds Node to libtensorflow: compiled from the package's own source with a few additions of
// ours. One source serves both libraries; what differs between a process on a GPU and one on the CPU is
// decided when the addon runs.

import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { cacheHome, compilerVersion, nodeHeaders, npmCommand, run } from './programs.mjs';
import { SetupError } from './report.mjs';
import { temporary } from './wheels.mjs';

/** Folder of our own operations. Other sources of ours for the addon lie in a folder beneath it. */
const SOURCES = 'core/tensor/native';
/** Where they lie in the addon's source. */
const OWN = 'binding/fleet';

/**
 * The addon has no way to configure a session. On the CPU TensorFlow's graph optimiser takes most of the time
 * of a recorded step's first run and changes next to nothing in it (docs/performance.md), so a process
 * without a GPU switches it off: the bytes are a ConfigProto with
 * graph_options.rewrite_options.disable_meta_optimizer. On a GPU it chooses layouts, and stays.
 */
const SESSION = {
  file: 'binding/tfjs_backend.cc',
  before: 'TF_SessionOptions *session_options = TF_NewSessionOptions();',
  added: `
  if (!is_gpu_device) {
    const unsigned char session_config[] = {0x52, 0x05, 0x52, 0x03, 0x98, 0x01, 0x01};
    TF_AutoStatus config_status;
    TF_SetConfig(session_options, session_config, sizeof(session_config), config_status.status);
  } else {
    const std::string session_config = fleet::gpuMemoryConfig();
    TF_AutoStatus config_status;
    if (!session_config.empty())
      TF_SetConfig(session_options, session_config.data(), session_config.size(), config_status.status);
  }
`,
};

/**
 * By default the library takes nearly all of a GPU's memory in the first process. Workers that share a GPU
 * take equal parts instead.
 */
const MEMORY_SHARE = [
  {
    file: 'binding/tfjs_backend.cc',
    before: '#include "tfjs_backend.h"',
    added: '\n#include "fleet/device/memory-share.h"',
  },
  {
    file: 'binding/tfjs_backend.cc',
    before: 'TFE_ContextOptions *tfe_options = TFE_NewContextOptions();',
    added: `
  const std::string memory_config = fleet::gpuMemoryConfig();
  if (!memory_config.empty())
    TFE_ContextOptionsSetConfig(tfe_options, memory_config.data(), memory_config.size(), tf_status.status);
`,
  },
];

/** Where a tensor lies, which is where it was computed. */
const TENSOR_DEVICE = [
  {
    file: 'binding/tfjs_backend.h',
    before: 'napi_value GetNumOfTensors(napi_env env);',
    added: '\n  napi_value GetTensorDevice(napi_env env, napi_value tensor_id_value);',
  },
  {
    file: 'binding/tfjs_backend.cc',
    before: 'TFJSBackend *TFJSBackend::Create(napi_env env) { return new TFJSBackend(env); }',
    added: `

napi_value TFJSBackend::GetTensorDevice(napi_env env, napi_value tensor_id_value) {
  int32_t tensor_id;
  ENSURE_NAPI_OK_RETVAL(env, napi_get_value_int32(env, tensor_id_value, &tensor_id), nullptr);
  auto entry = tfe_handle_map_.find(tensor_id);
  if (entry == tfe_handle_map_.end()) {
    NAPI_THROW_ERROR(env, "Tensor %d is not there", tensor_id);
    return nullptr;
  }
  TF_AutoStatus tf_status;
  const char *name = TFE_TensorHandleBackingDeviceName(entry->second, tf_status.status);
  ENSURE_TF_OK_RETVAL(env, tf_status, nullptr);
  napi_value result;
  ENSURE_NAPI_OK_RETVAL(env, napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &result), nullptr);
  return result;
}
`,
  },
  {
    file: 'binding/tfjs_binding.cc',
    before: 'return backend->GetNumOfTensors(env);\n}',
    added: `

static napi_value GetTensorDevice(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value args[1];
  ENSURE_NAPI_OK_RETVAL(env, napi_get_cb_info(env, info, &argc, args, nullptr, nullptr), nullptr);
  TFJSBackend *const backend = GetTFJSBackend(env);
  if (!backend) return nullptr;
  return backend->GetTensorDevice(env, args[0]);
}`,
  },
  {
    file: 'binding/tfjs_binding.cc',
    before: 'napi_property_descriptor exports_properties[] = {',
    added: `
      {"tensorDevice", nullptr, GetTensorDevice, nullptr, nullptr, nullptr,
       napi_default, nullptr},`,
  },
];

/**
 * The addon frees what a session was fed only when the run succeeds: each failed second part
 * (core/tensor/graph/two-part.ts) would cost the process all that its first kept, until it ends. Here what
 * was fed goes with the call, however that ends.
 */
const FED = [
  {
    file: 'binding/tfjs_backend.cc',
    before: 'std::vector<TF_Tensor *> input_values;',
    added: `
  struct DeletesFed {
    std::vector<TF_Tensor *> &tensors;
    ~DeletesFed() {
      for (TF_Tensor *tensor : tensors)
        if (tensor != nullptr) TF_DeleteTensor(tensor);
    }
  } deletes_fed{input_values};
`,
  },
  {
    file: 'binding/tfjs_backend.cc',
    before: 'TF_DeleteTensor(input_values[i]);',
    added: `
    input_values[i] = nullptr;`,
  },
];

/** Runs a graph from arrays into arrays (core/tensor/native/session/run-graph.cc). */
const RUN_GRAPH = [
  {
    file: 'binding/tfjs_backend.h',
    before: 'napi_value GetNumOfTensors(napi_env env);',
    added: '\n  napi_value RunGraph(napi_env env, napi_value *args);',
  },
  {
    file: 'binding/tfjs_binding.cc',
    before: 'return backend->GetNumOfTensors(env);\n}',
    added: `

static napi_value RunGraph(napi_env env, napi_callback_info info) {
  size_t argc = 6;
  napi_value args[6];
  ENSURE_NAPI_OK_RETVAL(env, napi_get_cb_info(env, info, &argc, args, nullptr, nullptr), nullptr);
  TFJSBackend *const backend = GetTFJSBackend(env);
  if (!backend) return nullptr;
  return backend->RunGraph(env, args);
}`,
  },
  {
    file: 'binding/tfjs_binding.cc',
    before: 'napi_property_descriptor exports_properties[] = {',
    added: `
      {"runGraph", nullptr, RunGraph, nullptr, nullptr, nullptr,
       napi_default, nullptr},`,
  },
];

/** The function that asks CUDA for the devices, beside the addon's own. */
const DEVICE_FACTS = [
  {
    file: 'binding/tfjs_binding.cc',
    before: '#include "utils.h"',
    added: '\n#include "fleet/device/facts.h"',
  },
  {
    file: 'binding/tfjs_binding.cc',
    before: 'napi_property_descriptor exports_properties[] = {',
    added: `
      {"deviceFacts", nullptr, fleet::deviceFacts, nullptr, nullptr, nullptr,
       napi_default, nullptr},`,
  },
];

/** What is added to the addon's own source. */
const PATCHES = [SESSION, ...MEMORY_SHARE, ...FED, ...TENSOR_DEVICE, ...RUN_GRAPH, ...DEVICE_FACTS];

/** Where the addon's build lists its files. */
const FILE_LIST = { file: 'binding.gyp', before: "'binding/tfjs_binding.cc'" };

/** Name and content of every file of ours that the addon is built from, in the order of their names. */
export function addonSources(root) {
  const folder = join(root, SOURCES);
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
    .map((path) => ({ name: path.slice(folder.length + 1), text: readFileSync(path, 'utf8') }));
}

/** The files of our own operations, on which their bits depend. */
const kernelsAmong = (sources) => sources.filter(({ name }) => !name.includes('/'));

/** Short digests of what is added to the addon besides our own operations, and of these. */
export function addonDigests(root) {
  const sources = addonSources(root);
  const kernels = kernelsAmong(sources);
  const others = sources.filter((source) => !kernels.includes(source));
  return { additions: digestOf(others, JSON.stringify(PATCHES)), kernels: digestOf(kernels) };
}

const digestOf = (sources, ...more) =>
  shortDigest(...sources.map(({ name, text }) => `${name}\0${text}\0`), ...more);

/** Digest of several texts one after the other, long enough to distinguish what set-up keeps. */
export function shortDigest(...texts) {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(text);
  return hash.digest('hex').slice(0, 8);
}

/**
 * Compiles in a folder of its own, so that an interrupted build leaves nothing in node_modules. The build's
 * tools split paths at spaces and at much else, so all paths that they are given lie in that folder; links
 * lead from there to where things are.
 */
export async function buildAddon(plan) {
  const work = plainFolder(plan.cache);
  const linked = (name, target) => {
    symlinkSync(target, join(work, name));
    return join(work, name);
  };
  try {
    for (const name of ['binding', 'binding.gyp', 'package.json'])
      cpSync(join(plan.folder, name), join(work, name), { recursive: true });
    const sources = addonSources(plan.root);
    for (const patch of PATCHES) insertAfter(work, patch, patch.added);
    addSources(work, sources);
    mkdirSync(join(work, 'deps'));
    for (const name of ['lib', 'include']) linked(`deps/${name}`, join(plan.libraries, name));
    const programs = linked('programs', join(plan.root, 'node_modules/.bin'));
    const headers = nodeHeaders();
    const [command, ...first] = npmCommand();
    await run(command, [...first, 'run', 'build-addon-from-source'], {
      cwd: work,
      env: {
        ...process.env,
        PATH: [programs, process.env.PATH].join(delimiter),
        npm_config_jobs: '2',
        npm_config_devdir: linked('headers', downloadedHeaders()),
        // Node's own headers when they are installed with it: then the build needs no network.
        ...(headers === undefined ? {} : { npm_config_nodedir: linked('node', headers) }),
      },
    });
    const kernels = digestOf(kernelsAmong(sources), await compilerVersion());
    mkdirSync(dirname(plan.addon), { recursive: true });
    writeFileSync(plan.facts, JSON.stringify({ kernels }));
    // The folder of the build may be on another file system than the cache.
    copyFileSync(join(work, plan.binding.slice(plan.folder.length)), `${plan.addon}.${process.pid}`);
    renameSync(`${plan.addon}.${process.pid}`, plan.addon);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Where node-gyp keeps its downloads by default. */
export function downloadedHeaders() {
  const folder = process.env.npm_config_devdir || join(cacheHome(), 'node-gyp');
  mkdirSync(folder, { recursive: true });
  return resolve(folder);
}

/**
 * A new folder whose path the build's tools leave whole: in the cache, or where temporary files go when the
 * cache's path is not such a one.
 */
function plainFolder(cache) {
  mkdirSync(cache, { recursive: true });
  for (const folder of [cache, tmpdir(), '/tmp', '/var/tmp', '/dev/shm']) {
    if (!isWritable(folder) || !/^[A-Za-z0-9/._-]+$/.test(realpathSync(folder))) continue;
    return folder === cache ? temporary(cache) : mkdtempSync(join(folder, 'pocketfleet-setup-'));
  }
  throw new SetupError(
    `${cache} has a space or another character in its path at which the build of the addon breaks, and no other folder can be ` +
      'written: point XDG_CACHE_HOME or TMPDIR to a folder whose path has only letters, digits, "-", "_" and "."',
  );
}

function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * They are files of the addon like its own; the operations among them register themselves when it is loaded.
 */
function addSources(work, sources) {
  for (const { name, text } of sources) {
    const path = join(work, OWN, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  const compiled = sources.filter(({ name }) => name.endsWith('.cc'));
  insertAfter(work, FILE_LIST, compiled.map(({ name }) => `,\n      '${OWN}/${name}'`).join(''));
}

function insertAfter(work, { file, before }, added) {
  const source = readFileSync(join(work, file), 'utf8');
  if (source.split(before).length !== 2)
    throw new SetupError(
      `${file} of @tensorflow/tfjs-node-gpu is no longer as this set-up knows it; use the version of the lock file`,
    );
  writeFileSync(join(work, file), source.replace(before, before + added));
}
