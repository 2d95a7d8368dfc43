// Marks of the families: one shape and one colour each.
const marks = (() => {
  const PATHS = {
    circle: 'M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0Z',
    square: 'M-5.3,-5.3H5.3V5.3H-5.3Z',
    triangle: 'M0,-6.8L6.4,4.6H-6.4Z',
    diamond: 'M0,-7.4L7.4,0L0,7.4L-7.4,0Z',
    nabla: 'M0,6.8L6.4,-4.6H-6.4Z',
  };

  const path = (family, hollow) => dom.svg('path', {
    class: `mark family-${family}${hollow ? ' hollow' : ''}`,
    d: PATHS[model.FAMILIES[family].shape],
  });

  // A mark in running text.
  const icon = (family) => dom.svg(
      'svg', {class: 'icon', viewBox: '-9 -9 18 18', width: '14', height: '14',
              'aria-hidden': 'true', focusable: 'false'},
      path(family, false));

  // A name after its mark; only very long names are broken into lines.
  const named = (family, name) => [
    family ? icon(family) : '', '\u00a0',
    dom.el('span', {class: name.length > 24 ? 'long' : null}, name),
  ];

  // The families that occur, with their names.
  function legend(families) {
    return dom.el('ul', {class: 'legend', 'aria-label': 'families of formats'},
                  families.map((f) => dom.el('li', {}, icon(f), model.FAMILIES[f].label)));
  }

  return {path, icon, named, legend};
})();
