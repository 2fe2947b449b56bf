import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coordinatorConfigSchema, loadConfig, workerConfigSchema } from '../../../core/config.ts';
import { formatHostPort, parseHostPort } from '../../../core/text/host-port.ts';

test('names and addresses are read, and written as they were', () => {
  const addresses: readonly (readonly [string, string, number])[] = [
    ['localhost:7070', 'localhost', 7070],
    [
      'pocketfleet-coordinator.faces.svc.cluster.local:7070',
      'pocketfleet-coordinator.faces.svc.cluster.local',
      7070,
    ],
    ['0.0.0.0:0', '0.0.0.0', 0],
    ['[::]:7070', '::', 7070],
    ['[::1]:65535', '::1', 65_535],
    ['[fd00::2]:443', 'fd00::2', 443],
    ['[fe80::1%eth0]:7070', 'fe80::1%eth0', 7070],
    ['[::ffff:10.0.0.1]:1', '::ffff:10.0.0.1', 1],
  ];
  for (const [text, host, port] of addresses) {
    assert.deepEqual(parseHostPort(text), { host, port });
    assert.equal(formatHostPort({ host, port }), text);
  }
});

test('what is no address is refused with what it is and what to write', () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['::1:7070', /an IPv6 address is in brackets: \[::1\]:7070/],
    ['fd00::2:7070', /in brackets: \[fd00::2\]:7070/],
    [':::7070', /in brackets: \[::\]:7070/],
    ['fe80::1', /in brackets: \[fe80::1\]:7070/],
    ['2001:db8:0:0:0:0:0:1', /in brackets: \[2001:db8:0:0:0:0:0:1\]:7070/],
    ['[::1]', /the port is missing: \[::1\]:7070/],
    ['[::1]7070', /"\[::1\]7070" is not host:port/],
    ['[10.0.0.1]:7070', /"10\.0\.0\.1" is no IPv6 address/],
    ['localhost', /the port is missing: localhost:7070/],
    ['localhost:', /"" is no port/],
    ['localhost:http', /"http" is no port/],
    ['localhost:65536', /"65536" is no port, a number up to 65535/],
    ['localhost:-1', /"-1" is no port/],
    [':7070', /the host is missing: localhost:7070/],
    ['http://localhost:7070', /it is a URL/],
    ['a b:7070', /"a b" is no host/],
    ['user@host:7070', /"user@host" is no host/],
    ['a:b:7070', /"a:b" is no host/],
    ['', /the host is missing/],
  ];
  for (const [text, reason] of refused)
    assert.throws(
      () => parseHostPort(text),
      (error: Error) => reason.test(error.message) && error.message.includes('is not host:port'),
      text,
    );
});

test('the programs take IPv6 addresses, and say which option has one without brackets', () => {
  const coordinator = loadConfig(
    coordinatorConfigSchema,
    ['--listen', '[::]:7070', '--metrics-listen', '[::1]:0'],
    {},
  );
  assert.deepEqual([coordinator.listen, coordinator.metricsListen], ['[::]:7070', '[::1]:0']);
  const worker = loadConfig(workerConfigSchema, ['--id', 'w', '--coordinator', '[fd00::2]:7070'], {});
  assert.equal(worker.coordinator, '[fd00::2]:7070');
  assert.throws(
    () => loadConfig(coordinatorConfigSchema, ['--listen', '::1:7070'], {}),
    /in brackets: \[::1\]:7070.*listen/s,
  );
  assert.throws(
    () => loadConfig(workerConfigSchema, ['--id', 'w', '--coordinator', 'host:0'], {}),
    /names port 0, where nobody listens/,
  );
});
