// docs/metrics.md: every metric by its subject, from the catalogues of both programs.

import { COORDINATOR_METRICS } from '../../core/metrics/coordinator-catalogue.ts';
import { type Catalogue, type Description, SUBJECTS, type Subject } from '../../core/metrics/description.ts';
import { WORKER_METRICS } from '../../core/metrics/worker-catalogue.ts';

const HEAD = `# Metrics

Made from \`core/metrics/\` by \`npm run generate:monitoring\`. Coordinators and workers answer GET /metrics in the
text format of Prometheus, beside these with the usual metrics of a Node.js process (\`process_*\`, \`nodejs_*\`).
\`job\`, \`instance\`, \`namespace\`, \`pod\` and \`fleet\` come from the scrape: the chart's ServiceMonitor or the
targets that \`up --metrics-targets\` writes. What only a leader knows (work, queue, workers, store) is exported by
the coordinator that leads alone.

Series whose label values are listed exist from the start, at 0. Those of a run (worker) and of a sweep
(coordinator) stay for \`metricsKeepMs\` after its end, so that what lasts seconds is scraped too.
`;

/** The page. */
export function metricsPage(): string {
  const chapters = (Object.keys(SUBJECTS) as Subject[]).map(
    (subject) =>
      `\n## ${SUBJECTS[subject]}\n\n| metric | type | labels | of | what it is |\n|---|---|---|---|---|\n${rows(subject)}\n`,
  );
  return `${HEAD}${chapters.join('')}`;
}

function rows(subject: Subject): string {
  const lines = new Map<string, { readonly description: Description; readonly of: string[] }>();
  for (const [program, catalogue] of [
    ['coordinator', COORDINATOR_METRICS],
    ['worker', WORKER_METRICS],
  ] as const)
    for (const description of Object.values(catalogue as Catalogue)) {
      if (description.subject !== subject) continue;
      const known = lines.get(description.name);
      if (known === undefined) lines.set(description.name, { description, of: [program] });
      else known.of.push(program);
    }
  return [...lines.values()]
    .map(
      ({ description, of }) =>
        `| \`${description.name}\` | ${description.type} | ${labelsText(description)} | ${of.join(', ')} | ${description.help} |`,
    )
    .join('\n');
}

/** A component is named by the program itself. */
function labelsText({ labels }: Description): string {
  const texts = Object.entries(labels).map(([label, values]) =>
    values === 'open' || label === 'component' ? `\`${label}\`` : `\`${label}\`: ${values.join(', ')}`,
  );
  return texts.join('; ');
}
