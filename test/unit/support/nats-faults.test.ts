import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { createNatsFaults } from '../../support/nats-faults.ts';

interface Command {
  readonly bytes: Buffer;
  readonly isExchange: boolean;
}

const payload = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
/** Payloads may hold line ends and what looks like commands. */
const tricky = fc
  .constantFrom('PUB pf.local.ar.x 3\r\nabc\r\n', '\r\n', '\r', '\n', '')
  .map((text) => Buffer.from(text));
const publication = fc
  .record({
    subject: fc.constantFrom(
      'pf.local.ar.u.run-1.2.all',
      'pf.local.ar.u.run-1.2.r.0',
      'pf.local.journal',
      'pf.local.history.u.run-1',
    ),
    body: fc.oneof(payload, tricky),
    withHeaders: fc.boolean(),
    reply: fc.constantFrom('', ' _INBOX.x'),
  })
  .map(({ subject, body, withHeaders, reply }): Command => {
    const headers = Buffer.from(withHeaders ? 'NATS/1.0\r\nA: b\r\n\r\n' : '');
    const sizes = withHeaders ? `${headers.length} ${headers.length + body.length}` : `${body.length}`;
    const line = `${withHeaders ? 'HPUB' : 'PUB'} ${subject}${reply} ${sizes}\r\n`;
    return {
      bytes: Buffer.concat([Buffer.from(line), headers, body, Buffer.from('\r\n')]),
      isExchange: subject.startsWith('pf.local.ar.'),
    };
  });
const control = fc
  .constantFrom(
    'CONNECT {"verbose":false}\r\n',
    'PING\r\n',
    'SUB pf.local.ar.u.run-1.2.all 4\r\n',
    'UNSUB 4\r\n',
  )
  .map((text): Command => ({ bytes: Buffer.from(text), isExchange: false }));
const conversation = fc.record({
  commands: fc.array(fc.oneof(publication, control), { maxLength: 12 }),
  cuts: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }),
});

function through(
  filter: (chunk: Buffer) => readonly Buffer[],
  bytes: Buffer,
  cuts: readonly number[],
): Buffer {
  const out: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = cuts[i % cuts.length]!;
    out.push(...filter(bytes.subarray(at, at + size)));
    at += size;
  }
  return Buffer.concat(out);
}

test('what is not armed passes unchanged, however it is cut into pieces', () => {
  fc.assert(
    fc.property(conversation, ({ commands, cuts }) => {
      const faults = createNatsFaults();
      const bytes = Buffer.concat(commands.map((command) => command.bytes));
      assert.deepEqual(through(faults.filter(), bytes, cuts), bytes);
      assert.equal(faults.passed, commands.filter((command) => command.isExchange).length);
    }),
  );
});

test('an armed fault hits the next publication of the exchange, whole, and nothing else', () => {
  fc.assert(
    fc.property(
      conversation,
      fc.constantFrom('drop' as const, 'duplicate' as const),
      ({ commands, cuts }, fault) => {
        const faults = createNatsFaults();
        void faults.arm(fault);
        const hit = commands.findIndex((command) => command.isExchange);
        const expected = commands.flatMap(({ bytes }, i) =>
          i !== hit ? [bytes] : fault === 'drop' ? [] : [bytes, bytes],
        );
        const bytes = Buffer.concat(commands.map((command) => command.bytes));
        assert.deepEqual(through(faults.filter(), bytes, cuts), Buffer.concat(expected));
        assert.equal(faults.done[fault], hit < 0 ? 0 : 1);
      },
    ),
  );
});
