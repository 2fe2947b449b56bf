// The ledger of a run with all its entries, which come in pages.

import type { Ledger } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import { listAll } from '../pages.ts';

/** By the id or unique name of the run. */
export async function wholeLedger(client: FleetClient, run: string): Promise<Ledger> {
  let newest: Ledger | undefined;
  const { items } = await listAll(
    async (page) => {
      newest = await client.ask((service) => service.getLedger, { runId: run, ...page });
      return newest;
    },
    (ledger) => ledger.entries,
  );
  return { ...newest!, entries: items };
}
