import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { zipSync } from 'fflate';
import { writeSafetensors } from '../../../core/model/safetensors.ts';
import { openStateFile } from '../../../core/model/state-file.ts';

const FIXTURES = new URL('../../fixtures/pytorch/', import.meta.url).pathname;
const folder = await mkdtemp(join(tmpdir(), 'pocketfleet-state-'));
after(() => rm(folder, { recursive: true }));

// make.py: arange(24) as [2, 3, 4], and views of it; element (i, j, k) is 12 i + 4 j + k.
const EXPECTED: Record<string, { type: string; shape: number[]; values: number[] }> = {
  contiguous: { type: 'F32', shape: [2, 3, 4], values: Array.from({ length: 24 }, (_, i) => i) },
  // permute(2, 0, 1): element (k, i, j).
  transposed: {
    type: 'F32',
    shape: [4, 2, 3],
    values: [0, 4, 8, 12, 16, 20, 1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22, 3, 7, 11, 15, 19, 23],
  },
  // [:, 1:, ::2]
  sliced: { type: 'F32', shape: [2, 2, 2], values: [4, 6, 8, 10, 16, 18, 20, 22] },
  // Stride 0.
  expanded: { type: 'F32', shape: [2, 3], values: [1.5, 1.5, 1.5, -2.5, -2.5, -2.5] },
  scalar: { type: 'I64', shape: [], values: [7] },
  empty: { type: 'F32', shape: [0, 3], values: [] },
  double: { type: 'F64', shape: [3], values: [Math.fround(0.1), Number.NEGATIVE_INFINITY, 3] },
  // 2^-14, the smallest normal half; 2^-24, the smallest of all.
  half: { type: 'F16', shape: [6], values: [1, -0.5, 2 ** -14, 2 ** -24, 65504, Number.POSITIVE_INFINITY] },
  bfloat: { type: 'BF16', shape: [2], values: [1, -3.140625] },
  long: { type: 'I64', shape: [3], values: [1, -2, 2 ** 40] },
};

for (const file of ['odd-protocol1', 'odd-protocol2', 'odd-protocol4', 'odd-nested', 'odd-legacy'])
  test(`every storage type and view of ${file}.pth is read as PyTorch wrote it`, async () => {
    const state = await openStateFile(`${FIXTURES}${file}.pth`);
    try {
      assert.equal(state.format, 'PyTorch');
      assert.deepEqual([...state.tensors.keys()], Object.keys(EXPECTED));
      for (const [name, { type, shape, values }] of Object.entries(EXPECTED)) {
        const tensor = state.tensors.get(name)!;
        assert.equal(tensor.type, type, name);
        assert.deepEqual(tensor.shape, shape, name);
        assert.deepEqual([...(await tensor.read())], values, name);
      }
    } finally {
      await state.close();
    }
  });

test('a whole module or any other object is refused by the name of its class', async () => {
  await assert.rejects(
    openStateFile(`${FIXTURES}module.pth`),
    /module.pth: pickle: GLOBAL names torch.nn.modules.activation.PReLU, which is not data; refused/,
  );
});

/** make.py: arange(8) / 8 as [2, 4], arange(3) / 8. */
const SMALL = {
  'stem.0.weight': [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875],
  'tail.bias': [0, 0.125, 0.25],
};

for (const file of ['dict-protocol0', 'dict-protocol0-legacy', 'parameters', 'arcface-resume'])
  test(`the tensors of ${file}.pth are read under their network's own names`, async () => {
    const state = await openStateFile(`${FIXTURES}${file}.pth`);
    const read: Record<string, number[]> = {};
    for (const [name, tensor] of state.tensors) read[name] = [...(await tensor.read())];
    await state.close();
    // With two names a common beginning is no wrapper for certain; DataParallel's and the compiler's words are.
    assert.deepEqual(read, SMALL);
  });

test('a parameter with attributes of its own is its tensor', async () => {
  const original = await readFile(`${FIXTURES}parameter.pth`);
  const { unzipSync } = await import('fflate');
  const files = unzipSync(original);
  const name = Object.keys(files).find((member) => member.endsWith('data.pkl'))!;
  const pickle = Buffer.from(files[name]!).toString('latin1');
  // The newer constructor takes one more argument, a dictionary of attributes: MARK before the others, then EMPTY_DICT and TUPLE
  // in place of TUPLE3.
  const last = pickle.lastIndexOf('\u0087');
  const changed = `${pickle.slice(0, last)}}t${pickle.slice(last + 1)}`.replace(
    /_rebuild_parameter\n(q.)/s,
    '_rebuild_parameter_with_state\n$1(',
  );
  const path = join(folder, 'with-state.pth');
  await writeFile(path, zipSync({ ...files, [name]: Buffer.from(changed, 'latin1') }, { level: 0 }));
  for (const file of [`${FIXTURES}parameter.pth`, path]) {
    const state = await openStateFile(file);
    assert.deepEqual([...(await state.tensors.get('weight')!.read())], [1, 1]);
    await state.close();
  }
});

