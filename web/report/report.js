// Draws the report embedded in the page.
(() => {
  const report = JSON.parse(document.getElementById('report').textContent);
  const model_name = report.reference.path.split(/[\\/]/).filter(Boolean).pop() || 'model';
  document.title = `${model_name}: ${model.headline(report).join('')} – quantlane`;
  document.getElementById('model').textContent = model_name;
  document.getElementById('theme').append(theme.toggle());
  const chart = sections.chart(report);
  const parts = [
    sections.verdict(report), sections.lanes(report), chart.node, sections.tasks(report),
    sections.layers(report), sections.caches(report), sections.adapter(report),
    sections.speeds(report), sections.gates(report), sections.noise(report),
    sections.method(report),
  ].filter(Boolean);
  document.getElementById('page').replaceChildren(...parts);
  document.getElementById('footer').textContent =
      `quantlane ${report.tool_version} · ${report.created}`;

  let width = 0;
  const redraw = () => {
    const host = document.querySelector('.chart-host');
    if (host.clientWidth === width) return;
    width = host.clientWidth;
    chart.draw();
  };
  redraw();
  if (typeof ResizeObserver === 'function') {
    new ResizeObserver(redraw).observe(document.querySelector('.chart-host'));
  }
})();
