// Who is told of alerts besides those who look: the channels, a test for each, and what could not be delivered.

import { useSignal } from '@preact/signals';
import { beat } from '../beat';
import { notifications as askNotifications, orderMessages, testChannel } from '../link/alerts_api';
import { count } from '../text/format';
import { say } from '../text/say';
import type { Level } from '../state/verdict';
import type { Channel, LostMessage } from '../wire_alerts';
import { AlertTabs, Heads, shortClock, Tick } from './alerts';
import { Confirm } from './confirm';
import { Lamp } from './instruments';
import { Told } from './told';
import { ageOf, Fault, OutcomeLine, PageHead, ReadOnly, taking, useFeed, useOrder, When } from './kit';

export function Notifications() {
  beat.value;
  const feed = useFeed(askNotifications, []);
  const { busy, outcome, give } = useOrder();
  const told = feed?.value ?? null;
  return (
    <div class="alerts-page">
      <PageHead title={say('alerts.notifications_title')} age_s={ageOf(feed)}>
        <AlertTabs shown="notifications" />
      </PageHead>
      <Fault of={feed} />
      <ReadOnly scope="admin" about="all" />
      <OutcomeLine of={outcome} />
      {told !== null && (
        <>
          <section aria-labelledby="channels">
            <h2 id="channels" class="part">
              {say('alerts.channels')}
            </h2>
            {told.channels.length === 0 ? (
              <p class="empty">{say('alerts.channels_none')}</p>
            ) : (
              <table class="grid channels" role="table">
                <caption class="unseen">{say('alerts.channels')}</caption>
                <thead role="rowgroup">
                  <tr role="row">
                    <Heads of={['alerts.channel', 'common.state', 'alerts.channel_sent', 'alerts.channel_failed', 'alerts.channel_pending', 'alerts.channel_last']} />
                    <td role="cell" />
                  </tr>
                </thead>
                <tbody role="rowgroup">
                  {told.channels.map((channel) => (
                    <ChannelRow
                      key={channel.name}
                      channel={channel}
                      busy={busy}
                      test={() =>
                        void give(async () => {
                          const { ok, error } = await testChannel(channel.name);
                          await feed?.again();
                          const { name } = channel;
                          if (!ok) throw new Error(say('alerts.channel_test_failed', { name, why: error ?? '' }));
                          return say('alerts.channel_tested', { name });
                        })
                      }
                    />
                  ))}
                </tbody>
              </table>
            )}
          </section>
          <section aria-labelledby="lost">
            <h2 id="lost" class="part">
              {say('alerts.lost')}
            </h2>
            {told.dead_letters.length === 0 ? (
              <p class="empty">{say('alerts.lost_none')}</p>
            ) : (
              <Lost
                letters={told.dead_letters}
                order={(order, ids) =>
                  give(async () => {
                    await orderMessages(order, ids);
                    await feed?.again();
                    const n = ids.length;
                    return order === 'retry' ? say('alerts.lost_retried', { n }) : say('alerts.lost_dropped', { n });
                  })
                }
              />
            )}
          </section>
        </>
      )}
    </div>
  );
}

const LEVELS: Record<Channel['state'], Level> = { idle: 'well', waiting: 'watch', failing: 'bad' };

function ChannelRow({ channel, busy, test }: { channel: Channel; busy: boolean; test: () => void }) {
  const level = LEVELS[channel.state] ?? 'watch';
  return (
    <tr role="row" data-channel={channel.name} data-state={channel.state}>
      <th role="rowheader" scope="row">
        {channel.name} <small>{channel.kind}</small>
      </th>
      <td role="cell" data-name={say('common.state')}>
        <span class="lamped">
          <Lamp level={level} />
          <span class={`word ${level}`}>{say(`alerts.channel_${channel.state}`)}</span>
        </span>
        {channel.last_error !== null && <small class="reason">{channel.last_error}</small>}
        {channel.next_try_at !== null && (
          <small>
            <Told it="alerts.channel_next" with={{ when: <When at={channel.next_try_at} /> }} />
          </small>
        )}
      </td>
      <td role="cell" data-name={say('alerts.channel_sent')}>{count(channel.sent)}</td>
      <td role="cell" data-name={say('alerts.channel_failed')}>{count(channel.failed)}</td>
      <td role="cell" data-name={say('alerts.channel_pending')}>{count(channel.pending_events)}</td>
      <td role="cell" data-name={say('alerts.channel_last')}>
        {channel.last_sent_at === null ? say('alerts.channel_never') : <When at={channel.last_sent_at} />}
      </td>
      <td role="cell" class="end">
        <button type="button" class="small" aria-disabled={busy} aria-label={say('alerts.channel_test_this', { name: channel.name })} onClick={test} {...taking('admin', 'all')}>
          {say('alerts.channel_test')}
        </button>
      </td>
    </tr>
  );
}

interface LostProps {
  letters: readonly LostMessage[];
  order: (order: 'retry' | 'drop', ids: LostMessage['id'][]) => Promise<boolean>;
}

function Lost({ letters, order }: LostProps) {
  const chosen = useSignal<ReadonlySet<LostMessage['id']>>(new Set());
  const dropping = useSignal(false);
  const picked = letters.filter(({ id }) => chosen.value.has(id));
  const which = (picked.length > 0 ? picked : letters).map(({ id }) => id);
  const n = which.length;
  const give = async (wanted: 'retry' | 'drop'): Promise<void> => {
    if (await order(wanted, which)) chosen.value = new Set();
  };
  return (
    <>
      <div class="orders">
        <button type="button" onClick={() => void give('retry')} {...taking('admin', 'all')}>
          {say('alerts.lost_retry_n', { n })}
        </button>
        <button type="button" onClick={() => (dropping.value = true)} {...taking('admin', 'all')}>
          {say('alerts.lost_drop_n', { n })}
        </button>
      </div>
      <table class="grid lost" role="table">
        <caption class="unseen">{say('alerts.lost')}</caption>
        <thead role="rowgroup">
          <tr role="row">
            <td role="cell" class="choose" />
            <Heads of={['alerts.lost_at', 'alerts.channel', 'alerts.lost_summary', 'alerts.lost_reason', 'alerts.lost_attempts']} />
          </tr>
        </thead>
        <tbody role="rowgroup">
          {letters.map((letter) => (
            <tr key={letter.id} role="row">
              <td role="cell" class="choose">
                <Tick
                  label={say('common.choose', { name: letter.summary })}
                  on={chosen.value.has(letter.id)}
                  set={(on) => {
                    const next = new Set(chosen.value);
                    on ? next.add(letter.id) : next.delete(letter.id);
                    chosen.value = next;
                  }}
                />
              </td>
              <td role="cell">{shortClock(letter.at)}</td>
              <td role="cell">{letter.channel}</td>
              <td role="cell">{letter.summary}</td>
              <td role="cell" class="reason">{letter.reason}</td>
              <td role="cell">{count(letter.attempts)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {dropping.value && (
        <Confirm
          title={`${say('alerts.lost_drop_n', { n })}?`}
          verb={say('alerts.lost_drop')}
          answer={(yes) => {
            dropping.value = false;
            if (yes) void give('drop');
          }}
        >
          <p>{say('alerts.lost_drop_why')}</p>
        </Confirm>
      )}
    </>
  );
}
