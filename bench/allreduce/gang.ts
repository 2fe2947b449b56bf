// The member processes of one measurement: sends the same message to all at once and waits
// for all.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Broker } from './broker.ts';
import type { Command, Mode, Ran, Report } from './messages.ts';

export interface Gang {
  readonly ranks: number;
  size(mebibytes: number): Promise<void>;
  run(mode: Mode, iterations: number): Promise<readonly Ran[]>;
  /** MB/s from member 0 to member 1. */
  raw(mebibytes: number): Promise<number>;
  leave(): Promise<void>;
}

const MEMBER = fileURLToPath(new URL('./member.ts', import.meta.url));
const ANSWER_MS = 120_000;

interface Member {
  ask<K extends Report['kind']>(
    command: Command | undefined,
    answer: K,
  ): Promise<Extract<Report, { kind: K }>>;
  readonly ended: Promise<void>;
}

export async function startGang(ranks: number, broker: Broker): Promise<Gang> {
  const members = Array.from({ length: ranks }, startMember);
  const all = <K extends Report['kind']>(command: (rank: number) => Command | undefined, answer: K) =>
    Promise.all(members.map((member, rank) => member.ask(command(rank), answer)));
  const started = await all(() => undefined, 'started');
  const ringPorts = started.map(({ ringPort }) => ringPort);
  const { url, token, tls } = broker;
  await all((rank) => ({ kind: 'join', rank, ranks, ringPorts, url, token, tls }), 'joined');
  return {
    ranks,
    size: async (mebibytes) => void (await all(() => ({ kind: 'size', mebibytes }), 'ready')),
    run: (mode, iterations) => all(() => ({ kind: 'run', mode, iterations }), 'ran'),
    async raw(mebibytes) {
      const [sender, receiver] = members as [Member, Member];
      const { port } = await receiver.ask({ kind: 'raw-receive' }, 'listening');
      const received = receiver.ask(undefined, 'received');
      const bytes = mebibytes * 1024 * 1024;
      await sender.ask({ kind: 'raw-send', port, bytes }, 'sent');
      return bytes / 1e6 / (await received).seconds;
    },
    async leave() {
      for (const member of members) void member.ask({ kind: 'leave' }, 'ran').catch(() => {});
      await Promise.all(members.map(({ ended }) => ended));
    },
  };
}

function startMember(): Member {
  const child = fork(MEMBER, { execArgv: ['--import', import.meta.resolve('tsx')] });
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  const heard: Report[] = [];
  const waiting = new Set<() => void>();
  let gone = false;
  const wake = () => {
    for (const look of waiting) look();
  };
  child.on('message', (report: Report) => {
    heard.push(report);
    wake();
  });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      process.off('exit', onExit);
      gone = true;
      wake();
      resolve();
    });
  });
  return {
    ended,
    ask(command, answer) {
      type Wanted = Extract<Report, { kind: typeof answer }>;
      if (command !== undefined) child.send(command);
      return new Promise<Wanted>((resolve, reject) => {
        const settle = (work: () => void) => {
          clearTimeout(timer);
          waiting.delete(look);
          work();
        };
        const look = () => {
          const at = heard.findIndex(({ kind }) => kind === answer);
          if (at >= 0) settle(() => resolve(heard.splice(at, 1)[0] as Wanted));
          else if (gone) settle(() => reject(new Error(`a member ended before it said ${answer}`)));
        };
        const timer = setTimeout(
          () => settle(() => reject(new Error(`no ${answer} within ${ANSWER_MS} ms`))),
          ANSWER_MS,
        );
        waiting.add(look);
        look();
      });
    },
  };
}
