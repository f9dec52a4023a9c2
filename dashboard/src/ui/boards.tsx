// The list of saved boards: open, make, import, export, delete.

import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import * as api from '../link/boards_api';
import { link } from '../app';
import { beat } from '../beat';
import { boardHash } from '../route';
import { emptyBoard, nameFor, readBoardText } from '../state/board';
import { admissions, whyNot } from '../state/standing';
import { span } from '../text/format';
import { say } from '../text/say';
import { faultText, keepDraft, readKept, reasonOf, saveNew } from './board_store';
import { Confirm } from './confirm';
import { saveFile } from './export';
import { ReadOnly, taking } from './kit';
import { useTitle } from './title';

export function Boards() {
  beat.value;
  const boards = useSignal<api.BoardEntry[] | null>(null);
  const fault = useSignal('');
  const told = useSignal('');
  const doomed = useSignal<api.BoardEntry | null>(null);

  const ask = async (): Promise<void> => {
    try {
      boards.value = await api.boards();
      fault.value = '';
    } catch (error) {
      fault.value = reasonOf(error);
    }
  };
  useTitle(say('charts.boards'));
  useEffect(() => {
    void ask();
  }, [admissions.value]);

  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      told.value = '';
      fault.value = '';
      await work();
    } catch (error) {
      fault.value = reasonOf(error);
    }
  };
  const take = (file: File) =>
    attempt(async () => {
      const read = readBoardText(await file.text());
      if ('fault' in read) {
        fault.value = faultText(read.fault);
        return;
      }
      await saveNew({ ...read.board, name: nameFor(read.board.name) });
      told.value = say('charts.import_done', { name: read.board.name });
      await ask();
    });
  const give = (entry: api.BoardEntry) =>
    attempt(async () => {
      const { document } = await api.board(entry.id);
      const text = JSON.stringify(document, null, 2);
      saveFile(`${entry.id}.json`, new Blob([text], { type: 'application/json' }));
    });
  const remove = (entry: api.BoardEntry) =>
    attempt(async () => {
      await api.deleteBoard(entry.id);
      keepDraft(entry.id, null);
      await ask();
    });

  const now = link.daemonNow() ?? Date.now();
  return (
    <div class="boards-page">
      <header class="page-head">
        <h1>{say('charts.boards')}</h1>
        {whyNot('command', 'all') === null && (
          <>
            <NewBoard fault={fault} />
            <Import take={(file) => void take(file)} />
          </>
        )}
      </header>
      <ReadOnly scope="command" about="all" />
      {fault.value !== '' && (
        <p class="fault" role="alert">
          {fault.value}
        </p>
      )}
      <p class="outcome" role="status">
        {told.value}
      </p>
      {boards.value === null && fault.value === '' && <p class="empty">{say('common.loading')}</p>}
      {boards.value?.length === 0 && (
        <p class="empty">
          <strong>{say('charts.no_boards')}</strong> {say('charts.no_boards_how')}
        </p>
      )}
      <ul class="boards">
        {boards.value?.map((entry) => (
          <li key={entry.id} class="board-entry">
            <a href={boardHash(entry.id)}>{entry.name}</a>
            <span class="about">
              {say('charts.panels', { n: entry.panels })} ·{' '}
              {say('charts.changed', { span: span(Math.max(0, now - entry.changed_at) / 1000) })} · <code>{entry.id}</code>
            </span>
            <span class="orders">
              <button type="button" aria-label={say('charts.export_board', { name: entry.name })} onClick={() => void give(entry)}>
                {say('charts.export')}
              </button>
              <button
                type="button"
                aria-label={say('charts.delete_board', { name: entry.name })}
                onClick={() => (doomed.value = entry)}
                {...taking('command', 'all')}
              >
                {say('common.delete')}
              </button>
            </span>
          </li>
        ))}
      </ul>
      {doomed.value !== null && (
        <Confirm
          title={say('charts.delete_question', { name: doomed.value.name })}
          verb={say('common.delete')}
          answer={(yes) => {
            const entry = doomed.value!;
            doomed.value = null;
            if (yes) void remove(entry);
          }}
        >
          <p>{say('charts.delete_for_all')}</p>
        </Confirm>
      )}
    </div>
  );
}

function NewBoard({ fault }: { fault: { value: string } }) {
  const field = useRef<HTMLInputElement>(null);
  const make = async (event: Event): Promise<void> => {
    event.preventDefault();
    const name = nameFor(field.current!.value.trim());
    if (name === '') {
      fault.value = say('charts.name_needed');
      field.current!.focus();
      return;
    }
    try {
      const id = await saveNew(emptyBoard(name));
      // It is empty, so it opens ready to be filled.
      const kept = await readKept(id);
      if ('board' in kept) keepDraft(id, kept);
      location.hash = boardHash(id);
    } catch (error) {
      fault.value = reasonOf(error);
    }
  };
  return (
    <form class="new-board" onSubmit={(event) => void make(event)}>
      <input ref={field} type="text" maxLength={120} placeholder={say('charts.new_board')} aria-label={say('charts.board_name')} />
      <button type="submit">{say('charts.create')}</button>
    </form>
  );
}

function Import({ take }: { take: (file: File) => void }) {
  return (
    <label class="import">
      <input
        type="file"
        accept=".json,application/json"
        onChange={(event) => {
          const field = event.currentTarget;
          const file = field.files?.[0];
          if (file !== undefined) take(file);
          // The same file again is a change, too.
          field.value = '';
        }}
      />
      <span>{say('charts.import')}</span>
    </label>
  );
}
