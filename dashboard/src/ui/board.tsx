// One board: its panels on the grid, and what changes them.

import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { boardFeeds, fleet, link, windows } from '../app';
import { beat } from '../beat';
import * as api from '../link/boards_api';
import { ApiError } from '../link/http';
import { boardHash } from '../route';
import { type Board, type Fault, nameFor, type Panel, SIZES, withPanel } from '../state/board';
import { feedsFor, refsOf } from '../state/board_feed';
import { refKey } from '../state/board';
import { pixelsOf } from '../state/range';
import { admissions } from '../state/standing';
import { DEFAULT_CHARTS, sameView, spanAt } from '../state/view';
import { say } from '../text/say';
import { BoardGrid } from './board_grid';
import { PanelEditor } from './board_panel';
import { drafts, faultText, isConflict, type Kept, keepDraft, readKept, reasonOf, saveNew } from './board_store';
import { Said } from './chart';
import { change, chartView, crosshair, spanNow } from './charting';
import { Choice } from './choice';
import { saveCsv, savePicture } from './export';
import { taking } from './kit';
import { TimeBar } from './time_bar';
import { useTitle } from './title';

type Loaded = Kept | Fault | 'loading' | 'missing' | { failed: string };

export function BoardPage({ id }: { id: string }) {
  beat.value;
  const loaded = useSignal<Loaded>('loading');
  const load = async (): Promise<void> => {
    try {
      loaded.value = await readKept(id);
    } catch (error) {
      const missing = error instanceof ApiError && error.status === 404;
      loaded.value = missing ? 'missing' : { failed: reasonOf(error) };
    }
  };
  useEffect(() => {
    loaded.value = 'loading';
    document.getElementById('main')?.scrollTo(0, 0);
    void load();
    return () => (crosshair.value = null);
  }, [id]);
  useEffect(() => {
    const now = loaded.peek();
    if (typeof now === 'object' && 'failed' in now) void load();
  }, [admissions.value]);
  const draft = drafts.value.get(id) ?? null;
  const it = loaded.value;
  if (draft !== null) return <Shown id={id} kept={draft} editing load={load} />;
  if (it === 'loading') return <p class="empty">{say('common.loading')}</p>;
  if (it !== 'missing' && 'board' in it) return <Shown id={id} kept={it} editing={false} load={load} />;
  const why = it === 'missing' ? say('charts.no_board', { id }) : 'failed' in it ? it.failed : faultText(it);
  return (
    <p class="empty" role="alert">
      {why} <a href="#/boards">{say('charts.to_boards')}</a>
    </p>
  );
}

interface ShownProps {
  id: string;
  kept: Kept;
  editing: boolean;
  load: () => Promise<void>;
}

