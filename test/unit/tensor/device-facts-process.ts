// Prints what the addon returns of the devices, one line for each environment of the argument. A process of
// its own, because the loader reads LD_LIBRARY_PATH when a process starts.

import { deviceFacts } from '../../../core/tensor/device-facts.ts';

for (const environment of JSON.parse(process.argv[2]!) as Record<string, string>[]) {
  for (const name of Object.keys(process.env)) if (name.startsWith('STUB_')) delete process.env[name];
  Object.assign(process.env, environment);
  process.stdout.write(`${JSON.stringify(deviceFacts())}\n`);
}
