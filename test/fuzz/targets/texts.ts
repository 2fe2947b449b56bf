// Texts that people and other programs give: specs, overrides, addresses, tokens of pages, keys.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openPage } from '../../../coordinator/api/page.ts';
import { assertBounded, readSubmission } from '../../../coordinator/api/submission.ts';
import { FleetError } from '../../../core/errors.ts';
import { serversOf } from '../../../core/net/broker-address.ts';
import { GENOTYPES } from '../../../core/nn/genotype.ts';
import { genotypeKey, genotypeOfKey } from '../../../core/nn/genotype-code.ts';
import type { RandomStream } from '../../../core/rng.ts';
import { parseGpuList, usableDevices } from '../../../core/system/gpus.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { addressesOf, parseHostPort } from '../../../core/text/host-port.ts';
import { readYaml } from '../../../core/text/yaml-text.ts';
import { draw } from '../mutators.ts';
import type { Sections, Target } from '../target.ts';

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('utf8');

function examples(): Sections[] {
  const folder = join(PACKAGE_ROOT, 'examples');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => [readFileSync(join(folder, name)), Buffer.from('name'), Buffer.from('other')]);
}

/** YAML of any of its features, in any order. */
function anyYaml(random: RandomStream): string {
  const parts = [
    ...[
      'a: 1\n',
      '- x\n',
      '  b: [1, {c: 2}]\n',
      '&a ',
      '*a ',
      '*b',
      '<<: *a\n',
      '!!binary aGk=\n',
      '!!set {x}\n',
    ],
    ...[
      '%YAML 1.1\n---\n',
      '---\n',
      '...\n',
      '? [k]\n: v\n',
      '!!timestamp 2001-01-01\n',
      '{',
      '[',
      '"',
      "'",
      '|\n',
    ],
    ...[
      '!!omap [a: 1]\n',
      '!x y\n',
      '# c\n',
      '\t',
      ' ',
      '\n',
      ': ',
      'x: &a [*a]\n',
      '!!float .nan\n',
      '__proto__: 1\n',
    ],
    ...[
      '&a [x, x]\n',
      'b: &b [*a, *a]\n',
      'c: [*b, *b, *b]\n',
      '!!str 5\n',
      '!!pairs [a: 1, a: 2]\n',
      '~: 1\n',
    ],
  ];
  return Array.from({ length: 1 + random.integer(24) }, () =>
    random.chance(0.9) ? draw.pick(random, parts) : draw.text(random),
  ).join('');
}

const yaml: Target = {
  name: 'yaml',
  decoders: ['core/text/yaml-text.ts', 'core/text/shape.ts'],
  corpus: () => examples().map(([bytes]) => [bytes!]),
  compose: (random) => [Buffer.from(anyYaml(random))],
  decode([bytes]) {
    for (const { value, placeOf } of readYaml(text(bytes))) {
      JSON.stringify(value);
      placeOf(['training', 'epochs']);
    }
  },
  // A node of the parser has hundreds of bytes, and one character makes one.
  memory: { times: 1_000, plus: 64 << 20 },
  lines: true,
  cases: 20,
};

const submissions: Target = {
  name: 'submission',
  decoders: ['coordinator/api/submission.ts', 'core/text/shape.ts'],
  corpus: examples,
  compose: (random, corpus) => {
    const [document = new Uint8Array()] = draw.pick(random, corpus);
    const path = draw.pick(random, [
      'a.b.c',
      'training.epochs',
      '__proto__.x',
      'data',
      'students.0',
      '',
      'a..b',
    ]);
    return [document, Buffer.from(path), Buffer.from(anyYaml(random))];
  },
  decode([document, path, value]) {
    const submission = { yaml: text(document), baseDir: '/data', overrides: { [text(path)]: text(value) } };
    assertBounded(submission);
    readSubmission(submission);
  },
  lines: true,
  cases: 15,
  // Twenty problems, a line each.
  charsMax: 12_000,
};

const addresses: Target = {
  name: 'addresses',
  decoders: ['core/text/host-port.ts', 'core/net/broker-address.ts'],
  corpus: () =>
    ['127.0.0.1:7070', '[::1]:443', 'host.example:1', 'a:1,b:2'].map((one) => [
      Buffer.from(one),
      Buffer.from(`nats://${one}`),
    ]),
  decode([one, url]) {
    serversOf(text(url));
    for (const address of addressesOf(text(one))) parseHostPort(address);
  },
  cases: 100,
};

const keys: Target = {
  name: 'keys',
  decoders: ['coordinator/api/page.ts', 'core/nn/genotype-code.ts', 'core/system/gpus.ts'],
  corpus: () => {
    const page = openPage({ list: 'runs', request: { pageSize: 1 }, bytesOf: () => 1 });
    page.take('run-1', 1);
    page.take('run-2', 2);
    return [
      [
        Buffer.from(genotypeKey(GENOTYPES.casia)),
        Buffer.from(page.nextPageToken),
        Buffer.from('GPU 0: NVIDIA A100 (UUID: GPU-5c89)\n  MIG 1g.5gb Device 0: (UUID: MIG-7a2c)\n'),
        Buffer.from('0,GPU-5c'),
      ],
    ];
  },
  decode([genotype, token, list, visible]) {
    usableDevices(parseGpuList(text(list)), text(visible));
    const refusals: unknown[] = [];
    for (const read of [
      () => genotypeKey(genotypeOfKey(text(genotype))),
      () => openPage({ list: 'runs', request: { pageToken: text(token) }, bytesOf: () => 1 }),
    ])
      try {
        read();
      } catch (caught) {
        if (!(caught instanceof FleetError)) throw caught;
        refusals.push(caught);
      }
    if (refusals.length > 0) throw refusals[0];
  },
  cases: 150,
};

export const textTargets: readonly Target[] = [yaml, submissions, addresses, keys];
