// Writes deploy/install.yaml, which is what the chart renders with its default values and the namespace, for
// people who use `kubectl apply`. A test fails when it is stale.

import { renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { installText } from '../test/support/helm.ts';

const target = fileURLToPath(new URL('../deploy/install.yaml', import.meta.url));
writeFileSync(`${target}.${process.pid}`, await installText());
renameSync(`${target}.${process.pid}`, target);
