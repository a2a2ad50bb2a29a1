'use strict';
// Draws the curves that the page holds as JSON. Nothing is fetched, nothing is stored.
(() => {
  const SVG = 'http://www.w3.org/2000/svg';
  const MARGIN = {left: 56, right: 14, top: 10, bottom: 26};
  const charts = JSON.parse(document.getElementById('curves-data').textContent);

  const shown = {
    plain: (v) => String(Number(v.toPrecision(4))),
    rate: (v) => (v === 0 ? '0' : v.toExponential(2).replace(/\.?0+e/, 'e')),
    count: (v) => Math.round(v).toLocaleString('en'),
    bytes: (v) => (v >= 2 ** 30 ? `${(v / 2 ** 30).toFixed(2)} GiB` : `${Math.round(v / 2 ** 20)} MiB`),
  };

  const node = (name, attributes, parent, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };

  // multiples of 1, 2 or 5 times a power of ten
  const linearTicks = (low, high, most) => {
    const rough = (high - low) / most;
    const ten = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * ten).find((s) => s >= rough);
    const ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step || 0);
    return ticks;
  };

  const logTicks = (low, high) => {
    const within = (factors) => {
      const ticks = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
        for (const factor of factors) {
          const tick = factor * 10 ** e;
          if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
        }
      }
      return ticks;
    };
    return [[1], [1, 3], [1, 2, 5]].map(within).find((ticks) => ticks.length >= 3) ?? within([1, 2, 3, 5, 7]);
  };

  const nearest = (xs, x) => {
    let low = 0;
    let high = xs.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (xs[middle] <= x) low = middle;
      else high = middle;
    }
    return Math.abs(xs[high] - x) < Math.abs(xs[low] - x) ? high : low;
  };

  // a line breaks where a value is null
  const path = (curve, x, y) => {
    let drawing = false;
    let d = '';
    curve.x.forEach((step, i) => {
      const value = curve.y[i];
      if (value === null) {
        drawing = false;
        return;
      }
      d += `${drawing ? 'L' : 'M'}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
      drawing = true;
    });
    return d;
  };

  // sizes are read in powers of two
  const unitOf = (chart, high) => (chart.unit !== 'bytes' ? 1 : high >= 2 ** 30 ? 2 ** 30 : 2 ** 20);

  const scales = (chart, log, width, height) => {
    const steps = chart.curves.flatMap((curve) => curve.x);
    const values = chart.curves.flatMap((curve) => curve.y).filter((v) => v !== null && (!log || v > 0));
    let [x0, x1] = [Math.min(...steps), Math.max(...steps)];
    let [y0, y1] = [Math.min(...values), Math.max(...values)];
    if (x0 === x1) [x0, x1] = [x0 - 1, x1 + 1];
    if (chart.zero && !log) y0 = Math.min(0, y0);
    const forward = log ? Math.log : (v) => v;
    let [low, high] = [forward(y0), forward(y1)];
    const room = (high - low || Math.abs(high) || 1) * 0.05;
    low = chart.zero && !log && y0 === 0 ? 0 : low - room;
    high += room;
    const back = log ? Math.exp : (v) => v;
    const unit = unitOf(chart, high);
    const inner = {width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom};
    return {
      x: (step) => MARGIN.left + ((step - x0) / (x1 - x0)) * inner.width,
      y: (value) => MARGIN.top + (1 - (forward(log && value <= 0 ? back(low) : value) - low) / (high - low)) * inner.height,
      stepAt: (px) => x0 + ((px - MARGIN.left) / inner.width) * (x1 - x0),
      xTicks: linearTicks(x0, x1, Math.max(2, inner.width / 110)).filter(Number.isInteger),
      yTicks: log
        ? logTicks(back(low), back(high))
        : linearTicks(low / unit, high / unit, Math.max(2, inner.height / 36)).map((tick) => tick * unit),
    };
  };

  const draw = (figure, chart, log) => {
    const svg = figure.querySelector('svg');
    const output = figure.querySelector('output');
    const width = Math.max(280, Math.round(figure.clientWidth));
    const height = figure.classList.contains('wide') ? 320 : 190;
    const format = shown[chart.unit];
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.replaceChildren();
    const {x, y, stepAt, xTicks, yTicks} = scales(chart, log, width, height);
    const bottom = height - MARGIN.bottom;
    const axis = node('g', {class: 'axis'}, svg);
    for (const tick of yTicks) {
      node('line', {x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick)}, axis);
      const label = tick === 0 ? '0' : format(tick).replace(/\.?0+ (?=GiB)/, ' ');
      node('text', {x: MARGIN.left - 8, y: y(tick) + 4, 'text-anchor': 'end'}, axis, label);
    }
    for (const tick of xTicks) {
      node('text', {x: x(tick), y: height - 6, 'text-anchor': 'middle'}, axis, shown.count(tick));
    }
    node('line', {class: 'base', x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom}, axis);
    for (const curve of chart.curves) {
      node('path', {class: curve.kind, d: path(curve, x, y)}, svg);
      if (curve.kind === 'eval' || curve.x.length === 1) {
        const few = curve.x.length <= 60;
        curve.x.forEach((step, i) => {
          if (few && curve.y[i] !== null) node('circle', {class: curve.kind, cx: x(step), cy: y(curve.y[i]), r: 3}, svg);
        });
      }
    }
    const cursor = node('line', {class: 'cursor', y1: MARGIN.top, y2: bottom, visibility: 'hidden'}, svg);
    svg.onpointermove = (event) => {
      const box = svg.getBoundingClientRect();
      const at = stepAt(((event.clientX - box.left) / box.width) * width);
      const xs = chart.curves[0].x;
      const step = xs[nearest(xs, at)];
      const texts = chart.curves.map((curve) => {
        const i = nearest(curve.x, step);
        const value = curve.y[i];
        const where = curve.x[i] === step || curve.kind !== 'eval' ? '' : ` (step ${shown.count(curve.x[i])})`;
        return `${curve.name} ${value === null ? 'not a number' : format(value)}${where}`;
      });
      output.textContent = `step ${shown.count(step)}  ·  ${texts.join('  ·  ')}`;
      cursor.setAttribute('x1', x(step));
      cursor.setAttribute('x2', x(step));
      cursor.setAttribute('visibility', 'visible');
    };
    svg.onpointerleave = () => {
      output.textContent = '';
      cursor.setAttribute('visibility', 'hidden');
    };
  };

  for (const figure of document.querySelectorAll('figure[data-curve]')) {
    const chart = charts[figure.dataset.curve];
    const button = figure.querySelector('button');
    let log = chart.log;
    let width = 0;
    const redraw = () => draw(figure, chart, log);
    if (button) {
      button.hidden = false;
      button.setAttribute('aria-pressed', String(log));
      button.onclick = () => {
        log = !log;
        button.setAttribute('aria-pressed', String(log));
        redraw();
      };
    }
    new ResizeObserver(() => {
      if (figure.clientWidth !== width) {
        width = figure.clientWidth;
        redraw();
      }
    }).observe(figure);
    redraw();
  }
})();
