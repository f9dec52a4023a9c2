// The panels of a board on their grid. While it is edited each is moved and resized by dragging, by keys on its
// handle, or by buttons.

import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { beat } from '../beat';
import { type Board, devicesOf, type Panel as BoardPanel, refKey } from '../state/board';
import { type Box, changed, inOrder, stepped } from '../state/layout';
import { lastWithin, pointAt } from '../state/pointed';
import type { Span } from '../state/span';
import type { Trace } from '../state/trace';
import { span as spanText } from '../text/format';
import { say } from '../text/say';
import { chartView, crosshair, said } from './charting';
import { Quantity } from './instruments';
import { Name, Panel } from './panel';

interface GridProps {
  board: Board;
  traces: ReadonlyMap<string, Trace>;
  /** Which series there are is known: what is not among them was never heard of. */
  known: boolean;
  span: Span;
  now: number;
  bucket_ms: number;
  retry: () => void;
  /** Null: it is only looked at. */
  editing: Editing | null;
}

interface Editing {
  put: (board: Board) => void;
  edit: (panel: BoardPanel) => void;
}

type Place = Pick<Box, 'x' | 'y' | 'w' | 'h'>;

export function BoardGrid(props: GridProps) {
  beat.value;
  const { board, editing } = props;
  const grid = useRef<HTMLDivElement>(null);
  /** Where everything would be if the pointer let go now. */
  const held = useSignal<{ id: string; panels: BoardPanel[] } | null>(null);
  const panels = held.value?.panels ?? board.panels;
  return (
    <div ref={grid} class="board-grid">
      {inOrder(panels).map((panel) => (
        <div
          key={panel.id}
          class={`cell ${held.value?.id === panel.id ? 'held' : ''}`}
          data-panel={panel.id}
          style={{
            '--x': String(panel.x + 1),
            '--y': String(panel.y + 1),
            '--w': String(panel.w),
            '--h': String(panel.h),
          }}
        >
          <Content {...props} panel={panel} />
          {editing !== null && (
            <Tools
              panel={panel}
              name={nameOf(panel)}
              move={(panels) => editing.put({ ...board, panels })}
              panels={board.panels}
              edit={() => editing.edit(panel)}
              drag={(event, kind) => follow(event, kind, grid.current!, board.panels, panel, held, (panels) => editing.put({ ...board, panels }))}
            />
          )}
        </div>
      ))}
    </div>
  );
}

function nameOf(panel: BoardPanel): string {
  if (panel.title !== '') return panel.title;
  if (panel.kind === 'text') return panel.text.slice(0, 30);
  return panel.series.map((ref) => `${ref.device} ${ref.metric}`).join(', ');
}

function Content({ panel, ...props }: GridProps & { panel: BoardPanel }) {
  if (panel.kind === 'text') {
    return (
      <section class="panel text" aria-label={nameOf(panel)}>
        {panel.title !== '' && <h2 data-ink>{panel.title}</h2>}
        <p data-ink>{panel.text}</p>
      </section>
    );
  }
  const { traces, known, board, span, now, bucket_ms, retry } = props;
  const keys = panel.series.map(refKey);
  const there = keys.map((key) => traces.get(key)).filter((trace) => trace !== undefined);
  const missing = known ? keys.filter((key) => !traces.has(key)) : [];
  const common = { title: panel.title, missing, devices: devicesOf(board.panels).length > 1, span, now };
  if (panel.kind === 'value') return <Values {...common} traces={there} bucket_ms={bucket_ms} />;
  return <Panel {...common} traces={there} bucket_ms={bucket_ms} retry={retry} />;
}

interface ValuesProps {
  title: string;
  traces: readonly Trace[];
  missing: readonly string[];
  devices: boolean;
  span: Span;
  now: number;
  bucket_ms: number;
}

/** Last values in large letters; with the crosshair out, those at its moment. */
function Values({ title, traces, missing, devices, span, now, bucket_ms }: ValuesProps) {
  beat.value;
  const at = crosshair.value;
  const live = chartView.value.past === null && at === null;
  return (
    <section class="panel values" aria-label={title === '' ? traces.map((trace) => trace.name).join(', ') : title}>
      {title !== '' && <h2 data-ink>{title}</h2>}
      <dl>
        {traces.map((trace) => {
          const { joined, kind, valueStart } = trace;
          const i = at === null ? lastWithin(joined, span) : pointAt(joined, at, trace.bucket_ms || bucket_ms, kind !== 'number');
          const it = live ? trace.value : i === null ? null : joined.last[i]!;
          const age = live && valueStart !== null ? (now - valueStart) / 1000 : 0;
          return (
            <div key={trace.key}>
              <dt data-ink>
                <Name trace={trace} devices={devices} />
                {age > 60 && <span class="aged"> {say('charts.old', { span: spanText(age) })}</span>}
              </dt>
              <dd class={age > 60 ? 'old' : ''} data-ink>
                <Quantity it={it} unit={trace.unit} digits={trace.precision.shown} />
              </dd>
            </div>
          );
        })}
      </dl>
      {missing.length > 0 && <p class="notice">{say('charts.no_series', { series: missing.join(', ') })}</p>}
    </section>
  );
}

