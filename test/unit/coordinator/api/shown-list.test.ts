import assert from 'node:assert/strict';
import test from 'node:test';
import { createShownList } from '../../../../coordinator/api/shown-list.ts';

interface Thing {
  readonly id: string;
  readonly text: string;
}

/** Things by id, as a state holds them: a thing that has not changed is the same object. */
function listOf(bytesMax: number) {
  const things = new Map<string, Thing>();
  const made: string[] = [];
  const list = createShownList<Thing>({ bytesMax, contentOf: ({ text }) => Buffer.from(text) });
  return {
    list,
    made,
    set: (id: string, text: string) => things.set(id, { id, text }),
    look: (ids: readonly string[], total = ids.length) =>
      list.look(
        { ids, total },
        {
          parts: (id) => [things.get(id)],
          view(id) {
            made.push(id);
            return { ...things.get(id)! };
          },
        },
      ),
  };
}

const idsOf = (items: readonly Thing[]) => items.map(({ id }) => id);

test('only what is new or has changed is made, and only what shows something else is a change', () => {
  const { list, look, made, set } = listOf(100);
  for (const id of ['a', 'b', 'c']) set(id, id);
  assert.deepEqual(idsOf(look(['a', 'b', 'c']).changed), ['a', 'b', 'c']);
  assert.deepEqual(look(['a', 'b', 'c']), { changed: [], removedIds: [] });
  set('b', 'B');
  // Another object that shows the same.
  set('c', 'c');
  set('d', 'd');
  const { changed, removedIds } = look(['a', 'b', 'c', 'd']);
  assert.deepEqual([idsOf(changed), removedIds], [['b', 'd'], []]);
  assert.deepEqual(made, ['a', 'b', 'c', 'b', 'c', 'd']);
  assert.deepEqual(idsOf(list.items), ['a', 'b', 'c', 'd']);
});

test('a thing chosen twice is shown once, and one that is chosen no more is removed', () => {
  const { list, look, set } = listOf(100);
  for (const id of ['a', 'b', 'c']) set(id, id);
  look(['c', 'a', 'b', 'c']);
  assert.deepEqual(idsOf(list.items), ['c', 'a', 'b']);
  assert.deepEqual(look(['b', 'b']), { changed: [], removedIds: ['c', 'a'] });
  assert.deepEqual(idsOf(list.items), ['b']);
  assert.deepEqual(idsOf(look(['a']).changed), ['a']);
});

test('things find room in the order of choice, and the rest is counted', () => {
  const { list, look, set } = listOf(10);
  set('a', '1234');
  set('b', '1234');
  set('c', '1234');
  assert.deepEqual(idsOf(look(['a', 'b', 'c'], 30).changed), ['a', 'b']);
  assert.equal(list.left, 28);
  // With less of one there is room for another; with more of it a third has to go.
  set('a', '12');
  assert.deepEqual(idsOf(look(['a', 'b', 'c'], 30).changed), ['a', 'c']);
  set('a', '12345678');
  const { changed, removedIds } = look(['a', 'b', 'c'], 30);
  assert.deepEqual([idsOf(changed), removedIds, list.left], [['a'], ['b', 'c'], 29]);
});
