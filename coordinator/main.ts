// The coordinator's process: config, log, start, wait, stop. SIGTERM and SIGINT stop it within a second; a
// second one ends it at once. It ends with 1 when it cannot go on, so that its supervisor starts it again.

import { systemClock } from '../core/clock.ts';
import { coordinatorConfigSchema, loadConfig, redacted } from '../core/config.ts';
import { toFleetError } from '../core/errors.ts';
import { createLogger } from '../core/log.ts';
import { programAnswer } from '../core/system/program-help.ts';
import { outliveListeners } from '../core/system/standard-streams.ts';
import { onStopSignals } from '../core/system/stop-signals.ts';
import { packageVersion, sourceRevision } from '../core/system/version.ts';
import { printableLines } from '../core/text/printable.ts';
import { startCoordinator } from './coordinator.ts';

async function main(): Promise<number> {
  const argv = process.argv.slice(2);
  const answer = programAnswer(argv, { program: 'coordinator', schema: coordinatorConfigSchema });
  if (answer !== undefined) {
    process.stdout.write(answer);
    return 0;
  }
  const config = loadConfig(coordinatorConfigSchema, argv);
  const log = createLogger({
    program: 'coordinator',
    level: config.logLevel,
    bindings: { fleet: config.fleet },
  });
  log.info({ config: redacted(config) }, 'starting');
  const stopping = nextSignal();
  const coordinator = await startCoordinator({
    config,
    version: packageVersion(),
    revision: sourceRevision(),
    log,
    clock: systemClock,
  });
  const endpoints = { grpc: coordinator.endpoint, metrics: coordinator.metricsEndpoint };
  log.info(endpoints, coordinator.ready ? 'ready' : 'started, and not ready');
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

outliveListeners();
main().then(
  (code) => process.exit(code),
  (caught) => {
    process.stderr.write(`coordinator: ${printableLines(toFleetError(caught).message)}\n`);
    process.exit(1);
  },
);
