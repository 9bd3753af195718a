'use strict';
// Everything is drawn from the documents of /api/ (docs/API.md); what strangers say is put in as text, never as markup.
const first = JSON.parse(document.getElementById('first').textContent);
let token = document.body.dataset.token;
const state = { status: first.status, devices: first.devices, history: null, dns: null, span: 'live', files: {} };
const SECTIONS = { overview: 'Overview', devices: 'Devices', access: 'Ports and rules', names: 'Names', services: 'Services', system: 'System' };
const main = document.getElementById('main');

// --- small tools
function h(tag, props, ...children) {
  const svg = ['svg', 'path', 'line', 'text', 'g'].includes(tag);
  const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, '');
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.flat(9).filter(child => child != null && child !== false).map(child => child instanceof Node ? child : String(child)));
  return node;
}
async function api(path, body, patience) {
  const options = body === undefined ? {} : { signal: patience && AbortSignal.timeout(patience), method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Weir-Token': token }, body: JSON.stringify(body) };
  let answer;
  try { answer = await fetch('/api/' + path, options); } catch { throw Object.assign(new Error('The router does not answer. Is this device still connected to it?'), { lost: true }); }
  const value = await answer.json().catch(() => ({}));
  if (answer.status === 401) { location.reload(); throw new Error('You have been logged out.'); }
  if (!answer.ok) throw new Error(value.error || 'The router answered ' + answer.status + '.');
  return value;
}
let saying;
function say(words) {
  const box = document.getElementById('say');
  box.replaceChildren(h('p', {}, words));
  clearTimeout(saying);
  saying = setTimeout(() => box.replaceChildren(), 7000);
}
const attempt = work => async event => {
  const button = event && event.currentTarget;
  if (button && 'disabled' in button) button.disabled = true;
  try { await work(event); } catch (error) { say(error.message); } finally { if (button && 'disabled' in button) button.disabled = false; }
};
const button = (words, act, kind, more) => h('button', { type: 'button', class: kind, onclick: attempt(act), ...more }, words);
const digits = value => String(Number(value >= 100 ? Math.round(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2)));
function amount(value, unit, base = 1000) {
  if (value == null) return '–';
  let at = 0;
  while (value >= base && at < 4) { value /= base; at++; }
  return digits(value) + ' ' + (base === 1024 ? ['B', 'KiB', 'MiB', 'GiB', 'TiB'] : ['', 'k', 'M', 'G', 'T'])[at] + (base === 1024 ? '' : unit);
}
const rate = bits => amount(bits, 'bit/s');
const bytes = count => amount(count, '', 1024);
function span(seconds) {
  if (seconds == null) return '–';
  const all = [[86400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']];
  const [size, word] = all.find(([size]) => seconds >= size) || all[3];
  const count = Math.floor(seconds / size);
  return count + ' ' + word + (count === 1 ? '' : 's');
}
const moment = text => text && !text.startsWith('0001') ? new Date(text).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' }) : '–';
const list = values => values && values.length ? values.join(', ') : '–';
const called = device => device.name || device.own_name || (device.vendor ? device.vendor + ' device' : 'Device without a name');
const pairs = rows => h('dl', {}, rows.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value == null || value === '' ? '–' : value)]));
const tile = (value, words) => h('div', { class: 'tile' }, h('b', {}, value), h('span', {}, words));
const empty = words => h('p', { class: 'empty' }, words);
function table(caption, heads, rows) {
  return h('div', { class: 'wide' }, h('table', { class: 'stack', 'aria-label': caption },
    h('thead', {}, h('tr', {}, heads.map(([name, kind]) => h('th', { scope: 'col', class: kind }, name || h('span', { class: 'hid' }, 'To do'))))),
    h('tbody', {}, rows.map(cells => h('tr', {}, cells.map((cell, at) => at === 0
      ? h('th', { scope: 'row' }, cell)
      : h('td', { class: heads[at][1], 'data-name': heads[at][1]?.startsWith('do') ? null : heads[at][0] }, cell)))))));
}
// Redrawing must not take the focus away from who uses the keyboard.
function draw(where, ...nodes) {
  const focus = where.contains(document.activeElement) && document.activeElement.getAttribute('data-focus');
  where.replaceChildren(...nodes.flat().filter(Boolean));
  if (focus) where.querySelector('[data-focus="' + CSS.escape(focus) + '"]')?.focus();
}

// --- dialogs
function dialog(title, ...content) {
  const box = h('dialog', { 'aria-labelledby': 'dialog-title', onclose: () => box.remove() }, h('h2', { id: 'dialog-title' }, title), content);
  document.body.append(box);
  box.showModal();
  return box;
}
const failure = () => h('p', { class: 'wrong', role: 'alert' });
let fields = 0;
function field(words, props, hint) {
  const id = 'field-' + ++fields;
  const { options, value, ...rest } = props;
  const about = hint ? { 'aria-describedby': id + '-hint' } : {};
  const input = options ? h('select', { id, ...about, ...rest }, options.map(([key, name]) => h('option', { value: key, selected: key === value }, name)))
    : h(props.rows ? 'textarea' : 'input', { id, type: props.rows ? null : 'text', autocomplete: 'off', ...about, ...rest });
  if (!options && value != null) input.value = value;
  return { input, node: [h('label', { for: id }, words), hint && h('p', { class: 'small', id: id + '-hint' }, hint), input] };
}
function tick(words, checked) {
  const input = h('input', { type: 'checkbox', checked });
  return { input, node: h('label', { class: 'check' }, input, h('span', {}, words)) };
}
// A form in a dialog; `work` may refuse by throwing, and what it says stands beside the button.
function form(title, nodes, words, work, more) {
  const wrong = failure();
  const send = h('button', { class: 'main' }, words);
  const box = dialog(title, h('form', {
    onsubmit: async event => {
      event.preventDefault();
      send.disabled = true;
      wrong.textContent = '';
      try { await work(box); box.close(); } catch (error) { wrong.textContent = error.message; } finally { send.disabled = false; }
    },
  }, nodes, wrong, h('div', { class: 'row' }, more && more(() => box.close()), button('Cancel', () => box.close()), send)));
  return box;
}
const sure = (title, words, yes, work) => form(title, h('p', {}, words), yes, work);

