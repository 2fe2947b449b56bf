// A chart of the report as a file of its own. Decides its colours, since those of the page around it are missing.

const STYLE =
  '<style>svg{background:#fff;color:#1c2430}text{fill:#5b6675;font:12px system-ui,sans-serif}text.name{fill:#1c2430}' +
  '.c0{color:#2f6fde}.c1{color:#d9652b}.c2{color:#1f9d76}.c3{color:#8a4fd0}.c4{color:#c2397a}.c5{color:#8a7415}.c6{color:#2a91ad}.c7{color:#6b7686}' +
  '.grid{stroke:#e2e6ec;fill:none}.axis{stroke:#5b6675;fill:none}.dot circle{fill:currentColor}.chosen text{fill:#1c2430}' +
  '.line{fill:none;stroke:currentColor;stroke-width:2.2}.line.d1{stroke-dasharray:9 4}.op rect{fill:currentColor;fill-opacity:.14;stroke:currentColor}' +
  '.node rect,.node circle{fill:#fff;stroke:#5b6675}.share{fill:currentColor}</style>';

/** The text of an SVG file from an `svg` element of this folder. */
export function standaloneSvg(element: string): string {
  return `${element.replace('<svg', '<svg xmlns="http://www.w3.org/2000/svg"').replace('>', `>${STYLE}`)}\n`;
}