test('a file that somebody zipped anew with compression is read', async () => {
  const members = [
    'data.pkl',
    'data/0',
    'data/1',
    'data/2',
    'data/3',
    'data/4',
    'data/5',
    'data/6',
    'data/7',
  ];
  const original = await readFile(`${FIXTURES}odd-protocol2.pth`);
  const path = join(folder, 'deflated.pth');
  await writeFile(path, zipSync(await unpacked(original, members), { level: 9 }));
  const state = await openStateFile(path);
  assert.deepEqual([...(await state.tensors.get('sliced')!.read())], EXPECTED.sliced!.values);
  await state.close();
});

test('a file cut off anywhere is refused with its name and never read as something else', async () => {
  for (const file of ['odd-protocol2.pth', 'odd-legacy.pth']) {
    const bytes = await readFile(FIXTURES + file);
    const path = join(folder, file);
    await writeFile(path, bytes);
    for (let length = bytes.length - 1; length > 0; length -= 37) {
      await truncate(path, length);
      await assert.rejects(
        async () => {
          const state = await openStateFile(path);
          try {
            for (const tensor of state.tensors.values()) await tensor.read();
          } finally {
            await state.close();
          }
        },
        { name: 'FleetError' },
        `${file} cut to ${length} bytes`,
      );
    }
  }
});

test('a file with any byte of its pickle changed is read or refused, never anything else', async () => {
  for (const file of ['odd-protocol2.pth', 'odd-legacy.pth']) {
    const bytes = await readFile(FIXTURES + file);
    const path = join(folder, file);
    for (let at = 0; at < 1000; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= [0x01, 0x10, 0x80, 0xff][at % 4]!;
      await writeFile(path, changed);
      try {
        const state = await openStateFile(path);
        try {
          for (const tensor of state.tensors.values()) await tensor.read();
        } finally {
          await state.close();
        }
      } catch (caught) {
        assert.equal((caught as Error).name, 'FleetError', `byte ${at} of ${file}: ${caught}`);
      }
    }
  }
});

test('dictionaries that contain each other are refused', async () => {
  // {'state_dict': itself}: EMPTY_DICT, memo 0, key, BINGET 0, SETITEM.
  const pickle = Buffer.from(
    `80027d7100580a000000${Buffer.from('state_dict').toString('hex')}6800732e`,
    'hex',
  );
  const path = join(folder, 'self.pth');
  await writeFile(path, zipSync({ 'self/data.pkl': pickle }, { level: 0 }));
  await assert.rejects(openStateFile(path), /holds no tensors; its keys are state_dict/);
});

test('a pickle of more opcodes than any model needs is refused before its values fill the memory', async () => {
  const path = join(folder, 'long.pth');
  // PROTO 2, then NONE without end: one byte for each value.
  const pickle = Buffer.concat([Buffer.of(0x80, 2), Buffer.alloc(2 ** 22, 0x4e)]);
  await writeFile(path, zipSync({ 'long/data.pkl': pickle }, { level: 6 }));
  await assert.rejects(openStateFile(path), /long\.pth: pickle: more than 2097152 opcodes/);
});

test('a pickle that makes a tensor reach beyond its storage is refused', async () => {
  const bytes = await readFile(`${FIXTURES}odd-protocol2.pth`);
  // The sizes (2, 3, 4) of `contiguous`: BININT1 2, 3, 4, TUPLE3.
  const at = bytes.indexOf(Buffer.from([0x4b, 2, 0x4b, 3, 0x4b, 4, 0x87]));
  assert.ok(at > 0);
  bytes[at + 5] = 200;
  const path = join(folder, 'reach.pth');
  await writeFile(path, bytes);
  await assert.rejects(
    openStateFile(path),
    /a tensor \[2,3,200\] reaches element \d+ of storage 0, which has 24/,
  );
});

test('half precision in a safetensors file is widened', async () => {
  const path = join(folder, 'half.safetensors');
  const file = writeSafetensors(
    new Map([['a', { dtype: 'U8', shape: [4], data: Uint8Array.of(0, 0x3c, 0, 0xc0) }]]),
  );
  // 0x3c00 is 1, 0xc000 is -2: the same four bytes as two halves, and the header's length stays.
  const text = Buffer.from(file).toString('latin1').replace('"U8","shape":[4]', '"F16","shape":[2]');
  const bytes = Buffer.from(text, 'latin1');
  bytes.writeBigUInt64LE(BigInt(bytes.length - 8 - 4), 0);
  await writeFile(path, bytes);
  const state = await openStateFile(path);
  assert.deepEqual([...(await state.tensors.get('a')!.read())], [1, -2]);
  await state.close();
});

test('what is no model file at all is said to be none', async () => {
  const path = join(folder, 'text.pth');
  await writeFile(path, 'hello, this is a text file of some length');
  await assert.rejects(openStateFile(path), /neither a safetensors file nor a PyTorch file/);
  await assert.rejects(openStateFile(join(folder, 'missing.pth')), { code: 'notFound' });
});

/** Members of PyTorch's zip, by the names that its folder has in the file. */
async function unpacked(zip: Buffer, members: readonly string[]): Promise<Record<string, Uint8Array>> {
  const { unzipSync } = await import('fflate');
  const files = unzipSync(zip);
  return Object.fromEntries(members.map((name) => [`odd/${name}`, files[`odd-protocol2/${name}`]!]));
}
