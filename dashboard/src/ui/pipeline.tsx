// The pipeline as a living picture: how fast each thing flows, how full each queue is, each breaker as a lamp; and
// what is wrong, with what can be done.

import { useEffect, useRef, useState } from 'preact/hooks';
import { link, status } from '../app';
import { beat } from '../beat';
import { deadLettersHash } from '../route';
import { type Box, type Flow as Arrow, isWhole, narrowLayout, type Part, type Picture, pictureOf, wideLayout } from '../state/pipeline';
import { troubles } from '../state/verdict';
import { percent } from '../text/format';
import { say } from '../text/say';
import type { Status, WholeStatus } from '../wire';
import { Brokers } from './brokers';
import { Flow } from './flow';
import { BREAKER_SHAPES, Lamp, SHAPES } from './instruments';
import { PageHead } from './kit';

export function Pipeline() {
  beat.value;
  const told = status.value;
  const now = told !== null && isWhole(told) ? told : null;
  const before = useBefore(now);
  return (
    <div class="pipeline">
      <PageHead title={say('pipeline.title')} age_s={now === null ? null : link.silence_s()} />
      {now === null ? (
        <p class="empty">{say('pipeline.unknown')}</p>
      ) : (
        <>
          <Wrong now={now} />
          <Drawing picture={pictureOf(now, before)} />
          <h2 class="part">{say('pipeline.details')}</h2>
          <Flow />
          <Brokers />
        </>
      )}
    </div>
  );
}

/** The status before this one. */
function useBefore(now: WholeStatus | null): WholeStatus | null {
  const kept = useRef<{ now: WholeStatus | null; before: WholeStatus | null }>({ now: null, before: null });
  if (now !== null && kept.current.now?.time !== now.time) kept.current = { now, before: kept.current.now };
  return kept.current.before;
}