function Shown({ id, kept, editing, load }: ShownProps) {
  beat.value;
  const { board } = kept;
  const root = useRef<HTMLDivElement>(null);
  const width = useSignal(1200);
  const edited = useSignal<Panel | null>(null);
  const fault = useSignal('');
  const conflict = useSignal(false);
  const view = chartView.value;
  const now = link.daemonNow() ?? Date.now();
  const span = spanAt(view, now);
  const series = refsOf(board).map(refKey).sort().join('\n');
  const pixels = pixelsOf(width.value * widest(board));
  const feeds = useMemo(() => feedsFor(board, windows, link, fleet.units), [id, series]);

  useTitle(board.name);
  useEffect(() => {
    // A board that is opened without a time of its own shows the one that it was saved with.
    if (sameView(chartView.peek(), DEFAULT_CHARTS) && !location.hash.includes('?')) {
      history.replaceState(null, '', boardHash(id, { ...DEFAULT_CHARTS, range: board.range }));
      change({ range: board.range });
    }
  }, [id]);
  useEffect(() => {
    for (const feed of feeds) feed.open(chartView.peek(), pixels);
    boardFeeds.value = feeds;
    return () => {
      for (const feed of feeds) feed.close();
      boardFeeds.value = [];
    };
  }, [feeds]);
  useEffect(() => {
    for (const feed of feeds) feed.look(view, pixels);
  }, [feeds, view, pixels]);
  useEffect(() => {
    const resized = new ResizeObserver(() => {
      if (root.current !== null) width.value = root.current.clientWidth;
    });
    resized.observe(root.current!);
    return () => resized.disconnect();
  }, []);

  const traces = new Map(feeds.flatMap((feed) => [...feed.traces]));
  const put = (next: Board): void => keepDraft(id, { board: next, tag: kept.tag, changed: true });
  const putPanel = (panel: Panel): void => {
    const known = board.panels.some((one) => one.id === panel.id);
    const panels = board.panels.map((one) => (one.id === panel.id ? panel : one));
    put(known ? { ...board, panels } : withPanel(board, panel));
  };
  const save = async (tag: string): Promise<void> => {
    const name = nameFor(board.name.trim());
    if (name === '') {
      fault.value = say('charts.name_needed');
      return;
    }
    try {
      await api.saveBoard(id, { ...board, name, range: view.range }, tag);
      await done();
    } catch (error) {
      if (isConflict(error)) conflict.value = true;
      else fault.value = say('charts.not_saved', { why: reasonOf(error) });
    }
  };
  /** What is shown then is what the daemon has. */
  const done = async (): Promise<void> => {
    fault.value = '';
    conflict.value = false;
    await load();
    keepDraft(id, null);
  };
  const copy = async (): Promise<void> => {
    try {
      const other = await saveNew({ ...board, name: nameFor(say('charts.copy_of', { name: board.name })) });
      keepDraft(id, null);
      location.hash = boardHash(other);
    } catch (error) {
      conflict.value = false;
      fault.value = say('charts.not_saved', { why: reasonOf(error) });
    }
  };
  const overwrite = async (): Promise<void> => {
    conflict.value = false;
    // If it was deleted there is nothing to overwrite: it is made anew.
    try {
      await api.board(id).then(({ tag }) => save(tag));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) await makeAnew();
      else fault.value = say('charts.not_saved', { why: reasonOf(error) });
    }
  };
  const makeAnew = async (): Promise<void> => {
    try {
      await api.saveBoard(id, { ...board, range: view.range }, null);
      await done();
    } catch (error) {
      fault.value = say('charts.not_saved', { why: reasonOf(error) });
    }
  };

  const all = feeds.flatMap((feed) => feed.ordered());
  const bucket = feeds[0]?.bucket_ms ?? 1000;
  return (
    <div class={`board-page ${editing ? 'editing' : ''}`}>
      <header class="board-head">
        <a class="back" href="#/boards">
          <span aria-hidden="true">‹</span> {say('charts.boards')}
        </a>
        {editing ? (
          <input
            class="board-name"
            type="text"
            maxLength={120}
            aria-label={say('charts.board_name')}
            value={board.name}
            onInput={(event) => put({ ...board, name: event.currentTarget.value })}
          />
        ) : (
          <h1>{board.name}</h1>
        )}
        <div class="orders">
          {editing ? (
            <>
              <Add name={say('charts.add_chart')} add={() => (edited.value = fresh('chart'))} />
              <Add name={say('charts.add_value')} add={() => (edited.value = fresh('value'))} />
              <Add name={say('charts.add_text')} add={() => (edited.value = fresh('text'))} />
              <span class="unsaved">{kept.changed === true && say('charts.unsaved')}</span>
              <button type="button" onClick={() => void done()}>
                {say('charts.discard')}
              </button>
              <button type="button" class="yes" onClick={() => void save(kept.tag)}>
                {say('charts.save')}
              </button>
            </>
          ) : (
            <button type="button" onClick={() => keepDraft(id, kept)} {...taking('command', 'all')}>
              {say('charts.edit')}
            </button>
          )}
        </div>
      </header>
      {fault.value !== '' && (
        <p class="fault" role="alert">
          {fault.value}
        </p>
      )}
      <TimeBar
        span={span}
        now={now}
        csv={() => saveCsv(board.name, all, bucket, spanNow())}
        png={() => root.current !== null && void savePicture(board.name, spanNow(), root.current)}
      />
      <div ref={root}>
        <BoardGrid
          board={board}
          traces={traces}
          known={feeds.every((feed) => feed.lookup === 'known')}
          span={span}
          now={now}
          bucket_ms={bucket}
          retry={() => feeds.forEach((feed) => feed.retry())}
          editing={editing ? { put, edit: (panel) => (edited.value = panel) } : null}
        />
        {board.panels.length === 0 && (
          <p class="empty">
            <strong>{say('charts.empty_board')}</strong> {say('charts.empty_board_how')}
          </p>
        )}
      </div>
      {edited.value !== null && (
        <PanelEditor
          panel={edited.value}
          board={board}
          traces={traces}
          done={(panel) => {
            if (panel !== null) putPanel(panel);
            edited.value = null;
          }}
        />
      )}
      {conflict.value && (
        <Choice
          title={say('charts.conflict')}
          why={say('charts.conflict_why')}
          cancel={() => (conflict.value = false)}
          choices={[
            { name: say('charts.take_theirs'), act: () => void done() },
            { name: say('charts.keep_both'), act: () => void copy() },
            { name: say('charts.keep_mine'), act: () => void overwrite() },
          ]}
        />
      )}
      <Said />
    </div>
  );
}

/** The share of the page's width that the widest chart has. */
const widest = (board: Board): number => Math.max(3, ...board.panels.map((panel) => panel.w)) / 12;

function fresh(kind: Panel['kind']): Panel {
  const place = { id: '', title: '', x: 0, y: 0, ...SIZES[kind] };
  return kind === 'text' ? { ...place, kind, text: '' } : { ...place, kind, series: [] };
}

function Add({ name, add }: { name: string; add: () => void }) {
  return (
    <button type="button" onClick={add}>
      <span aria-hidden="true">+</span> {name}
    </button>
  );
}
