import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { monitoringFiles } from '../../../scripts/monitoring/files.ts';

test('every file that follows from the catalogue is as the catalogue makes it', () => {
  for (const [path, content] of monitoringFiles())
    assert.equal(
      readFileSync(join(PACKAGE_ROOT, path), 'utf8'),
      content,
      `${path} is stale: npm run generate:monitoring`,
    );
});