// --- files that a person writes: check, try for a while, keep
const readFile = async name => {
  const { text } = await api('file?name=' + encodeURIComponent(name));
  return text;
};
// Keys count in any case; the first spelling stays.
function get(object, key) {
  const found = Object.keys(object).find(known => known.toLowerCase() === key);
  return found === undefined ? undefined : object[found];
}
function set(object, key, value) {
  object[Object.keys(object).find(known => known.toLowerCase() === key) || key] = value;
}
async function edit(name, change) {
  const text = await readFile(name);
  let value;
  try { value = text ? JSON.parse(text) : {}; } catch { throw new Error(name + ' is no JSON at present: mend it as text, under System.'); }
  change(value);
  await tryFiles({ [name]: JSON.stringify(value, null, 2) + '\n' });
}
async function tryFiles(files, confirm = 60) {
  await api('config/check', { files });
  await api('config/try', { files, confirm });
  await refresh();
  say('On trial. If all still works, keep it.');
}
let ends = 0;
function trial() {
  const at = document.getElementById('trial');
  const now = state.status.trial;
  if (!now) { if (at.firstChild) { at.replaceChildren(); state.files = {}; visit(true); } return; }
  ends = Date.now() + now.seconds_left * 1000;
  if (at.firstChild) return;
  at.replaceChildren(h('div', { class: 'bar' },
    h('p', {}, h('strong', {}, 'On trial: '), now.files.join(', '), '. What was before comes back in ', h('b', { id: 'left', 'aria-live': 'off' }), ' unless this is kept.'),
    button('Keep', async () => { await api('config/keep', {}); await refresh(); say('Kept.'); }, 'main', { id: 'keep' }),
    button('Take back', async () => { await api('config/revert', {}); await refresh(); say('As it was before.'); }, '', { id: 'revert' })));
  countdown();
}
function countdown() {
  const left = document.getElementById('left');
  if (!left) return;
  const seconds = Math.max(0, Math.round((ends - Date.now()) / 1000));
  left.textContent = seconds + ' s';
  if (seconds === 0) refresh();
  setTimeout(countdown, 1000);
}

// --- overview
const LEVELS = { fine: ['fine', 'Online'], note: ['fine', 'Online, with something to know'], trouble: ['trouble', 'Online, with trouble'], broken: ['broken', 'Offline'], unknown: ['unknown', 'Not known'] };
function overview() {
  const { internet, wan, lans, router, missing } = state.status;
  const [kind, word] = LEVELS[internet.level] || LEVELS.unknown;
  const hero = document.getElementById('hero');
  hero.className = 'hero ' + kind;
  const others = (internet.findings || []).filter(found => found.sentence !== internet.sentence);
  draw(hero,
    h('p', { class: 'state' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), word),
    h('h1', {}, internet.sentence),
    others.length > 0 && h('ul', {}, others.map(found => h('li', {}, found.sentence))),
    missing.length > 0 && h('p', { class: 'warn small' }, 'No word from ' + missing.join(', ') + ': what stands here is without it.'),
    button('Check again', async () => {
      const found = await api('diagnosis');
      Object.assign(state.status.internet, found);
      overview();
      say(found.sentence);
    }, '', { 'data-focus': 'again' }));
  const here = (state.devices.devices || []).filter(device => device.here).length;
  draw(document.getElementById('facts'),
    h('section', { class: 'card' }, h('h2', {}, 'Internet'), pairs([
      ['Address', list(wan.addresses)], ['How', wan.cable ? wan.how : 'no cable'], ['Gateway', wan.gateway], ['Name servers', list(wan.dns)],
      ['IPv6 prefix', list(wan.prefixes.map(held => held.prefix))], ['Renews', wan.renew_at ? moment(wan.renew_at) : '–']])),
    h('section', { class: 'card' }, h('h2', {}, 'Home'), pairs([
      ['Devices here', h('a', { href: '#devices' }, here + ' of ' + (state.devices.devices || []).length)],
      ...lans.map(lan => [lan.interface === 'lan0' ? 'Address at home' : lan.interface + (lan.guest ? ' (guests)' : ''), lan.cable ? list(lan.addresses) : 'no cable']),
      ['This router', router.name], ['Up for', span(router.uptime_ms / 1000)]])));
  plots();
}
function frame() {
  const choose = (key, words) => h('button', { type: 'button', 'aria-pressed': String(state.span === key), 'data-span': key, onclick: () => {
    state.span = key;
    document.querySelectorAll('[data-span]').forEach(one => one.setAttribute('aria-pressed', one.dataset.span === key));
    plots();
  } }, words);
  const figure = (id, words) => h('section', { class: 'card' }, h('h3', {}, words), h('div', { class: 'key', id: id + '-key' }), h('div', { id }));
  draw(document.getElementById('rest'),
    h('div', { class: 'heading' }, h('h2', {}, 'The line'), h('div', { class: 'row', role: 'group', 'aria-label': 'Time shown' }, choose('live', '10 minutes'), choose('day', '24 hours'))),
    h('div', { class: 'grid', id: 'plots' }, figure('speed', 'Throughput'), figure('delay', 'Time to the provider and back')),
    h('div', { class: 'grid', id: 'facts' }));
}
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map(step => step * power).find(step => step >= value);
}
function plot(where, name, lines, unit, step, least, slots) {
  const most = nice(Math.max(least, ...lines.flatMap(line => line.values.filter(value => value != null))));
  const [wide, tall, left, foot] = [Math.max(where.clientWidth, 240), 170, 82, 24];
  const x = at => left + (wide - left) * (1 - (lines[0].values.length - 1 - at) / (slots - 1));
  const y = value => 6 + (tall - foot - 6) * (1 - value / most);
  const way = values => {
    let path = '', gap = true;
    values.forEach((value, at) => { if (value == null) { gap = true; } else { path += (gap ? 'M' : 'L') + x(at).toFixed(1) + ' ' + y(value).toFixed(1); gap = false; } });
    return path;
  };
  const marks = [0, .5, 1].map(part => [h('line', { class: 'axis', x1: left, x2: wide, y1: y(most * part), y2: y(most * part) }),
    h('text', { x: left - 8, y: y(most * part) + 4, 'text-anchor': 'end' }, unit(most * part))]);
  const times = (wide - left < 340 ? [1, 0] : [1, .5, 0]).map(part => h('text', { x: left + (wide - left) * (1 - part), y: tall - 6, 'text-anchor': part === 1 ? 'start' : part ? 'middle' : 'end' },
    part ? span(part * slots * step) + ' ago' : 'now'));
  const filled = lines[0].values.filter(value => value != null).length > 1;
  const area = filled && lines.length > 1 && way(lines[0].values.map(value => value ?? 0));
  const words = name + ', the last ' + span(slots * step) + ': ' + (filled ? lines.map(line => line.name + ' ' + unit(line.values.at(-1) ?? 0) + ' now, ' + unit(Math.max(...line.values.filter(value => value != null), 0)) + ' at most').join('; ') : 'nothing yet') + '.';
  draw(where, h('svg', { class: 'plot', viewBox: '0 0 ' + wide + ' ' + tall, role: 'img', 'aria-label': words }, marks, times,
    area && h('path', { class: 'area ' + lines[0].kind, d: area + 'L' + x(lines[0].values.length - 1).toFixed(1) + ' ' + y(0) + 'L' + x(0).toFixed(1) + ' ' + y(0) + 'Z' }),
    lines.map(line => h('path', { class: line.kind, d: way(line.values) }))));
  if (!filled) where.append(h('p', { class: 'small' }, step > 2 ? 'The first means come after a few minutes.' : 'The curve begins in a moment.'));
}
function plots() {
  const speed = document.getElementById('speed');
  if (!speed || !state.history) return;
  const { step_s, received, sent, rtt_ms } = state.history[state.span];
  const slots = state.span === 'live' ? 300 : 288;
  const key = (id, rows) => draw(document.getElementById(id + '-key'), rows.map(([kind, words, value]) => h('span', {}, h('i', { class: kind }), words + ' ', h('b', {}, value))));
  key('speed', [['down', 'Down', rate(received.at(-1))], ['up', 'Up', rate(sent.at(-1))]]);
  const ms = value => value == null ? '–' : digits(value) + ' ms';
  key('delay', [['down', 'Now', ms(rtt_ms.at(-1))]]);
  plot(speed, 'Throughput', [{ name: 'down', kind: 'down', values: received }, { name: 'up', kind: 'up', values: sent }], rate, step_s, 1e5, slots);
  plot(document.getElementById('delay'), 'Time to the provider and back', [{ name: 'it takes', kind: 'down', values: rtt_ms }], ms, step_s, 1, slots);
}

