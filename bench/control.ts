// `npm run bench:control`: what the control plane costs, against its goals. Decides nothing but which rows
// are measured: `--only NAME` picks some, `--trials` sizes the long journal, `--json` ends with one JSON object.

import { benchDecisions } from './control/decisions.ts';
import { benchIdle, benchThroughput, benchTurnaround } from './control/dispatch.ts';
import { benchStart, benchWatch } from './control/journals.ts';
import { benchMoves } from './control/moves.ts';
import { benchPeers } from './control/peers.ts';
import { benchPoints } from './control/points.ts';
import { benchProposals } from './control/proposals.ts';
import { benchTurns } from './control/turns.ts';
import { argumentsOf, type Goal, refuse, say, tell } from './goals.ts';

const ROWS: Readonly<Record<string, () => Promise<Measured> | Measured>> = {
  decide: benchDecisions,
  submit: benchTurns,
  propose: benchProposals,
  moves: () => benchMoves(Number(values.trials)),
  throughput: benchThroughput,
  turnaround: benchTurnaround,
  idle: benchIdle,
  start: () => benchStart(Number(values.trials)),
  watch: benchWatch,
  points: benchPoints,
  peers: benchPeers,
};
/** Only when they are asked for: they take minutes. */
const OPTIONAL = ['moves', 'peers'];

interface Measured {
  readonly goals: readonly Goal[];
  readonly rows: unknown;
}

const known = `--json, --trials N, --only NAME of ${Object.keys(ROWS).join(', ')}`;
const { values } = argumentsOf(
  {
    options: {
      json: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true },
      trials: { type: 'string', default: '100000' },
    },
  },
  known,
);
if (!/^[1-9]\d*$/.test(values.trials)) refuse(`--trials is "${values.trials}" and no whole number`, known);
const only = values.only ?? Object.keys(ROWS).filter((name) => !OPTIONAL.includes(name));
for (const name of only) if (ROWS[name] === undefined) refuse(`--only ${name} is no row`, known);

const goals: Goal[] = [];
const rows: Record<string, unknown> = {};
for (const name of only) {
  say(`${name}:`);
  const measured = await ROWS[name]!();
  goals.push(...measured.goals);
  rows[name] = measured.rows;
}
tell(goals, rows, values.json);
