// What who cannot see, or not well, would stumble over: names, labels, headings, landmarks, numbers of an id, contrast.
const faults = [];
const say = (what, node) => faults.push(what + ': ' + node.outerHTML.slice(0, 160));
const shown = node => node.checkVisibility({ visibilityProperty: true });
const all = selector => [...document.querySelectorAll(selector)].filter(shown);
const open = document.querySelector('dialog[open]');
const words = node => (node.getAttribute('aria-label') || (node.getAttribute('aria-labelledby') || '').split(' ').map(id => document.getElementById(id)?.innerText || '').join(' ') || node.innerText || node.title || '').trim();

if (!document.documentElement.lang) faults.push('no language');
if (!document.title) faults.push('no title');
if (all('main').length !== 1) faults.push('not one main');
for (const node of all('button, a[href]')) if (!words(node)) say('without a name', node);
for (const node of all('input:not([type=hidden]), select, textarea')) if (!node.labels.length && !node.getAttribute('aria-label')) say('without a label', node);
for (const node of all('section[aria-labelledby], dialog, nav, [role=log], [role=group]')) if (!words(node)) say('a region without a name', node);
for (const node of all('svg:not([aria-hidden])')) if (!node.getAttribute('aria-label') || node.getAttribute('role') !== 'img') say('a picture without words', node);
for (const node of all('th')) if (!node.scope) say('a head that says not of what', node);
for (const node of document.querySelectorAll('[aria-describedby]')) if (!node.getAttribute('aria-describedby').split(' ').every(id => document.getElementById(id))) say('described by nothing', node);
const ids = [...document.querySelectorAll('[id]')].map(node => node.id);
for (const id of new Set(ids)) if (ids.filter(one => one === id).length > 1) faults.push('an id twice: ' + id);
if (document.querySelector('[tabindex]:not([tabindex="0"]):not([tabindex="-1"])')) faults.push('an order of its own');
let level = 0;
for (const node of all('h1, h2, h3')) {
  const next = Number(node.tagName[1]);
  if (level && next > level + 1) say('a heading is left out', node);
  level = next;
}

// WCAG 2.2, 1.4.3: 4.5 to 1, of large text 3 to 1.
const parse = text => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
const light = ({ r, g, b }) => [r, g, b].map(value => value / 255).map(value => value <= .03928 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4)
  .reduce((sum, value, at) => sum + value * [.2126, .7152, .0722][at], 0);
const ground = node => {
  for (let at = node; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.a === 1) return colour;
  }
  return parse(getComputedStyle(document.body).backgroundColor);
};
const walk = document.createTreeWalker(open || document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const node = walk.currentNode.parentElement;
  if (!walk.currentNode.data.trim() || !shown(node) || node.closest('svg, script, noscript, [disabled]')) continue;
  const style = getComputedStyle(node);
  const [one, other] = [light(parse(style.color)), light(ground(node))].sort((a, b) => b - a);
  const large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700;
  const ratio = (one + .05) / (other + .05);
  if (ratio < (large ? 3 : 4.5)) say('contrast ' + ratio.toFixed(2), node);
}
// WCAG 2.2, 2.5.8: what is touched is 24 pixels high and wide at least.
for (const node of all('button, nav a, select, input:not([type=hidden], [type=checkbox])')) {
  const { width, height } = node.getBoundingClientRect();
  if (width < 24 || height < 24) say('small', node);
}
return faults;