// --- devices
function devices(where) {
  const { devices: all = [], missing = [] } = state.devices;
  const row = device => [
    [called(device), h('small', {}, [device.vendor, device.interface].filter(Boolean).join(' · '))],
    [list(device.ipv4), device.reserved && h('small', {}, 'always this one'), device.ipv6.length > 0 && h('small', {}, device.ipv6[0] + (device.ipv6.length > 1 ? ' and ' + (device.ipv6.length - 1) + ' more' : ''))],
    device.here ? h('span', { class: 'badge ok' }, 'here') : [span(device.seen_s), ' ago'],
    bytes(device.received_bytes), bytes(device.sent_bytes),
    button('Edit', () => editDevice(device), 'plain', { 'aria-label': 'Edit ' + called(device), 'data-focus': device.hardware_addr })];
  draw(where, h('h1', { class: 'page' }, 'Devices'), h('p', { class: 'lead' }, 'Everybody who was seen at home, those that are here first. Traffic is what went to the internet and came from it.'),
    missing.length > 0 && h('p', { class: 'warn' }, 'No word from ' + missing.join(', ') + '.'),
    h('div', { class: 'card' }, all.length ? table('Devices', [['Device'], ['Address'], ['Seen'], ['Received', 'n'], ['Sent', 'n'], ['', 'do one']], all.map(row))
      : empty('Nobody has been seen yet. A device appears here as soon as it is connected by cable or Wi-Fi.')));
}
function editDevice(device) {
  const name = field('Name', { value: device.fixed_name || device.given_name || device.name, maxlength: 63, autofocus: true }, 'Letters, digits and hyphens. Other devices find it as NAME.lan.');
  const address = device.ipv4[0];
  const keep = tick('Always give it the address ' + address, device.reserved);
  form(called(device), [
    pairs([['Hardware address', h('span', { class: 'mono' }, device.hardware_addr)], ['Maker', device.vendor], ['Calls itself', device.own_name], ['First seen', moment(device.first_seen)], ['IPv6', list(device.ipv6)]]),
    name.node, address && keep.node], 'Save', async () => {
    await api('device/fix', { hardware_addr: device.hardware_addr, name: name.input.value.trim().toLowerCase() });
    if (address && keep.input.checked !== device.reserved) await reserve(device, address, keep.input.checked);
    else say('Saved.');
    state.devices = await api('devices');
    visit(true);
  }, close => button('Forget it', async () => {
    await api('device/forget', { hardware_addr: device.hardware_addr });
    close();
    state.devices = await api('devices');
    visit(true);
    say('Forgotten. It comes back when it is seen again.');
  }, 'danger'));
}
const reserve = (device, address, wanted) => edit('dhcp4d/config.json', file => {
  if (!get(file, 'lans')) set(file, 'lans', []);
  const lans = get(file, 'lans');
  let lan = lans.find(lan => get(lan, 'name') === device.interface);
  if (!lan) lans.push(lan = { name: device.interface });
  for (const one of lans) {
    const kept = (get(one, 'reservations') || []).filter(entry => (get(entry, 'hardware_addr') || '').toLowerCase() !== device.hardware_addr);
    if (get(one, 'reservations') || one === lan) set(one, 'reservations', kept);
  }
  if (wanted) get(lan, 'reservations').push({ hardware_addr: device.hardware_addr, addr: address });
});

