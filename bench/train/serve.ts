// The loop of a way's process that runs on Node: commands from standard input, answers to standard output,
// until the input ends. Decides the rhythm of a measurement (whole steps until the time is over); what a step
// is, the way says.

import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

export interface Way {
  readonly batch: number;
  /** One whole step. */
  step(): void | Promise<void>;
  /** What one pass gives from the first weights, in the order of a shard's vector; changes nothing. */
  check(): Float32Array | Promise<Float32Array>;
  /** Digest of all that a run of so many steps from the first weights leaves behind. */
  digest?(steps: number): Promise<string>;
  close(): void | Promise<void>;
}

/** Allocators, caches and a library's own tuning settle. */
const WARM_STEPS = 2;

export async function serve(start: () => Promise<Way>): Promise<void> {
  const startedAt = performance.now();
  const secondsSince = (at: number) => (performance.now() - at) / 1000;
  const way = await start();
  const answer = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
  answer({ seconds: secondsSince(startedAt) });
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, argument = ''] = line.split(' ');
    const from = performance.now();
    const cpu = process.cpuUsage();
    if (command === 'check') {
      writeFileSync(argument, new Uint8Array((await way.check()).buffer));
      answer({});
    } else if (command === 'digest') {
      answer({ digest: await way.digest?.(Number(argument)) });
    } else {
      const milliseconds = command === 'warm' ? 0 : Number(argument);
      let steps = 0;
      do {
        await way.step();
        steps++;
      } while (performance.now() - from < milliseconds || (command === 'warm' && steps < WARM_STEPS));
      const { user, system } = process.cpuUsage(cpu);
      answer({
        images: steps * way.batch,
        seconds: secondsSince(from),
        cpuSeconds: (user + system) / 1e6,
        residentMiBMax: process.resourceUsage().maxRSS / 1024,
      });
    }
  }
  await way.close();
}
