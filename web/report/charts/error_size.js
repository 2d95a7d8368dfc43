// Divergence against size on disk: which lanes are worth their bytes.
const errorSize = (() => {
  const {svg, el} = dom;
  const LINE = 16;  // height of a label, in pixels

  // Width of a bold label in the font of the page.
  function textWidth(text) {
    const context = document.createElement('canvas').getContext('2d');
    context.font = `680 13px ${getComputedStyle(document.body).fontFamily}`;
    return context.measureText(text).width;
  }

  function domains(points, margin) {
    const sizes = points.map((p) => p.size);
    const pad = Math.max((Math.max(...sizes) - Math.min(...sizes)) * 0.12, Math.max(...sizes) * 0.02);
    const values = points.flatMap((p) => [p.kld, p.low, p.high]).filter((v) => v > 0);
    if (margin > 0) values.push(margin);
    return {
      x: [Math.max(0, Math.min(...sizes) - pad), Math.max(...sizes) + pad],
      y: [Math.min(...values) / 1.9, Math.max(...values) * 1.7],
    };
  }

  function pointsOf(report) {
    const best = new Set(model.frontier(report.lanes));
    return report.lanes.filter((lane) => model.asRun(lane).kld_mean.value > 0).map((lane) => {
      const interval = model.asRun(lane).kld_mean;
      return {
        lane,
        interval,
        name: lane.name,
        size: lane.size_bytes,
        kld: interval.value,
        low: interval.low ?? interval.value,
        high: interval.high ?? interval.value,
        onFrontier: best.has(lane.name),
        family: model.family(lane),
      };
    });
  }

  // Points that lie on each other to the eye share a label and a tooltip.
  function clusters(points, x, y) {
    const groups = [];
    for (const p of points) {
      const same = groups.find(([first]) => Math.abs(x(first.size) - x(p.size)) < 4 &&
                                            Math.abs(y(first.kld) - y(p.kld)) < 4);
      if (same) same.push(p);
      else groups.push([p]);
    }
    return groups;
  }

  function axes(frame, x, y, domain) {
    const group = svg('g', {class: 'axis', 'aria-hidden': 'true'});
    for (const tick of scale.logTicks(...domain.y)) {
      group.append(
          svg('line', {class: 'grid', x1: frame.left, x2: frame.right, y1: y(tick), y2: y(tick)}),
          svg('text', {x: frame.left - 8, y: y(tick) + 4, 'text-anchor': 'end'},
              format.significant(tick, 1)));
    }
    const count = Math.max(2, Math.round((frame.right - frame.left) / 110));
    for (const tick of scale.linearTicks(...domain.x, count)) {
      group.append(
          svg('line', {class: 'tick', x1: x(tick), x2: x(tick), y1: frame.bottom,
                       y2: frame.bottom + 5}),
          svg('text', {x: x(tick), y: frame.bottom + 20, 'text-anchor': 'middle'},
              format.size(tick)));
    }
    group.append(
        svg('line', {class: 'base', x1: frame.left, x2: frame.right, y1: frame.bottom,
                     y2: frame.bottom}),
        svg('text', {class: 'title', x: frame.right, y: frame.bottom + 40, 'text-anchor': 'end'},
            'size on disk'),
        svg('text', {class: 'title', x: 0, y: 12}, 'divergence from the reference, nats per token'));
    return group;
  }

  // A labelled horizontal rule; below the axis it sits on the frame's edge and says so.
  function rule(frame, y, domain, value, name, kind) {
    const inside = value >= domain.y[0] && value <= domain.y[1];
    const at = inside ? y(value) : frame.bottom - 1;
    const text = `${name} ${format.significant(value, 2)}${inside ? '' : ' (far below)'}`;
    const width = textWidth(text);
    return {
      node: svg('g', {class: `rule ${kind}`},
                svg('line', {x1: frame.left, x2: frame.right, y1: at, y2: at}),
                svg('text', {x: frame.left + 6, y: at - 6}, text)),
      box: {left: frame.left, right: frame.left + width, top: at - LINE - 4, bottom: at + 1},
    };
  }

  // The frontier as steps: what the smallest file up to this size reaches.
  function frontierPath(points, x, y, frame) {
    const sorted = points.filter((p) => p.onFrontier).sort((a, b) => a.size - b.size);
    if (sorted.length < 2) return {d: '', boxes: []};
    const boxes = [];
    let d = `M${x(sorted[0].size)},${y(sorted[0].kld)}`;
    for (let i = 1; i < sorted.length; i += 1) {
      const [from, to] = [sorted[i - 1], sorted[i]];
      d += `H${x(to.size)}V${y(to.kld)}`;
      boxes.push({left: x(from.size), right: x(to.size), top: y(from.kld) - 1,
                  bottom: y(from.kld) + 1},
                 {left: x(to.size) - 1, right: x(to.size) + 1, top: y(from.kld),
                  bottom: y(to.kld)});
    }
    d += `H${frame.right}`;
    const last = sorted[sorted.length - 1];
    boxes.push({left: x(last.size), right: frame.right, top: y(last.kld) - 1,
                bottom: y(last.kld) + 1});
    return {d, boxes};
  }

  function describe(p) {
    return `${p.name}: ${format.size(p.size)}, divergence ${format.significant(p.kld)} nats ` +
        `(${format.range(p.interval)}), ` +
        `${p.lane.verdict}, ${p.onFrontier ? 'on the frontier' : 'dominated by another lane'}`;
  }

  // `together`: all points at this place, this one among them.
  function pointNode(p, together, x, y, frame, isPick, tip) {
    const cap = (v) => Math.min(frame.bottom, Math.max(frame.top, y(Math.max(v, 1e-300))));
    const whisker = svg('path', {
      class: `whisker family-${p.family}`,
      d: `M${x(p.size)},${cap(p.low)}V${cap(p.high)}M${x(p.size) - 4},${cap(p.low)}h8` +
          `M${x(p.size) - 4},${cap(p.high)}h8`,
    });
    const mark = svg('g', {transform: `translate(${x(p.size)},${y(p.kld)})`},
                     isPick ? svg('circle', {class: 'halo', r: 12}) : null,
                     marks.path(p.family, !p.onFrontier),
                     svg('circle', {class: 'target', r: 16}));
    const node = svg('g', {class: 'point', tabindex: '0', role: 'img', 'aria-label': describe(p)},
                     whisker, mark);
    const lines = together.flatMap((each) => describe(each).split(/: |, /));
    tip.attach(node, () => ({x: x(p.size), y: y(p.kld), lines}));
    return node;
  }

  function draw(report, width, tip) {
    const points = pointsOf(report);
    if (points.length === 0) return el('p', {class: 'note'}, 'No lane has a measured divergence.');
    const height = width < 520 ? 380 : 440;
    const gate = report.margins.kld;
    const domain = domains(points, gate);
    const ticks = scale.logTicks(...domain.y).map((tick) => textWidth(format.significant(tick, 1)));
    const frame = {left: 16 + Math.max(24, ...ticks), right: width - 26, top: 30,
                   bottom: height - 46};
    const x = scale.linear(domain.x, [frame.left, frame.right]);
    const y = scale.log(domain.y, [frame.bottom, frame.top]);
    const floor = report.noise_floor.kld_mean.value;
    const rules = [];
    if (floor > 0) rules.push(rule(frame, y, domain, floor, 'noise floor', 'noise'));
    if (gate > 0) rules.push(rule(frame, y, domain, gate, 'margin', 'margin'));
    const front = frontierPath(points, x, y, frame);
    const obstacles = [...rules.map((r) => r.box), ...front.boxes];
    for (const p of points) {
      obstacles.push({left: x(p.size) - 5, right: x(p.size) + 5, top: y(p.high),
                      bottom: y(Math.max(p.low, domain.y[0]))});
    }
    const isPick = (p) => p.name === report.pick.lane;
    const groups = clusters(points, x, y);
    const tags = groups.map((group) => {
      const text = group.map((p) => p.name).join(', ');
      const radius = group.some(isPick) ? 12 : 7;
      return {x: x(group[0].size), y: y(group[0].kld), radius, width: textWidth(text),
              height: LINE, group};
    });
    const boxes = labels.place(tags, obstacles, {...frame});
    const root = svg('svg', {class: 'chart', viewBox: `0 0 ${width} ${height}`, width, height,
                             role: 'group', 'aria-label': 'Divergence against size on disk'},
                     axes(frame, x, y, domain), svg('path', {class: 'frontier', d: front.d}),
                     rules.map((r) => r.node));
    tags.forEach((tag, i) => {
      const line = labels.leader(tag, boxes[i], tags);
      if (line !== null) root.append(svg('line', {class: 'leader', ...line}));
      const names = tag.group.map((p, n) => svg('tspan', isPick(p) ? {class: 'pick'} : {},
                                                `${n > 0 ? ', ' : ''}${p.name}`));
      root.append(svg('text', {class: 'label', x: boxes[i].left, y: boxes[i].bottom - 4}, names));
    });
    for (const group of groups) {
      for (const p of group) root.append(pointNode(p, group, x, y, frame, isPick(p), tip));
    }
    return root;
  }

  function twin(report) {
    return dom.table(
        [
          {label: 'lane', cell: (p) => p.name, sort: (p) => p.name},
          {label: 'size', cell: (p) => format.size(p.size), sort: (p) => p.size},
          {label: 'KLD mean', cell: (p) => format.significant(p.kld), sort: (p) => p.kld},
          {label: '95 % interval', cell: (p) => format.range(p.interval)},
          {label: 'frontier', left: true, cell: (p) => (p.onFrontier ? 'on it' : 'dominated')},
        ],
        pointsOf(report), {caption: 'Divergence (nats per token) and size on disk'});
  }

  return {draw, twin, domains};
})();