// --- ports and rules
async function files() {
  for (const [key, name] of [['forwards', 'portforwardings.json'], ['rules', 'firewall.json']]) {
    const text = await readFile(name);
    try { state.files[key] = text ? JSON.parse(text) : {}; } catch { state.files[key] = null; }
  }
}
function access(where) {
  const { forwards, rules } = state.files;
  const damaged = name => h('p', { class: 'wrong' }, name + ' is no JSON. Mend it as text, under System.');
  const remove = (file, key, at, words) => () => sure('Remove ' + words + '?', 'It is taken away on trial first, and comes back by itself unless you keep the change.', 'Remove', () => edit(file, value => get(value, key).splice(at, 1)));
  const actions = (edits, removes, words) => [button('Edit', edits, 'plain', { 'aria-label': 'Edit ' + words }), button('Remove', removes, 'plain danger', { 'aria-label': 'Remove ' + words })];
  const opened = forwards && (get(forwards, 'forwardings') || []);
  const holes = forwards && (get(forwards, 'pinholes') || []);
  const ruled = rules && (get(rules, 'rules') || []);
  const target = entry => get(entry, 'device') || get(entry, 'dest_addr') || get(entry, 'suffix');
  draw(where, h('h1', { class: 'page' }, 'Ports and rules'),
    h('p', { class: 'lead' }, 'What the internet may reach at home, and who may do what. Every change is checked, then on trial for a minute: unless you keep it, everything is as before.'),
    h('section', { class: 'card' }, h('div', { class: 'heading' }, h('h2', {}, 'Open ports'), button('Open a port', () => editForward(), 'main', { id: 'open-port' })),
      !opened ? damaged('portforwardings.json') : opened.length ? table('Open ports', [['Name'], ['Port'], ['Leads to'], ['From'], ['', 'do']], opened.map((entry, at) => {
        const words = get(entry, 'name') || 'port ' + get(entry, 'port');
        return [words, [get(entry, 'port'), h('small', {}, get(entry, 'proto') || 'tcp')], [target(entry), get(entry, 'dest_port') && h('small', {}, 'port ' + get(entry, 'dest_port'))], get(entry, 'source') || 'everywhere',
          actions(() => editForward(entry, at), remove('portforwardings.json', 'forwardings', at, words), words)];
      })) : empty('No port is open: nothing on the internet can begin a connection to a device at home.'),
      holes && holes.length > 0 && [h('h3', {}, 'IPv6'), table('IPv6 openings', [['Name'], ['Port'], ['Leads to'], ['From']], holes.map(entry => [get(entry, 'name') || 'no name', get(entry, 'port'), target(entry), get(entry, 'source') || 'everywhere']))]),
    h('section', { class: 'card' }, h('div', { class: 'heading' }, h('h2', {}, 'Rules'), button('Add a rule', () => editRule(), 'main', { id: 'add-rule' })),
      !ruled ? damaged('firewall.json') : ruled.length ? table('Rules', [['Name'], ['Does'], ['Who'], ['With'], ['When'], ['', 'do']], ruled.map((rule, at) => {
        const time = get(rule, 'schedule');
        const words = get(rule, 'name');
        return [words, h('span', { class: 'badge ' + (get(rule, 'action') === 'allow' ? 'ok' : 'wrong') }, get(rule, 'action')), get(rule, 'device') || get(rule, 'address') || get(rule, 'lan') || 'everybody',
          [get(rule, 'remote') || WAYS[get(rule, 'direction') || 'out'], get(rule, 'port') && h('small', {}, 'port ' + get(rule, 'port'))], time ? (get(time, 'days') || 'every day') + ' ' + (get(time, 'from') || '0:00') + '–' + (get(time, 'to') || '24:00') : 'always',
          actions(() => editRule(rule, at), remove('firewall.json', 'rules', at, words), words)];
      })) : empty('No rules of your own. Everybody at home may use the internet; guests may use nothing else.')));
}
const WAYS = { out: 'the internet', in: 'from the internet', across: 'another LAN', router: 'the router' };
const known = () => (state.devices.devices || []).filter(device => device.ipv4.length);
function editForward(entry, at) {
  const old = entry || {};
  const targets = known().map(device => [device.ipv4[0], called(device) + ' (' + device.ipv4[0] + ')']);
  const before = get(old, 'dest_addr') || get(old, 'device');
  if (before && !targets.some(([key]) => key === before)) targets.unshift([before, before]);
  const name = field('What for', { value: get(old, 'name'), required: true, maxlength: 40, name: 'name', autofocus: true });
  const port = field('Port', { value: get(old, 'port'), required: true, inputmode: 'numeric', pattern: '[0-9]+(-[0-9]+)?', name: 'port' }, 'Such as 443, or 8000-8010.');
  const inner = field('Port there', { value: get(old, 'dest_port'), inputmode: 'numeric', pattern: '[0-9]+(-[0-9]+)?', name: 'inner' }, 'If it is another one.');
  const proto = field('Protocol', { options: [['tcp', 'TCP'], ['udp', 'UDP'], ['tcp,udp', 'Both']], value: (get(old, 'proto') || 'tcp').replace(/\s/g, ''), name: 'proto' });
  const to = targets.length ? field('Device', { options: targets, value: before, name: 'to' }) : field('Address of the device', { required: true, name: 'to' });
  const source = field('Only from', { value: get(old, 'source'), name: 'source' }, 'An address or network on the internet; empty for everywhere.');
  form(entry ? 'Edit ' + get(old, 'name') : 'Open a port', [name.node, to.node, h('div', { class: 'two' }, h('div', {}, port.node), h('div', {}, inner.node)), proto.node, source.node], 'Try it', () =>
    edit('portforwardings.json', file => {
      const next = { ...old };
      const put = (key, value) => { value = value.trim(); if (value || get(next, key) !== undefined) set(next, key, value); };
      put('name', name.input.value); put('proto', proto.input.value); put('port', port.input.value); put('dest_port', inner.input.value || port.input.value); put('source', source.input.value);
      if (to.input.value !== get(old, 'device')) { put('dest_addr', to.input.value); if (get(next, 'device')) set(next, 'device', ''); }
      if (!get(file, 'forwardings')) set(file, 'forwardings', []);
      if (entry) get(file, 'forwardings')[at] = next; else get(file, 'forwardings').push(next);
    }));
}
function editRule(rule, at) {
  const old = rule || {};
  const time = get(old, 'schedule') || {};
  const who = (state.devices.devices || []).map(device => [device.hardware_addr, called(device)]);
  const before = get(old, 'device') || '';
  if (before && !who.some(([key]) => key === before)) who.unshift([before, before]);
  const name = field('Name', { value: get(old, 'name'), required: true, pattern: '[a-z0-9_-]{1,40}', autofocus: true, name: 'name' }, 'Small letters, digits, - and _.');
  const action = field('It shall', { options: [['refuse', 'refuse'], ['allow', 'allow']], value: get(old, 'action'), name: 'action' });
  const device = field('Connections of', { options: [['', 'everybody'], ...who], value: before, name: 'device' });
  const way = field('Between', { options: [['out', 'home and the internet'], ['in', 'the internet and home'], ['across', 'one LAN and another'], ['router', 'home and this router']], value: get(old, 'direction') || 'out', name: 'direction' });
  const remote = field('Only with', { value: get(old, 'remote'), name: 'remote' }, 'An address or network; empty for all.');
  const port = field('Only on port', { value: get(old, 'port'), pattern: '[0-9]+(-[0-9]+)?', name: 'port' });
  const days = field('On days', { value: get(time, 'days'), placeholder: 'every day', name: 'days' }, 'Such as mon-fri.');
  const from = field('From', { value: get(time, 'from'), placeholder: '00:00', pattern: '[0-9]{2}:[0-9]{2}', name: 'from' });
  const until = field('To', { value: get(time, 'to'), placeholder: '24:00', pattern: '[0-9]{2}:[0-9]{2}', name: 'until' });
  form(rule ? 'Edit ' + get(old, 'name') : 'Add a rule', [name.node, h('div', { class: 'two' }, h('div', {}, action.node), h('div', {}, device.node)), way.node,
    h('div', { class: 'two' }, h('div', {}, remote.node), h('div', {}, port.node)), days.node, h('div', { class: 'two' }, h('div', {}, from.node), h('div', {}, until.node))], 'Try it', () =>
    edit('firewall.json', file => {
      const next = { ...old };
      const put = (key, value) => { value = value.trim(); if (value) set(next, key, value); else for (const one of Object.keys(next)) if (one.toLowerCase() === key) delete next[one]; };
      put('name', name.input.value); put('action', action.input.value); put('device', device.input.value); put('direction', way.input.value); put('remote', remote.input.value); put('port', port.input.value);
      const when = Object.fromEntries([['days', days], ['from', from], ['to', until]].map(([key, one]) => [key, one.input.value.trim()]).filter(([, value]) => value));
      if (Object.keys(when).length) set(next, 'schedule', when); else delete next.schedule;
      if (!get(file, 'rules')) set(file, 'rules', []);
      if (rule) get(file, 'rules')[at] = next; else get(file, 'rules').push(next);
    }));
}

