import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recomputed } from '../../../../core/tensor/passes/recompute.ts';
import { segmentsOf } from '../../../../core/tensor/passes/segments.ts';
import type { OperationNode, RecordedNode, Recording } from '../../../../core/tensor/recording/record.ts';

/** A map of 1 MB; type 1 is float32. */
const MAP = [{ shape: [256, 1024], dtype: 1 }];
const operation = (op: string, ...nodes: number[]): OperationNode => ({
  ...{ kind: 'operation', op, attributes: [], outputs: MAP },
  inputs: nodes.map((node) => ({ node, output: 0 })),
});

/** A chain of `length` operations, whose backward pass reads the input of each. */
function chain(length: number): Recording {
  const nodes: RecordedNode[] = [{ kind: 'input', input: 0, outputs: MAP }];
  for (let at = 0; at < length; at++) nodes.push(operation(`f${at}`, at));
  const forward = nodes.length;
  nodes.push(operation('loss', length));
  for (let at = length - 1; at >= 0; at--) nodes.push(operation(`g${at}`, nodes.length - 1, at, at + 1));
  const inputs = [{ name: 'x', dtype: 'float32', shape: [256, 1024] }] as const;
  return { nodes, inputs, outputs: [{ node: nodes.length - 1, output: 0 }], forward };
}

test('cuts keep as little as a chain of equal segments can: about twice the root of its length', () => {
  const { ends, bytes, bytesWithout } = segmentsOf(chain(64), 65);
  assert.equal(bytesWithout, 64 * 2 ** 20);
  assert.ok(bytes <= 12 * 2 ** 20, `${bytes / 2 ** 20} MiB`);
  assert.equal(ends.at(-1), 64);
});

test('the backward pass reads kept maps and copies, and the copies of a segment wait for its gradient', () => {
  const before = chain(64);
  const after = recomputed(before);
  const opOf = ({ node }: { node: number }) => (after.nodes[node] as OperationNode).op;
  const firsts = new Map<string, number>();
  for (const [index, node] of after.nodes.entries()) {
    if (node.kind !== 'operation') continue;
    for (const { node: read } of node.inputs)
      assert.ok(read < index, `${node.op} stands before what it reads`);
    // The same operations on the same inputs.
    const [, kind, at] = /^([fg])(\d+)$/.exec(node.op) ?? [];
    if (at !== undefined && node.inputs[0]!.node > 0 && (kind === 'f' || Number(at) < 63))
      assert.equal(opOf(node.inputs[0]!), kind === 'f' ? `f${Number(at) - 1}` : `g${Number(at) + 1}`);
    if (!firsts.has(node.op)) firsts.set(node.op, index);
  }
  const { ends } = segmentsOf(before, 65);
  const last = ends.at(-2)!;
  /** What the backward pass reads that was made in the forward pass, but for the last segment. */
  const kept = new Set<number>();
  for (const node of after.nodes)
    if (node.kind === 'operation' && node.op.startsWith('g'))
      for (const { node: read } of node.inputs.slice(1))
        if (
          read > 0 &&
          firsts.get(opOf({ node: read })) === read &&
          Number(opOf({ node: read }).slice(1)) < last
        )
          kept.add(read);
  assert.equal(kept.size, ends.length - 1, 'one map at each cut');
  const waiting = after.nodes.filter((node) => node.kind === 'operation' && node.after !== undefined);
  assert.equal(waiting.length, ends.length - 1);
  for (const node of waiting as OperationNode[]) {
    const [entry] = node.after!;
    const segment = ends.findIndex((end) => Number(node.op.slice(1)) + 1 <= end);
    assert.equal(opOf({ node: entry! }), `g${ends[segment]!}`, `${node.op} begins segment ${segment}`);
  }
});

test('what has no backward pass, and what is small, stays as it is', () => {
  const { forward: _none, ...evaluation } = chain(64);
  assert.equal(recomputed(evaluation), evaluation);
  const small: Recording = {
    ...chain(64),
    nodes: chain(64).nodes.map((node) => ({ ...node, outputs: [{ shape: [1024], dtype: 1 }] })),
  };
  assert.equal(recomputed(small), small);
});
