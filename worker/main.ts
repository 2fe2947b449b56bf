// The worker program. Decides the order of starting (config, libraries, compute thread, proof of the device,
// metrics, broker, agent) and of stopping: the first SIGTERM or SIGINT drains, the second exits at once.

import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../core/clock.ts';
import {
  cacheFolder,
  cudaVisibleDevices,
  dataRoots,
  environmentValues,
  loadConfig,
  redacted,
  setNativeEnvironment,
  tensorflowChosen,
  type WorkerConfig,
  workerConfigSchema,
  workerLabels,
} from '../core/config.ts';
import { createInspections, type Inspections } from '../core/data/inspection/inspections.ts';
import { FleetError, toFleetError } from '../core/errors.ts';
import { createLogger, type Logger } from '../core/log.ts';
import { clientTls } from '../core/net/client-tls.ts';
import { serveMetrics } from '../core/net/http-server.ts';
import { answerPresence } from '../core/net/presence.ts';
import type { Names } from '../core/net/subjects.ts';
import { fileExpiryMs, identityFiles } from '../core/net/tls-files.ts';
import { tokenSource } from '../core/net/token-source.ts';
import { randomId } from '../core/rng.ts';
import { hasCudaDriver, listGpus } from '../core/system/gpus.ts';
import { programAnswer } from '../core/system/program-help.ts';
import { outliveListeners } from '../core/system/standard-streams.ts';
import { onStopSignals } from '../core/system/stop-signals.ts';
import { packageVersion, sourceRevision } from '../core/system/version.ts';
import { installedFor } from '../core/tensor/pjrt/binding.ts';
import { addressesOf } from '../core/text/host-port.ts';
import { printableLines } from '../core/text/printable.ts';
import { type BrokerDial, createBrokerDial } from './broker-dial.ts';
import { type Compute, createCompute } from './compute/client.ts';
import { describeDevice, KERNEL_VARIABLES, kernelSettings, nativeEnvironment } from './compute/device.ts';
import { chooseDevice } from './compute/device-choice.ts';
import { decidedEngine } from './compute/engine-trial.ts';
import { reasonForNoGpu } from './compute/missing-gpu.ts';
import { numericalCode } from './compute/numerical-code.ts';
import { createRecorder, type Recorder } from './compute/recorder.ts';
import { type Agent, createAgent, type Identity } from './fleet/agent.ts';
import { namesIn } from './fleet/welcome.ts';
import { createMetrics, type WorkerMetrics } from './metrics.ts';
import { createDatasets, usualDataThreads } from './run/datasets.ts';
import { createTimeline, type Timeline } from './run/timeline.ts';
import { createSupernets } from './training/inherited.ts';
import { createRowProofs } from './training/row-proof.ts';
import { createTeacherBlocks } from './training/teacher-blocks.ts';
import { createTeacherRows } from './training/teacher-rows.ts';