// --- names
function names(where) {
  const dns = state.dns || { missing: [] };
  const share = dns.queries ? Math.round(100 * (dns.cache_hits + dns.local) / dns.queries) : 0;
  draw(where, h('h1', { class: 'page' }, 'Names'), h('p', { class: 'lead' }, 'Every name that a device asks for goes through the router, which remembers the answers.'),
    dns.missing.length ? h('p', { class: 'warn' }, 'dnsd does not answer. See Services.') : dns.queries === undefined ? empty('A moment…') : [
      h('div', { class: 'card tiles' }, tile(dns.queries.toLocaleString(), 'questions since it began'), tile(share + ' %', 'answered from memory or known at home'), tile(dns.cache_answers.toLocaleString(), 'answers remembered, ' + bytes(dns.cache_bytes)), dns.blocklists.length ? tile(dns.blocked.toLocaleString(), 'blocked by your lists') : '',
        tile(dns.refused_rebinding.toLocaleString(), 'answers refused that led into the house'), tile(dns.refused_rate.toLocaleString(), 'refused because a device asked too often'), tile(dns.failures.toLocaleString(), 'nobody could answer'),
        dns.dnssec.secure + dns.dnssec.insecure + dns.dnssec.bogus ? tile(dns.dnssec.secure.toLocaleString(), 'proven by DNSSEC; ' + dns.dnssec.insecure.toLocaleString() + ' not signed, ' + dns.dnssec.bogus.toLocaleString() + ' refused') : ''),
      h('section', { class: 'card' }, h('h2', {}, 'Asked most'), dns.names.length ? table('Names asked most', [['Name'], ['Asked', 'n']], dns.names.map(one => [h('span', { class: 'mono' }, one.name.replace(/\.$/, '')), one.asked.toLocaleString()])) : empty('No name of the internet was asked for twice yet.')),
      dns.blocklists.length ? h('section', { class: 'card' }, h('h2', {}, 'Block lists'), table('Block lists', [['List'], ['State'], ['Rules', 'n'], ['Blocked', 'n']], dns.blocklists.map(one => [one.name === 'own' ? 'your own names' : one.name,
        one.right === undefined ? '' : one.right ? h('span', { class: 'badge ok', title: new Date(one.checked * 1000).toLocaleString() }, 'up to date') : h('span', { class: 'badge wrong' }, one.checked ? 'old: of ' + new Date(one.checked * 1000).toLocaleDateString() : 'not here yet'), one.rules === undefined ? '' : one.rules.toLocaleString(), one.blocked.toLocaleString()]))) : '',
      h('section', { class: 'card' }, h('h2', {}, 'Who is asked'), dns.upstreams.length ? table('Name servers', [['Server'], ['State'], ['Takes', 'n'], ['Asked', 'n'], ['Answered', 'n']], dns.upstreams.map(one => [h('span', { class: 'mono' }, one.address),
        one.asked === 0 ? h('span', { class: 'badge' }, 'not asked yet') : one.alive ? h('span', { class: 'badge ok' }, 'answers') : h('span', { class: 'badge wrong' }, 'silent'), one.replies ? digits(one.rtt_ms) + ' ms' : '–', one.asked.toLocaleString(), one.replies.toLocaleString()])) : empty('No name server is known yet: the provider names them when the router is connected.'))]);
}

// --- services
const STATES = { running: ['ok', 'running'], starting: ['warn', 'starting'], waiting: ['wrong', 'comes back soon'], stopped: ['', 'stopped'] };
function services(where) {
  const all = state.status.services;
  const act = (name, what, words) => async () => { await api('service/' + what, { name }); await refresh(); say(name + ' ' + words + '.'); };
  draw(where, h('h1', { class: 'page' }, 'Services'), h('p', { class: 'lead' }, 'The parts of the router. One that fails is started again by itself.'),
    h('div', { class: 'card' }, all.length ? table('Services', [['Service'], ['State'], ['Memory', 'n'], ['Restarts', 'n'], ['Up for', 'n'], ['', 'do']], all.map(one => {
      const [kind, word] = STATES[one.state] || ['', one.state];
      return [[one.name, one.sick && h('small', {}, 'cannot stay up'), one.last_exit && h('small', {}, 'last end: ' + one.last_exit)], h('span', { class: 'badge ' + kind }, word), one.memory_kib ? bytes(one.memory_kib * 1024) : '–', one.restarts, one.uptime_ms ? span(one.uptime_ms / 1000) : '–',
        [button('Log', () => showLog(one.name), 'plain', { 'aria-label': 'Log of ' + one.name, 'data-focus': 'log ' + one.name }),
          one.state === 'stopped' ? button('Start', act(one.name, 'start', 'is being started'), 'plain', { 'aria-label': 'Start ' + one.name, 'data-focus': 'start ' + one.name })
            : [button('Restart', act(one.name, 'restart', 'is being started again'), 'plain', { 'aria-label': 'Restart ' + one.name, 'data-focus': 'restart ' + one.name }),
              one.name !== 'webd' && button('Stop', () => sure('Stop ' + one.name + '?', 'What it does is not done until it is started again.', 'Stop', act(one.name, 'stop', 'is being stopped')), 'plain danger', { 'aria-label': 'Stop ' + one.name, 'data-focus': 'stop ' + one.name })]]];
    })) : empty('PID 1 does not answer.'), h('div', { class: 'row' }, button('Log of the kernel', () => showLog('kernel')))));
}
function showLog(name) {
  const box = h('pre', { class: 'log', tabindex: '0', role: 'log', 'aria-label': 'Log of ' + name });
  const source = new EventSource('/api/log?name=' + encodeURIComponent(name));
  const shown = dialog('Log of ' + name, box, h('p', { class: 'small', role: 'status' }, 'It goes on while this is open.'), h('div', { class: 'row' }, button('Close', () => shown.close())));
  shown.classList.add('broad');
  shown.addEventListener('close', () => source.close());
  source.onmessage = event => {
    const line = JSON.parse(event.data);
    const low = box.scrollTop + box.clientHeight >= box.scrollHeight - 30;
    const stamp = line.t_ms == null ? '' : (line.t_ms / 1000).toFixed(3).padStart(10) + '  ';
    box.append(stamp + line.line + '\n');
    while (box.childNodes.length > 1000) box.firstChild.remove();
    if (low) box.scrollTop = box.scrollHeight;
  };
}

