// Which plugins of PJRT set-up chooses for what a machine has, and that each of them is pinned.

import { deepEqual, match, ok, throws } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../../core/system/places.ts';

interface Machine {
  readonly chosen?: string;
  readonly gpus?: readonly { readonly driver: string; readonly capability?: string }[];
  readonly hasKfd?: boolean;
  readonly vendors?: readonly string[];
  readonly oneapi?: string;
}

const { pjrtKinds } = (await import(
  String(new URL('../../scripts/setup/pjrt-kinds.mjs', import.meta.url))
)) as { pjrtKinds(machine: Machine): readonly string[] };

const kindsOf = (machine: Machine) =>
  pjrtKinds({ chosen: '', gpus: [], hasKfd: false, vendors: [], oneapi: '', ...machine });

test('NVIDIA gets CUDA 13 from driver 580 on, CUDA 12 below, and nothing for a GPU older than sm_75', () => {
  const table = [
    ['579.99', '9.0', ['cuda12']],
    ['580.65.06', '9.0', ['cuda13']],
    ['580.65.06', '7.5', ['cuda13']],
    ['560.35', '12.0', ['cuda12']],
    ['580.65.06', '7.0', []],
    ['580.65.06', undefined, []],
  ] as const;
  for (const [driver, capability, kinds] of table)
    deepEqual(
      kindsOf({ gpus: [{ driver, ...(capability === undefined ? {} : { capability }) }] }),
      kinds,
      `${driver} ${capability}`,
    );
  const old = { driver: '580.1', capability: '6.1' };
  deepEqual(
    kindsOf({ gpus: [{ driver: '580.1', capability: '8.0' }, old] }),
    [],
    'both compute in one fleet',
  );
});

test('AMD gets its plugin where the kernel has its compute device, Intel where oneAPI is set up too', () => {
  deepEqual(kindsOf({}), []);
  deepEqual(kindsOf({ hasKfd: true }), ['rocm7']);
  deepEqual(kindsOf({ vendors: ['0x8086'] }), [], 'a laptop');
  deepEqual(kindsOf({ vendors: ['0x8086'], oneapi: '/opt/intel/oneapi' }), ['oneapi']);
  deepEqual(kindsOf({ vendors: ['0x1002'], oneapi: '/opt/intel/oneapi' }), []);
});

test('a person decides first, and what is none of them is refused', () => {
  const gpus = [{ driver: '580.1', capability: '9.0' }];
  deepEqual(kindsOf({ chosen: 'none', gpus, hasKfd: true }), []);
  deepEqual(kindsOf({ chosen: 'cuda12, rocm7', gpus }), ['cuda12', 'rocm7']);
  throws(() => kindsOf({ chosen: 'cuda' }), /POCKETFLEET_PJRT is "cuda"; it may be none, or some of cuda12,/);
});

test('each plugin is pinned by a checksum, and the file that is loaded is among what is unpacked', () => {
  const { pjrt } = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'scripts/setup/pins.json'), 'utf8'));
  deepEqual(Object.keys(pjrt), ['cpu', 'cuda12', 'cuda13', 'rocm7', 'oneapi']);
  for (const [kind, platforms] of Object.entries(pjrt)) {
    const { file, wheels } = (platforms as Record<string, { file: string; wheels: Wheel[] }>)['linux-x64']!;
    ok(Object.values(wheels[0]!.members).includes(file), kind);
    for (const { pin } of wheels) match(pin.sha256, /^[0-9a-f]{64}$/);
  }
});

interface Wheel {
  readonly pin: { readonly sha256: string };
  readonly members: Readonly<Record<string, string>>;
}

test('a kind that is not pinned is refused with those that are, and what has lost a file, or the bytes of one, is set up again', async (t) => {
  const { noteOf, pjrtPlan, pjrtPresent } = await import(
    String(new URL('../../scripts/setup/pjrt.mjs', import.meta.url))
  );
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-setup-pjrt-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const pins = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'scripts/setup/pins.json'), 'utf8'));
  for (const kind of ['CUDA13', '--help', '__proto__'])
    throws(
      () => pjrtPlan({ root: PACKAGE_ROOT, cache: folder, pins, kinds: [kind] }),
      /is pinned for \S+ on linux-x64; there is cpu, cuda12, cuda13, rocm7, oneapi$/,
    );
  const plan = { ...pjrtPlan({ root: PACKAGE_ROOT, cache: folder, pins, kinds: ['rocm7'] }), folder };
  const files = ['pjrt.node', 'include/pjrt_c_api.h'];
  for (const { file } of JSON.parse(noteOf(plan)).plugins) files.push(file);
  const restore = (file: string) => {
    mkdirSync(join(folder, dirname(file)), { recursive: true });
    writeFileSync(join(folder, file), 'x');
  };
  files.forEach(restore);
  ok(!pjrtPresent(plan), 'without a note');
  writeFileSync(join(folder, 'note.json'), noteOf(plan));
  ok(pjrtPresent(plan));
  for (const file of files) {
    truncateSync(join(folder, file));
    ok(!pjrtPresent(plan), `${file} without bytes`);
    rmSync(join(folder, file));
    ok(!pjrtPresent(plan), `without ${file}`);
    restore(file);
  }
  ok(pjrtPresent(plan));
});