async function main(): Promise<void> {
  const argv = process.argv.slice(2);
  const answer = programAnswer(argv, { program: 'worker', schema: workerConfigSchema });
  if (answer !== undefined) {
    process.stdout.write(answer);
    return;
  }
  // The clock began with the process: loading the program counts too.
  const timeline = createTimeline(systemClock, 0);
  const starting = timeline.open();
  const config = loadConfig(workerConfigSchema, argv);
  const { choice, kernels, engine } = await prepareLibraries(config);
  const log = createLogger({ program: 'worker', level: config.logLevel, bindings: { worker: config.id } });
  log.info(redacted(config), 'starting');
  // A plugin that ends the process leaves no other word.
  if (engine.wanted === 'pjrt') log.info({ plugin: installedFor(choice.gpu) }, 'opening the plugin of PJRT');
  const version = packageVersion();
  const releases: (() => Promise<unknown> | unknown)[] = [];
  const stop = async () => {
    for (const release of releases.splice(0).reverse()) await release();
  };

  const cacheDir = config.cacheDir === '' ? cacheFolder() : config.cacheDir;
  const graphCache = join(cacheDir, 'graphs');
  const compute = createCompute({
    cacheDir: graphCache,
    engine,
    onJob: (kind, busyMs) => metrics.computeBusy.inc({ kind }, busyMs / 1000),
    owner: starting.owner,
    onIdle: timeline.computesNothing,
  });
  releases.push(() => compute.close());
  let agent: Agent | undefined;
  const brokerLink = { up: false };
  const metrics = createMetrics({
    ...{ version, revision: sourceRevision(), keepMs: config.metricsKeepMs, now: systemClock.monotonic },
    queuedJobs: compute.queuedJobs,
    threadGauges: compute.threadGauges,
    heldRuns: () => agent?.heldRuns() ?? 0,
    certificateExpiryMs: () => fileExpiryMs(config.tlsCertFile),
    connections: () => ({
      nats: brokerLink.up,
      coordinator: agent?.attached() ?? false,
    }),
  });
  let computeLives = true;
  void compute.died.then((reason) => {
    computeLives = false;
    log.fatal({ code: reason.code }, `${reason.message}; the process ends, and its runs go on elsewhere`);
    process.exit(1);
  });
  const proof = await compute.proveDevice();
  if (proof.kind === 'cpu' && choice.required !== undefined) {
    await stop();
    throw new FleetError(
      'failedPrecondition',
      `TensorFlow uses no GPU, and ${choice.required}: ${await reasonForNoGpu()}; mend that, or start it with --device cpu (POCKETFLEET_DEVICE=cpu)`,
    );
  }
  const device = describeDevice(proof, config.threads, kernels, config.deviceId);
  if (proof.engine.name === 'tensorflow' && proof.engine.instead !== undefined)
    log.warn(`TensorFlow computes, and not PJRT: ${proof.engine.instead}`);
  if (proof.engine.name === 'tensorflow' && config.engineDevices > 1)
    log.warn(
      `engineDevices (POCKETFLEET_ENGINE_DEVICES) is ${config.engineDevices}, and TensorFlow computes on one device`,
    );
  const devices = proof.devices.map(({ id }) => id);
  log.info(
    { deviceClass: device.deviceClass, device: device.name, devices, ranOn: proof.ranOn },
    'device proved',
  );
  const server = await serveMetrics({
    listen: config.metricsListen,
    registry: metrics.registry,
    probes: {
      '/healthz': () => (computeLives ? undefined : 'the compute thread has ended'),
      '/readyz': () =>
        agent?.attached() ? undefined : `not attached to the coordinator at ${config.coordinator}`,
    },
  });
  releases.push(() => server.close());

  const dial = createBrokerDial({ config, log, metrics, brokerLink }, releases);
  const { brokerKey } = dial;
  const identity: Identity = {
    workerId: config.id,
    incarnation: randomId(),
    version,
    host: hostname(),
    pid: process.pid,
    device,
    code: numericalCode(),
    slots: config.slots,
    labels: workerLabels(config),
    metricsEndpoint: server.endpoint,
    podUid: config.podUid,
    fleet: config.fleet,
    ...(brokerKey === undefined ? {} : { brokerKey }),
  };
  void dial.broker.then(({ control, names }) => answerPresence(control, names, identity));
  const dataCache = join(cacheDir, 'data');
  const inspections = createInspections({ roots: dataRoots(config), cacheDir: dataCache });
  releases.push(() => inspections.close());
  agent = startAgent({
    ...{ config, log, metrics, compute, dial, identity, dataCache, inspections, timeline },
    recorder: createRecorder({ cacheDir: graphCache, engine }),
    onWelcome: starting.end,
  });
  releases.push(() => agent?.close());
  stopOnSignals({ agent, log, metrics, stop });
}

/**
 * Chooses the device and sets the environment of the native libraries. This comes before anything loads
 * TensorFlow or starts the thread that will, because the libraries read these variables once, when they are
 * loaded.
 */
