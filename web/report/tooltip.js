// One tooltip for a chart; shown on hover and on keyboard focus, closed with Escape.
function tooltipFor(container) {
  const box = dom.el('div', {class: 'tooltip', 'aria-hidden': 'true'});
  box.hidden = true;
  container.append(box);
  const hide = () => {
    box.hidden = true;
  };
  container.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') hide();
  });
  return {
    // `at()` gives {x, y, lines} in pixels of the container.
    attach(node, at) {
      const show = () => {
        const {x, y, lines} = at();
        box.replaceChildren(...lines.map((line) => dom.el('div', {}, line)));
        box.hidden = false;
        const left = Math.min(Math.max(4, x + 16), container.clientWidth - box.offsetWidth - 4);
        const above = y - box.offsetHeight - 14;
        box.style.left = `${Math.max(4, left)}px`;
        box.style.top = `${above > 0 ? above : y + 16}px`;
      };
      node.addEventListener('mouseenter', show);
      node.addEventListener('focus', show);
      node.addEventListener('mouseleave', hide);
      node.addEventListener('blur', hide);
    },
    hide,
  };
}
