// The dictionary of format 2 is a part of the format: journals that exist can be read with it alone.

import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { DICTIONARY } from '../../../../../coordinator/journal/formats/dictionary.ts';
import { sha256Hex } from '../../../../../core/digest.ts';

test('the dictionary is the one with which messages were written', () => {
  equal(sha256Hex(DICTIONARY), 'f9045be2e5cc7e79f361e0098d5e61fca612f2b5d58f5e1c68410640afc2ca6f');
  ok(DICTIONARY.length < 32_768, 'deflate looks no further back');
});