// --- system
const TEXTS = ['interfaces.json', 'portforwardings.json', 'firewall.json', 'time.json', 'shaping.json', 'dhcp4d/config.json', 'dnsd/config.json', 'blocklists.json', 'radvd/config.json', 'diagd/config.json', 'ntpd/config.json', 'dhcp4/client.json', 'dhcp6/client.json', 'authorized_keys', 'remote_syslog/target'];
function system(where) {
  const { router } = state.status;
  draw(where, h('h1', { class: 'page' }, 'System'), h('p', { class: 'lead' }, 'The box itself.'),
    h('div', { class: 'grid' },
      h('section', { class: 'card' }, h('h2', {}, 'This router'), pairs([['Name', router.name], ['Version', router.version], ['Slot', router.slot], ['Kernel', 'Linux ' + router.kernel], ['Up for', span(router.uptime_ms / 1000)], ['Its clock says', moment(router.time)],
        ['Memory', bytes(router.memory.total - router.memory.available) + ' of ' + bytes(router.memory.total)], ['Storage', router.storage.total ? bytes(router.storage.total - router.storage.available) + ' of ' + bytes(router.storage.total) + ', ' + router.perm : router.perm]])),
      h('section', { class: 'card' }, h('h2', {}, 'Switch'), h('p', { class: 'hint' }, 'Restarting takes a few seconds, in which nobody at home has internet.'), h('div', { class: 'row' },
        button('Restart the router', () => sure('Restart the router?', 'For a few seconds nobody at home has internet. This page comes back by itself.', 'Restart', reboot), '', { id: 'reboot' }),
        button('Update', update, '', { id: 'update' }),
        disks?.length > 0 && button('Install on a disk', install, '', { id: 'install' }),
        button('Switch off', () => sure('Switch the router off?', 'Nobody has internet until somebody switches it on again, by hand.', 'Switch off', async () => { await order('poweroff'); gone('The router is switching itself off.'); }), 'danger')))),
    h('div', { class: 'grid' },
      h('section', { class: 'card' }, h('h2', {}, 'Take with you'), h('p', { class: 'hint' }, 'The backup holds keys and passwords’ hashes: keep it as you keep a key. It asks for the user gokrazy and the router’s password. Packets are kept once somebody has said “capture on” at the console, or has a key for looking on.'), h('div', { class: 'row' },
        h('a', { class: 'button', href: '/backup.tar.gz' }, 'Backup'), button('Restore a backup', restore, '', { id: 'restore' }), h('a', { class: 'button', href: '/capture.pcapng', download: 'capture.pcapng' }, 'Packets of the last minutes'), h('a', { class: 'button', href: '/metrics' }, 'Metrics'))),
      h('section', { class: 'card' }, h('h2', {}, 'Password and place'), h('p', { class: 'hint' }, 'Who knows the password may do everything that is on this page.'), h('div', { class: 'row' }, button('Change the password', changePassword), button('Address at home', changeLan),
        h('form', { method: 'post', action: '/logout', onsubmit: event => { event.target.elements.token.value = token; } }, h('input', { type: 'hidden', name: 'token', value: token }), h('button', {}, 'Log out'))))),
    h('section', { class: 'card' }, h('h2', {}, 'Files'), h('p', { class: 'hint' }, 'Everything that can be said to the router stands in these files. Those that hold secrets are not shown. A change is checked, then on trial for a minute.'), h('p', { class: 'small' }, '\u00a0'),
      h('div', { class: 'row' }, TEXTS.map(name => button(name, () => editText(name), 'mono')))));
}
// Onto another disk of the machine: from the stick that it was started from, say.
let disks;
async function lookAtDisks() {
  if (disks) return;
  disks = [];
  disks = (await api('disks')).disks.filter(disk => !disk.refused);
}
function install() {
  const choice = field('The disk', { name: 'disk', options: disks.map(disk => [disk.name, disk.words + ': ' + (disk.over || 'empty')]) });
  const word = field('The disk’s name, to lose what is on it', { name: 'lose' }, 'Not needed where it is empty.');
  form('Install on a disk', [h('p', {}, 'The system that runs and all of its files are written to the disk; every byte is read back. Nothing else stays on it.'), choice.node, word.node], 'Write it', async () => {
    const disk = disks.find(disk => disk.name === choice.input.value);
    if (disk.over && word.input.value.trim() !== disk.name) throw new Error('On it is ' + disk.over + '. Type ' + disk.name + ' to lose it.');
    await api('install', { disk: disk.name, over: disk.over });
    showLog('install');
  });
}
async function editText(name) {
  const text = field(name, { rows: 18, value: await readFile(name) ?? '', spellcheck: 'false', placeholder: 'There is no such file yet.' });
  form('Edit ' + name, text.node, 'Try it', () => tryFiles({ [name]: text.input.value })).classList.add('broad');
}
function changePassword() {
  const old = field('The present one', { type: 'password', autocomplete: 'current-password', required: true, autofocus: true });
  const next = field('The new one', { type: 'password', autocomplete: 'new-password', required: true, minlength: 8, maxlength: 128 }, 'At least 8 letters.');
  form('Change the password', [WHO(), old.node, next.node], 'Change', async () => {
    token = (await api('password', { old: old.input.value, password: next.input.value })).token;
    say('There is another password. Who was logged in elsewhere has to say it.');
  });
}
// Where no file says which NIC is what, it is written down as it is.
async function withLan(address) {
  const text = await readFile('interfaces.json');
  const file = text ? JSON.parse(text) : { interfaces: [
    { name: 'uplink0', hardware_addr: state.status.wan.hardware_addr },
    ...state.status.lans.map(lan => ({ name: lan.interface, hardware_addr: lan.hardware_addr, addr: lan.addresses[0] }))].filter(one => one.hardware_addr) };
  const lan = (get(file, 'interfaces') || []).find(one => get(one, 'name') === 'lan0');
  if (!lan) throw new Error('There is no lan0 in interfaces.json: edit it as text.');
  set(lan, 'addr', address);
  return { 'interfaces.json': JSON.stringify(file, null, 2) + '\n' };
}
function lanField() {
  const lan = state.status.lans.find(lan => lan.interface === 'lan0');
  return field('Address of the router at home', { value: lan && lan.addresses.find(one => one.includes('.')), required: true, pattern: '[0-9.]+/[0-9]+', name: 'lan' }, 'With the size of the network behind the slash, such as 192.168.42.1/24.');
}
async function moveLan(address) {
  const files = await withLan(address);
  const next = address.split('/')[0];
  if (next === location.hostname) return tryFiles(files, 300);
  await api('config/check', { files });
  await order('config/try', { files, confirm: 300 }, 5000);
  const there = location.protocol + '//' + next + '/';
  gone('The router is now at ' + there + '. Reconnect this device (take the cable out and in again, or switch Wi-Fi off and on), open that address and press Keep. If nobody does within five minutes, the old address comes back, and this page with it.', there);
  // Silent first, then there again: nobody has kept it. Never silent: it has not moved.
  let [silent, looks] = [false, 0];
  watch(answers => { if (!answers) silent = true; return answers && (silent || ++looks > 30); });
}
function changeLan() {
  const address = lanField();
  form('Address at home', address.node, 'Try it', () => moveLan(address.input.value.trim()));
}
function gone(words, link) {
  feed && feed.close();
  main.replaceChildren(h('div', { class: 'hero' }, h('h1', { role: 'status' }, words), link && h('p', {}, h('a', { href: link }, link))));
  document.getElementById('nav').replaceChildren();
}
// The answer of a machine that goes may be lost with it.
const order = (path, body = {}, patience) => api(path, body, patience).catch(error => { if (!error.lost) throw error; });
async function reboot() {
  await order('reboot');
  comesBack('The router is restarting. This page comes back when it is there again.');
}
function comesBack(words) {
  gone(words);
  // A machine that has not gone yet counts on; one that came again may be up for longer by now than the old one was.
  const began = Date.now() - state.status.router.uptime_ms;
  watch(health => health && health.uptime_ms + 1000 < Date.now() - began);
}
// Loads the page anew as soon as what the router says of its health, or its silence, is what is awaited.
function watch(awaited) {
  const look = async () => {
    let health = null;
    try {
      const answer = await fetch('/api/health', { cache: 'no-store', signal: AbortSignal.timeout(2000) });
      if (answer.ok) health = await answer.json();
    } catch { /* It is not there. */ }
    if (awaited(health)) location.reload(); else setTimeout(look, 1000);
  };
  setTimeout(look, 1000);
}

