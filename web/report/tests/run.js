// Tests of the report page: node web/report/tests/run.js. No packages, no browser.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');
const {FakeDocument, FakeNode} = require('./fake_document.js');

const WEB = path.join(__dirname, '..');
const read = (name) => fs.readFileSync(path.join(WEB, name), 'utf8');
// The order of src/report/report_html.cpp.
const MODULES = [
  'format.js', 'dom.js', 'model.js', 'charts/scale.js', 'charts/labels.js', 'charts/marks.js',
  'theme.js', 'charts/gauge.js', 'charts/heat.js', 'charts/error_size.js', 'charts/speed.js',
  'tooltip.js', 'sections.js',
];
const NAMES = 'format, dom, model, scale, labels, heat, errorSize, gauge, sections';

// Runs the page on `report`; gives its document and its modules.
function open(report, globals = {}) {
  const document = new FakeDocument(report);
  const storage = {};
  const window = {
    location: {hash: ''},
    localStorage: {getItem: (k) => storage[k] ?? null, setItem: (k, v) => { storage[k] = v; }},
  };
  const context = vm.createContext({
    document, window, getComputedStyle: () => ({fontFamily: 'sans-serif'}), ...globals,
  });
  const source = MODULES.map(read).join('\n');
  const modules = vm.runInContext(`${source}\n({${NAMES}})`, context);
  vm.runInContext(read('report.js'), context);
  return {document, page: document.getElementById('page'), modules};
}

// The page's form of a report (report_html.cpp): error maps are packed.
function packed(report) {
  const copy = structuredClone(report);
  for (const lane of copy.lanes) {
    const roles = [...new Set(lane.layer_errors.map((e) => e.role))];
    const formats = [...new Set(lane.layer_errors.map((e) => e.format))];
    lane.layer_errors = {
      roles,
      formats,
      cells: lane.layer_errors.map((e) => [e.layer, roles.indexOf(e.role),
                                           formats.indexOf(e.format), e.relative_rmse]),
    };
  }
  return copy;
}

const SAMPLE = path.join(WEB, '../../tests/data/report/sample.json');
const sample = packed(JSON.parse(fs.readFileSync(SAMPLE, 'utf8')));
const {modules} = open(sample);
const {format, dom, model, scale, labels, heat, errorSize} = modules;
const plain = (value) => JSON.parse(JSON.stringify(value));  // out of the other realm