async function prepareLibraries(config: WorkerConfig) {
  // Whoever asks for another device or engine needs nothing of it, however it is.
  const plugin =
    config.device !== 'cpu' && config.engine !== 'tensorflow' && installedFor(true) !== undefined;
  const choice = chooseDevice({
    wanted: config.device,
    gpus: config.device === 'cpu' ? [] : listGpus(),
    visible: cudaVisibleDevices(),
    driver: hasCudaDriver(),
    plugin,
    cpuLibraryChosen: tensorflowChosen() === 'cpu',
    memoryShare: config.gpuMemoryShare,
  });
  const engine = await decidedEngine({
    ...{ wanted: config.engine, gpu: choice.gpu, memoryShare: config.gpuMemoryShare },
    devices: config.engineDevices,
  });
  const kernels = kernelSettings(environmentValues(KERNEL_VARIABLES), choice.gpu, engine.wanted);
  // TensorFlow records the graphs of PJRT too, and must not take the memory in which these compute.
  const shares = choice.gpu && engine.wanted === 'pjrt' ? { TF_FORCE_GPU_ALLOW_GROWTH: 'true' } : {};
  setNativeEnvironment({
    ...nativeEnvironment(config.threads, kernels),
    ...choice.environment,
    ...shares,
  });
  return { choice, kernels, engine };
}

function startAgent(parts: {
  readonly config: WorkerConfig;
  readonly log: Logger;
  readonly metrics: WorkerMetrics;
  readonly compute: Compute;
  readonly dial: BrokerDial;
  readonly identity: Identity;
  readonly dataCache: string;
  readonly inspections: Inspections;
  readonly timeline: Timeline;
  readonly recorder: Recorder;
  /** A coordinator has taken this worker. */
  readonly onWelcome: () => void;
}): Agent {
  const { config, log, metrics, compute, dial, identity, dataCache, inspections, timeline } = parts;
  const { device, workerId, host } = identity;
  const roots = dataRoots(config);
  let names: Names | undefined;
  return createAgent({
    endpoints: addressesOf(config.coordinator),
    token: tokenSource(config),
    tls: clientTls(identityFiles(config), config.tlsServerName),
    identity,
    services: ({ report, reportLatest }) => ({
      workerId,
      host,
      deviceClass: device.deviceClass,
      code: identity.code,
      clock: systemClock,
      log,
      compute,
      recorder: parts.recorder,
      datasets: createDatasets({
        threads: config.dataThreads || usualDataThreads(device.kind, availableParallelism()),
        cacheDir: dataCache,
        roots,
      }),
      teacherBlocks: createTeacherBlocks(),
      supernets: createSupernets(),
      teacherRows: createTeacherRows(),
      rowProofs: createRowProofs(),
      inspections,
      roots,
      metrics,
      timeline,
      broker: dial.broker,
      report,
      reportLatest,
    }),
    onWelcome: (welcome) => {
      parts.onWelcome();
      try {
        names = namesIn(welcome, names);
      } catch (caught) {
        log.fatal(toFleetError(caught).message);
        process.exit(1);
      }
      log.info({ fleet: welcome.fleet }, `attached to fleet ${welcome.fleet}`);
      dial.connectOnce({
        ...{ url: config.natsUrl === '' ? welcome.natsUrl : config.natsUrl, names },
        jwt: welcome.brokerRights?.jwt,
      });
    },
    onRights: dial.renew,
    onAttach: () => metrics.attaches.inc(),
    onRefused(reason) {
      log.fatal({ code: reason.code }, `the coordinator refuses this worker: ${reason.message}`);
      process.exit(1);
    },
  });
}

function stopOnSignals(options: {
  readonly agent: Agent;
  readonly log: Logger;
  readonly metrics: WorkerMetrics;
  readonly stop: () => Promise<void>;
}): void {
  const { agent, log, metrics, stop } = options;
  let asked = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    asked += 1;
    if (asked > 1) {
      log.warn({ signal }, 'asked again: exits at once');
      process.exit(1);
    }
    log.info({ signal, runs: agent.heldRuns() }, 'draining: its runs go to others, then it leaves');
    const askedAt = systemClock.monotonic();
    agent
      .drain()
      .then(() => metrics.drainDuration.observe((systemClock.monotonic() - askedAt) / 1000))
      .then(stop)
      .then(() => {
        log.info('left');
        process.exit(0);
      })
      .catch((caught: unknown) => {
        log.fatal(`stopping: ${toFleetError(caught).message}`);
        process.exit(1);
      });
  };
  onStopSignals(onSignal);
}

outliveListeners();
main().catch((caught: unknown) => {
  const error = toFleetError(caught);
  process.stderr.write(`worker: ${printableLines(error.message)}\n`);
  process.exit(1);
});
