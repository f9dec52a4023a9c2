// The rules of alerts: where each is from, what it watches, how many it found; and the form for those of the page.

import { useSignal } from '@preact/signals';
import { useState } from 'preact/hooks';
import { beat } from '../beat';
import { deleteRule, putRule, rules as askRules } from '../link/alerts_api';
import { ApiError } from '../link/http';
import { ALL_ALERTS, alertsHash, rulesHash } from '../route';
import { SEVERITIES } from '../state/alerts';
import { faultsOf } from '../state/faults';
import { bodyOf, conditionOf, type Draft, draftOf, type FieldName, fieldsOf, KINDS, NotANumber, RULE_FIELDS, SHAPES, TROUBLES } from '../state/rule_draft';
import { whyNot } from '../state/standing';
import { count } from '../text/format';
import { isKey, type PlainKey, say } from '../text/say';
import type { DaemonTrouble, Rule, RuleBody, RuleKind } from '../wire_alerts';
import { AlertTabs, Heads } from './alerts';
import { Confirm } from './confirm';
import { Dialog } from './dialog';
import { ageOf, Fault, Field, OutcomeLine, PageHead, ReadOnly, taking, useFeed, useOrder } from './kit';
import { Severity, severityText } from './severity';

const EVERY_MS = 5000;

export function Rules({ edit }: { edit: string | null }) {
  beat.value;
  const feed = useFeed(askRules, [], EVERY_MS);
  const { outcome, give } = useOrder();
  const dropping = useSignal<string | null>(null);
  const list = feed?.value ?? null;
  const editing = edit === null || list === null ? null : edit === '' ? NEW : (list.find(({ name }) => name === edit) ?? null);
  const leave = (): void => location.replace(rulesHash());
  return (
    <div class="alerts-page">
      <PageHead title={say('rules.title')} age_s={ageOf(feed)}>
        <AlertTabs shown="rules" />
      </PageHead>
      <Fault of={feed} />
      <div class="toolbar">
        <OutcomeLine of={outcome} />
        {whyNot('admin', 'all') === null ? (
          <a class="act" href={rulesHash('')}>
            {say('rules.new')}
          </a>
        ) : (
          <button type="button" class="act" {...taking('admin', 'all')}>
            {say('rules.new')}
          </button>
        )}
      </div>
      <ReadOnly scope="admin" about="all" />
      {list !== null && list.length === 0 && <p class="empty">{say('rules.none')}</p>}
      {list !== null && list.length > 0 && (
        <table class="grid rules" role="table">
          <caption class="unseen">{say('rules.caption')}</caption>
          <thead role="rowgroup">
            <tr role="row">
              <Heads of={['common.severity', 'rules.name', 'rules.kind', 'rules.holds', 'rules.matching', 'rules.firing', 'rules.source']} />
              <td role="cell" />
            </tr>
          </thead>
          <tbody role="rowgroup">
            {list.map((rule) => (
              <Row key={rule.name} rule={rule} drop={() => (dropping.value = rule.name)} />
            ))}
          </tbody>
        </table>
      )}
      {editing !== null && (
        <Editor
          key={editing.name}
          rule={editing}
          taken={(list ?? []).map(({ name }) => name)}
          leave={leave}
          save={async (name, body) => {
            await putRule(name, body);
            await give(async () => {
              await feed?.again();
              return say('rules.saved', { name });
            });
            leave();
          }}
        />
      )}
      {dropping.value !== null && (
        <Confirm
          title={say('rules.delete_q', { name: dropping.value })}
          verb={say('rules.delete')}
          answer={(yes) => {
            const name = dropping.value ?? '';
            dropping.value = null;
            if (!yes) return;
            void give(async () => {
              await deleteRule(name);
              await feed?.again();
              return say('rules.deleted', { name });
            });
          }}
        >
          <p>{say('rules.delete_why')}</p>
        </Confirm>
      )}
    </div>
  );
}

const NEW: Rule = { name: '', kind: 'threshold', source: 'page', matching: 0, firing: 0, error: null };

function Row({ rule, drop }: { rule: Rule; drop: () => void }) {
  const own = rule.source === 'page';
  return (
    <tr role="row" data-rule={rule.name} data-source={rule.source}>
      <td role="cell" class="how-bad">
        <Severity of={rule.severity ?? 'warning'} calm={rule.firing === 0} />
      </td>
      <td role="cell" class="what">
        <a href={rulesHash(rule.name)}>{rule.name}</a>
        {rule.error !== null && <small class="fault">{rule.error}</small>}
      </td>
      <td role="cell" data-name={say('rules.kind')}>{kindText(rule.kind)}</td>
      <td role="cell" data-name={say('rules.holds')}>
        {rule.kind === 'daemon' && rule.what !== undefined ? troubleText(rule.what) : (rule.metric ?? rule.device ?? []).join(', ')} {conditionOf(rule)}
      </td>
      <td role="cell" data-name={say('rules.matching')}>{count(rule.matching)}</td>
      <td role="cell" data-name={say('rules.firing')}>
        {rule.firing > 0 ? <a href={alertsHash({ ...ALL_ALERTS, rule: rule.name })}>{count(rule.firing)}</a> : count(0)}
      </td>
      <td role="cell" data-name={say('rules.source')}>{say(`rules.source_${rule.source}`)}</td>
      <td role="cell" class="end">
        {own && (
          <button type="button" class="small" aria-label={say('rules.delete_this', { name: rule.name })} onClick={drop} {...taking('admin', 'all')}>
            {say('rules.delete')}
          </button>
        )}
      </td>
    </tr>
  );
}

