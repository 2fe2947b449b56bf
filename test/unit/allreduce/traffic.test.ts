// What a sum sends through the broker, counted message by message from the plan, against the formulas of
// docs/exchange.md ("Many hosts, on paper").

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Groups, planOf } from '../../../core/allreduce/plan.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { trafficOf } from '../../support/traffic.ts';

interface Formula {
  readonly inBytes: number;
  readonly outBytes: number;
}

/** Nobody shares memory, for a vector of one byte: contributions to each slice, and its result to all others. */
const writtenApart = (members: number): Formula =>
  members === 1 ? { inBytes: 0, outBytes: 0 } : { inBytes: members, outBytes: 2 * (members - 1) };

/** One member of each host speaks: as if each host were one member. */
const writtenSpoken = (hosts: number): Formula => writtenApart(hosts);

/** `hosts` groups of `each` members with one shard each. */
function planFor(hosts: number, each: number, elements: number, compression: 'none' | 'int8' = 'none') {
  const members = Array.from({ length: hosts * each }, (_, rank) => ({
    workerId: `w${rank}`,
    shardFirst: rank,
    shardCount: 1,
  }));
  const groups: Groups = Array.from({ length: hosts }, (_, host) =>
    Array.from({ length: each }, (_, i) => host * each + i),
  );
  return planOf({ members, shards: members.length, elements, compression, groups });
}

const near = (found: number, wanted: number): void =>
  assert.ok(Math.abs(found - wanted) <= 0.02 * wanted, `${found} is not about ${wanted}`);

test('the plan of a gang of many hosts sends what the formulas say', () => {
  const elements = 2 ** 21;
  for (const [hosts, each] of [
    [1, 8],
    [2, 2],
    [2, 4],
    [4, 8],
    [16, 4],
  ] as const) {
    const spoken = trafficOf(planFor(hosts, each, elements));
    near(spoken.inBytes, writtenSpoken(hosts).inBytes * elements * 4);
    near(spoken.outBytes, writtenSpoken(hosts).outBytes * elements * 4);
    const apart = trafficOf(planFor(hosts * each, 1, elements));
    near(apart.inBytes, writtenApart(hosts * each).inBytes * elements * 4);
    near(apart.outBytes, writtenApart(hosts * each).outBytes * elements * 4);
  }
});

test('with int8 a host sends its sum as float32 or its shards one by one, whichever is less, and results as int8', () => {
  const elements = 2 ** 21;
  const int8 = (elements * 260) / 256;
  for (const [hosts, each] of [
    [2, 2],
    [2, 4],
    [4, 8],
  ] as const) {
    const { inBytes, outBytes } = trafficOf(planFor(hosts, each, elements, 'int8'));
    const contributed = (hosts - 1) * Math.min(each * int8, elements * 4);
    near(inBytes, contributed + int8);
    near(outBytes, contributed + (hosts - 1) * int8);
  }
});

test('the table of many hosts is what the formulas give', () => {
  const text = readFileSync(join(PACKAGE_ROOT, 'docs/exchange.md'), 'utf8');
  const rows = [...text.matchAll(/^\| (\d+) × (\d+) \| ([\d.]+) MB \| ([\d.]+) \| ([\d.]+) \|/gm)];
  assert.ok(rows.length >= 6, `${rows.length} rows`);
  for (const [line, ...cells] of rows) {
    const [hosts, each, megabytes, apart, spoken] = cells.map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const milliseconds = (outTimes: number): number => ((outTimes * megabytes) / 12_500) * 1000;
    const wanted = [
      milliseconds(writtenApart(hosts * each).outBytes),
      milliseconds(writtenSpoken(hosts).outBytes),
    ];
    for (const [i, found] of [apart, spoken].entries())
      assert.ok(Math.abs(found - wanted[i]!) <= 0.006 * wanted[i]! + 0.06, `${line}: ${found}, ${wanted[i]}`);
  }
});
