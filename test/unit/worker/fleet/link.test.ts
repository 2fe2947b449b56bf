import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import { systemClock } from '../../../../core/clock.ts';
import type { FleetError } from '../../../../core/errors.ts';
import { createLogger } from '../../../../core/log.ts';
import { startGrpcServer } from '../../../../core/net/grpc-server.ts';
import { WorkerServiceService } from '../../../../proto/gen/pocketfleet/v1/worker.ts';
import { openLink } from '../../../../worker/fleet/link.ts';
import { assertNothingLeft } from '../../../support/processes.ts';

test('a worker that the coordinator does not understand stops dialling and tells why; one that is unwanted now dials again', async () => {
  let dials = 0;
  const attach = (stream: ServerDuplexStream<unknown, unknown>) => {
    dials += 1;
    const code = dials < 3 ? status.UNAVAILABLE : status.INVALID_ARGUMENT;
    stream.once('data', () => stream.emit('error', { code, details: 'hello: workerId: not so' }));
  };
  const server = await startGrpcServer({
    listen: '127.0.0.1:0',
    token: 'secret',
    services: [{ definition: WorkerServiceService, implementation: { attach } }],
    healthOf: [],
  });
  let refused!: (reason: FleetError) => void;
  const refusal = new Promise<FleetError>((resolve) => {
    refused = resolve;
  });
  const link = openLink({
    endpoint: server.endpoint,
    token: 'secret',
    clock: systemClock,
    log: createLogger({ program: 'test', level: 'silent' }),
    hello: () => ({
      ...{ workerId: 'w', incarnation: 'i', version: '', host: '', pid: 1, device: undefined },
      ...{ slots: 1, leases: [], metricsEndpoint: '', podUid: '', fleet: '' },
    }),
    heartbeat: () => ({ leases: [] }),
    onWelcome: () => undefined,
    onCommand: () => undefined,
    onRefused: refused,
  });
  const { code, message } = await refusal;
  assert.deepEqual(
    { code, message, dials },
    { code: 'invalidArgument', message: 'hello: workerId: not so', dials: 3 },
  );
  await link.close();
  assert.equal(dials, 3);
  await server.close(0);
  await assertNothingLeft([], [Number(server.endpoint.split(':').at(-1))]);
});
