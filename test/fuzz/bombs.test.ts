// Small inputs that would take all time or memory of a machine, each built by hand: what was used against a
// fleet, and what the fuzzing has found. Every one of them is refused with a sentence, within a second or two
// and the memory that its size allows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zipSync } from 'fflate';
import { encodeHeader, encodeJson } from '../../core/allreduce/message.ts';
import { judged } from './case.ts';
import { pickled } from './pickles.ts';
import type { Sections, Target } from './target.ts';
import { headerOf } from './targets/exchange.ts';
import { targets } from './targets.ts';

const latin = (text: string): Buffer => Buffer.from(text, 'latin1');
const targetOf = (name: string): Target => targets.find((target) => target.name === name)!;
/** Processor time, milliseconds: none of them takes a second; without a bound they take minutes. */
const CPU_MS_MAX = 8_000;

function bomb(title: string, name: string, input: () => Sections, refusal: RegExp): void {
  test(`refused by ${name}: ${title}`, async () => {
    const target = targetOf(name);
    let message = '';
    const noted: Target = {
      ...target,
      // With its parameters named: the folder is made for a decoder that takes one.
      async decode(sections, scratch) {
        try {
          await target.decode(sections, scratch);
        } catch (caught) {
          message = (caught as Error).message;
          throw caught;
        }
      },
    };
    const sections = input();
    const before = process.cpuUsage();
    const { fault, isValid } = await judged(noted, sections, false);
    const { user, system: ofKernel } = process.cpuUsage(before);
    assert.equal(fault, undefined);
    assert.equal(isValid, false, 'it is taken');
    assert.match(message, refusal);
    assert.ok(user + ofKernel < 1_000 * CPU_MS_MAX, `${user + ofKernel} µs`);
  });
}

const torchZip = (pickle: Uint8Array, data = new Uint8Array(32)): Sections => [
  zipSync({ 'a/data.pkl': pickle, 'a/data/0': data }, { level: 0 }),
];
const protocol2 = latin('\x80\x02');
const stop = latin('.');
const system = Buffer.concat([protocol2, latin('cposix\nsystem\n'), pickled.text('true'), latin('\x85R.')]);

bomb('a pickle that runs a command', 'pth', () => torchZip(system), /GLOBAL names posix.system.*refused/);
bomb(
  'a pickle that runs a command',
  'verification-bin',
  () => [system],
  /GLOBAL names posix.system.*refused/,
);

const deep = (levels: number): Buffer => latin(`\x80\x02${']'.repeat(levels)}${'a'.repeat(levels - 1)}.`);
bomb('lists within lists', 'verification-bin', () => [deep(300_000)], /nested more than/);

/** Sixty lists, each of which names the one before it twice: 2^60 values in 600 bytes. */
function doubled(): Buffer {
  const levels = Array.from({ length: 60 }, (_, i) =>
    latin(`](h${String.fromCharCode(i)}h${String.fromCharCode(i)}eq${String.fromCharCode(i + 1)}`),
  );
  return Buffer.concat([protocol2, latin('](K\x01eq\0'), ...levels]);
}
bomb(
  'lists that double',
  'verification-bin',
  () => [Buffer.concat([doubled(), latin(']\x86.')])],
  /truth values/,
);
bomb(
  'lists that double, as a name',
  'verification-bin',
  () => [Buffer.concat([doubled(), pickled.global('numpy', 'dtype'), pickled.get(60), latin('\x85R.')])],
  /where a name is expected/,
);

const encode = Buffer.concat([
  protocol2,
  Buffer.concat([pickled.global('_codecs', 'encode'), pickled.put(0)]),
  Buffer.concat([pickled.text('x'.repeat(1 << 20)), pickled.put(1), latin('](')]),
  ...Array.from({ length: 50_000 }, () => latin('h\0h\x01\x85R')),
  latin('e.'),
]);
bomb(
  'a text of a megabyte, encoded 50,000 times',
  'verification-bin',
  () => [encode],
  /calls make more than/,
);

const empty = pickled.call(
  pickled.global('numpy.core.numeric', '_frombuffer'),
  pickled.bytes(new Uint8Array(0)),
  pickled.call(pickled.global('numpy', 'dtype'), pickled.text('f8')),
  pickled.tuple(pickled.integer(2 ** 30), pickled.integer(0)),
  pickled.text('C'),
);
bomb(
  'an array of 2^30 lists of nothing',
  'verification-bin',
  () => [Buffer.concat([empty, stop])],
  /not a pair/,
);