const kindText = (kind: RuleKind): string => say(`rules.kind_${kind}`);
const troubleText = (what: DaemonTrouble): string => say(`rules.what_${what}`);

interface EditorProps {
  rule: Rule;
  /** Names that there are already. */
  taken: readonly string[];
  leave: () => void;
  /** Throws if the daemon does not take it. */
  save: (name: string, body: RuleBody) => Promise<void>;
}

function Editor({ rule, taken, leave, save }: EditorProps) {
  const [draft, setDraft] = useState<Draft>(() => draftOf(rule));
  const [faults, setFaults] = useState<Record<string, string>>({});
  const { busy, outcome, give } = useOrder();
  const isNew = rule.name === '';
  const own = rule.source === 'page';
  const fixed = !own || whyNot('admin', 'all') !== null;
  const set = (change: Partial<Draft>): void => setDraft({ ...draft, ...change });
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setFaults({});
    const name = draft.name.trim();
    if (name === '') return setFaults({ name: say('rules.needs_name') });
    if (isNew && taken.includes(name)) return setFaults({ name: say('rules.taken') });
    await give(async () => {
      try {
        await save(name, bodyOf(draft));
        return '';
      } catch (error) {
        const found = faultsFrom(error);
        setFaults(found);
        throw new Error(found[''] ?? '');
      }
    });
  };
  return (
    <Dialog title={isNew ? say('rules.new') : say('rules.edit', { name: rule.name })} leave={leave} wide>
      {!own && <p class="said">{say(`rules.read_only_${rule.source as 'file' | 'built-in'}`)}</p>}
      {own && <ReadOnly scope="admin" about="all" />}
      <form class="fields" onSubmit={(event) => void submit(event)}>
        <Field name={say('rules.name')} hint={say('rules.name_hint')} error={faults['name']}>
          {(tie) => (
            <input {...tie} type="text" maxLength={128} disabled={!isNew} value={draft.name} onInput={(event) => set({ name: event.currentTarget.value })} />
          )}
        </Field>
        <Field name={say('rules.kind')} hint={say(`rules.does_${draft.kind}`)} error={faults['kind']}>
          {(tie) => (
            <select {...tie} disabled={fixed} value={draft.kind} onChange={(event) => set({ kind: event.currentTarget.value as RuleKind })}>
              {KINDS.map((kind) => (
                <option key={kind} value={kind}>
                  {kindText(kind)}
                </option>
              ))}
            </select>
          )}
        </Field>
        {fieldsOf(draft).map((field) => (
          <RuleField key={field} field={field} draft={draft} fixed={fixed} error={faults[field]} set={set} />
        ))}
        <OutcomeLine of={outcome?.text === '' ? null : outcome} />
        <p class="answers">
          <button type="button" onClick={leave}>
            {fixed ? say('common.close') : say('common.cancel')}
          </button>
          {!fixed && (
            <button type="submit" class="go" aria-disabled={busy}>
              {say('rules.save')}
            </button>
          )}
        </p>
      </form>
    </Dialog>
  );
}

function faultsFrom(error: unknown): Record<string, string> {
  if (error instanceof NotANumber) return { [error.field]: say('rules.not_a_number') };
  if (error instanceof ApiError && error.status >= 400 && error.status < 500) return faultsOf(error.message, error.fields, RULE_FIELDS);
  return { '': (error as Error).message };
}

const PLACES = '{device} {metric} {value} {unit} {limit} {rule} {subject} {for} {tag.KEY}';
const WIDE: readonly FieldName[] = ['text', 'runbook'];

interface RuleFieldProps {
  field: FieldName;
  draft: Draft;
  fixed: boolean;
  error: string | undefined;
  set: (change: Partial<Draft>) => void;
}

function RuleField({ field, draft, fixed, error, set }: RuleFieldProps) {
  const change = (event: { currentTarget: { value: string } }): void => set({ [field]: event.currentTarget.value });
  const shape = SHAPES[field];
  return (
    <Field name={say(`rules.field_${field}`)} hint={hintOf(field)} error={error} wide={WIDE.includes(field)}>
      {(tie) => {
        if (shape === 'severity') {
          return (
            <select {...tie} disabled={fixed} value={draft.severity ?? 'warning'} onChange={change}>
              {SEVERITIES.map((severity) => (
                <option key={severity} value={severity}>
                  {severityText(severity)}
                </option>
              ))}
            </select>
          );
        }
        if (shape === 'trouble') {
          return (
            <select {...tie} disabled={fixed} value={draft.what ?? TROUBLES[0]} onChange={change}>
              {TROUBLES.map((what) => (
                <option key={what} value={what}>
                  {troubleText(what)}
                </option>
              ))}
            </select>
          );
        }
        return (
          <input {...tie} type="text" inputMode={shape === 'number' ? 'decimal' : 'text'} disabled={fixed} value={draft[field] ?? ''} onInput={change} />
        );
      }}
    </Field>
  );
}

function hintOf(field: FieldName): string | undefined {
  if (field === 'text') return say('rules.hint_text', { places: PLACES });
  const key = `rules.hint_${field}`;
  return isKey(key) ? say(key as PlainKey) : undefined;
}
