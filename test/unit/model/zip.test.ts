import assert from 'node:assert/strict';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createDeflateRaw, deflateRawSync } from 'node:zlib';
import { openStateFile } from '../../../core/model/state-file.ts';
import { readZip, type ZipMember } from '../../../core/model/zip.ts';

const folder = await mkdtemp(join(tmpdir(), 'pocketfleet-zip-'));
after(() => rm(folder, { recursive: true }));

interface Packed {
  readonly name: string;
  /** As it lies in the file. */
  readonly data: Uint8Array;
  readonly method?: 0 | 8 | 9;
  /** What the directory claims; default the length of `data`. */
  readonly size?: number;
  readonly flags?: number;
}

/** A zip file, member by member; `wide`: all sizes and places are written as 64-bit numbers. */
function zipOf(members: readonly Packed[], { wide = false } = {}): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  const add = (part: Buffer | Uint8Array) => {
    parts.push(Buffer.from(part));
    at += part.length;
  };
  for (const { name, data, method = 0, size = data.length, flags = 0 } of members) {
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(flags, 8);
    central.writeUInt16LE(method, 10);
    for (const [place, value] of [
      [20, data.length],
      [24, size],
      [42, at],
    ] as const)
      central.writeUInt32LE(wide ? 0xffff_ffff : value, place);
    central.writeUInt16LE(Buffer.byteLength(name), 28);
    const extra = Buffer.alloc(wide ? 28 : 0);
    if (wide) {
      central.writeUInt16LE(28, 30);
      extra.writeUInt16LE(1, 0);
      extra.writeUInt16LE(24, 2);
      for (const [i, value] of [size, data.length, at].entries())
        extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
    }
    directory.push(central, Buffer.from(name), extra);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(Buffer.byteLength(name), 26);
    for (const part of [local, Buffer.from(name), data]) add(part);
  }
  const start = at;
  for (const part of directory) add(part);
  const bytes = at - start;
  if (wide) {
    const end64 = Buffer.alloc(56);
    end64.writeUInt32LE(0x06064b50, 0);
    for (const [place, value] of [
      [24, members.length],
      [32, members.length],
      [40, bytes],
      [48, start],
    ] as const)
      end64.writeBigUInt64LE(BigInt(value), place);
    const locator = Buffer.alloc(20);
    locator.writeUInt32LE(0x07064b50, 0);
    locator.writeBigUInt64LE(BigInt(at), 8);
    add(end64);
    add(locator);
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(wide ? 0xffff_ffff : bytes, 12);
  end.writeUInt32LE(wide ? 0xffff_ffff : start, 16);
  add(end);
  return Buffer.concat(parts);
}

async function withZip<T>(
  bytes: Uint8Array,
  body: (members: Map<string, ZipMember>) => Promise<T>,
): Promise<T> {
  const path = join(folder, 'a.pth');
  await writeFile(path, bytes);
  const file = await open(path);
  try {
    return await body(await readZip(file, 'a.pth'));
  } finally {
    await file.close();
  }
}
const refused = (bytes: Uint8Array, name: string, message: RegExp) =>
  assert.rejects(
    withZip(bytes, (members) => members.get(name)!.read()),
    (caught: Error & { code?: string }) => {
      assert.equal(caught.code, 'dataLoss');
      assert.match(caught.message, message);
      return true;
    },
  );

const text = Buffer.from('0123456789'.repeat(30_000));
const deflated = { name: 'm/deflated', data: deflateRawSync(text), method: 8, size: text.length } as const;

for (const wide of [false, true])
  test(`members are read whole and in part, stored and deflated, with ${wide ? '64' : '32'}-bit sizes`, () =>
    withZip(
      zipOf(
        [
          { name: 'm/stored', data: text },
          deflated,
          { name: 'm/ä', data: text.subarray(0, 3), flags: 0x800 },
        ],
        { wide },
      ),
      async (members) => {
        assert.deepEqual(
          [...members.values()].map(({ name, size }) => [name, size]),
          [
            ['m/stored', text.length],
            ['m/deflated', text.length],
            ['m/ä', 3],
          ],
        );
        for (const name of ['m/stored', 'm/deflated'])
          for (const [from, to] of [
            [0, text.length],
            [0, 0],
            [7, 19],
            [200_000, 200_123],
            [text.length - 5, text.length],
          ] as const)
            assert.deepEqual(
              Buffer.from(await members.get(name)!.read(from, to)),
              text.subarray(from, to),
              `${name} ${from}..${to}`,
            );
        await assert.rejects(
          members.get('m/stored')!.read(0, text.length + 1),
          /bytes 0\.\.300001 of member m\/stored/,
        );
      },
    ));