// --- files that are sent
function send(path, file, headers, seen, box) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open('POST', '/api/' + path);
    for (const [name, value] of Object.entries({ 'X-Weir-Token': token, ...headers })) request.setRequestHeader(name, value);
    request.upload.onprogress = event => seen(event.loaded / event.total);
    request.onerror = () => fail(Object.assign(new Error('The connection broke off.'), { lost: true }));
    request.onabort = () => fail(new Error('It was broken off.'));
    request.onload = () => {
      let value = {};
      try { value = JSON.parse(request.responseText); } catch { /* It says nothing more. */ }
      if (request.status === 200) done(value); else fail(new Error(value.error || 'The router answered ' + request.status + '.'));
    };
    box.addEventListener('close', () => request.abort());
    request.send(file);
  });
}
async function readUpdate(file) {
  const [mark, line] = (await file.slice(0, 5000).text()).split('\n');
  try { if (mark === 'weir update 1') return JSON.parse(line); } catch { /* It is said below. */ }
  throw new Error(file.name + ' is no update of weir’s.');
}
function update() {
  const file = field('The update', { type: 'file', accept: '.update', required: true, name: 'update' }, 'A file that ends with .update, signed by a key that this router trusts.');
  const about = h('p', { role: 'status' });
  const bar = h('progress', { max: 1, value: 0, hidden: true, 'aria-label': 'Sent' });
  const called = one => 'Version ' + one.version + (one.commit ? ' (' + one.commit.slice(0, 12) + ')' : '') + ', made ' + moment(new Date(one.made * 1000).toISOString());
  file.input.addEventListener('change', async () => {
    try { about.textContent = called(await readUpdate(file.input.files[0])) + '.'; } catch (error) { about.textContent = error.message; }
  });
  form('Update the router', [file.node, about, bar], 'Send and start it', async box => {
    const one = await readUpdate(file.input.files[0]);
    bar.hidden = false;
    let whole = false;
    // The answer of a machine that goes may be lost with it.
    await send('update', file.input.files[0], {}, part => { bar.value = part; whole = part === 1; if (whole) about.textContent = 'All is there. It is checked on the router’s disk.'; }, box).catch(error => { if (!error.lost || !whole) throw error; });
    sessionStorage.setItem('update', JSON.stringify({ words: called(one), was: state.status.router.slot }));
    comesBack('The update is being started. This page comes back by itself, whichever of the two systems runs then.');
  });
}
function restore() {
  const file = field('The backup', { type: 'file', accept: '.gz', required: true, name: 'backup' }, 'backup.tar.gz of this router, of another one, or of a router7.');
  const word = field('The router’s password', { type: 'password', autocomplete: 'current-password', required: true });
  form('Restore a backup', [h('p', {}, 'What a person has written comes back: addresses, ports, rules, names. Leases, keys and the password stay as they are. It is on trial for five minutes.'), WHO(), file.node, word.node], 'Try it', async box => {
    const said = btoa(String.fromCharCode(...new TextEncoder().encode('gokrazy:' + word.input.value)));
    await send('restore', file.input.files[0], { Authorization: 'Basic ' + said }, () => {}, box);
    await refresh();
    say('On trial. If all still works, keep it.');
  });
}
// After the restart that an update brings: which of the two systems it is.
function updated() {
  const one = JSON.parse(sessionStorage.getItem('update') || 'null');
  if (!one) return;
  sessionStorage.removeItem('update');
  const runs = state.status.router.slot !== one.was;
  const box = h('section', { class: 'card', id: 'updated', role: 'status' }, h('h2', {}, runs ? 'The update runs' : 'The update was left again'),
    h('p', {}, runs ? one.words + ', from slot ' + state.status.router.slot + '.' : one.words + ' was started from the other slot and was no good, so slot ' + state.status.router.slot + ' runs as before. The console and the log of the kernel say more.'),
    h('div', { class: 'row' }, button('Good', () => box.remove(), 'main')));
  document.getElementById('overview').before(box);
}

