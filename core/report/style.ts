// The report's style sheet: one set of variables for light, one for dark. It loads nothing.

/** CSS, for a `style` element of the page. */
export const REPORT_STYLE = `
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1c2430; --soft: #5b6675; --rule: #e2e6ec;
  --good: #1a7f4b; --bad: #c0392b; --c0: #2f6fde; --c1: #d9652b; --c2: #1f9d76; --c3: #8a4fd0; --c4: #c2397a; --c5: #8a7415; --c6: #2a91ad; --c7: #6b7686; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1b212a; --ink: #e6eaf0; --soft: #9aa5b4; --rule: #2d3642;
  --good: #4cc38a; --bad: #f0705f; --c0: #6ea2ff; --c1: #f49a63; --c2: #4fcfa3; --c3: #b88bf0; --c4: #f07fb0; --c5: #d3bb4f; --c6: #62c4df; --c7: #98a3b2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 36px 20px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 40px 0 4px; }
h3 { font-size: 15px; margin: 0 0 10px; }
p { margin: 4px 0 14px; max-width: 76ch; }
.soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 22px 0 8px; }
.tile, .card { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; }
.tile { padding: 14px 16px; }
.tile b { display: block; white-space: nowrap; font-size: 22px; line-height: 1.25; font-weight: 650; letter-spacing: -0.01em; }
.tile span { color: var(--soft); font-size: 13px; }
.card { padding: 16px 18px; margin: 12px 0; overflow-x: auto; }
.two { display: grid; grid-template-columns: repeat(auto-fill, minmax(420px, 1fr)); gap: 14px; margin: 12px 0; align-items: start; }
.two .card { margin: 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 550; font-size: 12.5px; padding: 4px 14px 6px 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
th.n, td.n { text-align: right; white-space: nowrap; }
tr.chosen td { font-weight: 620; }
.badge { display: inline-block; font-size: 12px; font-weight: 600; padding: 0 8px; border-radius: 99px; border: 1px solid var(--c1); color: var(--ink); }
code { font: 11.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: var(--soft); }
svg { width: 100%; min-width: 460px; height: auto; display: block; } svg.wide { min-width: 760px; }
[tabindex]:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
svg text { fill: var(--soft); font-size: 12px; font-family: inherit; }
svg text.name { fill: var(--ink); }
.grid { stroke: var(--rule); fill: none; } .axis { stroke: var(--soft); fill: none; } .guide { stroke: var(--soft); stroke-dasharray: 4 5; fill: none; }
.line { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke: currentColor; } .faint { opacity: 0.22; stroke-width: 1.2; }
.line.d1 { stroke-dasharray: 9 4; } .line.d2 { stroke-dasharray: 2.5 3.5; } .line.d3 { stroke-dasharray: 12 4 2.5 4; }
.dot circle { fill: currentColor; fill-opacity: 0.85; stroke: var(--card); stroke-width: 1.5; } .dot text { fill: var(--soft); } .chosen text { fill: var(--ink); font-weight: 620; }
.op rect { fill: currentColor; fill-opacity: 0.14; stroke: currentColor; } .node rect, .node circle { fill: var(--card); stroke: var(--soft); } .share { fill: currentColor; }
.span { fill: currentColor; fill-opacity: 0.85; } .mark { stroke: var(--ink); stroke-width: 1.6; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; padding: 6px 0 0 60px; color: var(--soft); font-size: 13px; }
.swatch { width: 34px; min-width: 0; height: 8px; display: inline-block; margin-right: 7px; vertical-align: middle; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(236px, 1fr)); gap: 14px; }
.pair { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 12px; font-size: 13px; }
.pair img { width: calc(50% - 4px); aspect-ratio: 1; border-radius: 8px; image-rendering: auto; background: var(--rule); }
.pair img + img { margin-left: 8px; }
.meter { position: relative; height: 6px; border-radius: 3px; background: var(--rule); margin: 9px 0 6px; }
.meter i { position: absolute; inset: 0 auto 0 0; border-radius: 3px; background: currentColor; }
.meter u { position: absolute; top: -4px; bottom: -4px; width: 2px; background: var(--ink); }
.right { color: var(--good); } .wrong { color: var(--bad); } .pair .what { color: var(--ink); font-weight: 600; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); } .c7 { color: var(--c7); }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--soft); } pre { overflow-x: auto; font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace; }
@media (max-width: 520px) { .two { grid-template-columns: 1fr; } }
`;
