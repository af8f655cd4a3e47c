const scatter = document.getElementById('scatter');
const roundTicks = (low, high) => {
  const size = (high - low) / 5, power = 10 ** Math.floor(Math.log10(size));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(each => each >= size);
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(6)));
};
const drawScatter = () => {
  const [x, y] = ['scatter-x', 'scatter-y'].map(id => document.getElementById(id).value);
  const points = JSON.parse(scatter.dataset.points).points.filter(each => x in each.values && y in each.values);
  scatter.innerHTML = '<svg class=chart viewBox="0 0 480 290"></svg>';
  const svg = scatter.firstChild;
  const make = (tag, attributes, text) => {
    const node = document.createElementNS(svg.namespaceURI, tag);
    for (const name in attributes) node.setAttribute(name, attributes[name]);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const range = name => {
    const values = points.map(each => each.values[name]), low = Math.min(...values), high = Math.max(...values);
    const margin = (high - low || Math.abs(high) || 1) * .06;
    return [low - margin, high + margin];
  };
  if (!points.length) { scatter.textContent = 'no run has both'; return; }
  const [left, right] = range(x), [low, high] = range(y);
  const across = value => 64 + 400 * (value - left) / (right - left), up = value => 250 - 236 * (value - low) / (high - low);
  for (const tick of roundTicks(low, high)) svg.append(
    make('line', { class: 'grid', x1: 64, x2: 464, y1: up(tick), y2: up(tick) }),
    make('text', { x: 58, y: up(tick) + 4, 'text-anchor': 'end' }, tick));
  for (const tick of roundTicks(left, right)) svg.append(
    make('line', { class: 'grid', x1: across(tick), x2: across(tick), y1: 14, y2: 250 }),
    make('text', { x: across(tick), y: 266, 'text-anchor': 'middle' }, tick));
  svg.append(make('text', { x: 264, y: 284, 'text-anchor': 'middle' }, x));
  for (const point of points) {
    const dot = make('circle', { cx: across(point.values[x]), cy: up(point.values[y]), r: 4 });
    dot.append(make('title', {}, `${point.run}: ${point.group}\n${x}: ${point.values[x]}\n${y}: ${point.values[y]}`));
    dot.onclick = () => { location.hash = point.anchor; };
    svg.append(dot);
  }
};
if (scatter) {
  for (const id of ['scatter-x', 'scatter-y']) document.getElementById(id).onchange = drawScatter;
  drawScatter();
}
