// The report in a real browser: axe-core finds nothing to object to, on a desk, on a telephone, in light and in dark. Not
// part of `npm test`, because a browser is in no package that set-up installs: `npm run test:browser` with chromium on PATH.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import puppeteer, { type Browser } from 'puppeteer-core';
import { programSearch } from '../../core/config.ts';
import { reportHtml } from '../../core/report/plan-report.ts';
import { searchDrawing } from '../../core/report/search-drawing.ts';
import { searchedStages } from '../../core/report/searched-stages.ts';
import { standaloneSvg } from '../../core/report/standalone-svg.ts';
import { reportData, searched } from '../unit/report/report-data.ts';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

interface Violation {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

let browser: Browser;

before(async () => {
  const program = programSearch()
    .path.flatMap((folder) =>
      ['chromium', 'chromium-browser', 'google-chrome'].map((name) => join(folder, name)),
    )
    .find((path) => existsSync(path));
  assert.ok(program, 'chromium is not on PATH; `apt-get install chromium` brings it');
  browser = await puppeteer.launch({ executablePath: program, args: ['--no-sandbox'] });
});

after(() => browser?.close());

for (const scheme of ['light', 'dark'] as const)
  for (const width of [1280, 390])
    test(`axe-core objects to nothing at ${width} px in ${scheme}`, async () => {
      const page = await browser.newPage();
      try {
        await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
        await page.setViewport({ width, height: 900 });
        const data = reportData();
        await page.setContent(reportHtml({ ...data, runs: [searched(), ...data.runs] }));
        await page.addScriptTag({ path: AXE });
        const violations = (await page.evaluate(
          'axe.run({ resultTypes: ["violations"] }).then((found) => found.violations)',
        )) as Violation[];
        const said = violations.map(
          ({ id, impact, nodes }) => `${id} (${impact}): ${nodes.map((node) => node.html).join(' | ')}`,
        );
        assert.deepEqual(said, []);
        // A page that scrolls sideways as a whole hides its tables; only their boxes may.
        const overflow = await page.evaluate('document.documentElement.scrollWidth - window.innerWidth');
        assert.ok(Number(overflow) <= 0, `the page is ${overflow} px wider than the screen`);
      } finally {
        await page.close();
      }
    });

test('the drawing of a search is a file that a browser shows: no part covers another or leaves the picture', async () => {
  const page = await browser.newPage();
  try {
    const stages = searchedStages(searched().checkpoints);
    const file = standaloneSvg(searchDrawing(stages, { title: 'Search of <run> & "more"' }));
    const [, wide, tall] = /viewBox="0 0 (\S+) (\S+)"/.exec(file)!.map(Number);
    await page.setViewport({ width: wide!, height: tall! });
    await page.goto(`data:image/svg+xml;base64,${Buffer.from(file).toString('base64')}`);
    const boxes = (await page.evaluate(
      `[...document.documentElement.querySelectorAll(':scope > svg')].map((part) => {
        const { x, y, width, height } = part.getBoundingClientRect();
        return { x, y, width, height };
      })`,
    )) as { x: number; y: number; width: number; height: number }[];
    // Drift, two heat maps, and three cells.
    assert.equal(boxes.length, 6);
    const { width, height } = (await page.evaluate(
      '(({ width, height }) => ({ width, height }))(document.documentElement.getBoundingClientRect())',
    )) as { width: number; height: number };
    for (const [at, box] of boxes.entries()) {
      assert.ok(box.width > 100 && box.height > 50, `part ${at}: ${JSON.stringify(box)}`);
      assert.ok(box.x >= 0 && box.x + box.width <= width + 1 && box.y + box.height <= height + 1);
      for (const other of boxes.slice(at + 1)) {
        const isApart = box.x + box.width <= other.x + 1 || box.y + box.height <= other.y + 1;
        assert.ok(isApart, `part ${at} covers another: ${JSON.stringify([box, other])}`);
      }
    }
  } finally {
    await page.close();
  }
});
