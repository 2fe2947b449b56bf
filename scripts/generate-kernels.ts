// Writes core/allreduce/kernels/wasm.ts, which is kernels.wat assembled. A test fails when it is stale.

import { renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assembledModule } from '../test/support/kernels.ts';

const target = fileURLToPath(new URL('../core/allreduce/kernels/wasm.ts', import.meta.url));
writeFileSync(`${target}.${process.pid}`, await assembledModule());
renameSync(`${target}.${process.pid}`, target);
