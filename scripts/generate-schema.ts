// Writes schema/KIND.json, the JSON Schema of each kind of document. A test fails when one is stale.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SCHEMA_KINDS, schemaText } from '../core/spec/json-schema.ts';

const folder = fileURLToPath(new URL('../schema', import.meta.url));
mkdirSync(folder, { recursive: true });
for (const kind of SCHEMA_KINDS) {
  const target = `${folder}/${kind}.json`;
  writeFileSync(`${target}.${process.pid}`, schemaText(kind));
  renameSync(`${target}.${process.pid}`, target);
}
