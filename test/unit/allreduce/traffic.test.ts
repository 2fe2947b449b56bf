// What a sum sends through the broker, counted message by message from the plan, against the formulas of
// docs/exchange.md ("Many hosts, on paper").

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodedBytes, encodingOf } from '../../../core/allreduce/memory.ts';
import { type Compression, type Plan, planOf } from '../../../core/allreduce/plan.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';

interface Traffic {
  readonly inBytes: number;
  readonly outBytes: number;
}

/** Every contribution goes in and out once, unless its owner reads it; a result goes in once and out to all others. */
function countedTraffic(plan: Plan, hostOf: (rank: number) => number): Traffic {
  const ranks = plan.members.map((_, rank) => rank);
  const isOneHost = ranks.every((rank) => hostOf(rank) === hostOf(0));
  let inBytes = 0;
  let outBytes = 0;
  for (const owner of ranks) {
    for (const { count } of plan.chunks[owner]!) {
      for (const source of ranks) {
        if (hostOf(source) === hostOf(owner)) continue;
        for (const node of plan.nodes[source]!) {
          inBytes += encodedBytes(encodingOf(node, plan), count);
          outBytes += encodedBytes(encodingOf(node, plan), count);
        }
      }
      if (isOneHost) continue;
      const bytes = encodedBytes(plan.compression, count);
      inBytes += bytes;
      outBytes += bytes * (ranks.length - 1);
    }
  }
  return { inBytes, outBytes };
}

/** `members` of one node each, of which `neighbours` are on each host, for a vector of one byte. */
const writtenTraffic = (members: number, neighbours: number): Traffic =>
  members === neighbours
    ? { inBytes: 0, outBytes: 0 }
    : { inBytes: members - neighbours + 1, outBytes: members - neighbours + members - 1 };

function planFor(members: number, shardsEach: number, elements: number, compression: Compression): Plan {
  return planOf({
    members: Array.from({ length: members }, (_, rank) => ({
      workerId: `w${rank}`,
      shardFirst: rank * shardsEach,
      shardCount: shardsEach,
    })),
    shards: members * shardsEach,
    elements,
    compression,
  });
}

const near = (found: number, wanted: number): void =>
  assert.ok(Math.abs(found - wanted) <= 0.02 * wanted, `${found} is not about ${wanted}`);

test('the plan of a gang of many hosts sends what the formulas say', () => {
  const elements = 2 ** 21;
  for (const [hosts, each] of [
    [1, 8],
    [4, 8],
    [16, 4],
  ] as const) {
    const members = hosts * each;
    const counted = countedTraffic(planFor(members, 1, elements, 'none'), (rank) => Math.floor(rank / each));
    const written = writtenTraffic(members, each);
    near(counted.inBytes, written.inBytes * elements * 4);
    near(counted.outBytes, written.outBytes * elements * 4);
    // One member with all shards of a host sends one node, as if there were no other on it.
    const speaking = countedTraffic(planFor(hosts, each, elements, 'none'), (rank) => rank);
    near(speaking.outBytes, (hosts === 1 ? 0 : 2 * (hosts - 1)) * elements * 4);
  }
});

test('the table of many hosts is what the formulas give', () => {
  const text = readFileSync(join(PACKAGE_ROOT, 'docs/exchange.md'), 'utf8');
  const rows = [...text.matchAll(/^\| (\d+) × (\d+) \| ([\d.]+) MB \| ([\d.]+) \| ([\d.]+) \|/gm)];
  assert.ok(rows.length >= 6, `${rows.length} rows`);
  for (const [line, ...cells] of rows) {
    const [hosts, each, megabytes, built, speaking] = cells.map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const milliseconds = (outTimes: number): number => ((outTimes * megabytes) / 12_500) * 1000;
    const wanted = [
      milliseconds(writtenTraffic(hosts * each, each).outBytes),
      milliseconds(hosts === 1 ? 0 : 2 * (hosts - 1)),
    ];
    for (const [i, found] of [built, speaking].entries())
      assert.ok(Math.abs(found - wanted[i]!) <= 0.006 * wanted[i]! + 0.06, `${line}: ${found}, ${wanted[i]}`);
  }
});
