// Alerts that are over, newest first, page by page.

import { beat } from '../beat';
import { alerts as askAlerts } from '../link/alerts_api';
import { type AlertFilter, alertHistoryHash } from '../route';
import { span } from '../text/format';
import { say } from '../text/say';
import type { Alert } from '../wire_alerts';
import { AlertTabs, Cells, Filter, Heads, shortClock } from './alerts';
import { ageOf, Fault, PageHead, useFeed } from './kit';

const EVERY_MS = 10_000;

export function AlertHistory({ filter, before }: { filter: AlertFilter; before: number | null }) {
  beat.value;
  const about = [filter.severity, filter.rule, filter.device, before];
  const feed = useFeed(() => askAlerts('resolved', filter, before), about, EVERY_MS);
  const page = feed?.value ?? null;
  return (
    <div class="alerts-page">
      <PageHead title={say('alerts.history_title')} age_s={ageOf(feed)}>
        <AlertTabs shown="alert-history" />
      </PageHead>
      <Fault of={feed} />
      <div class="toolbar">
        <Filter filter={filter} open={page?.alerts ?? []} hash={(wanted) => alertHistoryHash(wanted)} />
      </div>
      {page !== null && page.alerts.length === 0 && (
        <p class="empty">{filter.severity ?? filter.rule ?? filter.device ?? before !== null ? say('alerts.none_fit') : say('alerts.no_history')}</p>
      )}
      {page !== null && page.alerts.length > 0 && (
        <table class="grid alerts past" role="table">
          <caption class="unseen">{say('alerts.caption_history')}</caption>
          <thead role="rowgroup">
            <tr role="row">
              <Heads of={['common.severity', 'common.state', 'alerts.what', 'common.value', 'common.device', 'common.rule', 'alerts.fact_resolved']} />
            </tr>
          </thead>
          <tbody role="rowgroup">
            {page.alerts.map((alert) => (
              <tr key={alert.id} role="row" data-alert={alert.id} class={alert.state}>
                <Cells alert={alert} />
                <td role="cell" class="since">
                  {alert.resolved_at !== null && shortClock(alert.resolved_at)}
                  <small>{lasted(alert)}</small>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {page !== null && (before !== null || page.next !== null) && (
        <nav class="paging" aria-label={say('common.pages')}>
          {before !== null && <a href={alertHistoryHash(filter)}>{say('common.first_page')}</a>}
          {page.next !== null && (
            <a href={alertHistoryHash(filter, page.next)} rel="next">
              {say('common.next_page')} <span aria-hidden="true">›</span>
            </a>
          )}
        </nav>
      )}
    </div>
  );
}

/** From the moment that its rule held. */
function lasted({ pending_at, resolved_at }: Alert): string {
  return resolved_at === null ? '' : `${say('alerts.fact_lasted')} ${span((resolved_at - pending_at) / 1000)}`;
}
