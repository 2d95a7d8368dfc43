// The parts of the page, in the order in which they are read.
const sections = (() => {
  const {el} = dom;

  const verdictBadge = (verdict) => el(
      'span', {class: `badge ${model.VERDICTS[verdict].kind}`},
      `${model.VERDICTS[verdict].mark} ${verdict}`);

  const section = (id, title, lead, ...content) => el(
      'section', {id, 'aria-labelledby': `${id}-title`}, el('h2', {id: `${id}-title`}, title),
      lead ? el('p', {class: 'lead'}, lead) : null, content);

  function statistic(label, value, range, axis) {
    return el('div', {class: 'statistic'}, el('div', {class: 'label'}, label),
              el('div', {class: 'value'}, value), el('div', {class: 'range'}, `95 %: ${range}`),
              axis ? [gauge.draw(axis),
                      el('div', {class: 'range'},
                         `margin ${format.inUnit(axis.margin, axis.unit)} ${axis.unit}`)] :
                     null);
  }

  function statistics(lane) {
    const {ppl_ratio: ratio, kld_mean: kld, top1_agreement: top1} = model.asRun(lane);
    const axis = (name) => lane.axes.find((a) => a.axis === name);
    const ratioText = (v) => format.fixed(v, 3);
    return el('div', {class: 'statistics'},
              statistic('Perplexity ratio', ratioText(ratio.value),
                        `${format.range(ratio, ratioText)}`, axis('ppl')),
              statistic('Divergence, nats per token', format.significant(kld.value),
                        format.range(kld), axis('kld')),
              statistic('Same top token', format.percent(top1.value),
                        format.range(top1, format.percent), axis('top1')));
  }

  const paragraphs = (title, lines) => (lines.length === 0 ? null : el(
      'div', {}, el('h3', {}, title), el('ul', {}, lines.map((line) => el('li', {}, line)))));

  function runnerUpLine(report) {
    const second = model.runnerUp(report);
    if (!second) return report.pick.lane === '' ? 'None.' : 'No other lane ships.';
    return [el('strong', {}, second.lane.name),
            `: the fastest decode of the other lanes that ship, ` +
                `${format.significant(second.decode)} tok/s ` +
                `${second.projected ? `projected on ${report.pick.target}` : 'measured'}; ` +
                `${format.size(second.lane.size_bytes)}, divergence ` +
                `${format.significant(model.asRun(second.lane).kld_mean.value)} nats.`];
  }

  function verdict(report) {
    const lane = model.picked(report);
    const [text, name] = model.headline(report);
    const reasons = report.pick.reasons.map(
        (r) => el('li', {}, model.capital(r.text), ' ', el('code', {class: 'code'}, r.code)));
    return el('section', {id: 'verdict', class: 'card', 'aria-labelledby': 'verdict-title'},
              el('p', {class: 'eyebrow'},
                 report.pick.target ? `Verdict for ${report.pick.target}` : 'Verdict'),
              el('h1', {id: 'verdict-title'}, text, name ? el('span', {class: 'name'}, name) : null),
              el('p', {class: 'sentence'}, model.sentence(report)),
              lane ? el('p', {class: 'note'}, `${lane.format}, ${lane.algorithm}, `,
                        `${lane.dialect}; loads in ${lane.engines}: `,
                        el('code', {}, lane.artifact)) : null,
              lane ? statistics(lane) : null,
              el('div', {class: 'columns'},
                 el('div', {}, el('h3', {}, 'Why'), el('ul', {class: 'reasons'}, reasons)),
                 el('div', {}, paragraphs('What would change it', report.pick.flips_if.map(model.capital)),
                    el('h3', {}, 'Runner-up'), el('p', {}, runnerUpLine(report)))));
  }

  const withInterval = (interval, show) =>
      [show(interval.value), el('span', {class: 'ci'}, format.range(interval, show))];

  // What the main table has no room for.
  function artefacts(report) {
    const q = model.asRun;
    const columns = [
      {label: 'lane', sort: (l) => l.name, cell: (l) => l.name},
      {label: 'format', left: true, cell: (l) => l.format},
      {label: 'algorithm', left: true, cell: (l) => l.algorithm},
      {label: 'dialect', left: true, cell: (l) => l.dialect},
      {label: 'made in', sort: (l) => l.quantize_seconds,
       cell: (l) => `${format.significant(l.quantize_seconds, 2)} s`},
      {label: 'ppl', sort: (l) => q(l).ppl, cell: (l) => format.fixed(q(l).ppl, 3)},
      {label: 'KLD p99', sort: (l) => q(l).kld_p99, cell: (l) => format.significant(q(l).kld_p99)},
      {label: 'KLD max', sort: (l) => q(l).kld_max, cell: (l) => format.significant(q(l).kld_max)},
      {label: 'flips', title: 'tokens with another top token', sort: (l) => q(l).flips,
       cell: (l) => format.count(q(l).flips)},
      {label: 'RMS Δp', title: 'of the true token', sort: (l) => q(l).rms_delta_p.value,
       cell: (l) => format.percent(q(l).rms_delta_p.value, 2)},
      {label: 'KLD, weights alone', title: 'inputs of products not rounded',
       sort: (l) => l.quality.kld_mean.value,
       cell: (l) => (l.quality.engine ? format.significant(l.quality.kld_mean.value) : '')},
      {label: 'engines', left: true, cell: (l) => l.engines},
      {label: 'artefact', left: true, cell: (l) => l.artifact},
    ];
    return dom.table(columns, report.lanes, {caption: 'Artefacts and tails of the divergence'});
  }

  function lanes(report) {
    const q = model.asRun;
    const loss = (lane) => model.totals(lane.quality.tasks);
    const reference = report.reference;
    const floor = report.noise_floor;
    const columns = [
      {label: 'lane', foot: ['reference', 'noise floor'], sort: (l) => l.name,
       cell: (l) => marks.named(model.family(l), l.name)},
      {label: 'verdict', left: true, sort: (l) => l.verdict, cell: (l) => verdictBadge(l.verdict)},
      {label: 'size', foot: [format.size(reference.size_bytes)], sort: (l) => l.size_bytes,
       cell: (l) => format.size(l.size_bytes)},
      {label: 'bits/w', title: 'bits per weight, scales included',
       foot: [format.fixed(reference.bits_per_weight, 2)], sort: (l) => l.bits_per_weight,
       cell: (l) => format.fixed(l.bits_per_weight, 2)},
      {label: 'ppl ratio', foot: ['1', format.fixed(floor.ppl_ratio.value, 4)],
       sort: (l) => q(l).ppl_ratio.value,
       cell: (l) => withInterval(q(l).ppl_ratio, (v) => format.fixed(v, 4))},
      {label: 'KLD mean', title: 'nats per token', foot: ['0', format.significant(floor.kld_mean.value)],
       sort: (l) => q(l).kld_mean.value,
       cell: (l) => withInterval(q(l).kld_mean, format.significant)},
      {label: 'top-1', title: 'same most likely token',
       foot: [format.percent(1), format.percent(floor.top1_agreement.value)], sort: (l) => q(l).top1_agreement.value,
       cell: (l) => withInterval(q(l).top1_agreement, format.percent)},
      {label: 'tasks', title: 'answers lost / gained', sort: (l) => loss(l).lost - loss(l).gained,
       cell: (l) => (loss(l).n > 0 ? `−${loss(l).lost} / +${loss(l).gained}` : '')},
      {label: 'prefill tok/s', foot: [format.significant(reference.speed.prefill_tok_s)],
       sort: (l) => l.speed.prefill_tok_s,
       cell: (l) => format.significant(l.speed.prefill_tok_s)},
      {label: 'decode tok/s', foot: [format.significant(reference.speed.decode_tok_s)],
       sort: (l) => l.speed.decode_tok_s,
       cell: (l) => format.significant(l.speed.decode_tok_s)},
    ];
    const notices = report.lanes.flatMap((l) => l.notices.map((n) => `${l.name}: ${n}`));
    const reused = report.lanes.filter((l) => l.reused).map((l) => l.name);
    if (reused.length > 0) {
      notices.push(`taken from an earlier run with the same inputs: ${reused.join(', ')}`);
    }
    return section(
        'lanes', 'Lanes', 'Paired with the reference on the same tokens, inputs rounded as the ' +
            'engine of the lane does. Small figures are 95 % ' +
            'intervals; speed and memory are measured on this machine. Sort by any column.',
        dom.table(columns, report.lanes,
                  {caption: 'All lanes', foot: true,
                   rowClass: (l) => (l.name === report.pick.lane ? 'picked' : null)}),
        el('details', {class: 'twin'}, el('summary', {}, 'Formats, engines, tails'),
           artefacts(report)),
        paragraphs('To know', notices));
  }

  function chart(report) {
    const host = el('div', {class: 'chart-host'});
    const tip = tooltipFor(host);
    const draw = () => {
      tip.hide();
      const width = Math.max(300, host.clientWidth || 900);
      const drawn = errorSize.draw(report, width, tip);
      host.querySelector('svg.chart, p.note')?.remove();
      host.prepend(drawn);
    };
    const families = [...new Set(report.lanes.map(model.family))];
    const exact = report.lanes.filter((lane) => !(model.asRun(lane).kld_mean.value > 0));
    const one = model.oneSize(report.lanes);
    const node = section(
        'error-size', 'Error against size', 'Lower left is better. Filled: on the frontier; ' +
            'hollow: another lane is both smaller and closer. Bars are 95 % intervals.',
        one === null ? null : el('p', {class: 'note'}, `Every lane takes ${format.size(one)}: ` +
            'only the divergence tells them apart, so the chart has one column.'),
        marks.legend(families), dom.withTable(host, errorSize.twin(report)),
        exact.length === 0 ? null : el('p', {class: 'note'}, 'Not drawn, because nothing diverges ' +
            `or nothing was measured: ${exact.map((lane) => lane.name).join(', ')}.`));
    return {node, draw};
  }

  function gates(report) {
    const lanesWithAxes = report.lanes.filter((lane) => lane.axes.length > 0);
    if (lanesWithAxes.length === 0) return null;
    const host = el('div');
    const columns = [
      {label: 'gate', cell: (a) => model.axisName(a.axis)},
      {label: 'verdict', left: true,
       cell: (a) => (a.gates ? verdictBadge(a.verdict) : 'not counted: reference at chance')},
      {label: 'loss', cell: (a) => format.inUnit(a.estimate.value, a.unit)},
      {label: '95 % interval',
       cell: (a) => format.range(a.estimate, (v) => format.inUnit(v, a.unit))},
      {label: 'margin', cell: (a) => `${format.inUnit(a.margin, a.unit)} ${a.unit}`},
      {label: 'share of the margin', left: true, cell: (a) => gauge.draw(a)},
      {label: 'to decide', left: true,
       cell: (a) => (a.more_samples > 0 ? `about ${format.count(a.more_samples)} more ` +
                             `${a.axis.startsWith('task') ? 'items' : 'tokens'}` : '')},
    ];
    const show = (name) => {
      const lane = lanesWithAxes.find((l) => l.name === name);
      host.replaceChildren(dom.table(columns, lane.axes, {caption: `Gates of ${name}`}));
    };
    const first = model.picked(report) || lanesWithAxes[0];
    const {node, select} = dom.selector(
        'Lane', lanesWithAxes.map((l) => [l.name, `${l.name} (${l.verdict})`]), show);
    select.value = lanesWithAxes.includes(first) ? first.name : lanesWithAxes[0].name;
    show(select.value);
    return section(
        'gates', 'Gates', 'Non-inferiority tests, one-sided at 5 %: a lane ships when every loss ' +
            'is proven to lie below its margin (the tall line).', node, host);
  }

  function tasks(report) {
    const table = heat.tasks(report);
    if (!table) return null;
    return section('tasks', 'Tasks', 'Exact-match answers, paired item by item: what the ' +
                                         'reference answers and the lane does not, and the reverse.',
                   table);
  }

  function layers(report) {
    const mapped = report.lanes.filter((lane) => lane.layer_errors.cells.length > 0);
    if (mapped.length === 0) return null;
    const maps = new Map(mapped.map((l) => [l.name, model.layerMap(l.layer_errors)]));
    const low = Math.min(...[...maps.values()].map((m) => m.low));
    const high = Math.max(...[...maps.values()].map((m) => m.high));
    const host = el('div', {class: 'map'});
    const picked = model.picked(report);
    const state = {lane: maps.has(picked?.name) ? picked.name : mapped[0].name, show: 'error'};
    const draw = () => host.replaceChildren(
        heat.layers(maps.get(state.lane), low, high, state.show));
    const {node, select} = dom.selector('Lane', mapped.map((l) => [l.name, l.name]), (name) => {
      state.lane = name;
      draw();
    });
    select.value = state.lane;
    const shown = dom.choices('cell content', [['error', 'Error, %'], ['format', 'Format']],
                              'error', (what) => {
                                state.show = what;
                                draw();
                              });
    draw();
    return section('layers', 'Where the error sits', 'Importance-weighted relative error of each ' +
                       'weight tensor. The shade is logarithmic and the same for all lanes.',
                   el('div', {class: 'controls'}, node, shown), host);
  }

  function speeds(report) {
    const projected = speed.projected(report);
    return section(
        'speed', 'Speed and memory', null, el('h3', {}, 'Measured'), speed.measured(report),
        projected ? [el('h3', {}, `Projected on ${report.pick.target}`),
                     el('p', {class: 'note'}, 'Computed from the peaks and the bandwidth of the ' +
                            'target; hatched bars. Not comparable with the measurements above.'),
                     projected] : null);
  }

  // The cache alone, under the weights of the reference; null where none was asked for.
  function caches(report) {
    const rows = report.kv_caches || [];
    if (rows.length === 0) return null;
    const columns = [
      {label: 'cache', title: 'scheme of keys and values', sort: (c) => c.name, cell: (c) => c.name},
      {label: 'verdict', left: true, cell: (c) => verdictBadge(c.gate.verdict)},
      {label: 'bits', title: 'of a value, scales aside', sort: (c) => c.bits, cell: (c) => String(c.bits)},
      {label: 'ppl ratio', sort: (c) => c.ppl_ratio.value,
       cell: (c) => withInterval(c.ppl_ratio, (v) => format.fixed(v, 4))},
      {label: 'KLD mean', title: 'nats per token', sort: (c) => c.kld_mean.value,
       cell: (c) => withInterval(c.kld_mean, format.significant)},
      {label: 'top-1', title: 'same most likely token', sort: (c) => c.top1_agreement.value,
       cell: (c) => withInterval(c.top1_agreement, format.percent)},
      {label: 'what', left: true, cell: (c) => c.what},
    ];
    return section(
        'caches', 'Key-value caches', 'The reference with keys and values rounded, against itself: ' +
            `the cache alone, whatever the weights. Margin: ${rows[0].gate.margin} nats.`,
        dom.table(columns, rows, {caption: 'Key-value caches'}));
  }

  // What a merged adapter does to ranges of inputs; null where none was merged.
  function adapter(report) {
    const merged = report.adapter;
    if (!merged) return null;
    const widest = merged.shifts.slice().sort((a, b) => b.ratio - a.ratio).slice(0, 8);
    const columns = [
      {label: 'inputs of', cell: (s) => `layer ${s.layer} ${s.role}`},
      {label: 'largest, base', cell: (s) => format.significant(s.base)},
      {label: 'largest, adapted', cell: (s) => format.significant(s.adapted)},
      {label: 'ratio', sort: (s) => s.ratio, cell: (s) => format.fixed(s.ratio, 3)},
    ];
    return section(
        'adapter', 'Adapter', `${merged.path} (${merged.format}, ${format.count(merged.tensors)} ` +
            `tensors) is merged into the reference; matrices changed: ${format.count(merged.params)}. ` +
            'Static scales that were calibrated on the base clip inputs where the ratio ' +
            'is above 1. Lanes made here were calibrated on the merged model; artefacts that ' +
            'existed were checked for its weights.',
        widest.length > 0 ? dom.table(columns, widest, {caption: 'Where ranges of inputs grew most'}) :
                            null);
  }

  function noise(report) {
    const floor = report.noise_floor;
    const least = report.lanes.map((l) => model.asRun(l).kld_mean.value).filter((v) => v > 0);
    const times = floor.kld_mean.value > 0 && least.length > 0 ?
        ` The closest lane diverges about ${format.significant(Math.min(...least) / floor.kld_mean.value, 2)}` +
            ' times as much.' : '';
    const rows = [
      ['KLD mean, nats per token', format.significant(floor.kld_mean.value),
       format.range(floor.kld_mean)],
      ['KLD, largest', format.significant(floor.kld_max), ''],
      ['same top token', format.percent(floor.top1_agreement.value, 2),
       format.range(floor.top1_agreement, (v) => format.percent(v, 2))],
      ['tokens with another top token', format.count(floor.flips), ''],
    ];
    return section(
        'noise', 'Noise floor', 'The reference against itself in another batch shape. ' +
            `Differences of this size say nothing about a lane.${times}`,
        dom.table([{label: 'figure', cell: (r) => r[0]}, {label: 'value', cell: (r) => r[1]},
                   {label: '95 % interval', cell: (r) => r[2]}],
                  rows, {caption: 'Reference against itself'}));
  }

  function method(report) {
    const {machine, reference, evaluation, calibration} = report;
    const facts = [
      ['Model', `${reference.path} (${reference.architecture}), ${format.count(reference.params)} ` +
           `parameters, ${format.size(reference.size_bytes)}, ` +
           `${format.fixed(reference.bits_per_weight, 2)} bits per weight`],
      ['Reference perplexity', format.fixed(reference.ppl, 4)],
      ['Scored', `${format.count(evaluation.tokens_scored)} tokens of ${evaluation.text}, chunks ` +
           `of ${evaluation.chunk}`],
      ['Calibrated', `${format.count(calibration.tokens)} tokens of ${calibration.text}`],
      ['Machine', `${machine.cpu}, ${machine.cores} cores, ${machine.threads} threads, ` +
           `${machine.isa}, ${format.size(machine.memory_bytes)} memory`],
      ['Margins', Object.entries(report.margins).map(([k, v]) => `${k} ${v}`).join(', ')],
      ['Made', `${report.created} by quantlane ${report.tool_version}`],
      ['Figures', 'every lane is measured from its artefact as written to disk'],
    ];
    return section(
        'method', 'Machine and method', null,
        el('dl', {}, facts.map(([k, v]) => [el('dt', {}, k), el('dd', {}, v)])),
        el('h3', {}, 'To repeat it'), el('pre', {tabindex: '0'}, el('code', {}, report.command)));
  }

  return {verdict, lanes, chart, gates, tasks, layers, caches, adapter, speeds, noise, method};
})();
