// Puts each label beside its point where it covers nothing.
const labels = (() => {
  const area = (a, b) =>
      Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left)) *
      Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));

  // Boxes to try around a point, the preferred first.
  function candidates({x, y, width, height}, gap) {
    const box = (left, top) => ({left, top, right: left + width, bottom: top + height});
    const list = [];
    for (const reach of [gap, gap + height, gap + 2 * height]) {
      list.push(box(x + reach, y - height / 2), box(x - reach - width, y - height / 2),
                box(x + gap, y - height - reach + 2), box(x + gap, y + reach - 2),
                box(x - gap - width, y - height - reach + 2), box(x - gap - width, y + reach - 2),
                box(x - width / 2, y - height - reach), box(x - width / 2, y + reach));
    }
    return list;
  }

  // points: {x, y, radius, width, height}, the last two of the label; obstacles: boxes; bounds: a
  // box.
  // Returns one box for each point: the first that is free, else the one that covers least.
  function place(points, obstacles, bounds) {
    const taken = [...obstacles];
    for (const {x, y, radius} of points) {
      taken.push({left: x - radius, right: x + radius, top: y - radius, bottom: y + radius});
    }
    return points.map((point) => {
      let best = null;
      let least = Infinity;
      for (const box of candidates(point, point.radius + 4)) {
        const size = point.width * point.height;
        const outside = size - area(box, bounds);
        const cost = outside * 4 + taken.reduce((sum, other) => sum + area(box, other), 0);
        if (cost < least - 1e-6) {
          least = cost;
          best = box;
        }
        if (least <= 1e-6) break;
      }
      taken.push(best);
      return best;
    });
  }

  return {place, area};
})();