const tests = {
  'numbers have few digits and units'() {
    assert.equal(format.size(105454368), '105\u202fMB');
    assert.equal(format.size(999.6e6), '1.00\u202fGB');
    assert.equal(format.count(1234567), '1\u202f234\u202f567');
    assert.equal(format.significant(0.0303), '0.0303');
    assert.equal(format.significant(3.1e-9), '3.1\u202f×\u202f10⁻⁹');
    assert.equal(format.significant(0.002, 1), '0.002');
    assert.equal(format.significant(0), '0');
    assert.equal(format.significant(0.9996), '1.00');
    assert.equal(format.significant(687097, 2), '690\u202f000');
    assert.equal(format.percent(0.8961), '89.6\u202f%');
    for (const show of [format.size, format.count, format.significant, format.percent]) {
      assert.equal(show(null), 'n/a');
      assert.equal(show(NaN), 'n/a');
    }
  },

  'negative numbers have a true minus, zeros none'() {
    assert.equal(format.fixed(-1.7, 1), '−1.7');
    assert.equal(format.fixed(-0.01, 1), '0.0');
    assert.equal(format.inUnit(-12.34, 'points'), '−12.3');
    assert.equal(format.significant(-0.0303), '−0.0303');
    assert.equal(format.significant(-3.1e-9), '−3.1\u202f×\u202f10⁻⁹');
    assert.equal(format.count(-12345), '−12\u202f345');
    assert.equal(format.percent(-0.5), '−50.0\u202f%');
    const negative = structuredClone(sample);
    for (const lane of negative.lanes) for (const axis of lane.axes) axis.estimate.low = -1.7;
    assert.doesNotMatch(open(negative).page.all((n) => n.attributes.id === 'gates')[0].textContent, /(^|\s)-\d/);
  },

  'ends of intervals that nothing bounds are infinite, not missing'() {
    assert.equal(format.range({value: 0.13, low: 0, high: null}), '0 to ∞');
    assert.equal(format.range({value: 0.13, low: null, high: 0.2}), '−∞ to 0.200');
    assert.equal(format.range({value: null, low: null, high: null}), 'n/a to n/a');
    const one = structuredClone(sample);
    one.lanes[2].quality.kld_mean.high = null;
    one.lanes[2].axes.forEach((axis) => { axis.estimate.high = null; });
    const {page} = open(one);
    assert.match(page.withClass('point')[2].attributes['aria-label'], /to ∞/);
    assert.equal(page.withClass('gauge').length, page.all((n) => n.attributes.class === 'interval').length);
  },

  'scales and ticks cover the domain'() {
    const x = scale.linear([10, 20], [100, 200]);
    assert.equal(x(10), 100);
    assert.equal(x(20), 200);
    const y = scale.log([0.001, 1], [300, 0]);
    assert.ok(Math.abs(y(0.001) - 300) < 1e-9 && Math.abs(y(1)) < 1e-9);
    assert.ok(Math.abs(y(Math.sqrt(0.001)) - 150) < 1e-9);
    assert.deepEqual(plain(scale.linearTicks(98, 171, 8)),
                     [100, 110, 120, 130, 140, 150, 160, 170]);
    assert.deepEqual(plain(scale.linearTicks(5, 5, 4)), [5]);
    assert.deepEqual(plain(scale.logTicks(0.001, 0.1)),
                     [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1]);
    for (const [low, high] of [[1e-9, 1], [0.002, 0.3], [0.5, 0.6], [3, 3]]) {
      for (const tick of scale.logTicks(low, high)) {
        assert.ok(tick >= low * 0.999 && tick <= high * 1.001, `${tick} in ${low}..${high}`);
      }
    }
  },

  'labels cover neither points nor each other'() {
    let seed = 1;
    const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
    const bounds = {left: 0, right: 900, top: 0, bottom: 400};
    for (let round = 0; round < 20; round += 1) {
      const points = Array.from({length: 10}, () => ({
        x: 100 + 700 * random(), y: 50 + 300 * random(), radius: 7, width: 70, height: 16,
      }));
      const boxes = labels.place(points, [], bounds);
      let covered = 0;
      boxes.forEach((box, i) => {
        assert.ok(box.left >= 0 && box.right <= 900 && box.top >= 0 && box.bottom <= 400);
        boxes.slice(i + 1).forEach((other) => { covered += labels.area(box, other); });
      });
      assert.equal(covered, 0, `round ${round}`);
    }
  },

  'a label that could be taken for that of another point has a line to its own'() {
    let seed = 3;
    const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
    const bounds = {left: 0, right: 900, top: 0, bottom: 400};
    const distance = (p, b) => Math.hypot(Math.max(b.left - p.x, 0, p.x - b.right),
                                          Math.max(b.top - p.y, 0, p.y - b.bottom)) - p.radius;
    let lines = 0;
    for (let round = 0; round < 30; round += 1) {
      const points = Array.from({length: 9}, () => ({
        x: 400 + 4 * random(), y: 150 + 120 * random(), radius: 7, width: 90, height: 16,
      }));
      const boxes = labels.place(points, [], bounds);
      points.forEach((point, i) => {
        const line = labels.leader(point, boxes[i], points);
        const nearest = Math.min(...points.filter((o) => o !== point).map((o) => distance(o, boxes[i])));
        if (line === null) assert.ok(distance(point, boxes[i]) < nearest, `round ${round}`);
        else lines += 1;
      });
    }
    assert.ok(lines > 30);
    assert.equal(labels.leader({x: 0, y: 0, radius: 5}, {left: 8, right: 50, top: -8, bottom: 8}, []), null);
  },

  'lanes at one place of the chart share a label and a tooltip'() {
    const twins = structuredClone(sample);
    const copy = structuredClone(twins.lanes[3]);
    copy.name = 'twin';
    twins.lanes.push(copy);
    const {page} = open(twins);
    const names = page.withTag('text').filter((n) => /^label/.test(n.attributes.class))
                      .map((n) => n.textContent);
    assert.ok(names.some((name) => name.endsWith(`${twins.lanes[3].name}, twin`)), names);
    assert.ok(names.length <= sample.lanes.length, names);
    const points = page.withClass('point');
    assert.equal(points.length, twins.lanes.length);
    for (const point of points.filter((p) => /^(w8a8|twin)/.test(p.attributes['aria-label']))) {
      point.fire('focus');
      const text = page.withClass('tooltip')[0].textContent;
      assert.ok(text.includes('twin') && text.includes(twins.lanes[3].name), text);
    }
  },

  'the frontier is what no lane beats'() {
    assert.deepEqual(plain(model.frontier(sample.lanes)),
                     ['gguf:q8_0', 'gguf:q6_k', 'gguf:q4_k_m']);
    // Brute force over random lanes, ties included.
    let seed = 7;
    const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
    const lanes = Array.from({length: 60}, (_, i) => ({
      name: String(i), size_bytes: random(12), quality: {kld_mean: {value: random(12)}},
    }));
    lanes.forEach((lane) => { lane.quality.engine = random(2) ? structuredClone(lane.quality) : null; });
    lanes.forEach((lane) => { if (lane.quality.engine) lane.quality.kld_mean.value = random(12); });
    const best = new Set(model.frontier(lanes));
    for (const a of lanes) {
      const beaten = lanes.some((b) => {
        const s = b.size_bytes - a.size_bytes;
        const k = model.asRun(b).kld_mean.value - model.asRun(a).kld_mean.value;
        return s <= 0 && k <= 0 && s + k < 0;
      });
      assert.equal(best.has(a.name), !beaten);
    }
  },

  'every lane has a family with a mark of its own'() {
    const families = Object.fromEntries(sample.lanes.map((l) => [l.name, model.family(l)]));
    assert.deepEqual(families, {'gguf:q8_0': 'gguf', 'gguf:q6_k': 'gguf', 'fp8': 'float',
                                'w8a8': 'int8', 'gguf:q4_k_m': 'gguf', 'w4a16': 'int4'});
    for (const [format, family] of [['int3_g64_sym', 'int4'], ['int5_channel_asym', 'int8'], ['nf4_g64', 'other']])
      assert.equal(model.family({dialect: 'compressed-tensors', format}), family);
    const shapes = Object.values(model.FAMILIES).map((f) => f.shape);
    assert.equal(new Set(shapes).size, shapes.length);
  },

  'sorting keeps what is unknown at the end in both directions'() {
    const rows = [{v: 2}, {v: null}, {v: 1}, {v: 3}];
    const values = (rising) => plain(dom.sortRows(rows, (r) => r.v, rising)).map((r) => r.v);
    assert.deepEqual(values(true), [1, 2, 3, null]);
    assert.deepEqual(values(false), [3, 2, 1, null]);
  },

  'a loss is measured against its margin'() {
    assert.equal(model.ofMargin({unit: 'ratio', margin: 1.5}, 1.25), 0.5);
    assert.equal(model.ofMargin({unit: 'nats', margin: 0.1}, 0.2), 2);
    assert.equal(model.ofMargin({unit: 'points', margin: 0}, 0.2), null);
  },

  'the shade of the error map is monotone and within 0..1'() {
    let last = -1;
    for (const value of [0.01, 0.02, 0.05, 0.1]) {
      const shade = heat.shade(value, 0.01, 0.1);
      assert.ok(shade > last && shade >= 0 && shade <= 1);
      last = shade;
    }
    assert.equal(heat.shade(0.1, 0.1, 0.1), 0);
    assert.equal(heat.shade(null, 0.1, 0.2), 0);
  },

  'the domain of the chart holds every interval and the margin'() {
    const {x, y} = errorSize.domains([{size: 5, kld: 0.01, low: 0.005, high: 0.02},
                                      {size: 9, kld: 0.2, low: 0.1, high: 0.3}], 0.5);
    assert.ok(x[0] < 5 && x[1] > 9 && y[0] < 0.005 && y[1] > 0.5);
  },

  'the page says the verdict first and has every section'() {
    const {page, document} = open(sample);
    assert.equal(document.title, 'smollm2-135m: Ship fp8 – quantlane');
    const sections = page.withTag('section').map((s) => s.attributes.id);
    assert.deepEqual(sections, ['verdict', 'lanes', 'error-size', 'tasks', 'layers', 'speed',
                                'gates', 'noise', 'method']);
    assert.equal(page.withTag('h1')[0].textContent, 'Ship fp8');
    for (const reason of sample.pick.reasons) assert.ok(page.textContent.includes(reason.code));
    for (const flip of sample.pick.flips_if) assert.ok(page.textContent.includes(flip.slice(1)), flip);
    assert.ok(page.textContent.includes(sample.command));
    assert.ok(!/undefined|NaN|\[object/.test(page.textContent), page.textContent);
  },

  'each lane is a point of the chart that the keyboard reaches and a row of its table'() {
    const {page} = open(sample);
    const points = page.withClass('point');
    assert.equal(points.length, sample.lanes.length);
    for (const point of points) {
      assert.equal(point.attributes.tabindex, '0');
      assert.match(point.attributes['aria-label'], /nats .*frontier|nats .*dominated/);
    }
    points[0].fire('focus');
    const tip = page.withClass('tooltip')[0];
    assert.equal(tip.hidden, false);
    assert.ok(tip.textContent.includes('gguf:q8_0'));
    points[0].fire('blur');
    assert.equal(tip.hidden, true);
    const twin = page.withClass('figure')[0].withTag('tbody')[0];
    assert.equal(twin.childNodes.length, sample.lanes.length);
  },

  'key-value caches and a merged adapter have sections where they were asked for'() {
    const interval = (value) => ({value, low: value, high: value});
    const report = structuredClone(sample);
    report.kv_caches = [{
      name: 'int8', what: 'INT8, one scale per token', bits: 8, ppl: 9, ppl_ratio: interval(1.01),
      kld_mean: interval(0.002), kld_p99: 0.1, kld_max: 0.2, top1_agreement: interval(0.97), flips: 3,
      rms_delta_p: interval(0.01),
      gate: {axis: 'kv', verdict: 'ship', margin: 0.02, unit: 'nats', estimate: interval(0.002)},
    }];
    report.adapter = {path: 'my-lora', format: 'peft', tensors: 4, params: 1000,
                      shifts: [{layer: 1, role: 'q', base: 2, adapted: 3, ratio: 1.5},
                               {layer: 0, role: 'down', base: 2, adapted: 8, ratio: 4}]};
    const {page} = open(report);
    const named = (id) => page.all((n) => n.attributes.id === id)[0];
    const row = named('caches').withTag('tbody')[0].childNodes[0].textContent;
    assert.ok(row.includes('int8') && row.includes('ship') && row.includes('0.00200'), row);
    const widest = named('adapter').withTag('tbody')[0].childNodes[0].textContent;
    assert.ok(widest.includes('layer 0 down') && widest.includes('4.000'), widest);
    assert.ok(named('adapter').textContent.includes('my-lora'));
    assert.equal(open(sample).page.all((n) => n.attributes.id === 'caches').length, 0);
  },

  'a click on a header sorts the lanes above the reference'() {
    const {page} = open(sample);
    const lanes = page.all((n) => n.attributes.id === 'lanes')[0];
    const foot = lanes.withTag('tfoot')[0].textContent;
    assert.ok(foot.startsWith('reference') && foot.includes('16.00'), foot);
    const size = lanes.withTag('th').find((th) => th.textContent === 'size');
    const first = () => lanes.withTag('tbody')[0].childNodes[0].childNodes[0].textContent.trim();
    size.firstChild.fire('click');
    assert.equal(size.attributes['aria-sort'], 'ascending');
    assert.equal(first(), 'gguf:q4_k_m');
    size.firstChild.fire('click');
    assert.equal(size.attributes['aria-sort'], 'descending');
    assert.notEqual(first(), 'gguf:q4_k_m');
  },

  'the noise floor is a row of the lanes below the reference'() {
    const {page} = open(sample);
    const lanes = page.all((n) => n.attributes.id === 'lanes')[0];
    const rows = lanes.withTag('tfoot')[0].withTag('tr').map((row) => row.textContent);
    assert.equal(rows.length, 2);
    assert.ok(rows[1].startsWith('noise floor') &&
                  rows[1].includes(format.significant(sample.noise_floor.kld_mean.value)), rows[1]);
  },

  'a table says that it goes on to the right until it is scrolled there'() {
    class ResizeObserver {
      constructor(callback) { this.callback = callback; }
      observe(node) {
        if (node.attributes.class !== 'scroll') return;
        Object.assign(node, {scrollWidth: 900, clientWidth: 380, scrollLeft: 0});
        this.callback();
      }
    }
    const box = open(sample, {ResizeObserver}).page.withClass('box')[0];
    const [hint, scroll] = [box.withClass('hint')[0], box.withClass('scroll')[0]];
    assert.equal(hint.hidden, false);
    scroll.scrollLeft = 520;
    scroll.fire('scroll');
    assert.equal(hint.hidden, true);
    assert.equal(open(sample).page.withClass('hint')[0].hidden, true);
  },

  'lanes of one size are said to be'() {
    assert.equal(model.oneSize(sample.lanes), null);
    const even = structuredClone(sample);
    even.lanes.forEach((lane) => { lane.size_bytes = 5e6; });
    const text = open(even).page.all((n) => n.attributes.id === 'error-size')[0].textContent;
    assert.ok(text.includes(`Every lane takes ${format.size(5e6)}`), text);
    assert.ok(!open(sample).page.textContent.includes('Every lane takes'));
  },

  'answers gained where the reference is at chance are no gain'() {
    const chance = structuredClone(sample);
    const [name] = Object.keys(chance.reference.tasks);
    chance.reference.tasks[name].reference = 0;
    const section = (report) => open(report).page.all((n) => n.attributes.id === 'tasks')[0];
    const grey = section(chance).withClass('chance').length;
    assert.equal(grey, 2 * chance.lanes.length);
    assert.ok(section(chance).textContent.includes('at chance: not counted'));
    assert.equal(section(sample).withClass('chance').length, 0);
  },

  'projected figures stand apart from measured ones'() {
    const {page} = open(sample);
    const boxes = page.all((n) => n.attributes.id === 'speed')[0].withClass('box');
    assert.equal(boxes.length, 2);
    assert.equal(boxes[0].withClass('projected').length, 0);
    assert.equal(boxes[1].withClass('measured').length, 0);
    assert.match(boxes[1].textContent, /^Projected on l40s: computed, not measured/);
  },

  'poor reports draw without a gap in the page'() {
    const poor = structuredClone(sample);
    poor.reference.projection = null;
    poor.reference.tasks = {};
    poor.pick = {lane: '', target: '', reasons: [], flips_if: []};
    poor.margins = {};
    poor.lanes.forEach((lane, i) => {
      lane.projection = null;
      lane.axes = [];
      lane.quality.tasks = {};
      lane.quality.engine = null;
      lane.layer_errors = {roles: [], formats: [], cells: []};
      lane.quality.kld_mean = [{value: null, low: null, high: null},
                               {value: 0, low: 0, high: 0},
                               {value: 0.1, low: -1, high: 0.2}][i % 3];
      lane.quality.ppl_ratio.value = null;
      lane.speed.decode_tok_s = null;
    });
    const empty = structuredClone(poor);
    empty.lanes = [];
    const kept = structuredClone(poor);
    kept.pick.lane = 'reference';
    for (const report of [poor, empty, kept]) {
      const {page} = open(report);
      assert.ok(!/undefined|NaN|Infinity|\[object/.test(page.textContent), page.textContent);
      for (const node of page.all(() => true)) {
        for (const [name, value] of Object.entries(node.attributes)) {
          assert.ok(!/undefined|NaN|Infinity/.test(value), `${node.tagName} ${name}="${value}"`);
        }
      }
    }
  },

  'text of the report never becomes markup'() {
    const hostile = structuredClone(sample);
    hostile.lanes[0].name = '<img src=x onerror=alert(1)>';
    hostile.pick.reasons[0].text = '</script><script>alert(1)</script>';
    const {page} = open(hostile);
    assert.equal(page.withTag('img').length + page.withTag('script').length, 0);
    assert.ok(page.textContent.includes('<img src=x onerror=alert(1)>'));
    for (const name of [...MODULES, 'report.js']) {
      assert.doesNotMatch(read(name), /innerHTML|outerHTML|insertAdjacent|document\.write|eval\(/);
      assert.doesNotMatch(read(name), /\bfetch\(|XMLHttpRequest|import\(|WebSocket/);
    }
  },

  'text has a contrast of at least 4.5 to 1 in both themes'() {
    const css = read('report.css');
    const themes = [/^:root \{([^}]*)\}/m, /^:root\[data-theme="dark"\] \{([^}]*--paper[^}]*)\}/m];
    const dark = (pattern) => pattern.exec(css)[1].replace(/\s+/g, ' ');
    assert.equal(dark(themes[1]), dark(/:root:not\(\[data-theme="light"\]\) \{([^}]*)\}/),
                 'the dark theme is the same by choice and by preference');
    for (const pattern of themes) {
      const colors = Object.fromEntries(
          [...pattern.exec(css)[1].matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})/g)]
              .map((m) => [m[1], m[2]]));
      const luminance = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
          .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
          .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const pairs = [];
      for (const text of ['ink', 'soft', 'accent', 'good', 'bad', 'open']) {
        for (const back of ['paper', 'card', 'faint']) pairs.push([text, back]);
      }
      for (const kind of ['good', 'bad', 'open']) pairs.push([kind, `${kind}-back`]);
      pairs.push(['ink', 'heat'], ['paper', 'ink']);
      for (const [a, b] of pairs) {
        const [low, high] = [luminance(colors[a]), luminance(colors[b])].sort((p, q) => p - q);
        const ratio = (high + 0.05) / (low + 0.05);
        assert.ok(ratio >= 4.5, `${a} on ${b}: ${ratio.toFixed(2)}`);
      }
    }
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    test();
  } catch (error) {
    failed += 1;
    console.error(`FAILED: ${name}\n${error.stack}\n`);
  }
}
console.log(`${Object.keys(tests).length - failed} of ${Object.keys(tests).length} passed`);
process.exit(failed === 0 ? 0 : 1);
