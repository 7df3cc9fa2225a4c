/** The page's looks: light and dark by the reader's setting, no font or image from elsewhere. */

export const PAGE_STYLE = `
:root { color-scheme: light dark; --paper: #fbfbf9; --card: #ffffff; --ink: #1d2327; --soft: #5f6b73; --line: #dfe3e6;
  --wire: #2457c5; --user: #c2570c; --idle: #2457c5; --busy: #c2570c; --good: #1a7f4b; --bad: #c62828;
  --idle-band: rgba(36, 87, 197, .05); --busy-band: rgba(194, 87, 12, .10); }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181b; --card: #1c2226; --ink: #e8ecee; --soft: #9aa7af; --line: #323b41;
    --wire: #7fa8ff; --user: #ffa15c; --idle: #7fa8ff; --busy: #ffa15c; --good: #5fd39b; --bad: #ff8a80;
    --idle-band: rgba(127, 168, 255, .06); --busy-band: rgba(255, 161, 92, .12); } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
.brand { margin: 0; color: var(--soft); letter-spacing: .08em; text-transform: uppercase; font-size: .8rem; }
h1 { margin: .2rem 0 .6rem; font-size: 2.2rem; line-height: 1.15; }
h2 { margin: 0 0 1rem; font-size: 1.25rem; }
.lead { max-width: 44rem; font-size: 1.1rem; color: var(--soft); margin: 0; }
.note { border-left: 3px solid var(--busy); padding-left: .8rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.5rem; margin-top: 1.5rem; }
.pair { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); }
.facts { list-style: none; display: flex; flex-wrap: wrap; gap: .6rem 2rem; margin: 0 0 1.2rem; padding: 0; color: var(--soft); }
.facts b { color: var(--ink); font-size: 1.4rem; font-variant-numeric: tabular-nums; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .35rem .5rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child { text-align: left; font-weight: 500; }
thead th { color: var(--soft); font-weight: 600; }
.fine, footer { color: var(--soft); font-size: .88rem; }
footer { margin-top: 2rem; }
figure { margin: 0 0 1.2rem; min-width: 0; }
figcaption { font-size: .9rem; font-weight: 600; margin-bottom: .3rem; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--soft); }
svg .tick, svg .label, svg .legend, svg .band-label { fill: var(--soft); }
svg .line { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; }
svg .area { fill: currentColor; opacity: .22; stroke: none; } svg .key { fill: currentColor; }
svg .wire { color: var(--wire); } svg .user { color: var(--user); }
svg .idle-line { color: var(--idle); } svg .busy-line { color: var(--busy); }
svg .idle .band { fill: var(--idle-band); } svg .busy .band { fill: var(--busy-band); }
.promises { list-style: none; margin: 0; padding: 0; }
.promises li { padding: .5rem 0; border-bottom: 1px solid var(--line); }
.promises small { display: block; color: var(--soft); overflow-wrap: anywhere; }
.promises b { display: inline-block; min-width: 4rem; }
.holds b { color: var(--good); } .broken b { color: var(--bad); }
@media print { body { background: none; } section { break-inside: avoid; } }
`;
