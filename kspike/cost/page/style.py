"""The looks of the page: two colour schemes, one column in a narrow window, paper without shadows."""

STYLE = """
:root{color-scheme:light dark;--ink:#18202c;--dim:#5a6575;--page:#f3f5f8;--card:#fff;--line:#dde2ea;
--ac:#2f6fb4;--mac:#d8741f;--first:#2f6fb4;--second:#b0408f;--heat:#174a86;--on-heat:#fff;
--silent:#6b7483;--saturated:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e7ebf1;--dim:#9ba6b5;--page:#0f1319;--card:#181d26;--line:#2c3440;
--ac:#62a5ea;--mac:#f0985a;--first:#62a5ea;--second:#e58ac9;--heat:#8ec3f7;--on-heat:#0b1420;
--silent:#a3adba;--saturated:#ff8a80}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
color:var(--ink);background:var(--page);margin:0}
main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem 3rem}main.two{max-width:84rem}
h1{font-size:1.65rem;line-height:1.25;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:0 0 .25rem}h3{font-size:.95rem;margin:0 0 .5rem}
p{margin:.25rem 0}.dim{color:var(--dim)}.note{max-width:46rem;margin-bottom:.75rem;font-size:.875rem}
section,.tile,.finding{background:var(--card);border:1px solid var(--line);border-radius:10px}
section{padding:1.1rem 1.25rem;margin-top:1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:.75rem;margin-top:1.25rem}
.tile{padding:.8rem .95rem;font-size:.8125rem}
.tile h3{font-size:.8125rem;font-weight:600;color:var(--dim);margin:0 0 .15rem}
.big{font-size:1.55rem;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums;white-space:nowrap}
.big small{font-size:.9rem;font-weight:500;color:var(--dim)}
.mark{display:block;font-weight:600;margin-top:.45rem;overflow-wrap:anywhere}
.times{font-weight:650;color:var(--ink);white-space:nowrap}
b.first,h3.first,.mark.first{color:var(--first)}b.second,h3.second,.mark.second{color:var(--second)}
.finding{padding:.8rem 1.1rem;margin-top:1rem;border-left:5px solid var(--silent)}
.finding.saturated{border-left-color:var(--saturated)}
.finding h3{margin:0}.finding ul{display:flex;flex-wrap:wrap;gap:.35rem;list-style:none;margin:.4rem 0;padding:0}
.finding li{background:var(--page);border:1px solid var(--line);border-radius:6px;
padding:.05rem .5rem;font-size:.875rem}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1.5rem}.panel{min-width:0}
@media(max-width:62rem){.pair{grid-template-columns:1fr}}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}
td,th{padding:.2rem .5rem;text-align:right;font-weight:400;white-space:nowrap}
tr:first-child th{color:var(--dim);font-size:.8125rem}
td:first-child,th:first-child{text-align:left;padding-left:0}
tr+tr>*{border-top:1px solid var(--line)}
.path{color:var(--dim)}th wbr{display:none}
.bars td.bar{width:60%;min-width:6rem}.bar i{display:block;height:.8rem;border-radius:0 3px 3px 0;min-width:2px}
i.ac{background:var(--ac)}i.mac{background:var(--mac)}i.first{background:var(--first)}i.second{background:var(--second)}
.key{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;font-size:.8125rem;color:var(--dim);margin:.25rem 0 .75rem}
.key i{display:inline-block;width:.8rem;height:.8rem;border-radius:3px;margin-right:.4rem;vertical-align:-.08rem}
.tag{font-size:.75rem;font-weight:650;border-radius:5px;padding:0 .35rem;color:var(--card);background:var(--silent)}
.tag.saturated{background:var(--saturated)}
.heat{width:auto;min-width:55%;border-spacing:2px;border-collapse:separate}
.heat tr>*{border:0}.heat td{text-align:center;min-width:3.4rem;border-radius:4px}
.heat tr:first-child th+th{text-align:center}
.heat td[style],.scale span{background:color-mix(in srgb,var(--heat) var(--s),var(--page))}
.heat td.dark,.scale .dark{color:var(--on-heat)}.heat td.mean{color:var(--dim)}
.scale{display:flex;width:20rem;max-width:100%;margin:0 0 .75rem;font-size:.75rem;border-radius:5px;overflow:hidden}
.scale span{flex:1;text-align:center;padding:.05rem 0}
figure{margin:0}figcaption{font-size:.8125rem;color:var(--dim);overflow-wrap:break-word}
.spikes{display:flex;gap:1.5rem;align-items:flex-start}
.rasters{display:grid;grid-template-columns:repeat(auto-fill,112px);gap:1rem 1.1rem;flex:1}
.raster svg{display:block;background:var(--page);border-radius:3px}.raster path{fill:var(--ink)}
.raster figcaption{margin-top:.25rem;line-height:1.3;color:var(--ink);font-size:.75rem}
.raster.silent svg{outline:2px dashed var(--silent)}.raster.saturated path{fill:var(--saturated)}
.image{flex:none}.image img{display:block;image-rendering:pixelated;width:12rem;border:1px solid var(--line);
border-radius:6px;margin-bottom:.4rem}
.two .image img{width:8.5rem}
@media(max-width:40rem){main{padding:1.25rem .75rem 2rem}section{padding:.9rem}.spikes{flex-direction:column}
.rasters{width:100%}h1{font-size:1.35rem}.heat td{min-width:2.6rem}}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:1rem}
.chart figcaption{font-weight:600;color:var(--ink)}.chart svg{width:100%;max-width:30rem;height:auto;display:block}
.chart text{font-size:12px;fill:var(--dim)}.chart .end{text-anchor:end}.chart .mid{text-anchor:middle}
.chart .number{font-weight:650;fill:var(--ink)}.chart .grid{stroke:var(--line)}
.chart polyline{fill:none;stroke-width:2.5}.chart circle{stroke:var(--card);stroke-width:1.5}
g.first polyline{stroke:var(--first)}g.first circle{fill:var(--first)}
g.second polyline{stroke:var(--second)}g.second circle{fill:var(--second)}
details summary{cursor:pointer;font-weight:600;font-size:1.05rem}details table{margin-top:.6rem}
@media print{body{background:#fff}section,.tile,.finding{break-inside:avoid}}
"""