test('what is wrong with a file is one sentence that names file and member', async () => {
  const stored = { name: 'm/a', data: text };
  const cases: readonly (readonly [Packed[], RegExp])[] = [
    [[{ ...stored, flags: 1, size: text.length - 12 }], /^a\.pth is damaged: member m\/a is encrypted$/],
    [[stored, stored], /^a\.pth is damaged: member m\/a is there twice$/],
    [
      [{ ...stored, name: '../a' }],
      /^a\.pth is damaged: its zip directory is not sound \(invalid relative path: \.\.\/a\)$/,
    ],
    [
      [{ ...stored, name: '/etc/a' }],
      /^a\.pth is damaged: its zip directory is not sound \(absolute path: \/etc\/a\)$/,
    ],
    [[{ ...stored, size: 7 }], /^a\.pth is damaged: its zip directory is not sound \(.*size mismatch.*\)$/],
    [
      [{ ...stored, method: 9 }],
      /^a\.pth is damaged: member m\/a is compressed by method 9; stored and deflated are known$/,
    ],
    [
      [{ ...stored, method: 8, size: 5e8 }],
      /^a\.pth is damaged: member m\/a claims to inflate from 300000 to 500000000 bytes, which deflate cannot do$/,
    ],
    [
      [{ ...stored, method: 8 }],
      /^a\.pth is damaged: member m\/a does not inflate to the 300000 bytes it claims$/,
    ],
    [
      [{ ...deflated, name: 'm/a', size: text.length - 1 }],
      /^a\.pth is damaged: member m\/a does not inflate to the 299999 bytes it claims$/,
    ],
    [
      [{ ...deflated, name: 'm/a', size: text.length + 1 }],
      /^a\.pth is damaged: member m\/a does not inflate to the 300001 bytes it claims$/,
    ],
  ];
  for (const [members, message] of cases) await refused(zipOf(members), 'm/a', message);
  const whole = zipOf([stored]);
  await refused(
    whole.subarray(0, -1),
    'm/a',
    /^a\.pth is damaged: it has no zip directory at its end; it may be cut off \(/,
  );
  await refused(whole.subarray(300), 'm/a', /^a\.pth is damaged: .*directory/);
  const moved = Buffer.from(whole);
  moved[0] = 0;
  await refused(moved, 'm/a', /^a\.pth is damaged: member m\/a is not where the directory says/);
});

test('a bomb is refused by what it claims, and one that lies by what it gives, before the memory is spent', async () => {
  const zeros = 96 * 2 ** 20;
  const bomb = await deflatedZeros(zeros);
  const path = join(folder, 'bomb.pth');
  const before = process.resourceUsage().maxRSS;
  await writeFile(path, zipOf([{ name: 'm/data.pkl', data: bomb, method: 8, size: zeros }]));
  await assert.rejects(openStateFile(path), {
    code: 'dataLoss',
    message: `${path} is damaged: member m/data.pkl claims ${zeros} bytes where ${64 * 2 ** 20} are the limit`,
  });
  await writeFile(path, zipOf([{ name: 'm/data.pkl', data: bomb, method: 8, size: 100_000 }]));
  await assert.rejects(openStateFile(path), {
    code: 'dataLoss',
    message: `${path} is damaged: member m/data.pkl does not inflate to the 100000 bytes it claims`,
  });
  const grownMiB = (process.resourceUsage().maxRSS - before) / 1024;
  assert.ok(grownMiB < 48, `${grownMiB} MiB for what inflates to 96`);
});

/** Made piece by piece, so that this process never holds what it inflates to. */
async function deflatedZeros(count: number): Promise<Buffer> {
  const deflate = createDeflateRaw();
  const piece = Buffer.alloc(2 ** 20);
  for (let at = 0; at < count; at += piece.length) deflate.write(piece);
  deflate.end();
  const parts: Buffer[] = [];
  for await (const part of deflate) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
