import assert from 'node:assert/strict';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CODES, type Code, FleetError, toFleetError } from '../../../../core/errors.ts';
import { explainedMemory } from '../../../../worker/compute/memory-refusal.ts';
import { factsOf, failureOf, ofThisPlace } from '../../../../worker/run/failure.ts';

const cause = (code: Code) => failureOf(new FleetError(code, 'x')).cause;

test('numbers that are not finite are numeric, exhausted memory is that, data and spec are the user’s', () => {
  assert.equal(cause('outOfRange'), 'numeric');
  assert.equal(cause('resourceExhausted'), 'out_of_memory');
  assert.equal(cause('invalidArgument'), 'user');
  assert.equal(cause('unimplemented'), 'user');
});

test('what another try elsewhere may cure is infrastructure', () => {
  const codes = Object.keys(CODES) as Code[];
  const others = codes.filter((code) => cause(code) === 'infrastructure');
  for (const code of [
    'unavailable',
    'internal',
    'dataLoss',
    'deadlineExceeded',
    'aborted',
    'notFound',
  ] as const)
    assert.ok(others.includes(code), code);
});

/** What Node throws for this. */
function thrown(doing: () => unknown): unknown {
  try {
    doing();
  } catch (caught) {
    return caught;
  }
  throw new Error('nothing was thrown');
}

test('a file, disk or mount that fails on a worker is infrastructure of its place, whatever the code', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'failure-'));
  t.after(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, 'file'), '');
  const real = [
    thrown(() => readFileSync(join(dir, 'none'))),
    thrown(() => readFileSync(join(dir, 'file', 'below'))),
    thrown(() => readFileSync(dir)),
    // A disk without room, as the kernel gives it.
    thrown(() => writeSync(openSync('/dev/full', 'w'), 'x')),
  ];
  assert.deepEqual(
    real.map((error) => (error as NodeJS.ErrnoException).code),
    ['ENOENT', 'ENOTDIR', 'EISDIR', 'ENOSPC'],
  );
  const others = [
    'EACCES',
    'EPERM',
    'EROFS',
    'EIO',
    'ESTALE',
    'EMFILE',
    'ENFILE',
    'EDQUOT',
    'ELOOP',
    'EBUSY',
  ];
  const made = others.map((code) => Object.assign(new Error(`${code}: x`), { code, errno: -1 }));
  for (const error of [...real, ...made]) {
    const text = (error as Error).message;
    const place = { cause: 'infrastructure', ofPlace: true };
    const found = toFleetError(error, 'reading the image');
    assert.deepEqual(failureOf(found), place, text);
    // From a thread the code and the details arrive, and no cause; some errors have the system's as their
    // cause alone.
    const { code, message, details } = found;
    assert.deepEqual(failureOf(new FleetError(code, message, { details: { ...details } })), place, text);
    assert.deepEqual(
      failureOf(new FleetError('invalidArgument', 'data.path', { cause: error })),
      place,
      text,
    );
  }
});

test('memory that the system refuses is memory, and data that was right at submit is wrong in its place', () => {
  const memory = Object.assign(new Error('ENOMEM: x'), { code: 'ENOMEM', errno: -12 });
  assert.deepEqual(failureOf(toFleetError(memory)), { cause: 'out_of_memory', ofPlace: false });
  const empty = new FleetError('invalidArgument', 'data.path: no folder of a person in /mnt/faces');
  assert.deepEqual(failureOf(ofThisPlace(empty, 'opening')), { cause: 'infrastructure', ofPlace: true });
});

test('what the library says of memory is memory, with the bytes that were asked for', () => {
  const said = (text: string) => explainedMemory(toFleetError(new Error(text), 'running a compiled graph'));
  const known = said(
    'Session fail to run with error: OOM when allocating tensor with shape[16,56,56,64] and type float on /job:localhost/replica:0/task:0/device:CPU:0 by allocator cpu',
  );
  assert.deepEqual(failureOf(known), { cause: 'out_of_memory', ofPlace: false });
  assert.deepEqual(factsOf(known), {
    tensor: undefined,
    value: undefined,
    bytesWanted: 16 * 56 * 56 * 64 * 4,
  });
  assert.match(known.message, /^there is no memory for 12\.3 MiB at once: running a compiled graph: /);
  for (const text of ['Invalid TF_Status: 8\nMessage: x', 'CUDA_ERROR_OUT_OF_MEMORY: out of memory'])
    assert.equal(failureOf(said(text)).cause, 'out_of_memory', text);
  assert.equal(failureOf(said('Invalid TF_Status: 3\nMessage: x')).cause, 'infrastructure');
});