// --- first visit
// For whoever keeps passwords: there is one user.
const WHO = () => h('input', { type: 'hidden', name: 'username', autocomplete: 'username', value: 'gokrazy' });
function setup() {
  const box = h('section', { class: 'card narrow', 'aria-labelledby': 'h-setup' });
  document.getElementById('overview').before(box);
  const steps = ['Password', 'Address', 'Internet'];
  const show = at => {
    const wrong = failure();
    const next = () => show(at + 1);
    const head = [h('ol', { class: 'steps' }, steps.map((step, one) => h('li', { 'aria-current': one === at ? 'step' : null }, step)))];
    const ask = (title, words, nodes, yes, work) => draw(box, head, h('h2', { id: 'h-setup', tabindex: '-1' }, title), h('p', { class: 'hint' }, words), h('form', {
      onsubmit: async event => {
        event.preventDefault();
        wrong.textContent = '';
        try { await work(); next(); } catch (error) { wrong.textContent = error.message; }
      },
    }, nodes, wrong, h('div', { class: 'row' }, h('button', { class: 'main' }, yes), button('Skip', next, 'plain'))));
    if (at === 0) {
      const word = field('Password', { type: 'password', autocomplete: 'new-password', minlength: 8, maxlength: 128, required: true, name: 'first' }, 'At least 8 letters. With it you get in here again.');
      ask('Welcome. Your router works already.', 'Nothing of this has to be done. Without a password anybody at home can set one within the first hour.', [WHO(), word.node], 'Set the password', async () => { token = (await api('setup/password', { password: word.input.value })).token; });
    } else if (at === 1) {
      const address = lanField();
      ask('Where it is at home', 'Leave it as it is unless another network has these addresses.', address.node, 'Use this address', async () => { if (!state.status.lans.some(lan => lan.addresses.includes(address.input.value.trim()))) await moveLan(address.input.value.trim()); });
    } else if (at === 2) {
      draw(box, head, h('h2', { id: 'h-setup', tabindex: '-1' }, 'Does the internet work?'), h('p', { role: 'status' }, 'Looking…'));
      api('diagnosis').then(found => found, error => ({ sentence: error.message })).then(found => draw(box, head, h('h2', { id: 'h-setup', tabindex: '-1' }, 'Does the internet work?'), h('p', { role: 'status', id: 'verdict' }, found.sentence),
        h('div', { class: 'row' }, button('Look again', () => show(2)), button('Done', () => show(3), 'main', { id: 'done' }))));
    } else {
      box.remove();
      main.focus();
      return;
    }
    if (at > 0) document.getElementById('h-setup').focus();
  };
  show(0);
}

// --- moving about and keeping up
const DRAW = { devices, access, names, services, system };
const LOAD = { devices: async () => { state.devices = await api('devices'); }, access: files, names: async () => { state.dns = await api('dns'); }, system: lookAtDisks };
let current = 'overview';
async function visit(quiet) {
  const wanted = location.hash.slice(1);
  current = SECTIONS[wanted] ? wanted : 'overview';
  for (const key of Object.keys(SECTIONS)) document.getElementById(key).hidden = key !== current;
  document.querySelectorAll('nav a').forEach(link => link.hash === '#' + current ? link.setAttribute('aria-current', 'page') : link.removeAttribute('aria-current'));
  document.title = SECTIONS[current] + ' · ' + (state.status.router.name || 'weir');
  if (quiet !== true) { scrollTo(0, 0); if (location.hash) main.focus({ preventScroll: true }); }
  const where = document.getElementById(current);
  try { if (LOAD[current]) await LOAD[current](); } catch (error) { say(error.message); }
  if (where.id !== current) return;
  where.removeAttribute('aria-busy');
  if (DRAW[current]) DRAW[current](where); else overview();
}
async function refresh() {
  state.status = await api('status');
  trial();
  await visit(true);
}
function changed(status) {
  state.status = status;
  trial();
  if (current === 'overview') overview();
  if (current === 'services' || current === 'system') DRAW[current](document.getElementById(current));
  if (LOAD[current] && current !== 'access' && !document.querySelector('dialog')) visit(true);
}
let feed;
function follow() {
  feed = new EventSource('/api/events');
  feed.addEventListener('look', event => {
    const look = JSON.parse(event.data);
    if (!state.history) return;
    const live = state.history.live;
    for (const key of ['received', 'sent', 'rtt_ms']) { live[key].push(look[key]); if (live[key].length > 300) live[key].shift(); }
    if (state.span === 'live' && current === 'overview') plots();
  });
  feed.addEventListener('status', event => changed(JSON.parse(event.data)));
  // It tries again by itself, unless it was refused: then the session is over, or too many pages are open.
  feed.addEventListener('error', () => { if (feed.readyState === EventSource.CLOSED) setTimeout(again, 3000); });
  // What was missed meanwhile is fetched anew.
  feed.addEventListener('open', attempt(async () => { state.history = await api('history'); plots(); }));
}

async function again() {
  try {
    const { known } = await api('session');
    if (known) follow(); else location.reload();
  } catch { setTimeout(again, 3000); }
}

document.getElementById('nav').append(h('ul', {}, Object.entries(SECTIONS).map(([key, words]) => h('li', {}, h('a', { href: '#' + key }, words)))));
for (const key of Object.keys(SECTIONS).slice(1)) main.append(h('section', { id: key, hidden: true, 'aria-label': SECTIONS[key], 'aria-busy': 'true' }));
frame();
addEventListener('hashchange', () => visit());
addEventListener('resize', plots);
if (document.body.dataset.setup === 'true') setup();
updated();
trial();
visit(true);
follow();
