// The dictionary of a format is a part of it: journals that exist can be read with it alone.

import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { DICTIONARY_2, DICTIONARY_3 } from '../../../../../coordinator/journal/formats/dictionary.ts';
import { sha256Hex } from '../../../../../core/digest.ts';

test('the dictionaries are those with which messages were written', () => {
  equal(sha256Hex(DICTIONARY_2), 'f9045be2e5cc7e79f361e0098d5e61fca612f2b5d58f5e1c68410640afc2ca6f');
  equal(sha256Hex(DICTIONARY_3), '507b68ebd382dfec83eaa2e3800e5272a8cb5d98f3feda502ff08c8d9ecb8d98');
  for (const { length } of [DICTIONARY_2, DICTIONARY_3]) ok(length < 32_768, 'deflate looks no further back');
});
