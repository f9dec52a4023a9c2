import { describe, expect, it } from 'vitest';
import { type Board, BOARD_VERSION, defaultBoard, emptyBoard, groupsOf, idFor, type Panel, PANELS_MAX, readBoard, readBoardText, SERIES_MAX, titleOf, withPanel } from './board';
import { type Box, changed, COLUMNS, inOrder, placeFor, settled, stepped } from './layout';

const metric = (name: string, unit: string | null, type: 'float' | 'text' | 'bool' = 'float') => ({ metric: name, type, unit, tags: {} });
const PUMP = [
  metric('motor.temperature', '°C'),
  metric('bearing.temperature', '°C'),
  metric('pressure', 'bar'),
  metric('starts', null),
  metric('stops', null),
  metric('state', null, 'text'),
  metric('running', null, 'bool'),
];

describe('a board that a device has by itself', () => {
  it('puts what has the same unit into one chart, and what has none alone', () => {
    const told = groupsOf(PUMP).map(({ title, states, metrics }) => [title, states, metrics.length]);
    expect(told).toEqual([
      ['temperature', false, 2],
      ['pressure', false, 1],
      ['running', true, 1],
      ['starts', false, 1],
      ['state', true, 1],
      ['stops', false, 1],
    ]);
  });

  it('does not pile up more lines than can be told apart', () => {
    const many = Array.from({ length: 11 }, (_, i) => metric(`zone${i}.t`, '°C'));
    expect(groupsOf(many).map((group) => group.metrics.length)).toEqual([4, 4, 3]);
  });

  it('is a board that can be read back, whatever the device is called', () => {
    for (const device of ['pump-7', 'ü/{x}"', 'é'.repeat(200)]) {
      const made = defaultBoard(device, PUMP, '6h');
      expect(new TextEncoder().encode(made.name).length).toBeLessThanOrEqual(128);
      expect(readBoard(JSON.parse(JSON.stringify(made)))).toEqual({ board: made });
      expect(made.panels).toHaveLength(6);
    }
    expect(defaultBoard('d', [], '1h').panels).toEqual([]);
  });

  it('is titled by what its names have in common', () => {
    expect(titleOf(['motor.temperature', 'oil.temperature'])).toBe('temperature');
    expect(titleOf(['motor.t1', 'motor.t2'])).toBe('motor');
    expect(titleOf(['a', 'b'])).toBe('a, b');
    expect(titleOf(['a.b'])).toBe('a.b');
    expect(titleOf(['a.b', 'a.b'])).toBe('a.b');
    expect(titleOf([])).toBe('');
  });
});

describe('a document', () => {
  const chart = { id: 'p1', kind: 'chart', title: '', x: 0, y: 0, w: 6, h: 4, series: [{ device: 'd', metric: 'm' }] };
  const board = (panels: unknown, more: object = {}) => ({ version: 1, name: 'n', range: '1h', panels, ...more });

  it('is read, with what is missing filled and what is unknown left out', () => {
    const read = readBoard({ ...board([{ ...chart, colour: 'red' }]), owner: 'ana', range: '9y' });
    expect(read).toEqual({
      board: {
        version: BOARD_VERSION,
        name: 'n',
        range: '15m',
        panels: [{ ...chart, series: [{ device: 'd', metric: 'm', tags: {} }] }],
      },
    });
  });

  it('is refused with the place that is wrong', () => {
    const cases: [unknown, string][] = [
      [null, 'board'],
      [[], 'board'],
      [{ name: 'n', panels: [] }, 'version'],
      [board([], { name: ' ' }), 'name'],
      [board({}), 'panels'],
      [board([{ ...chart, kind: 'pie' }]), 'panels[0].kind'],
      [board([chart, { ...chart, x: 'left' }]), 'panels[1].x'],
      [board([{ ...chart, series: [{ device: 'd' }] }]), 'panels[0].series[0].metric'],
      [board([{ ...chart, series: [{ device: '', metric: 'm' }] }]), 'panels[0].series[0]'],
      [board([{ ...chart, w: Infinity }]), 'panels[0].w'],
      [board([{ ...chart, kind: 'text' }]), 'panels[0].text'],
    ];
    for (const [document, where] of cases) expect(readBoard(document), where).toEqual({ fault: { kind: 'broken', where } });
    expect(readBoardText('{')).toEqual({ fault: { kind: 'broken', where: 'JSON' } });
  });

  it('of a newer version is not guessed at', () => {
    expect(readBoard(board([], { version: 2 }))).toEqual({ fault: { kind: 'newer', version: 2 } });
  });

  it('has limits', () => {
    const many = Array.from({ length: PANELS_MAX + 1 }, () => chart);
    expect(readBoard(board(many))).toMatchObject({ fault: { kind: 'too much', where: 'panels' } });
    const series = Array.from({ length: SERIES_MAX + 1 }, () => chart.series[0]);
    expect(readBoard(board([{ ...chart, series }]))).toMatchObject({ fault: { kind: 'too much' } });
    const devices = Array.from({ length: 65 }, (_, i) => ({ ...chart, id: `p${i}`, series: [{ device: `d${i}`, metric: 'm' }] }));
    expect(readBoard(board(devices))).toEqual({ fault: { kind: 'too much', where: 'devices', max: 64 } });
  });

  it('gets each panel an id of its own, and a place of its own', () => {
    const read = readBoard(board([chart, chart, { ...chart, x: 99, w: 99 }]));
    const { panels } = (read as { board: Board }).board;
    expect(new Set(panels.map((panel) => panel.id)).size).toBe(3);
    expectSound(panels);
  });

  it('takes one more panel where there is room', () => {
    const panel: Panel = { id: '', kind: 'text', title: '', x: 0, y: 0, w: 4, h: 2, text: '' };
    const made = withPanel(withPanel(emptyBoard('b'), panel), panel);
    expect(made.panels.map(({ id, x, y }) => [id, x, y])).toEqual([['p1', 0, 0], ['p2', 4, 0]]);
  });

  it('gets an address that the daemon takes and nobody has', () => {
    expect(idFor('Pump hall №1', new Set())).toBe('pump-hall-no1');
    expect(idFor('São João', new Set(['sao-joao', 'sao-joao-2']))).toBe('sao-joao-3');
    expect(idFor('***', new Set())).toBe('board');
    expect(idFor('x'.repeat(200), new Set())).toMatch(/^[a-z0-9-]{1,64}$/);
  });
});

