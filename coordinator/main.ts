// The coordinator's process: config, log, start, wait, stop. SIGTERM and SIGINT stop it within a second; a second one ends
// it at once. It ends with 1 when it cannot go on, so that whoever supervises it starts it again.

import { readFileSync } from 'node:fs';
import { systemClock } from '../core/clock.ts';
import { coordinatorConfigSchema, loadConfig, redacted } from '../core/config.ts';
import { toFleetError } from '../core/errors.ts';
import { createLogger } from '../core/log.ts';
import { outliveListeners } from '../core/standard-streams.ts';
import { onStopSignals } from '../core/stop-signals.ts';
import { startCoordinator } from './coordinator.ts';

async function main(): Promise<number> {
  const config = loadConfig(coordinatorConfigSchema, process.argv.slice(2));
  const log = createLogger({
    program: 'coordinator',
    level: config.logLevel,
    bindings: { fleet: config.fleet },
  });
  log.info({ config: redacted(config) }, 'starting');
  const stopping = nextSignal();
  const coordinator = await startCoordinator({ config, version: packageVersion(), log, clock: systemClock });
  log.info({ grpc: coordinator.endpoint, metrics: coordinator.metricsEndpoint }, 'ready');
  const ended = await Promise.race([stopping, coordinator.failed]);
  if (typeof ended === 'string') log.info({ signal: ended }, 'stopping');
  else log.error({ code: ended.code }, `cannot go on: ${ended.message}`);
  await coordinator.close();
  return typeof ended === 'string' ? 0 : 1;
}

function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (asked) process.exit(1);
      asked = true;
      resolve(signal);
    };
    onStopSignals(onSignal);
  });
}

function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

outliveListeners();
main().then(
  (code) => process.exit(code),
  (caught) => {
    process.stderr.write(`coordinator: ${toFleetError(caught).message}\n`);
    process.exit(1);
  },
);
