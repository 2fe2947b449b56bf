// A worker belongs to the journal of its first welcome.

import { equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { prefixesOf } from '../../../../core/net/subjects.ts';
import { namesIn } from '../../../../worker/fleet/welcome.ts';

const welcome = { fleet: 'a', heartbeatIntervalMs: 100, natsUrl: '' };

test('the first welcome names streams and keys, and a later one must name the same', () => {
  const first = namesIn({ ...welcome, names: prefixesOf('a', 'u1') }, undefined);
  equal(first.checkpointKey('run-1', 2), 'u1.checkpoint.run-1.2');
  equal(namesIn({ ...welcome, names: prefixesOf('a', 'u1') }, first), first);
  throws(() => namesIn({ ...welcome, names: prefixesOf('a', 'u2') }, first), {
    code: 'failedPrecondition',
    message: /fleet a has another journal \(pf\.a\.u2\.\) than when this worker began \(pf\.a\.u1\.\); this/,
  });
});

test('a coordinator of an older release, which gives no names, is named as that', () => {
  throws(() => namesIn({ ...welcome, names: undefined }, undefined), {
    code: 'failedPrecondition',
    message: /gives no names for the broker: it is of an older release than this worker/,
  });
});