const storage = Buffer.concat([
  pickled.tuple(
    ...[
      pickled.text('storage'),
      pickled.global('torch', 'FloatStorage'),
      pickled.text('0'),
      pickled.text('cpu'),
    ],
    pickled.integer(8),
  ),
  latin('Q'),
]);
const views = Buffer.concat([
  protocol2,
  latin('}('),
  ...Array.from({ length: 2_000 }, (_, i) =>
    Buffer.concat([
      pickled.text(`layer.${i}`),
      pickled.call(
        pickled.global('torch._utils', '_rebuild_tensor_v2'),
        storage,
        pickled.integer(0),
        pickled.tuple(pickled.integer(2 ** 20)),
        pickled.tuple(pickled.integer(0)),
        latin('\x89'),
        latin('}'),
      ),
    ]),
  ),
  latin('u.'),
]);
bomb(
  '2,000 tensors of a million elements over eight',
  'pth',
  () => torchZip(views),
  /elements, of which 8 are stored/,
);

function safetensorsOf(header: unknown, data = new Uint8Array(0)): Sections {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return [Buffer.concat([length, text, data])];
}
const F32 = (shape: readonly number[], data_offsets: readonly number[]) => ({
  dtype: 'F32',
  shape,
  data_offsets,
});
for (const name of ['safetensors', 'model-safetensors']) {
  const huge = Buffer.concat([latin('\xfe\xff\xff\xff\0\0\0\0{'), latin(' '.repeat(100))]);
  bomb('a header of 4 GB', name, () => [huge], /header claims 4294967294 bytes/);
  bomb(
    'sizes whose product is no number',
    name,
    () => safetensorsOf({ w: F32([2 ** 53 - 1, 2 ** 53 - 1], [0, 0]) }),
    /does not fit/,
  );
  bomb(
    '100,000 sizes of 1',
    name,
    () => safetensorsOf({ w: F32(Array(100_000).fill(1), [0, 4]) }, new Uint8Array(4)),
    /shape/,
  );
  const shared = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [`w${i}`, F32([2 ** 16], [0, 2 ** 18])]),
  );
  bomb(
    '500 tensors over the same bytes',
    name,
    () => safetensorsOf(shared, new Uint8Array(2 ** 18)),
    /share bytes/,
  );
  bomb('metadata that are nothing', name, () => safetensorsOf('{"__metadata__":null}'), /metadata/);
}
const numbered = { 'stem.0.weight': 4, 'cells.999999999999.a.weight': 4, 'tail.6.weight': 4, 'cells.0.b': 4 };
bomb(
  'a layer with a large number',
  'model-safetensors',
  () => {
    const entries = Object.keys(numbered).map((name, i) => [name, F32([1], [4 * i, 4 * i + 4])]);
    return safetensorsOf(Object.fromEntries(entries), new Uint8Array(16));
  },
  /has number 999999999999 of 4 tensors/,
);

bomb(
  'a header that promises 67 million samples of text',
  'images',
  () => [latin('P3 8000 8000 255 1 2 3')],
  /bytes of text/,
);
bomb('a header that promises a row of 60,000', 'images', () => [latin('P5 60000 1 255 ')], /needed/);
bomb('a size of 10^18', 'images', () => [latin('P6 999999999 999999999 255 ')], /a size of/);

const yaml: readonly (readonly [string, string, RegExp])[] = [
  ['4,000 documents', '--- 1\n'.repeat(4_000), /documents/],
  ['brackets 250,000 deep', '['.repeat(250_000), /nested/],
  ['6,000 open quotes', '- "\n'.repeat(6_000), /not YAML/],
  ['12,000 colons', ':\n'.repeat(12_000), /not YAML|twice/],
  ['a list inside of itself', 'a: &a [*a]', /inside of what it names/],
  [
    'lists of aliases',
    `a: &a [x,x]\n${[...'bcdefghijklmnopqrstuvwxyz'].map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefghijklmnopqrstuvwxyz'[i]}`).join(',')}]`).join('\n')}`,
    /alias/,
  ],
];
for (const [title, text, refusal] of yaml) bomb(title, 'yaml', () => [latin(text)], refusal);
const override = (value: string): Sections => [latin('a: 1'), latin('a'), latin(value)];
bomb('an override of 4 million brackets', 'submission', () => override('['.repeat(4 << 20)), /at most/);
bomb('an override of 7 million items', 'submission', () => override(`[${'1,'.repeat(7 << 20)}1]`), /at most/);

const stateHeader = headerOf('state', { chunk: 0xffff_ffff, digest: '0'.repeat(16) });
const claim = encodeJson({ lengths: Array(16).fill(2 ** 29), digests: Array(16).fill('0'.repeat(16)) });
bomb(
  'a state of 32 GB, announced',
  'exchange-sync',
  () => [encodeHeader(stateHeader, claim.length), claim],
  /1 vectors of 16/,
);
bomb(
  'a message of 10^15 bytes, announced',
  'broker-frames',
  () => [latin('MSG a 1 999999999999999\r\n')],
  /announced a message/,
);
