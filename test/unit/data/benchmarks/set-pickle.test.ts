import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { readPickle } from '../../../../core/data/benchmarks/set-pickle.ts';
import { parseVerificationBin } from '../../../../core/data/benchmarks/verification-bin.ts';

const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
  );

// Protocol 2: two byte strings and a truth value, as CPython 2.7 writes ([str, str], [True]).
const good = bytes([0x80, 2], ']q\0(U', [3], 'abcU', [2], 'hie]q', [1], [0x88], 'a', [0x86], '.');

test('a small verification set is read', () => {
  const bin = parseVerificationBin(good, 'good.bin');
  assert.deepEqual(
    bin.images.map((image) => Buffer.from(image).toString()),
    ['abc', 'hi'],
  );
  assert.deepEqual(bin.same, [true]);
});

test('a pickle that names a function is refused with its name and nothing is run', () => {
  const evil = bytes([0x80, 2], 'cos\nsystem\nU', [7], 'echo hi', [0x85], 'R.');
  assert.throws(
    () => readPickle(evil, 'evil.bin'),
    /evil.bin: pickle: GLOBAL names os.system, which is not data; refused/,
  );
  const modern = bytes([0x80, 4, 0x8c, 8], 'builtins', [0x8c, 4], 'eval', [0x93, 0x2e]);
  assert.throws(() => readPickle(modern, 'evil.bin'), /builtins.eval/);
});

test('an opcode that makes objects is refused by name', () => {
  for (const [opcode, name] of [
    [0x69, 'INST'],
    [0x6f, 'OBJ'],
    [0x81, 'NEWOBJ'],
    [0x82, 'EXT1'],
    [0x51, 'BINPERSID'],
    [0x7d, 'EMPTY_DICT'],
  ] as const)
    assert.throws(
      () => readPickle(bytes([0x80, 2, opcode], '.'), 'x.bin'),
      new RegExp(`x.bin: pickle: opcode ${name} \\(0x${opcode.toString(16)}\\) at byte 2`),
    );
  assert.throws(() => readPickle(bytes([0xff]), 'x.bin'), /opcode unknown \(0xff\) at byte 0/);
});

test('a numpy constructor is not called with anything but bytes', () => {
  const objects = bytes([0x80, 2], 'cnumpy\ndtype\nU', [2], 'O8', [0x85], 'R.');
  assert.throws(() => readPickle(objects, 'x.bin'), /a dtype where a value is expected/);
  const instance = bytes([0x80, 2], 'cnumpy\nndarray\n', [0x29], 'R.');
  assert.throws(() => readPickle(instance, 'x.bin'), /REDUCE calls numpy ndarray; refused/);
});

test('a pickle cut at any byte is an error and never a crash', () => {
  for (let length = 0; length < good.length; length++)
    assert.throws(() => parseVerificationBin(good.subarray(0, length), 'cut.bin'), { name: 'FleetError' });
});

test('a pickle with any byte changed is read or refused, never anything else', () => {
  for (let at = 0; at < good.length; at++)
    for (const flip of [0x01, 0x20, 0x80, 0xff]) {
      const changed = Buffer.from(good);
      changed[at]! ^= flip;
      try {
        parseVerificationBin(changed, 'changed.bin');
      } catch (caught) {
        assert.equal((caught as Error).name, 'FleetError');
      }
    }
});

test('nested lists that name each other twice at each level do not unfold', () => {
  // l0 = []; l(k+1) = [l(k), l(k)], 60 levels: 2^60 leaves if copied.
  const levels = Array.from({ length: 60 }, (_, k) => bytes(']q', [k + 1], '(h', [k], 'h', [k], 'e'));
  const started = performance.now();
  const value = readPickle(Buffer.concat([bytes([0x80, 2], ']q\0'), ...levels, bytes('.')]), 'deep.bin');
  assert.ok(Array.isArray(value));
  assert.ok(performance.now() - started < 1000);
});

test('a list that contains itself is refused', () => {
  assert.throws(() => readPickle(bytes([0x80, 2], ']q\0h\0a.'), 'self.bin'), /a list that contains itself/);
});

test('a set with a wrong number of truth values is refused with both numbers', () => {
  const odd = bytes([0x80, 2], ']q\0(U', [1], 'aU', [1], 'be]q', [1], '(', [0x88, 0x88], 'e', [0x86], '.');
  assert.throws(() => parseVerificationBin(odd, 'odd.bin'), /2 images and 2 truth values/);
});

test('a verification set is read in every way that a Python writes it', () => {
  const fixture = new URL('../../../fixtures/pickles/cases.jsonl.gz', import.meta.url);
  const cases = gunzipSync(readFileSync(fixture)).toString('utf8').trim().split('\n');
  assert.ok(cases.length > 250);
  const tricky = Buffer.concat([
    Buffer.from([0, 9, 10, 13, 26, 34, 39, 92, 127, 128, 255]),
    Buffer.from('\\u0041\\x41'),
  ]);
  const images = [
    tricky,
    Buffer.from("it's"),
    Buffer.from('"q"'),
    Buffer.concat([Buffer.from([0xff, 0xd8, 0xff]), Buffer.alloc(300, 'z')]),
  ];
  for (const line of cases) {
    const { name, pickle } = JSON.parse(line) as { name: string; pickle: string };
    const set = parseVerificationBin(Buffer.from(pickle, 'base64'), name);
    assert.deepEqual(set.same, [true, false], name);
    assert.deepEqual(
      set.images.map((image) => Buffer.from(image).toString('hex')),
      images.map((image) => image.toString('hex')),
      name,
    );
  }
});

test('text of protocol 0 that is none is refused, and nothing else', () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['Sabc\n.', /STRING without quotes/],
    ['Ix\n.', /"x" where a number is expected/],
    ['Lx\n.', /"x" where a number is expected/],
    ['F\n.', /"" where a number is expected/],
    ['V\\U00200000\n.', /UNICODE with character 2097152/],
    ['c_codecs\nencode\n(V\\u0100\nVlatin1\ntR.', /encode of something that is no text in Latin-1/],
    ['c_codecs\ndecode\n.', /GLOBAL names _codecs.decode, which is not data/],
    ['gx\n.', /"x" where a number is expected/],
  ];
  for (const [text, reason] of refused)
    assert.throws(
      () => readPickle(Buffer.from(text, 'utf8'), 'x.bin'),
      (error: Error) => {
        assert.equal(error.name, 'FleetError');
        assert.match(error.message, reason);
        return true;
      },
    );
});
