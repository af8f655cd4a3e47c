const key = (row, i) => { const v = row.cells[i].dataset.by, n = Number(v); return v !== '' && !isNaN(n) ? n : v; };
const compare = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === 'number' ? -1 : 1;
for (const head of document.querySelectorAll('th')) head.onclick = () => {
  const body = head.closest('table').tBodies[0], i = head.cellIndex, up = head.ariaSort !== 'ascending';
  for (const other of head.parentNode.cells) other.ariaSort = null;
  head.ariaSort = up ? 'ascending' : 'descending';
  body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * compare(key(a, i), key(b, i))));
};
const textOf = (node, selector) => [...node.querySelectorAll(selector)].map(each => each.textContent).join(' ');
document.getElementById('filter').oninput = event => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const part of document.querySelectorAll('.part')) {
    for (const section of part.querySelectorAll('section')) {
      const about = `${textOf(part, 'h2')} ${textOf(section, 'h3, :scope > p')}`;
      let any = false;
      for (const row of section.querySelectorAll('tbody tr, .pictures > figure, li, polyline, .run')) {
        if (row.matches('.run *')) continue;
        const settings = (row.dataset.about || '').toLowerCase();
        const text = `${about} ${row.textContent} ${settings}`.toLowerCase();
        const is = word => settings.split(', ').some(one => one === word || one.endsWith('.' + word));
        const has = word => word.includes('=') ? is(word) : text.includes(word);
        const hidden = !words.every(has);
        row.toggleAttribute('hidden', hidden);
        any ||= !hidden;
      }
      section.hidden = words.length > 0 && !any;
    }
    for (const more of part.querySelectorAll('.more')) more.open = words.length > 0;
    part.hidden = words.length > 0 && [...part.querySelectorAll('section')].every(section => section.hidden);
  }
};
const openTarget = () => {
  const target = document.getElementById(location.hash.slice(1));
  for (let node = target; node; node = node.parentElement) if (node.tagName === 'DETAILS') node.open = true;
  if (target) target.scrollIntoView();
};
addEventListener('hashchange', openTarget);
openTarget();
