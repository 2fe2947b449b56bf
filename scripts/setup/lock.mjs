// One set-up or build at a time for each folder. The lock is a file that names its owner; an owner whose
// process is gone (killed, machine restarted) loses it. Leaves what is protected to the caller, and the steps
// are safe to repeat anyway.

import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { makeCacheFolder } from './folder.mjs';

/**
 * Waits for the lock, reports its owner once, and returns the function that releases it. `work` is what it
 * protects.
 */
export async function acquireLock(path, say, work = 'set-up') {
  makeCacheFolder(dirname(path));
  const me = identity();
  let said = false;
  while (!take(path, me)) {
    const owner = read(path);
    if (owner === undefined) continue;
    if (isGone(owner)) {
      dropStale(path, owner);
      await new Promise((resolve) => setImmediate(resolve));
      continue;
    }
    if (!said) say(`waiting for another ${work} (process ${owner.value.pid} on ${owner.value.host})`);
    said = true;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const release = () => {
    process.off('exit', release);
    if (read(path)?.text === me) rmSync(path, { force: true });
  };
  process.once('exit', release);
  return release;
}

/** Of this process, for one lock: the same process never has the same twice. */
const identity = () =>
  JSON.stringify({
    pid: process.pid,
    started: startOf(process.pid),
    host: hostname(),
    id: randomUUID(),
  });

/** A link to a complete file appears at once or not at all, so nobody ever reads half an owner. */
function take(path, me) {
  const mine = `${path}.${process.pid}`;
  writeFileSync(mine, me);
  try {
    linkSync(mine, path);
    return true;
  } catch (caught) {
    if (caught.code === 'EEXIST') return false;
    throw caught;
  } finally {
    rmSync(mine, { force: true });
  }
}

function read(path) {
  try {
    const text = readFileSync(path, 'utf8');
    return { text, value: JSON.parse(text) };
  } catch (caught) {
    if (caught.code === 'ENOENT') return undefined;
    throw caught;
  }
}

function isGone({ value }) {
  // Of a process on another machine (a shared home folder) nothing can be known from here.
  if (value.host !== hostname()) return false;
  const started = startOf(value.pid);
  if (started !== undefined) return value.started !== started;
  try {
    process.kill(value.pid, 0);
    return false;
  } catch (caught) {
    return caught.code === 'ESRCH';
  }
}

/**
 * Removes the lock of a dead owner. Several may see it at once, and the first of them may have a fresh lock
 * there by the time the last one acts; so whoever removes it holds a lock on just that removal, named by the
 * dead owner's id, and looks again. A remover that dies is itself a dead owner.
 */
function dropStale(path, owner) {
  const removal = `${path}.stale-${owner.value.id}`;
  if (!take(removal, identity())) {
    const remover = read(removal);
    if (remover !== undefined && isGone(remover)) dropStale(removal, remover);
    return;
  }
  try {
    if (read(path)?.text === owner.text) rmSync(path, { force: true });
  } finally {
    rmSync(removal, { force: true });
  }
}

/**
 * Start time of a process in clock ticks, which distinguishes it from a later one with the same id; undefined
 * off Linux, or when it is gone.
 */
function startOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
