// A process of a way, seen from the benchmark: one command a line goes in, one JSON answer a line comes out.
// Decides how such processes start and end; they end when their input does, so none is left even when the
// benchmark is killed.

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { FleetError } from '../../core/errors.ts';

/** Of a command; compiling a network may take minutes on a slow machine. */
const ANSWER_DEADLINE_MS = 900_000;
/** From the end of its input to being killed. */
const EXIT_GRACE_MS = 10_000;
const ERROR_TEXT_MAX = 4000;

export interface Member {
  readonly pid: number;
  ask(command: string): Promise<Readonly<Record<string, unknown>>>;
  close(): Promise<void>;
}

export interface Program {
  readonly file: string;
  readonly arguments: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}

/** Starts the process and waits for its first answer, which reports that it is ready. */
export async function startMember(program: Program): Promise<Member> {
  const child = spawn(program.file, program.arguments, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: program.environment,
  });
  const name = [program.file, ...program.arguments].join(' ');
  const asked = answersOf(child, name);
  const member: Member = {
    pid: child.pid ?? -1,
    ask(command) {
      child.stdin.write(`${command}\n`);
      return asked(command);
    },
    close: () => ended(child),
  };
  try {
    await asked('start');
    return member;
  } catch (caught) {
    await member.close();
    throw caught;
  }
}

/** A function that gives the next answer; commands are asked one after the other. */
function answersOf(child: ChildProcess, name: string) {
  let errors = '';
  let settle:
    | { resolve: (answer: Record<string, unknown>) => void; reject: (error: Error) => void }
    | undefined;
  child.stderr!.on('data', (chunk: Buffer) => {
    errors = (errors + chunk).slice(-ERROR_TEXT_MAX);
  });
  createInterface({ input: child.stdout! }).on('line', (line) => settle?.resolve(JSON.parse(line)));
  const fail = (why: string) => {
    const message = `a process of the benchmark ${why} (${name}): ${errors.trim().split('\n').slice(-8).join(' | ')}`;
    settle?.reject(new FleetError('internal', message));
  };
  child.on('error', (error) => fail(`did not start, ${error.message}`));
  child.on('close', (code) => fail(`ended with exit code ${code}`));
  // Writing to a process that has just ended fails too; the reason comes with its end.
  child.stdin!.on('error', () => {});
  return (command: string) =>
    new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
      if (child.exitCode !== null) return reject(new FleetError('internal', `${name} has ended: ${errors}`));
      const timer = setTimeout(
        () => fail(`did not answer ${command} within ${ANSWER_DEADLINE_MS / 1000} s`),
        ANSWER_DEADLINE_MS,
      );
      settle = {
        resolve: (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
    });
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined)
    return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), EXIT_GRACE_MS);
    child.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    child.stdin!.end();
  });
}