function Wrong({ now }: { now: Status }) {
  const found = troubles(now);
  if (found.length === 0) {
    return (
      <p class="all-well">
        <Lamp level="well" /> <strong>{say('pipeline.well')}</strong> {say('pipeline.well_why')}
      </p>
    );
  }
  return (
    <section class="wrong-list" aria-labelledby="wrong">
      <h2 id="wrong" class="part">
        {say('pipeline.wrong')}
      </h2>
      <ul>
        {found.map(({ level, text, advice, place }) => (
          <li key={text} class={level} data-trouble={place}>
            <Lamp level={level} />
            <p>
              <strong>{text}.</strong> {advice !== null && <span>{advice}</span>}{' '}
              {advice === say('verdict.letters_do') && <a href={deadLettersHash(place.replace(/^sink /, ''))}>{say('pipeline.to_letters')}</a>}
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}

const NARROW = '(max-width: 900px)';

function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const asked = matchMedia(NARROW);
    const learn = (): void => setNarrow(asked.matches);
    asked.addEventListener('change', learn);
    return () => asked.removeEventListener('change', learn);
  }, []);
  return narrow;
}

function Drawing({ picture }: { picture: Picture }) {
  const narrow = useNarrow();
  const layout = narrow ? narrowLayout(picture.parts) : wideLayout(picture.parts);
  const said = picture.parts.map(({ name, lines }) => `${name}: ${lines.join(', ')}`).join('. ');
  const lines = picture.flows.map((flow) => {
    const from = layout.boxes.get(flow.from)!;
    const to = layout.boxes.get(flow.to)!;
    return { flow, line: narrow ? downward(from, to, flow) : across(from, to, flow.to === 'intake') };
  });
  return (
    <svg
      class={`drawing ${narrow ? 'narrow' : ''}`}
      viewBox={`0 0 ${layout.width} ${layout.height}`}
      role="img"
      aria-label={say('pipeline.picture', { said })}
    >
      {lines.map(({ flow, line }) => (
        <g key={`${flow.from} ${flow.to}`} class={`flow-line ${flow.level}`}>
          <path class="pipe" d={line.path} />
        </g>
      ))}
      {lines.map(({ flow, line }) => (
        <FlowLine key={`${flow.from} ${flow.to}`} flow={flow} path={line.path} />
      ))}
      {picture.parts.map((part) => (
        <Station key={part.id} part={part} box={layout.boxes.get(part.id)!} />
      ))}
      {lines.map(({ flow, line: { at } }) => (
        <text key={`${flow.from} ${flow.to}`} class={`rate ${flow.level}`} x={at.x} y={at.y} text-anchor={at.anchor}>
          {flow.text}
        </text>
      ))}
    </svg>
  );
}

interface Line {
  path: string;
  /** Where its text stands, and what of it is there. */
  at: { x: number; y: number; anchor: 'start' | 'middle' | 'end' };
}

/** From the right side of one to the left side of the other. Where several begin or end, texts stand at the other ends. */
function across(from: Box, to: Box, gathers: boolean): Line {
  const x1 = from.x + from.width;
  const y1 = from.y + from.height / 2;
  const x2 = to.x - 7;
  const y2 = to.y + to.height / 2;
  const middle = (x1 + x2) / 2;
  const path = `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
  // On the side that the line does not come from or go to, so that it is not crossed out.
  const off = (below: boolean): number => (below ? 19 : -9);
  if (gathers) return { path, at: { x: x1 + 8, y: y1 + off(y2 < y1 - 1), anchor: 'start' } };
  return { path, at: { x: middle + 4, y: y2 + off(y2 > y1 + 1), anchor: 'middle' } };
}

/** Down; what follows the spool leaves a line along its left side, and what sources send stands in them. */
function downward(from: Box, to: Box, flow: Arrow): Line {
  const y1 = from.y + from.height;
  if (flow.from === 'spool') {
    const y2 = to.y + to.height / 2;
    const x = from.x + 16;
    return { path: `M${x} ${y1}V${y2}H${to.x - 7}`, at: { x: to.x + 6, y: to.y - 10, anchor: 'start' } };
  }
  const x = Math.max(from.x, to.x) + (to.x > from.x ? 30 : 150);
  const path = `M${x} ${y1}V${to.y - 7}`;
  if (flow.to === 'intake') return { path, at: { x: from.x + from.width - 14, y: from.y + 25, anchor: 'end' } };
  return { path, at: { x: x + 12, y: to.y - 11, anchor: 'start' } };
}

function FlowLine({ flow, path }: { flow: Arrow; path: string }) {
  return (
    <g class={`flow-line ${flow.level} ${flow.moving ? 'moving' : ''}`}>
      {flow.moving && <path class="stream" d={path} />}
      <path class="tip" d={tip(path)} />
    </g>
  );
}

/** An arrowhead at the end of a path: that ends to the right, or downward. */
function tip(path: string): string {
  const down = /V([\d.]+)$/.exec(path);
  if (down !== null) {
    const x = /^M([\d.]+)/.exec(path)![1];
    return `M${Number(x) - 5} ${down[1]}h10l-5 7Z`;
  }
  const level = /H([\d.-]+)$/.exec(path);
  const [x, y] = level !== null ? [level[1], /V([\d.]+)H/.exec(path)![1]] : path.split(' ').slice(-2);
  return `M${x} ${Number(y) - 5}v10l7 -5Z`;
}

const LINE = 20;

function Station({ part, box }: { part: Part; box: Box }) {
  const { x, y, width, height } = box;
  const shape = part.breaker === null ? SHAPES[part.level] : BREAKER_SHAPES[part.breaker];
  const bar = width - 28;
  return (
    <g class={`station ${part.level}`} data-part={part.id}>
      <rect x={x} y={y} width={width} height={height} rx="9" />
      <path class={`lamp ${part.level}`} fill-rule="evenodd" transform={`translate(${x + 13} ${y + 11}) scale(0.95)`} d={shape} />
      <text class="name" x={x + 36} y={y + 25}>
        {part.name}
      </text>
      {part.lines.map((line, at) => (
        <text key={at} class="said" x={x + 14} y={y + 47 + at * LINE}>
          {line}
        </text>
      ))}
      {part.fill !== null && (
        <g class="fill">
          <title>{percent(part.fill)}</title>
          <rect class="trough" x={x + 14} y={y + height - 17} width={bar} height="7" rx="3.5" />
          <rect class={part.level} x={x + 14} y={y + height - 17} width={Math.max(part.fill > 0 ? 3 : 0, Math.min(1, part.fill) * bar)} height="7" rx="3.5" />
        </g>
      )}
    </g>
  );
}