/** Nothing overlaps, nothing is outside, nothing hangs in the air. */
function expectSound(boxes: readonly Box[]): void {
  const taken = new Map<string, string>();
  for (const { id, x, y, w, h } of boxes) {
    expect(x >= 0 && x + w <= COLUMNS && y >= 0, `${id} is on the grid`).toBe(true);
    for (let i = x; i < x + w; i++) {
      for (let j = y; j < y + h; j++) {
        expect(taken.get(`${i},${j}`), `${id} lies on another`).toBeUndefined();
        taken.set(`${i},${j}`, id);
      }
    }
  }
  for (const { id, x, y, w } of boxes) {
    if (y === 0) continue;
    const held = Array.from({ length: w }, (_, i) => taken.has(`${x + i},${y - 1}`)).some(Boolean);
    expect(held, `${id} hangs in the air`).toBe(true);
  }
}

describe('the grid', () => {
  const box = (id: string, x: number, y: number, w = 6, h = 4): Box => ({ id, x, y, w, h });
  const where = (boxes: readonly Box[]) => Object.fromEntries(boxes.map(({ id, x, y }) => [id, [x, y]]));

  it('lets what is moved have its place, and the others make room', () => {
    const boxes = [box('a', 0, 0), box('b', 6, 0), box('c', 0, 4)];
    expect(where(changed(boxes, 'c', { x: 6, y: 0 }))).toEqual({ a: [0, 0], c: [6, 0], b: [6, 4] });
    expect(where(changed(boxes, 'a', { w: 12 }))).toEqual({ a: [0, 0], b: [6, 4], c: [0, 4] });
  });

  it('stays sound whatever is done to it', () => {
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
      return seed % below;
    };
    let boxes: Box[] = [];
    for (let i = 0; i < 12; i++) boxes.push({ id: `p${i}`, ...placeFor(boxes, 4, 3), w: 4, h: 3 });
    for (let turn = 0; turn < 600; turn++) {
      const id = `p${random(12)}`;
      const kind = random(3);
      if (kind === 0) boxes = changed(boxes, id, { x: random(16) - 2, y: random(20) - 2 });
      else if (kind === 1) boxes = changed(boxes, id, { w: random(16), h: random(14) });
      else boxes = stepped(boxes, id, random(3) - 1, random(3) - 1);
      expect(boxes).toHaveLength(12);
      expectSound(boxes);
      expect(where(settled(boxes))).toEqual(where(boxes));
    }
  }, 30_000);

  it('is walked by keys: a step up or down changes places with the neighbour', () => {
    const boxes = [box('a', 0, 0), box('b', 0, 4)];
    const down = stepped(boxes, 'a', 0, 1);
    expect(inOrder(down).map((one) => one.id)).toEqual(['b', 'a']);
    expect(inOrder(stepped(down, 'a', 0, -1)).map((one) => one.id)).toEqual(['a', 'b']);
    expect(where(stepped(boxes, 'a', 0, -1))).toEqual(where(boxes));
    expect(where(stepped(boxes, 'b', 0, 1))).toEqual(where(boxes));
    expect(where(stepped(boxes, 'nobody', 1, 0))).toEqual(where(boxes));
    expect(stepped(boxes, 'b', 1, 0).find((one) => one.id === 'b')!.x).toBe(1);
  });

  it('finds the first free place', () => {
    expect(placeFor([], 6, 4)).toEqual({ x: 0, y: 0 });
    expect(placeFor([box('a', 0, 0)], 6, 4)).toEqual({ x: 6, y: 0 });
    expect(placeFor([box('a', 0, 0), box('b', 6, 0)], 3, 1)).toEqual({ x: 0, y: 4 });
  });
});
