// The ledger of a run with all its entries, which come in pages.

import type { Ledger } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import { listAll } from '../pages.ts';

/** All entries of the ledger of a run, which is named by its id or its unique name. */
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
