import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import { systemClock } from '../../../../core/clock.ts';
import { FleetError } from '../../../../core/errors.ts';
import { createLogger } from '../../../../core/log.ts';
import { startGrpcServer } from '../../../../core/net/grpc-server.ts';
import { PROTOCOL } from '../../../../core/net/protocol.ts';
import {
  Welcome,
  type WorkerCommand,
  WorkerServiceService,
} from '../../../../proto/gen/pocketfleet/v1/worker.ts';
import { openLink } from '../../../../worker/fleet/link.ts';
import { accessWith } from '../../../support/access.ts';
import { assertNothingLeft, freePort, until } from '../../../support/processes.ts';

const common = {
  token: 'secret',
  clock: systemClock,
  log: createLogger({ program: 'test', level: 'silent' }),
  hello: () => ({
    ...{ workerId: 'w', incarnation: 'i', version: '', host: '', pid: 1, device: undefined },
    ...{ slots: 1, leases: [], metricsEndpoint: '', podUid: '', labels: {}, fleet: '', protocol: PROTOCOL },
  }),
  heartbeat: () => ({ leases: [] }),
  onWelcome: () => undefined,
  onCommand: () => undefined,
  onRefused: () => undefined,
};

test('a worker that the coordinator does not understand stops dialling and tells why; one that is unwanted now dials again', async () => {
  let dials = 0;
  const attach = (stream: ServerDuplexStream<unknown, unknown>) => {
    dials += 1;
    const code = dials < 3 ? status.UNAVAILABLE : status.INVALID_ARGUMENT;
    stream.once('data', () => stream.emit('error', { code, details: 'hello: workerId: not so' }));
  };
  const server = await startGrpcServer({
    listen: '127.0.0.1:0',
    access: accessWith('secret'),
    services: [{ definition: WorkerServiceService, implementation: { attach } }],
    healthOf: [],
  });
  let refused!: (reason: FleetError) => void;
  const refusal = new Promise<FleetError>((resolve) => {
    refused = resolve;
  });
  const link = openLink({ ...common, endpoints: [server.endpoint], onRefused: refused });
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

test('of several addresses the worker finds the one that leads, also one that it was not given', async (t) => {
  const welcome = { ...Welcome.fromPartial({}), heartbeatIntervalMs: 60_000 };
  let dials = 0;
  const attach = (stream: ServerDuplexStream<unknown, WorkerCommand>) => {
    dials += 1;
    stream.on('error', () => undefined);
    stream.once('data', () => stream.write({ kind: { $case: 'welcome', value: welcome } }));
  };
  const start = () =>
    startGrpcServer({
      listen: '127.0.0.1:0',
      access: accessWith('secret'),
      services: [{ definition: WorkerServiceService, implementation: { attach } }],
      healthOf: [],
    });
  const [standby, leader] = [await start(), await start()];
  const standsBy = (at: string) => {
    const details = { standby: true, leader: at };
    return new FleetError('unavailable', `the leader is at ${at}`, { details });
  };
  standby.refuse(standsBy(leader.endpoint));
  const dead = `127.0.0.1:${await freePort()}`;
  const link = openLink({ ...common, endpoints: [dead, standby.endpoint] });
  t.after(async () => {
    await link.close();
    await Promise.all([standby.close(0), leader.close(0)]);
    await assertNothingLeft([], [standby.endpoint, leader.endpoint].map(portOf));
  });
  await until('it attaches to the leader', () => link.attached());
  assert.equal(dials, 1);
  // They change places: the stream ends, and the answer of the old leader names the new one.
  standby.refuse(undefined);
  leader.refuse(standsBy(standby.endpoint));
  await until('it attaches to the other', () => dials === 2 && link.attached());
});

const portOf = (endpoint: string) => Number(endpoint.split(':').at(-1));
