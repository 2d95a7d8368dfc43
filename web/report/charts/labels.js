// Puts each label beside its point where it covers nothing and no other mark is nearer.
const labels = (() => {
  const area = (a, b) =>
      Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left)) *
      Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));

  // From a point to the nearest place of a box; 0 within.
  const distance = (point, box) =>
      Math.hypot(Math.max(box.left - point.x, 0, point.x - box.right),
                 Math.max(box.top - point.y, 0, point.y - box.bottom));

  // Would the label be taken for that of another point?
  function misleads(point, box, points) {
    const own = distance(point, box) - point.radius;
    return points.some(
        (other) => other !== point && distance(other, box) - other.radius < own + 5);
  }

  // The line from a point to its label: null where the label stands beside it and beside no other.
  function leader(point, box, points) {
    const far = distance(point, box) > point.radius + 7;
    if (!far && !misleads(point, box, points)) return null;
    const x2 = Math.min(box.right, Math.max(box.left, point.x));
    const y2 = Math.min(box.bottom, Math.max(box.top, point.y));
    const length = Math.hypot(x2 - point.x, y2 - point.y);
    if (length <= point.radius) return null;
    const share = point.radius / length;
    return {x1: point.x + share * (x2 - point.x), y1: point.y + share * (y2 - point.y), x2, y2};
  }

  // Other points and labels that a line runs over.
  function crossings(line, point, points, boxes) {
    if (line === null) return 0;
    const steps = [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95].map((t) => (
        {x: line.x1 + t * (line.x2 - line.x1), y: line.y1 + t * (line.y2 - line.y1)}));
    const near = (other) => steps.some((s) => Math.hypot(s.x - other.x, s.y - other.y) < other.radius);
    return points.filter((other) => other !== point && near(other)).length +
        boxes.filter((box) => steps.some((s) => distance(s, box) === 0)).length;
  }

  // Boxes to try around a point, the preferred first.
  function candidates({x, y, width, height}, gap) {
    const box = (left, top) => ({left, top, right: left + width, bottom: top + height});
    const list = [];
    for (const rows of [0, 1, 2, 3, 4, 6]) {
      const reach = gap + rows * height;
      list.push(box(x + reach, y - height / 2), box(x - reach - width, y - height / 2),
                box(x + gap, y - height - reach + 2), box(x + gap, y + reach - 2),
                box(x - gap - width, y - height - reach + 2), box(x - gap - width, y + reach - 2),
                box(x - width / 2, y - height - reach), box(x - width / 2, y + reach));
    }
    return list;
  }

  // points: {x, y, radius, width, height}, the last two of the label; obstacles: boxes; bounds: a
  // box.
  // Returns one box for each point: the first that is free and not misleading, else the best. Later
  // rounds move labels that a line to a label placed after them ran over.
  function place(points, obstacles, bounds) {
    const marks = points.map(({x, y, radius}) => (
        {left: x - radius, right: x + radius, top: y - radius, bottom: y + radius}));
    const boxes = points.map(() => null);
    const lines = points.map(() => null);

    function costOf(box, i) {
      const point = points[i];
      const others = boxes.filter((other, j) => other !== null && j !== i);
      const outside = point.width * point.height - area(box, bounds);
      const covered = [...obstacles, ...marks, ...others].reduce(
          (sum, other) => sum + area(box, other), 0);
      const line = leader(point, box, points);
      const length = line === null ? 0 : 10 + Math.hypot(line.x2 - line.x1, line.y2 - line.y1) / 4;
      const crossed = crossings(line, point, points, others) +
          lines.filter((other, j) => j !== i && crossings(other, points[j], [], [box]) > 0).length;
      return 40 * outside + 10 * covered + 60 * crossed + length +
          (misleads(point, box, points) ? 60 : 0);
    }

    for (let round = 0; round < 3; round += 1) {
      points.forEach((point, i) => {
        let least = Infinity;
        for (const box of candidates(point, point.radius + 4)) {
          const cost = costOf(box, i);
          if (cost >= least - 1e-6) continue;
          least = cost;
          boxes[i] = box;
          if (least <= 1e-6) break;
        }
        lines[i] = leader(point, boxes[i], points);
      });
    }
    return boxes;
  }

  return {place, leader, area};
})();