interface ToolsProps {
  panel: BoardPanel;
  name: string;
  panels: readonly BoardPanel[];
  move: (panels: BoardPanel[]) => void;
  edit: () => void;
  drag: (event: PointerEvent, kind: 'move' | 'resize') => void;
}

function Tools({ panel, name, panels, move, edit, drag }: ToolsProps) {
  const { id } = panel;
  const put = (next: BoardPanel[]): void => {
    move(next);
    const { x, y, w, h } = next.find((one) => one.id === id)!;
    said.value = say('charts.placed', { name, x: x + 1, y: y + 1, w, h });
  };
  const step = (dx: number, dy: number) => () => put(stepped(panels, id, dx, dy));
  const size = (dw: number, dh: number) => () => put(changed(panels, id, { w: panel.w + dw, h: panel.h + dh }));
  const keys = (event: KeyboardEvent): void => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way === undefined) return;
    event.preventDefault();
    (event.shiftKey ? size : step)(way[0]!, way[1]!)();
  };
  const orders: [string, () => void][] = [
    [say('charts.move_left'), step(-1, 0)],
    [say('charts.move_right'), step(1, 0)],
    [say('charts.move_up'), step(0, -1)],
    [say('charts.move_down'), step(0, 1)],
    [say('charts.wider'), size(1, 0)],
    [say('charts.narrower'), size(-1, 0)],
    [say('charts.taller'), size(0, 1)],
    [say('charts.shorter'), size(0, -1)],
  ];
  return (
    <>
    <div class="tools" role="group" aria-label={say('charts.panel', { name })}>
      <button type="button" class="handle" title={say('charts.drag_keys')} aria-label={`${name}: ${say('charts.drag_keys')}`} onPointerDown={(event) => drag(event, 'move')} onKeyDown={keys}>
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <path d="M5 3h.01M11 3h.01M5 8h.01M11 8h.01M5 13h.01M11 13h.01" />
        </svg>
        <span>{name}</span>
      </button>
      <details class="menu place">
        <summary>{say('charts.place')}</summary>
        <div>
          {orders.map(([order, act]) => (
            <button key={order} type="button" onClick={act}>
              {order}
            </button>
          ))}
        </div>
      </details>
      <button type="button" onClick={edit}>
        {say('charts.edit')}
      </button>
      <button type="button" title={say('charts.remove_panel')} onClick={() => move(panels.filter((one) => one.id !== id))}>
        {say('charts.remove')}
      </button>
    </div>
    <span class="corner" title={say('charts.resize')} onPointerDown={(event) => drag(event, 'resize')} />
    </>
  );
}

interface Held {
  value: { id: string; panels: BoardPanel[] } | null;
}

/** Follows a pointer from where it took hold until it lets go; Escape puts everything back. */
function follow(
  begin: PointerEvent,
  kind: 'move' | 'resize',
  grid: HTMLElement,
  panels: readonly BoardPanel[],
  panel: BoardPanel,
  held: Held,
  put: (panels: BoardPanel[]) => void,
): void {
  if (begin.button !== 0) return;
  begin.preventDefault();
  const taken = begin.currentTarget as HTMLElement;
  taken.focus({ preventScroll: true });
  const main = document.getElementById('main')!;
  const style = getComputedStyle(grid);
  const gap = parseFloat(style.columnGap) || 0;
  const column = (grid.clientWidth + gap) / 12;
  const row = parseFloat(style.gridAutoRows) + gap;
  const from = { x: begin.clientX, y: begin.clientY + main.scrollTop };
  const mouse = new AbortController();
  const { signal } = mouse;
  const end = (keep: boolean): void => {
    mouse.abort();
    const last = held.value;
    held.value = null;
    if (keep && last !== null) put(last.panels);
  };
  document.addEventListener(
    'pointermove',
    (event) => {
      if (event.pointerId !== begin.pointerId) return;
      const edge = main.getBoundingClientRect();
      if (event.clientY > edge.bottom - 40) main.scrollBy(0, 14);
      else if (event.clientY < edge.top + 40) main.scrollBy(0, -14);
      const dx = Math.round((event.clientX - from.x) / column);
      const dy = Math.round((event.clientY + main.scrollTop - from.y) / row);
      const to: Partial<Place> =
        kind === 'move' ? { x: panel.x + dx, y: panel.y + dy } : { w: panel.w + dx, h: panel.h + dy };
      held.value = { id: panel.id, panels: changed(panels, panel.id, to) };
    },
    { signal },
  );
  document.addEventListener('pointerup', () => end(true), { signal });
  document.addEventListener('pointercancel', () => end(false), { signal });
  document.addEventListener(
    'keydown',
    (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault();
      end(false);
    },
    { signal },
  );
}
