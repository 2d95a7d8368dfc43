// How much of its margin a loss uses: the interval as a bar, the estimate as a dot, the margin as a
// line at three quarters of the width.
const gauge = (() => {
  const WIDTH = 200;
  const HEIGHT = 20;
  const LEAST = -0.2;  // shares of the margin at the ends
  const MOST = 1.4;

  function draw(axis) {
    const at = scale.linear([LEAST, MOST], [4, WIDTH - 4]);
    const clamp = (share) => Math.min(MOST, Math.max(LEAST, share));
    const shares = ['low', 'value', 'high'].map((k) => model.ofMargin(axis, axis.estimate[k]));
    const verdict = model.VERDICTS[axis.verdict];
    const text = `${format.inUnit(axis.estimate.value, axis.unit)}, interval ` +
        `${format.range(axis.estimate, (v) => format.inUnit(v, axis.unit))}, margin ` +
        `${format.inUnit(axis.margin, axis.unit)} ${axis.unit}: ${axis.verdict}`;
    const node = dom.svg(
        'svg', {class: `gauge ${verdict.kind}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
                width: WIDTH, height: HEIGHT, role: 'img', 'aria-label': text},
        dom.svg('line', {class: 'track', x1: at(0), x2: WIDTH - 4, y1: 10, y2: 10}),
        dom.svg('line', {class: 'zero', x1: at(0), x2: at(0), y1: 6, y2: 14}),
        dom.svg('line', {class: 'limit', x1: at(1), x2: at(1), y1: 1, y2: 19}));
    if (shares[1] === null) return node;
    shares[0] ??= -Infinity;
    shares[2] ??= Infinity;
    const [low, value, high] = shares.map(clamp);
    node.append(dom.svg('line', {class: 'interval', x1: at(low), x2: at(high), y1: 10, y2: 10}));
    if (shares[1] > MOST || shares[1] < LEAST) {
      const tip = at(value);
      const back = shares[1] > MOST ? -9 : 9;
      node.append(dom.svg('path', {class: 'dot', d: `M${tip},10l${back},-6v12Z`}));
    } else {
      node.append(dom.svg('circle', {class: 'dot', cx: at(value), cy: 10, r: 4.5}));
    }
    return node;
  }

  return {draw};
})();
