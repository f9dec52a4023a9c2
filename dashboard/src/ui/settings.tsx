// What this page looks like to its viewer, and what the daemon says of itself.

import { link, status, statusAge_s } from '../app';
import { beat } from '../beat';
import { chooseLanguage, type Language, language, LANGUAGE_NAMES, languageIsChosen, LANGUAGES } from '../text/language';
import { bytes, clock, span } from '../text/format';
import { type PlainKey, say } from '../text/say';
import { rollups } from '../text/sinks';
import { rereadTheme } from '../theme';
import { chooseTheme, THEME_CHOICES, type ThemeChoice, themeChoice } from '../theme_choice';
import type { Status } from '../wire';
import { known, whyNot } from '../state/standing';
import { Fact } from './alert';
import { shortClock } from './alerts';
import { howText, Keys, Trail } from './keys';
import { Field, NameField, PageHead, When } from './kit';
import { LogOut } from './login';

export function Settings() {
  beat.value;
  const now = status.value;
  return (
    <div class="settings">
      <PageHead title={say('settings.title')} age_s={now === null ? null : Math.min(statusAge_s(), link.silence_s() ?? Infinity)} />
      <div class="settings-cards">
        <section class="card" aria-labelledby="this-page">
          <h2 id="this-page">{say('settings.page')}</h2>
          <p class="said">{say('settings.page_hint')}</p>
          <div class="fields">
            <Field name={say('settings.language')}>
              {(tie) => (
                <select {...tie} value={languageIsChosen() ? language.value : ''} onChange={(event) => chooseLanguage((event.currentTarget.value || null) as Language | null)}>
                  <option value="">{say('settings.language_own', { name: LANGUAGE_NAMES[language.value] })}</option>
                  {LANGUAGES.map((one) => (
                    <option key={one} value={one} lang={one}>
                      {LANGUAGE_NAMES[one]}
                    </option>
                  ))}
                </select>
              )}
            </Field>
            <Field name={say('settings.theme')}>
              {(tie) => (
                <select {...tie} value={themeChoice.value} onChange={(event) => wearTheme(event.currentTarget.value as ThemeChoice)}>
                  {THEME_CHOICES.map((choice) => (
                    <option key={choice} value={choice}>
                      {say(`settings.theme_${choice}`)}
                    </option>
                  ))}
                </select>
              )}
            </Field>
            <NameField />
          </div>
        </section>
        <You />
        <section class="card" aria-labelledby="docs">
          <h2 id="docs">{say('settings.docs')}</h2>
          <p class="said">{say('settings.docs_hint')}</p>
          <dl class="facts docs">
            {DOCS.map(([path, about]) => (
              <Fact key={path} name={say(about)}>
                <code>{path}</code>
              </Fact>
            ))}
          </dl>
        </section>
        {now !== null && <Daemon now={now} />}
        {known() !== null && whyNot('admin', 'all') === null && (
          <>
            <Keys />
            <Trail />
          </>
        )}
      </div>
    </div>
  );
}

/** Who the daemon takes this page for; nothing where nobody is asked. */
function You() {
  const session = known();
  if (session === null) return null;
  const { name, scopes, devices, how, expires_at } = session;
  return (
    <section class="card you" aria-labelledby="you">
      <h2 id="you">{say('access.you')}</h2>
      <dl class="facts">
        <Fact name={say('access.name')}>{name}</Fact>
        <Fact name={say('access.scopes')}>{scopes.join(', ')}</Fact>
        <Fact name={say('access.devices')}>{devices.join(', ')}</Fact>
        <Fact name={say('access.how_known')}>{howText(how)}</Fact>
        <Fact name={say('access.until')}>{expires_at === null ? say('access.no_end') : <>{shortClock(expires_at)} (<When at={expires_at} />)</>}</Fact>
      </dl>
      {how === 'session' && <LogOut />}
    </section>
  );
}

/** Canvases take their colours from the style sheet, which has just changed. */
function wearTheme(choice: ThemeChoice): void {
  chooseTheme(choice);
  rereadTheme();
}

const DOCS: readonly [path: string, about: PlainKey][] = [
  ['README.md', 'settings.doc_readme'],
  ['docs/dashboard.md', 'settings.doc_dashboard'],
  ['docs/access.md', 'settings.doc_access'],
  ['docs/alerts.md', 'settings.doc_alerts'],
  ['docs/devices.md', 'settings.doc_devices'],
  ['docs/http.md', 'settings.doc_http'],
  ['docs/sinks.md', 'settings.doc_sinks'],
  ['docs/mqtt.md', 'settings.doc_mqtt'],
];

function Daemon({ now }: { now: Status }) {
  const time = link.daemonNow();
  const { durability, bytes_max } = now.spool;
  const brokers = now.intake?.mqtt ?? [];
  return (
    <section class="card" aria-labelledby="the-daemon">
      <h2 id="the-daemon">{say('settings.daemon')}</h2>
      <dl class="facts">
        <Fact name={say('settings.version')}>tidegate {now.version}</Fact>
        <Fact name={say('settings.uptime')}>{span(now.uptime_s + statusAge_s())}</Fact>
        {time !== null && <Fact name={say('settings.clock')}>{clock(time, 0)}</Fact>}
        <Fact name={say('settings.address')}>{location.host}</Fact>
        <Fact name={say('settings.windows')}>{now.windows.join(', ')}</Fact>
        <Fact name={say('settings.tick')}>{say('settings.ms', { n: now.tick_ms })}</Fact>
        <Fact name={say('settings.spool')}>
          {bytes_max > 0
            ? say('settings.spool_max', { bytes: bytes(bytes_max), durability })
            : say('settings.spool_endless', { durability })}
        </Fact>
        {now.viewers !== undefined && <Fact name={say('settings.viewers')}>{say('pipeline.viewers_kinds', now.viewers)}</Fact>}
        <Fact name={say('settings.sinks')}>
          {now.sinks.map((sink) => {
            const text = rollups(sink);
            return (
              <span key={sink.name} class="label">
                {text === null ? say('settings.sink', sink) : say('settings.sink_rollups', { name: sink.name, rollups: text })}
              </span>
            );
          })}
        </Fact>
        {brokers.length > 0 && <Fact name={say('settings.brokers')}>{brokers.map(({ name, broker }) => `${name} (${broker})`).join(', ')}</Fact>}
      </dl>
      <p class="said">{say('settings.where')}</p>
    </section>
  );
}
