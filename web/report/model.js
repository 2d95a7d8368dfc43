// What the page says about a report beyond its figures. No document needed.
const model = (() => {
  // One shape and one colour (report.css) for each family of formats.
  const FAMILIES = {
    gguf: {label: 'GGUF blocks', shape: 'circle'},
    float: {label: 'floating point', shape: 'square'},
    int8: {label: 'integers of 5 to 8 bits', shape: 'triangle'},
    int4: {label: 'integers of 2 to 4 bits', shape: 'diamond'},
    other: {label: 'other', shape: 'nabla'},
  };
  const VERDICTS = {
    'ship': {mark: '✓', kind: 'good'},
    'do not ship': {mark: '✗', kind: 'bad'},
    'inconclusive': {mark: '?', kind: 'open'},
  };
  const AXES = {
    ppl: 'perplexity ratio',
    kld: 'divergence (KLD)',
    top1: 'top token changed',
    tasks: 'tasks, pooled',
  };

  function family(lane) {
    if (/gguf|ggml/.test(lane.dialect)) return 'gguf';
    if (/fp8|fp4|f16|bf16|f32|float/.test(lane.format)) return 'float';
    if (/int[5-8]/.test(lane.format)) return 'int8';
    if (/int[2-4]/.test(lane.format)) return 'int4';
    return 'other';
  }

  const axisName = (axis) =>
      AXES[axis] || (axis.startsWith('task:') ? `task: ${axis.slice(5)}` : axis);

  // The figures that are shown and judged: with the engine's own arithmetic where it has one.
  const asRun = (lane) => lane.quality.engine || lane.quality;

  // Names of the lanes that no other lane beats in both size and divergence.
  function frontier(lanes) {
    const point = (lane) => [lane.size_bytes, asRun(lane).kld_mean.value];
    return lanes.filter((lane) => {
      const [size, kld] = point(lane);
      if (kld === null) return false;
      return !lanes.some((other) => {
        const [otherSize, otherKld] = point(other);
        return otherKld !== null && otherSize <= size && otherKld <= kld &&
            (otherSize < size || otherKld < kld);
      });
    }).map((lane) => lane.name);
  }

  // The size in bytes where two or more lanes share it, to a hundredth; null where they differ.
  function oneSize(lanes) {
    const sizes = lanes.map((lane) => lane.size_bytes);
    return sizes.length > 1 && Math.max(...sizes) <= 1.01 * Math.min(...sizes) ? sizes[0] : null;
  }

  // Does a task set say anything? Not where the gates leave it out, as the reference is at chance.
  function counts(report, name) {
    const axes = report.lanes.flatMap((lane) => lane.axes.filter((a) => a.axis === `task:${name}`));
    return report.reference.tasks[name].reference > 0 && (axes.length === 0 || axes.some((a) => a.gates));
  }

  function totals(tasks) {
    const sum = {n: 0, reference: 0, lane: 0, lost: 0, gained: 0};
    for (const task of Object.values(tasks)) {
      for (const key of Object.keys(sum)) sum[key] += task[key];
    }
    return sum;
  }

  const picked = (report) => report.lanes.find((lane) => lane.name === report.pick.lane) || null;

  // The next lane that ships, by decode speed: projected where the target is projected.
  function runnerUp(report) {
    if (report.pick.lane === '') return null;
    const others = report.lanes.filter(
        (lane) => lane.verdict === 'ship' && lane.name !== report.pick.lane &&
            (!lane.projection || lane.projection.fits));
    const projected = others.length > 0 && others.every((lane) => lane.projection);
    const speed = (lane) => (projected ? lane.projection : lane.speed).decode_tok_s || 0;
    const best = others.reduce((a, b) => (a === null || speed(b) > speed(a) ? b : a), null);
    return best && {lane: best, projected, decode: speed(best)};
  }

  function headline(report) {
    if (report.pick.lane === '') return ['Ship none of these lanes'];
    if (report.pick.lane === 'reference') return ['Keep the unquantized reference'];
    return ['Ship ', report.pick.lane];
  }

  // Why, in one sentence.
  function sentence(report) {
    const lane = picked(report);
    if (!lane) {
      const first = report.pick.reasons[0];
      return first ? capital(first.text) : 'No lane passed its gates.';
    }
    const saved = 1 - lane.size_bytes / report.reference.size_bytes;
    const size = `${format.size(lane.size_bytes)} instead of ` +
        `${format.size(report.reference.size_bytes)}` +
        (Number.isFinite(saved) ? ` (${format.percent(Math.abs(saved), 0)} ` +
             `${saved >= 0 ? 'smaller' : 'larger'})` : '');
    const gates = lane.axes.filter((axis) => axis.gates).length;
    return lane.verdict === 'ship' ?
        `${size}, and ${gates === 1 ? 'the gate is' : `all ${gates} gates are`} proven ` +
            'within the margin.' :
        `${size}; its verdict is ${lane.verdict}.`;
  }

  // With a capital, unless it starts with a name ("w4a16 does not ship"), and a full stop.
  function capital(text) {
    const plain = /^(a|an|all|at|computes?|every|from|if|it|its|measured|no|nothing|only|projected|rounds|the|with|within)\b/;
    const start = plain.test(text) ? text.charAt(0).toUpperCase() : text.charAt(0);
    return start + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
  }

  // Share of the margin that a loss uses: 0 = as good as the reference, 1 = at the margin.
  function ofMargin(axis, value) {
    const zero = axis.unit === 'ratio' ? 1 : 0;
    const room = axis.margin - zero;
    return value === null || room <= 0 ? null : (value - zero) / room;
  }

  // {roles, layers, cell(layer, role) -> {format, value} or undefined, low, high} of the packed map.
  function layerMap(packed) {
    const cells = new Map();
    const layers = new Set();
    let low = Infinity;
    let high = -Infinity;
    for (const [layer, role, spelling, value] of packed.cells) {
      cells.set(`${layer} ${packed.roles[role]}`, {format: packed.formats[spelling], value});
      layers.add(layer);
      if (value > 0) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    return {
      roles: packed.roles,
      layers: [...layers].sort((a, b) => a - b),
      cell: (layer, role) => cells.get(`${layer} ${role}`),
      low,
      high,
    };
  }

  return {FAMILIES, VERDICTS, family, axisName, asRun, frontier, oneSize, counts, totals, picked, runnerUp, headline,
          sentence, capital, ofMargin, layerMap};
})();
